"""jaxvision: functional image classification, regularisation and detection in JAX and Flax.

Importing this package imports nothing else; take what you need, e.g. `from jaxvision import losses`.
"""

__version__ = '0.1.0'
