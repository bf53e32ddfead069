"""Evaluators: what is measured of each task's outputs, and how it is told."""
