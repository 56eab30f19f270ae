"""What holds whatever dies: each function tells what is wrong, in sentences; none is good."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from crash.worlds import World
from heliograph.errors import NotPublished
from heliograph.executors.local import LocalExecutor
from heliograph.protocol.quarantine import list_quarantine
from heliograph.protocol.signals import ANALYSIS_COMPLETE, EVAL_COMPLETE, read_signal
from heliograph.stages.builtin import STAGES
from heliograph.state import journal, rebuild
from heliograph.state.databases import DATABASES, open_snapshot
from heliograph.state.publish import fetch_snapshot, pointer_path
from heliograph.state.settle import live_folder
from heliograph.state.store import Store
from support.fake_worker import starts

FINAL = ("completed", "failed")
JOBS = {stage: database.jobs for stage, database in DATABASES.items() if database.jobs}


def outcome(world: World) -> dict[str, object]:
    """Return what became of everything, without ids and times: what no death may change."""
    with Store(live_folder(world.state, world.drive)) as store:
        attempts = [one for stage in JOBS for one in _attempts(stage, store.rows(stage, "jobs")[::-1])]
        trainings = [(r["experiment_name"], r["status"]) for r in store.rows("training", "training_runs")]
    root = f"{world.drive.root}/"
    return {
        "attempts": sorted(attempts),
        "trainings": sorted(trainings),
        "starts": sorted(Counter(tuple(line.split()[:2]) for line in starts(world.fake)).items()),
        "quarantine": sorted(kept.reason.path.removeprefix(root) for kept in list_quarantine(world.drive)),
    }


def _attempts(stage: str, rows: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """Return the attempts at a stage; contents of triggers as numbers, for some of them name a job's id."""
    contents = list(dict.fromkeys(row["signal_sha256"] for row in rows))
    return [
        (stage, row["experiment_name"], contents.index(row["signal_sha256"]), row["attempt"], row["status"])
        for row in rows
    ]


def wrong_now(world: World) -> list[str]:
    """Tell what is wrong on the drive, at any moment."""
    return snapshot_problems(world) + claim_problems(world)


def snapshot_problems(world: World) -> list[str]:
    """Snapshots can be read and verified, and tell nothing that the journal does not hold."""
    problems = []
    with tempfile.TemporaryDirectory() as scratch:
        for stage in DATABASES:
            try:
                copy, _ = fetch_snapshot(world.drive, stage, Path(scratch))
            except NotPublished:
                if pointer_path(world.drive, stage).exists():
                    problems.append(f"{stage}: there is a pointer and nothing was published")
                continue
            plain = world.drive.state / f"{stage}.db"
            problems += [f"{path}: {what}" for path in (copy, plain) if (what := _broken(path))]
            with closing(open_snapshot(copy)) as snapshot:
                told = snapshot.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
            held = max((batch.last for batch in journal.batches(world.drive, stage)), default=0)
            if told > held:
                problems.append(f"{stage}: the snapshot tells of event {told}, the journal holds {held}")
    return problems


def _broken(path: Path) -> str | None:
    if not path.exists():
        return None
    with closing(open_snapshot(path)) as snapshot:
        verdict = snapshot.execute("PRAGMA integrity_check").fetchone()[0]
    return None if verdict == "ok" else str(verdict)


def claim_problems(world: World) -> list[str]:
    """No attempt ran twice: each start of a worker has an attempt of its own, which it had claimed."""
    jobs = Counter(line.split()[2] for line in starts(world.fake))
    problems = [f"job {job} started its work {n} times" for job, n in jobs.items() if n > 1]
    claims = len(list((world.drive.locks / "claims").iterdir()))
    if len(jobs) > claims:
        problems.append(f"{len(jobs)} jobs worked, and there are {claims} claims")
    return problems


