"""What `pip install heliograph` brings: every file of the package, data included, and nothing else."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from meta.project import PACKAGE, ROOT, own_files


def build_wheel(folder: Path) -> Path:
    """Build from a copy, because setuptools writes into the folder it builds from."""
    for path in own_files("pyproject.toml", "README.md", "LICENSE", "src"):
        copy = folder / "source" / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q"]
    subprocess.run([*build, "-w", folder, folder / "source"], check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_has_every_file_of_the_package(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_wheel(tmp_path)) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == {str(path.relative_to(PACKAGE.parent)) for path in own_files("src")}
