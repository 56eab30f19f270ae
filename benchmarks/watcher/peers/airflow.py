"""Airflow's FileSensor: one sensor for each file that is expected, in a DAG of ten experiments."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from benchmarks.watcher.peers import tool
from heliograph.drive import Drive

_DAG = """\
from datetime import datetime, timedelta
from airflow.sdk import DAG
from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.sensors.filesystem import FileSensor

again = {{"retries": 20, "retry_delay": timedelta(seconds=5)}}
with DAG("signals", schedule="@once", start_date=datetime(2026, 1, 1), catchup=False, default_args=again):
    for name in {experiments!r}:
        sensor = FileSensor(
            task_id=f"wait-{{name}}", filepath=f"{models}/{{name}}/.training_complete"{settings}
        )
        command = 'echo "$EPOCHREALTIME ' + name + '" >> {started}'
        sensor >> BashOperator(task_id=f"start-{{name}}", bash_command=command)
"""
_WAITING = ("running", "deferred", "up_for_reschedule", "success")


class Airflow:
    """`airflow standalone`: the scheduler, DAG processor, triggerer and API server that Airflow 3 needs."""

    starts_jobs = True
    depends_on_finished = False

    def __init__(self, interval_s: int | None) -> None:
        self._settings = f", poke_interval={interval_s}, deferrable=True" if interval_s else ""
        told = f"{interval_s} s, deferrable" if interval_s else "60 s (its default)"
        self.name = f"Airflow FileSensor, every {told}"
        self.spread_s = float(interval_s or 60)
        self.sees = "that a path exists, whole or not, which has to be known beforehand; airflow standalone"

    def prepare(self, work: Path) -> None:
        packages = ("apache-airflow", "apache-airflow-providers-standard")
        self._venv = tool.environment(work / "peers" / "airflow", *packages)
        self.sees += f"; apache-airflow {tool.version(self._venv, 'apache-airflow')}"

    def start(self, work: Path, drive: Drive, experiments: list[str]) -> None:
        home = work / "run" / "airflow"
        shutil.rmtree(home, ignore_errors=True)
        (home / "dags").mkdir(parents=True)
        self._home, self._started = home, home / "started"
        dag = _DAG.format(
            experiments=experiments, models=drive.models, settings=self._settings, started=self._started
        )
        (home / "dags" / "signals.py").write_text(dag)
        command = [str(self._venv / "bin" / "airflow"), "standalone"]
        log_file = work / "run" / "airflow.log"
        self._running = tool.Launched(command, self._environment(), log_file)
        self._running.wait_ready(lambda: self._waiting() == len(experiments), 300)

    def _environment(self) -> dict[str, str]:
        port = tool.free_port()
        return {
            "PATH": f"{self._venv / 'bin'}:/usr/bin:/bin",
            "AIRFLOW_HOME": str(self._home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",  # a busy machine is no reason to fail
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{port}/execution/",
            "AIRFLOW_CONN_FS_DEFAULT": '{"conn_type": "fs", "extra": {"path": "/"}}',
        }

    def _rows(self, sql: str) -> list[tuple[str, str]]:
        """Read Airflow's own database; it may not be there yet, or be locked for a moment."""
        file = self._home / "airflow.db"
        if not file.exists():
            return []
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            try:
                return list(database.execute(sql))
            except sqlite3.OperationalError:
                return []

    def _waiting(self) -> int:
        rows = self._rows("SELECT task_id, state FROM task_instance WHERE task_id LIKE 'wait-%'")
        return sum(state in _WAITING for _, state in rows)

    def pids(self) -> list[int]:
        return self._running.pids()

    def seen(self) -> Mapping[str, float]:
        """Return when each sensor's task ended, as Airflow's database has it."""
        rows = self._rows(
            "SELECT task_id, end_date FROM task_instance WHERE task_id LIKE 'wait-%' AND state = 'success'"
        )
        return {name.removeprefix("wait-"): _seconds(moment) for name, moment in rows if moment}

    def started_jobs(self) -> Mapping[str, float]:
        return tool.moments(self._started)

    def stop(self) -> None:
        self._running.stop()


def _seconds(moment: str) -> float:
    """Read a time of Airflow's database, which is UTC without saying so."""
    told = datetime.fromisoformat(moment)
    return (told if told.tzinfo else datetime.fromisoformat(f"{moment}+00:00")).timestamp()
