"""The watcher: does one serve this drive, does it keep up, and can it read its settings?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from heliograph.config import load_watcher_config, local_state_folder
from heliograph.doctor.finding import Area, Context, Finding, Step
from heliograph.drive import Drive
from heliograph.errors import BadInput, HeliographError, NotPublished, StateError
from heliograph.evaluation.tasks import load_dataset_config
from heliograph.names import parse_iso, utc_now
from heliograph.protocol.quarantine import list_quarantine
from heliograph.stages.evaluation_config import choose_datasets, load_evaluation_config, path_on_drive
from heliograph.state import rebuild
from heliograph.state.databases import DATABASES
from heliograph.state.inbox import MOST_AT_ONCE, Inbox
from heliograph.state.lease import DEAD_AFTER_S, Holder, is_dead_here, read_holder
from heliograph.state.publish import Pointer, read_pointer
from heliograph.state.settle import live_folder

AREA = Area("watcher")
_LATE_S = 60.0
_CHECK_TRIES = 3
_WATCH = "heliograph watch   # on the host that submits jobs; systemd keeps it running"


def steps(context: Context) -> list[Step]:
    drive = Drive(context.drive)
    return [
        Step("drive", lambda: _check_drive(drive), needed=True),
        Step("configuration", lambda: _look_at_configuration(drive)),
        Step("lease", lambda: [judge_lease(read_holder(drive), utc_now(), is_dead_here)]),
        Step("inbox", lambda: [judge_inbox(probe_inbox(drive), read_holder(drive) is not None)]),
        Step("quarantine", lambda: [judge_quarantine([kept.name for kept in list_quarantine(drive)])]),
        Step("published", lambda: [judge_published(probe_published(drive), utc_now())]),
        # applies the whole journal anew
        Step("databases", lambda: _look_at_databases(drive), silence_s=600.0),
    ]


def _check_drive(drive: Drive) -> list[Finding]:
    """Raise NotADrive where there is none; otherwise there is nothing to tell."""
    drive.read_id()
    return []


# Configuration --------------------------------------------------------------------------------------


def _look_at_configuration(drive: Drive) -> Iterator[Finding]:
    """Read every file of settings as the watcher and the evaluation do; each problem is a finding."""
    checks: list[tuple[str, Callable[[], object]]] = [
        ("watcher.yaml", lambda: load_watcher_config(drive)),
        ("base_eval.yaml", lambda: load_evaluation_config(drive, None)),
    ]
    problems = [told for name, read in checks if (told := _problem(name, read))]
    names: list[str] = []
    if not any(finding.check == "base_eval.yaml" for finding in problems):
        wanted = load_evaluation_config(drive, None).datasets
        try:
            names = choose_datasets(drive, wanted, file=drive.base_eval)
        except BadInput as error:
            yield judge_no_datasets(error)
    problems += [told for name in names if (told := _problem(f"{name}.yaml", _reader(drive, name)))]
    yield from problems
    if not problems:
        sets = f"{len(names)} data set{'' if len(names) == 1 else 's'}"
        yield AREA.ok("configuration", f"watcher.yaml, base_eval.yaml and {sets} can be read")


def _reader(drive: Drive, name: str) -> Callable[[], object]:
    def read() -> object:
        file = drive.dataset_configs / f"{name}.yaml"
        config, _ = load_dataset_config(file)
        return path_on_drive(drive, config.data, field="data", file=file)

    return read


def _problem(check: str, read: Callable[[], object]) -> Finding | None:
    try:
        read()
    except BadInput as error:
        return AREA.from_error(check, error)
    return None


def judge_no_datasets(error: BadInput) -> Finding:
    finding = AREA.from_error("data sets", error)
    return AREA.warn(finding.check, f"{finding.told}; every evaluation would fail", finding.remedy)


# The lease ------------------------------------------------------------------------------------------


def judge_lease(holder: Holder | None, now: datetime, is_dead: Callable[[Holder], bool]) -> Finding:
    if holder is None:
        return AREA.warn("lease", "no watcher serves this drive: signals wait", _WATCH)
    age_s = max(0.0, (now - parse_iso(holder.at)).total_seconds())
    who = f"host {holder.host}, pid {holder.pid}, last beat {age_s:.0f} s ago"
    if is_dead(holder):
        return AREA.warn("lease", f"the watcher is gone ({who}); its lease ends by itself", _WATCH)
    if age_s > 2 * DEAD_AFTER_S:
        told = f"{who}: it hangs, or the hosts' clocks differ"
        return AREA.warn(
            "lease", told, f"ssh {holder.host} ps -fp {holder.pid}   # then heliograph doctor drive there"
        )
    facts = [who]
    if holder.memory_mb is not None:
        facts.append(f"{holder.memory_mb:.0f} MB")
    if holder.slurm_calls_last_hour is not None:
        facts.append(f"{holder.slurm_calls_last_hour} calls of Slurm in the last hour")
    return AREA.ok("lease", ", ".join(facts))


# Inbox, quarantine, published databases -------------------------------------------------------------


class Backlog(Struct, frozen=True):
    """What waits in the inbox; ages by the drive's clock."""

    waiting: int
    oldest_s: float = 0.0


