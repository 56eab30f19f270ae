import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.config import Resources, Retry, StageSettings
from heliograph.executors.base import FailureClass
from heliograph.executors.failures import OUT_OF_TIME
from heliograph.names import NAME_PATTERN
from heliograph.watcher import policy
from support.drives import NOW


def test_tokens_follow_from_the_work_alone() -> None:
    one = policy.make_token("e1", "evaluation", "a" * 64, 1)
    assert one == policy.make_token("e1", "evaluation", "a" * 64, 1)
    others = [("e2", "evaluation", "a", 1), ("e1", "analysis", "a", 1), ("e1", "evaluation", "a", 2)]
    assert len({one, *(policy.make_token(*other) for other in others)}) == 4


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 300),
        ("5:30", 330),
        ("02:00:00", 7200),
        ("1-0", 86400),
        ("1-2:30", 95400),
        ("2-01:02:03", 176523),
    ],
)
def test_slurm_times_are_read(text: str, seconds: int) -> None:
    assert policy.time_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "mb"), [("512", 512), ("2048K", 2), ("3M", 3), ("32G", 32768), ("1T", 1048576)]
)
def test_slurm_memory_is_read(text: str, mb: float) -> None:
    assert policy.mem_mb(text) == mb


def test_resources_grow_up_to_the_most_and_no_further() -> None:
    settings = StageSettings(most_mem="48G", most_time="03:00:00")
    grown = policy.escalate(Resources(), FailureClass.RESOURCES, "killed", settings)
    assert (grown.mem, grown.time) == ("49152M", "03:00:00")
    assert policy.escalate(grown, FailureClass.RESOURCES, "killed", settings) == grown
    assert policy.escalate(Resources(), FailureClass.TRANSIENT, "", settings) == Resources()


def test_a_node_that_failed_is_not_taken_again() -> None:
    settings = StageSettings(resources=Resources(exclude="old[1-2,4],gpu7"))
    once = policy.escalate(settings.resources, FailureClass.NODE, "NODE_FAIL", settings, "node[07-08]")
    assert once.exclude == "old[1-2,4],gpu7,node[07-08]"
    twice = policy.escalate(once, FailureClass.NODE, "exit code 4", settings, "node09")
    assert twice.exclude == "old[1-2,4],gpu7,node[07-08],node09"
    again = policy.escalate(twice, FailureClass.NODE, "NODE_FAIL", settings, "node[07-08]")
    assert again.exclude == "old[1-2,4],gpu7,node09,node[07-08]"
    assert again.mem == settings.resources.mem


def test_of_many_nodes_that_failed_the_last_few_are_left_out() -> None:
    settings = StageSettings(resources=Resources(exclude="bad1"))
    resources = settings.resources
    for number in range(30):
        resources = policy.escalate(resources, FailureClass.NODE, "NODE_FAIL", settings, f"n{number}")
    assert resources.exclude == "bad1," + ",".join(f"n{number}" for number in range(22, 30))


@pytest.mark.parametrize(
    ("failure_class", "reason", "nodes"),
    [
        (FailureClass.NODE, "PREEMPTED", "n1"),  # somebody else's job was more important there
        (FailureClass.NODE, "NODE_FAIL", None),
        (FailureClass.NODE, "NODE_FAIL", "(null)"),
        (FailureClass.NODE, "NODE_FAIL", "n1 --nice"),
        (FailureClass.NODE, "NODE_FAIL", "-x"),
        (FailureClass.TRANSIENT, "exit code 1", "n1"),
        (FailureClass.RESOURCES, "OUT_OF_MEMORY", "n1"),
    ],
)
def test_nodes_that_are_not_to_blame_or_not_named_stay(
    failure_class: FailureClass, reason: str, nodes: str | None
) -> None:
    assert policy.escalate(Resources(), failure_class, reason, StageSettings(), nodes).exclude is None


@pytest.mark.parametrize(
    ("reason", "mem", "time", "told"),
    [
        ("OUT_OF_MEMORY, OutOfMemory", "256G", "02:00:00", "most_mem: 256G"),
        ("OUT_OF_MEMORY, OutOfMemory", "32G", "24:00:00", None),
        ("TIMEOUT, TimeLimit", "32G", "1-00:00:00", "most_time: 24:00:00"),
        ("TIMEOUT, TimeLimit", "256G", "02:00:00", None),
        ("FAILED, signal 9", "256G", "02:00:00", None),  # it may have been the time
        ("FAILED, signal 9", "256G", "24:00:00", "most_mem: 256G, most_time: 24:00:00"),
    ],
)
def test_what_had_the_most_already_is_not_tried_again(
    reason: str, mem: str, time: str, told: str | None
) -> None:
    resources = Resources(mem=mem, time=time)
    said = policy.told_exhausted(resources, FailureClass.RESOURCES, reason, StageSettings())
    assert (said and told) == told
    if told:
        assert f"({told})" in str(said)


def test_other_failures_and_an_orderly_end_have_exhausted_nothing() -> None:
    most, settings = Resources(mem="256G", time="24:00:00"), StageSettings()
    assert policy.told_exhausted(most, FailureClass.TRANSIENT, "exit code 1", settings) is None
    words = "TIMEOUT: it was warned and left | FAILED"
    assert policy.told_exhausted(most, FailureClass.RESOURCES, words, settings, OUT_OF_TIME) is None
    assert policy.told_exhausted(most, FailureClass.RESOURCES, words, settings) is not None


@given(attempt=st.integers(1, 50), token=st.from_regex(NAME_PATTERN, fullmatch=True))
def test_delays_grow_but_stay_within_jitter_and_longest(attempt: int, token: str) -> None:
    retry = Retry(first_delay_s=10, factor=3, longest_delay_s=500, jitter=0.1)
    delay = policy.retry_delay(retry, attempt, token).total_seconds()
    expected = min(10 * 3 ** (attempt - 1), 500)
    assert 0.9 * expected <= delay <= 1.1 * expected


def test_the_jitter_of_two_attempts_differs() -> None:
    delays = {policy.retry_delay(Retry(), 1, f"token{n}") for n in range(50)}
    assert len(delays) == 50


def test_what_somebody_cancelled_is_not_tried_again() -> None:
    for failure_class in FailureClass:
        at = policy.next_attempt_at(failure_class, 1, StageSettings(), Retry(), "t", NOW)
        assert (at is not None) == (failure_class in policy.RETRIED)


@given(st.text())
def test_what_others_say_becomes_one_short_line(text: str) -> None:
    line = policy.one_line(text, longest=40)
    assert len(line) <= 40
    assert "\n" not in line
    assert "\x1b" not in line
