"""The architecture: imports only go down, nothing goes round, and what is slow or heavy stays where it belongs."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLOORS = (
    ('errors', 'rng', 'boxes', 'interpreters'),
    ('losses', 'metrics', 'augment'),
    ('data', 'models', 'optim'),
    ('tasks',),
    ('training',),
    (
        'settings',
        'assembly',
        'runs',
        'teachers',
        'summary',
        'memory',
        'beforehand',
        'preparing',
        'meanwhile',
        'experiment',
        'predictions',
    ),
    ('sweeps',),
    ('benchmarks',),
)
# What low floors import inside a function, where it is called for; test_losses_are_light looks that it stays there.
LAZY = {'jaxvision.metrics.average_precision': {'faster_coco_eval'}, 'jaxvision.augment.color': {'dm_pix'}}
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = {
    '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__'): path
    for path in sorted((ROOT / 'jaxvision').rglob('*.py'))
}


def imports(path: pathlib.Path) -> set[str]:
    """Everything that a file imports, lazily or not, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import'
            for alias in node.names:
                dotted = f'{node.module}.{alias.name}'
                found.add(dotted if dotted in MODULES else str(node.module))
    return found


def room(module: str) -> str | None:
    return module.split('.')[1] if module.startswith('jaxvision.') else None


def test_every_module_has_a_floor():
    assert {room(module) for module in MODULES} - {None} <= FLOOR.keys()


@pytest.mark.parametrize('module', MODULES)
def test_imports_go_down(module):
    for target in imports(MODULES[module]):
        if room(target) and room(module):
            assert FLOOR[room(target)] <= FLOOR[room(module)], f'{module} imports {target}, which is above it'


def test_no_circles():
    graph = {module: {target for target in imports(path) if target in MODULES} for module, path in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]):
        assert module not in trail, f'circle: {" -> ".join((*trail, module))}'
        if module not in done:
            for target in graph[module]:
                # A package's __init__ gathers its modules; importing the package from them would be the circle.
                visit(target, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize('module', [m for m in MODULES if room(m) and FLOOR[room(m)] <= 1])
def test_low_floors_need_little(module):
    outside = {target.split('.')[0] for target in imports(MODULES[module])} - set(sys.stdlib_module_names)
    assert outside <= {'jax', 'numpy', 'optax', 'jaxvision'} | LAZY.get(module, set())


@pytest.mark.parametrize(
    ('names', 'allowed'),
    [
        (('orbax',), {'jaxvision.training.checkpoints'}),
        (('tensorflow_datasets', 'grain', 'cv2'), {m for m in MODULES if room(m) == 'data'}),
        (('sklearn',), {m for m in MODULES if room(m) == 'data'} | {'jaxvision.sweeps.references'}),
        (
            ('matplotlib',),
            {m for m in MODULES if m.startswith(('jaxvision.training.reports', 'jaxvision.sweeps.reports'))}
            | {'jaxvision.benchmarks.growth'},
        ),
        (('ml_collections',), {'jaxvision.settings'}),
        (('tensorflow', 'clu', 'absl'), set()),
    ],
)
def test_heavy_packages_stay_in_their_rooms(names, allowed):
    users = {m for m, path in MODULES.items() if any(t.split('.')[0] in names for t in imports(path))}
    assert users <= allowed


def test_only_parallel_maps_over_devices():
    for module, path in MODULES.items():
        words = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        if module != 'jaxvision.training.parallel':
            assert not words & {'pmap', 'shard_map'}, module


def run(code: str) -> str:
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_losses_are_light():
    loaded = run('import sys, jaxvision.losses, jaxvision.metrics, jaxvision.augment; print(*sys.modules)').split()
    assert 'jaxvision.losses.distillation' in loaded
    heavy = {'tensorflow_datasets', 'orbax', 'matplotlib', 'tensorflow', 'sklearn', 'cv2', 'flax'}
    assert not (heavy | {'faster_coco_eval', 'dm_pix'}) & set(loaded)


def test_help_is_quick_and_loads_no_jax():
    code = (
        'import sys, runpy; sys.path.insert(0, "launch"); sys.argv = ["launch/train.py", "--help"]\n'
        'try: runpy.run_path("launch/train.py", run_name="__main__")\n'
        'except SystemExit: pass\n'
        'print("loaded", *sys.modules)'
    )
    printed = run(code)
    assert '--config' in printed
    assert not {'jax', 'flax', 'numpy', 'tensorflow'} & set(printed.split('loaded ')[-1].split())


def test_a_set_is_being_prepared_before_jax_is_loaded(tmp_path):
    code = (
        'import sys, runpy; sys.path.insert(0, "launch")\n'
        'from jaxvision import preparing\n'
        'preparing.begin = lambda data: print("begun", data.name, "jax" in sys.modules) or sys.exit()\n'
        f'sys.argv = ["launch/train.py", "--config=configs/classify.py", "--workdir={tmp_path}"]\n'
        'runpy.run_path("launch/train.py", run_name="__main__")'
    )
    assert run(code) == 'begun uci_digits False\n'
