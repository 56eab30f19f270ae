"""Executors: local and Slurm behind one contract."""
