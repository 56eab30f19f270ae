"""python -m benchmarks.watcher: measure the watcher on this machine."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from benchmarks.watcher import beats, burst, idle, latency, passes, report
from benchmarks.watcher.figures import Figure, Part, Skipped, read_parts, this_machine, write_parts

ROOT = Path(__file__).resolve().parents[2]
DATA, PAGE = ROOT / "docs" / "benchmarks.json", ROOT / "docs" / "benchmarks.md"
log = logging.getLogger(__name__)
Result = tuple[list[Figure], list[Skipped]]

DESCRIPTION = """\
Measures `heliograph watch` from outside, as the process that people run, on drives that are made for it.

  latency   from a signal's rename to the committed intent, and to the start of the job
  idle      processor, memory and start-up beside 0 to 100,000 finished experiments
  beats     the same while ten experiments train and post heartbeats
  passes    file system calls of a pass, and its time over a slow network (needs strace, sshfs, /dev/fuse)
  burst     very many signals at once
  peers     Airflow's FileSensor, Dagster's sensor, watchdog's PollingObserver (installed below WORK)
"""


class Sizes(Struct, frozen=True):
    """How much is measured."""

    counts: list[int]
    samples: int
    runs: int
    window_s: float
    signals: int
    slow_count: int
    latency_count: int
    pass_count: int
    peer_counts: list[int]
    peer_rounds: int


FULL = Sizes([0, 1_000, 10_000, 100_000], 24, 3, 60, 1_000, 10_000, 1_000, 10_000, [0, 1_000, 10_000], 2)
QUICK = Sizes([0, 1_000], 6, 1, 10, 100, 200, 0, 1_000, [0, 1_000], 1)


def parts_to_run(work: Path, sizes: Sizes) -> dict[str, Callable[[], Result]]:
    """Return how each part is measured."""

    def run_peers() -> Result:
        from benchmarks.watcher.peers import measure

        return measure(work, sizes.peer_counts, sizes.peer_rounds, sizes.window_s)

    return {
        "latency": lambda: (latency.measure(work, sizes.latency_count, sizes.samples), []),
        "idle": lambda: (idle.measure(work, sizes.counts, sizes.window_s, sizes.runs), []),
        "beats": lambda: (beats.measure(work, sizes.counts, sizes.window_s), []),
        "passes": lambda: passes.measure(work, sizes.pass_count, sizes.window_s, sizes.slow_count),
        "burst": lambda: (burst.measure(work, 0, sizes.signals), []),
        "peers": run_peers,
    }


def parser() -> argparse.ArgumentParser:
    parsing = argparse.ArgumentParser(
        prog="python -m benchmarks.watcher",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parsing.add_argument(
        "parts", nargs="*", metavar="PART", help="parts to measure; none means all but peers"
    )
    parsing.add_argument(
        "--peers", action="store_true", help="measure other tools too (installs them, 5 minutes)"
    )
    parsing.add_argument("--quick", action="store_true", help="few and small: minutes, to see that it works")
    parsing.add_argument("--counts", help="numbers of finished experiments, for instance 0,1000")
    parsing.add_argument("--slow-count", type=int, help="the same for the drive behind a slow network")
    parsing.add_argument("--window", type=float, help="seconds for which idle cost is watched")
    parsing.add_argument("--samples", type=int, help="signals for each way of detection")
    parsing.add_argument("--runs", type=int, help="how often start-up and idle cost are measured")
    parsing.add_argument(
        "--work", type=Path, help="a folder on a local disk for the made drives, kept and used again"
    )
    parsing.add_argument(
        "--json", type=Path, metavar="FILE", help="put the figures into this file, - prints them"
    )
    parsing.add_argument("--docs", action="store_true", help="put the figures into docs/benchmarks.md")
    return parsing


def main(arguments: list[str]) -> int:
    args = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    work = args.work or Path(tempfile.gettempdir()) / f"heliograph-benchmark-{os.getuid()}"
    work.mkdir(parents=True, exist_ok=True)
    sizes = _sizes(args)
    to_run = parts_to_run(work, sizes)
    names = args.parts or [name for name in to_run if name != "peers"]
    names += ["peers"] if args.peers and "peers" not in names else []
    if unknown := [name for name in names if name not in to_run]:
        parser().error(f"no such part: {', '.join(unknown)}; there are {', '.join(to_run)}")
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            parser().error(f"another run uses {work}; wait for it or name another folder by --work")
        for name in names:
            _run_part(
                name, to_run[name], args, " ".join(["python -m benchmarks.watcher", *_public(arguments)])
            )
    return 0


def _sizes(args: argparse.Namespace) -> Sizes:
    from msgspec.structs import replace

    sizes = QUICK if args.quick else FULL
    if args.counts:
        counts = [int(word) for word in args.counts.split(",")]
        sizes = replace(sizes, counts=counts, peer_counts=counts)
    asked = {
        "samples": args.samples,
        "runs": args.runs,
        "peer_rounds": args.runs,
        "window_s": args.window,
        "slow_count": args.slow_count,
    }
    return replace(sizes, **{name: value for name, value in asked.items() if value is not None})


def _public(arguments: list[str]) -> list[str]:
    """Leave this machine's paths out of what is printed."""
    kept, skip = [], False
    for word in arguments:
        if not skip and word not in ("--work", "--json"):
            kept.append(word)
        skip = word in ("--work", "--json")
    return kept


def _run_part(name: str, measure: Callable[[], Result], args: argparse.Namespace, command: str) -> None:
    """Measure one part and keep its figures at once: a later part that fails takes nothing away."""
    load = os.getloadavg()[0]
    log.info("measuring %s (load average %.1f)", name, load)
    figures, skipped = measure()
    part = Part(name=name, machine=this_machine(command), figures=figures, skipped=skipped, load_before=load)
    if str(args.json) == "-":
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(part), indent=1).decode())
    else:
        print("\n".join(report.part_page(part)), flush=True)
    files = [DATA] * args.docs + [args.json] * (args.json is not None and str(args.json) != "-")
    for file in files:
        parts = read_parts(file) | {name: part}
        write_parts(file, parts)
        if args.docs:
            report.write_page(PAGE, parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
