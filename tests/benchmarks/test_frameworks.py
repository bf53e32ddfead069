"""Ours against PyTorch's, with a stand-in for its interpreter that answers as benchmarks/pytorch.py does."""

import json
import pathlib
import sys
import types

import pytest

from jaxvision import assembly, settings
from jaxvision.benchmarks import frameworks, record, turns
from jaxvision.benchmarks.cases import LARGE, MODELS, settings_of

WEIGHTS = 784 * 512 + 512 * 512 + 512 * 10  # Of the perceptron 784-512-512-10.
PARAMETERS = WEIGHTS + 512 + 512 + 10
STAND_IN = """
import sys
print('0.0', {parameters}, flush=True)
for line in sys.stdin:
    print({{'eager': 50.0, 'compiled': 40.0, 'product': 1e6}}[line.split()[0]], flush=True)
"""


@pytest.fixture
def interpreter(stand_in):
    return lambda parameters=PARAMETERS: stand_in(STAND_IN, parameters=parameters)


def run(launch, python: str, output, *flags: str):
    common = ('--of=frameworks', '--models=mlp', '--repeats=2', '--seconds=0.01', f'--output={output}')
    return launch('benchmark.py', f'--pytorch={python}', *common, *flags)


def test_rows_and_table(launch, interpreter, tmp_path):
    output = tmp_path / 'benchmarks.json'
    done = run(launch, interpreter(), output)
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    (row,) = found['rows']
    assert (row['model'], row['theirs'], row['theirs_ms']) == ('mlp', 'compiled', 40.0)
    assert row['ratio'] == pytest.approx(row['ours_ms'] / 40.0)
    assert row['spread'][0] <= row['ratio'] <= row['spread'][1]
    # Forwards and for the kernels' gradients every weight costs a multiply-add an image; for the inputs', all but those
    # of the first layer do.
    assert 1e9 * row['gflop'] == 2 * 128 * (3 * WEIGHTS - 784 * 512)
    assert row['percent_of_peak'] == pytest.approx(100 * row['gflop'] / (1e-3 * row['ours_ms'] * row['peak_gflops']))
    assert found['environment'][row['device']]['versions']['torch'] == '0.0'
    assert record.table(found) in done.stdout


@pytest.mark.parametrize(('path', 'models'), [('benchmarks.json', MODELS), ('results/frameworks-h100.json', LARGE)])
def test_the_readme_has_the_table(path, models):
    """As the command prints it, of the file that it has written."""
    root = pathlib.Path(__file__).resolve().parents[2]
    found = json.loads((root / path).read_text())
    assert {row['model'] for row in found['rows']} == set(models)
    assert record.table(found) in (root / 'README.md').read_text()


def test_another_network_is_told(launch, interpreter, tmp_path):
    done = run(launch, interpreter(7), tmp_path / 'benchmarks.json')
    assert done.returncode == 2 and done.stderr.count('\n') == 1
    assert 'mlp has 669,706 parameters here, 7 there' in done.stderr


@pytest.mark.parametrize(
    ('flags', 'words'),
    [
        (['--pytorch='], '--pytorch is missing'),
        (['--models=lenet'], '--models=lenet is unknown; there are mlp, vit'),
        (['--pytorch=/nowhere/python'], '/nowhere/python cannot be run: No such file'),
        ([f'--pytorch={sys.executable}'], "No module named 'torch'"),
        (['--pytorch=/bin/echo'], 'not 2 figures'),
    ],
)
def test_mistakes_are_told(launch, interpreter, tmp_path, flags, words):
    done = run(launch, interpreter(), tmp_path / 'benchmarks.json', *flags)
    assert done.returncode == 2, done.stdout
    assert done.stderr.count('\n') == 1 and words in done.stderr
    assert not (tmp_path / 'benchmarks.json').exists()


def test_of_a_large_model_the_step_alone_is_compared(interpreter, monkeypatch):
    monkeypatch.setitem(LARGE, 'mlp', MODELS['mlp'])
    monkeypatch.setattr(frameworks.Ours, 'milliseconds', None)
    row = frameworks.compare('mlp', interpreter(), repeats=1, seconds=0.01)
    assert row['ratio'] == row['ours_ms'] / 40.0 and row['dtype'] == 'float32'


