"""Measurements, not tests: our own code against itself, and against what people would use instead."""
