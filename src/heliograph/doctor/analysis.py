"""What the analysis needs on this host: R and its packages, DuckDB, pandoc, WeasyPrint."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence

from heliograph.analysis.tools import R_PACKAGES, basic_environment, find_program
from heliograph.doctor.finding import Area, Context, Finding, Step
from heliograph.errors import MissingPart
from heliograph.executors.command import Answer, run_command

AREA = Area("analysis")
_R_TIMEOUT_S = 60.0
_TIMEOUT_S = 20.0
# requireNamespace, as the pipeline itself asks: a package whose library cannot be loaded counts as missing
_ASK_R = """
tell <- function(name, version) cat(name, version, "\\n", sep = "\\t")
tell("R", paste(R.version$major, R.version$minor, sep = "."))
for (name in commandArgs(trailingOnly = TRUE)) {
  there <- suppressWarnings(requireNamespace(name, quietly = TRUE))
  tell(name, if (there) format(packageVersion(name)) else "")
}
"""


def steps(context: Context) -> list[Step]:
    del context
    return [
        Step("R", lambda: _look_at_r(os.environ)),
        Step("pandoc", lambda: [judge_pandoc(_run(["pandoc", "--version"]))]),
        Step("DuckDB", lambda: [_look_at_program("duckdb", "Parquet", ["--version"])]),
        Step("WeasyPrint", lambda: [_look_at_program("weasyprint", "PDF", ["--info"])]),
    ]


def _run(argv: Sequence[str], timeout_s: float = _TIMEOUT_S) -> Answer:
    return run_command(argv, basic_environment(os.environ), timeout_s)


def _look_at_r(environ: Mapping[str, str]) -> list[Finding]:
    rscript = shutil.which("Rscript", path=environ.get("PATH"))
    if rscript is None:
        return [judge_missing_r()]
    with tempfile.NamedTemporaryFile("w", suffix=".R", prefix="heliograph-doctor-") as script:
        script.write(_ASK_R)
        script.flush()
        answer = _run([rscript, script.name, *R_PACKAGES, "targets"], _R_TIMEOUT_S)
    return judge_r(answer)


def judge_missing_r() -> Finding:
    told = "Rscript is not on PATH: no analysis can run on this host"
    packages = " ".join(f"r-cran-{name}" for name in R_PACKAGES)
    return AREA.bad("R", told, f"apt install r-base-core {packages}   # or, on a cluster, module load R")


def parse_r(text: str) -> dict[str, str]:
    """Read lines of name, version; the version is empty where a package is missing."""
    rows = (line.split("\t") for line in text.splitlines())
    return {row[0]: row[1] for row in rows if len(row) >= 2}


def judge_r(answer: Answer) -> list[Finding]:
    """Judge R, the packages that the pipeline loads, and what runs it: targets, or the fallback."""
    versions = parse_r(answer.stdout)
    if answer.returncode != 0 or "R" not in versions:
        return [AREA.bad("R", f"Rscript does not work: {answer.said}", "Rscript -e 'sessionInfo()'")]
    found = [AREA.ok("R", versions["R"]), _judge_packages(versions)]
    targets = versions.get("targets", "")
    if targets:
        return [*found, AREA.ok("engine", f"targets {targets}")]
    told = "targets is not installed; the fallback runs the same pipeline, one target at a time"
    return [*found, AREA.warn("engine", told, "Rscript -e 'install.packages(\"targets\")'")]


def _judge_packages(versions: Mapping[str, str]) -> Finding:
    missing = [name for name in R_PACKAGES if not versions.get(name)]
    if missing:
        remedy = "apt install " + " ".join(f"r-cran-{name.lower()}" for name in missing)
        return AREA.bad("packages", f"missing: {', '.join(missing)}; the analysis would stop at once", remedy)
    newest = ", ".join(f"{name} {versions[name]}" for name in ("ggplot2", "data.table", "rmarkdown"))
    return AREA.ok("packages", f"all {len(R_PACKAGES)}, with {newest}")


def judge_pandoc(answer: Answer) -> Finding:
    if answer.returncode == 0:
        return AREA.ok("pandoc", answer.stdout.splitlines()[0].removeprefix("pandoc "))
    return AREA.bad("pandoc", f"{answer.said}: no report can be made", "apt install pandoc")


def _look_at_program(name: str, kind: str, arguments: list[str]) -> Finding:
    try:
        path = find_program(name, kind, os.environ)
    except MissingPart as error:
        return judge_program(name, None, str(error))
    return judge_program(name, _run([path, *arguments]), "")


def judge_program(name: str, answer: Answer | None, missing: str) -> Finding:
    """Judge DuckDB or WeasyPrint by what it says of its version; `missing` tells that it is not there."""
    check = {"duckdb": "DuckDB", "weasyprint": "WeasyPrint"}[name]
    if answer is None:
        return AREA.bad(check, missing.partition(". ")[0], "pip install 'heliograph[analysis]'")
    if answer.returncode != 0:
        last = answer.said.rpartition("; ")[2]
        remedy = "apt install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
        if name == "duckdb":
            remedy = "pip install --force-reinstall duckdb-cli"
        return AREA.bad(check, f"it does not start: {last}", remedy)
    versions = re.findall(r"^(WeasyPrint|Pango) version: (\S+)", answer.stdout, re.MULTILINE)
    told = ", ".join(f"{part} {version}" for part, version in versions)
    return AREA.ok(check, told or answer.stdout.strip().partition(" ")[0])
