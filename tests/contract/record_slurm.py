"""Records what the installed Slurm answers in every case that matters.

    PYTHONPATH=tests python -m contract.record_slurm

writes tests/unit/executors/recorded.json, {case: {command, returncode, stdout, stderr}}, against which the
parsers are tested. Takes about five minutes, most of it waiting for time limits.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from heliograph.executors import slurm_cli
from heliograph.executors.command import run_command
from heliograph.executors.environment import clean_environment
from support.slurm_lab import SlurmLab, wait_until

RECORDED = Path(__file__).resolve().parents[1] / "unit" / "executors" / "recorded.json"

SCRIPTS = {
    "ok": "echo hi",
    "exit3": "exit 3",
    "exit137": "exit 137",
    "exit255": "exit 255",
    "kill9": "kill -9 $$",
    "oom": "python3 -c 'x = bytearray(80 << 20)'; exit 0",
    "oomstep": "srun --mem=20 python3 -c 'x = bytearray(80 << 20)'; exit 7",
    "sleep": "sleep 1000",
}
REFUSED = {
    "invalid-partition": ["--partition=nope"],
    "invalid-account": ["--account=nope"],
    "invalid-qos": ["--qos=nope"],
    "invalid-gres": ["--gres=gpu:1"],
    "invalid-array": ["--array=0-9999999"],
    "too-much-memory": ["--mem=999G"],
    "too-long": ["--time=10-00:00:00"],
    "dependency": ["--dependency=afterok:notajob"],
    "bad-option": ["--nosuchoption"],
    "drained-partition": ["--partition=closed"],
}
BAD_SCRIPTS = {"no-script": "echo hi\n", "dos-script": "#!/bin/bash\r\necho\r\n", "empty-script": ""}


class Recorder:
    """Runs commands against a lab and keeps their answers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: dict[str, dict[str, object]] = {}
        for name, body in SCRIPTS.items():
            (folder / name).write_text(f"#!/bin/bash\n#SBATCH --output=/dev/null\n{body}\n")
        for name, body in BAD_SCRIPTS.items():
            (folder / name).write_text(body)

    def record(self, lab: SlurmLab, case: str, argv: Sequence[str], timeout_s: float = 60) -> str:
        environ = clean_environment(lab.environ)
        if argv[0] != "sbatch":
            environ |= slurm_cli.TIME_FORMAT
        answer = run_command(argv, environ, timeout_s)
        texts = (answer.stdout, answer.stderr)
        hidden = [
            text.replace(str(self.folder), "/scripts").replace(str(lab.folder), "/lab") for text in texts
        ]
        hidden = [text.replace(f" at {lab.host} ", " at host ") for text in hidden]
        for number, node in enumerate(lab.node_names, 1):
            hidden = [text.replace(node, f"n{number}") for text in hidden]
        command, code = answer.command, answer.returncode
        self.answers[case] = {
            "command": command,
            "returncode": code,
            "stdout": hidden[0],
            "stderr": hidden[1],
        }
        return answer.stdout.strip()

    def submit(self, lab: SlurmLab, script: str, *options: str, name: str | None = None) -> str:
        argv = [f"--job-name={name or script}", *options, str(self.folder / script)]
        return lab.run("sbatch", "--parsable", *argv).strip()

    def sbatch(
        self, lab: SlurmLab, case: str, *options: str, script: str = "ok", timeout_s: float = 60
    ) -> None:
        argv = ["sbatch", "--parsable", f"--job-name={case}", *options, str(self.folder / script)]
        self.record(lab, f"sbatch {case}", argv, timeout_s)


def record_submissions(tape: Recorder, lab: SlurmLab) -> None:
    tape.sbatch(lab, "taken")
    for case, options in REFUSED.items():
        tape.sbatch(lab, case, *options)
    for case in BAD_SCRIPTS:
        tape.sbatch(lab, case, script=case)
    tape.sbatch(lab, "missing-script", script="nowhere")
    lab.run("sacctmgr", "-i", "modify", "user", lab.user, "set", "maxsubmitjobs=0")
    tape.sbatch(lab, "policy")
    lab.run("sacctmgr", "-i", "modify", "user", lab.user, "set", "maxsubmitjobs=-1")


