"""Every config trains 2 steps, on generated data of its shape where its data is not embedded."""

import dataclasses
import importlib.util
import pathlib

import pytest

from jaxvision import assembly, experiment, metrics, settings
from jaxvision.training import evaluation

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIGS = sorted(path for path in (ROOT / 'configs').glob('*.py'))
# Fewer classes and images than they have: each is evaluated by code that was not optimised.
SHAPES = {'cifar10': ((32, 32, 3), 10), 'cifar100': ((32, 32, 3), 20), 'fashion_mnist': ((28, 28, 1), 10)}
# The same of sets with objects, and the most of them in an image.
SCENES = {
    'digit_scenes/localization': ((64, 64, 1), 10, 1),
    'digit_scenes/detection': ((64, 64, 1), 10, 6),
    'voc_folder': ((64, 64, 3), 3, 6),
}
METRICS = {
    'classify': {'accuracy', 'error', 'top5_accuracy', 'nll', 'ece'},
    'localize': {'class_accuracy', 'mean_iou', 'objectness_accuracy', 'empty_accuracy', 'detection_accuracy', 'error'},
    'detect': {*metrics.COCO_FIGURES, 'voc_AP50', 'voc_AP50_11_point', 'error'},
}


def load(path: pathlib.Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config()


def shortened(config, batch: int = 4):
    """Two steps of a small batch, for student and teacher."""
    config.devices = 1
    name = config.data.name
    if name in SHAPES:
        shape, classes = SHAPES[name]
        config.data.name, config.data.generated_shape, config.data.generated_classes = 'generated', shape, classes
        config.data.generated_examples = 2 * classes
    elif name in SCENES:
        shape, classes, config.data.generated_most = SCENES[name]
        config.data.name, config.data.generated_shape, config.data.generated_classes = (
            'generated_objects',
            shape,
            classes,
        )
        config.data.image_size, config.data.generated_examples = 0, 40
    config.data.validation_fraction = max(config.data.validation_fraction, 0.1)
    config.data.train_fraction = config.teacher.data.train_fraction = 1.0
    config.data.batch_size = config.teacher.data.batch_size = batch
    size = len(assembly.load_data(settings.resolve(config).data)[1].train)
    config.teacher.members = 1
    if config.teacher.model.depth > 20:
        config.teacher.model.depth = 20  # A deeper one compiles for half a minute.
    config.train.epochs = config.teacher.train.epochs = 2 * batch / size
    config.train.eval_every = config.teacher.train.eval_every = 2
    return config


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_config_trains_two_steps(path, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, 'BATCH', 4)
    config = load(path)
    result = experiment.run(settings.resolve(shortened(config)), str(tmp_path / 'run'))
    assert result['steps'] == 2
    assert (tmp_path / 'run' / 'report.html').stat().st_size > 10_000
    for name in ('train', 'validation', 'test'):
        split = result['splits'][name]
        assert METRICS[config.task] <= split.keys()
        for metric in METRICS[config.task] - {'nll'}:
            # Of figures that no object counts for, COCO's tools say -1.
            assert 0 <= split[metric]['value'] <= 1 or (config.task == 'detect' and split[metric]['value'] == -1)
    if config.distill.weight:
        for other in ('teacher', 'alone'):
            assert result[other]['splits'].keys() == result['splits'].keys()
        assert 'student distilled' in experiment.table(result)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_configs_open_with_what_they_are_for(path):
    assert path.read_text().startswith('"""')


def test_a_config_survives_json(tmp_path):
    import json

    for path in CONFIGS:
        resolved = settings.resolve(load(path))
        assert settings.from_dict(json.loads(json.dumps(dataclasses.asdict(resolved)))) == resolved
