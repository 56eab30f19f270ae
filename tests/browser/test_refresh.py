"""The refresh: it brings what is new, and takes nothing from whoever is looking."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.conftest import Site, looking, serving
from heliograph.names import utc_now
from heliograph.state.publish import Publisher
from heliograph.state.store import Store
from unit.dashboard.scenes import Scene, publish_scene, write_beat

pytestmark = pytest.mark.slow


def happen(site: Site, experiment: str) -> None:
    """Publish that an experiment trains (again), and wait until the dashboard has read it."""
    with Store(site.drive.root.parent / "drive-live") as store:
        Scene(site.drive, store, utc_now()).train(experiment, 5)
        Publisher(site.drive, store, host="ssrde").publish(utc_now())
    seen = b'"training":{"stage":"training","status":"running"'
    wait_for(lambda: seen in site.ask(f"/api/v1/experiments/{experiment}")[1])


def wait_for(is_so: Callable[[], bool]) -> None:
    """Wait until the server, which reads the drive at most every two seconds, sees something."""
    while not is_so():
        time.sleep(0.2)


def half_a_minute_passes(page: Page) -> None:
    """Let the page's clock go on, and wait for what it then fetches."""
    with page.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true"):
        page.clock.run_for(31_000)


def test_what_is_new_appears_and_filter_scroll_focus_and_selection_stay(own_site: Site, page: Page) -> None:
    page.clock.install()
    page.set_viewport_size({"width": 1000, "height": 400})
    page.goto(f"{own_site.url}/?q=a")
    page.locator("#go-baseline").focus()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('#row-training-failed .message'))")
    page.evaluate("scrollTo(0, 300)")
    selected = page.evaluate("getSelection().toString()")
    assert selected
    happen(own_site, "another")
    happen(own_site, "unwelcome")
    half_a_minute_passes(page)
    expect(page.locator("#row-another")).to_be_visible()
    assert page.locator("#row-unwelcome").count() == 0
    assert page.input_value("#q") == "a"
    assert page.evaluate("document.activeElement.id") == "go-baseline"
    assert page.evaluate("getSelection().toString()") == selected
    assert page.evaluate("scrollY") >= 300  # the browser may hold what is looked at in its place


def test_typing_filters_and_the_address_follows(site: Site, page: Page) -> None:
    page.goto(site.url)
    page.locator("#q").press_sequentially("retried")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page).to_have_url(f"{site.url}/?q=retried")
    assert page.evaluate("document.activeElement.id") == "q"
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert page.input_value("#q") == "retried"


def test_a_chosen_status_stays_over_search_and_refresh(own_site: Site, page: Page) -> None:
    page.clock.install()
    page.goto(own_site.url)
    page.locator("#show-running").click()
    expect(page.locator("tbody tr")).to_have_count(3)
    happen(own_site, "evaluated-by-hand")
    half_a_minute_passes(page)
    expect(page.locator("tbody tr")).to_have_count(4)
    page.locator("#q").press_sequentially("eval")
    page.clock.run_for(1000)
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("#show-running")).to_have_attribute("aria-current", "true")
    expect(page).to_have_url(f"{own_site.url}/?q=eval&status=running")


def test_an_experiments_page_is_refreshed_and_its_scrolled_table_stays(own_site: Site, page: Page) -> None:
    page.clock.install()
    page.set_viewport_size({"width": 420, "height": 700})
    page.goto(f"{own_site.url}/experiments/baseline")
    page.evaluate("document.querySelector('#results-scroll').scrollLeft = 120")
    page.evaluate("window.figure = document.querySelector('.figures img')")
    happen(own_site, "baseline")  # it is trained again
    half_a_minute_passes(page)
    expect(page.locator(".card").first).to_contain_text("running")
    assert page.evaluate("document.querySelector('#results-scroll').scrollLeft") == 120
    assert page.evaluate("window.figure.isConnected")  # it is not drawn anew


def test_a_paused_page_asks_for_nothing(site: Site, page: Page) -> None:
    page.clock.install()
    page.goto(site.url)
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Pause refresh").click()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.clock.run_for(120_000)
    assert asked == []
    page.get_by_role("button", name="Pause refresh").click()
    half_a_minute_passes(page)
    assert asked


def test_a_drive_that_goes_and_comes_back_is_told(own_site: Site, page: Page) -> None:
    page.clock.install()
    page.goto(own_site.url)
    expect(page.locator(".fresh")).to_have_class("fresh live")
    own_site.drive.id_file.rename(own_site.drive.root / "moved")
    wait_for(lambda: own_site.ask("/healthz")[0] == 503)
    half_a_minute_passes(page)
    expect(page.locator(".fresh.alarm")).to_contain_text("The drive cannot be read.")
    assert page.locator("tbody tr").count() == 9
    (own_site.drive.root / "moved").rename(own_site.drive.id_file)
    wait_for(lambda: own_site.ask("/healthz")[0] == 200)
    half_a_minute_passes(page)
    expect(page.locator(".fresh.live")).to_contain_text("Live.")


def test_a_silent_watcher_is_told(tmp_path: Path, chromium: Browser) -> None:
    drive = publish_scene(tmp_path / "drive", utc_now())
    write_beat(drive, utc_now() - timedelta(minutes=12))
    with serving(drive) as site, looking(chromium) as page:
        page.goto(site.url)
        expect(page.locator(".fresh.alarm")).to_contain_text("The watcher has been silent for 12 min")


def test_a_dashboard_that_ends_is_told_and_its_return_is_seen(tmp_path: Path, chromium: Browser) -> None:
    drive = publish_scene(tmp_path / "drive", utc_now())
    context = chromium.new_context()
    page = context.new_page()  # Chromium's console notes by itself that a request failed
    page.clock.install()
    with serving(drive) as site:
        page.goto(site.url)
        assert page.get_by_role("alert").count() == 0
    page.clock.run_for(31_000)
    expect(page.get_by_role("alert")).to_contain_text("The dashboard does not answer.")
    with serving(drive, site.port):
        page.clock.run_for(31_000)
        expect(page.locator("#lost")).to_be_hidden()
    context.close()
