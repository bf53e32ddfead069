"""Blood cells (BCCD: 364 photographs, 3 classes), detected from scratch on its official split.

PATH is the folder with Annotations, ImageSets and JPEGImages of the dataset's repository (BCCD_Dataset/BCCD).

Evidence: on the 72 test photographs, one run of seed 0, with 95 % intervals over photographs: mAP50 88.0 % (84.6 to
91.6), mAP 57.1 % (54.4 to 59.3), mAP75 66.9 % (61.6 to 71.4); the step that was best on validation has mAP50 88.9 %.
jax 0.10.2, two CPU cores, 44 min beside other work; results/bccd.json is what this command recorded:

    python launch/train.py --config=configs/bccd.py --config.data.path=PATH

It can be stopped at any time; the same command goes on where it was. For comparison, on the same data: YOLOv3 84 %,
YOLOv8n, which was trained on other photographs before, 90.4 %.

Where a GPU is at hand (not run; meant for 90 % and more): the photographs at full size, under the whole network.

    python launch/train.py --config=configs/bccd.py --config.data.path=PATH --workdir=runs/bccd_gpu
        --config.data.image_size=640 --config.data.batch_size=16 --config.augment.crop=60
        --config.model.width=1.0 --config.model.features=128 --config.model.head_convs=2
        --config.model.dtype=bfloat16 --config.train.epochs=300.0 --config.train.eval_every=260
"""

from jaxvision import settings


def get_config():
    config = settings.defaults()
    config.task = 'detect'
    config.data.name = 'voc_folder'
    config.data.image_size = 256
    config.data.batch_size = 8
    config.model.name = 'resnet'
    config.model.depth = 18
    config.model.stem = '7x7'
    config.model.width = 0.5
    config.model.norm = 'batch'
    config.model.levels = 3
    config.model.features = 96
    config.model.head_convs = 1
    config.augment.mirror = True
    config.augment.crop = 24
    config.augment.rotate = 15.0
    config.augment.scale = 0.3
    config.augment.brightness = 0.1
    config.augment.contrast = 0.2
    config.augment.mosaic = 0.5
    config.optim.name = 'adamw'
    config.optim.lr = 1.5e-3
    config.optim.weight_decay = 0.05
    config.optim.warmup = 0.05
    config.optim.clip = 10.0
    config.optim.ema = 0.999
    config.train.epochs = 120.0
    config.train.eval_every = 256
    return config
