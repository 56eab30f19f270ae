"""People are shown progress often, the drive gets a heartbeat now and then."""

from __future__ import annotations

from heliograph.evaluation.progress import Progress


def test_who_is_told_how_often() -> None:
    now, shown, beats = 0.0, [], []
    progress = Progress(
        lambda *told: shown.append((now, *told)), lambda *told: beats.append((now, *told)), lambda: now
    )
    progress.begin("reading")
    assert (len(shown), beats) == (1, [])  # nothing is known yet that a watcher could use
    progress.total = 1000
    progress.begin("a")
    for _ in range(900):
        now += 0.05
        progress.advance()
    progress.finish()
    assert beats[0] == (0.0, 0, 1000, "a")
    assert beats[-1][1:] == (900, 1000, "publishing")
    assert len(beats) == 4  # at 0, 20, 40 seconds and at the end
    assert 300 <= len(shown) <= 453
    assert [done for _, done, *_ in shown] == sorted(done for _, done, *_ in shown)
