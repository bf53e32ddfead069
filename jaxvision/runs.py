"""One run: settings -> the data, the splits, the task and its optimizer -> a trained and evaluated workdir."""

import dataclasses
import functools
import hashlib
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxvision import models, optim, rng
from jaxvision.data import order, resident, sources
from jaxvision.data.sources import Source
from jaxvision.data.splits import Splits, make_splits
from jaxvision.errors import UserError
from jaxvision.models.detector import Detector, Localizer
from jaxvision.models.layers import scaled
from jaxvision.settings import Settings, from_dict
from jaxvision.tasks.classify import Classify
from jaxvision.tasks.detect import Detect
from jaxvision.tasks.distill import Distill
from jaxvision.tasks.localize import Localize
from jaxvision.tasks.task import Task, Variables
from jaxvision.tasks.views import Views
from jaxvision.training import environment, evaluation, loop, parallel, state, step
from jaxvision.training.checkpoints import Checkpoints, best_step
from jaxvision.training.evaluators.classification import Classification
from jaxvision.training.evaluators.detection import Detection
from jaxvision.training.evaluators.evaluator import Evaluator
from jaxvision.training.evaluators.localization import Localization
from jaxvision.training.programs import Programs, programs
from jaxvision.training.records import Workdir

PATIENCE = 60.0  # Seconds that a trial trains before its states are written.
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
            momentum=o.momentum,
            b2=o.b2,
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
        return programs(self.task, self.optimizer, self.parallel)

    def rank(self, record: dict[str, Any]) -> tuple[float, ...]:
        """How good a line of metrics.jsonl is on validation."""
        found = {name.removeprefix('validation_'): record[name] for name in record if name.startswith('validation_')}
        return self.evaluator.rank(found)

    def strengths(self) -> dict[str, Any]:
        """How strong each regulariser is: traced, so that one compiled step serves all values."""
        s = self.settings
        values = {
            'learning_rate': s.optim.lr,
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
        context: dict[str, Any] = {'data': resident.resident(self.source), 'strengths': self.strengths()}
        if teacher is not None:
            context['teachers'] = teacher.variables
        return self.parallel.replicate(context)

    def initial(self) -> state.State:
        """The state before the first step, replicated."""
        return self.programs.create(*self.creation())

    def like(self) -> state.State:
        """The shapes, types and places of such a state; nothing is compiled or computed."""
        return self.programs.like(*self.creation())

    def creation(self) -> tuple[jax.Array, dict[str, Any], dict[str, Any]]:
        """What makes a state: key, strengths, constants."""
        constants = {
            **resident.pixel_statistics(self.source, self.splits.train),
            'temperature': np.float32(self.settings.model.temperature),
        }
        return rng.key(self.settings.seed, 'init'), self.strengths(), constants


@functools.lru_cache(maxsize=2)
def load_data(data) -> tuple[Source, Splits]:
    """The dataset and its splits; data is `settings.data`."""
    source = sources.load(
        data.name,
        data_dir=data.data_dir,
        path=data.path,
        image_size=data.image_size,
        generated_shape=data.generated_shape,
        generated_classes=data.generated_classes,
        generated_examples=data.generated_examples,
        generated_most=data.generated_most,
    )
    splits = make_splits(
        source.labels,
        source.official,
        validation_fraction=data.validation_fraction,
        test_fraction=data.test_fraction,
        train_fraction=data.train_fraction,
        split_seed=data.split_seed,
        folds=data.folds,
        fold=data.fold,
    )
    return source, splits


def build_task(settings: Settings, source: Source) -> Task:
    """The task, with its network, that the settings describe.

    Raises:
      UserError: the task wants objects, or at most one an image, and the dataset has none or more.
    """
    s, views = settings, augmentations(settings)
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


def augmentations(settings: Settings) -> Views:
    a = settings.augment
    return Views(a.mirror, a.crop, a.rotate > 0, a.scale > 0, tuple(name for name in COLORS if getattr(a, name) > 0))


def assemble(settings: Settings, teacher: Teacher | None = None, *, devices=None) -> Run:
    """Builds what the settings describe; nothing is computed yet.

    Args:
      settings: checked settings.
      teacher: whom the student imitates, or None.
      devices: to compute on, whatever the batch size, e.g. for evaluation; None for those that the settings ask for.

    Raises:
      UserError: the dataset is not to be had, or the batch does not fit the split, the devices or the model.
    """
    source, splits = load_data(settings.data)
    s, train_size = settings, len(splits.train)
    batch_size = train_size if s.data.full_batch else s.data.batch_size
    if batch_size > train_size:
        raise UserError(
            f'data.batch_size is {batch_size}, but the train split has only {train_size} examples; '
            'lower it or set data.full_batch'
        )
    task = build_task(s, source)
    try:
        jax.eval_shape(task.init, jax.random.key(0))
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
        steps_per_call=1 if jax.default_backend() == 'cpu' else 25,  # A scan is slow on CPU: see the design.
    )
    devices = devices or parallel.pick_devices(s.devices, batch_size)
    evaluator = EVALUATORS[s.task](source)
    return Run(settings, source, splits, task, evaluator, plan, parallel.Parallel(s.parallel, devices))


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


