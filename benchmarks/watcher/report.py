"""The page docs/benchmarks.md: what stands between its markers comes from docs/benchmarks.json."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from benchmarks.watcher.figures import Figure, Part, Skipped, median, quantile, quartiles

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
TITLES = {
    "latency": "Detection latency",
    "idle": "Idle cost and start-up",
    "beats": "Cost while experiments run",
    "passes": "Cost of a pass",
    "burst": "A burst",
    "peers": "Beside other tools",
}


def number(value: float) -> str:
    """Write a number with three digits that count."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _row(figure: Figure) -> list[str]:
    values = figure.values
    first, third = quartiles(values)
    one = len(values) == 1
    return [
        figure.what,
        figure.unit,
        str(len(values)),
        number(median(values)),
        "" if one else number(quantile(values, 0.95)),
        "" if one else number(max(values)),
        "" if one else f"{number(first)}–{number(third)}",
        f"{figure.load:.1f}",
        figure.note,
    ]


def _table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


HEAD = ["what", "unit", "runs", "median", "95 %", "most", "middle half", "load", "note"]


def part_page(part: Part) -> list[str]:
    """Return the tables of one part, one a case and subject, with how it was run."""
    machine = part.machine
    how = (
        f"`{machine.command}`, {machine.at}: {machine.cores} cores, {machine.memory_gb:g} GB, "
        f"{machine.kernel}, Python {machine.python}, heliograph {machine.heliograph}; "
        f"load average before: {part.load_before:.1f}."
    )
    lines = [f"### {TITLES[part.name]}", "", how, ""]
    groups: dict[tuple[str, str], list[Figure]] = {}
    for figure in part.figures:
        groups.setdefault((figure.case, figure.subject), []).append(figure)
    for (case, subject), figures in groups.items():
        lines += [f"**{case}**" + ("" if subject == "heliograph" else f" ({subject})"), ""]
        lines += [*_table(HEAD, [_row(figure) for figure in figures]), ""]
    if part.name == "peers":
        lines += _side_by_side(part.figures)
    return lines + _skipped(part.skipped)


def _skipped(skipped: list[Skipped]) -> list[str]:
    return [f"- not measured: {one.what}: {one.reason}" for one in skipped] + ([""] if skipped else [])


def _side_by_side(figures: list[Figure]) -> list[str]:
    """Return one table a case: each tool's medians, and what multiple of heliograph's they are."""
    medians = {(f.case, f.subject, f.what): (median(f.values), f.unit) for f in figures}
    whats = list(dict.fromkeys(figure.what for figure in figures))
    lines = []
    for case in dict.fromkeys(figure.case for figure in figures):
        subjects = list(dict.fromkeys(figure.subject for figure in figures if figure.case == case))
        rows = [[one, *(_cell(medians, case, one, what) for what in whats)] for one in subjects]
        lines += [f"**Side by side: {case}** (× heliograph)", "", *_table(["tool", *whats], rows), ""]
    return lines


def _cell(medians: dict[tuple[str, str, str], tuple[float, str]], case: str, subject: str, what: str) -> str:
    if (case, subject, what) not in medians:
        return "–"
    value, unit = medians[case, subject, what]
    told = f"{number(value)} {unit}".replace("% of a core", "%")
    own, _ = medians.get((case, "heliograph", what), (0.0, ""))
    return told if subject == "heliograph" or not own else f"{told} ({number(value / own)} ×)"


def page(parts: dict[str, Part]) -> str:
    """Return what stands between the markers."""
    known = [parts[name] for name in TITLES if name in parts]
    return "\n".join(line for part in known for line in part_page(part))


def write_page(path: Path, parts: dict[str, Part]) -> None:
    """Put the figures between the markers of a page."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{page(parts)}\n{END}{after}", encoding="utf-8")
