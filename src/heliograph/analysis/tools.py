"""The programs that the analysis takes, and the environment that they see."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from heliograph.analysis.attempt import Attempt
from heliograph.drive import Drive
from heliograph.errors import MissingPart

R_PACKAGES = (
    *("codetools", "data.table", "digest", "ggplot2", "jsonlite", "knitr"),
    *("processx", "ragg", "rmarkdown", "xtable", "yaml"),
)
_APT = "apt install r-base-core pandoc " + " ".join(f"r-cran-{name}" for name in R_PACKAGES)
_PIP = "Install it: pip install 'heliograph[analysis]'."

# R is told what it needs and nothing else: passwords of the environment are no business of its scripts,
# and R_HOME or PYTHONHOME of another installation would mislead R or the Python programs that it starts.
_KEPT = frozenset(
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS"]
)
_KEPT_PREFIXES = ("R_LIBS", "R_ENVIRON", "R_PROFILE", "R_DATATABLE", "SLURM_", "XDG_", "FONTCONFIG_")


class Tools(Struct, frozen=True):
    """Where the programs are."""

    rscript: str
    duckdb: str
    weasyprint: str


def find_tools(environ: Mapping[str, str], beside: Path | None = None) -> Tools:
    """Find Rscript on the PATH; DuckDB and WeasyPrint by HELIOGRAPH_DUCKDB and HELIOGRAPH_WEASYPRINT, else
    `beside` (this interpreter's folder), else on the PATH. Raises MissingPart."""
    rscript = shutil.which("Rscript", path=environ.get("PATH"))
    if rscript is None:
        raise MissingPart(part="R (Rscript)", needed_for="the analysis", remedy=f"On Debian: {_APT}")
    return Tools(
        rscript,
        find_program("duckdb", "Parquet", environ, beside),
        find_program("weasyprint", "PDF", environ, beside),
    )


def find_program(name: str, kind: str, environ: Mapping[str, str], beside: Path | None = None) -> str:
    """Find DuckDB or WeasyPrint as `find_tools` does. Raises MissingPart."""
    beside = Path(sys.executable).parent if beside is None else beside
    named = environ.get(f"HELIOGRAPH_{name.upper()}")
    if named:
        found = shutil.which(named)
    else:
        found = shutil.which(name, path=str(beside)) or shutil.which(name, path=environ.get("PATH"))
    if found is None:
        part = f"{name} ({named})" if named else name
        raise MissingPart(part=part, needed_for=f"the analysis ({kind})", remedy=_PIP)
    return found


def basic_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what of our environment R sees, and what it sees instead."""
    kept = {
        name: value for name, value in environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)
    }
    return kept | {"TZ": "UTC", "LC_ALL": "C.UTF-8"}


def build_environment(
    environ: Mapping[str, str], tools: Tools, drive: Drive, attempt: Attempt
) -> dict[str, str]:
    """Return the environment that R sees.

    R puts its own libraries into LD_LIBRARY_PATH, and a Python that it starts would load them; so R is told
    what was there before, for its children.
    """
    return basic_environment(environ) | {
        "SHARED_DRIVE": str(drive.root),
        "HELIOGRAPH_EXPERIMENT": attempt.experiment,
        "HELIOGRAPH_TOKEN": attempt.token,
        "HELIOGRAPH_DUCKDB": tools.duckdb,
        "HELIOGRAPH_WEASYPRINT": tools.weasyprint,
        "HELIOGRAPH_LD_LIBRARY_PATH": environ.get("LD_LIBRARY_PATH", ""),
    }
