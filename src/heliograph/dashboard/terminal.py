"""`heliograph status`: what the dashboard shows, for a terminal of 80 columns, a pipe or a log."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from heliograph.dashboard import words
from heliograph.dashboard.experiment import ExperimentPage, ResultRow, Work
from heliograph.dashboard.freshness import Freshness
from heliograph.dashboard.overview import OverviewPage, Row
from heliograph.dashboard.stages import StageShown

COLOURS = {
    "failed": "bold red",
    "running": "yellow",
    "queued": "blue",
    "waiting": "dim",
    "completed": "green",
    "cancelled": "magenta",
    "held": "bold yellow",
}
_LEVELS = {"live": "green", "old": "yellow", "alarm": "bold red"}
_COLUMNS_OF_RESULTS = 4


def make_console() -> Console:
    """Make a console that takes every text as it is: what others wrote is never read as markup."""
    return Console(markup=False, emoji=False, highlight=False)


def print_overview(console: Console, page: OverviewPage) -> None:
    """Print every experiment's three stages."""
    _print_freshness(console, page.freshness, page.drive)
    counts = [f"{counter.count} {counter.status}" for counter in page.counters if counter.status]
    experiments = "1 experiment" if page.total == 1 else f"{page.total} experiments"
    console.print(f"{experiments}: {', '.join(counts)}")
    _print_asides(console, [f"{aside.name}: {aside.reason}".removeprefix(": ") for aside in page.asides])
    if not page.total:
        console.print("\nNo experiment is known yet. It appears here within seconds after its first event.")
    for row in page.rows:
        _print_row(console, row)


def print_experiment(console: Console, page: ExperimentPage, drive: str) -> None:
    """Print all that is known of one experiment."""
    _print_freshness(console, page.freshness, drive)
    _print_asides(console, page.quarantined)
    console.print()
    console.print(_heading(page.name, page.status))
    for stage in page.stages:
        _print_details(console, stage)
    _print_results(console, page.results, page.checkpoints_evaluated)
    _print_checkpoints(console, page)
    for title, works in (("Figures", page.figures), ("Tables", page.tables), ("Reports", page.reports)):
        _print_works(console, title, works)
    _print_works(console, "Other files", page.others)


def _print_freshness(console: Console, fresh: Freshness, drive: str) -> None:
    console.print(Text.assemble(("heliograph", "bold"), "  ", drive))
    console.print(Text(fresh.headline, style=_LEVELS[fresh.level]))
    for detail in fresh.details:
        console.print(Text(detail, style="dim" if fresh.level == "live" else ""))


def _print_asides(console: Console, reasons: Sequence[str]) -> None:
    if not reasons:
        return
    said = "1 signal was" if len(reasons) == 1 else f"{len(reasons)} signals were"
    console.print(Text(f"\n! {said} put aside; heliograph quarantine shows what was found", style="bold red"))
    for reason in reasons:
        print_wrapped(console, Text(reason), 2)


def print_wrapped(console: Console, text: Text, label: Text | int) -> None:
    """Print a text beside its label, or so many columns in: further lines stand below its first, and no line
    ends in spaces."""
    before = Text(" " * label) if isinstance(label, int) else label
    width = max(20, console.width - len(before))
    lines = [part for line in text.split(allow_blank=True) for part in line.wrap(console, width) or [line]]
    for number, line in enumerate(lines):
        line.rstrip()
        console.print(Text.assemble(before if number == 0 else " " * len(before), line), soft_wrap=True)


def _heading(name: str, status: str) -> Text:
    return Text.assemble((name, "bold"), "  ", (f"{words.sign(status)} {status}", COLOURS.get(status, "")))


