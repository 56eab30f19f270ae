import re
import subprocess
from pathlib import Path

import pytest

from heliograph.config import Resources, StageSettings
from heliograph.drive import Drive
from heliograph.errors import BadConfig, BadName
from heliograph.stages.builtin import ANALYSIS, EVALUATION
from heliograph.stages.render import ScriptValues, build_script
from heliograph.stages.stage import Stage


def values(**changes: object) -> ScriptValues:
    fields = {
        "experiment": "experiment_01",
        "token": "0123456789ab",
        "attempt": 1,
        "signal_sha256": "a" * 64,
        "input_path": "/mnt/shared/subject-drop/models/experiment_01/final",
        "resources": Resources(),
    }
    return ScriptValues(**(fields | changes))  # type: ignore[arg-type]


SPECIFIED = Drive("/mnt/shared/subject-drop")


@pytest.mark.parametrize(
    ("stage", "label", "resources"),
    [(EVALUATION, "eval", Resources()), (ANALYSIS, "analysis", Resources("04:00:00", "64G", 16))],
)
def test_the_specified_directives_stand_in_the_script(stage: Stage, label: str, resources: Resources) -> None:
    script = build_script(stage, StageSettings(), SPECIFIED, values(resources=resources), "/venv/bin/python")
    lines = script.splitlines()
    assert lines[0] == "#!/bin/bash"
    assert f"#SBATCH --job-name={label}_experiment_01.0123456789ab" in lines
    assert f"#SBATCH --output=/mnt/shared/subject-drop/logs/{stage.name}/%j.log" in lines
    assert f"#SBATCH --error=/mnt/shared/subject-drop/logs/{stage.name}/%j.err" in lines
    assert f"#SBATCH --time={resources.time}" in lines
    assert f"#SBATCH --mem={resources.mem}" in lines
    assert f"#SBATCH --cpus-per-task={resources.cpus_per_task}" in lines
    assert "gres" not in script
    assert stage.script_name("experiment_01") == f"slurm_{label}_experiment_01.sh"


def test_everything_that_is_asked_for_is_in_it() -> None:
    settings = StageSettings(
        modules=["cuda/12.4", "R/4.4"],
        setup=["source /etc/profile.d/lab.sh"],
        extra_directives=["--nice=100"],
    )
    resources = Resources(gres="gpu:1", partition="main", account="lab", qos="high", constraint="avx512")
    script = build_script(EVALUATION, settings, SPECIFIED, values(resources=resources))
    for line in (
        "#SBATCH --gres=gpu:1",
        "#SBATCH --partition=main",
        "#SBATCH --account=lab",
        "#SBATCH --qos=high",
        "#SBATCH --constraint=avx512",
        "#SBATCH --nice=100",
        "module load cuda/12.4",
        "module load R/4.4",
        "source /etc/profile.d/lab.sh",
    ):
        assert line in script.splitlines()
    directives = [i for i, line in enumerate(script.splitlines()) if line.startswith("#SBATCH")]
    assert directives == list(range(1, 1 + len(directives))), "Slurm stops reading at the first other line"


def test_bash_finds_no_fault(tmp_path: Path) -> None:
    script = tmp_path / "script.sh"
    script.write_text(build_script(EVALUATION, StageSettings(), SPECIFIED, values()))
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_a_drive_with_hostile_letters_stays_one_word(tmp_path: Path) -> None:
    """The script is run for real, with a program in place of heliograph that prints its arguments."""
    drive = Drive(tmp_path / 'it\'s $(touch pwned); `touch pwned` "drive"')
    drive.root.mkdir()
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    hostile = values(input_path=f"{drive.root}/models/x/final")
    script = build_script(EVALUATION, StageSettings(), drive, hostile, str(python))
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    words = done.stdout.splitlines()
    assert words.count(str(drive.root)) == 2
    assert hostile.input_path in words
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("root", ["/mnt/a\nb", "/mnt/100%j", "/mnt/a\x1bb"])
def test_a_drive_that_slurm_cannot_take_is_refused(root: str) -> None:
    with pytest.raises(BadConfig, match="Mount the drive under another path"):
        build_script(EVALUATION, StageSettings(), Drive(root), values())


def test_only_names_come_in() -> None:
    with pytest.raises(BadName):
        build_script(EVALUATION, StageSettings(), SPECIFIED, values(experiment="; rm -rf ~"))


def test_the_exit_code_and_sigterm_pass_through(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/bash\ntrap 'exit 43' TERM\nkill -TERM $PPID\nsleep 20 & wait\n")
    python.chmod(0o755)
    (tmp_path / "drive").mkdir()
    script = build_script(EVALUATION, StageSettings(), Drive(tmp_path / "drive"), values(), str(python))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 43
    assert re.search(r"mktemp -d", script)
