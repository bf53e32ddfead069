"""Says what is in images: python launch/predict.py --workdir=runs/detect photo.jpg folder_of_photos

One line of JSON an image goes to stdout and into predictions.jsonl, and the image with what was found is drawn beside
that; see jaxvision/predictions.py for what a line holds. An image that cannot be read is told on stderr, the others go
on, and the exit status is 1.
"""

import json
import os
import pathlib
import sys

from absl import flags

import command

WORKDIR = flags.DEFINE_string('workdir', '', 'A finished run.')
CHECKPOINT = flags.DEFINE_enum('checkpoint', 'last', ['last', 'best'], 'The last step, or the best on validation.')
OUTPUT = flags.DEFINE_string('output', '', 'Where predictions.jsonl and drawings go; WORKDIR/predictions if empty.')
MIN_SCORE = flags.DEFINE_float(
    'min_score', 0.3, "A detector's objects below this are left out.", lower_bound=0.0, upper_bound=1.0
)


def main(arguments: list[str]) -> None:
    if not WORKDIR.value:
        raise command.UserError('--workdir is missing; for example --workdir=runs/detect')
    if not arguments:
        raise command.UserError('no images; name image files, or folders of them')
    command.set_up()

    import itertools

    from PIL import Image

    from jaxvision import predictions
    from jaxvision.training import records

    output = pathlib.Path(os.path.expanduser(OUTPUT.value or os.path.join(WORKDIR.value, 'predictions')))
    files = predictions.files(arguments, output)
    network = predictions.load(WORKDIR.value, CHECKPOINT.value)
    unread = []

    def readable():
        for file in files:
            try:
                yield file, predictions.read(file)
            except command.UserError as error:
                print(error, file=sys.stderr)
                unread.append(file)

    # Two readers of one iterator: predict() takes a few images at once, which are drawn one by one.
    shown, seen = itertools.tee(readable())
    found = predictions.predict(network, (image for _, image in seen), MIN_SCORE.value)
    drawn: set[str] = set()
    with records.writing(output):
        output.mkdir(parents=True, exist_ok=True)
        with (output / 'predictions.jsonl').open('w') as lines:
            for (file, image), prediction in zip(shown, found, strict=True):
                line = json.dumps({'file': str(file), **prediction})
                lines.write(line + '\n')
                tell(line)
                drawing = predictions.draw(image, prediction, network.class_names)
                Image.fromarray(drawing).save(output / name(file, drawn))
    sys.exit(1 if unread else 0)


def name(file: pathlib.Path, taken: set[str]) -> str:
    """The name of a file's drawing: its own, with a number where another file's is called so."""
    names = (f'{file.stem}{suffix}.png' for suffix in ['', *(f'-{number}' for number in range(2, len(taken) + 3))])
    free = next(each for each in names if each.casefold() not in taken)  # Some disks do not tell A from a.
    taken.add(free.casefold())
    return free


def tell(line: str) -> None:
    """Prints a line at once; when nobody reads any more (`| head`), the files are still written to the end."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == '__main__':
    command.run(main, positional=True)
