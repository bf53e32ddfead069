"""Localiser and detector learn: from start to end, on rectangles whose colour is their class."""

import io

import jax

from jaxvision import assembly, runs
from jaxvision.settings import defaults, resolve
from jaxvision.training.records import Workdir

COMMON = {
    'data.name': 'generated_objects',
    'data.generated_shape': (32, 32, 3),
    'data.generated_classes': 3,
    'data.generated_examples': 300,
    'data.batch_size': 20,
    'devices': 1,
    'model.filters': (8, 16),
    'model.norm': 'batch',
    'model.features': 16,
    'augment.mirror': True,
    'optim.name': 'adamw',
    'optim.lr': 0.01,
}


def learn(values, tmp_path):
    """What is watched on test, before and after training, and the result."""
    config = defaults()
    config.update_from_flattened_dict({**COMMON, **values})
    run = assembly.assemble(resolve(config))
    before = runs.outputs(run, (run.task, run.initial().variables))['test']
    result = runs.train(run, Workdir(tmp_path), stream=io.StringIO())
    return run.evaluator.watch(jax.device_get(before), run.splits.test), result


def test_a_localiser_learns(tmp_path):
    task = {'task': 'localize', 'data.generated_most': 1, 'model.levels': 1, 'train.epochs': 10.0}
    before, result = learn(task, tmp_path)
    after = {name: result['splits']['test'][name]['value'] for name in before}
    for name in ('class_accuracy', 'mean_iou', 'detection_accuracy'):
        assert after[name] > before[name] + 0.3, name
    assert min(after['objectness_accuracy'], after['empty_accuracy']) > 0.9
    assert result['task'] == 'localize' and result['best']['step'] <= result['steps']


def test_a_detector_learns(tmp_path):
    task = {'task': 'detect', 'model.levels': 1, 'model.head_convs': 1, 'train.epochs': 10.0}
    before, result = learn(task, tmp_path)
    test = result['splits']['test']
    assert before['mAP50'] < 0.1 < 0.5 < test['mAP50']['value']
    assert test['mAP']['value'] > before['mAP'] + 0.2
    assert test['errors']['correct'] > test['errors']['missed']
