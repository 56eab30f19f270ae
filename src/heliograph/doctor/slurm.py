"""Slurm: does it answer, how is it set up, and would it take the jobs of each stage?"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from heliograph.config import Resources, SlurmSettings, StageSettings, WatcherConfig, load_watcher_config
from heliograph.doctor.finding import Area, Context, Finding, Step
from heliograph.drive import Drive
from heliograph.executors.base import FailureClass
from heliograph.executors.command import Answer, run_command
from heliograph.executors.environment import clean_environment
from heliograph.executors.slurm_cli import build_ping, parse_ping, tells_of_down_controller
from heliograph.executors.slurm_words import REFUSALS
from heliograph.stages.builtin import STAGES
from heliograph.stages.render import ScriptValues, build_script
from heliograph.stages.stage import Stage

AREA = Area("slurm")
COMMANDS = ("sbatch", "squeue", "scontrol", "scancel")
_TIMEOUT_S = 15.0
_GENTLE_POLL_S = 30.0
_SLOWEST_POLL = 3  # executors/etiquette.py
_LEAST_KILL_WAIT_S = 5
_BUCKET, _REFILL = 30, 2  # slurm.conf(5): rl_bucket_size, rl_refill_rate
_NO_ACCOUNTING = "accounting_storage/none"


def ask(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Answer:
    """Run one of Slurm's commands; it may take 15 s."""
    return run_command(argv, clean_environment(environ), _TIMEOUT_S)


def steps(context: Context) -> list[Step]:
    """Look at the commands and the controller first: without them there is nothing more to ask."""
    drive = Drive(context.drive)
    config = load_watcher_config(drive)
    here = [name for name in COMMANDS if shutil.which(name)]
    return [
        Step("commands", lambda: [judge_commands(here, config.executor, context.role)], needed=True),
        Step(
            "controller",
            lambda: [judge_controller(ask(build_ping()), config.executor, context.role)],
            needed=True,
        ),
        Step("settings", lambda: _look_at_settings(config)),
        Step("partitions", lambda: [_look_at_partitions(config)]),
        *(Step(f"{s.name} job", lambda s=s: [_try_submission(s, drive, config)]) for s in STAGES),  # type: ignore[misc]
        Step("nodes", lambda: [_NODES]),
    ]


_NODES = AREA.skipped(
    "nodes", "whether compute nodes see the drive cannot be told from here", "heliograph doctor --job"
)

# Commands and controller ----------------------------------------------------------------------------


def judge_commands(here: Sequence[str], executor: str, role: str) -> Finding:
    """Tell whether Slurm's commands are here; a host that runs its jobs itself needs none."""
    missing = [name for name in COMMANDS if name not in here]
    if executor == "local":
        return AREA.skipped("commands", "config/watcher.yaml says executor: local, so jobs run on this host")
    if not here and executor == "auto" and role != "ssrde":
        return AREA.skipped("commands", "none of Slurm's commands is here, so jobs run on this host")
    if missing:
        remedy = "apt install slurm-client   # or module load slurm; the cluster's version, see its manual"
        return AREA.bad("commands", f"missing on PATH: {', '.join(missing)}", remedy)
    return AREA.ok("commands", ", ".join(here))


def judge_controller(answer: Answer, executor: str, role: str) -> Finding:
    """Tell whether the controller answers. With executor: auto, a host without a cluster runs its jobs."""
    if parse_ping(answer):
        return AREA.ok("controller", answer.said)
    if executor == "auto" and role != "ssrde" and not tells_of_down_controller(answer):
        return AREA.skipped("controller", "no cluster is configured here, so jobs run on this host")
    told = f"no controller answers ({answer.said}); nothing can be submitted"
    return AREA.bad(
        "controller", told, "scontrol ping   # until it says UP; or ask the cluster's administrators"
    )


# Settings -------------------------------------------------------------------------------------------


