"""Shipping metrics to MLflow: as a function (`heliograph sync`), and as the thread that a training runs.

Training only ever puts a point into a bounded queue. The thread appends to the spool on the local disk first
and asks MLflow afterwards, so that a server that is dead or hangs costs nothing but its own thread's time.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import msgspec

from heliograph.errors import TrackingError
from heliograph.tracking import Mlflow
from heliograph.training.metrics import End, Point, Sent, Spool

_RUN_TAG = "heliograph.run"
_MOST_WAITING = 100_000
"""points in memory, some 30 MB, which only pile up while the local disk does not take them"""
_EVERY_S = 1.0
_LONGEST_PAUSE_S = 60.0

Warn = Callable[[str, str], None]
"""warn(kind, text): told once a kind"""


def ship(spool: Spool, client: Mlflow) -> int:
    """Send MLflow what it does not have yet; return how many points were sent.

    Makes the run if there is none, ends it when the spool says that it has ended, and then removes the spool.
    Raises TrackingError; what was not sent is sent by the next call.
    """
    end = spool.read_end()  # before the points: what is appended afterwards is not missed
    sent = spool.read_sent() or _make_run(spool, client)
    count = 0
    for points, offset in spool.batches(sent.offset):
        client.log(sent.run_id, metrics=[metric for point in points for metric in point.metrics()])
        sent = msgspec.structs.replace(sent, offset=offset)
        spool.note_sent(sent)
        count += len(points)
    if end is not None:
        client.end_run(sent.run_id, end.status, end_time_ms=end.end_ms)
        spool.remove()
    return count


def _make_run(spool: Spool, client: Mlflow) -> Sent:
    """Make the MLflow run, or find the one that an earlier try made before it could note that."""
    note = spool.read_note()
    experiment_id = client.experiment_id(note.experiment)
    run_id = client.find_run(experiment_id, tag=_RUN_TAG, value=note.run)
    if run_id is None:
        tags = {_RUN_TAG: note.run, **note.tags}
        run_id = client.start_run(experiment_id, name=note.name, tags=tags, start_time_ms=note.start_ms)
    client.log(run_id, params=note.params)
    sent = Sent(experiment_id, run_id)
    spool.note_sent(sent)
    return sent


class Shipper:
    """Takes the points of one run and ships them in a thread of its own."""

    def __init__(self, spool: Spool, client: Mlflow, warn: Warn) -> None:
        self._spool = spool
        self._client = client
        self._warn = warn
        self._queue: queue.Queue[Point] = queue.Queue(_MOST_WAITING)
        self._appending = threading.Lock()
        self._stop = threading.Event()
        self._tried = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heliograph-shipper", daemon=True)
        self.sent: Sent | None = None
        self.is_done = False
        """whether MLflow has everything"""

    def start(self) -> None:
        self._thread.start()

    def put(self, point: Point) -> None:
        """Take a point. Never waits; when the local disk has not taken points for long, the point is lost."""
        try:
            self._queue.put_nowait(point)
        except queue.Full:
            self._warn("full", f"{_MOST_WAITING} metrics wait in memory; further ones are lost")

    def wait_for_run(self, timeout_s: float) -> Sent | None:
        """Wait until MLflow has made the run or the first try has failed; return the run if there is one."""
        self._tried.wait(timeout_s)
        return self.sent

    def close(self, end: End, timeout_s: float) -> None:
        """Bring everything to the spool, then wait at most `timeout_s` for it to be shipped."""
        self._save()
        try:
            self._spool.note_end(end)
        except OSError as error:
            self._warn("spool", f"the end of the run could not be noted in {self._spool.folder}: {error}")
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._ship_until_closed()
        except Exception as error:  # noqa: BLE001 - the thread's main: training must not see its end
            self._warn(
                "shipper", f"metrics are no longer sent ({error!r}); they wait in {self._spool.folder}"
            )
        finally:
            self._tried.set()

    def _ship_until_closed(self) -> None:
        pause_s, next_try = _EVERY_S, 0.0
        with self._spool.lock() as mine:
            while mine and not self.is_done:
                is_last = self._stop.is_set()
                self._save()
                if is_last or time.monotonic() >= next_try:
                    is_well = self._try_to_ship()
                    pause_s = _EVERY_S if is_well else min(2 * pause_s, _LONGEST_PAUSE_S)
                    next_try = time.monotonic() + pause_s
                if is_last:
                    break
                self._stop.wait(_EVERY_S)

    def _save(self) -> None:
        """Move what waits in memory to the spool; what the disk does not take goes on waiting in memory."""
        with self._appending:
            points = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
            try:
                if points:
                    self._spool.append(points)
            except OSError as error:
                self._warn("spool", f"metrics wait in memory, the local disk does not take them: {error}")
                for point in points:
                    self.put(point)

    def _try_to_ship(self) -> bool:
        try:
            ship(self._spool, self._client)
            self.is_done = not self._spool.folder.exists()
            return True
        except TrackingError as error:
            self._warn("mlflow", f"{error}; metrics wait in {self._spool.folder}, heliograph sync sends them")
        except OSError as error:
            self._warn("spool", f"metrics cannot be sent from {self._spool.folder}: {error}")
        finally:
            self.sent = self._spool.read_sent() or self.sent
            self._tried.set()
        return False
