import os
import re
import subprocess
from pathlib import Path

import pytest

from heliograph.config import Resources, StageSettings
from heliograph.drive import Drive
from heliograph.errors import BadConfig, BadName
from heliograph.stages.builtin import ANALYSIS, EVALUATION
from heliograph.stages.render import ScriptValues, build_script, log_path, parts_of
from heliograph.stages.stage import Stage
from support.drives import make_model


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


@pytest.mark.parametrize(
    ("time", "setting", "warned"),
    [
        ("02:00:00", 120, "120"),
        ("00:02:00", 120, "30"),  # a quarter of it
        ("2", 120, "30"),
        ("1-0", 3600, "3600"),
        ("02:00:00", 0, None),
        ("00:00:03", 120, None),
        ("0", 120, None),  # no limit
    ],
)
def test_a_job_is_warned_before_its_time_is_over(time: str, setting: int, warned: str | None) -> None:
    settings = StageSettings(warn_before_end_s=setting)
    script = build_script(EVALUATION, settings, SPECIFIED, values(resources=Resources(time=time)))
    assert re.findall(r"^#SBATCH --signal=B:USR1@(.*)$", script, re.MULTILINE) == ([warned] if warned else [])


def test_a_second_start_appends_to_the_log_of_the_first() -> None:
    assert "#SBATCH --open-mode=append\n" in build_script(EVALUATION, StageSettings(), SPECIFIED, values())


def run_script(tmp_path: Path, python: str, parts: list[str] | None = None, **environ: str) -> list[str]:
    """Run a script with a program in place of heliograph; return the lines that it prints."""
    program = tmp_path / "bin" / "python"
    program.parent.mkdir()
    program.write_text(f"#!/bin/bash\n{python}\n")
    program.chmod(0o755)
    (tmp_path / "drive").mkdir()
    script = build_script(
        EVALUATION, StageSettings(), Drive(tmp_path / "drive"), values(parts=parts or []), str(program)
    )
    outer = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    done = subprocess.run(
        ["bash", "-c", script], env=outer | environ, capture_output=True, text=True, check=False
    )
    return [*done.stdout.splitlines(), str(done.returncode)]


PARTS = ["checkpoint-1", "it's $(touch pwned)", "final"]


@pytest.mark.parametrize("number", range(3))
def test_each_task_of_an_array_does_its_part(tmp_path: Path, number: int) -> None:
    words = run_script(tmp_path, 'printf "%s\\n" "$@"', PARTS, SLURM_ARRAY_TASK_ID=str(number))
    at = words.index("--part")
    assert words[at : at + 5] == ["--part", PARTS[number], "--parts", "3", "--"]
    assert words[at + 5 :][3:8] == [
        "--drive",
        str(tmp_path / "drive"),
        "evaluate",
        "--experiment",
        "experiment_01",
    ]
    assert not list(tmp_path.rglob("pwned"))


def test_where_there_are_no_arrays_one_job_does_all_parts(tmp_path: Path) -> None:
    words = run_script(tmp_path, 'printf "%s\\n" "$@"', PARTS)
    assert not any(word.startswith("--part") for word in words)
    assert words[-1] == "0"


def test_the_directives_and_logs_of_an_array() -> None:
    script = build_script(EVALUATION, StageSettings(array_at_once=2), SPECIFIED, values(parts=PARTS))
    lines = script.splitlines()
    assert "#SBATCH --array=0-2%2" in lines
    assert "#SBATCH --output=/mnt/shared/subject-drop/logs/evaluation/%A_%a.log" in lines
    assert log_path(script, "17") == "/mnt/shared/subject-drop/logs/evaluation/17_0.log"
    one = build_script(EVALUATION, StageSettings(array=True), SPECIFIED, values())
    assert "--array" not in one
    assert log_path(one, "local-17") == "/mnt/shared/subject-drop/logs/evaluation/local-17.log"


def test_an_array_has_a_task_for_each_checkpoint_that_is_asked_for(drive: Drive) -> None:
    model = str(make_model(drive, "e1"))

    def parts(stage: Stage = EVALUATION) -> list[str]:
        return parts_of(stage, drive, "e1", model)

    assert parts() == [], "one checkpoint needs no array"
    for number in (2, 10):
        make_model(drive, "e1", f"checkpoints/checkpoint-{number}")
    assert parts() == []
    drive.base_eval.write_text("checkpoints: all\nbatch_tokens: 64\n")
    assert parts() == ["checkpoint-2", "checkpoint-10", "final"]
    assert parts(stage=ANALYSIS) == []
    drive.base_eval.write_text("checkpoints: [checkpoint-3]\n")
    assert parts() == [], "the job itself tells what is wrong"
    drive.base_eval.write_text("checkpoints: [")
    assert parts() == []


@pytest.mark.parametrize(
    ("before", "told"), [("sleep 0.2", "listened"), ("kill -USR1 $PPID; sleep 0.2", "listened")]
)
def test_a_warning_reaches_the_runner_and_ends_nothing_before_it_listens(
    tmp_path: Path, before: str, told: str
) -> None:
    """The second one comes before the runner can listen, as during a slow start of Python."""
    program = f"{before}; exec python3 -c '{LISTENER}'"
    assert run_script(tmp_path, program) == [told, "7"]


LISTENER = (
    "import os, signal, sys, time\n"
    'signal.signal(signal.SIGUSR1, lambda *_: (print("listened"), sys.exit(7)))\n'
    "os.kill(os.getppid(), signal.SIGUSR1)\n"
    "time.sleep(30)"
)


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