def finals(world: World) -> dict[str, str]:
    """Return the final states, by token, of a copy of the live databases and of what is published."""
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        live = world.state / world.drive.read_id() / "live"
        if live.is_dir():
            shutil.copytree(live, Path(scratch) / "live")
        for stage, table in JOBS.items():
            copies = [Path(scratch) / "live" / f"{stage}.db"]
            if pointer_path(world.drive, stage).exists():
                copies.append(fetch_snapshot(world.drive, stage, Path(scratch))[0])
            for copy in copies:
                found |= _finals_in(copy, table)
    return found


def _finals_in(path: Path, table: str) -> dict[str, str]:
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
            return {}
        rows = connection.execute(f"SELECT token, status FROM {table}").fetchall()
    return {token: status for token, status in rows if status in FINAL}


def wrong_at_the_end(world: World, seen: dict[str, str], expected: dict[str, object]) -> list[str]:
    """Tell what is wrong when nothing is left to do; `seen` are final states that were seen on the way."""
    now, got = finals(world), outcome(world)
    problems = [
        f"{token} was {old} and is {now.get(token)}" for token, old in seen.items() if now.get(token) != old
    ]
    problems += [f"{key}: {got[key]}, not {expected[key]}" for key in expected if got[key] != expected[key]]
    return problems + _submitted_twice(world) + _wrong_at_any_end(world)


def _submitted_twice(world: World) -> list[str]:
    """Each attempt was handed in once. (A second job would leave quietly; but it is to be none.)"""
    if world.config.executor != "local":
        return []
    with Store(live_folder(world.state, world.drive)) as store:
        names = [
            stage.job_name(row["experiment_name"], row["token"])
            for stage in STAGES
            for row in store.rows(stage.database, "jobs")
        ]
    found = LocalExecutor(world.state / world.drive.read_id() / "local", slots=1).find(names)
    return [f"{name} was submitted {len(jobs)} times" for name, jobs in found.items() if len(jobs) > 1]


def _wrong_at_any_end(world: World) -> list[str]:
    problems = rebuild.check(world.drive, world.state)
    problems += [f"left behind: {path.relative_to(world.root)}" for path in leftovers(world)]
    return problems + wrong_now(world)


def wrong_after_a_job_died(world: World) -> list[str]:
    """Tell what is wrong when nothing is left to do: each content of a trigger led to one completed attempt,
    the newest to the one that the signal names, and each start of a worker was an attempt of its own."""
    problems = []
    with Store(live_folder(world.state, world.drive)) as store:
        rows = {stage: store.rows(stage, "jobs") for stage in JOBS}
    for kind in (EVAL_COMPLETE, ANALYSIS_COMPLETE):
        mine = rows[kind.stage]
        completed = Counter(row["signal_sha256"] for row in mine if row["status"] == "completed")
        if set(completed.values()) != {1} or any(row["signal_sha256"] not in completed for row in mine):
            problems.append(f"{kind.stage}: completed: {completed}, of {mine}")
        signal = read_signal(kind.path(world.drive, "e1"), kind, "e1")
        if (mine[0]["slurm_job_id"], mine[0]["status"]) != (signal.content.job_id, "completed"):
            problems.append(f"{kind.stage}: {signal.content.job_id} signalled; the last one is {mine[0]}")
        if any(row["status"] not in FINAL for row in mine):
            problems.append(f"{kind.stage}: something is still open: {mine}")
        worked = [line for line in starts(world.fake) if line.split()[1] == kind.stage]
        if not 1 <= len(worked) <= len(mine) <= 2:
            problems.append(f"{kind.stage}: {worked} worked in {len(mine)} attempts")
    return problems + _wrong_at_any_end(world)


def leftovers(world: World) -> list[Path]:
    """List the temporary files and folders, whose processes are all gone; those in a claim or in an entry of
    the quarantine aside, of which there is one at most."""
    found = [path for folder in (world.drive.root, world.state) for path in folder.rglob("*.tmp")]
    live = world.state / world.drive.read_id() / "live"
    found += [path for path in live.iterdir() if path.is_dir()]
    alone = (world.drive.locks / "claims", world.drive.quarantine)
    return [path for path in found if path.parent.parent not in alone]
