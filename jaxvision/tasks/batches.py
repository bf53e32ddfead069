"""The batch of a step, of which each device holds a part."""

import jax


def place(part: int, axis_name) -> tuple[jax.Array | int, int]:
    """Where this device's examples begin in the whole batch, and how many that has.

    Args:
      part: how many examples a device has.
      axis_name: the mapped axis over devices, or None.
    """
    if axis_name is None:
        return 0, part
    return jax.lax.axis_index(axis_name) * part, jax.lax.axis_size(axis_name) * part


def whole_batch(tree, part: int, axis_name):
    """Where this device's examples begin in the whole batch, and the arrays [part, ...] of the whole batch."""
    first, _ = place(part, axis_name)
    return first, tree if axis_name is None else jax.lax.all_gather(tree, axis_name, tiled=True)
