import pytest

from heliograph.state.pending_words import PENDING, pending_meaning


@pytest.mark.parametrize(
    ("reason", "means", "passes"),
    [
        ("Resources", "it is first in line", True),
        ("(Priority)", "jobs with a higher priority", True),
        ("Dependency", "it waits for another job to end", True),
        ("ReqNodeNotAvail, UnavailableNodes:n1", "a node that it needs is not available", True),
        ("ReqNodeNotAvail,_Reserved_for_maintenance", "a node that it needs is not available", True),
        ("PartitionTimeLimit", "its time limit is longer than the partition allows", False),
        ("QOSMaxJobsPerUserLimit", "you use as many jobs at the same time as the qos allows", True),
        ("AssocGrpCpuLimit", "your account uses as many cores at the same time as your account allows", True),
        ("AssocMaxJobsLimit", "your account uses as many jobs", True),
        ("AssocGrpCPUMinutesLimit", "your account has used up its minutes of computing", True),
        ("QOSMaxWallDurationPerJobLimit", "it asks for more time than the qos allows in one job", False),
        ("QOSMaxMemoryPerJob", "it asks for more memory than the qos allows in one job", False),
        ("QOSMaxGRESPerUser", "you use as many GPUs or other generic resources", True),
        ("MaxMemPerAccount", "your account uses as much memory", True),
        ("QOSMinCpuNotSatisfied", "it asks for fewer cores than the qos demands", False),
        ("JobHeldAdmin", "an administrator holds it", False),
    ],
)
def test_slurms_words_are_explained(reason: str, means: str, passes: bool) -> None:
    meaning = pending_meaning(reason)
    assert meaning is not None
    assert meaning.means.startswith(means)
    assert meaning.passes is passes
    assert meaning.remedy.endswith((".", ":"))


@pytest.mark.parametrize(
    "reason", ["", "PhaseOfTheMoon", "Max", "AssocGrpLimit", "QOSMaxFooPerUser", "\x1b[31m"]
)
def test_unknown_words_are_not_guessed_at(reason: str) -> None:
    assert pending_meaning(reason) is None


def test_no_explanation_reads_like_two() -> None:
    for word, meaning in PENDING.items():
        assert not meaning.means.endswith("."), word
        assert meaning.command is None or meaning.remedy.endswith(":"), word
