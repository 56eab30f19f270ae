"""What delays between two hosts mean; and two peers that really meet, turn by turn."""

from __future__ import annotations

from pathlib import Path

import pytest

from heliograph.doctor import peer_judge
from heliograph.doctor.peer import Peer
from heliograph.doctor.peer_judge import Clocks, Measured


def measured(
    here: list[float], there: list[float], *, raced: int = 5, both_won: int = 0, drive_id: str = "one"
) -> Measured:
    return Measured(
        peer="ssrde",
        drive_id=drive_id,
        here={"listed": here, "asked": here[:1]},
        there={"listed": there, "asked": there[:1]},
        raced=raced,
        both_won=both_won,
    )


def test_a_difference_of_the_clocks_cancels_out() -> None:
    """Its clock is 100 s ahead: what takes 0.1 s seems to take -99.9 s here, and 100.1 s there."""
    clocks = peer_judge.compare_clocks(measured([-99.9, -99.0], [100.1, 101.0]))
    assert clocks is not None
    assert clocks.ahead_s == pytest.approx(100.0)
    assert clocks.give_or_take_s == pytest.approx(0.1)


def test_delays_are_told_by_a_clock_that_is_right() -> None:
    findings = peer_judge.judge_peer(measured([-99.9, -90.0, -80.0], [100.1, 100.2, 100.3]), "one", 1.0)
    told = {finding.check: finding for finding in findings}
    assert "ssrde's here after 10 s, at worst 20 s (3 rounds)" in told["new names"].told
    assert "ours at ssrde after 0.2 s, at worst 0.3 s (3 rounds)" in told["new names"].told
    assert "an announced signal is found within about 21 s" in told["new names"].told
    assert told["new names"].verdict == "warn" and "dir_cache=no" in told["new names"].remedy
    assert told["missing names"].verdict == "ok"
    assert told["clocks"].verdict == "warn"


def test_a_tuned_drive_is_well() -> None:
    findings = peer_judge.judge_peer(measured([0.01, 0.02], [0.02, 0.03]), "one", 1.0)
    assert [f.verdict for f in findings] == ["ok"] * 4
    assert "found within about 1.0 s" in findings[1].told


def test_nobody_there_is_told_with_both_reasons() -> None:
    (finding,) = peer_judge.judge_peers([], "one", 60.0, 1.0)
    assert finding.verdict == "warn"
    assert "nobody else ran this" in finding.told and "take longer" in finding.told


def test_a_peer_that_answered_nothing_is_no_measurement() -> None:
    (finding,) = peer_judge.judge_peer(measured([0.1], []), "one", 1.0)
    assert finding.verdict == "warn" and "measure longer" in finding.told


def test_another_drive_is_bad() -> None:
    (finding,) = peer_judge.judge_peer(measured([0.1], [0.1], drive_id="two"), "one", 1.0)
    assert finding.verdict == "bad" and "another drive" in finding.told


@pytest.mark.parametrize(("raced", "both", "verdict"), [(5, 0, "ok"), (5, 1, "bad"), (0, 0, "skipped")])
def test_a_folder_that_two_hosts_make_has_one_winner(raced: int, both: int, verdict: str) -> None:
    assert peer_judge.judge_races("ssrde", raced, both).verdict == verdict


@pytest.mark.parametrize(
    ("clocks", "verdict"),
    [
        (Clocks(0.5, 0.1), "ok"),
        (Clocks(-3.0, 0.1), "warn"),
        (Clocks(11.0, 10.0), "ok"),
        (Clocks(13.0, 10.0), "warn"),
    ],
)
def test_clocks_are_apart_only_as_far_as_is_known(clocks: Clocks, verdict: str) -> None:
    assert peer_judge.judge_clocks("ssrde", clocks).verdict == verdict


@pytest.mark.parametrize(("seconds", "told"), [(0.0031, "3 ms"), (0.44, "0.4 s"), (20.6, "21 s")])
def test_times_are_short(seconds: float, told: str) -> None:
    assert peer_judge.seconds_of(seconds) == told


def make_peer(home: Path, name: str) -> Peer:
    folder = home / f"{name}.peer"
    folder.mkdir(parents=True)
    return Peer(folder, home / "races", "one")


def test_two_peers_see_and_answer_each_other(tmp_path: Path) -> None:
    first, second = make_peer(tmp_path, "a"), make_peer(tmp_path, "b")
    for turn in range(4):
        assert first.take_turn(float(turn)), "a note is due each second"
        assert not first.take_turn(turn + 0.5), "and no sooner"
        second.take_turn(float(turn))
    first.take_turn(4.0)
    (of_second,) = first.measured()
    assert of_second.drive_id == "one"
    # the notes that were there at the first look tell nothing, and the last are not answered yet
    assert len(of_second.here["listed"]) == 4 and len(of_second.here["asked"]) == 4
    assert len(of_second.there["listed"]) >= 2 and len(of_second.there["asked"]) >= 2
    assert peer_judge.compare_clocks(of_second) is not None


def test_what_stands_there_at_the_first_look_is_no_delay(tmp_path: Path) -> None:
    early, late = make_peer(tmp_path, "a"), make_peer(tmp_path, "b")
    for turn in range(3):
        early.take_turn(float(turn))
    late.take_turn(3.0)
    (of_early,) = late.measured()
    assert of_early.here == {"listed": [], "asked": []}


def test_a_half_written_note_and_one_who_leaves_disturb_nothing(tmp_path: Path) -> None:
    first, second = make_peer(tmp_path, "a"), make_peer(tmp_path, "b")
    first.take_turn(0.0)
    second.take_turn(0.0)
    (second.folder / "listed" / "000009.json").write_bytes(b'{"drive_')
    first.take_turn(1.0)
    for path in sorted(second.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    second.folder.rmdir()
    assert first.take_turn(2.0)
    assert len(first.measured()) == 1
