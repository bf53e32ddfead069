"""Encoded image bytes -> uint8 pixels."""

import cv2
import numpy as np


def decode(encoded: bytes, channels: int, image_size: int = 0) -> np.ndarray:
    """Decodes one image.

    Args:
      encoded: a JPEG, PNG, ... file's bytes.
      channels: 1 (grey) or 3 (RGB); other images are converted to it.
      image_size: resize to a square of this side; 0 keeps the size.

    Returns:
      uint8 [height, width, channels].

    Raises:
      ValueError: the bytes are no image.
    """
    flag = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flag) if encoded else None
    if image is None:
        raise ValueError('not an image, or a broken one')
    if image_size:
        shrinks = image_size < min(image.shape[:2])
        image = cv2.resize(
            image, (image_size, image_size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )
    return image[..., None] if channels == 1 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
