"""The stretches of life at each of whose durable steps somebody dies.

Each is short, so that it has few steps, and begins with a world that is copied: so each death costs little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from msgspec import Struct

from crash.dying import Where, in_child
from crash.worlds import World
from heliograph.names import utc_now
from heliograph.protocol import events as ev
from heliograph.state import rebuild, settle
from heliograph.state.store import Store
from support.drives import NOW, publish_training

Act = Callable[[World], object]


class Segment(Struct, frozen=True):
    """`after` is the segment whose end this one begins with; `before` makes the world ready, once, and
    `each` what cannot be copied (a running job), every time; `act` dies somewhere; `on` goes on without
    deaths; and at last a watcher works until nothing is left to do."""

    act: Act
    after: str | None = None
    before: Act = lambda _: None
    each: Act = lambda _: None
    on: Act = World.let_go


def _new(world: World) -> None:
    world.make()
    publish_training(world.drive, "e1")
    world.hold()


def _until_submitted(stage: str, times: int = 1, more: int = 0) -> Act:
    """Watch until that many attempts are handed in, and some passes more."""

    def act(world: World) -> None:
        with world.watched() as passes:
            passes.until(lambda: passes.submitted(stage) == times, most=30)
            for _ in range(more):
                passes.tick()

    return act


def _until_idle(world: World) -> None:
    with world.watched() as passes:
        passes.until_idle()


def _until_over_or_let_go(world: World) -> None:
    """Watch until the held job is over (it is, where somebody ends it); let it run on if it never is."""
    with world.watched() as passes:
        for _ in range(6):
            passes.tick()
            if passes.is_quiet("evaluation"):
                break
            time.sleep(0.15)  # so long that a job which is told to end has ended, and is not polled in vain
        passes.tick()
    world.let_go()


def _ended(instruction: str | None = None) -> Act:
    """Let the job that waits run to its end, as instructed (an analysis); the next ones wait again."""

    def before(world: World) -> None:
        asked = world.fake / "e1-analysis"
        if instruction:
            asked.write_text(instruction)
        world.let_go()
        world.wait_for_event("job.ended")
        asked.unlink(missing_ok=True)
        world.hold()

    return before


def _trained_again(world: World) -> None:
    signal = publish_training(world.drive, "e1", timestamp=NOW + timedelta(hours=1))
    world.post(
        ev.SignalPublished(experiment="e1", stage="training", path=str(signal.path), sha256=signal.sha256)
    )
    world.hold()


def _retry_requested(world: World) -> None:
    _ended("fail 3")(world)
    in_child(lambda: _until_idle(world), world.log)
    world.post(ev.RetryRequested(experiment="e1", stage="analysis"))


def _cancel_requested(world: World) -> None:
    in_child(lambda: _until_submitted("evaluation")(world), world.log)
    world.post(ev.CancelRequested(experiment="e1", stage="evaluation"))


def _submitted_unrecorded(world: World) -> None:
    """The watcher dies when the job is handed in, and nobody has written its id down."""
    act = _until_submitted("evaluation")
    ended = in_child(lambda: act(world), world.log, Where("after", 0, "submit"))
    assert ended.step, "it was to die at the submission"


def _publish(world: World) -> None:
    signal = publish_training(world.drive, "e1")
    world.post(
        ev.SignalPublished(experiment="e1", stage="training", path=str(signal.path), sha256=signal.sha256)
    )


def _settle(world: World) -> None:
    settle.settle(world.drive, world.state, utc_now())


def _not_journaled(world: World) -> None:
    """The database knows something that the journal does not hold yet (the drive did not take it)."""
    with Store(settle.live_folder(world.state, world.drive)) as store:
        store.record(
            ev.TrainingStarted(experiment="only-here", stage="training", run="run-1", hostname="h", user="u"),
            utc_now(),
        )


def _rebuild(world: World) -> None:
    rebuild.rebuild(world.drive, world.state, utc_now())


SEGMENTS = {
    "publish": Segment(_publish, before=World.make, on=_publish),
    # with some passes more, in which the broken signal settles and is put aside
    "first": Segment(_until_submitted("evaluation", more=3), before=_new),
    "doubt": Segment(_until_submitted("evaluation"), before=_new, each=_submitted_unrecorded),
    "evaluated": Segment(_until_submitted("analysis"), after="first", before=_ended()),
    "analysed": Segment(_until_idle, after="evaluated", before=_ended()),
    "again": Segment(_until_submitted("evaluation", 2), after="analysed", before=_trained_again),
    "failed": Segment(_until_submitted("analysis", 2), after="evaluated", before=_ended("fail 1")),
    "retry": Segment(_until_submitted("analysis", 2), after="evaluated", before=_retry_requested),
    "cancel": Segment(_until_over_or_let_go, before=_new, each=_cancel_requested, on=_until_over_or_let_go),
    "settle": Segment(_settle, after="evaluated", before=_ended()),
    "rebuild": Segment(_rebuild, after="analysed", before=_not_journaled),
}
