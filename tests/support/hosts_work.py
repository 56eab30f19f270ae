"""What the tests of hosts do on them: a drive with a quick watcher, trainings, a look at what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from heliograph.state.views import ExperimentView, Snapshots, read_overview
from support import fake_worker
from support.hosts import Host, HostLab

_SUPPORT = Path(__file__).parent
_MODULES = f"{_SUPPORT / 'stand_in'}:{_SUPPORT.parent}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")
_WATCHER = """\
executor: {executor}
publish_every_s: 0.5
vanished_after_s: 30
detection: {{inbox_every_s: 0.2, sweep_every_s: {sweep_every_s}, settle_s: 0.5, inotify: {inotify}}}
retry: {{first_delay_s: 0.5, factor: 1}}
slurm: {{poll_every_s: 0.5, settle_s: 2}}
stages:
  evaluation: {stage}
  analysis: {stage}
"""
_STAGE = '{{resources: {{time: "00:05:00", mem: 100M, cpus_per_task: 1}}, setup: [{setup}]}}'


def lay_out(
    lab: HostLab,
    *,
    executor: str = "local",
    inotify: str = "auto",
    sweep_every_s: float = 5,
    fake: bool = True,
) -> None:
    """Make a drive whose watcher is quick; unless told otherwise, stand-ins play the stages' programs."""
    lab.wild_west.heliograph("init")
    fake_folder(lab).mkdir()
    modules = f"{_SUPPORT / 'stand_in'}:$PYTHONPATH"
    setup = f'"export FAKE_WORKER={fake_folder(lab)} PYTHONPATH={modules}"' if fake else ""
    stage = _STAGE.format(setup=setup)
    lab.drive.watcher_config.write_text(
        _WATCHER.format(executor=executor, inotify=inotify, sweep_every_s=sweep_every_s, stage=stage)
    )


def impatient() -> dict[str, str]:
    """The environment of a watcher that takes over after 10 s of silence, not 30."""
    return {"LEASE_WAIT_S": "10", "PYTHONPATH": _MODULES}


def clock_off_by(hours: float) -> dict[str, str]:
    """The environment of Python programs on a host whose clock is wrong by so much."""
    return {"CLOCK_SHIFT_S": str(int(hours * 3600)), "PYTHONPATH": _MODULES}


def stopping_before(kind: str, part_of_path: str) -> dict[str, str]:
    """The environment of a Python program that stops itself (SIGSTOP) before the first such durable step."""
    return {"STOP_BEFORE": f"{kind} {part_of_path}", "PYTHONPATH": _MODULES}


def fake_folder(lab: HostLab) -> Path:
    """Where the stand-ins on every host count their starts, and are told what to do."""
    return lab.folder / "fake"


def starts(lab: HostLab) -> list[str]:
    """Return every start of a stage's program, `EXPERIMENT STAGE`, in order."""
    return [line.rpartition(" ")[0] for line in fake_worker.starts(fake_folder(lab))]


def train(host: Host, experiment: str, **how: Any) -> str:
    """Run a training by the hook on a host; return what it printed last."""
    done = host.run(sys.executable, "-m", "support.hook_run", experiment, **how)
    return done.stdout.splitlines()[-1]


def begin_training(host: Host, experiment: str) -> subprocess.Popen[str]:
    """Begin a training that saves a checkpoint when `here/state/save` is there, and completes when
    `here/state/complete` is; what it prints goes to `own/EXPERIMENT.log`."""
    waits = [str(host.lab.here / "state" / word) for word in ("save", "complete")]
    with host.log(experiment).open("w") as file:
        return host.start(sys.executable, "-m", "support.hook_run", experiment, *waits, stdout=file)


def let(host: Host, word: str) -> None:
    """Let whoever waits for `here/state/WORD` on a host go on."""
    (host.own / "state" / word).touch()


def end(watch: subprocess.Popen[str]) -> None:
    """End a watcher, which takes its time to write down and publish everything."""
    watch.terminate()
    assert watch.wait(60) == 0


def views(lab: HostLab) -> dict[str, ExperimentView]:
    """Return what the published databases tell of every experiment, read on the server itself."""
    with Snapshots(lab.drive) as snapshots:
        snapshots.refresh()
        return {view.experiment: view for view in read_overview(snapshots).experiments}


def until_completed(lab: HostLab, *experiments: str, within_s: float = 60) -> None:
    """Wait until the published databases say that all stages of these experiments are completed."""

    def is_so() -> bool:
        found = views(lab)
        return all(name in found and found[name].status == "completed" for name in experiments)

    lab.wait_until(is_so, f"{experiments} completed", within_s)


def until_told(host: Host, words: str, log: str = "watch", *, times: int = 1, within_s: float = 60) -> None:
    """Wait until a log of a host says so, that many times."""
    file = host.log(log)
    host.lab.wait_until(
        lambda: file.read_text().count(words) >= times, f"{host.name} tells {words!r}", within_s
    )


def check_once(lab: HostLab, experiments: Iterable[str]) -> None:
    """Hold that each experiment went through both stages exactly once, and that nothing was left or lost.

    The watcher has ended by now: the inbox is empty, the databases equal the journal, and no host has written
    into the empty folder below a mount that was away.
    """
    names = sorted(experiments)
    wanted = sorted(f"{name} {stage}" for name in names for stage in ("evaluation", "analysis"))
    assert sorted(starts(lab)) == wanted, lab.logs()
    found = views(lab)
    assert sorted(found) == names
    for name in names:
        stages = [found[name].evaluation, found[name].analysis]
        assert [(stage.status, stage.attempt) for stage in stages] == [("completed", 1)] * 2
        assert found[name].quarantined == []
    ids = [event_id for path in lab.drive.journal.rglob("*.jsonl") for event_id in _event_ids(path)]
    assert len(ids) == len({*ids})
    assert [path.name for path in lab.drive.inbox.iterdir()] == []
    for host in lab.hosts:
        assert [*(host.own / "drive").iterdir()] == [], f"{host.name} wrote below the mount point"
    lab.ssrde.heliograph("db", "check")


def _event_ids(batch: Path) -> list[str]:
    return [json.loads(line)["id"] for line in batch.read_text().splitlines()]
