"""What one pass of the watcher costs a drive: its file system calls, and its time over a slow network."""

from __future__ import annotations

import collections
import itertools
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.watcher import processes
from benchmarks.watcher.drives import NEW, MadeDrive
from benchmarks.watcher.figures import Figure, Skipped, median
from benchmarks.watcher.latency import publish
from benchmarks.watcher.lives import Writer
from benchmarks.watcher.slow_drive import DELAY_S, Burst, SlowProxy, missing, round_trip_s, slow
from benchmarks.watcher.watching import Ledger, Settings, Watch, watching
from heliograph.drive import Drive
from heliograph.protocol.events import TrainingStarted
from heliograph.protocol.outbox import Outbox

PART = "passes"
TRAININGS, JOBS = 5, 5
ROUND_TRIP_S = 2 * DELAY_S
# Calls that a network file system has to ask its server for; close and lseek it answers itself.
_ASKING = re.compile(
    r"(?:open|openat|stat|lstat|fstat|newfstatat|statx|access|faccessat2?|readlink|readlinkat|getdents64|read|pread64"
    r"|write|pwrite64|fsync|fdatasync|rename|renameat2?|unlink|unlinkat|mkdir|mkdirat|rmdir|utimensat|chmod|fchmod)\("
)
Result = tuple[list[Figure], list[Skipped]]


def measure(work: Path, count: int, window_s: float, slow_count: int) -> Result:
    """Measure beside ten open experiments and `count` finished ones, `slow_count` on the slow drive."""
    figures: list[Figure] = []
    skipped: list[Skipped] = []
    for measure_one, number in ((_count_calls, count), (_measure_slow, slow_count)):
        told, left_out = measure_one(work, number, window_s)
        figures += told
        skipped += left_out
    return figures, skipped


@contextmanager
def _ten_open(made: MadeDrive, work: Path) -> Iterator[Watch]:
    """Run a watcher beside five trainings and five jobs in flight. The drive may be mounted already."""
    settings = Settings(work / "run", made.drive, made.copy_state(work / "run-state"))
    settings.write(detection={"inotify": "off"}, slots=JOBS, submissions_per_minute=100_000)
    settings.hold.touch()
    with watching(settings) as watch:
        wanted = {f"{NEW}job-{number}" for number in range(JOBS)}
        processes.wait_for((made.drive.lease / "holder.json").exists, 60, "the watcher's lease")
        ledger = Ledger(settings)
        processes.wait_for(lambda: set(ledger.submitted()) == wanted, 900, "five jobs in flight", 0.5)
        ledger.close()
        yield watch


def _prepare(made: MadeDrive, work: Path) -> None:
    """Begin five trainings and end five others, before the watcher starts."""
    made.restore()
    writer, outbox = Writer(made.drive, made.folder / "samples"), Outbox(made.drive, work / "spool")
    for number in range(TRAININGS):
        name = f"{NEW}training-{number}"
        made.drive.model_folder(name).mkdir()
        outbox.post(
            TrainingStarted(
                experiment=name, stage="training", run=f"run-{number:04d}", hostname="t", user="b"
            )
        )
    for number in range(JOBS):
        writer.model(f"{NEW}job-{number}")
        publish(made.drive, None, f"{NEW}job-{number}")


# calls, on a local drive ------------------------------------------------------------------------------


def _count_calls(work: Path, count: int, window_s: float) -> Result:
    if shutil.which("strace") is None:
        return [], [Skipped(part=PART, what="file system calls of a pass", reason="strace is not installed")]
    made = MadeDrive(work, count)
    _prepare(made, work)
    with _ten_open(made, work) as watch:
        watch.wait_ready()
        lines = _trace(watch, work / "run" / "strace", window_s)
    calls = list(drive_calls(lines, made.drive))
    if not calls:
        return [], [
            Skipped(part=PART, what="file system calls of a pass", reason="strace saw none; may it trace?")
        ]
    passes = split_passes(calls, made.drive)
    asking = [float(sum(bool(_ASKING.match(call)) for call in one)) for one in passes]
    kinds = collections.Counter(call.split("(")[0] for one in passes for call in one)
    case = f"ten open among {count:,} finished, local drive"
    top = ", ".join(f"{name} {number / len(passes):.0f}" for name, number in kinds.most_common(8))
    return [
        Figure(
            part=PART,
            case=case,
            what="file system calls a pass",
            unit="calls",
            values=[float(len(p)) for p in passes],
            note=top,
        ),
        Figure(
            part=PART, case=case, what="of these, calls that a server is asked", unit="calls", values=asking
        ),
        Figure(
            part=PART,
            case=case,
            what="projection at a round trip of 2.6 ms",
            unit="s",
            values=[number * ROUND_TRIP_S for number in asking],
            note="one round trip a call that a server is asked; look-ups of folders and caches left out",
        ),
    ], []


