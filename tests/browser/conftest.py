"""A real Chromium, and the dashboard as the command serves it."""

from __future__ import annotations

import http.client
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from heliograph.drive import Drive
from heliograph.mlflow_server import free_port
from heliograph.names import utc_now
from unit.dashboard.scenes import publish_scene

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


class Site:
    """A dashboard that is served by a process of its own."""

    def __init__(self, drive: Drive, process: subprocess.Popen[str], port: int) -> None:
        self.drive = drive
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        """Send exactly this path, as no browser would."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextmanager
def serving(drive: Drive, port: int | None = None) -> Iterator[Site]:
    """Run `heliograph dashboard` until the end of the block."""
    port = port or free_port()
    command = [
        sys.executable,
        "-m",
        "heliograph",
        "--drive",
        str(drive.root),
        "dashboard",
        "--port",
        str(port),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()  # it listens before it says so
            assert re.search(rf"http://127\.0\.0\.1:{port}\b", said), said
            site = Site(drive, process, port)
            while site.ask("/healthz")[0] != 200:  # the first reading may take its time on a busy machine
                time.sleep(0.1)
            yield site
        finally:
            process.terminate()
            process.wait(30)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A dashboard of a drive on which something of everything has happened. Only to be looked at."""
    with serving(publish_scene(tmp_path_factory.mktemp("browser") / "drive", utc_now())) as site:
        yield site


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """The same for one test alone, to do things to."""
    with serving(publish_scene(tmp_path / "drive", utc_now())) as site:
        yield site


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if shutil.which(CHROMIUM) is None:
        pytest.fail(f"{CHROMIUM} is missing; install it: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def looking(chromium: Browser, **how: object) -> Iterator[Page]:
    """Open a page in a context of its own; whatever its console complains of fails the test."""
    context = chromium.new_context(**how)
    context.set_default_timeout(20_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    try:
        yield page
    finally:
        context.close()
    assert complaints == []


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page on a desk."""
    with looking(chromium, viewport={"width": 1280, "height": 800}) as page:
        yield page
