"""Bringing the databases up to date without a watcher, on a drive that is local to this machine.

On a laptop a finishing command should leave true databases behind, also when nobody runs a watcher. It takes
the lease for a moment; where a watcher is alive, or the drive is a network one, there is nothing to do here.
"""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from heliograph.config import load_watcher_config, local_state_folder
from heliograph.drive import Drive
from heliograph.errors import HeliographError, LeaseHeld
from heliograph.names import host_name, utc_now
from heliograph.state import journal
from heliograph.state.inbox import Inbox
from heliograph.state.lease import held
from heliograph.state.publish import Publisher
from heliograph.state.store import Store

log = logging.getLogger(__name__)


def live_folder(state_folder: Path, drive: Drive) -> Path:
    """Return the local folder of a drive's live databases."""
    return state_folder / drive.read_id() / "live"


def settle(drive: Drive, state_folder: Path, now: datetime) -> bool:
    """Apply what waits in the inbox and publish; tell whether it was done here."""
    if drive.is_network():
        return False
    try:
        with held(drive, now) as lease, Store(live_folder(state_folder, drive)) as store:
            journal.catch_up(drive, store)
            inbox = Inbox(drive, settle_s=0.0)
            while inbox.take(store, now, lease.term):
                pass
            journal.append(drive, store, lease.term)
            Publisher(drive, store, host=host_name()).publish(now)
    except LeaseHeld as holder:
        log.debug("the watcher keeps the databases: %s", holder)
        return False
    return True


def settle_here(drive: Drive) -> bool:
    """Do so at the end of a command, in this host's own state folder. What goes wrong is told, and no error
    of the command: its own work is done, and the next watcher does the rest."""
    try:
        folder = local_state_folder(load_watcher_config(drive).state_folder)
        return settle(drive, folder, utc_now())
    except (HeliographError, OSError) as error:
        log.warning("the databases are brought up to date later: %s", error)
        return False