def parse_config(text: str) -> dict[str, str]:
    """Read `scontrol show config`: a name, an equals sign, a value a line."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition(" = ")
        if equals and not name.startswith((" ", "\t")):
            found[name.strip()] = value.strip()
    return found


def seconds_of(config: Mapping[str, str], name: str) -> int | None:
    """Read a value like `300 sec`."""
    match = re.match(r"[0-9]+", config.get(name, ""))
    return int(match[0]) if match else None


def _look_at_settings(config: WatcherConfig) -> Iterable[Finding]:
    answer = ask(["scontrol", "show", "config"])
    values = parse_config(answer.stdout)
    if answer.returncode != 0 or not values:
        told = f"scontrol show config: {answer.said}"
        return [AREA.warn("settings", told, "scontrol show config   # as this user")]
    accounting = values.get("AccountingStorageType", _NO_ACCOUNTING)
    asked = None if accounting == _NO_ACCOUNTING else ask(["sacct", "-nXP", "-S", "now-1minute"])
    return judge_settings(values, config.slurm, asked)


def judge_settings(values: Mapping[str, str], settings: SlurmSettings, sacct: Answer | None) -> list[Finding]:
    """Judge the cluster's settings against the watcher's. `sacct` is what it answered, None where there is
    no accounting."""
    sizes = ", ".join(f"{name} {values.get(name, '?')}" for name in ("MaxJobCount", "MaxArraySize"))
    cluster = f"{values.get('ClusterName', '?')}, Slurm {values.get('SLURM_VERSION', '?')}, {sizes}"
    return [
        AREA.ok("cluster", cluster),
        judge_accounting(seconds_of(values, "MinJobAge"), settings.poll_every_s, sacct),
        judge_etiquette(values.get("SlurmctldParameters", ""), settings),
        judge_end(seconds_of(values, "KillWait"), values.get("JobRequeue", "?")),
    ]


def judge_accounting(min_job_age_s: int | None, poll_every_s: float, sacct: Answer | None) -> Finding:
    """Without accounting a job is forgotten MinJobAge after its end (0: never). The watcher has to have
    looked by then, and while nothing changes it waits for three of its poll intervals."""
    if sacct is not None:
        if sacct.returncode == 0:
            return AREA.ok("accounting", "sacct answers: how a job ended is known for good")
        told = f"sacct does not answer ({sacct.said}); jobs that squeue forgot count as vanished"
        return AREA.warn("accounting", told, "sacctmgr ping   # is slurmdbd up?")
    told = f"none; the controller forgets a job {min_job_age_s} s (MinJobAge) after its end"
    slowest_s = poll_every_s * _SLOWEST_POLL
    if min_job_age_s is None or min_job_age_s == 0 or min_job_age_s >= slowest_s:
        return AREA.ok("accounting", f"{told}, and is asked every {slowest_s:.0f} s at the least")
    told += f", and is asked every {slowest_s:.0f} s at times: what a job did not tell itself is lost"
    return AREA.warn(
        "accounting", told, f"In config/watcher.yaml: slurm.poll_every_s: {max(30, min_job_age_s // 3)}"
    )


def judge_etiquette(parameters: str, settings: SlurmSettings) -> Finding:
    """Compare how often the watcher calls with what sites ask for, and with Slurm's own limiter."""
    options = {name: value for name, _, value in (word.partition("=") for word in parameters.split(","))}
    told = f"one call every {settings.poll_every_s:g} to {settings.poll_every_s * _SLOWEST_POLL:g} s"
    if settings.poll_every_s < _GENTLE_POLL_S:
        told += "; administrators ask for 30 s or more"
        return AREA.warn("etiquette", told, "In config/watcher.yaml: slurm.poll_every_s: 60.0")
    if "rl_enable" not in options:
        return AREA.ok("etiquette", f"{told}; the controller limits nobody (no rl_enable)")
    refill = int(options.get("rl_refill_rate", "") or _REFILL)
    period_s = int(options.get("rl_refill_period", "") or 1)
    bucket = int(options.get("rl_bucket_size", "") or _BUCKET)
    a_minute = 60 * refill // period_s
    told += f"; the controller takes {bucket} calls at once and {a_minute} a minute (rl_enable)"
    if settings.submissions_per_minute > a_minute:
        told += (
            f", less than the {settings.submissions_per_minute} submissions a minute that are allowed here"
        )
        return AREA.warn(
            "etiquette", told, f"In config/watcher.yaml: slurm.submissions_per_minute: {a_minute}"
        )
    return AREA.ok("etiquette", told)


def judge_end(kill_wait_s: int | None, requeue: str) -> Finding:
    """A job that is ended has KillWait to say so; requeueing is switched off in every script."""
    told = f"a job has {kill_wait_s} s (KillWait) to say that it was ended; JobRequeue={requeue}, not used"
    if kill_wait_s is not None and kill_wait_s < _LEAST_KILL_WAIT_S:
        remedy = f"Ask the administrators for KillWait={_LEAST_KILL_WAIT_S} or more (30 is usual)."
        return AREA.warn("end of jobs", f"{told}; that is short for a slow drive", remedy)
    return AREA.ok("end of jobs", told)


