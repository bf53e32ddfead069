"""Encoded image bytes -> uint8 pixels; and images of any shape -> squares, with their boxes."""

import cv2
import numpy as np

PADDING = 114  # The grey around a letterboxed image: about the mean of natural images.


def decode(encoded: bytes, channels: int, image_size: int = 0, *, upright: bool = True) -> np.ndarray:
    """Decodes one image.

    Args:
      encoded: a JPEG, PNG, ... file's bytes.
      channels: 1 (grey) or 3 (RGB); other images are converted to it. What is transparent is put on white.
      image_size: resize to a square of this side; 0 keeps the size.
      upright: turn the image as its EXIF orientation says; else its pixels are as they are stored.

    Returns:
      uint8 [height, width, channels].

    Raises:
      ValueError: the bytes are no image.
    """
    flag = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    if not upright:
        flag |= cv2.IMREAD_IGNORE_ORIENTATION
    data = np.frombuffer(encoded, np.uint8)
    image = cv2.imdecode(data, flag) if encoded else None
    if image is None:
        raise ValueError('not an image, or a broken one')
    if _may_be_transparent(encoded):
        image = _on_white(image, cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
    if image_size:
        height, width = image.shape[:2]  # Each axis that shrinks is averaged over, also where the other one grows.
        image = cv2.resize(image, (min(width, image_size), min(height, image_size)), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (image_size, image_size), interpolation=cv2.INTER_LINEAR)
    return image[..., None] if channels == 1 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _may_be_transparent(encoded: bytes) -> bool:
    """Of a PNG: whether its colour type has transparency, or it names a colour that is. Any WebP may be."""
    if encoded.startswith(b'\x89PNG\r\n\x1a\n'):
        return encoded[25:26] in (b'\x04', b'\x06') or b'tRNS' in encoded[: encoded.find(b'IDAT')]
    return encoded[8:12] == b'WEBP'


def _on_white(image: np.ndarray, stored: np.ndarray | None) -> np.ndarray:
    """The decoded image by its transparency, which OpenCV puts in a fourth channel of what is stored."""
    if stored is None or stored.shape[:2] != image.shape[:2] or stored.shape[2:] != (4,):
        return image
    share = stored[..., 3] / np.float32(np.iinfo(stored.dtype).max)
    share = share if image.ndim == 2 else share[..., None]
    return np.rint(image * share + 255 * (1 - share)).astype(np.uint8)


def letterbox(image: np.ndarray, size: int) -> np.ndarray:
    """Fits an image of any shape into a square: scaled by size / max(height, width), centred, grey around it.

    The grey is put around the image first and the square is resized then: so the image has exactly the place that
    `letterbox_boxes` says. Of an odd number of grey lines the smaller half comes first.

    Args:
      image: uint8 [height, width, channels].
      size: side of the square.

    Returns:
      uint8 [size, size, channels]; the image itself, bit for bit, if it is of that size already.
    """
    height, width = image.shape[:2]
    side = max(height, width)
    square = np.full((side, side, image.shape[2]), PADDING, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    if side == size:
        return square
    way = cv2.INTER_AREA if size < side else cv2.INTER_LINEAR
    return cv2.resize(square, (size, size), interpolation=way).reshape(size, size, -1)


def letterbox_boxes(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Boxes in shares of the image -> in shares of the square that `letterbox` makes, of whatever size.

    An axis of the image that is r times the longer one fills the share r of the square, (1 - r) / 2 from its edge, but
    for half a pixel of the image where an odd number of grey lines is shared out.

    Args:
      boxes: float [..., m, 4], [ymin, xmin, ymax, xmax].
      sizes: int [..., 2], the images' own (height, width).

    Returns:
      float32 [..., m, 4]. All-zero boxes of padding are moved too: mask them.
    """
    share, start = _shares(sizes)
    return (np.asarray(boxes) * share + start).astype(np.float32)


def unletterbox_boxes(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The inverse of `letterbox_boxes`; what lay on the grey comes out below 0 or above 1."""
    share, start = _shares(sizes)
    return ((np.asarray(boxes) - start) / share).astype(np.float32)


def _shares(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 [..., 1, 4] each, in the order of a box's sides: what the image fills of the square, and from where."""
    sizes = np.asarray(sizes)
    side = sizes.max(axis=-1, keepdims=True)
    share, start = sizes / side, (side - sizes) // 2 / side
    share, start = (np.concatenate([each, each], axis=-1)[..., None, :] for each in (share, start))
    return share, start