def test_turns_leave_the_others_out(monkeypatch):
    """What the others take is no time of ours, and neither is the first turn, nor what comes after the last."""
    now = [0.0]

    def passes(seconds):
        now[0] += seconds

    monkeypatch.setattr(turns, 'time', types.SimpleNamespace(perf_counter=lambda: now[0]))
    cut = turns.Turns(4, 3, lambda: passes(100.0))
    for call in range(2 * 5):  # Of two steps each.
        cut.before()
        passes(7.0 if call < 2 else float(call))
        cut.after(2, None)
    assert cut.milliseconds == [1e3 * (2 + 3) / 4, 1e3 * (4 + 5) / 4, 1e3 * (6 + 7) / 4]
    assert now[0] == 3 * 100 + 2 * 7 + sum(range(2, 10))


def test_a_large_model_takes_turns():
    ours, others = frameworks.Bare(settings_of('mlp')), []
    found = ours.turns(2, 3, lambda: others.append(int(ours._state.step)))
    assert min(found) > 0 and others == [0, 2, 4]


def test_a_turn_of_a_run_ends_with_a_call(monkeypatch):
    """Where the loop takes 4 steps at once, one of 5 is one of 8."""
    monkeypatch.setattr(assembly, 'SCANNED', 4)
    monkeypatch.setattr(assembly, 'CALLED', 1e12)
    ours = frameworks.Ours(settings_of('mlp'))
    counted, after = [], turns.Turns.after
    monkeypatch.setattr(
        turns.Turns, 'after', lambda self, steps, given: (counted.append(steps), after(self, steps, given))
    )
    assert len(ours.turns(5, 2, lambda: counted.append('others'))) == 2
    assert counted == [4, 4, 'others', 4, 4, 'others', 4, 4, 4]


def test_a_bare_step_trains():
    ours = frameworks.Bare(settings_of('mlp'))
    assert ours.parameters == PARAMETERS and ours.milliseconds(3) > 0 and ours.milliseconds(2) > 0
    assert int(ours._state.step) == 5


@pytest.mark.parametrize('side', [frameworks.Ours, frameworks.Bare])
def test_a_step_is_compiled_as_it_runs_and_its_flops_are_those_asked_for(side, monkeypatch):
    """With what keeps an array in memory on CPU, which FLOPs are counted without."""
    small = settings.override(settings_of('cnn'), {'model.filters': (4, 4), 'data.batch_size': 8})
    ours = side(small)
    assert ' while(' in ours.compiled.as_text()
    monkeypatch.setenv('JAXVISION_CONVOLUTION', 'xla')
    plainly = side(small)
    assert ' while(' not in plainly.compiled.as_text() and plainly.flops == ours.flops


@pytest.mark.parametrize('model', [*MODELS, *LARGE])
def test_models_are_read_whole(model):
    assert settings_of(model).data.generated_examples > settings_of(model).data.batch_size


def test_rows_are_replaced_by_model_and_device(tmp_path):
    path = tmp_path / 'benchmarks.json'
    rows = [{'model': 'mlp', 'device': 'cpu', 'ratio': 1.0}, {'model': 'cnn', 'device': 'cpu', 'ratio': 2.0}]
    record.update(path, rows, {'cores': 2})
    record.update(path, [{'model': 'mlp', 'device': 'gpu', 'ratio': 3.0}], {'cores': 16})
    found = record.update(path, [{'model': 'mlp', 'device': 'cpu', 'ratio': 4.0}], {'cores': 4})
    assert [(row['model'], row['device'], row['ratio']) for row in found['rows']] == [
        ('cnn', 'cpu', 2.0),
        ('mlp', 'cpu', 4.0),
        ('mlp', 'gpu', 3.0),
    ]
    assert found['environment'] == {'cpu': {'cores': 4}, 'gpu': {'cores': 16}}
    assert json.loads(path.read_text()) == found
