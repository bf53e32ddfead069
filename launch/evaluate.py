"""Evaluates a finished run: python launch/evaluate.py --workdir=runs/classify [--split=test]"""

from absl import flags

import command

WORKDIR = flags.DEFINE_string('workdir', '', 'A finished run.')
SPLIT = flags.DEFINE_enum('split', 'test', ['train', 'validation', 'test'], 'Which split to look at closely.')
CHECKPOINT = flags.DEFINE_enum('checkpoint', 'last', ['last', 'best'], 'The last step, or the best on validation.')
TEMPERATURE = flags.DEFINE_float('temperature', 1.0, 'Of the softmax, on top of the one the model was trained with.')
JSON = flags.DEFINE_bool('json', False, 'Print JSON instead of text.')


def main() -> None:
    if not WORKDIR.value:
        raise command.UserError('--workdir is missing; for example --workdir=runs/classify')
    if not TEMPERATURE.value > 0:
        raise command.UserError(f'--temperature is {TEMPERATURE.value}, but must be above 0')
    command.set_up()

    import json

    from jaxvision import experiment

    found = experiment.evaluate(WORKDIR.value, SPLIT.value, at=CHECKPOINT.value, temperature=TEMPERATURE.value)
    print(json.dumps(found, indent=1) if JSON.value else experiment.tell(found))


if __name__ == '__main__':
    command.run(main)
