"""Engines: where the trials of a sweep are run. Each takes trials and yields them one by one as they end."""
