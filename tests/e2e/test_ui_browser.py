"""The operator's page in a real browser: every button, what changes by itself, keyboard, phone and screen reader.

Skipped where there is no Chromium or no Playwright. Screenshots of each view go to the folder SCREENSHOTS.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from esteira.facts import Approved, Bypassed, Disapproved, Promoted, about_release
from tests.integration.conftest import Story
from tests.integration.page import call_of, served, story_of_two_stages

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")

PHONE = {"width": 320, "height": 640}
DESK = {"width": 1280, "height": 900}
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
Browsed = Any
Open = Callable[..., Browsed]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        # as root, which containers run as, Chromium has no sandbox
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with story_of_two_stages(tmp_path) as told:
        yield told


@pytest.fixture
def open_page(browser: Any, story: Story) -> Iterator[Open]:
    """Opens the page. Afterwards: no error on its console, and no request left this machine."""
    complaints: list[str] = []
    asked: list[str] = []
    contexts: list[Any] = []
    with served(call_of(story)) as (address, page):

        def opened(view: str = "", **settings: Any) -> Browsed:
            context = browser.new_context(
                **{"viewport": DESK, "locale": "en-GB", "reduced_motion": "reduce", **settings}
            )
            contexts.append(context)
            tab = context.new_page()
            tab.set_default_timeout(15_000)
            tab.on("console", lambda said: said.type in ("error", "warning") and complaints.append(said.text))
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.on("request", lambda request: asked.append(request.url))
            tab.goto(f"{address}/?key={page.key}")
            tab.wait_for_selector("main[aria-busy=false] h1")
            if view:
                tab.evaluate("view => { location.hash = view }", view)
                tab.wait_for_timeout(300)
            return tab

        yield opened
        for context in contexts:
            context.close()
    # A word that is refused is answered with 409, which browsers write down.
    assert [said for said in complaints if "409" not in said] == []
    assert {urlsplit(url).hostname for url in asked} <= {"127.0.0.1", None}


def shot(page: Browsed, name: str) -> None:
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/ui-{name}.png", full_page=True)


def press(page: Browsed, label: str, **fields: str) -> None:
    """Press the button that a screen reader calls so, fill in what is asked for, and confirm."""
    page.get_by_role("button", name=label, exact=True).first.click()
    for name, value in fields.items():
        field = page.locator(f"#ask-{name.rstrip('_')}")
        (field.select_option if field.evaluate("e => e.tagName") == "SELECT" else field.fill)(value)
    page.click("#ask-yes")


def heard(page: Browsed) -> None:
    page.wait_for_selector("dialog:not([open])", state="attached")


def until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < deadline, "still not"
        time.sleep(0.05)


def said(story: Story, number: int, kind: type) -> list[Any]:
    return [f for f in story.store.facts("heart", about_release(number)) if isinstance(f, kind)]


def approve(story: Story, number: int) -> None:
    story.operate("approve", release=f"v{number}")
    story.play()


@pytest.fixture
def history(story: Story) -> Story:
    """v1 and v2 went live, v3 is live on staging and waits for an approval."""
    for number in (1, 2):
        story.live(str(number))
        story.wait(30)
        approve(story, number)
    story.live("3")
    return story


# --- every button -----------------------------------------------------------------------------------------------------


def test_approve_brings_it_to_production_and_the_page_shows_it_by_itself(history: Story, open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector("text=production wants 1 more approval")
    press(page, "Approve v3", why="figures are good")
    until(lambda: said(history, 3, Approved))
    history.play()
    page.wait_for_selector("article[aria-label='heart on production'] .big:has-text('v3')")
    assert said(history, 3, Approved)[0].reason == "figures are good"
    assert "Approve" in page.inner_text("#said")


def test_reject_ends_its_way_with_the_reason(history: Story, open_page: Open) -> None:
    page = open_page("#/release/heart/v3")
    press(page, "Reject v3", reason="its recall fell")
    page.wait_for_selector("h1:has-text('rejected')")
    assert said(history, 3, Disapproved)[0].by == "ana"


def test_bypass_asks_for_how_long_and_why_and_shows_everywhere(history: Story, open_page: Open) -> None:
    page = open_page()
    press(page, "Bypass v3", for_="45", reason="the model is on fire")
    until(lambda: said(history, 3, Bypassed))
    word = said(history, 3, Bypassed)[0]
    assert round((word.until - word.at).total_seconds() / 60) == 45
    history.play()
    page.evaluate("() => { location.hash = '#/release/heart/v3' }")
    page.wait_for_selector(".facts >> text=the model is on fire")


def test_promote_takes_what_lost_its_place_on_staging(history: Story, open_page: Open) -> None:
    history.live("4")
    page = open_page("#/release/heart/v3")
    page.wait_for_selector("h1:has-text('superseded')")
    press(page, "Promote v3", why="it is the tested one")
    page.wait_for_selector("h1:has-text('waiting')")
    assert said(history, 3, Promoted)[0].stage == "production"


def test_rollback_hold_and_resume(history: Story, open_page: Open) -> None:
    page = open_page()
    press(page, "Hold production", for_="60", reason="the audit")
    page.wait_for_selector("text=Held by ana until")
    shot(page, "held")
    press(page, "Resume production")
    page.wait_for_selector("text=Held by ana until", state="detached")
    press(page, "Roll back production", to="v1", reason="v2 is slow")
    heard(page)
    history.play()
    page.wait_for_selector("article[aria-label='heart on production'] .big:has-text('v1')")
    page.wait_for_selector("text=v2 is slow")


def test_abort_retry_and_quarantine(history: Story, open_page: Open) -> None:
    page = open_page("#/release/heart/v3")
    press(page, "Abort v3", reason="wrong data")
    page.wait_for_selector("h1:has-text('aborted')")
    press(page, "Retry v3")
    page.wait_for_selector("h1:not(:has-text('aborted'))")
    history.play()
    press(page, "Quarantine v3", reason="patients were swapped")
    until(lambda: history.store.quarantine("heart", (history.store.release("heart", 3).digest,)))


def test_a_refusal_stays_in_the_dialog_as_the_sentence_it_is(history: Story, open_page: Open) -> None:
    page = open_page()
    press(page, "Roll back production", to="v3", reason="why not")
    page.wait_for_selector("#ask-refused:has-text('v3 was never live on production')")
    assert page.locator("dialog[open]").count() == 1
    page.click("#ask-cancel")
    assert page.locator("dialog[open]").count() == 0


def test_nothing_is_said_without_a_reason_or_after_leaving_it(history: Story, open_page: Open) -> None:
    page = open_page()
    page.get_by_role("button", name="Hold production", exact=True).click()
    page.click("#ask-yes")
    assert page.locator("dialog[open]").count() == 1  # the browser wants the field filled
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert history.stage_state.hold is None


# --- what it shows ------------------------------------------------------------------------------------------------------


def test_a_push_appears_by_itself(story: Story, open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector("text=nothing yet")
    story.live("1")
    page.wait_for_selector("article[aria-label='heart on staging'] .big:has-text('v1')")
    assert page.inner_text("#pulse") == "Live, as ana"


def test_text_from_outside_is_only_text(history: Story, open_page: Open) -> None:
    history.operate("hold", reason="<img src=x onerror=alert(1)>")
    page = open_page()
    page.wait_for_selector("text=<img src=x onerror=alert(1)>")
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize("view", ["", "#/history/heart", "#/release/heart/v2", "#/dora/heart"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_each_view_is_read_by_a_screen_reader_and_fits_a_phone(
    history: Story, open_page: Open, view: str, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    name = re.sub(r"\W+", "-", view.removeprefix("#/")) or "overview"
    page = open_page(view, color_scheme=scheme)
    shot(page, f"{name}-{scheme}")
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}})
    assert found.violations_count == 0, found.generate_report()
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(200)
    shot(page, f"{name}-{scheme}-phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_everything_can_be_done_by_keyboard(history: Story, open_page: Open) -> None:
    page = open_page()
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent")
        )
    assert {
        "Skip to the content",
        "History",
        "Four keys",
        "Approve v3",
        "Roll back production",
        "Hold staging",
    } <= reached
    page.get_by_role("button", name="Hold staging", exact=True).focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.locator("#ask-reason").focus()
    page.keyboard.type("night shift")
    page.keyboard.press("Enter")
    heard(page)
    until(lambda: history.store.stage("heart", "staging").hold)
