"""A lab of hosts for each test: it is up within a second, and nothing of one test is left to the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.hosts import BRISK, HostLab


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[HostLab]:
    """wild_west, SSRDE and monitoring; the parameter, if there is one, are the options of their mounts."""
    with HostLab(*getattr(request, "param", BRISK)) as started:
        yield started