def train(
    run: Run,
    workdir: Workdir,
    *,
    teacher: Teacher | None = None,
    alone: Workdir | None = None,
    label: str = 'training',
    stream=None,
    trial: bool = False,
) -> dict[str, Any]:
    """Trains one run to the end, from wherever it was, and writes its records.

    Args:
      run: from `assemble`, with the same teacher.
      workdir: where; if it is complete already, its result is returned.
      teacher: whom to imitate, or None.
      alone: the finished workdir of the same student without its teacher, to be compared with.
      label, stream: of the progress.
      trial: of a sweep: config, environment, metrics and result are its record, and checkpoints if it is long.

    Returns:
      result.json.
    """
    begin(run, workdir, teacher)
    if workdir.complete:
        return workdir.read('result.json')
    context = run.context(teacher)
    batch = evaluation.batch_size(run.source.shape)
    glanced = glance(run.splits)

    def collect(now: state.State, ids: np.ndarray):
        return evaluation.collect(run.programs.predict, (now.variables,), context, ids, run.parallel, batch)

    def evaluate(now: state.State) -> dict[str, float]:
        return watch(run, {name: (ids, collect(now, ids)) for name, ids in glanced.items()})

    with Checkpoints(workdir, run.rank, PATIENCE if trial else 0.0) as checkpoints:
        last, seconds = loop.run(
            run.plan,
            ids=run.splits.train,
            state=run.initial(),
            context=context,
            key=run.parallel.replicate(rng.base(run.settings.seed)),
            parallel=run.parallel,
            programs=run.programs,
            evaluate=evaluate,
            workdir=workdir,
            checkpoints=checkpoints,
            headline=run.evaluator.headline,
            label=label,
            stream=stream,
            events=not trial,
        )
        records = workdir.metrics()
        chosen = best_step(records, run.rank)
        best = last if chosen == run.plan.steps else checkpoints.restore(chosen, last)[0]

    outputs = {name: collect(last, ids) for name, ids in run.splits.items()}
    best_outputs = outputs
    if best is not last:
        best_outputs = {name: collect(best, ids) for name, ids in run.splits.items()}
    rate = float(np.median([record['examples_per_second'] for record in records]))
    result = results(run, last.params, last.variables, (seconds, rate), outputs, chosen, best_outputs)
    others = {}
    if teacher is not None:
        result['teacher'] = teacher.record
        if isinstance(teacher.test_outputs, np.ndarray):
            others['teacher_test_logits'] = teacher.test_outputs
    if alone is not None:
        result['alone'] = alone.read('result.json')
        if isinstance(outputs['test'], np.ndarray):
            others['alone_test_logits'] = np.load(alone / 'predictions.npz')['test_logits']
    if not trial:
        workdir.write_arrays('predictions.npz', **run.evaluator.records(outputs, run.splits), **others)
        workdir.write_arrays('samples.npz', **samples(run, context))
    workdir.write('result.json', result)
    return result


def begin(run: Run, workdir: Workdir, teacher: Teacher | None) -> None:
    """Makes the workdir this run's own.

    Raises:
      UserError: it belongs to another config, or data or teacher are not what they were.
    """
    workdir.claim(dataclasses.asdict(run.settings))
    _record_environment(run, workdir, teacher)


def glance(splits: Splits) -> dict[str, np.ndarray]:
    """The examples that the curves come from: validation, and as many of train, where it has more."""
    train = splits.train
    if len(train) > len(splits.validation):
        train = rng.generator(0, 'split', 4).permutation(train)[: len(splits.validation)]
    return {'train': train, 'validation': splits.validation}


def watch(run: Run, found: dict[str, tuple[np.ndarray, Any]]) -> dict[str, float]:
    """A point of the curves, {'train_NAME', 'validation_NAME'}, from split -> (ids, outputs)."""
    return {
        f'{split}_{name}': value
        for split, (ids, outputs) in found.items()
        for name, value in run.evaluator.watch(outputs, ids).items()
    }


def results(
    run: Run,
    params,
    variables: Variables,
    speed: tuple[float, float],
    outputs: dict[str, Any],
    chosen: int,
    best_outputs: dict[str, Any],
) -> dict[str, Any]:
    """What result.json says of a trained network by itself.

    Args:
      run: whose it is.
      params: of the last step.
      variables: that are evaluated, of the last step.
      speed: seconds spent training, examples a second.
      outputs: on all splits, of the last step.
      chosen: the step that is best on validation.
      best_outputs: of that step; the very same object as `outputs` where it is the last one.
    """
    found = conclude(run, outputs)
    splits = found['splits'] if best_outputs is outputs else summaries(run, best_outputs)
    return {
        'task': run.settings.task,
        'steps': run.plan.steps,
        'seconds': speed[0],
        'examples_per_second': speed[1],
        'parameters': parameter_count(params),
        'hash': fingerprint([jax.device_get(variables)]),
        **found,
        'best': {'step': chosen, 'splits': splits},
    }


