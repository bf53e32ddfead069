"""The embedded default: UCI's handwritten digits as scikit-learn ships them, written as a TFDS dataset."""

from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds

from jaxvision.data.blank import CLASSES


class UciDigits(tfds.core.GeneratorBasedBuilder):
    """1,797 handwritten digits, 8x8 grey, 10 classes, in one split `train` (scikit-learn keeps no official test part).

    The original intensities 0..16 are stored as round(v * 255 / 16), which is invertible.
    """

    VERSION = tfds.core.Version('1.0.0')

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(shape=(8, 8, 1)),
                    'label': tfds.features.ClassLabel(names=CLASSES),
                }
            ),
            supervised_keys=('image', 'label'),
            description='Optical recognition of handwritten digits (Alpaydin and Kaynak, UCI, 1998), the 1,797 of '
            'scikit-learn: 32x32 bitmaps of 13 writers, counted in blocks of 4x4.',
            homepage='https://archive.ics.uci.edu/dataset/80',
        )

    def _split_generators(self, dl_manager):
        return {'train': self._generate_examples()}

    def _generate_examples(self):
        from sklearn.datasets import load_digits  # Half a second; needed only the first time.

        digits: Any = load_digits()
        for index, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            encoded, png = cv2.imencode('.png', np.rint(image * (255 / 16)).astype(np.uint8))
            assert encoded
            # Encoded bytes, not an array: so TFDS needs no TensorFlow to write it.
            yield index, {'image': png.tobytes(), 'label': int(label)}
