"""Engines: where the trials of a sweep are run. Each takes trials and yields them one by one as they end."""

from typing import Any

# What --slurm.KEY may set.
CLUSTER: dict[str, Any] = {
    'partition': '',
    'account': '',
    'qos': '',
    'constraint': '',
    'minutes': 240,
    'gpus': 0,
    'cores': 1,
    'memory_gb': 8,
    'most_jobs': 64,
    'trials': 12,  # A job has so many, or fewer: trials of one job share a compiled program.
    'cluster': 'slurm',  # Or local: submitit's own stand-in, this machine.
}