def _record_environment(run: Run, workdir: Workdir, teacher: Teacher | None) -> None:
    """Writes environment.json; on a resume, checks first that data and teacher are what they were."""
    now = environment.describe(run.parallel.devices, run.source, run.splits)
    now['teacher'] = teacher.record['hash'] if teacher is not None else ''
    if (workdir / 'environment.json').exists():
        before = workdir.read('environment.json')
        same_data(workdir, run.source, run.splits)
        if before.get('teacher', '') != now['teacher']:
            raise UserError(f'workdir {workdir} was begun under another teacher; give this run another --workdir')
        if workdir.complete or before.items() >= now.items():
            return
        now['earlier'] = [*before.pop('earlier', []), before]  # What the sessions before this one ran on.
    workdir.write('environment.json', now)


def settings_of(workdir: Workdir) -> Settings:
    """The settings that a workdir records.

    Raises:
      UserError: there are none, or they are not of this version of the code.
    """
    tree = workdir.read('config.json')
    try:
        return from_dict(tree)
    except UserError as error:
        raise UserError(f'{workdir / "config.json"}: {error}') from error


def same_data(workdir: Workdir, source: Source, splits: Splits) -> None:
    """Makes sure that a workdir was trained on this data, held out in this way.

    Raises:
      UserError: on another dataset, or with other validation or test examples.
    """
    there = workdir.read('environment.json').get('dataset', {})
    if (there.get('fingerprint'), there.get('held_out')) != (source.fingerprint, splits.held_out):
        raise UserError(
            f'{workdir} was trained on other data or other splits, so it may have seen validation or test examples of '
            'this run; use the same data, data.split_seed, fractions and folds'
        )


def restore(run: Run, workdir: Workdir, at: str = 'last') -> state.State:
    """The state of a finished workdir, on the host.

    Args:
      run: from `assemble`, of the workdir's own settings.
      workdir: a complete one.
      at: `last` or `best` (on validation).
    """
    result = workdir.read('result.json')
    wanted = result['steps'] if at == 'last' else result['best']['step']
    if not (workdir / 'checkpoints').exists():
        raise UserError(f'{workdir} has no checkpoint of step {wanted}; a short trial of a sweep keeps none')
    with Checkpoints(workdir, run.rank) as checkpoints:
        if wanted not in checkpoints.steps:
            raise UserError(f'{workdir} has no checkpoint of step {wanted}')
        return jax.device_get(checkpoints.restore(wanted, run.like())[0])


def outputs(run: Run, *members: tuple[Task, Variables]) -> dict[str, Any]:
    """The outputs on every split of one network, or of several as an ensemble; their variables replicated."""
    tasks, variables = zip(*members, strict=True)
    context, predict = run.context(), run.parallel.predict(step.predict_step(*tasks))
    batch = evaluation.batch_size(run.source.shape)
    return {
        name: evaluation.collect(predict, variables, context, ids, run.parallel, batch)
        for name, ids in run.splits.items()
    }


def conclude(run: Run, outputs: dict[str, Any]) -> dict[str, Any]:
    """What follows from the outputs on all splits: the part of result.json that every kind of network has."""
    summary = summaries(run, outputs)
    return {
        'splits': summary,
        'gap': evaluation.gap(summary['train'], summary['test']),
        'verdict': evaluation.verdict(summary['train'], summary['test']),
        **run.evaluator.conclude(outputs, run.splits),
    }


def summaries(run: Run, outputs: dict[str, Any]) -> dict[str, Any]:
    return {name: run.evaluator.summarize(outputs[name], ids) for name, ids in run.splits.items()}


def fingerprint(members: list[Variables]) -> str:
    """A hash of every bit of some networks' variables, on the host."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(members):
        digest.update(np.ascontiguousarray(leaf).data)
    return digest.hexdigest()[:16]


def parameter_count(params) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def samples(run: Run, context, count: int = 16) -> dict[str, np.ndarray]:
    """Some training examples before and after augmentation and mixing, as the network saw them at step 0."""
    ids = order.batch_ids(run.splits.train, run.settings.seed, 0, min(run.plan.batch_size, len(run.splits.train)))
    task = run.task.task if isinstance(run.task, Distill) else run.task
    seen = jax.jit(task.examples, static_argnames='axis_name')(
        context, ids, rng.base(run.settings.seed), np.int32(0), axis_name=None
    )
    pixels = np.rint(np.clip(seen.images[:count], 0, 1) * 255).astype(np.uint8)
    arrays = {'originals': run.source.images[ids[:count]], 'seen': pixels}
    if run.source.objects is None:
        return {**arrays, 'targets': np.asarray(seen.targets[:count])}
    return {**arrays, **{name: np.asarray(value[:count]) for name, value in seen.targets._asdict().items()}}
