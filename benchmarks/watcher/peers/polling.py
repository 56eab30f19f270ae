"""watchdog's PollingObserver: it keeps a snapshot of the whole tree and compares it once a second."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.watcher.peers import tool
from heliograph.drive import Drive

_SCRIPT = """\
import sys, time
from watchdog.events import FileSystemEventHandler
from watchdog.observers.polling import PollingObserver

class Told(FileSystemEventHandler):
    def on_any_event(self, event):
        path = getattr(event, "dest_path", "") or event.src_path
        if path.endswith("/.training_complete") and event.event_type in ("created", "moved"):
            with open(sys.argv[2], "a") as file:
                file.write(f"{time.time()} {path.split('/')[-2]}\\n")

observer = PollingObserver(timeout=1)
observer.schedule(Told(), sys.argv[1], recursive=True)
observer.start()
open(sys.argv[3], "w").close()
observer.join()
"""


class Polling:
    """One Python process with a PollingObserver over models/."""

    name = "watchdog PollingObserver, 1 s"
    sees = "a name that appears, whole or not; starts no job"
    spread_s = 15.0
    starts_jobs = False
    depends_on_finished = True

    def prepare(self, work: Path) -> None:
        self._venv = tool.environment(work / "peers" / "watchdog", "watchdog")
        self.sees += f"; watchdog {tool.version(self._venv, 'watchdog')}"

    def start(self, work: Path, drive: Drive, experiments: list[str]) -> None:
        self._told, ready = work / "run" / "polling.seen", work / "run" / "polling.ready"
        for file in (self._told, ready):
            file.unlink(missing_ok=True)
        command = [
            str(self._venv / "bin" / "python"),
            "-c",
            _SCRIPT,
            str(drive.models),
            str(self._told),
            str(ready),
        ]
        self._running = tool.Launched(command, {}, work / "run" / "polling.log")
        self._running.wait_ready(ready.exists, 300)

    def pids(self) -> list[int]:
        return self._running.pids()

    def seen(self) -> Mapping[str, float]:
        return tool.moments(self._told)

    def started_jobs(self) -> Mapping[str, float]:
        return {}

    def stop(self) -> None:
        self._running.stop()
