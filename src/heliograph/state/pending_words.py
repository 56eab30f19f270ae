"""Why Slurm lets a job wait: its words, what they mean, and what one can do. Data; unknown words stay as is.

The words stand in Slurm's documentation (job_reason_codes.html) and source (22.05, 26.05).
"""

from __future__ import annotations

import re

from msgspec import Struct


class PendingMeaning(Struct, frozen=True):
    """What one of Slurm's reasons means."""

    means: str
    remedy: str
    passes: bool
    """whether waiting alone helps"""
    command: str | None = None
    """a command that helps, with {job_id}"""


def _wait(means: str, remedy: str = "Nothing: it starts by itself.") -> PendingMeaning:
    return PendingMeaning(means, remedy, passes=True)


def _act(means: str, remedy: str, command: str | None = None) -> PendingMeaning:
    return PendingMeaning(means, remedy, passes=False, command=command)


_YAML = "config/watcher.yaml"
_ASK = "Ask the cluster's administrator."

PENDING: dict[str, PendingMeaning] = {
    # the queue moves
    "None": _wait("Slurm has not looked at it yet"),
    "Resources": _wait(
        "it is first in line, and the cores, memory or GPUs that it asks for are in use",
        "Nothing: it starts when they are free. Smaller requests start sooner.",
    ),
    "Priority": _wait("jobs with a higher priority stand before it"),
    "BeginTime": _wait("its earliest start time has not come; Slurm sets one after it has put a job back"),
    "Prolog": _wait("the node is being prepared for it"),
    "Cleaning": _wait("it was put back into the queue, and its last run is still being cleaned up"),
    "Reservation": _wait("it waits for its reservation to begin"),
    "Licenses": _wait("it waits for a licence that others hold"),
    "MaxRequeueExceeded": _act("Slurm has put it back too often", f"{_ASK} Then cancel it and try it again."),
    "JobArrayTaskLimit": _wait("as many parts of this array run as may run at the same time"),
    "NodeDown": _wait("a node that it needs is down", _ASK),
    "ReqNodeNotAvail": _wait(
        "a node that it needs is not available: down, drained, or reserved for maintenance that would begin "
        "before the job's time limit ends",
        f"A shorter time limit may let it start before the maintenance: resources.time in {_YAML}.",
    ),
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions": _wait(
        "every node that it could run on is down, drained or reserved", _ASK
    ),
    "FrontEndDown": _wait("no front-end node is up", _ASK),
    # somebody or something holds it
    "JobHeldUser": _act("somebody of your own account holds it", "Let it go:", "scontrol release {job_id}"),
    "JobHeldAdmin": _act("an administrator holds it", _ASK),
    "JobHoldMaxRequeue": _act("Slurm holds it, because it was put back too often", _ASK),
    "launch failed requeued held": _act("its start failed on the node, so Slurm holds it", _ASK),
    "job requeued in held state": _act(
        "it was put back and is held", "Let it go:", "scontrol release {job_id}"
    ),
    "Dependency": _wait("it waits for another job to end"),
    "DependencyNeverSatisfied": _act(
        "it depends on a job that can no longer end as it should", "Cancel it, then try it again."
    ),
    "DeadLine": _act("it cannot end before its deadline", f"Remove --deadline from {_YAML}."),
    # what it asks for does not fit
    "PartitionTimeLimit": _act(
        "its time limit is longer than the partition allows",
        f"Lower resources.time in {_YAML} or name another partition; then cancel it and try it again.",
    ),
    "PartitionNodeLimit": _act(
        "it asks for more nodes than the partition has or allows",
        f"Name another partition in {_YAML}; then cancel it and try it again.",
    ),
    "PartitionConfig": _act(
        "the partition's limits do not allow what it asks for (memory, cores, account or qos)",
        f"Ask for less, or name another partition, in {_YAML}; then cancel it and try it again.",
    ),
    "PartitionDown": _wait("the partition is down", f"{_ASK} Or name another partition in {_YAML}."),
    "PartitionInactive": _wait("the partition is inactive", f"{_ASK} Or name another partition in {_YAML}."),
    "BadConstraints": _act(
        "no node can give what it asks for",
        f"Mend constraint, gres, mem or cpus_per_task in {_YAML}; then cancel it and try it again.",
    ),
    "AccountNotAllowed": _act(
        "its account may not use this partition",
        f"Mend account or partition in {_YAML}; then cancel it and try it again.",
    ),
    "InvalidAccount": _act(
        "its account is not valid (any more)", f"Mend account in {_YAML}; then cancel it and try it again."
    ),
    "QOSNotAllowed": _act(
        "its qos may not be used with this account or partition",
        f"Mend qos in {_YAML}; then cancel it and try it again.",
    ),
    "InvalidQOS": _act(
        "its qos is not valid (any more)", f"Mend qos in {_YAML}; then cancel it and try it again."
    ),
    "ReservationDeleted": _act(
        "its reservation was deleted", f"Remove --reservation from {_YAML}; cancel it and try it again."
    ),
    "QOSUsageThreshold": _wait("the qos's threshold of use is passed", _ASK),
    "AccountingPolicy": _wait("a limit of accounting holds it back", _ASK),
    "AssociationJobLimit": _wait("your account runs as many jobs as it may"),
    "AssociationResourceLimit": _wait("your account uses as much as it may at the same time"),
    "AssociationTimeLimit": _wait("your account has used up its time", _ASK),
    "QOSJobLimit": _wait("the qos runs as many jobs as it may"),
    "QOSResourceLimit": _wait("the qos uses as much as it may at the same time"),
    "QOSTimeLimit": _wait("the qos has used up its time", _ASK),
    "WaitingForScheduling": _wait("Slurm has not looked at it yet"),
    # words of this software's own executor on one machine
    "SupervisorDied": _wait("the process that looks after it has died", "It is looked at again."),
}
"""Exact words. Families of limits (AssocGrp…, QOSMax…) are told apart by `_LIMIT`."""