def probe_inbox(drive: Drive) -> Backlog:
    names = Inbox(drive, settle_s=0.0).names()
    ages = []
    for name in names[:MOST_AT_ONCE]:
        try:
            ages.append(time.time() - (drive.inbox / name).stat().st_mtime)
        except FileNotFoundError:  # taken in meanwhile
            continue
    return Backlog(len(names), max(ages, default=0.0))


def judge_inbox(backlog: Backlog, has_watcher: bool) -> Finding:
    if not backlog.waiting:
        return AREA.ok("inbox", "empty")
    told = f"{backlog.waiting} events wait, the oldest for {backlog.oldest_s:.0f} s"
    if backlog.oldest_s <= _LATE_S:
        return AREA.ok("inbox", told)
    if not has_watcher:
        return AREA.warn("inbox", f"{told}, and no watcher takes them in", _WATCH)
    return AREA.warn(
        "inbox", f"{told}: the watcher does not keep up", "heliograph doctor drive   # is it slow?"
    )


def judge_quarantine(names: Sequence[str]) -> Finding:
    if not names:
        return AREA.ok("quarantine", "nothing was put aside")
    told = f"{len(names)} put aside because they could not be used, the newest {names[-1]}"
    return AREA.warn("quarantine", told, "heliograph quarantine")


def probe_published(drive: Drive) -> dict[str, Pointer | str]:
    """Read each pointer, and whether its generation is there as it says; else what is wrong."""
    found: dict[str, Pointer | str] = {}
    for stage in DATABASES:
        try:
            pointer = read_pointer(drive, stage)
            size = (drive.published / pointer.file).stat().st_size
            found[stage] = pointer if size == pointer.size else f"{pointer.file} has {size} bytes"
        except NotPublished:
            found[stage] = "never published"
        except StateError as error:
            found[stage] = str(error)
        except FileNotFoundError:
            found[stage] = "its generation is missing"
    return found


def judge_published(published: dict[str, Pointer | str], now: datetime) -> Finding:
    wrong = [f"{stage}: {told}" for stage, told in published.items() if isinstance(told, str)]
    if wrong:
        told = f"{'; '.join(wrong)}; status and dashboard show nothing of that"
        return AREA.bad("published", told, "heliograph watch --once   # or heliograph init, on a new drive")
    ages = {
        stage: (now - parse_iso(pointer.published_at)).total_seconds()
        for stage, pointer in published.items()
        if isinstance(pointer, Pointer)
    }
    told = ", ".join(f"{stage} {_age(age_s)} ago" for stage, age_s in ages.items())
    return AREA.ok("published", told)


def _age(seconds: float) -> str:
    for length, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


# Databases ------------------------------------------------------------------------------------------


def _look_at_databases(drive: Drive) -> list[Finding]:
    """Compare the live databases with the journal; only the watcher's own host has them. A watcher that works
    meanwhile changes them between two looks, so what is wrong only once is not wrong."""
    state_folder = local_state_folder(load_watcher_config(drive).state_folder)
    live = live_folder(state_folder, drive)
    if not live.is_dir():
        return [AREA.skipped("databases", "the live databases are on the watcher's host; ask there")]
    problems: list[str] = []
    for number in range(_CHECK_TRIES):
        try:
            problems = rebuild.check(drive, state_folder)
        except HeliographError as error:
            problems = [str(error)]
        if not problems:
            break
        time.sleep(1.0 if number + 1 < _CHECK_TRIES else 0.0)
    return [judge_databases(problems)]


def judge_databases(problems: Sequence[str]) -> Finding:
    if problems:
        return AREA.bad("databases", "; ".join(problems), "heliograph db rebuild   # stop the watcher first")
    return AREA.ok("databases", "sound, and equal to the journal")
