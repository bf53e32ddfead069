"""jaxvision: the package, its dependencies with the bounds that were tested, and the extras."""

from setuptools import find_packages, setup

setup(
    name='jaxvision',
    version='0.1.0',
    description='Image classification, regularisation, distillation and detection in JAX and Flax, as pure functions.',
    license='MIT',
    python_requires='>=3.11',
    packages=find_packages(include=['jaxvision', 'jaxvision.*']),
    install_requires=[
        'jax>=0.10,<0.12',
        'flax>=0.12,<0.13',
        'optax>=0.2.8,<0.3',
        'orbax-checkpoint>=0.12,<1.0',
        'tensorflow-datasets>=4.9.9,<5',
        'array_record>=0.8',
        'importlib_resources',
        'absl-py>=2.1',
        'ml_collections>=1.1,<2',
        'numpy>=2.0',
        'scipy>=1.14',
        'scikit-learn>=1.5',
        'opencv-python-headless>=4.10',
        'tensorboardX>=2.6.2',
        'matplotlib>=3.9',
        'pillow>=10.1',
        'faster-coco-eval>=1.7',
        'dm-pix>=0.4.3',
        'tqdm>=4.66',
    ],
    extras_require={
        'test': ['pytest>=8.3', 'pytest-xdist>=3.6', 'hypothesis>=6.110', 'pycocotools>=2.0.8', 'submitit>=1.5'],
        'dev': ['ruff>=0.14', 'pyright[nodejs]>=1.1.400', 'pre-commit>=4'],
        'prepare': ['tensorflow-cpu>=2.18'],
        'slurm': ['submitit>=1.5'],
    },
)
