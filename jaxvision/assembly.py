"""Settings -> what they stand for: the data, the splits, the task with its network, the optimizer and the plan."""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxvision import models, optim, rng
from jaxvision.data import resident, sources
from jaxvision.data.sources import Source
from jaxvision.data.splits import Splits, make_splits
from jaxvision.errors import UserError
from jaxvision.models import convolution, cost
from jaxvision.models.detector import Detector, Localizer
from jaxvision.models.layers import scaled
from jaxvision.settings import Settings
from jaxvision.tasks.classify import Classify
from jaxvision.tasks.detect import Detect
from jaxvision.tasks.distill import Distill
from jaxvision.tasks.localize import Localize
from jaxvision.tasks.task import Task, Variables
from jaxvision.tasks.views import Views
from jaxvision.training import loop, parallel, state
from jaxvision.training.evaluators.classification import Classification
from jaxvision.training.evaluators.detection import Detection
from jaxvision.training.evaluators.evaluator import Evaluator
from jaxvision.training.evaluators.localization import Localization
from jaxvision.training.programs import Programs, programs

SCANNED = 25  # Steps a call, at most.
CALLED = 4e9  # FLOPs, forwards, of a call on CPU: some tenth of a second on two cores.
COLORS = ('brightness', 'contrast', 'saturation', 'hue')
LOSS_WEIGHTS = ('class_weight', 'box_weight', 'objectness_weight')
EVALUATORS: dict[str, type] = {'classify': Classification, 'localize': Localization, 'detect': Detection}


@dataclass(frozen=True)
class Teacher:
    """A teacher: one network or several, trained, with what is known of them.

    Attributes:
      tasks: one a member.
      variables: one a member, on the host.
      record: of the same form as result.json, and where they lie (`workdir`) and their `hash`.
      test_outputs: the ensemble's on the test split.
    """

    tasks: tuple[Task, ...]
    variables: tuple[Variables, ...]
    record: dict[str, Any]
    test_outputs: Any


@dataclass(frozen=True)
class Run:
    """What settings stand for."""

    settings: Settings
    source: Source
    splits: Splits
    task: Task
    evaluator: Evaluator
    plan: loop.Plan
    parallel: parallel.Parallel

    @property
    def optimizer(self) -> optim.Optimizer:
        o = self.settings.optim
        return optim.Optimizer(
            o.name,
            decays=o.weight_decay > 0,
            decay=o.decay,
            decayed=o.decayed,
            rates=bool(o.head_lr or o.bias_lr),
            momentum=o.momentum,
            other_momentum=o.other_momentum,
            b2=o.b2,
            newton_schulz=o.newton_schulz,
            normalize=o.normalize,
            clip=o.clip,
            schedule=o.schedule,
            steps=self.plan.steps,
            warmup=o.warmup,
            milestones=o.milestones,
            factor=o.factor,
            averaging=o.ema,
        )

    @property
    def programs(self) -> Programs:
        return programs(self.task, self.optimizer, self.parallel, convolution.algorithm())

    def rank(self, record: dict[str, Any]) -> tuple[float, ...]:
        """How good a line of metrics.jsonl is on validation."""
        found = {name.removeprefix('validation_'): record[name] for name in record if name.startswith('validation_')}
        return self.evaluator.rank(found)

    def strengths(self) -> dict[str, Any]:
        """How strong each regulariser is: traced, so that one compiled step serves all values."""
        s = self.settings
        values = {
            'learning_rate': s.optim.lr,
            'head_rate': (s.optim.head_lr or s.optim.lr) / s.optim.lr,
            'bias_rate': (s.optim.bias_lr or s.optim.lr) / s.optim.lr,
            'weight_decay': s.optim.weight_decay,
            'dropout': s.model.dropout,
            **{name: getattr(s.augment, name) for name in ('rotate', 'scale', *COLORS, 'mosaic')},
            'mixup': s.augment.mixup,
            **{name: getattr(s.loss, name) for name in ('label_smoothing', *LOSS_WEIGHTS)},
            'distill_weight': s.distill.weight,
            'distill_temperature': s.distill.temperature,
        }
        return {name: np.float32(value) for name, value in values.items()}

    def context(self, teacher: Teacher | None = None) -> dict[str, Any]:
        """What steps only read, replicated."""
        return self.parallel.replicate(self._context(teacher))

    def _context(self, teacher: Teacher | None) -> dict[str, Any]:
        context: dict[str, Any] = {'data': resident.resident(self.source), 'strengths': self.strengths()}
        if teacher is not None:
            context['teachers'] = teacher.variables
        return context

    def initial(self) -> state.State:
        """The state before the first step, replicated."""
        return self.programs.create(*self.creation)

    def begin(self, steps: int, teacher: Teacher | None = None) -> state.State:
        """The state before the first step, while what trains so many steps a call is compiled, if it is not yet.

        XLA compiles beside Python, and at times on one core: so each program is traced and compiled beside the other.
        """
        if self.programs.compiled(steps):
            return self.initial()
        with concurrent.futures.ThreadPoolExecutor(1) as aside:
            initial = aside.submit(self.programs.create, *self.creation)
            self.programs.lower(steps, *self.described(teacher, steps)).compile()
        return initial.result()

    def like(self) -> state.State:
        """The shapes, types and places of such a state; no program of the run is compiled or called."""
        return self.programs.like(*self.creation)

    def described(self, teacher: Teacher | None = None, calls: int = 1) -> tuple[Any, Any, Any, Any]:
        """What a call of so many training steps takes, by shapes, types and places: state, context, ids, key."""
        ids = self.parallel.cut(np.zeros((calls, self.plan.batch_size), np.int32), axis=1)
        place = functools.partial(jax.ShapeDtypeStruct, sharding=self.parallel.replicated)
        read = (self._context(teacher), rng.base(self.settings.seed))
        context, key = jax.tree.map(lambda leaf: place(leaf.shape, leaf.dtype), read)
        return self.like(), context, ids if calls > 1 else ids[:, 0], key

    @functools.cached_property
    def creation(self) -> tuple[jax.Array, dict[str, Any], dict[str, Any]]:
        """What makes a state: key, strengths, constants."""
        train, model = self.splits.train, self.settings.model
        statistics = resident.pixel_statistics(self.source, train)
        constants = {**statistics, 'temperature': np.float32(model.temperature)}
        if 'whitens' in models.hyperparameters(model.name):
            constants['whitening'] = resident.whitening(self.source, train, statistics, model.whitens)
        return rng.key(self.settings.seed, 'init'), self.strengths(), constants