def _print_row(console: Console, row: Row) -> None:
    """Print one experiment: a line for each stage, and one more where there is something to say."""
    console.print()
    heading = _heading(row.name, row.status)
    if row.accuracy:
        heading.append(f"  {row.accuracy.metric} {row.accuracy.shown}", style="dim")
    console.print(heading)
    if row.quarantined:
        count = "1 signal was" if row.quarantined == 1 else f"{row.quarantined} signals were"
        console.print(Text(f"  ! {count} put aside: heliograph why {row.name}", style="bold red"))
    for stage in row.stages:
        console.print(_stage_line(stage), no_wrap=True, overflow="ellipsis")
        for said in (words.one_line(stage.message or ""), stage.place, stage.again, stage.asked):
            if said:
                console.print(Text(f"      {said}"), no_wrap=True, overflow="ellipsis")
        if stage.log_path and stage.status == "failed":
            console.print(Text(f"      log {stage.log_path}", style="dim"), soft_wrap=True)


def _stage_line(stage: StageShown) -> Text:
    when = f"{stage.headline.label} {stage.headline.shown}".strip() if stage.headline else ""
    line = Text.assemble(
        f"  {stage.stage:<12}",
        (f"{stage.sign} {stage.word:<10}", COLOURS.get(stage.word, "")),
        f"{when:<19}",
        (f"{stage.took or '':>10}  ", "dim"),
    )
    parts = [Text(f"{stage.percent} %")] if stage.percent is not None else []
    # where a terminal knows no links, the word alone tells that there is a run
    parts += [Text(link.text, Style(link=link.href)) for link in stage.links if link.leads_away]
    parts += [Text(stage.job)] if stage.job else []
    line.append_text(Text(" · ").join(parts))
    line.rstrip()
    return line


def _print_details(console: Console, stage: StageShown) -> None:
    console.print()
    heading = _heading(stage.stage, stage.word)
    heading.append(f"  {stage.percent} %" if stage.percent is not None else "")
    print_wrapped(console, heading, 2)
    for said in (stage.message, stage.failure, stage.again, stage.asked):
        if said:
            print_wrapped(console, Text(said), 4)
    facts = [(moment.label, moment.shown) for moment in stage.moments]
    facts += [("took", stage.took)] if stage.took else []
    facts += [("job", stage.job)] if stage.job else []
    facts += [("where", stage.place)] if stage.place else []
    facts += [("log", stage.log_path)] if stage.log_path else []
    facts += [(link.text, link.href) for link in stage.links if link.leads_away]
    for label, value in facts:
        console.print(Text.assemble("    ", (f"{label:<8}", "dim"), value), soft_wrap=True)


def _print_results(console: Console, rows: Sequence[ResultRow], checkpoints: Sequence[str]) -> None:
    """Print the results, a line for each checkpoint, at most four data sets beside each other."""
    for metric in dict.fromkeys(row.metric for row in rows):
        mine = [row for row in rows if row.metric == metric]
        for start in range(0, len(mine), _COLUMNS_OF_RESULTS):
            shown = mine[start : start + _COLUMNS_OF_RESULTS]
            table = _table(metric, "Checkpoint", [row.dataset for row in shown])
            for index, name in enumerate(checkpoints):
                table.add_row(name, *(row.numbers[index] for row in shown))
            console.print()
            console.print(table)


def _print_checkpoints(console: Console, page: ExperimentPage) -> None:
    if not page.checkpoints:
        return
    table = _table("Checkpoints", "Name", ["Step", "Epoch", "Size", "Saved"])
    for row in page.checkpoints:
        table.add_row(row.name, row.step, row.epoch, row.size, row.saved)
    console.print()
    console.print(table)


def _table(title: str, first: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    table.add_column(first, header_style="dim", overflow="fold")
    for column in columns:
        table.add_column(column, header_style="dim", justify="right", overflow="fold")
    return table


def _print_works(console: Console, title: str, works: Sequence[Work]) -> None:
    if works:
        console.print(Text(f"\n{title}", style="bold"))
    for work in works:
        for file in work.files:
            console.print(Text(f"  {words.one_line(file.path)}"), soft_wrap=True)
