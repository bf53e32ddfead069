"""Settings: the one tree that configures an experiment, its defaults, and the checks on what a user writes in it.

A config file changes the defaults and returns an `ml_collections.ConfigDict`; `resolve` turns that, after the command
line's overrides, into the frozen dataclasses below, which is all that the rest of the code base knows.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import ml_collections

from jaxvision.errors import UserError

# What may be chosen by name. Spelt out here, since the modules that define it are slow to import and a config should
# not be; tests/test_settings.py holds the lists against the code.
CHOICES = {
    'task': ('classify', 'localize', 'detect'),
    'parallel': ('pmap', 'shard_map'),
    'model.name': ('linear', 'mlp', 'convnet', 'resnet', 'vit', 'airbench'),
    'model.norm': ('none', 'batch', 'layer', 'group'),
    'model.dtype': ('float32', 'bfloat16'),
    'model.activation': ('relu', 'gelu', 'silu', 'tanh', 'leaky_relu'),
    'model.pool': ('max', 'average', 'none'),
    'model.depth': (20, 32, 44, 56, 110, 18, 34, 50, 101, 152),
    'model.stem': ('3x3', '7x7'),
    'model.variant': ('', 'Ti', 'S', 'B'),
    'augment.partners': ('any', 'other_class'),
    'augment.border': ('fill', 'reflect'),
    'augment.test_time': ('none', 'mirror', 'mirror_shift'),
    'loss.name': ('cross_entropy', 'squared_error'),
    'loss.box': ('l1', 'smooth_l1', 'iou', 'giou', 'diou', 'ciou'),
    'loss.classification': ('bce', 'focal'),
    'detect.assigner': ('simota', 'task_aligned', 'center'),
    'optim.name': ('sgd', 'momentum', 'nesterov', 'adam', 'adamw', 'muon'),
    'optim.decay': ('decoupled', 'coupled'),
    'optim.decayed': ('kernels', 'all'),
    'optim.schedule': ('constant', 'cosine', 'step', 'linear'),
}

# Networks, and of sets of our own the most images a step, with which its arrays are small: of the default convnets, and
# of what configs/ has, they take up to 52 MiB a device.
PERCEPTRONS = ('linear', 'mlp')
SMALL = {'uci_digits': math.inf, 'digit_scenes/localization': 64, 'digit_scenes/detection': 64}

Check = tuple[Callable[[Any], bool], str]
POSITIVE: Check = (lambda v: v > 0, 'above 0')
SEED: Check = (lambda v: 0 <= v < 2**32, 'at least 0 and below 2**32')
NOT_NEGATIVE: Check = (lambda v: v >= 0, 'at least 0')
AT_LEAST_ONE: Check = (lambda v: v >= 1, 'at least 1')
SHARE: Check = (lambda v: 0 <= v <= 1, 'from 0 to 1')
BELOW_ONE: Check = (lambda v: 0 <= v < 1, 'at least 0 and below 1')
FRACTION: Check = (lambda v: 0 < v <= 1, 'above 0 and at most 1')
INNER: Check = (lambda v: 0 < v < 1, 'above 0 and below 1')
ALL_POSITIVE: Check = (lambda v: all(x > 0 for x in v), 'all above 0')
SHAPE: Check = (lambda v: len(v) == 3 and all(x > 0 for x in v), 'height, width and channels, all above 0')
ANGLE: Check = (lambda v: 0 <= v <= 180, 'from 0 to 180')
HALF: Check = (lambda v: 0 <= v <= 0.5, 'from 0 to 0.5')
ODD: Check = (lambda v: v > 0 and v % 2 == 1, 'odd and above 0')


def setting(default: Any, check: Check | None = None) -> Any:
    """A field with a default and a check of its value."""
    return field(default=default, metadata={'check': check})


@dataclass(frozen=True)
class TrainingData:
    """How much of the training split is used, and how much of it a step."""

    batch_size: int = setting(128, AT_LEAST_ONE)
    full_batch: bool = setting(False)  # Gradient descent proper: every step sees every training example.
    train_fraction: float = setting(1.0, FRACTION)  # Stratified; the rest stays unseen.


@dataclass(frozen=True)
class Data(TrainingData):
    """Which examples, and how they are split; see jaxvision.data."""

    name: str = setting('uci_digits')
    data_dir: str = setting('')  # Of prepared TFDS sets; empty for TFDS's own default.
    path: str = setting('')  # Of an image_folder, voc_folder or coco_folder.
    image_size: int = setting(0, NOT_NEGATIVE)  # Resize (with objects: letterbox) to this side; 0 keeps the images.
    validation_fraction: float = setting(0.1, INNER)  # Cut from train, where the set has no validation split.
    test_fraction: float = setting(0.2, INNER)  # The same for test.
    split_seed: int = setting(0, SEED)  # Moves the splits; `seed` does not.
    folds: int = setting(0, (lambda v: v == 0 or v >= 2, '0 (off) or at least 2'))
    fold: int = setting(0, NOT_NEGATIVE)
    generated_shape: tuple[int, ...] = setting((8, 8, 1), SHAPE)
    generated_classes: int = setting(10, (lambda v: v >= 2, 'at least 2'))
    generated_examples: int = setting(1000, AT_LEAST_ONE)
    generated_most: int = setting(3, AT_LEAST_ONE)  # Objects an image, of generated_objects.


@dataclass(frozen=True)
class Model:
    """The network; see jaxvision.models. Each model reads the fields that it has."""

    name: str = setting('convnet')
    width: float = setting(1.0, POSITIVE)  # Multiplies the number of neurons of every layer.
    norm: str = setting('none')  # A vit wants layer, a resnet batch.
    dropout: float = setting(0.0, BELOW_ONE)
    temperature: float = setting(1.0, POSITIVE)  # Of the softmax, in training and evaluation.
    dtype: str = setting('float32')  # Of the computation; the weights are float32.
    activation: str = setting('relu')  # mlp, convnet, airbench
    hidden: tuple[int, ...] = setting((128, 128), ALL_POSITIVE)  # mlp
    filters: tuple[int, ...] = setting((32, 64), ALL_POSITIVE)  # convnet, this and the next five; airbench
    convs: int = setting(1, AT_LEAST_ONE)
    kernel: int = setting(3, ODD)
    stride: int = setting(1, AT_LEAST_ONE)
    pool: str = setting('max')
    dense: tuple[int, ...] = setting((128,), ALL_POSITIVE)
    depth: int = setting(20)  # resnet
    stem: str = setting('3x3')  # resnet
    whitens: int = setting(2, AT_LEAST_ONE)  # airbench
    variant: str = setting('')  # vit, this and the next four
    patch: int = setting(4, AT_LEAST_ONE)
    embedding: int = setting(192, AT_LEAST_ONE)
    layers: int = setting(6, AT_LEAST_ONE)
    heads: int = setting(3, AT_LEAST_ONE)
    levels: int = setting(3, AT_LEAST_ONE)  # localize, detect: feature maps of the pyramid, this and the next two
    features: int = setting(64, AT_LEAST_ONE)  # Its channels, and the head's.
    head_convs: int = setting(2, AT_LEAST_ONE)  # detect


@dataclass(frozen=True)
class Augment:
    """What is done to the pixels of a training batch; see jaxvision.augment."""

    mirror: bool = setting(False)
    alternate: bool = setting(False)  # Mirror each image in every other epoch, not at random.
    crop: int = setting(0, NOT_NEGATIVE)  # Pixels.
    border: str = setting('fill')  # classify: what moves into view from outside of an image.
    rotate: float = setting(0.0, ANGLE)  # Degrees.
    scale: float = setting(0.0, NOT_NEGATIVE)  # Zoom by a factor between 1 / (1 + scale) and 1 + scale.
    brightness: float = setting(0.0, SHARE)  # This and the next three: jitter of the colours.
    contrast: float = setting(0.0, SHARE)
    saturation: float = setting(0.0, SHARE)
    hue: float = setting(0.0, HALF)
    mixup: float = setting(0.0, NOT_NEGATIVE)  # Beta's alpha.
    partners: str = setting('any')  # Of mixup, in classification.
    mosaic: float = setting(0.0, SHARE)  # detect: the share of images made of four.
    test_time: str = setting('none')  # classify: the views that are averaged in evaluation.


@dataclass(frozen=True)
class Loss:
    name: str = setting('cross_entropy')  # classify
    label_smoothing: float = setting(0.0, BELOW_ONE)  # classify, localize
    box: str = setting('giou')  # localize, detect; this and the next three
    class_weight: float = setting(1.0, NOT_NEGATIVE)
    box_weight: float = setting(5.0, NOT_NEGATIVE)
    objectness_weight: float = setting(1.0, NOT_NEGATIVE)
    classification: str = setting('bce')  # detect


@dataclass(frozen=True)
class Optim:
    """The optimizer; see jaxvision.optim."""

    name: str = setting('momentum')
    lr: float = setting(0.1, POSITIVE)  # The peak.
    head_lr: float = setting(0.0, NOT_NEGATIVE)  # classify: the peak of the head's kernel; 0 for lr.
    bias_lr: float = setting(0.0, NOT_NEGATIVE)  # The peak of biases and all else that is no kernel; 0 for lr.
    momentum: float = setting(0.9, BELOW_ONE)  # b1 of adam.
    other_momentum: float = setting(0.9, BELOW_ONE)  # muon, this and the next two: of what is no hidden kernel.
    newton_schulz: int = setting(5, AT_LEAST_ONE)  # Iterations that make a step orthogonal.
    normalize: bool = setting(False)  # Hidden kernels have the norm sqrt(outputs) before each step.
    b2: float = setting(0.999, BELOW_ONE)
    weight_decay: float = setting(0.0, NOT_NEGATIVE)
    decay: str = setting('decoupled')
    decayed: str = setting('kernels')  # What decays: kernels, or all.
    schedule: str = setting('cosine')
    warmup: float = setting(0.0, BELOW_ONE)  # Share of the steps.
    milestones: tuple[float, ...] = setting((0.5, 0.75), (lambda v: all(0 < x < 1 for x in v), 'all between 0 and 1'))
    factor: float = setting(0.1, POSITIVE)
    clip: float = setting(0.0, NOT_NEGATIVE)  # Largest gradient norm; 0 does not clip.
    ema: float = setting(0.0, BELOW_ONE)  # Decay of the moving average of the weights; 0 keeps none.


@dataclass(frozen=True)
class Train:
    epochs: float = setting(10.0, POSITIVE)
    eval_every: int = setting(0, NOT_NEGATIVE)  # Steps; 0 for once an epoch.
    checkpoint_every: int = setting(0, NOT_NEGATIVE)  # Steps; 0 for evaluated steps only.


@dataclass(frozen=True)
class Teacher:
    """Where the teacher comes from: kept from another run, or trained by the rest of this tree and then kept.

    The splits, and so what the teacher must not see, are the student's.
    """

    workdir: str = setting('')  # Of a finished run, or of a folder of such (an ensemble); empty to train it.
    members: int = setting(1, AT_LEAST_ONE)  # How many to train, from seeds seed, seed + 1, ...; an ensemble above 1.
    seed: int = setting(0, SEED)
    data: TrainingData = field(default_factory=TrainingData)
    model: Model = field(default_factory=Model)
    augment: Augment = field(default_factory=Augment)
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)
    train: Train = field(default_factory=Train)


@dataclass(frozen=True)
class Distill:
    weight: float = setting(0.0, SHARE)  # 0: no distillation; 1: the labels are not used.
    temperature: float = setting(4.0, POSITIVE)
    compare_alone: bool = setting(True)  # Train the same student without its teacher, too.


@dataclass(frozen=True)
class Detect:
    """What is made of a detector's cells; see jaxvision.tasks.detect."""

    assigner: str = setting('simota')  # Which cells answer for which object, in training.
    nms_iou: float = setting(0.6, FRACTION)  # Boxes that overlap by more suppress each other.
    nms_per_class: bool = setting(True)
    max_detections: int = setting(100, AT_LEAST_ONE)
    min_score: float = setting(0.001, BELOW_ONE)


