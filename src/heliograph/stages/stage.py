"""A stage as data: what triggers it, what it checks, what it runs, and what shows that it is done.

The watcher knows no stage by name. Adding one is adding a `Stage` (and its database) to `builtin.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from heliograph.drive import Drive
from heliograph.protocol.signals import Signal, SignalKind

Check = Callable[[Drive, Signal], str]
Parts = Callable[[Drive, str, str], list[str]]


class Stage(Struct, frozen=True, kw_only=True):
    """One stage that runs as a batch job."""

    name: str
    label: str
    """short form, as it stands in job and script names: eval_EXPERIMENT, slurm_eval_EXPERIMENT.sh"""
    trigger: SignalKind
    """the signal that asks for this stage: the one which the stage before publishes when it is done"""
    check_input: Check
    """checks what the trigger announces; returns the path that the work is about"""
    later_changes: Callable[[Drive, Signal], str | None] | None = None
    """tells the state of announced files that were written after the trigger; None where none was"""
    done: SignalKind
    """the signal that this stage publishes when it is done"""
    failed: SignalKind
    """the signal that this stage publishes when it has failed for good"""
    check_output: Check
    """checks what `done` announces; returns the path of the results"""
    command: tuple[str, ...]
    """arguments of `heliograph`, with {experiment} and {input} to be filled in"""
    working_folder: str = "."
    """where the command runs, relative to the drive"""
    parts: Parts | None = None
    """lists, by name, the parts that tasks of a job array may do; from the drive, the experiment, the input.
    The command then takes --part NAME, to do that part and publish nothing; without, it does what is missing
    and publishes."""

    @property
    def database(self) -> str:
        return self.name

    def job_name(self, experiment: str, token: str) -> str:
        """Return the job's name. The token makes it unique: names identify jobs, ids do not."""
        return f"{self.label}_{experiment}.{token}"

    def script_name(self, experiment: str) -> str:
        return f"slurm_{self.label}_{experiment}.sh"

    def arguments(self, experiment: str, input_path: str) -> list[str]:
        """Return the command's arguments, one word each: nothing passes a shell unquoted."""
        return [word.format(experiment=experiment, input=input_path) for word in self.command]
