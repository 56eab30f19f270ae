"""Both pages as people see them: on a desk and on a phone, light and dark, with and without JavaScript."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from browser.conftest import Site, looking

pytestmark = pytest.mark.slow

AXE = Path(__file__).with_name("vendor") / "axe.min.js"
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
PAGES = ["/", "/experiments/baseline", "/experiments/hostile"]


def violations(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.2 A and AA and its best practices."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found: dict[str, Any] = page.evaluate("rules => axe.run({runOnly: rules})", rules)
    assert len(found["passes"]) > 20
    return [f"{one['id']}: {node['html']}" for one in found["violations"] for node in one["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_pages_are_accessible_fit_and_do_not_complain(
    chromium: Browser, site: Site, scheme: str, size: dict[str, int]
) -> None:
    for path in PAGES:
        with looking(chromium, viewport=size, color_scheme=scheme) as page:
            page.goto(site.url + path)
            page.wait_for_load_state("networkidle")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
            assert violations(page) == [], path


@pytest.mark.parametrize("width", [320, 700, 1000, 3840])
def test_pages_fit_screens_of_every_width(chromium: Browser, site: Site, width: int) -> None:
    with looking(chromium, viewport={"width": width, "height": 900}) as page:
        for path in [*PAGES, "/?status=failed&q=eval", "/experiments/evaluation-runs"]:
            page.goto(site.url + path)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_the_page_for_trouble_is_accessible_too(chromium: Browser, site: Site) -> None:
    context = chromium.new_context()
    page = context.new_page()  # Chromium's console notes the 404 itself
    page.goto(f"{site.url}/experiments/basline")
    assert page.get_by_role("heading", name="There is no such page").is_visible()
    assert "Did you mean baseline?" in page.inner_text("main")
    assert violations(page) == []
    context.close()


def test_dark_is_dark(chromium: Browser, site: Site) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        with looking(chromium, color_scheme=scheme) as page:
            page.goto(site.url)
            grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert grounds == {"light": "rgb(244, 246, 248)", "dark": "rgb(14, 19, 25)"}


def test_every_status_has_its_word_and_its_colour(page: Page, site: Site) -> None:
    page.goto(site.url)
    colours = {}
    for status in ("completed", "running", "queued", "waiting", "failed"):
        pill = page.locator(f".pill.{status}").first
        assert pill.inner_text() == status
        assert pill.locator("svg use").get_attribute("href").endswith(f"#{status}")
        colours[status] = pill.evaluate("element => getComputedStyle(element).color")
    assert len({*colours.values()}) == 5


def test_figures_and_icons_are_loaded(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/experiments/baseline")
    for image in page.locator("img").all():
        image.scroll_into_view_if_needed()  # figures are loaded when they come into sight
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    icon = page.locator(".pill svg").first
    assert icon.evaluate("element => element.querySelector('use').getBBox().width") > 0


def test_hostile_messages_are_text(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/experiments/hostile")
    assert '<script>alert("x")</script>\\x1b[31m red' in page.inner_text("main")


def test_a_report_runs_no_script(page: Page, site: Site) -> None:
    complaints: list[str] = []
    page.goto(f"{site.url}/experiments/baseline")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Report (HTML)").click()
    report = opened.value
    report.wait_for_load_state()
    report.on("console", lambda message: complaints.append(message.text))
    report.reload()
    assert report.title() == "Report"
    assert report.evaluate("window.opener") is None
    assert any("sandboxed" in complaint or "Content Security" in complaint for complaint in complaints)


def test_the_first_tab_leads_to_the_content(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "show-all"


def test_everything_works_without_javascript(chromium: Browser, site: Site) -> None:
    with looking(chromium, java_script_enabled=False) as page:
        page.goto(site.url)
        assert page.locator("tbody tr").count() == 9
        assert page.locator("noscript").count() == 1
        assert not page.locator("#pause").is_visible()
        page.fill("#q", "evaluation")
        page.get_by_role("button", name="Search").click()
        assert page.locator("tbody tr").count() == 4
        page.locator("#show-queued").click()
        assert page.url == f"{site.url}/?q=evaluation&status=queued"
        page.locator("#go-evaluation-queued").click()
        assert page.get_by_role("heading", name="evaluation-queued").is_visible()


def test_without_javascript_the_page_refreshes_itself(chromium: Browser, site: Site) -> None:
    with looking(chromium, java_script_enabled=False) as page:
        page.goto(site.url)
        assert '<meta http-equiv="refresh" content="30">' in page.content()
