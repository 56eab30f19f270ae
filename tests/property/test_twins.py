"""Jobs of one name: one submitted twice, or again by hand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from heliograph.executors.base import JobState
from property.stage_play import Play


@pytest.fixture
def play() -> Iterator[Play]:
    play = Play()
    yield play
    play.close()


def test_of_two_jobs_of_one_attempt_the_first_works_and_the_other_leaves(play: Play) -> None:
    play.publish("a", anew=True)
    play.ticks(3)
    (job,) = play.open_jobs()
    play.executor.take_again(job)
    _, twin = play.open_jobs()
    play.start_job(twin, late=False)
    play.start_job(job, late=False)
    assert list(play.runs) == [twin.id]
    play.drain()
    play.check_nothing_is_lost()


def test_a_twin_of_an_ended_attempt_does_not_begin_while_the_next_one_works(play: Play) -> None:
    """It waited in the scheduler's queue all the while, and nobody had claimed the attempt."""
    play.publish("a", anew=True)
    play.ticks(3)
    (job,) = play.open_jobs()
    play.executor.take_again(job)
    play.lose_job(job, JobState.NODE_FAIL)
    play.ticks(4)
    twin, following = play.open_jobs()
    assert (twin.name, following.name == job.name) == (job.name, False)
    play.start_job(twin, late=False)
    play.start_job(following, late=False)
    assert list(play.runs) == [following.id]
    play.drain()
    assert [row["status"] for row in play.rows("evaluation")] == ["completed", "failed"]
