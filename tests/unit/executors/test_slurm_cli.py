"""The parsers, against what a real Slurm 22.05 said (recorded.json; contract/record_slurm.py wrote it)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heliograph.errors import PollFailed, SubmissionDoubtful, SubmissionRefused
from heliograph.executors import slurm_cli
from heliograph.executors.base import FailureClass, JobReport, JobState
from heliograph.executors.command import Answer

RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text(encoding="utf-8"))


def answer(case: str) -> Answer:
    return Answer(**RECORDED[case])


# How each job ended, or stands: state, exit code, signal.
JOBS = {
    "ok": (JobState.COMPLETED, 0, None),
    "exit3": (JobState.FAILED, 3, None),
    "kill9": (JobState.FAILED, None, 9),
    "unopened": (JobState.FAILED, None, 53),
    "oom": (JobState.OUT_OF_MEMORY, None, None),
    "oomstep": (JobState.OUT_OF_MEMORY, 7, None),
    "timeout": (JobState.TIMEOUT, None, None),
    "cancelled": (JobState.CANCELLED, None, None),
    "cancelled-waiting": (JobState.CANCELLED, None, None),
    "nodefail": (JobState.NODE_FAIL, None, None),
    "array": (JobState.FAILED, 3, None),
}
UNFINISHED = {
    "held": (JobState.PENDING, "JobHeldUser"),
    "waiting": (JobState.PENDING, "BeginTime"),
    "requeued": (JobState.PENDING, "BeginTime"),
    "running": (JobState.RUNNING, None),
}


class TestStates:
    @pytest.mark.parametrize("case", JOBS)
    def test_squeue_tells_how_a_job_ended(self, case: str) -> None:
        [report] = slurm_cli.parse_squeue(answer(f"squeue {case}"))
        assert (report.name, report.state, report.exit_code, report.signal) == (case, *JOBS[case])

    @pytest.mark.parametrize("case", JOBS)
    def test_sacct_tells_the_same(self, case: str) -> None:
        [squeue] = slurm_cli.parse_squeue(answer(f"squeue {case}"))
        [sacct] = slurm_cli.parse_sacct(answer(f"sacct {case}")) or []
        differences = {
            field for field in JobReport.__struct_fields__ if getattr(squeue, field) != getattr(sacct, field)
        }
        assert differences <= {"reason", "restarts"}  # sacct's reason is why the job once waited

    @pytest.mark.parametrize("case", UNFINISHED)
    def test_squeue_tells_how_a_job_stands(self, case: str) -> None:
        [report] = slurm_cli.parse_squeue(answer(f"squeue {case}"))
        assert (report.state, report.reason) == UNFINISHED[case]
        assert report.ended_at is None
        assert (report.started_at is None) is (report.state is JobState.PENDING)

    @pytest.mark.parametrize("case", UNFINISHED)
    def test_what_sacct_says_of_unfinished_jobs_is_no_evidence(self, case: str) -> None:
        assert answer(f"sacct {case}").stdout
        assert slurm_cli.parse_sacct(answer(f"sacct {case}")) == []

    def test_sacct_hides_the_signal_in_an_exit_code(self) -> None:
        assert slurm_cli.parse_squeue(answer("squeue exit137"))[0].exit_code == 137
        assert (slurm_cli.parse_sacct(answer("sacct exit137")) or [])[0].exit_code == 9

    def test_every_field_is_read(self) -> None:
        fields = [
            "4",
            "FAILED",
            "NonZeroExitCode",
            "768",
            "0",
            "1795469037",
            "1795469038",
            "1795469040",
            "n1",
        ]
        line = "\x1f".join(["2", *fields, "eval_a.t1", "\n"])
        assert slurm_cli.parse_squeue(Answer("squeue", 0, line)) == [
            JobReport(
                job_id="4",
                name="eval_a.t1",
                state=JobState.FAILED,
                reason="NonZeroExitCode",
                exit_code=3,
                submitted_at=datetime.fromtimestamp(1795469037, UTC),
                started_at=datetime.fromtimestamp(1795469038, UTC),
                ended_at=datetime.fromtimestamp(1795469040, UTC),
                nodes="n1",
                restarts=2,
            )
        ]

    def test_who_cancelled_is_kept(self) -> None:
        assert (slurm_cli.parse_sacct(answer("sacct cancelled")) or [])[0].reason == "CANCELLED by 0"

    @pytest.mark.parametrize(
        ("word", "state"),
        [
            ("COMPLETING", JobState.RUNNING),
            ("CONFIGURING", JobState.PENDING),
            ("REQUEUE_HOLD", JobState.PENDING),
            ("SUSPENDED", JobState.RUNNING),
            ("BOOT_FAIL", JobState.NODE_FAIL),
            ("A_WORD_FROM_THE_FUTURE", JobState.RUNNING),
        ],
    )
    def test_a_state_that_is_reduced_stays_as_the_reason(self, word: str, state: JobState) -> None:
        [report] = slurm_cli.parse_squeue(Answer("squeue", 0, squeue_line(state=word)))
        assert (report.state, report.reason) == (state, word)

    @pytest.mark.parametrize(
        ("text", "exit_code", "signal"),
        [
            ("768", 3, None),
            ("3:0", 3, None),
            ("9", None, 9),
            ("0:9", None, 9),
            ("35072", 137, None),
            ("", 0, None),
        ],
    )
    def test_exit_codes_of_old_and_new_versions(
        self, text: str, exit_code: int | None, signal: int | None
    ) -> None:
        [report] = slurm_cli.parse_squeue(Answer("squeue", 0, squeue_line(state="FAILED", exit_code=text)))
        assert (report.exit_code, report.signal) == (exit_code, signal)


def squeue_line(
    *, job_id: str = "7", state: str = "RUNNING", exit_code: str = "0", ended: str = "N/A"
) -> str:
    fields = ["0", job_id, state, "None", exit_code, "0", "1795469037", "1795469038", ended, "n1", "name"]
    return "\x1f".join(fields) + "\x1f\n"


class TestLists:
    def test_unknown_ids_are_left_out(self) -> None:
        assert [report.name for report in slurm_cli.parse_squeue(answer("squeue several"))] == ["ok", "exit3"]
        assert [report.name for report in slurm_cli.parse_sacct(answer("sacct several")) or []] == [
            "ok",
            "exit3",
        ]

    @pytest.mark.parametrize("case", ["squeue unknown", "squeue two-unknown", "squeue no-such-name"])
    def test_none_known(self, case: str) -> None:
        assert slurm_cli.parse_squeue(answer(case)) == []

    def test_how_often_a_job_was_restarted(self) -> None:
        assert slurm_cli.parse_squeue(answer("squeue running"))[0].restarts == 0
        assert slurm_cli.parse_squeue(answer("squeue requeued"))[0].restarts == 1

    def test_thousands_of_names_are_split_where_an_argument_ends(self) -> None:
        names = [f"eval_experiment_{number:04d}.0123456789ab" for number in range(6000)]
        calls = slurm_cli.build_squeue(job_names=names)
        lists = [argv[-1].removeprefix("--name=") for argv in calls]
        assert [name for some in lists for name in some.split(",")] == names
        assert len(lists) == 3
        assert max(map(len, lists)) < 128 * 1024
        assert [len(slurm_cli.build_sacct(job_names=names[:n])) for n in (0, 1, 500)] == [0, 1, 1]

    def test_none_accounted(self) -> None:
        assert slurm_cli.parse_sacct(answer("sacct unknown")) == []

    def test_no_accounting(self) -> None:
        assert slurm_cli.parse_sacct(answer("sacct disabled")) is None

    def test_a_name_with_separators_and_line_ends_does_no_harm(self) -> None:
        case = "two\nlines|and more"
        [report] = slurm_cli.parse_squeue(answer(f"squeue {case}"))
        assert report.name == case
        [report] = slurm_cli.parse_sacct(answer(f"sacct {case}")) or []
        assert report.name == "two"

    @pytest.mark.parametrize(
        "case", ["squeue frozen-controller", "squeue dead-controller", "squeue dead-munge"]
    )
    def test_a_squeue_that_does_not_tell(self, case: str) -> None:
        with pytest.raises(PollFailed):
            slurm_cli.parse_squeue(answer(case))

    def test_a_sacct_that_does_not_tell(self) -> None:
        with pytest.raises(PollFailed, match="Connection refused"):
            slurm_cli.parse_sacct(answer("sacct dbd-down"))

    @pytest.mark.parametrize("text", ["nonsense\x1f\n", squeue_line(state="FAILED", exit_code="three")])
    def test_a_text_that_cannot_be_read(self, text: str) -> None:
        with pytest.raises(PollFailed, match="cannot be read"):
            slurm_cli.parse_squeue(Answer("squeue", 0, text))


class TestArrays:
    @pytest.mark.parametrize(
        ("states", "together"),
        [
            (["PENDING", "PENDING"], JobState.PENDING),
            (["PENDING", "RUNNING"], JobState.RUNNING),
            (["PENDING", "COMPLETED"], JobState.RUNNING),
            (["RUNNING", "FAILED"], JobState.RUNNING),
            (["COMPLETED", "COMPLETED"], JobState.COMPLETED),
            (["COMPLETED", "FAILED", "OUT_OF_MEMORY"], JobState.OUT_OF_MEMORY),
            (["CANCELLED", "COMPLETED"], JobState.CANCELLED),
        ],
    )
    def test_an_array_is_one_job(self, states: list[str], together: JobState) -> None:
        ends = {"PENDING": "N/A", "RUNNING": "N/A"}
        lines = [squeue_line(state=state, ended=ends.get(state, "1795469040")) for state in states]
        [report] = slurm_cli.parse_squeue(Answer("squeue", 0, "".join(lines)))
        assert report.state is together
        assert (report.ended_at is not None) is together.is_over


class TestSubmission:
    @pytest.mark.parametrize("out", ["17\n", "17;cluster\n", "welcome to the cluster\n17\n"])
    def test_the_id(self, out: str) -> None:
        assert slurm_cli.parse_sbatch(Answer("sbatch", 0, out)) == "17"

    def test_the_recorded_id(self) -> None:
        assert slurm_cli.parse_sbatch(answer("sbatch taken")) == "1"

    @pytest.mark.parametrize(
        ("case", "kind"),
        [
            ("invalid-partition", FailureClass.PERMANENT),
            ("invalid-account", FailureClass.PERMANENT),
            ("invalid-qos", FailureClass.PERMANENT),
            ("invalid-gres", FailureClass.PERMANENT),
            ("invalid-array", FailureClass.PERMANENT),
            ("too-much-memory", FailureClass.PERMANENT),
            ("too-long", FailureClass.PERMANENT),
            ("dependency", FailureClass.PERMANENT),
            ("bad-option", FailureClass.PERMANENT),
            ("no-script", FailureClass.PERMANENT),
            ("dos-script", FailureClass.PERMANENT),
            ("empty-script", FailureClass.PERMANENT),
            ("drained-partition", FailureClass.HOLD),
            ("policy", FailureClass.HOLD),
            ("no-configuration", FailureClass.HOLD),
            ("missing-script", FailureClass.TRANSIENT),
            ("dead-controller", FailureClass.TRANSIENT),
            ("dead-munge", FailureClass.TRANSIENT),
        ],
    )
    def test_refusals(self, case: str, kind: FailureClass) -> None:
        with pytest.raises(SubmissionRefused) as refusal:
            slurm_cli.parse_sbatch(answer(f"sbatch {case}"))
        assert refusal.value.failure_class == kind
        words = RECORDED[f"sbatch {case}"]["stderr"].splitlines()[-1]
        assert words in str(refusal.value)  # people are told Slurm's own words

    @pytest.mark.parametrize("case", ["frozen-controller", "our-timeout"])
    def test_doubts(self, case: str) -> None:
        with pytest.raises(SubmissionDoubtful):
            slurm_cli.parse_sbatch(answer(f"sbatch {case}"))

    @pytest.mark.parametrize(
        "told",
        [
            Answer("sbatch", 0, ""),
            Answer("sbatch", 0, "Submitted, I think\n"),
            Answer("sbatch", 1, "", "sbatch: error: Batch job submission failed: words of a Slurm to come"),
            Answer(
                "sbatch",
                1,
                "",
                "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
            ),
            Answer("sbatch", 255, "", "sbatch: error: Unexpected message received"),
            Answer("sbatch", -9),
        ],
        ids=str,
    )
    def test_what_is_not_understood_is_doubtful(self, told: Answer) -> None:
        with pytest.raises(SubmissionDoubtful):
            slurm_cli.parse_sbatch(told)

    def test_without_slurm_the_job_is_held(self) -> None:
        with pytest.raises(SubmissionRefused, match="command not found") as refusal:
            slurm_cli.parse_sbatch(Answer("sbatch", 127, "", "sbatch: command not found"))
        assert refusal.value.failure_class == FailureClass.HOLD

    def test_arguments(self) -> None:
        argv = slurm_cli.build_sbatch(Path("/scripts/a b.sh"), "eval_a.t1")
        assert argv == ["sbatch", "--parsable", "--job-name=eval_a.t1", "/scripts/a b.sh"]


class TestOthers:
    @pytest.mark.parametrize("case", ["cancelled", "cancelled-waiting", "wrong-name", "ended", "unknown"])
    def test_scancel_that_was_heard(self, case: str) -> None:
        slurm_cli.parse_scancel(answer(f"scancel {case}"))

    @pytest.mark.parametrize("case", ["frozen-controller", "dead-controller", "dead-munge"])
    def test_scancel_that_was_not(self, case: str) -> None:
        with pytest.raises(PollFailed):
            slurm_cli.parse_scancel(answer(f"scancel {case}"))

    @pytest.mark.parametrize(
        ("case", "up"),
        [("up", True), ("frozen-controller", False), ("dead-controller", False), ("dead-munge", False)],
    )
    def test_ping(self, case: str, up: bool) -> None:
        assert slurm_cli.parse_ping(answer(f"ping {case}")) is up
