"""heliograph status: where every experiment stands."""

from __future__ import annotations

import argparse

from heliograph.cli import print_json, tame_output

HELP = "Show where every experiment stands, or all that is known of one."
EXAMPLES = """\
  heliograph status                  every experiment's three stages, what needs attention first
  heliograph status EXPERIMENT       times, messages, results, checkpoints and files of one
  heliograph status --json | jq .    the same for a script
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="show only this one, in full")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    from heliograph.config import choose_drive
    from heliograph.dashboard.experiment import find_experiment
    from heliograph.dashboard.reader import read_drive
    from heliograph.names import utc_now
    from heliograph.state.views import Snapshots

    with Snapshots(choose_drive(args.drive)) as snapshots:
        overview = read_drive(snapshots)
    view = find_experiment(overview, args.experiment) if args.experiment else None
    if args.json:
        print_json(overview if view is None else view)
        return 0
    from heliograph.dashboard.experiment import build_experiment
    from heliograph.dashboard.freshness import Pulse
    from heliograph.dashboard.overview import Filter, build_overview
    from heliograph.dashboard.reader import Reading
    from heliograph.dashboard.terminal import make_console, print_experiment, print_overview

    tame_output()
    now = utc_now()
    reading = Reading(overview=overview, beat_age_s=Pulse().age_s(overview.watcher, now), read_at=now)
    page = build_overview(reading, Filter(), now)
    if view is None:
        print_overview(make_console(), page)
    else:
        print_experiment(make_console(), build_experiment(reading, view, now), page.drive)
    return 0
