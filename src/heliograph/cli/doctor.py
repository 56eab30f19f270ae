"""heliograph doctor: whether this host, the drive and everything between them are fit."""

from __future__ import annotations

import argparse
import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from heliograph.doctor.finding import Context, Finding

HELP = "Look whether this host, the drive, Slurm, R and the rest are fit, and say what to do."
EXAMPLES = """\
  heliograph doctor                       everything that matters on one machine that does it all
  heliograph doctor --role ssrde          what matters on the host that submits jobs; wild_west, monitoring
  heliograph doctor drive slurm           these areas only
  heliograph doctor --peer                run on two hosts at once: how soon each sees what the other wrote
  heliograph doctor --job                 let Slurm run a tiny job that looks at the drive from a node

areas: drive slurm watcher analysis mlflow python limits. Exit code: 0, or 10 where something is bad.
"""
ROLES = ("wild_west", "ssrde", "monitoring", "all")
EXIT_BAD = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("areas", nargs="*", type=_area, metavar="AREA", help="look at these only")
    parser.add_argument("--role", choices=ROLES, default="all", help="what this host does (default: all)")
    parser.add_argument("--peer", action="store_true", help="measure against another host that does the same")
    parser.add_argument("--job", action="store_true", help="submit a tiny job that looks at the drive")
    parser.add_argument(
        "--seconds", type=_seconds, default=60.0, metavar="N", help="how long --peer measures and --job waits"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _area(text: str) -> str:
    from heliograph.doctor.areas import AREAS

    if text not in AREAS:
        raise argparse.ArgumentTypeError(f"there is no area {text!r}; there are {', '.join(AREAS)}")
    return text


def _seconds(text: str) -> float:
    if not text.isascii() or not text.isdigit() or not 2 <= int(text) <= 3600:
        raise argparse.ArgumentTypeError(f"a number of seconds from 2 to 3600, not {text!r}")
    return float(text)


def run(args: argparse.Namespace) -> int:
    from heliograph.config import choose_drive
    from heliograph.doctor.areas import MEASUREMENTS, areas_of
    from heliograph.doctor.finding import Context, worst

    context = Context(str(choose_drive(args.drive).root), args.role, args.seconds)
    asked = [name for name in MEASUREMENTS if getattr(args, name)]
    # a measurement that is asked for alone needs nothing else than the drive
    areas = [*(args.areas or (["drive"] if asked else areas_of(args.role))), *asked]
    findings = _as_json(areas, context) if args.json else _on_terminal(areas, context)
    return EXIT_BAD if worst(findings) == "bad" else 0


def _as_json(areas: list[str], context: Context) -> list[Finding]:
    import msgspec

    from heliograph.doctor.finding import worst
    from heliograph.doctor.run import examine_host
    from heliograph.names import host_name

    found = [f for _, findings in examine_host(areas, context, lambda *_: None) for f in findings]
    told = {
        "drive": context.drive,
        "host": host_name(),
        "role": context.role,
        "verdict": worst(found),
        "findings": found,
    }
    print(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
    return found


def _on_terminal(areas: list[str], context: Context) -> list[Finding]:
    from heliograph import __version__
    from heliograph.dashboard.terminal import make_console
    from heliograph.doctor.run import examine_host
    from heliograph.doctor.terminal import print_area, print_summary
    from heliograph.names import host_name

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that is not UTF-8 loses signs, not the rest
    console = make_console()
    where = f"heliograph {__version__}  {context.drive}  host {host_name()}, role {context.role}"
    console.print(where, soft_wrap=True)
    found: list[Finding] = []
    with console.status("…") as status:  # shows nothing where there is no terminal
        for area, findings in examine_host(areas, context, lambda a, check: status.update(f"{a}: {check}")):
            print_area(console, area, findings)
            found += findings
    print_summary(console, found)
    return found
