"""What the classes of failures mean, and what a person can do about each: data, shown wherever one failed."""

from __future__ import annotations

MEANINGS = {
    "transient": "A passing trouble: the same is tried again later.",
    "resources": "It ran out of memory or time: it is tried again with more, up to the configured most.",
    "node": "The node failed: it is tried again elsewhere.",
    "permanent": "Trying again would not help: it has to be mended first.",
    "hold": "The cluster does not take it now: it is kept, and tried again rarely.",
    "cancelled": "Somebody cancelled it.",
    "vanished": "The scheduler no longer knows it, and nothing tells how it ended.",
}
"""What each class asks for."""

CAUSES = {
    "transient": "something that may pass was in its way",
    "resources": "it ran out of memory or time",
    "node": "its node failed it",
    "permanent": "it cannot succeed as it is",
    "hold": "the cluster did not take it",
    "cancelled": "somebody cancelled it",
    "vanished": "the scheduler no longer knows it, and nothing tells how it ended",
}
"""What each class says of what has happened, whatever follows."""

REMEDIES = {
    "transient": "Read the log. If what was in its way has passed, try it again.",
    "resources": "Try it again with more memory or time, or make the work smaller.",
    "node": "Is the drive mounted on that node? Its administrator may want to know. Then try it again.",
    "permanent": "Mend what the message names, then try it again.",
    "hold": "Ask the cluster's administrator, or change partition, account or qos in config/watcher.yaml.",
    "cancelled": "Try it again if it is wanted after all.",
    "vanished": "Look whether its results are there, and ask the cluster's administrator. Then try it again.",
}
"""What a person can do when no further attempt comes by itself."""