def _trace(watch: Watch, output: Path, window_s: float) -> list[str]:
    """Trace the watcher and its children for a while."""
    pids = [word for pid in watch.pids() for word in ("-p", str(pid))]
    command = ["strace", "-f", "-y", "-s", "200", "-e", "trace=%file,%desc", "-o", str(output), *pids]
    tracer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(window_s)
    processes.stop(tracer)
    return output.read_text(errors="replace").splitlines()


def drive_calls(lines: list[str], drive: Drive) -> Iterator[str]:
    """Return the calls that concern the drive, each as strace wrote it, without the process number."""
    root = str(drive.root)
    for line in lines:
        call = line.split(maxsplit=1)[-1]
        if root in call and not call.startswith(("<...", "+++", "---")):
            yield call


def split_passes(calls: list[str], drive: Drive) -> list[list[str]]:
    """Cut calls into passes: each pass lists the inbox, which nobody else opens as a folder."""
    starts = [n for n, call in enumerate(calls) if call.startswith("openat") and f'"{drive.inbox}"' in call]
    return [calls[first:last] for first, last in itertools.pairwise(starts)]


# time, over a slow network ----------------------------------------------------------------------------


def _measure_slow(work: Path, count: int, window_s: float) -> Result:
    what = "a pass over a slow network"
    if (reason := missing()) is not None:
        return [], [Skipped(part=PART, what=what, reason=reason)]
    made = MadeDrive(work, count)
    _prepare(made, work)
    try:
        with slow(made) as proxy:
            trip = round_trip_s(made.drive.root)
            with _ten_open(made, work) as watch:
                started, mounted = watch.started, time.monotonic()
                settled = _wait_settled(proxy, watch)
                since = time.monotonic()
                time.sleep(max(window_s, 65))
                bursts = proxy.bursts(since)[1:-1]
    except (TimeoutError, subprocess.SubprocessError) as error:
        return [], [Skipped(part=PART, what=what, reason=f"{count:,} finished: {error}")]
    return _slow_figures(count, trip, settled, mounted - started, bursts), []


def _wait_settled(proxy: SlowProxy, watch: Watch, timeout_s: float = 900) -> float:
    """Wait until the watcher leaves pauses between its passes; return how long after its start that was."""

    def is_settled() -> bool:
        now = time.monotonic()
        return now - watch.started > 10 and len(proxy.bursts(now - 10)) >= 5

    processes.wait_for(is_settled, timeout_s, "the first complete pass", 1.0)
    return time.monotonic() - watch.started - 10


def _slow_figures(
    count: int, trip: float, settled: float, in_flight: float, bursts: list[Burst]
) -> list[Figure]:
    case = f"ten open among {count:,} finished, sshfs at 2.6 ms"
    kinds = sum((burst.kinds for burst in bursts), collections.Counter[str]())
    usual = median([burst.requests for burst in bursts])
    top = ", ".join(f"{name} {number / len(bursts):.0f}" for name, number in kinds.most_common(8))

    def figure(what: str, unit: str, values: list[float], note: str = "") -> Figure:
        return Figure(part=PART, case=case, what=what, unit=unit, values=values, note=note)

    sweeps = [burst.seconds for burst in bursts if burst.requests > 1.5 * usual]
    told = [
        figure("round trip of the mounted drive, measured", "ms", [1000 * trip]),
        figure("start until five waiting signals were submitted", "s", [in_flight]),
        figure("start until the first full sweep was over", "s", [settled]),
        figure("requests to the server a pass", "requests", [float(b.requests) for b in bursts], top),
        figure("time of a pass", "s", [b.seconds for b in bursts if b.requests <= 1.5 * usual]),
    ]
    if sweeps:
        told.append(figure("time of a pass that lists the experiments too", "s", sweeps))
    return told
