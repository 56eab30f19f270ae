"""Dagster's sensor, as its documentation writes one for a folder: with a cursor over modification times."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.watcher.peers import tool
from heliograph.drive import Drive

_DEFINITIONS = """\
import os, time
from dagster import Config, DefaultSensorStatus, Definitions, RunRequest, in_process_executor, job, op, sensor

class About(Config):
    experiment: str

@op
def work(config: About):
    with open({started!r}, "a") as file:
        file.write(f"{{time.time()}} {{config.experiment}}\\n")

@job(executor_def=in_process_executor)
def evaluation():
    work()

@sensor(job=evaluation, default_status=DefaultSensorStatus.RUNNING{interval})
def signals(context):
    last = newest = float(context.cursor or {now})
    with os.scandir({models!r}) as folders:
        for folder in folders:
            try:
                changed = os.stat(os.path.join(folder.path, ".training_complete")).st_mtime
            except FileNotFoundError:
                continue
            if changed <= last:
                continue
            newest = max(newest, changed)
            with open({seen!r}, "a") as file:
                file.write(f"{{time.time()}} {{folder.name}}\\n")
            config = {{"ops": {{"work": {{"config": {{"experiment": folder.name}}}}}}}}
            yield RunRequest(run_key=f"{{folder.name}}:{{changed}}", run_config=config)
    context.update_cursor(str(newest))
    open({ticked!r}, "w").close()

defs = Definitions(jobs=[evaluation], sensors=[signals])
"""


class Dagster:
    """`dagster-daemon run` with its code server, without the web server that a team would run too."""

    starts_jobs = True
    depends_on_finished = True

    def __init__(self, interval_s: int | None) -> None:
        self._interval_s = interval_s
        told = f"{interval_s} s" if interval_s else "30 s (its default)"
        self.name = f"Dagster sensor, at least every {told}"
        self.spread_s = float(interval_s or 30)
        self.sees = (
            "what the sensor's code asks for, here a newer modification time; dagster-daemon, no web server"
        )

    def prepare(self, work: Path) -> None:
        self._venv = tool.environment(work / "peers" / "dagster", "dagster")
        self.sees += f"; dagster {tool.version(self._venv, 'dagster')}"

    def start(self, work: Path, drive: Drive, experiments: list[str]) -> None:
        home = work / "run" / "dagster"
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        self._seen, self._started, ticked = home / "seen", home / "started", home / "ticked"
        interval = f", minimum_interval_seconds={self._interval_s}" if self._interval_s else ""
        definitions = home / "definitions.py"
        definitions.write_text(
            _DEFINITIONS.format(
                started=str(self._started),
                seen=str(self._seen),
                ticked=str(ticked),
                models=str(drive.models),
                interval=interval,
                now=time.time(),
            )
        )
        programs = self._venv / "bin"
        command = [str(programs / "dagster-daemon"), "run", "-f", str(definitions)]
        environ = {"DAGSTER_HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin"}
        self._running = tool.Launched(command, environ, work / "run" / "dagster.log")
        self._running.wait_ready(ticked.exists, 180)

    def pids(self) -> list[int]:
        return self._running.pids()

    def seen(self) -> Mapping[str, float]:
        return tool.moments(self._seen)

    def started_jobs(self) -> Mapping[str, float]:
        return tool.moments(self._started)

    def stop(self) -> None:
        self._running.stop()
