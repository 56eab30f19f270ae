"""Every way in which an experiment can stand, told by real events, with the sentence that explains it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from heliograph.dashboard.explaining import explain_experiment
from heliograph.errors import UnknownExperiment, UsageError
from heliograph.executors.base import FailureClass
from heliograph.names import host_name
from heliograph.state.explanation import CODES, Explanation
from heliograph.state.failure_words import CAUSES, MEANINGS, REMEDIES
from support.drives import NOW
from support.lives import E1, Life, live, watcher_beats
from unit.dashboard import states
from unit.dashboard.states import CASES


def why(root: Path, play: Callable[[Life], None], stage: str | None = None) -> Explanation:
    with live(root, play) as snapshots:
        return explain_experiment(snapshots, E1, NOW, stage=stage)


def commands(answer: Explanation) -> list[str]:
    return [step.command for step in answer.steps if step.command]


@pytest.mark.parametrize(("play", "code", "headline"), CASES, ids=lambda case: getattr(case, "__name__", ""))
def test_every_state_has_its_sentence(
    tmp_path: Path, play: Callable[[Life], None], code: str, headline: str
) -> None:
    answer = why(tmp_path, play)
    assert (answer.code, answer.headline) == (code, headline)
    assert answer.first == []
    assert code in CODES


def test_every_code_is_described_and_each_but_the_rest_is_shown_here() -> None:
    shown = {code for _, code, _ in CASES}
    assert {*CODES} - shown == {"training_unknown", "signal_not_taken_up", "waits_for_before"}


def test_the_stages_stand_beside_each_other_in_one_word(tmp_path: Path) -> None:
    answer = why(tmp_path, states.was_cancelled)
    lines = [(line.stage, line.status) for line in answer.stages]
    assert lines == [("training", "completed"), ("evaluation", "cancelled"), ("analysis", "waiting")]
    assert (answer.stage, answer.status) == ("evaluation", "cancelled")


def test_a_waiting_job_tells_attempt_job_words_and_resources(tmp_path: Path) -> None:
    answer = why(tmp_path, states.is_pending)
    assert (answer.attempt, answer.most_attempts, answer.executor, answer.job_id) == (1, 3, "slurm", "4711")
    assert (answer.scheduler_state, answer.scheduler_words) == ("PENDING", "Resources")
    assert answer.scheduler_means is not None and answer.scheduler_means.startswith("it is first in line")
    assert answer.for_s == 68 * 60
    assert answer.resources == {"time": "02:00:00", "mem": "32G", "cpus_per_task": 8}
    assert commands(answer) == ["heliograph cancel exp_01 --stage evaluation"]


def test_words_that_nobody_knows_are_shown_as_they_are(tmp_path: Path) -> None:
    answer = why(tmp_path, lambda life: states.is_pending(life, "PhaseOfTheMoon"))
    assert answer.headline.endswith(": PhaseOfTheMoon.")
    assert answer.sentences == ["Slurm says 'PhaseOfTheMoon'. What that means is not known here."]
    assert "scontrol show job 4711" in commands(answer)


def test_a_held_job_tells_how_it_is_let_go(tmp_path: Path) -> None:
    answer = why(tmp_path, lambda life: states.is_pending(life, "JobHeldUser"))
    assert commands(answer)[0] == "scontrol release 4711"


def test_on_one_machine_the_same_word_means_another_thing(tmp_path: Path) -> None:
    answer = why(tmp_path, lambda life: states.is_pending(life, executor="local"))
    assert answer.headline.startswith("Evaluation waits for its turn on this machine")
    assert answer.scheduler_means == "as many jobs run on this machine as may run at the same time"


def test_running_out_of_memory_suggests_more(tmp_path: Path) -> None:
    answer = why(tmp_path, states.failed_three_times)
    assert "heliograph retry exp_01 --stage evaluation --mem 128G" in commands(answer)
    assert (answer.failure_class, answer.failure_means) == ("resources", "it ran out of memory or time")
    assert answer.error_message == states.OOM
    assert [said.split(" before")[0] for said in answer.sentences] == ["Attempt 1", "Attempt 2"]


def test_what_had_the_most_already_is_told_of_the_ceiling(tmp_path: Path) -> None:
    answer = why(tmp_path, states.failed_with_all_that_it_may_have)
    told = " ".join(step.text for step in answer.steps)
    assert "raise stages.evaluation.most_mem and most_time in config/watcher.yaml" in told
    assert "heliograph retry exp_01 --stage evaluation" in commands(answer)


def test_the_next_attempt_tells_when_and_with_what(tmp_path: Path) -> None:
    answer = why(tmp_path, states.is_tried_again)
    assert answer.next_attempt_at == "2026-01-31T09:09:00.000Z"
    assert answer.next_resources["mem"] == "64G"


def test_what_was_asked_for_outdoes_what_would_follow(tmp_path: Path) -> None:
    assert why(tmp_path, states.retry_was_asked).next_resources["mem"] == "48G"


def test_an_attempt_beyond_the_configured_ones_is_not_counted_among_them(tmp_path: Path) -> None:
    def play(life: Life) -> None:
        life.trained(900, 820)
        life.queues(10, 4, not_before=NOW + timedelta(minutes=4))

    assert why(tmp_path, play).headline == "Evaluation waits for its attempt 4: 31 Jan 09:09, in 4 min."


def test_a_held_submission_tells_slurms_exact_words(tmp_path: Path) -> None:
    answer = why(tmp_path, states.is_held)
    assert "Job violates accounting/QOS policy" in answer.sentences[0]
    assert answer.sentences[1] == "It is offered again 31 Jan 09:55, in 50 min. No attempt was spent."


def test_a_cancellation_that_was_asked_for_is_said_first(tmp_path: Path) -> None:
    answer = why(tmp_path, states.is_being_cancelled)
    assert answer.sentences[0] == "tmorton@monitoring asked 1 min ago to cancel it; the watcher ends it."
    assert commands(answer) == ["heliograph logs exp_01 evaluation -f"]


def test_a_silent_training_says_what_to_look_at(tmp_path: Path) -> None:
    answer = why(tmp_path, states.training_is_silent)
    assert "Look on wild_west whether it still runs." in [step.text for step in answer.steps]
    again = "heliograph train --config config/experiments/exp_01.yaml --overwrite"
    assert commands(answer) == ["heliograph sync", again]


def test_a_signal_that_stands_there_is_taken_up_soon(tmp_path: Path) -> None:
    with live(tmp_path, states.signal_is_missing) as snapshots:
        signal = snapshots.drive.model_folder(E1) / ".training_complete"
        signal.parent.mkdir()
        signal.touch()
        answer = explain_experiment(snapshots, E1, NOW)
    assert answer.code == "signal_not_taken_up"
    assert (
        answer.headline == "Its signal .training_complete stands on the drive, and has not been taken up yet."
    )


def test_what_was_put_aside_is_told_with_its_remedy(tmp_path: Path) -> None:
    answer = why(tmp_path, states.signal_was_put_aside)
    assert answer.quarantined == ["timestamp: not a time, found 'yesterday'. Publish the signal again."]
    assert commands(answer) == [
        "heliograph quarantine show 20260131T080500000Z-exp_01-x",
        "heliograph quarantine release 20260131T080500000Z-exp_01-x",
    ]


def test_a_stage_that_was_asked_for_tells_what_it_waits_for(tmp_path: Path) -> None:
    answer = why(tmp_path, states.runs, stage="analysis")
    assert (answer.code, answer.headline) == ("waits_for_before", "Analysis waits for evaluation.")
    assert answer.sentences == ["Evaluation runs on node07, for 50 min so far: 3 of 8 done, 37 %."]


def test_a_stage_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no stage is called 'eval'"):
        why(tmp_path, states.runs, stage="eval")


# What has to be known first ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beat", "said"),
    [
        (None, "No watcher runs: nothing new is taken up until somebody starts one. What is told here was "
               "published 40 s ago, 31 Jan 09:04 UTC."),
        (600.0, "The watcher (ssrde, pid 4242) has been silent for 10 min. What is told here was "
                "published 40 s ago, 31 Jan 09:04 UTC."),
    ],
)  # fmt: skip
def test_without_a_watcher_that_is_said_first(tmp_path: Path, beat: float | None, said: str) -> None:
    with live(tmp_path, states.runs, beat=beat) as snapshots:
        answer = explain_experiment(snapshots, E1, NOW)
    assert answer.first == [said]


def test_a_watcher_that_died_on_this_host_is_not_believed(tmp_path: Path) -> None:
    with live(tmp_path, states.runs) as snapshots:
        watcher_beats(snapshots.drive, 1, host=host_name())
        answer = explain_experiment(snapshots, E1, NOW)
    assert answer.first[0].startswith(f"The watcher ({host_name()}, pid 4242) has died")
    assert answer.steps[0].command == "heliograph watch"


def test_a_full_inbox_is_told(tmp_path: Path) -> None:
    with live(tmp_path, states.runs) as snapshots:
        name = f"{int((NOW.timestamp() - 300) * 1e9):020d}-wild-west-1-000000.json"
        (snapshots.drive.inbox / name).touch()
        answer = explain_experiment(snapshots, E1, NOW)
        behind = "The watcher is behind: the oldest event in the inbox has waited for 5 min."
        assert answer.first == [behind, "1 event waits in the inbox."]
        watcher_beats(snapshots.drive, 600)
        assert explain_experiment(snapshots, E1, NOW).first[-1] == "1 event waits in the inbox."


# What is not known ------------------------------------------------------------------------------------


def test_a_name_that_nobody_knows_gets_the_nearest(tmp_path: Path) -> None:
    with live(tmp_path, states.runs) as snapshots:
        with pytest.raises(
            UnknownExperiment, match=r"No experiment is called 'exp_1'. Did you mean exp_01\?"
        ):
            explain_experiment(snapshots, "exp_1", NOW)
        with pytest.raises(UnknownExperiment, match=r"'\.\./etc'"):
            explain_experiment(snapshots, "../etc", NOW)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "config/experiments/exp_01.yaml",
            "config/experiments/exp_01.yaml is there, but no training has told",
        ),
        ("models/exp_01/notes.txt", "models/exp_01/ is there, but no run has told of itself"),
    ],
)
def test_what_is_only_prepared_is_told(tmp_path: Path, path: str, said: str) -> None:
    with live(tmp_path, lambda life: None) as snapshots:
        file = snapshots.drive.root / path
        file.parent.mkdir(exist_ok=True)
        file.touch()
        answer = explain_experiment(snapshots, E1, NOW)
    assert (answer.code, answer.headline) == ("training_unknown", "Nothing is known of its training.")
    assert answer.sentences[0].startswith(said)


# Logs and settings ------------------------------------------------------------------------------------


def test_the_ends_of_the_logs_are_shown_harmless_and_without_secrets(tmp_path: Path) -> None:
    with live(tmp_path, states.failed_for_good) as snapshots:
        folder = snapshots.drive.stage_logs("evaluation")
        (folder / "4711.log").write_bytes(b"\n".join(b"line %d" % n for n in range(100)))
        (folder / "4711.err").write_bytes(b"\x1b[31mpassword=hunter2\x07\n")
        (folder / "47110.log").write_bytes(b"of another job")
        answer = explain_experiment(snapshots, E1, NOW)
    assert [log.path for log in answer.logs] == ["logs/evaluation/4711.log", "logs/evaluation/4711.err"]
    assert answer.logs[0].lines == [f"line {n}" for n in range(88, 100)]
    assert answer.logs[1].lines == ["password=***"]


def test_of_many_parts_the_last_written_logs_are_shown(tmp_path: Path) -> None:
    with live(tmp_path, states.failed_for_good) as snapshots:
        folder = snapshots.drive.stage_logs("evaluation")
        for part in range(30):
            (folder / f"4711_{part}.log").write_text(f"part {part}\n")
        for part in (3, 20):
            os.utime(folder / f"4711_{part}.log", (time.time() + 60, time.time() + 60))
        answer = explain_experiment(snapshots, E1, NOW)
    shown = [log.path for log in answer.logs]
    assert len(shown) == 4
    assert {"logs/evaluation/4711_3.log", "logs/evaluation/4711_20.log"} <= {*shown}


def test_broken_settings_do_not_keep_an_explanation_back(tmp_path: Path) -> None:
    with live(tmp_path, states.failed_three_times) as snapshots:
        snapshots.drive.watcher_config.write_text("stages: [")
        answer = explain_experiment(snapshots, E1, NOW)
    assert answer.most_attempts is None
    assert answer.headline == "Evaluation failed 5 h ago, and no other attempt follows by itself."


def test_commands_name_the_drive_where_that_is_needed(tmp_path: Path) -> None:
    with live(tmp_path, states.was_cancelled) as snapshots:
        answer = explain_experiment(snapshots, E1, NOW, command="heliograph --drive /mnt/x")
    assert commands(answer) == ["heliograph --drive /mnt/x retry exp_01 --stage evaluation"]


def test_the_runbook_knows_every_answer() -> None:
    text = (Path(__file__).parents[3] / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert [code for code in CODES if f"`{code}`" not in text] == []
    assert [name for name in MEANINGS if f"| `{name}` |" not in text] == []
    assert {*MEANINGS} == {*CAUSES} == {*REMEDIES} == {*FailureClass}
