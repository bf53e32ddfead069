"""Boxes on images, in pixels: for the report, for launch/predict, for a notebook."""

from collections.abc import Sequence

import numpy as np


def draw(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: Sequence[str],
    colors: Sequence[str],
    *,
    dashed: Sequence[bool] | None = None,
    scale: int = 1,
    line: int = 2,
    text: int = 14,
) -> np.ndarray:
    """Enlarges an image without smoothing and draws boxes with their labels on it, the first box on top.

    A label stands above its box, or where there is no room inside at its top; one wider than the image is cut short.

    Args:
      image: uint8 [height, width, channel], channel 1 or 3.
      boxes: float [n, 4], [ymin, xmin, ymax, xmax] as shares of the image; what lies outside is cut off.
      labels: one a box; '' for none.
      colors: one a box, as '#rrggbb'.
      dashed: which boxes have dashed edges; none if left out.
      scale: by which the image is enlarged, a whole number: every pixel becomes a square.
      line, text: width of the edges and height of the letters, in pixels of the result.

    Returns:
      uint8 [height * scale, width * scale, 3].
    """
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    enlarged = image.repeat(scale, axis=0).repeat(scale, axis=1)
    canvas = Image.fromarray(np.broadcast_to(enlarged, (*enlarged.shape[:2], 3)).copy())
    # The font that comes with matplotlib knows more alphabets than PIL's; the basic layout is at hand everywhere.
    font = ImageFont.truetype(
        f'{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf', text, layout_engine=ImageFont.Layout.BASIC
    )
    pen = ImageDraw.Draw(canvas)
    height, width = enlarged.shape[:2]
    dashed = [False] * len(boxes) if dashed is None else dashed
    corners = np.rint(np.clip(boxes, 0, 1) * [height, width, height, width]).astype(int)
    for box, label, color, broken in list(zip(corners.tolist(), labels, colors, dashed, strict=True))[::-1]:
        top, left, bottom, right = box
        top, left = min(top, height - 1), min(left, width - 1)
        right, bottom = (
            max(right - 1, left),
            max(bottom - 1, top),
        )  # The last pixels that belong to it.
        for piece in _edges(left, top, right, bottom, line, dash=4 * line if broken else 0):
            pen.rectangle(piece, fill=color)
        if label:
            label = _cut(' '.join(label.split()), font, width - 2 * line)
            # All labels are as high as the highest and lowest letters, so that they stand on one line.
            tag_height, tag_width = int(font.getbbox('Áp')[3]) + line, int(font.getlength(label)) + 2 * line
            x = min(left, max(width - tag_width, 0))
            y = top - tag_height if top >= tag_height else min(top, height - tag_height)
            pen.rectangle((x, y, x + tag_width - 1, y + tag_height - 1), fill=color)
            pen.text((x + line, y + line // 2), label, fill=_contrasting(color), font=font)
    return np.asarray(canvas)


def _edges(left: int, top: int, right: int, bottom: int, line: int, dash: int) -> list[tuple[int, int, int, int]]:
    """The rectangles (left, top, right, bottom, all inclusive) that make up a frame, inside its bounds."""
    inner_right, inner_bottom = max(right - line + 1, left), max(bottom - line + 1, top)
    pieces = []
    for start, end in _strokes(left, right, dash):
        pieces += [(start, top, end, min(top + line - 1, bottom)), (start, inner_bottom, end, bottom)]
    for start, end in _strokes(top, bottom, dash):
        pieces += [(left, start, min(left + line - 1, right), end), (inner_right, start, right, end)]
    return pieces


def _strokes(start: int, end: int, dash: int) -> list[tuple[int, int]]:
    """One stroke from start to end, both inclusive, or dashes with gaps of half their length."""
    if not dash:
        return [(start, end)]
    return [(at, min(at + dash - 1, end)) for at in range(start, end + 1, dash + dash // 2)]


def _cut(label: str, font, room: int) -> str:
    """The label, or as much of its beginning as fits, with an ellipsis."""
    if font.getlength(label) <= room:
        return label
    while label and font.getlength(f'{label}…') > room:
        label = label[:-1]
    return f'{label}…'


def _contrasting(color: str) -> str:
    """Black or white, whichever can be read on this colour."""
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return '#000000' if 0.299 * red + 0.587 * green + 0.114 * blue > 150 else '#ffffff'
