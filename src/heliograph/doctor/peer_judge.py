"""What the measured delays between two hosts mean. All pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Literal

from msgspec import Struct

from heliograph.doctor.finding import Area, Finding
from heliograph.doctor.mount import NFS_OPTIONS, SSHFS_OPTIONS

AREA = Area("peer")
Kind = Literal["listed", "asked"]
KINDS: tuple[Kind, ...] = ("listed", "asked")
_TOLD: dict[Kind, str] = {"listed": "new names", "asked": "missing names"}
_LATE_S = 5.0
_CLOCKS_APART_S = 2.0
_TUNE = f"Mount with the options of docs/runbook-doctor.md: sshfs {SSHFS_OPTIONS}; NFS {NFS_OPTIONS}"


class Measured(Struct, frozen=True, kw_only=True):
    """What was measured with one peer: how late each note was seen, by two clocks that differ."""

    peer: str
    drive_id: str
    here: Mapping[Kind, Sequence[float]]
    """how late we saw its notes: the delay, less how far its clock is ahead of ours"""
    there: Mapping[Kind, Sequence[float]]
    """how late it saw ours: the delay, plus how far its clock is ahead of ours"""
    raced: int = 0
    both_won: int = 0


class Clocks(Struct, frozen=True):
    """How far the peer's clock is ahead of ours, give or take half of the fastest round trip."""

    ahead_s: float
    give_or_take_s: float


def compare_clocks(measured: Measured) -> Clocks | None:
    """Bound the clocks' difference: no note is seen before it is written, neither here nor there."""
    here = [late for kind in KINDS for late in measured.here[kind]]
    there = [late for kind in KINDS for late in measured.there[kind]]
    if not here or not there:
        return None
    return Clocks((min(there) - min(here)) / 2, (min(there) + min(here)) / 2)


def judge_peers(
    measured: Sequence[Measured], drive_id: str, seconds: float, inbox_every_s: float
) -> list[Finding]:
    """Judge every peer; with none, tell what that may mean."""
    if not measured:
        told = (
            f"no other host was seen within {seconds:.0f} s: nobody else ran this at the same time, or new "
            "names take longer than that to be seen"
        )
        return [
            AREA.warn("peer", told, "heliograph doctor --peer   # on the other host, within a few seconds")
        ]
    return [finding for one in measured for finding in judge_peer(one, drive_id, inbox_every_s)]


def judge_peer(measured: Measured, drive_id: str, inbox_every_s: float) -> list[Finding]:
    peer = measured.peer
    if measured.drive_id and measured.drive_id != drive_id:
        told = f"{peer} sees another drive here ({measured.drive_id})"
        return [AREA.bad(peer, told, "Mount the same folder on both hosts.")]
    clocks = compare_clocks(measured)
    if clocks is None:
        told = f"{peer} is there, and has not seen anything of ours; measure longer"
        return [AREA.warn(peer, told, "heliograph doctor --peer --seconds 180   # on both hosts")]
    findings = [judge_clocks(peer, clocks)]
    for kind in KINDS:
        here = [late + clocks.ahead_s for late in measured.here[kind]]
        there = [late - clocks.ahead_s for late in measured.there[kind]]
        findings.append(judge_delays(kind, peer, here, there, inbox_every_s))
    return [*findings, judge_races(peer, measured.raced, measured.both_won)]


def judge_clocks(peer: str, clocks: Clocks) -> Finding:
    direction = "ahead of" if clocks.ahead_s > 0 else "behind"
    apart, give_or_take = seconds_of(abs(clocks.ahead_s)), seconds_of(clocks.give_or_take_s)
    told = f"{peer}'s is {apart} {direction} ours, ± {give_or_take}"
    if abs(clocks.ahead_s) - clocks.give_or_take_s > _CLOCKS_APART_S:
        remedy = "timedatectl set-ntp true   # on both hosts"
        return AREA.warn("clocks", f"{told}: the order of events from both is not to be trusted", remedy)
    return AREA.ok("clocks", told)


def judge_delays(
    kind: Kind, peer: str, here: Sequence[float], there: Sequence[float], inbox_every_s: float
) -> Finding:
    """Tell how late each host sees the other's files, and what that means for finding a signal. Listing is
    how announced signals are found, asking how those of experiments with open work are."""
    check = _TOLD[kind]
    if not here and not there:
        return AREA.skipped(check, f"{peer}: nothing was seen in this way; measure longer")
    told = f"{peer}'s here {_delays(here)}; ours at {peer} {_delays(there)}"
    worst_s = max(*here, *there, 0.0)
    found = "an announced signal" if kind == "listed" else "a signal that nobody announced"
    told += f"; {found} is found within about {seconds_of(worst_s + inbox_every_s)}"
    if worst_s > _LATE_S:
        return AREA.warn(check, told, _TUNE)
    return AREA.ok(check, told)


def _delays(delays: Sequence[float]) -> str:
    if not delays:
        return "not seen yet"
    shown = [seconds_of(max(0.0, value)) for value in (median(delays), max(delays))]
    return f"after {shown[0]}, at worst {shown[1]} ({len(delays)} rounds)"


def judge_races(peer: str, raced: int, both_won: int) -> Finding:
    """A job's claim rests on mkdir: of two hosts that make the same folder, one is told that it was there."""
    if both_won:
        told = (
            f"of {raced} folders that this host and {peer} made at once, both were told so {both_won} times"
        )
        return AREA.bad(
            "one winner", f"{told}: a job could run twice", "Put the drive on another file system."
        )
    if not raced:
        return AREA.skipped("one winner", f"no folder was tried by both this host and {peer}; measure longer")
    return AREA.ok(
        "one winner", f"of each of {raced} folders that this host and {peer} tried to make at once"
    )


def seconds_of(seconds: float) -> str:
    """Write a length of time: 3 ms, 0.4 s, 21 s."""
    if seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
