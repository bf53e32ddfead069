"""Tasks: what a training step minimises."""
