"""All hostile signals, events and folders at once, beside good experiments, under a real watcher."""

from __future__ import annotations

import hashlib
import json
import stat
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from heliograph.cli.main import main
from heliograph.config import LocalSettings
from heliograph.drive import Drive
from heliograph.names import utc_now
from heliograph.protocol.events import parse_event
from heliograph.protocol.quarantine import list_quarantine
from heliograph.state import rebuild
from heliograph.watcher.daemon import Watcher, resident_mb
from hostile.cases import Case, put_event, put_signal, read_corpus
from hostile.place import Place
from support.drives import make_model, publish_training
from support.fake_worker import make_stub, starts
from support.watching import CONFIG, tick_until, watching

# Names of folders below models/: what a person, a tool or another operating system may leave there.
FOLDERS = (
    *(
        "-rf",
        "; rm -rf ~",
        "$(touch pwned)",
        "`touch pwned`",
        "it's",
        '"quoted"',
        "a b",
        "a\nb",
        "a\x1b[31mb",
    ),
    *("_backup", "~", "#recycle", "expe\u0301riment", "exp\u00e9riment", "ехр", "a" * 129, "a\udcffb"),
)
GOOD = ("good-1", "Good-1", "good.1", "good_1")
CONFIG_4 = msgspec.structs.replace(CONFIG, local=LocalSettings(slots=4))
MOST_GROWTH_MB = 60.0
"""of memory, while two files of 100 MB and many of 1 MB are looked at"""


def fingerprint(path: Path) -> str:
    """Tell what stands at a path, a link not followed."""
    info = path.lstat()
    if stat.S_ISREG(info.st_mode):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return f"{stat.S_IFMT(info.st_mode):o} {path.readlink() if path.is_symlink() else ''}"


class Everything:
    """The whole corpus on one drive."""

    def __init__(self, drive: Drive) -> None:
        self.drive = drive
        self.signals: list[tuple[Case, Place]] = []
        self.events: list[tuple[Case, Place]] = []
        self.before: list[bytes] = []
        for number, case in enumerate(read_corpus("signals")):
            if case.make != "unreadable":  # the tests may run as root, who reads everything
                make_model(drive, case.experiment or f"broken-{number:03d}")
                self.signals.append((case, put_signal(case, drive, f"broken-{number:03d}")))
        for number, case in enumerate(read_corpus("events")):
            place, before = put_event(case, drive, number)
            self.events.append((case, place))
            self.before += [json.dumps(one).encode() for one in before]
        for name in FOLDERS:
            (drive.models / name).mkdir()
        for name in GOOD:
            publish_training(drive, name)
        self.fingerprints = {place.path: fingerprint(place.path) for _, place in self.signals}

    def expected(self) -> list[str]:
        """Return the reasons that are to stand in the quarantine, those of folders aside."""
        cases = self.signals + self.events
        return sorted(reason for case, place in cases if (reason := case.expected(place)) is not None)

    def accepted(self) -> set[str]:
        """Return the experiments that are to be evaluated and analysed."""
        return {place.experiment for case, place in self.signals if case.told is None} | set(GOOD)


def reasons(drive: Drive) -> list[str]:
    """Return the reasons that stand in the quarantine, those of folders aside."""
    told = [one.reason.reason for one in list_quarantine(drive)]
    return sorted(reason for reason in told if "the folder's name is not a name" not in reason)


def is_done(watcher: Watcher, everything: Everything) -> Callable[[], bool]:
    def done() -> bool:
        rows = watcher.store.rows("analysis", "jobs")
        finished = {row["experiment_name"] for row in rows if row["status"] == "completed"}
        count = len(everything.expected()) + len(FOLDERS)
        return finished >= everything.accepted() and len(list_quarantine(watcher.drive)) >= count

    return done


def peak_mb() -> float:
    (line,) = [
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    ]
    return int(line.split()[1]) / 1000


@pytest.mark.slow
def test_every_bad_file_is_put_aside_once_and_every_good_experiment_completes(
    drive: Drive, spot: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, fake = spot / "state", spot / "fake"
    python = make_stub(fake)
    everything = Everything(drive)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    before_mb = resident_mb()
    with watching(drive, state, python, CONFIG_4) as watcher:
        watcher.store.apply([parse_event(raw, "before") for raw in everything.before])
        tick_until(watcher, is_done(watcher, everything), timeout_s=240)
    assert peak_mb() - before_mb < MOST_GROWTH_MB
    assert Counter(reasons(drive)) == Counter(everything.expected())

    with watching(drive, state, python, CONFIG_4) as watcher:  # a second one finds nothing new in all that
        publish_training(drive, "late")
        everything.signals.append((Case(name="late"), Place(drive, drive.models / "late", "late")))
        tick_until(watcher, is_done(watcher, everything), timeout_s=120)
        for _ in range(20):
            watcher.tick(utc_now())
    assert Counter(reasons(drive)) == Counter(everything.expected())
    assert len(list_quarantine(drive)) == len(everything.expected()) + len(FOLDERS)

    assert {path: fingerprint(path) for path in everything.fingerprints} == everything.fingerprints
    assert [p.name for p in drive.inbox.iterdir() if not p.name.startswith(".")] == []
    assert Counter(line.split()[0] for line in starts(fake)) == Counter(
        dict.fromkeys(everything.accepted(), 2)
    )
    assert rebuild.check(drive, state) == []
    assert not list(spot.rglob("pwned"))
    check_scripts(drive)
    check_log_and_listing(drive, capsys, len(everything.expected()) + len(FOLDERS))


def check_scripts(drive: Drive) -> None:
    """Of all those names and paths, only directives that were meant have reached a script."""
    for script in drive.scripts.iterdir():
        lines = script.read_text().splitlines()
        good = (
            drive.scripts / f"{script.name.split('_')[0]}_{script.name.split('_')[1]}_good-1.sh"
        ).read_text()
        directives = [line for line in lines if line.startswith("#SBATCH")]
        assert lines[1 : 1 + len(directives)] == directives
        assert len(directives) == good.count("#SBATCH"), script


def check_log_and_listing(drive: Drive, capsys: pytest.CaptureFixture[str], count: int) -> None:
    capsys.readouterr()
    assert main(["--drive", str(drive.root), "quarantine"]) == 0
    shown = capsys.readouterr().out
    assert all(line.isprintable() for line in shown.split("\n"))
    assert main(["--drive", str(drive.root), "quarantine", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == count
    assert main(["--drive", str(drive.root), "status"]) == 0
    shown = capsys.readouterr().out
    assert all(line.isprintable() for line in shown.split("\n"))