@dataclass(frozen=True)
class Settings:
    seed: int = setting(0, SEED)  # Moves initial weights, order, augmentation and dropout; not the splits.
    task: str = setting('classify')
    parallel: str = setting('pmap')
    devices: int = setting(0, NOT_NEGATIVE)  # 0: all of them (on CPU: one a core, where that is quicker).
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    augment: Augment = field(default_factory=Augment)
    loss: Loss = field(default_factory=Loss)
    optim: Optim = field(default_factory=Optim)
    train: Train = field(default_factory=Train)
    teacher: Teacher = field(default_factory=Teacher)
    distill: Distill = field(default_factory=Distill)
    detect: Detect = field(default_factory=Detect)

    @property
    def distills(self) -> bool:
        return self.distill.weight > 0

    @property
    def small(self) -> bool:
        """Whether a step's arrays are likely to be small, as `training.allocator` understands it."""
        images = math.inf if self.data.full_batch else self.data.batch_size
        return self.model.name in PERCEPTRONS or images <= SMALL.get(self.data.name.partition(':')[0], 0)

    def alone(self) -> 'Settings':
        """The same student without its teacher."""
        return dataclasses.replace(self, teacher=Teacher(), distill=Distill())

    def teacher_member(self, member: int) -> 'Settings':
        """What trains one member of the teacher."""
        return dataclasses.replace(
            self.alone(),
            seed=self.teacher.seed + member,
            data=dataclasses.replace(self.data, **dataclasses.asdict(self.teacher.data)),
            **{part: getattr(self.teacher, part) for part in ('model', 'augment', 'loss', 'optim', 'train')},
        )


