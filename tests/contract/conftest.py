"""The real clusters that the executors are run against."""

from support.slurm_lab import accounting_lab, slurm_lab

__all__ = ["accounting_lab", "slurm_lab"]