# Partitions -----------------------------------------------------------------------------------------


class Partition(Struct, frozen=True):
    """One line of sinfo."""

    name: str
    is_up: bool
    nodes: int
    usable: int
    is_default: bool


def parse_partitions(text: str) -> list[Partition]:
    """Read `sinfo -h -o %P|%a|%F`: nodes are allocated/idle/other/total; the default has a star."""
    found = []
    for line in text.splitlines():
        name, _, rest = line.partition("|")
        state, _, counts = rest.partition("|")
        numbers = [int(part) for part in counts.split("/") if part.isdigit()]
        if len(numbers) == 4:
            usable = numbers[0] + numbers[1]
            found.append(Partition(name.rstrip("*"), state == "up", numbers[3], usable, name.endswith("*")))
    return found


def _look_at_partitions(config: WatcherConfig) -> Finding:
    answer = ask(["sinfo", "--noheader", "--format=%P|%a|%F"])
    if answer.returncode != 0:
        return AREA.warn("partitions", f"sinfo: {answer.said}", "sinfo   # as this user")
    wanted = {name: stage.resources.partition for name, stage in config.stages.items()}
    return judge_partitions(parse_partitions(answer.stdout), wanted)


def judge_partitions(partitions: Sequence[Partition], wanted: Mapping[str, str | None]) -> Finding:
    """Tell whether each stage's partition (several may stand there, separated by commas) takes jobs."""
    by_name = {partition.name: partition for partition in partitions}
    default = next((partition.name for partition in partitions if partition.is_default), None)
    there = ", ".join(
        f"{p.name} {p.usable}/{p.nodes} nodes{'' if p.is_up else ' (not up)'}" for p in partitions
    )
    for stage, named in wanted.items():
        names = named.split(",") if named else [default or ""]
        known = [by_name[name] for name in names if name in by_name]
        if not known:
            told = f"{stage} asks for {named or 'the default partition'}, which is not there; there: {there}"
            return AREA.bad("partitions", told, f"In config/watcher.yaml: stages.{stage}.resources.partition")
        if not any(partition.is_up and partition.usable for partition in known):
            told = f"{stage}'s partition {known[0].name} takes no jobs now; there: {there}"
            return AREA.warn("partitions", told, f"sinfo --partition={known[0].name} --list-reasons")
    return AREA.ok("partitions", there)


# Submission -----------------------------------------------------------------------------------------


def _try_submission(stage: Stage, drive: Drive, config: WatcherConfig) -> Finding:
    """Let sbatch look at the very script that a first attempt would be, without submitting it."""
    settings = config.stages.get(stage.name, StageSettings())
    values = ScriptValues(
        experiment="doctor",
        token="doctor",  # noqa: S106 - an attempt's token, no secret
        attempt=1,
        signal_sha256="0" * 64,
        input_path=str(drive.final_model("doctor")),
        resources=settings.resources,
    )
    with tempfile.TemporaryDirectory(prefix="heliograph-doctor-") as folder:
        script = Path(folder) / stage.script_name("doctor")
        script.write_text(build_script(stage, settings, drive, values))
        return judge_submission(stage.name, ask(["sbatch", "--test-only", str(script)]), settings.resources)


def judge_submission(stage: str, answer: Answer, asked: Resources) -> Finding:
    """Read `sbatch --test-only`: when and where the job would start, or why it would be refused."""
    check = f"{stage} job"
    said = answer.said.removeprefix("sbatch: ")
    if answer.returncode == 0:
        where = re.search(r"(using .*)", said)
        return AREA.ok(check, f"would be taken, {where[1]}" if where else "would be taken")
    said = said.removeprefix("error: ").removeprefix("allocation failure: ")
    kind = next((kind for text, kind in REFUSALS.items() if text in answer.stderr), None)
    values = [f"{name} {value}" for name, value in msgspec.structs.asdict(asked).items() if value is not None]
    said = f"{said} (asked for: {', '.join(values)})"
    remedy = f"In config/watcher.yaml: stages.{stage}.resources"
    if kind in (FailureClass.HOLD, FailureClass.TRANSIENT):
        return AREA.warn(check, f"would be held back now: {said}", f"sinfo   # then: {remedy}")
    return AREA.bad(check, f"would be refused: {said}", remedy)