def defaults() -> Any:
    """The tree of defaults, a locked ConfigDict: an unknown key is an error. A config file changes and returns it."""
    config = ml_collections.ConfigDict(dataclasses.asdict(Settings()))
    return config.lock()


def resolve(config: ml_collections.ConfigDict, overridden: Collection[str] = ()) -> Settings:
    """Checks a config and turns it into plain values.

    Args:
      config: what a config file returned, after overrides.
      overridden: dotted keys that the user set by hand; one that nothing would read in this run is an error.

    Raises:
      UserError: an unknown key, a wrong type, a value out of range, or an override that nothing reads.
    """
    if not isinstance(config, ml_collections.ConfigDict):
        raise UserError(f'get_config() returned a {type(config).__name__}, not the ConfigDict of settings.defaults()')
    settings = from_dict(config.to_dict())
    _check_read(settings, overridden)
    return settings


def override(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The settings with other values.

    Args:
      settings: checked ones.
      changes: dotted key -> value, e.g. {'model.width': 0.5}.

    Raises:
      UserError: an unknown key, a wrong type, a value out of range, or one that nothing reads in the new settings.
    """
    tree = dataclasses.asdict(settings)
    for key, value in changes.items():
        *folders, name = key.split('.')
        place = tree
        for folder in folders:
            place = place.get(folder)
            if not isinstance(place, dict):
                raise UserError(f'config.{key} is unknown: there is no tree config.{key.rpartition(".")[0]}')
        if isinstance(place.get(name), dict):
            raise UserError(f'config.{key} is a tree; set one of {", ".join(f"{key}.{leaf}" for leaf in place[name])}')
        place[name] = value
    changed = from_dict(tree)
    _check_read(changed, changes)
    return changed


def _check_read(settings: Settings, keys: Collection[str]) -> None:
    """Makes sure that something reads each of these dotted keys."""
    for key in keys:
        why = unread(settings, key)
        if why:
            raise UserError(f'config.{key} is set, but nothing reads it in this run: {why}')


def value_of(settings: Settings, key: str) -> Any:
    """The value of a dotted key."""
    return functools.reduce(getattr, key.split('.'), settings)


def unread(settings: Settings, key: str) -> str:
    """Why nothing reads this dotted key under these settings, or '' if something does."""
    return next((why for name, why in _unread(settings).items() if key == name or key.startswith(f'{name}.')), '')


def from_dict(tree: dict[str, Any]) -> Settings:
    """Checks a plain tree, e.g. a workdir's config.json, and turns it into settings.

    Raises:
      UserError: an unknown or missing key, a wrong type, or a value out of range.
    """
    settings = _build(Settings, tree, '')
    _check_together(settings)
    return settings


def _build(kind: type, tree: Any, prefix: str):
    if not isinstance(tree, dict):
        raise UserError(f'config.{prefix.rstrip(".")} is {tree!r}, not a tree')
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for key in tree:
        if key not in fields:
            raise UserError(f'config.{prefix}{key} is unknown; there are {", ".join(fields)}')
    values = {}
    for name, spec in fields.items():
        if name not in tree:
            raise UserError(f'config.{prefix}{name} is missing; start from settings.defaults()')
        if isinstance(spec.type, type) and dataclasses.is_dataclass(spec.type):
            values[name] = _build(spec.type, tree[name], f'{prefix}{name}.')
        else:
            values[name] = _value(f'{prefix}{name}', tree[name], spec)
    return kind(**values)


def _value(key: str, value: Any, spec: dataclasses.Field) -> Any:
    default = spec.default
    if isinstance(default, tuple):
        if not isinstance(value, (tuple, list)) or any(type(item) not in (int, float) for item in value):
            raise UserError(f'config.{key} is {value!r}, but must be a tuple of numbers')
        value = tuple(value)
        if default and isinstance(default[0], int) and any(isinstance(item, float) for item in value):
            raise UserError(f'config.{key} is {value!r}, but must be a tuple of whole numbers')
    elif isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    elif type(value) is not type(default):
        raise UserError(f'config.{key} is {value!r}, but must be of type {type(default).__name__}')
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f'config.{key} is {value}, but must be finite')
    check = spec.metadata['check']
    if check is not None and not check[0](value):
        raise UserError(f'config.{key} is {value!r}, but must be {check[1]}')
    choices = CHOICES.get(key.removeprefix('teacher.'))
    if choices is not None and value not in choices:
        raise UserError(f'config.{key} is {value!r}, but must be one of {", ".join(map(repr, choices))}')
    return value


def _check_together(settings: Settings) -> None:
    """What no single key can tell."""
    data = settings.data
    if data.folds and data.fold >= data.folds:
        raise UserError(f'config.data.fold is {data.fold}, but must be below config.data.folds, {data.folds}')
    last = settings.teacher.seed + settings.teacher.members - 1
    if last >= 2**32:
        raise UserError(f'config.teacher.seed leaves no seed for the last of the members: {last} is not below 2**32')
    for prefix, recipe in (('', settings), ('teacher.', settings.teacher)):
        if recipe.model.name == 'airbench' and settings.task != 'classify':
            raise UserError(f'config.{prefix}model.name is airbench, which can only classify, not {settings.task}')
    for prefix, optim in (('', settings.optim), ('teacher.', settings.teacher.optim)):
        if optim.name == 'adamw' and optim.decay == 'coupled':
            raise UserError(f'config.{prefix}optim.decay is coupled, but adamw is decoupled by definition; use adam')


# Datasets that are not prepared TFDS directories.
FOLDERS = ('image_folder', 'voc_folder', 'coco_folder')
GENERATED = ('generated', 'generated_objects')

READ_BY = {
    'model.temperature': ('classify',),
    'model.dense': ('classify',),
    'model.levels': ('localize', 'detect'),
    'model.features': ('localize', 'detect'),
    'model.head_convs': ('detect',),
    'augment.mixup': ('classify', 'detect'),
    'augment.partners': ('classify',),
    'augment.border': ('classify',),
    'augment.test_time': ('classify',),
    'augment.mosaic': ('detect',),
    'optim.head_lr': ('classify',),
    'loss.name': ('classify',),
    'loss.label_smoothing': ('classify', 'localize'),
    'loss.box': ('localize', 'detect'),
    'loss.class_weight': ('localize', 'detect'),
    'loss.box_weight': ('localize', 'detect'),
    'loss.objectness_weight': ('localize', 'detect'),
    'loss.classification': ('detect',),
    'detect': ('detect',),
}


def _unread(settings: Settings) -> dict[str, str]:
    """The keys that nothing reads under these settings, each with the reason."""
    unread = _unread_recipe(settings, settings.task, '')
    unread |= {
        f'{prefix}{key}': f'the task is {settings.task}'
        for key, tasks in READ_BY.items()
        for prefix in ('', 'teacher.')
        if settings.task not in tasks
    }
    data = settings.data
    if not data.folds:
        unread['data.fold'] = 'data.folds is 0'
    else:
        unread['data.test_fraction'] = 'with data.folds the test split is a fold'
    folder, generated = data.name in FOLDERS, data.name in GENERATED
    if not folder:
        unread['data.path'] = f'data.name is not one of {", ".join(FOLDERS)}'
    if folder or generated:
        unread['data.data_dir'] = f'data.name is {data.name}'
    if data.name != 'generated_objects':
        unread['data.generated_most'] = 'data.name is not generated_objects'
    if generated:
        unread['data.image_size'] = f'data.name is {data.name}'
    else:
        for key in ('generated_shape', 'generated_classes', 'generated_examples'):
            unread[f'data.{key}'] = f'data.name is not one of {", ".join(GENERATED)}'
    if not settings.distills:
        for key in ('teacher', 'distill.temperature', 'distill.compare_alone'):
            unread[key] = 'distill.weight is 0'
    elif settings.teacher.workdir:
        for key in (f.name for f in dataclasses.fields(Teacher) if f.name != 'workdir'):
            unread[f'teacher.{key}'] = 'teacher.workdir names a teacher that is trained already'
    else:
        unread |= _unread_recipe(settings.teacher, settings.task, 'teacher.')
    return unread


def _unread_recipe(recipe: Settings | Teacher, task: str, prefix: str) -> dict[str, str]:
    from jaxvision import models  # Imports Flax; wanted only once a run begins.

    unread = {}
    known = models.hyperparameters(recipe.model.name) | {'name', 'temperature', 'levels', 'features', 'head_convs'}
    if task != 'classify':
        known |= {'norm', 'width'}  # Of pyramid and head, whatever the encoder.
    if recipe.model.name == 'vit' and recipe.model.variant:
        known -= {'embedding', 'layers', 'heads'}
    for key in (f.name for f in dataclasses.fields(Model)):
        if key not in known:
            unread[f'{prefix}model.{key}'] = f'the model is {recipe.model.name}, which has no such thing'
    if recipe.model.name == 'mlp' and not recipe.model.hidden:
        for key in ('activation', 'dropout', *(('norm', 'width') if task == 'classify' else ())):
            unread[f'{prefix}model.{key}'] = 'model.hidden is empty: there is no layer before the head'
    if recipe.data.full_batch:
        unread[f'{prefix}data.batch_size'] = 'data.full_batch is set'
    augment = recipe.augment
    if not augment.mixup:
        unread[f'{prefix}augment.partners'] = 'augment.mixup is 0'
    if not augment.mirror:
        unread[f'{prefix}augment.alternate'] = 'augment.mirror is off'
    if not (augment.crop or augment.rotate or augment.scale):
        unread[f'{prefix}augment.border'] = 'nothing moves in from outside: crop, rotate and scale are 0'
    optim = recipe.optim
    if optim.schedule != 'step':
        for key in ('milestones', 'factor'):
            unread[f'{prefix}optim.{key}'] = f'the schedule is {optim.schedule}'
    if not optim.weight_decay:
        unread[f'{prefix}optim.decay'] = unread[f'{prefix}optim.decayed'] = 'optim.weight_decay is 0'
    if optim.name != 'muon':
        for key in ('other_momentum', 'newton_schulz', 'normalize'):
            unread[f'{prefix}optim.{key}'] = f'optim.name is {optim.name}'
    if optim.name == 'sgd':
        unread[f'{prefix}optim.momentum'] = 'optim.name is sgd, which has none'
    if not optim.name.startswith('adam'):
        unread[f'{prefix}optim.b2'] = f'optim.name is {optim.name}'
    return unread
