"""The benchmark of the watcher runs, on drives so small that it takes seconds. Nothing here is timed."""

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from meta.project import ROOT

sys.path.insert(0, str(ROOT))
from benchmarks.watcher import __main__ as command
from benchmarks.watcher import beats, burst, figures, idle, latency, passes, report, slow_drive
from benchmarks.watcher.drives import MadeDrive
from benchmarks.watcher.lives import Writer
from benchmarks.watcher.watching import Settings
from benchmarks.watcher.watching import command as heliograph_command

from heliograph.drive import Drive
from heliograph.state.databases import DATABASES


def whats(told: list[figures.Figure]) -> set[str]:
    return {figure.what for figure in told}


def test_a_made_drive_is_known_to_its_databases_and_used_again(tmp_path: Path) -> None:
    made = MadeDrive(tmp_path, 3)
    assert made.made.events == 3 * 23
    assert made.journal_files() == len(DATABASES)
    Writer(made.drive, made.folder / "samples").model("new-1")
    (made.drive.inbox / "left").write_text("over")
    again = MadeDrive(tmp_path, 3)
    assert again.made == made.made
    assert sorted(p.name for p in made.drive.models.iterdir()) == ["run-000000", "run-000001", "run-000002"]
    assert list(made.drive.inbox.iterdir()) == []


def test_nothing_is_new_on_a_made_drive(tmp_path: Path) -> None:
    """Else the watcher would evaluate a hundred thousand experiments again."""
    made = MadeDrive(tmp_path, 2)
    settings = Settings(tmp_path / "run", made.drive, made.copy_state(tmp_path / "state"))
    settings.write(detection={}, slots=1, submissions_per_minute=60)
    watch = heliograph_command(made.drive, "watch", "--once")
    subprocess.run(watch, env=settings.environment(), check=True, capture_output=True)
    assert made.journal_files() == len(DATABASES)  # no event was added


def test_idle_cost_is_measured(tmp_path: Path) -> None:
    told = idle.measure(tmp_path, [2], window_s=0.2, runs=1)
    assert {"idle CPU", "idle memory (PSS)", "heliograph watch --once"} <= whats(told)
    (memory,) = (figure for figure in told if figure.what == "idle memory (PSS)")
    assert memory.unit == "MB"
    assert memory.values[0] > 1


def test_latency_is_measured(tmp_path: Path) -> None:
    way = latency.Way("folder exists", {"inotify": "off", "inbox_every_s": 0.1}, True, True, 0.2)
    told = latency.measure(tmp_path, 1, 2, (way,))
    assert whats(told) == {"rename to committed intent", "rename to start of the job"}
    assert [len(figure.values) for figure in told] == [2, 2]
    assert min(told[0].values) > 0
    assert min(told[1].values) > 0


def test_a_burst_is_counted(tmp_path: Path) -> None:
    told = burst.measure(tmp_path, 0, 3)
    assert "until all are submitted, no rate limit" in whats(told)


def test_what_was_submitted_twice_or_never_is_an_error() -> None:
    burst._check_exactly_once(["a"], ["a"], {"a": [1.0]})
    for submitted, starts in ((["a", "a"], {"a": [1.0]}), ([], {}), (["a"], {"a": [1.0, 2.0]})):
        with pytest.raises(RuntimeError, match="not exactly once"):
            burst._check_exactly_once(["a"], submitted, starts)


def test_heartbeats_are_measured(tmp_path: Path) -> None:
    assert whats(beats.measure(tmp_path, [1], window_s=0.3)) >= {"CPU", "written to disks"}


def test_calls_are_cut_into_passes() -> None:
    drive = Drive("/drive")
    lines = [
        '7 openat(AT_FDCWD, "/drive/state/inbox", O_RDONLY|O_DIRECTORY) = 5</drive/state/inbox>',
        "7 getdents64(5</drive/state/inbox>, 0x1, 32768) = 48",
        '7 openat(AT_FDCWD, "/elsewhere", O_RDONLY) = 6',
        '8 openat(AT_FDCWD, "/drive/state/inbox", O_RDONLY|O_DIRECTORY) = 5</drive/state/inbox>',
    ]
    calls = list(passes.drive_calls(lines, drive))
    assert [len(one) for one in passes.split_passes(calls, drive)] == [2]


@pytest.mark.skipif(slow_drive.missing() is not None, reason=f"a slow drive: {slow_drive.missing()}")
def test_a_slow_drive_is_slow_and_counted(tmp_path: Path) -> None:
    made = MadeDrive(tmp_path, 2)
    with slow_drive.slow(made, delay_s=0.05) as proxy:
        assert slow_drive.round_trip_s(made.drive.root, tries=3) >= 0.1
        before = len(proxy.requests)
        assert len(list(made.drive.models.iterdir())) == 2
        assert {request.kind for request in proxy.requests[before:]} >= {"opendir", "readdir"}
    assert made.drive.root.is_dir()
    assert not made.stored.exists()


def test_requests_are_found_in_any_pieces() -> None:
    proxy = slow_drive.SlowProxy(0.0)
    packet = struct.pack(">IB", 5, 17) + b"1234"
    for byte in packet + packet:
        proxy._note(bytes([byte]))
    assert [request.kind for request in proxy.requests] == ["stat", "stat"]
    proxy.close()


def test_a_page_holds_its_figures_between_its_markers(tmp_path: Path) -> None:
    figure = figures.Figure(
        part="idle", case="2 finished", what="CPU", unit="%", values=[1.0, 2.0, 3.0], load=0.5
    )
    machine = figures.this_machine("python -m benchmarks.watcher idle")
    part = figures.Part(name="idle", machine=machine, figures=[figure])
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    data = tmp_path / "data.json"
    figures.write_parts(data, {"idle": part})
    report.write_page(page, figures.read_parts(data))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| CPU | % | 3 | 2 | 3 | 3 | 1.5–2.5 | 0.5 |" in text


def test_tools_stand_side_by_side_with_their_ratio() -> None:
    def figure(subject: str, value: float) -> figures.Figure:
        return figures.Figure(
            part="peers", case="2 finished", subject=subject, what="seen", unit="s", values=[value]
        )

    machine = figures.this_machine("python -m benchmarks.watcher peers")
    told = [figure("heliograph", 0.5), figure("other", 2.0)]
    lines = report.part_page(figures.Part(name="peers", machine=machine, figures=told))
    assert "| heliograph | 0.5 s |" in lines
    assert "| other | 2 s (4 ×) |" in lines


def test_the_page_is_what_the_figures_say(tmp_path: Path) -> None:
    copy = tmp_path / "page.md"
    shutil.copy(command.PAGE, copy)
    report.write_page(copy, figures.read_parts(command.DATA))
    assert copy.read_text() == command.PAGE.read_text()


def test_paths_of_this_machine_are_not_published() -> None:
    assert command._public(["idle", "--work", "/secret", "--quick"]) == ["idle", "--quick"]
