"""tools/prepare.py: what it decides, and what it does with the commands of the system."""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from heliograph.analysis.tools import R_PACKAGES
from meta.project import ROOT

POLICY = """\
r-base-core:
  Installed: (none)
  Candidate: 4.2.2.20221110-2
  Version table:
     4.2.2.20221110-2 500
chromium:
  Installed: (none)
  Candidate: (none)
  Version table:
"""


def load_prepare() -> ModuleType:
    spec = importlib.util.spec_from_file_location("prepare", ROOT / "tools" / "prepare.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


prepare = load_prepare()
R = prepare.Group("R", "no analysis", ["r-base-core", "r-cran-dplyr"])
BROWSER = prepare.Group("a browser", "no browser tests", ["chromium"], ["chromium"], "Ubuntu: as a snap")
SSH = prepare.Group(
    "sshd", "no drive tests", ["openssh-server"], services={"openssh-server": ["ssh.service"]}
)


def test_the_tests_need_what_the_demo_needs_and_more() -> None:
    text = (ROOT / "tools" / "packages.toml").read_text()
    demo, test = (prepare.list_packages(prepare.parse_groups(text, wanted)) for wanted in ("demo", "test"))
    assert {"r-base-core", "pandoc"} <= {*demo} < {*test}
    assert {"slurmctld", "chromium", "openssh-server"} <= {*test} - {*demo}


def test_a_package_with_only_its_settings_left_is_not_installed() -> None:
    assert prepare.parse_installed("munge installed\nslurmd config-files\npandoc not-installed\n") == {
        "munge"
    }


def test_a_package_without_a_candidate_is_not_available() -> None:
    assert prepare.parse_available(POLICY) == {"r-base-core"}


def test_complete_groups_fall_out_and_others_keep_what_they_lack() -> None:
    missing = prepare.select_missing([R, SSH], {"r-base-core", "openssh-server"}, lambda command: False)
    assert [(group.what, group.packages) for group in missing] == [("R", ["r-cran-dplyr"])]


def test_a_command_from_elsewhere_will_do() -> None:
    assert prepare.select_missing([BROWSER], set(), {"chromium"}.__contains__) == []
    assert prepare.select_missing([BROWSER], set(), set().__contains__) == [BROWSER]


def test_what_is_missing_comes_with_its_consequence_and_one_line_to_copy() -> None:
    text = prepare.describe_missing([R, BROWSER, SSH], {"r-base-core", "r-cran-dplyr", "openssh-server"})
    assert "R: without, no analysis" in text
    assert "not in this system's archives: chromium\n    Ubuntu: as a snap\n" in text
    line = next(line for line in text.splitlines() if "apt-get" in line)
    assert line.endswith("install -y --no-install-recommends openssh-server r-base-core r-cran-dplyr")
    assert "also starts ssh.service" in text


def test_archives_that_were_never_listed_are_no_reason_to_leave_a_package_out() -> None:
    text = prepare.describe_missing([BROWSER], set())
    assert "not in this system's archives" not in text
    assert "--no-install-recommends chromium" in text


def test_a_change_of_any_source_or_of_the_target_is_seen() -> None:
    inputs = [([b"a", b"b"], "demo"), ([b"ab", b""], "demo"), ([b"a", b"c"], "demo"), ([b"a", b"b"], "test")]
    assert len({prepare.fingerprint(*arguments) for arguments in inputs}) == len(inputs)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system of stand-ins for its commands, which write down in the file returned how they are called."""
    log = tmp_path / "log"
    answers = {"apt-cache": POLICY, "apt-get": "", "sudo": "", "dpkg-query": "r-cran-dplyr installed"}
    for name, answer in answers.items():
        script = tmp_path / name
        script.write_text(f"#!/bin/sh\necho {name} \"$@\" >> {log}\n/bin/cat <<'E'\n{answer}\nE\n")
        script.chmod(0o755)
    (tmp_path / "env").symlink_to("/usr/bin/env")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(prepare, "is_on", lambda unit: False)
    return log


def test_root_installs_what_the_archives_have(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    prepare.install_packages(prepare.find_missing([R, BROWSER]))
    calls = [line for line in commands.read_text().splitlines() if line.startswith("apt-get")]
    assert [call.split("300 ")[1] for call in calls] == [
        "update",
        "install -y --no-install-recommends r-base-core",
    ]


def test_others_install_by_sudo_if_it_asks_nothing(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    prepare.install_packages([R])
    calls = commands.read_text().splitlines()
    assert calls[0] == "sudo -n true"
    assert calls[-1].startswith("sudo -n env DEBIAN_FRONTEND=noninteractive ")
    assert calls[-1].endswith("r-base-core")


def test_without_a_way_to_become_root_nothing_is_tried(
    commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (commands.parent / "sudo").unlink()
    prepare.install_packages([R])
    assert not commands.exists()


def test_every_system_package_stands_in_the_installation_page() -> None:
    groups = prepare.parse_groups((ROOT / "tools" / "packages.toml").read_text(), "test")
    page = (ROOT / "docs" / "install.md").read_text()
    assert [name for name in prepare.list_packages(groups) if f"`{name}`" not in page] == []
    assert [group.without for group in groups if group.without not in page] == []


def test_every_r_package_that_the_analysis_loads_is_installed() -> None:
    groups = prepare.parse_groups((ROOT / "tools" / "packages.toml").read_text(), "demo")
    assert {f"r-cran-{name.lower()}" for name in R_PACKAGES} - {*prepare.list_packages(groups)} == set()