def load_data(data) -> tuple[Source, Splits]:
    """The dataset and its splits; data is `settings.data`."""
    source = _source(data)
    return source, _splits(source.fingerprint, data)


def _source(data) -> Source:
    return load_source(
        data.name,
        data_dir=data.data_dir,
        path=data.path,
        image_size=data.image_size,
        generated_shape=data.generated_shape,
        generated_classes=data.generated_classes,
        generated_examples=data.generated_examples,
        generated_most=data.generated_most,
    )


# A set is read once, however many ways it is cut.
load_source = functools.lru_cache(maxsize=2)(sources.load)


@functools.lru_cache(maxsize=64)
def _splits(fingerprint: str, data) -> Splits:
    del fingerprint  # Where the content is another, it is cut anew.
    return cut(_source(data), data)


def cut(source: Source, data) -> Splits:
    """Cuts a dataset as `settings.data` says."""
    return make_splits(
        source.labels,
        source.official,
        validation_fraction=data.validation_fraction,
        test_fraction=data.test_fraction,
        train_fraction=data.train_fraction,
        split_seed=data.split_seed,
        folds=data.folds,
        fold=data.fold,
    )


def check_read(settings: Settings, keys: Collection[str]) -> None:
    """Makes sure that this dataset has a use for each of these dotted keys, which the user has set.

    Raises:
      UserError: it has not.
    """
    for key in keys:
        why = unread(settings, key)
        if why:
            raise UserError(f'config.{key} is set, but {why}')


def unread(settings: Settings, key: str) -> str:
    """Why this dataset has no use for a dotted key, or ''; for what the settings alone tell see `settings.unread`."""
    source = _source(settings.data)
    given = () if settings.data.folds else source.official
    for split in ('validation', 'test'):
        if key == f'data.{split}_fraction' and split in given:
            return f'{source.name} has a {split} split of its own'
    if key == 'data.split_seed' and {'validation', 'test'} <= set(given) and settings.data.train_fraction == 1:
        return f'{source.name} has validation and test splits of its own, and all of the rest is used'
    colors = source.shape[-1]
    if key.removeprefix('teacher.') in ('augment.hue', 'augment.saturation') and colors != 3:
        return f'the images of {source.name} have no hue: their channels are {colors}'
    return ''


def build_task(settings: Settings, source: Source, train_size: int = 0) -> Task:
    """The task, with its network, that the settings describe.

    Args:
      settings: checked settings.
      source: the dataset.
      train_size: examples of an epoch; a task that is not trained does not need to know.

    Raises:
      UserError: the task wants objects, or at most one an image, and the dataset has none or more.
    """
    s, views = settings, augmentations(settings, train_size)
    values = dataclasses.asdict(s.model)
    if s.task == 'classify':
        if source.objects is not None:
            raise UserError(f'{source.name} has objects, not one label an image; set task to localize or detect')
        return Classify(
            model=models.build(num_classes=source.num_classes, **values),
            shape=source.shape,
            num_classes=source.num_classes,
            loss=s.loss.name,
            views=views,
            mixup=s.augment.mixup > 0,
            partners=s.augment.partners,
            smoothing=s.loss.label_smoothing > 0,
            test_time=s.augment.test_time,
            dropout=s.model.dropout > 0,
        )
    if source.objects is None:
        raise UserError(f'task is {s.task}, but {source.name} has no objects; set data.name to a set that has boxes')
    encoder = models.build(num_classes=0, **values)
    common = {
        'shape': source.shape,
        'num_classes': source.num_classes,
        'views': views,
        'dropout': s.model.dropout > 0,
        'box': s.loss.box,
    }
    network = {
        'levels': s.model.levels,
        'features': scaled(s.model.features, s.model.width),
        'norm': s.model.norm,
        'dtype': np.dtype(s.model.dtype),
    }
    if s.task == 'localize':
        counted = source.objects.valid & ~source.objects.ignored
        if counted.sum(axis=1).max() > 1:
            raise UserError(f'task is localize, but {source.name} has images with several objects; set task to detect')
        return Localize(model=Localizer(encoder, source.num_classes, **network), **common)
    return Detect(
        model=Detector(encoder, source.num_classes, convs=s.model.head_convs, **network),
        mosaic=s.augment.mosaic > 0,
        mixup=s.augment.mixup > 0,
        classification=s.loss.classification,
        **common,
        **dataclasses.asdict(s.detect),
    )


