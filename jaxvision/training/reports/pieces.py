"""Pieces of a page: numbers as text, pictures, figures and tables as HTML."""

import base64
import html
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxvision.training.reports import drawing, plots
from jaxvision.training.reports.reading import Records, interval, number

THUMBNAIL = 112  # Pixels a side, on the page.
FEW = 8  # Boxes on a picture up to which their labels are in full size.
PHOTOGRAPH = 160  # Larger images are stored at this size, as JPEG; smaller ones as they are.

Form = Callable[[float], str]


def percent(records: Records) -> Form:
    """Shares as percentages, on the whole page with the digits that the test examples can tell apart."""
    n = number(records.test.get('n')) or 0
    digits = 2 if n >= 2000 else 1
    return lambda value: f'{100 * value:.{digits}f}'


def points(value: float) -> str:
    return f'{100 * value:+.1f}'.replace('-', '−')


def plain(value: float) -> str:
    return f'{value:.3f}'


def count(value: float) -> str:
    return f'{value:,.0f}'


def cell(entry: Any, form: Form, unit: str = '') -> str:
    """'value unit [low, high]', or a dash."""
    value, spread = number(entry), interval(entry)
    if value is None:
        return '–'
    text = form(value) + unit
    return f'{text} <small>[{form(spread[0])}, {form(spread[1])}]</small>' if spread else text


def duration(seconds: float) -> str:
    if seconds < 120:
        return f'{seconds:.3g} s'
    minutes = round(seconds / 60)
    return f'{minutes} min' if minutes < 120 else f'{minutes // 60} h {minutes % 60} min'


def probability(value: float) -> str:
    return '>0.99' if value > 0.99 else f'{value:.2f}'


def image(pixels: np.ndarray, alt: str) -> str:
    """A picture, uint8 [height, width, channel], of about `THUMBNAIL` pixels; enlarged without smoothing."""
    from PIL import Image

    height, width, channels = pixels.shape
    picture = Image.fromarray(pixels[..., :3] if channels >= 3 else pixels[..., 0])
    small = max(height, width) <= THUMBNAIL
    if not small:
        picture.thumbnail((PHOTOGRAPH, PHOTOGRAPH))
    scale = THUMBNAIL / max(height, width)
    scale = math.floor(scale) if scale >= 1 else scale  # Whole, so that all pixels come out equal.
    return _picture(picture, 'pixels' if small else 'photograph', alt, round(width * scale), round(height * scale))


def boxed(
    pixels: np.ndarray,
    boxes: np.ndarray,
    labels: Sequence[str],
    colors: Sequence[str],
    alt: str,
    *,
    dashed: Sequence[bool] | None = None,
    side: int = 232,
) -> str:
    """A picture with boxes on it, of about `side` pixels on the page; see `drawing.draw`.

    It is stored twice as large as it is shown, or as large as it is, so that lines and words are sharp everywhere.
    """
    from PIL import Image

    longest = max(pixels.shape[:2])
    scale = max(2 * side // longest, 1)
    if longest > 2 * side:
        whole = Image.fromarray(pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., 0])
        whole.thumbnail((2 * side, 2 * side))
        pixels = np.asarray(whole).reshape(whole.height, whole.width, -1)
    density = scale * max(pixels.shape[:2]) / side  # Stored pixels a pixel of the page.
    looks = {'line': max(round(2 * density), 1), 'text': round((11 if len(boxes) <= FEW else 8) * density)}
    drawn = drawing.draw(pixels, boxes, labels, colors, dashed=dashed, scale=scale, **looks)
    height, width = (round(length / density) for length in drawn.shape[:2])
    return _picture(Image.fromarray(drawn), 'drawing' if longest <= side else 'photograph', alt, width, height)


def _picture(picture, look: str, alt: str, width: int, height: int) -> str:
    """A picture as an element of the class `look`; only photographs lose anything."""
    buffer, lossy = io.BytesIO(), look == 'photograph'
    picture.save(buffer, 'JPEG' if lossy else 'PNG', **({'quality': 85} if lossy else {'optimize': True}))
    return (
        f'<img class="{look}" width="{width}" '
        f'height="{height}" alt="{html.escape(alt)}" '
        f'src="data:image/{"jpeg" if lossy else "png"};base64,{base64.b64encode(buffer.getvalue()).decode()}">'
    )


def figure(drawn, alt: str, caption: str) -> str:
    """A figure in its caption. As an image, not inline: it has its alt text, its own ids, and can be saved."""
    width, height = drawn.get_size_inches() * 96
    source = base64.b64encode(plots.svg(drawn).encode()).decode()
    return (
        f'<figure><img width="{width:.0f}" height="{height:.0f}" alt="{html.escape(alt)}" '
        f'src="data:image/svg+xml;base64,{source}"><figcaption>{html.escape(caption)}</figcaption></figure>'
    )


def table(head: Sequence[str], groups: Mapping[str, Sequence[tuple[str, str, Sequence[str]]]], kind: str = '') -> str:
    """A table in groups: title of the group -> rows of (colour, name, cells); the cells are HTML."""
    columns = ''.join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    body = ''
    for title, rows in groups.items():
        body += f'<tbody><tr><th class="group" colspan="{len(head)}" scope="colgroup">{html.escape(title)}</th></tr>'
        for color, name, cells in rows:
            body += f'<tr><th scope="row">{dot(color)}{html.escape(name)}</th>'
            body += ''.join(f'<td>{cell}</td>' for cell in cells) + '</tr>'
        body += '</tbody>'
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{columns}</tr></thead>{body}</table></div>'


def dot(color: str) -> str:
    return f'<span class="dot" style="background:{color}"></span>' if color else ''


def group(name: str, pieces: Sequence[str]) -> str:
    return f'<div class="{name}">{"".join(pieces)}</div>'


def ranking(title: str, items: Sequence[str]) -> str:
    """A numbered list under its title."""
    return (
        f'<div><h3>{html.escape(title)}</h3><ol>{"".join(f"<li>{html.escape(item)}</li>" for item in items)}</ol></div>'
    )