_LIMIT = re.compile(
    r"(?P<whose>Assoc|QOS)?(?P<kind>Grp|Max|Min)(?P<what>[A-Z][A-Za-z]*?)"
    r"(?P<per>Per(?:Job|User|Account|Node|Partition))?(?:Limit|NotSatisfied)?"
)
_WHOSE = {"Assoc": "your account", "QOS": "the qos", None: "the qos"}
_WHAT = (
    ("Minutes", "minutes of computing"),
    ("SubmitJob", "submitted jobs"),
    ("Job", "jobs"),
    ("Wall", "time"),
    ("Cpu", "cores"),
    ("CPU", "cores"),
    ("Mem", "memory"),
    ("Node", "nodes"),
    ("GRES", "GPUs or other generic resources"),
    ("Billing", "billed resources"),
    ("Energy", "energy"),
    ("License", "licences"),
    ("BB", "burst buffer"),
)


def pending_meaning(reason: str) -> PendingMeaning | None:
    """Return what one of Slurm's reasons means; None where it is not known."""
    text = reason.strip().strip("()")
    word = re.split(r"[,:]", text, maxsplit=1)[0].strip()
    found = PENDING.get(text) or PENDING.get(word)
    return found or _limit_meaning(word)


def _limit_meaning(word: str) -> PendingMeaning | None:
    """Read a limit's name: AssocGrpCpuLimit, QOSMaxJobsPerUserLimit, MaxMemPerAccount."""
    match = _LIMIT.fullmatch(word)
    what = next((told for part, told in _WHAT if match and part in match["what"]), None)
    if match is None or what is None:
        return None
    whose, per = _WHOSE[match["whose"]], match["per"]
    if match["kind"] == "Min":
        return _act(
            f"it asks for fewer {what} than {whose} demands of a job",
            f"Ask for more in {_YAML}; then cancel it and try it again.",
        )
    if "Minutes" in match["what"]:
        return _wait(f"{whose} has used up its {what}", f"{_ASK} The budget may be renewed by itself.")
    is_of_one_job = per in ("PerJob", "PerNode") or (match["kind"] == "Max" and "Wall" in match["what"])
    if is_of_one_job:
        where = "on one node" if per == "PerNode" else "in one job"
        return _act(
            f"it asks for more {what} than {whose} allows {where}",
            f"Ask for less in {_YAML}; then cancel it and try it again.",
        )
    who = {"PerUser": "you use", "PerAccount": "your account uses"}.get(per or "", f"{whose} uses")
    return _wait(
        f"{who} as many {what} at the same time as {whose} allows"
        if what not in ("memory", "time", "energy", "burst buffer")
        else f"{who} as much {what} at the same time as {whose} allows",
        "Nothing: it starts when other jobs of yours or of your group end.",
    )
