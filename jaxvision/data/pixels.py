"""Encoded image bytes -> uint8 pixels; and images of any shape -> squares, with their boxes."""

import io
import warnings

import cv2
import numpy as np
from PIL import Image, ImageOps

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
    image = _seen_through(encoded, channels, upright)
    if image is None and encoded:  # OpenCV raises what is its own where there are no bytes.
        image = _opaque(encoded, channels, upright)
    if image is None:
        raise ValueError('not an image, or a broken one')
    if image_size:
        height, width = image.shape[:2]  # Each axis that shrinks is averaged over, also where the other one grows.
        image = cv2.resize(image, (min(width, image_size), min(height, image_size)), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (image_size, image_size), interpolation=cv2.INTER_LINEAR)
    return image.reshape(*image.shape[:2], channels)


def _opaque(encoded: bytes, channels: int, upright: bool) -> np.ndarray | None:
    flag = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flag if upright else flag | cv2.IMREAD_IGNORE_ORIENTATION)
    return image if image is None or channels == 1 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _seen_through(encoded: bytes, channels: int, upright: bool) -> np.ndarray | None:
    """An image of which something is transparent, by Pillow: OpenCV would drop that. None of any other image."""
    if encoded.startswith(b'\xff\xd8'):
        return None  # A JPEG cannot be.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # Of odd metadata, and of large images.
            with Image.open(io.BytesIO(encoded)) as image:
                if not image.has_transparency_data:
                    return None
                picture = rgb(ImageOps.exif_transpose(image) if upright else image)
    except Exception:  # Pillow's decoders raise whatever a broken file brings about.
        return None
    return np.asarray(picture if channels == 3 else picture.convert('L'))


def rgb(image: Image.Image) -> Image.Image:
    """An image of any mode in 8 bits a colour, and on white where it is transparent.

    Raises:
      ValueError: its pixels are what 8 bits cannot hold.
    """
    if image.mode.startswith('I'):  # 16 or 32 bits; Pillow would cut off what is above 255.
        values = np.asarray(image)
        if values.min() < 0 or values.max() >= 2**16:
            raise ValueError('its pixels have more than 16 bits')
        # 32 bits may hold 8; 16 bits are 16.
        image = Image.fromarray(
            (values if image.mode == 'I' and values.max() < 256 else values // 256).astype(np.uint8)
        )
    if image.mode == 'F':
        raise ValueError('its pixels are fractions of unknown range')
    if image.has_transparency_data:
        image = image.convert('RGBA')
        image = Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image)
    return image.convert('RGB')


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
    """The inverse of `letterbox_boxes`, cut off at the image's edges: a box on the grey alone has no extent there."""
    share, start = _shares(sizes)
    return np.clip((np.asarray(boxes) - start) / share, 0, 1).astype(np.float32)


def _shares(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float64 [..., 1, 4] each, in the order of a box's sides: what the image fills of the square, and from where."""
    sizes = np.asarray(sizes)
    side = sizes.max(axis=-1, keepdims=True)
    share, start = sizes / side, (side - sizes) // 2 / side
    share, start = (np.concatenate([each, each], axis=-1)[..., None, :] for each in (share, start))
    return share, start
