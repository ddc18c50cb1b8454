"""``esteira ui`` in a real browser, over a controller in memory: every button and what comes of it.

It is skipped where there is no Chromium or no Playwright. Screenshots of each view go to the folder SCREENSHOTS.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from console.local.rehearse.rehearsal_engine import BuildOutcome
from console.ui.page_server import Page as PageServer
from console.ui.page_server import serve
from esteira.core.facts import (
    Aborted,
    Approved,
    Bypassed,
    Promoted,
    Rejected,
    Retried,
)
from tests.integration.page import PageStory, call_of, lengthen, served, story_of_two_stages

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"),
]

PHONE = {"width": 320, "height": 640}
DESK = {"width": 1280, "height": 900}
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
# A refused word is an answer of 409, which browsers write down.
REFUSED = re.compile(r"status of 409")
# When what fills the page was painted, in milliseconds since somebody went to its address.
LARGEST_PAINT = """new Promise((told) => new PerformanceObserver((list) => told(list.getEntries().at(-1).startTime))
  .observe({ type: "largest-contentful-paint", buffered: true }))"""
WIDTHS = "[document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]"

Page = Any
Keep = Callable[[Page, str], None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        # as root, which containers run as, Chromium has no sandbox
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def keep(tmp_path_factory: pytest.TempPathFactory) -> Keep:
    """Keeps a picture of the whole page."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)

    def kept(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png", full_page=True)

    return kept


@pytest.fixture
def story() -> Iterator[PageStory]:
    """A staging, and a production that needs one approval."""
    with story_of_two_stages() as told:
        yield told


class Screen:
    """The page in browsers of their own."""

    def __init__(self, browser: Any, story: PageStory, address: str, key: str) -> None:
        self.story = story
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.contexts: list[Any] = []
        self.key = key
        self.refused = REFUSED  # what a console may complain of
        self._browser, self._address = browser, address

    def open(self, place: str = "#/", *, key: str | None = None, **settings: Any) -> Page:
        """Open the page there, as the address that is printed does."""
        context = self._browser.new_context(**{"viewport": DESK, "reduced_motion": "reduce", **settings})
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(f"{self._address}/?key={self.key if key is None else key}{place}")
        if key is None:
            page.wait_for_selector("main h1")
        return page

    def say(self, page: Page, word: str, about: str, **fields: str) -> None:
        """Press a button, fill in what is asked, and confirm; wait until it is recorded."""
        page.click(f"button[data-word='{word}'][data-key$=' {about}']")
        for name, value in fields.items():
            if page.locator(f"#ask-{name}").evaluate("it => it.tagName") == "SELECT":
                page.select_option(f"#ask-{name}", value)
            else:
                page.fill(f"#ask-{name}", value)
        page.click("#ask-yes")
        page.wait_for_selector("#ask:not([open])", state="attached")
        assert "recorded" in page.inner_text("#said")


@pytest.fixture
def screen(browser: Any, story: PageStory) -> Iterator[Screen]:
    """Afterwards: no error on a console, and no request left this machine."""
    with served(call_of(story)) as (address, page):
        shown = Screen(browser, story, address, page.key)
        yield shown
        for context in shown.contexts:
            context.close()
    assert [said for said in shown.complaints if not shown.refused.search(said)] == []
    assert {urlsplit(url).hostname for url in shown.asked} == {"127.0.0.1"}


def until(page: Page, script: str, argument: Any = None) -> None:
    """Wait for a condition. Playwright's own way of doing so is an eval in the page, which its policy forbids."""
    deadline = time.monotonic() + 15
    while not page.evaluate(script, argument):
        assert time.monotonic() < deadline, f"still not: {script}"
        page.wait_for_timeout(30)


def shows(page: Page, text: str) -> None:
    """Wait until the page says so, by itself."""
    until(page, "text => document.getElementById('main').innerText.includes(text)", text)


def words(story: PageStory, number: int, kind: type[Any]) -> list[Any]:
    return [fact for fact in story.facts(number) if isinstance(fact, kind)]


def bring_to_life(story: PageStory, *texts: str) -> None:
    """Bring a commit of each text to life on both stages."""
    for text in texts:
        story.push(text)
        story.play()
        story.operate("approve", release=f"v{story.newest()}")
        story.play()
    assert story.live_on("production") == story.newest()


def is_accessible(page: Page) -> None:
    """No violation of WCAG 2.1 A or AA that axe can find."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    found = axe.Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}})
    assert found.violations_count == 0, found.generate_report()


# --- every button ---------------------------------------------------------------------------------------------------


def test_approve_lets_it_onto_production_and_the_page_follows_by_itself(screen: Screen, keep: Keep) -> None:
    """From push to live: each step appears without a reload, and a screen reader hears of it."""
    story, page = screen.story, screen.open()
    shows(page, "nothing yet")
    story.push("1")
    story.deliver()
    shows(page, "building")
    until(page, "document.getElementById('heard').innerText.includes('v1 of heart is building')")
    story.play()
    shows(page, "production needs 1 more approval")
    keep(page, "waiting")
    is_accessible(page)
    screen.say(page, "approve", "v1", why="looked at it", stage="production")
    (vote,) = words(story, 1, Approved)
    assert (vote.by, vote.reason, vote.stage) == ("ana", "looked at it", "production")
    story.play()
    assert story.live_on("production") == 1
    until(page, "document.querySelectorAll('.big a[href=\"#/release/heart/v1\"]').length === 2")
    assert page.locator("button[data-word=approve]").count() == 0
    keep(page, "live")


def test_reject_ends_its_way(screen: Screen) -> None:
    """It stays live where it is."""
    story = screen.story
    story.live("1")
    page = screen.open()
    screen.say(page, "reject", "v1", reason="worse for the young")
    (word,) = words(story, 1, Rejected)
    assert word.reason == "worse for the young"
    assert story.stands(1).phase == "rejected"
    assert story.live_on("staging") == 1


def test_bypass_lets_it_through_and_stands_on_the_page(screen: Screen, keep: Keep) -> None:
    """Without an approval, for as long as was said, and everybody sees it."""
    story = screen.story
    story.live("1")
    page = screen.open()
    screen.say(page, "bypass", "v1", reason="the clinic waits", **{"for": "1h30m"})
    (word,) = words(story, 1, Bypassed)
    assert (word.until - word.at).total_seconds() == 90 * 60
    shows(page, "Rules bypassed for v1 by ana until")
    keep(page, "bypass")
    story.play()
    assert story.live_on("production") == 1


def test_abort_stops_a_build(screen: Screen) -> None:
    """A release that is being built is called off."""
    story = screen.story
    story.push("1")
    story.deliver()
    page = screen.open()
    screen.say(page, "abort", "v1", reason="the wrong branch")
    (word,) = words(story, 1, Aborted)
    assert word.reason == "the wrong branch"
    story.play()
    assert story.stands(1).phase == "aborted"


def test_the_policy_that_decides_stands_on_the_page(screen: Screen, keep: Keep) -> None:
    """At a glance with who set it and why; at a release the one it went under. A vote is offered by its rules."""
    story = screen.story
    document = "stages: {staging: {}, production: {approvals: {votes: 2}}}"
    assert "refused" not in story.operate("policy", document=document, reason="two people look", by="bea")
    story.live("1")
    page = screen.open()
    shows(page, "Rules: policy version 1, set by bea: two people look")
    shows(page, "production needs 2 more approvals")
    keep(page, "policy")
    keep(screen.open(viewport=PHONE, color_scheme="dark"), "policy-phone")
    page = screen.open("#/release/heart/v1")
    shows(page, "policy version 1, set by bea: two people look")
    is_accessible(page)
    keep(page, "policy-release")


def test_hold_and_resume(screen: Screen, keep: Keep) -> None:
    """One stage is held, for as long as was typed, and let go."""
    story, page = screen.story, screen.open()
    screen.say(page, "hold", "production", reason="the audit", **{"for": "1d"})
    hold = story.stage_state.hold
    assert hold is not None
    assert ((hold.until - hold.at).days, hold.reason, hold.by) == (1, "the audit", "ana")
    assert story.store.stage(story.service.name, "staging").hold is None
    shows(page, "Held by ana until")
    keep(page, "held")
    story.clock.advance(60)
    screen.say(page, "resume", "production")
    assert story.stage_state.held(story.clock.now()) is None
    until(page, "!document.getElementById('main').innerText.includes('Held by')")


def test_rollback_goes_to_the_last_healthy_one_or_to_the_one_that_is_named(screen: Screen) -> None:
    """From the stage's card, without a name and with one."""
    story = screen.story
    bring_to_life(story, "1", "2", "3")
    page = screen.open()
    screen.say(page, "rollback", "production", reason="it answers too slowly")
    story.play()
    assert story.live_on("production") == 2
    shows(page, "ana ordered production back from v3 to v2")
    story.clock.advance(60)
    screen.say(page, "rollback", "production", reason="so does this", to="v1")
    story.play()
    assert story.live_on("production") == 1
    assert story.live_on("staging") == 3


def test_a_release_is_gone_back_to_from_its_own_page(screen: Screen) -> None:
    """One that was live before has a button of its own; of the live one the button goes back from it."""
    story = screen.story
    bring_to_life(story, "1", "2")
    page = screen.open("#/release/heart/v1")
    screen.say(page, "go-back", "v1", reason="it was better")
    story.play()
    assert story.live_on("production") == 1
    story.clock.advance(60)
    bring_to_life(story, "3")
    page = screen.open("#/release/heart/v3")
    screen.say(page, "rollback", "v3", reason="again")
    story.play()
    assert story.live_on("production") == 1


def test_retry_gives_a_failed_one_another_attempt(screen: Screen, keep: Keep) -> None:
    """The release's page tells why it failed, and has the button."""
    story = screen.story
    story.builds = BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: pytest")
    story.live("1")
    page = screen.open("#/release/heart/v1")
    shows(page, "COMMAND_EXECUTION_ERROR: pytest")
    keep(page, "failed")
    story.builds = BuildOutcome()
    screen.say(page, "retry", "v1", why="the registry was away")
    (word,) = words(story, 1, Retried)
    assert (word.attempt, word.reason) == (2, "the registry was away")
    story.play()
    assert story.live_on("staging") == 1
    shows(page, "waiting")


def test_quarantine_keeps_its_image_out(screen: Screen) -> None:
    """Its commit and its image."""
    story = screen.story
    bring_to_life(story, "1")
    page = screen.open("#/release/heart/v1")
    screen.say(page, "quarantine", "v1", reason="the data was wrong")
    commit = story.store.pushed(story.service.name, 1)
    assert commit is not None
    word = story.store.quarantine(story.service.name, (commit.commit,))
    assert word is not None
    assert word.reason == "the data was wrong"
    shows(page, "quarantined")


def test_promote_sends_one_on_that_was_passed(screen: Screen) -> None:
    """Another came to staging; this one comes to production all the same, if it is approved."""
    story = screen.story
    story.live("1", "2")
    assert story.stands(1).phase == "superseded"
    page = screen.open("#/release/heart/v1")
    screen.say(page, "promote", "v1", why="the clinic asked for it")
    (word,) = words(story, 1, Promoted)
    assert (word.stage, word.reason) == ("production", "the clinic asked for it")
    shows(page, "waiting")
    screen.say(page, "approve", "v1")
    story.play()
    assert story.live_on("production") == 1


# --- a question before each -----------------------------------------------------------------------------------------


def test_a_refusal_is_said_in_the_dialog_and_nothing_happens(screen: Screen, keep: Keep) -> None:
    """The sentence is operate's own; what was typed stays."""
    story = screen.story
    bring_to_life(story, "1")
    page = screen.open()
    page.click("button[data-word=rollback][data-key$=' production']")
    page.fill("#ask-reason", "why not")
    page.fill("#ask-to", "v7")
    page.click("#ask-yes")
    until(page, "document.getElementById('ask-refused').innerText.includes('has no release v7')")
    assert page.input_value("#ask-reason") == "why not"
    keep(page, "refused")
    is_accessible(page)
    assert story.stage_state.rollback is None


def test_without_a_reason_nothing_is_sent(screen: Screen) -> None:
    """The browser itself says what is missing; a length of time has a form, too."""
    page = screen.open()
    page.click("button[data-word=hold][data-key$=' production']")
    page.click("#ask-yes")
    assert page.locator("#ask-reason:invalid").count() == 1
    page.fill("#ask-reason", "the audit")
    page.fill("#ask-for", "tomorrow")
    page.click("#ask-yes")
    assert page.locator("#ask-for:invalid").count() == 1
    assert page.locator("#ask[open]").count() == 1
    assert screen.story.stage_state.hold is None


def test_whoever_thinks_better_of_it_leaves_it(screen: Screen) -> None:
    """By the button or by Escape; then the focus is where it was."""
    page = screen.open()
    for leave in (lambda: page.click("#ask-cancel"), lambda: page.keyboard.press("Escape")):
        page.focus("button[data-word=hold][data-key$=' production']")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "ask-for"
        leave()
        page.wait_for_selector("#ask:not([open])", state="attached")
        assert page.evaluate("document.activeElement.dataset.word") == "hold"
    assert screen.story.stage_state.hold is None


def test_what_others_do_meanwhile_does_not_take_the_question_away(screen: Screen) -> None:
    """The page is drawn anew when the dialog is closed, not under it."""
    story = screen.story
    page = screen.open()
    page.click("button[data-word=hold][data-key$=' production']")
    page.fill("#ask-reason", "the au")
    story.live("1")
    until(page, "document.getElementById('heard').innerText.includes('live on staging')")
    page.keyboard.type("dit")
    assert page.input_value("#ask-reason") == "the audit"
    page.keyboard.press("Escape")
    shows(page, "production needs 1 more approval")


# --- the views ------------------------------------------------------------------------------------------------------


def told_at_length(story: PageStory) -> None:
    """A week with a bit of everything."""
    bring_to_life(story, "1")
    for text in ("2", "3"):
        story.clock.advance(90_000)
        bring_to_life(story, text)
    story.clock.advance(5_000)
    story.operate("rollback", reason="it answers too slowly")
    story.play()
    story.clock.advance(60_000)
    story.builds = BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: pytest")
    story.live("4")
    story.builds = BuildOutcome()
    story.push(README_dot_md="words")
    story.play()
    story.clock.advance(30_000)
    bring_to_life(story, "6")
    story.clock.advance(9_000)
    story.live("7")
    story.operate("hold", stage="production", reason="the audit looks at it", minutes=600)
    story.clock.advance(900)


VIEWS = {
    "overview": "#/",
    "history": "#/history/heart",
    "release": "#/release/heart/v3",
    "dora": "#/dora/heart",
    "nothing": "#/release/heart/v99",
}


@pytest.mark.parametrize("how", ["light", "dark", "phone"])
def test_axe_finds_nothing_in_any_view(how: str, screen: Screen, keep: Keep) -> None:
    """WCAG 2.1 A and AA, and at 320 pixels nothing scrolls sideways."""
    told_at_length(screen.story)
    page = screen.open(color_scheme="dark" if how == "dark" else "light", viewport=PHONE if how == "phone" else DESK)
    for name, place in VIEWS.items():
        page.evaluate("place => { location.hash = place; }", place)
        until(page, "name => document.title.includes(name)", TITLES[name])
        if name == "dora":
            page.click("summary")
        keep(page, f"{name}-{how}")
        is_accessible(page)
        levels = page.eval_on_selector_all(
            "main :is(h1, h2, h3, h4)", "them => them.map((it) => Number(it.tagName[1]))"
        )
        assert levels[0] == 1
        assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
        if how == "phone":
            assert page.evaluate(WIDTHS) == [320, 320, 320]


TITLES = {
    "overview": "What is live",
    "history": "Releases of heart",
    "release": "v3",
    "dora": "The five keys",
    "nothing": "That cannot be shown",
}


def test_the_words_of_a_phone(screen: Screen, keep: Keep) -> None:
    """What a finger meets is large enough, and the dialog fits, too."""
    screen.story.live("1")
    page = screen.open(viewport=PHONE, has_touch=True, is_mobile=True)
    heights = page.eval_on_selector_all("button:not(dialog *), nav a", "them => them.map((it) => it.offsetHeight)")
    assert len(heights) > 8
    assert min(heights) >= 44
    page.click("button[data-word=bypass]")
    assert page.evaluate(WIDTHS) == [320, 320, 320]
    keep(page, "dialog-phone")
    is_accessible(page)


def test_tab_reaches_every_control_in_order_and_shows_where_it_is(screen: Screen) -> None:
    """From the skip link to the last button: nothing left out, or without a mark."""
    told_at_length(screen.story)
    page = screen.open()
    shows(page, "Held by ana")
    name = "(it) => it.dataset.key || it.id || it.getAttribute('href')"
    expected = page.eval_on_selector_all(":is(a[href], button, select):not(dialog *)", f"them => them.map({name})")
    reached = []
    page.evaluate("document.activeElement.blur()")
    for _ in expected:
        page.keyboard.press("Tab")
        focus, outline = page.evaluate(
            f"() => [({name})(document.activeElement), getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert outline != "none", focus
        reached.append(focus)
    assert reached == expected
    assert len(reached) > 10


def test_a_word_is_said_without_a_mouse(screen: Screen) -> None:
    """Enter opens the question, Tab goes through it, Enter says it."""
    story, page = screen.story, screen.open()
    page.focus("button[data-word=hold][data-key$=' production']")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("the audit")
    page.keyboard.press("Enter")
    shows(page, "Held by ana")
    assert story.stage_state.hold is not None
    until(page, "document.activeElement.closest('main') !== null")


def test_a_screen_reader_finds_its_way(screen: Screen) -> None:
    """Landmarks, a name for each button that says what about, pictures with their words."""
    told_at_length(screen.story)
    page = screen.open()
    for landmark in ("banner", "navigation", "main"):
        assert page.get_by_role(landmark).count() == 1
    assert page.get_by_role("region", name="heart").count() == 1
    assert page.get_by_role("button", name="Hold: staging of heart").count() == 1
    assert page.get_by_role("button", name="Approve: v7 of heart").count() == 1
    page.click("nav a:has-text('Five keys')")
    page.wait_for_selector("svg.plot")
    pictures = page.get_by_role("img")
    assert pictures.count() == 5
    assert all(len(picture.get_attribute("aria-label")) > 40 for picture in pictures.all())
    assert page.evaluate("document.activeElement.id") == "main"


def test_a_release_is_told_with_its_decisions_or_without(screen: Screen) -> None:
    """What happened is told without the decisions; unfolded, both stand together in order of time, and stay so."""
    story = screen.story
    story.live("1")
    page = screen.open("#/release/heart/v1")
    decision, fact = page.locator("text=decided to start build").first, page.locator("text=was pushed and became v1")
    assert decision.is_hidden()
    assert fact.is_visible()
    page.check("#decisions")
    assert decision.is_visible()
    assert fact.is_visible()
    story.operate("quarantine", release="v1")
    shows(page, "ana quarantined")
    assert decision.is_visible()
    assert page.evaluate("document.activeElement.id") == "decisions"
    page.uncheck("#decisions")
    assert decision.is_hidden()


@pytest.mark.parametrize(
    "how", [{"viewport": DESK}, {"viewport": PHONE, "color_scheme": "dark"}], ids=["desk", "phone-dark"]
)
def test_the_page_begins_with_the_last_push(how: dict[str, Any], screen: Screen, keep: Keep) -> None:
    """A push whose build failed is said above what is live: its subject, its author, how far it came, why it ended and
    what its command said. Its page has the build's whole log, read when it is unfolded."""
    story = screen.story
    bring_to_life(story, "1")
    story.builds = BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: exit status 1")
    at = "[Container] 2026/11/23 10:00:10"
    said = [f"{at} Running command make", "model.c:7 has no semicolon", f"{at} Phase complete: BUILD State: FAILED"]
    story.local_aws.logs.said = said
    story.push("2")
    story.play()
    page = screen.open(**how)
    shows(page, "Pushed last: v2")
    for text in ("change", "by Ana", "failed", "COMMAND_EXECUTION_ERROR", "model.c:7 has no semicolon"):
        shows(page, text)
    assert page.locator(".steps li").all_inner_texts()[0].startswith("✗ image")
    is_accessible(page)
    keep(page, f"last-push-failed-{how['viewport']['width']}")
    page.click("main a:has-text('v2')")
    page.click('summary:has-text("The build\'s log")')
    shows(page, "Running command make")
    is_accessible(page)


def test_the_history_is_searched(screen: Screen, keep: Keep) -> None:
    """By anything that a line says; a search is an address of its own, and what is not found is a sentence."""
    lengthen(screen.story, 120)
    page = screen.open("#/history/heart")
    page.fill("#search", "v117")
    page.press("#search", "Enter")
    until(page, "() => document.querySelectorAll('main .line > li').length === 2")
    keep(page, "history-search")
    page.fill("#search", "no such thing")
    page.press("#search", "Enter")
    shows(page, "No release has “no such thing” in it.")
    page.go_back()
    until(page, "() => document.querySelectorAll('main .line > li').length === 2")


def test_history_goes_page_by_page_and_everything_is_a_link(screen: Screen) -> None:
    """Fifty a page, older and back; the back button of the browser works."""
    lengthen(screen.story, 120)
    page = screen.open("#/history/heart")
    assert page.locator("main .line > li").count() == 50
    page.click("text=older →")
    shows(page, "v70")
    assert page.locator("main .line > li").count() == 50
    page.click("text=older →")
    shows(page, "v20")
    assert page.locator("main .line > li").count() == 20
    assert page.locator("text=older →").count() == 0
    page.click("text=← the newest")
    shows(page, "v120")
    page.go_back()
    shows(page, "v20")


def test_ten_thousand_releases_open_in_a_moment(browser: Any, story: PageStory) -> None:
    """Each view's requests and rows, with those of the one look; its largest contentful paint is told and only asserted
    generously."""
    lengthen(story, 10_000)
    reads = story.reads
    views = {
        "#/": ("v10000", 10, 160),
        "#/history/heart": ("v10000", 13, 220),
        "#/release/heart/v10000": ("About it", 25, 200),
        "#/dora/heart": ("Time to restore", 14, 3_100),
    }
    with served(call_of(story), seconds=60) as (address, shown):
        for place, (text, most_requests, most_rows) in views.items():
            reads.start()
            page = Screen(browser, story, address, shown.key).open(place)
            shows(page, text)
            requests, rows, painted = reads.requests, reads.rows, page.evaluate(LARGEST_PAINT)
            print(f"{place}: {painted:.0f} ms, {requests} requests, {rows} rows")
            assert requests <= most_requests
            assert rows <= most_rows
            assert painted < 10_000
            page.context.close()


# --- empty, busy, failed, and with ten thousand releases behind it ----------------------------------------------------


def empty(_: PageStory) -> None:
    """Nothing was pushed yet."""


def busy(story: PageStory) -> None:
    """One waits for an approval, the next one deploys, the newest is built, and production is held."""
    story.push("1")
    story.deliver()
    story.clock.advance(100)
    story.end_build()
    story.clock.advance(30)
    story.play()
    story.operate("approve", release="v1")
    story.play()
    story.clock.advance(9_000)
    story.live("2")
    story.operate("hold", stage="production", reason="the audit looks at it", minutes=600)
    story.clock.advance(60)
    story.push("3")
    story.deliver()
    story.end_build()
    (target,) = next(reversed(story.local_aws.codedeploy._targets.values()))
    target["lifecycleEvents"] = [{"lifecycleEventName": "ApplicationStart", "status": "InProgress"}]
    story.local_aws.logs.said = [
        "[Container] 2026/11/23 10:00:10 Running command docker build -t $IMAGE_URI:$IMAGE_TAG .",
        "Step 4/7 : RUN pip install --no-cache-dir -r requirements.txt",
    ]
    story.push("4")
    story.deliver()
    story.clock.advance(20)


def failed(story: PageStory) -> None:
    """The last push does not build; the one before was rolled back."""
    bring_to_life(story, "1", "2")
    story.operate("rollback", reason="it answers too slowly")
    story.play()
    story.builds = BuildOutcome(
        "FAILED", "COMMAND_EXECUTION_ERROR: Error while executing command: make. Reason: exit status 2"
    )
    story.local_aws.logs.said = [
        "[Container] 2026/11/23 10:00:10 Running command make",
        "model.c:7:12: error: expected ';' before 'return'",
        "make: *** [Makefile:3: model.o] Error 1",
        "[Container] 2026/11/23 10:00:11 Phase complete: BUILD State: FAILED",
    ]
    story.push("3")
    story.play()


def long(story: PageStory) -> None:
    """Ten thousand releases."""
    lengthen(story, 10_000)


# By state: what makes it, and what its overview says in it.
STATES: dict[str, tuple[Callable[[PageStory], None], str]] = {
    "empty": (empty, "Nothing was pushed yet"),
    "busy": (busy, "Step 4/7"),
    "failed": (failed, "model.c:7:12"),
    "long": (long, "v10000"),
}
LOOKS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]


@pytest.mark.parametrize("state", STATES)
def test_the_page_in_every_state_wide_and_narrow_light_and_dark(state: str, screen: Screen, keep: Keep) -> None:
    """The newest release is told, nothing scrolls sideways, axe finds nothing; a picture of each is kept."""
    make, text = STATES[state]
    make(screen.story)
    newest = screen.story.newest()
    places = {
        "overview": "#/",
        "history": "#/history/heart",
        **({"release": f"#/release/heart/v{newest}"} if newest else {}),
    }
    for width, scheme in LOOKS:
        page = screen.open(color_scheme=scheme, viewport={"width": width, "height": 900})
        for name, place in places.items():
            page.evaluate("place => { location.hash = place; }", place)
            until(page, "name => document.title.includes(name)", f"v{newest}" if name == "release" else TITLES[name])
            shows(page, text if name == "overview" or (newest < 1_000 and name == "release") else "heart")
            keep(page, f"{state}-{name}-{width}-{scheme}")
            assert page.evaluate(WIDTHS) == [width] * 3, name
            is_accessible(page)
        page.context.close()


# --- what it guards against -----------------------------------------------------------------------------------------


def test_what_people_write_is_never_more_than_text(screen: Screen) -> None:
    """Names, reasons and paths come from outside."""
    story, evil = screen.story, "<img src=x onerror=alert(1)><script>alert(2)</script>"
    story.change({"app.py": "1", f"{evil.replace('/', '_')}.py": "x"})
    story.play()
    story.operate("hold", by=evil, reason=evil, stage="production")
    page = screen.open()
    shows(page, evil)
    page = screen.open("#/release/heart/v1")
    shows(page, "<img src=x")
    assert page.locator("main img, main script").count() == 0


def test_without_the_key_there_is_nothing(screen: Screen) -> None:
    """A guessed address shows a sentence that says what to open."""
    screen.refused = re.compile(r"status of 403")
    page = screen.open(key="guessed")
    assert "esteira ui printed" in page.inner_text("body")


def test_the_key_stays_in_no_address(screen: Screen) -> None:
    """It is a cookie by the time the page is shown; no script can read it."""
    page = screen.open()
    assert urlsplit(page.url).query == ""
    assert page.evaluate("document.cookie") == ""


def test_the_file_that_the_browser_is_given_leads_to_the_page(
    browser: Any, story: PageStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is in the file, and the cookie is kept although the way began at no site."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    said: list[str] = []
    done = threading.Event()

    async def until_done() -> None:
        serving = asyncio.create_task(serve(PageServer(call_of(story), "ana"), 0, said.append, browser=True))
        await asyncio.to_thread(done.wait)
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving

    thread = threading.Thread(target=lambda: asyncio.run(until_done()))
    thread.start()
    try:
        while not opened:
            assert thread.is_alive()
            time.sleep(0.02)
        page = browser.new_page()
        page.goto(opened[0])
        page.wait_for_selector("main h1")
        assert page.url == f"http://{urlsplit(said[0]).netloc}/"
        page.close()
    finally:
        done.set()
        thread.join(10)


def test_the_page_says_when_nobody_answers_and_when_somebody_does_again(browser: Any, story: PageStory) -> None:
    """What is shown stays, and it is said that it may be old."""
    with served(call_of(story)) as (address, served_page):
        screen = Screen(browser, story, address, served_page.key)
        page = screen.open()
        until(page, "document.getElementById('pulse').innerText.includes('as ana')")
    until(page, "document.getElementById('pulse').innerText.includes('does not answer')")
    assert "nothing yet" in page.inner_text("main")
    is_accessible(page)
    page.context.close()


def test_without_javascript_the_page_says_so(screen: Screen) -> None:
    """And it says what else there is."""
    page = screen.open(java_script_enabled=False, key=screen.key)
    assert "esteira status" in page.inner_text("noscript")
