"""What Slurm's words mean to us, as data.

"seen" was observed with Slurm 22.05; the others stand in Slurm's slurm_errno.c and sbatch.c (22.05, 26.05).
"""

from __future__ import annotations

from heliograph.executors.base import FailureClass, JobState

# Base states and the flags that squeue shows in their place. A job that is COMPLETING has ended, but how is
# not shown yet: the next poll tells.
STATES: dict[str, JobState] = {
    "PENDING": JobState.PENDING,
    "CONFIGURING": JobState.PENDING,
    "REQUEUED": JobState.PENDING,
    "REQUEUE_FED": JobState.PENDING,
    "REQUEUE_HOLD": JobState.PENDING,
    "RESV_DEL_HOLD": JobState.PENDING,
    "SPECIAL_EXIT": JobState.PENDING,
    "RUNNING": JobState.RUNNING,
    "COMPLETING": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "STAGE_OUT": JobState.RUNNING,
    "STOPPED": JobState.RUNNING,
    "SUSPENDED": JobState.RUNNING,
    "COMPLETED": JobState.COMPLETED,
    "FAILED": JobState.FAILED,
    "DEADLINE": JobState.FAILED,  # could not have ended before the --deadline that somebody gave
    "TIMEOUT": JobState.TIMEOUT,
    "OUT_OF_MEMORY": JobState.OUT_OF_MEMORY,
    "NODE_FAIL": JobState.NODE_FAIL,
    "BOOT_FAIL": JobState.NODE_FAIL,
    "PREEMPTED": JobState.PREEMPTED,
    "CANCELLED": JobState.CANCELLED,
    "REVOKED": JobState.CANCELLED,  # a sibling cluster of the federation runs it
}

# The job may be queued all the same (seen: a hung controller queued it twice out of twice). A text that is in
# neither table counts as one of these.
DOUBTS: tuple[str, ...] = (
    "Socket timed out on send/recv operation",  # seen
    "Unable to contact slurm controller (send failure)",
    "Unable to contact slurm controller (receive failure)",
    "Unable to contact slurm controller (shutdown failure)",
    "Unexpected message received",
    "Zero Bytes were transmitted or received",
    "Message send failure",
    "Message receive failure",
    "Received zero length message",
    "Failed to send entire message",
    "Header lengths are longer than data received",
)

_T, _H, _P = FailureClass.TRANSIENT, FailureClass.HOLD, FailureClass.PERMANENT

# Nothing was queued.
REFUSALS: dict[str, FailureClass] = {
    # what was asked for does not exist or is not allowed
    "Invalid partition name specified": _P,  # seen
    "Invalid account or account/partition combination specified": _P,  # seen
    "Invalid qos specification": _P,  # seen
    "Requested node configuration is not available": _P,  # seen
    "Requested time limit is invalid (missing or exceeds some limit)": _P,  # seen
    "Invalid job array specification": _P,  # seen
    "Job dependency problem": _P,  # seen
    "Invalid generic resource (gres) specification": _P,  # seen
    "User's group not permitted to use this partition": _P,  # seen
    "Access/permission denied": _P,  # seen
    "No partition specified or system default partition": _P,
    "Requested nodes not in this partition": _P,
    "More processors requested than permitted": _P,
    "Node count specification invalid": _P,
    "CPU count specification invalid": _P,
    "Invalid node name specified": _P,
    "Invalid feature specification": _P,
    "Invalid wckey specification": _P,
    "Invalid license specification": _P,
    "Invalid Trackable RESource (TRES) specification": _P,
    "Memory required by task is not available": _P,
    "Access denied to requested reservation": _P,
    "Requested reservation is invalid": _P,
    "Time limit specification required, but not provided": _P,
    "Invalid user id": _P,
    "Incompatible versions of client and server code": _P,
    "Unspecified error": _P,  # what a site's job_submit plugin makes of its "no"
    # sbatch itself looks at the script first
    "This does not look like a batch script": _P,  # seen
    "Batch script contains DOS line breaks": _P,  # seen
    "Batch script is empty": _P,  # seen
    "Batch script contains only whitespace": _P,
    "Unable to open file": _T,  # seen; the drive may be away
    # an administrator or a quota stands before it
    "Required partition not available (inactive or drain)": _H,  # seen
    "Job violates accounting/QOS policy": _H,  # seen
    "Partition in DOWN state": _H,
    "Required node not available (down, drained or reserved)": _H,
    "Requested reservation not usable now": _H,
    "Requested account has breached requested QOS usage threshold": _H,
    "System submissions disabled": _H,
    "Unable to process configuration file": _H,  # seen, without a slurm.conf
    "Could not establish a configuration source": _H,
    "sbatch: command not found": _H,
    # soon again
    "Unable to contact slurm controller (connect failure)": _T,  # seen
    "Communication connection failure": _T,
    "Protocol authentication error": _T,  # seen, with munged down
    "Resource temporarily unavailable": _T,
    "Unable to create job record, try again": _T,
    "Slurm backup controller in standby mode": _T,
    "Controller is in standby mode": _T,
    "Rate limit exceeded": _T,
    "MaxJobCount limit reached": _T,
    "I/O error writing script/environment to file": _T,
    "Requested nodes are busy": _T,
    "Requested operation is presently disabled": _T,
}
