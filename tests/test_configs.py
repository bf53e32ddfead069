"""Every config trains 2 steps, on generated data of its shape where its data is not embedded."""

import dataclasses
import importlib.util
import pathlib

import pytest

from jaxvision import experiment, runs, settings

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIGS = sorted(path for path in (ROOT / 'configs').glob('*.py'))
SHAPES = {'cifar10': ((32, 32, 3), 10), 'cifar100': ((32, 32, 3), 100), 'fashion_mnist': ((28, 28, 1), 10)}


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
        config.data.generated_examples = 3 * classes
    config.data.train_fraction = config.teacher.data.train_fraction = 1.0
    config.data.batch_size = config.teacher.data.batch_size = batch
    size = len(runs.load_data(settings.resolve(config).data)[1].train)
    config.train.epochs = config.teacher.train.epochs = 2 * batch / size
    config.train.eval_every = config.teacher.train.eval_every = 2
    return config


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_config_trains_two_steps(path, tmp_path):
    result = experiment.run(settings.resolve(shortened(load(path))), str(tmp_path / 'run'))
    assert result['steps'] == 2
    assert (tmp_path / 'run' / 'report.html').stat().st_size > 10_000
    for name in ('train', 'validation', 'test'):
        assert 0 <= result['splits'][name]['accuracy']['value'] <= 1
    if load(path).distill.weight:
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
