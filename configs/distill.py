"""Distillation on handwritten digits: a small student with few labels under a teacher that saw many.

Evidence: over 12 seeds the student reaches 97.14 % on test (95 % interval 96.86 to 97.43); the same student
alone, on the same images, order and initial weights, 92.97 % (92.47 to 93.47). Paired by seed that is +4.18
points (+3.69 to +4.74), better in 12 of 12. The teacher is one and the same, so its variance is not in the interval.
jax 0.10.2, a core a trial; results/distill.json is the summary that this command wrote:

    python launch/sweep.py --config=configs/distill.py

Why this student: few labels, and questions beyond them. Mixup makes new images of the same 150, and only the
teacher can answer those. Chosen on validation, 4 seeds each, accuracy alone / distilled in %, before the keys and
splits were drawn as they are now:

    on 167 images, 200 epochs: no mixup 92.8 / 94.1 at weight 0.5, 95.6 at weight 1; mixup 92.7 / 96.8 at weight 1,
    with crop and rotation on top 92.1 / 93.7; mixup and 400 epochs (a patient teacher) 92.2 / 97.7
    on 150 images, mixup, 400 epochs: 91.1 / 97.0 at weight 1, temperature 4; temperature 2 96.4; weight 0.9 96.9;
    one teacher instead of three 96.4; mixup partners of another class 90.0 / 96.6

Weight 0.9 keeps the labels in the loss at no cost that 4 seeds could show.
"""

from jaxvision import settings


def get_config():
    config = settings.defaults()

    # The student: 3,714 weights, and 150 of the 1,150 training images.
    config.data.validation_fraction = 0.2
    config.data.train_fraction = 0.13
    config.data.batch_size = 50
    config.model.name = 'convnet'
    config.model.filters = (8, 16)
    config.model.dense = (32,)
    config.model.norm = 'batch'
    config.augment.mixup = 1.0
    config.optim.name = 'adam'
    config.optim.lr = 3e-3
    config.train.epochs = 400.0
    config.train.eval_every = 120

    # The teacher: three wider networks with all training images, as an ensemble.
    teacher = config.teacher
    teacher.members = 3
    teacher.data.batch_size = 64
    teacher.model.name = 'convnet'
    teacher.model.filters = (32, 64)
    teacher.model.convs = 2
    teacher.model.dense = (128,)
    teacher.model.norm = 'batch'
    teacher.model.dropout = 0.3
    teacher.augment.crop = 1
    teacher.augment.rotate = 10.0
    teacher.optim.name = 'adam'
    teacher.optim.lr = 3e-3
    teacher.train.epochs = 30.0
    teacher.train.eval_every = 108

    config.distill.weight = 0.9
    config.distill.temperature = 4.0
    return config