def augmentations(settings: Settings, train_size: int) -> Views:
    a = settings.augment
    return Views(
        mirror=a.mirror,
        alternate=train_size if a.mirror and a.alternate else 0,
        crop=a.crop,
        border=a.border,
        rotate=a.rotate > 0,
        scale=a.scale > 0,
        colors=tuple(name for name in COLORS if getattr(a, name) > 0),
    )


def assemble(settings: Settings, teacher: Teacher | None = None, *, devices=None, source: Source | None = None) -> Run:
    """Builds what the settings describe; nothing is computed yet.

    Args:
      settings: checked settings.
      teacher: whom the student imitates, or None.
      devices: to compute on, whatever the batch size, e.g. for evaluation; None for those that the settings ask for.
      source: the dataset; None for the one that the settings name.

    Raises:
      UserError: the dataset is not to be had, or the batch does not fit the split, the devices or the model.
    """
    source, splits = load_data(settings.data) if source is None else (source, cut(source, settings.data))
    s, train_size = settings, len(splits.train)
    batch_size = train_size if s.data.full_batch else s.data.batch_size
    if batch_size > train_size:
        raise UserError(
            f'data.batch_size is {batch_size}, but the train split has only {train_size} examples; '
            'lower it or set data.full_batch'
        )
    task = build_task(s, source, train_size)
    try:
        costs = cost_of(task)
    except ValueError as error:
        raise UserError(f'model {s.model.name} cannot take images of {source.shape}: {error}') from error
    if teacher is not None:
        _check_outputs(task, teacher, source.shape)
        task = Distill(task, teacher.tasks)
    steps = max(1, round(s.train.epochs * train_size / batch_size))
    # Once an epoch, but no more than a hundred times: an epoch of full-batch descent is a single step.
    every = s.train.eval_every or max(-(-train_size // batch_size), -(-steps // 100))
    plan = loop.Plan(
        steps=steps,
        batch_size=batch_size,
        seed=s.seed,
        eval_every=every,
        checkpoint_every=s.train.checkpoint_every or every,
        steps_per_call=_steps_per_call(batch_size * costs.flops, (task, *(teacher.tasks if teacher else ()))),
    )
    # The teacher does not count: under it the student computes where it does alone.
    pays = parallel.pays(batch_size * costs.flops, costs.parameters)
    devices = devices or parallel.pick_devices(s.devices, batch_size, pays)
    evaluator = EVALUATORS[s.task](source)
    return Run(settings, source, splits, task, evaluator, plan, parallel.Parallel(s.parallel, devices))


def _steps_per_call(flops: float, networks: Sequence[Task]) -> int:
    """How many steps one call runs, as a scan: on CPU those of about a tenth of a second, and one of a convolution.

    There the scan of a perceptron takes 0.8 of the time of calls one by one, and a convolution within a scan is an
    order of magnitude slower than outside.

    Args:
      flops: of a step, forwards.
      networks: that it runs.
    """
    if jax.default_backend() != 'cpu':
        return SCANNED
    if any(cost_of(network).convolves for network in networks):
        return 1
    return int(min(SCANNED, max(1, CALLED // flops)))


@functools.lru_cache(maxsize=64)
def cost_of(task: Task) -> cost.Cost:
    """What a task's network costs, for one image."""
    return cost.of(task.init)


def _check_outputs(task: Task, teacher: Teacher, shape: tuple[int, ...]) -> None:
    """Makes sure that a student can imitate its teacher, output by output."""

    def shapes(one: Task):
        variables = jax.eval_shape(one.init, jax.random.key(0))
        constants = {'mean': np.zeros(shape[-1]), 'std': np.ones(shape[-1]), 'temperature': np.ones(())}
        images = jax.ShapeDtypeStruct((1, *shape), np.float32)
        out = jax.eval_shape(lambda v, x: one.forward({**v, 'constants': constants}, x, None)[0], variables, images)
        return [leaf.shape[1:] for leaf in jax.tree.leaves(out)]

    for member in teacher.tasks:
        if shapes(member) != shapes(task):
            raise UserError(
                f'the teacher puts out arrays of {shapes(member)}, the student of {shapes(task)}: give both the same '
                'task, and in detection the same model.levels and encoder strides'
            )
