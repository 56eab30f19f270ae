"""What a process and its children use, as Linux tells it in /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

_TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """Return a process and all that descend from it and are still its relatives."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*"):
            try:
                found += [int(child) for child in (task / "children").read_text().split()]
            except OSError:
                continue
    return found


def cpu_s(pids: list[int]) -> float:
    """Return the processor time that these processes, and children that ended, have had."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(int(value) for value in fields[11:15])  # utime stime cutime cstime
    return total / _TICKS


class Memory(Struct, frozen=True):
    """Memory in MB: as every process sees it, and with what is shared counted once."""

    rss_mb: float
    pss_mb: float


def memory(pids: list[int]) -> Memory:
    """Return the memory of these processes together."""
    rss = pss = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kilobytes = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith("kB")}
        rss += int(kilobytes.get("Rss", 0))
        pss += int(kilobytes.get("Pss", 0))
    return Memory(rss * 1024 / 1e6, pss * 1024 / 1e6)


class Peak:
    """Watches the memory of process trees until it is closed; `pss_mb` and `rss_mb` are the most seen."""

    def __init__(self, pids: Callable[[], list[int]], every_s: float = 0.1) -> None:
        self._pids, self._every_s = pids, every_s
        self.pss_mb = self.rss_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            now = memory(self._pids())
            self.pss_mb, self.rss_mb = max(self.pss_mb, now.pss_mb), max(self.rss_mb, now.rss_mb)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def cpu_share(pids: Callable[[], list[int]], window_s: float) -> float:
    """Return the share of one core that process trees use in a window of time, in percent."""
    before, started = cpu_s(pids()), time.monotonic()
    time.sleep(window_s)
    return 100 * (cpu_s(pids()) - before) / (time.monotonic() - started)


def wait_quiet(
    pids: Callable[[], list[int]],
    *,
    below_percent: float = 20.0,
    window_s: float = 1.5,
    timeout_s: float = 900,
) -> float:
    """Wait until process trees have been quiet for two windows; return how long they were busy."""
    started = time.monotonic()
    quiet = 0
    while quiet < 2:
        if time.monotonic() - started > timeout_s:
            raise TimeoutError(f"still busy after {timeout_s:.0f} s")
        quiet = quiet + 1 if cpu_share(pids, window_s) < below_percent else 0
    return time.monotonic() - started - 2 * window_s


def wait_for(condition: Callable[[], bool], timeout_s: float, what: str, every_s: float = 0.05) -> float:
    """Wait until something holds; return how long that took. Raises TimeoutError."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > timeout_s:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(every_s)
    return time.monotonic() - started


def stop(process: subprocess.Popen[bytes], patience_s: float = 60.0) -> None:
    """End a process that we started, and what it started: by SIGTERM, and by SIGKILL if need be."""
    relatives = tree(process.pid)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in relatives[1:]:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            continue
