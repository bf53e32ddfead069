"""Training: state, step, devices, checkpoints, the loop, evaluation and reports."""
