"""File events do not tell what another host wrote; the watcher finds it by listing all the same."""

from __future__ import annotations

import sys

from support.hosts import HostLab
from support.hosts_work import check_once, end, lay_out, train, until_completed, until_told

# Counts what watchdog reports below the inbox until a listing shows the other host's last file; then writes a
# file itself, for an observer that reports nothing at all would be no observer.
OBSERVE = """
import os, sys, time
from watchdog.events import FileSystemEventHandler
from watchdog.observers import Observer

inbox = os.environ["SHARED_DRIVE"] + "/state/inbox"
told = []

class Note(FileSystemEventHandler):
    def on_any_event(self, event):
        if event.event_type in ("created", "modified", "moved", "closed", "deleted"):
            told.append(os.path.basename(event.dest_path or event.src_path))

observer = Observer()
observer.schedule(Note(), inbox)
observer.start()
print("watching", flush=True)
while "theirs-49" not in os.listdir(inbox):
    time.sleep(0.05)
open(inbox + "/ours", "w").close()
while "ours" not in told:
    time.sleep(0.05)
print(sum(name.startswith("theirs") for name in told))
"""
WRITE = """
import os, pathlib
from heliograph.files import write_atomic
for number in range(50):
    write_atomic(pathlib.Path(os.environ["SHARED_DRIVE"], "state", "inbox", f"theirs-{number}"), b"{}")
"""


def test_an_observer_sees_its_own_host_s_writes_and_nobody_else_s(lab: HostLab) -> None:
    lab.wild_west.heliograph("init")
    with lab.ssrde.log("observer").open("w") as file:
        observer = lab.ssrde.start(sys.executable, "-c", OBSERVE, stdout=file, stderr=file)
    until_told(lab.ssrde, "watching", "observer")
    lab.wild_west.python(WRITE)
    lab.wait_until(lambda: observer.poll() is not None, "the observer ends")
    assert lab.ssrde.log("observer").read_text().splitlines() == ["watching", "0"]


def test_a_watcher_that_is_told_to_use_file_events_finds_the_signal_by_listing(lab: HostLab) -> None:
    lay_out(lab, inotify="on")
    with lab.ssrde.serving() as watch:
        until_told(lab.ssrde, "watching")
        train(lab.wild_west, "e1")
        until_completed(lab, "e1")
        end(watch)
    check_once(lab, ["e1"])
