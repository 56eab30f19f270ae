"""The one place that knows every durable step: each fsync, rename, mkdir, commit and submission.

`with durable("rename", path):` does nothing of its own. A test installs a hook that is called right
before and right after each step, numbers the steps, and ends the process at one of them: so it is shown,
for every step, what a crash there leaves behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

Moment = Literal["before", "after"]
Hook = Callable[[Moment, str, str], None]

_hook: Hook | None = None


def install_hook(hook: Hook | None) -> None:
    """Call `hook(moment, kind, what)` around every durable step of this process; None takes it away."""
    global _hook  # noqa: PLW0603 - the one hook of this process; None outside tests
    _hook = hook


@contextmanager
def durable(kind: str, what: object) -> Iterator[None]:
    """Mark one durable step, for instance `durable("rename", path)`."""
    if _hook is not None:
        _hook("before", kind, str(what))
    yield
    if _hook is not None:
        _hook("after", kind, str(what))
