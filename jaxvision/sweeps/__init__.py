"""Sweeps: one experiment many times, and what the many say together."""
