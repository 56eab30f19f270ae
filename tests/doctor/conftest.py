"""The doctor on real parts: drives, Slurm, R; as a command, the way people run it."""

from support.slurm_lab import accounting_lab, slurm_lab
from support.sshfs_lab import sshfs_lab

__all__ = ["accounting_lab", "slurm_lab", "sshfs_lab"]
