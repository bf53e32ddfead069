"""What is wrong with annotations: collected while reading, counted by kind and named by file.

So nothing is dropped silently.
"""

import contextlib
import hashlib
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from jaxvision.data.cache import cache_dir

# What can be wrong -> what is then done.
KINDS = {
    'malformed XML': 'the image is skipped',
    'malformed JSON': 'the file is skipped',
    'malformed image entry': 'the image is skipped',
    'file not looked at': 'the file is skipped',
    'missing annotation': 'what has none is skipped',
    'missing image': 'the image is skipped',
    'unreadable image': 'the image is skipped',
    'image in no split': 'the image is skipped',
    'image in several splits': 'the image is kept in one of them only',
    'image listed twice': 'the image is kept once',
    'images of one stem': 'the first of them is used',
    'split without labels': 'the split is skipped',
    'split without objects': 'the split is skipped',
    'other size than the file': 'the file is trusted',
    'categories of one name': 'they are taken as one class',
    'malformed object': 'the object is ignored',
    'object of an unknown image': 'the object is skipped',
    'unknown class': 'the object is ignored',
    'box not finite': 'the object is ignored',
    'box inverted': 'the object is ignored',
    'box without area': 'the object is ignored',
    'box outside the image': 'the object is ignored',
    'box partly outside the image': 'the box is clipped',
}
NAMED = 20  # So many problems are named in a summary.
ROUNDING = 1e-5  # In shares of the image: a box that reaches less far beyond the edge has only been rounded.


@dataclass
class Problems:
    """A list of (kind, file, detail); kinds are those of `KINDS`."""

    found: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, kind: str, file: object, detail: str = '') -> None:
        assert kind in KINDS, kind
        self.found.append((kind, str(file), ' '.join(detail.split())))

    def summary(self, full_text: str = '') -> str:
        """A line a kind with its count, then the first 20 by file; empty if there are no problems.

        Args:
          full_text: the file where the others can be read, if there is one.
        """
        lines = self._counts() + self._named()[:NAMED]
        if len(self.found) > NAMED:
            lines.append(f'  ... and {len(self.found) - NAMED} more' + (f', in {full_text}' if full_text else ''))
        return '\n'.join(lines)

    def text(self) -> str:
        """All of them, a line each, after the counts."""
        return '\n'.join(self._counts() + self._named())

    def _counts(self) -> list[str]:
        counts = Counter(kind for kind, _, _ in self.found)
        return [f'{count} x {kind}: {KINDS[kind]}' for kind, count in counts.most_common()]

    def _named(self) -> list[str]:
        return [f'  {file}: {kind}' + (f': {detail}' if detail else '') for kind, file, detail in self.found]


def tell(name: str, problems: Problems) -> None:
    """The summary on stderr; what it does not name can be read in a file of the cache that it does name.

    Args:
      name: of the dataset, in words.
      problems: those that it has.
    """
    if not problems.found:
        return
    file = ''
    if len(problems.found) > NAMED:
        text = problems.text() + '\n'
        target = cache_dir() / 'problems' / f'{hashlib.sha256(text.encode()).hexdigest()[:16]}.txt'
        with contextlib.suppress(OSError):  # A cache that cannot be written is no reason not to train.
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
            file = str(target)
    print(f'{name}: the annotations have problems\n{problems.summary(file)}', file=sys.stderr)


def usable_box(box: Sequence[float], problems: Problems, file: object, what: str) -> tuple[float, ...] | None:
    """The box as far as it lies in the image, or None if nothing of it is usable; either is reported.

    Args:
      box: [ymin, xmin, ymax, xmax] in shares of the image.
      problems: where the report goes.
      file: whom to name in it.
      what: the object, in words.
    """
    ymin, xmin, ymax, xmax = box
    told = f'{what}, [ymin, xmin, ymax, xmax] = [{", ".join(f"{side:.4g}" for side in box)}] of the image'
    if not all(math.isfinite(side) for side in box):
        problems.add('box not finite', file, told)
    elif ymax < ymin or xmax < xmin:
        problems.add('box inverted', file, told)
    elif ymax == ymin or xmax == xmin:
        problems.add('box without area', file, told)
    elif ymin >= 1 or xmin >= 1 or ymax <= 0 or xmax <= 0:
        problems.add('box outside the image', file, told)
    else:
        if min(box) < -ROUNDING or max(box) > 1 + ROUNDING:
            problems.add('box partly outside the image', file, told)
        return tuple(min(max(side, 0.0), 1.0) for side in box)
    return None