def record_jobs(tape: Recorder, lab: SlurmLab) -> None:
    """Every way in which a job can be, as squeue and sacct tell it."""
    first, second = lab.node_names
    there = f"--nodelist={first}"
    simple = ("ok", "exit3", "exit137", "exit255", "kill9", "oomstep")
    jobs = {name: tape.submit(lab, name, there) for name in simple}
    for name, script, options in (
        ("oom", "oom", ["--mem=20"]),
        ("unopened", "ok", ["--output=/nonexistent/%j"]),
        ("held", "ok", ["--hold"]),
        ("waiting", "ok", ["--begin=now+1hour"]),
        ("array", "exit3", ["--array=0-2"]),
        ("two\nlines|and more", "ok", []),
        ("timeout", "sleep", []),
        ("cancelled", "sleep", []),
        ("cancelled-waiting", "ok", ["--hold"]),
        ("running", "sleep", []),
    ):
        jobs[name] = tape.submit(lab, script, there, *options, name=name)
    wait_until(lambda: lab.state(jobs["timeout"]) == "RUNNING", "the job runs")
    lab.run("scontrol", "update", f"jobid={jobs['timeout']}", "endtime=now+1")
    wait_until(lambda: lab.state(jobs["cancelled"]) == "RUNNING", "the job runs")
    tape.record(lab, "scancel wrong-name", slurm_cli.build_scancel(jobs["cancelled"], "another"))
    for name in ("cancelled", "cancelled-waiting"):
        tape.record(lab, f"scancel {name}", slurm_cli.build_scancel(jobs[name], name))
    jobs["nodefail"] = tape.submit(lab, "sleep", "--no-requeue", f"--nodelist={second}", name="nodefail")
    jobs["requeued"] = tape.submit(lab, "sleep", "--requeue", f"--nodelist={second}", name="requeued")
    for name in ("nodefail", "requeued"):
        wait_until(lambda job=jobs[name]: lab.state(job) == "RUNNING", f"{name} runs")  # type: ignore[misc]
    with lab.down(second):
        wait_until(lambda: lab.state(jobs["requeued"]) == "PENDING", "the job is requeued")
        wait_until(lambda: lab.state(jobs["nodefail"]) == "NODE_FAIL", "the job failed with its node")
    for name, state in (("timeout", "TIMEOUT"), ("cancelled", "CANCELLED"), ("oom", "OUT_OF_MEMORY")):
        wait_until(lambda job=jobs[name], word=state: lab.state(job) == word, name)  # type: ignore[misc]
    for name, job in jobs.items():
        tape.record(lab, f"squeue {name}", slurm_cli.build_squeue(job_ids=[job])[0])
        if "oom" in name:
            wait_until(lambda job=job: "OUT_OF" in lab.run("sacct", "-j", job), "accounted")  # type: ignore[misc]
        tape.record(lab, f"sacct {name}", slurm_cli.build_sacct(job_ids=[job])[0])
    both = [jobs["ok"], jobs["exit3"]]
    tape.record(lab, "squeue several", slurm_cli.build_squeue(job_ids=[*both, "99998"])[0])
    tape.record(lab, "squeue by-name", slurm_cli.build_squeue(job_names=["exit3"])[0])
    tape.record(lab, "squeue no-such-name", slurm_cli.build_squeue(job_names=["nobody"])[0])
    tape.record(lab, "squeue unknown", slurm_cli.build_squeue(job_ids=["99999"])[0])
    tape.record(lab, "squeue two-unknown", slurm_cli.build_squeue(job_ids=["99998", "99999"])[0])
    tape.record(lab, "sacct several", slurm_cli.build_sacct(job_ids=[*both, "99998"])[0])
    tape.record(lab, "sacct unknown", slurm_cli.build_sacct(job_ids=["99999"])[0])
    tape.record(lab, "scancel ended", slurm_cli.build_scancel(jobs["ok"], "ok"))
    tape.record(lab, "scancel unknown", slurm_cli.build_scancel("99999", "nobody"))


def record_trouble(tape: Recorder, lab: SlurmLab, kind: str) -> None:
    """What is said when nobody answers. Without munge, squeue and scancel never come back by themselves."""
    tape.sbatch(lab, kind)
    tape.record(lab, f"squeue {kind}", slurm_cli.build_squeue(job_ids=["1"])[0], 20)
    tape.record(lab, f"scancel {kind}", slurm_cli.build_scancel("1", "nobody"), 20)
    tape.record(lab, f"ping {kind}", slurm_cli.build_ping())


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        tape = Recorder(Path(name))
        with SlurmLab(accounting=True) as lab:
            record_submissions(tape, lab)
            record_jobs(tape, lab)
            lab.kill("slurmdbd")
            tape.record(lab, "sacct dbd-down", slurm_cli.build_sacct(job_ids=["1"])[0])
        with SlurmLab() as lab:
            tape.record(lab, "ping up", slurm_cli.build_ping())
            tape.record(lab, "sacct disabled", slurm_cli.build_sacct(job_ids=["1"])[0])
            with lab.frozen():
                record_trouble(tape, lab, "frozen-controller")
                tape.sbatch(lab, "our-timeout", timeout_s=0.5)
            with lab.killed():
                record_trouble(tape, lab, "dead-controller")
            with lab.killed("munged"):
                record_trouble(tape, lab, "dead-munge")
            lab.conf.rename(lab.conf.with_name("away"))
            tape.sbatch(lab, "no-configuration", timeout_s=90)
            lab.conf.with_name("away").rename(lab.conf)
    RECORDED.write_text(json.dumps(tape.answers, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
