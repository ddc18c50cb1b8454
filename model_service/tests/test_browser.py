"""The page in a real browser: its texts, its form, its accessibility, and its behaviour when a container is replaced.

It is skipped where there is no Chromium or no Playwright. Screenshots of each state go to the folder SCREENSHOTS.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import uvicorn
from conftest import ENGLISH, GROUPS, HERE, PORTUGUESE, WORDS
from generated import generate

import train
from serving.model import Model, Prediction, Record, load
from serving.page import create_page
from serving.words import read_words
from training import evaluation

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium"),
]

PHONE = {"width": 320, "height": 640}
DESK = {"width": 1280, "height": 900}
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
# Browsers log a failed connection to a server that is being replaced.
NO_SERVER = re.compile(r"ERR_CONNECTION|WebSocket connection to .* failed")

Page = Any
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def told() -> list[tuple[Record, Prediction]]:
    return []


@pytest.fixture(scope="module")
def address(model: Model, told: list[tuple[Record, Prediction]]) -> Iterator[str]:
    """The address of the page, which a thread of these tests serves."""
    with served(create_page(model, lambda record, prediction: told.append((record, prediction)), WORDS, GROUPS)) as at:
        yield at


@contextmanager
def served(page: Any) -> Iterator[str]:
    """The address of an application, which a thread of these tests serves."""
    server = uvicorn.Server(uvicorn.Config(page, lifespan="off", log_level="error"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = server.force_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    with playwright.sync_playwright() as started:
        # as root, which containers run as, Chromium has no sandbox
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Open]:
    """A function that opens the page in its own browser. At the end: no console error, no request to another host."""
    complaints: list[str] = []
    asked: list[str] = []
    contexts: list[Any] = []

    def opened(at: str = address, *, path: str = "/", ready: bool = True, **settings: Any) -> Page:
        context = browser.new_context(**{"viewport": DESK, "locale": "en-GB", "reduced_motion": "reduce", **settings})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda said: said.type in ("error", "warning") and complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda opened: asked.append(opened.url))
        page.goto(at + path)
        if ready:
            connected(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [said for said in complaints if not NO_SERVER.search(said)] == []
    assert {urlsplit(url).hostname for url in asked} == {"127.0.0.1"}
    # no address contains health data: this page's addresses have only a language or a version
    assert {key for url in asked for key in parse_qs(urlsplit(url).query)} <= {"lang", "v"}


def until(page: Page, script: str, argument: Any = None) -> None:
    """Wait for a condition. Playwright's own way needs eval in the page, which its policy forbids."""
    deadline = time.monotonic() + 15
    while not page.evaluate(script, argument):
        assert time.monotonic() < deadline, f"still not: {script}"
        page.wait_for_timeout(30)


def connected(page: Page) -> None:
    # at its start a session sends the quality of the model last
    until(page, "!!window.Shiny?.shinyapp?.isConnected() && document.querySelector('#good_list ol')")


def type_in(page: Page) -> None:
    page.fill("#age", "58")
    page.check("input[name=sex][value='1']")
    page.fill("#trestbps", "140")
    page.check("input[name=cp][value='4']")
    page.fill("#thalach", "132,5")


def ask(page: Page) -> str:
    """Press the button; the result is the text of the answer."""
    page.click("#ask")
    page.wait_for_selector("#said .sentence")
    return str(page.inner_text("#said"))


def values(page: Page) -> dict[str, str]:
    return dict(
        page.evaluate(
            """() => Object.fromEntries([...document.querySelectorAll('#form input:not([hidden])')]
            .filter((field) => field.type === 'text' ? field.value : field.checked && field.value)
            .map((field) => [field.id || field.name, field.value]))"""
        )
    )


TYPED = {"age": "58", "sex": "1", "trestbps": "140", "cp": "4", "thalach": "132,5"}


@pytest.fixture(scope="module")
def keep(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Page, str], None]:
    """A function that saves a screenshot of the whole page."""
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)

    def kept(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png", full_page=True)

    return kept


def is_accessible(page: Page) -> None:
    """axe finds no violation of WCAG 2.1 A or AA."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python")
    found = axe.Axe().run(page, options={"runOnly": {"type": "tag", "values": WCAG}})
    assert found.violations_count == 0, found.generate_report()


# --- asking and being answered ---


def test_a_person_types_what_they_know_and_reads_an_answer(
    open_page: Open, model: Model, told: list[tuple[Record, Prediction]], keep: Callable[[Page, str], None]
) -> None:
    """The sentence, its uncertainty, two pictures, the effects and the quality belong to this person's values."""
    page = open_page()
    assert ENGLISH.inviting in page.inner_text("#said")
    type_in(page)
    said = ask(page)
    record = {"age": 58.0, "sex": 1.0, "cp": 4.0, "trestbps": 140.0, "thalach": 132.5}
    prediction = model.predict([record])[0]
    assert told[-1] == (record, prediction)
    assert f"about {round(prediction.value * 100)} have the disease" in said
    assert f"(between {round(prediction.low * 100)} and {round(prediction.high * 100)})" in said
    assert page.locator("#shown svg[role=img]").count() == 2
    assert page.locator("#moved li").count() == len(record)
    assert "at least this" in page.inner_text("#good")
    keep(page, "answer")


def test_enter_in_a_field_asks(open_page: Open) -> None:
    """As in any form; and the address does not change."""
    page = open_page()
    page.fill("#age", "58")
    page.press("#age", "Enter")
    page.wait_for_selector("#said .sentence")
    assert urlsplit(page.url).query == ""


def test_once_asked_the_answer_follows_each_change(open_page: Open) -> None:
    """A person can try what another value would do."""
    page = open_page()
    type_in(page)
    before = ask(page)
    page.check("input[name=cp][value='2']")
    until(page, "before => document.getElementById('said').innerText !== before", before)
    assert "Of 100 people" in page.inner_text("#said")


def test_clearing_forgets_everything(open_page: Open) -> None:
    """Also after a reload: on a shared computer no value remains."""
    page = open_page()
    type_in(page)
    ask(page)
    page.click("#clear")
    page.wait_for_selector("#said .inviting")
    assert values(page) == {}
    assert page.evaluate("document.activeElement.id") == "age"
    page.fill("#age", "58")
    page.press("#age", "Tab")
    until(page, "text => document.getElementById('said').innerText.includes(text)", "Press")
    page.click("#clear")
    page.reload()
    connected(page)
    assert values(page) == {}


def test_a_wrong_value_has_a_message_at_its_field_and_gives_no_answer(
    open_page: Open, keep: Callable[[Page, str], None]
) -> None:
    """The message names value and range, is linked to its field, and disappears when the value is corrected."""
    page = open_page()
    type_in(page)
    ask(page)
    page.fill("#trestbps", "1200")
    page.fill("#age", "old")
    page.click("#ask")
    page.wait_for_selector("#said .refusal")
    until(page, "document.activeElement.id === 'age'")
    assert page.locator("#said .sentence").count() == 0
    assert page.locator("#shown svg").count() == 0
    assert page.get_attribute("#trestbps", "aria-invalid") == "true"
    assert (page.get_attribute("#trestbps", "aria-describedby") or "").split()[0] == "trestbps-problem"
    problem = page.inner_text("#trestbps-problem")
    assert "1200" in problem
    assert "60 to 260 mm Hg" in problem
    keep(page, "error")
    is_accessible(page)
    page.click("#said a[href='#trestbps']")
    assert page.evaluate("document.activeElement.id") == "trestbps"
    page.fill("#trestbps", "120,5")
    page.fill("#age", "58")
    page.press("#age", "Tab")
    page.wait_for_selector("#said .sentence")
    assert page.get_attribute("#trestbps", "aria-invalid") is None
    assert page.inner_text("#trestbps-problem") == ""


# --- languages ---


def test_the_browsers_language_is_spoken_and_the_switch_keeps_what_was_typed(
    open_page: Open, keep: Callable[[Page, str], None]
) -> None:
    """A Brazilian browser gets Portuguese. The other language is another page with the same values and answer."""
    page = open_page(locale="pt-BR")
    assert page.get_attribute("html", "lang") == "pt-BR"
    assert PORTUGUESE.of.title in page.title()
    type_in(page)
    assert "De cada 100 pessoas" in ask(page)
    keep(page, "portuguese")
    is_accessible(page)
    page.click("nav a[lang=en]")
    page.wait_for_selector("#said .sentence")
    assert page.get_attribute("html", "lang") == "en"
    assert values(page) == TYPED
    assert "Of 100 people" in page.inner_text("#said")


# --- everybody can use it ---


@pytest.mark.parametrize("state", ["empty", "answer", "dark", "phone"])
def test_axe_finds_nothing(state: str, open_page: Open, keep: Callable[[Page, str], None]) -> None:
    """WCAG 2.1 A and AA, as far as a program can check them, in each state of the page."""
    scheme = "dark" if "dark" in state else "light"
    page = open_page(color_scheme=scheme, viewport=PHONE if "phone" in state else DESK)
    if "empty" not in state:
        type_in(page)
        ask(page)
    keep(page, state)
    is_accessible(page)


@pytest.mark.parametrize("locale", ["en-GB", "pt-BR"])
def test_a_phone_scrolls_in_one_direction_only(locale: str, open_page: Open) -> None:
    """At 320 pixels the form, the pictures and a refusal are not wider than the screen."""
    page = open_page(viewport=PHONE, locale=locale, has_touch=True, is_mobile=True)
    widths = "[document.documentElement.scrollWidth, document.body.scrollWidth, innerWidth]"
    assert page.evaluate(widths) == [320, 320, 320]
    type_in(page)
    ask(page)
    assert page.evaluate(widths) == [320, 320, 320]
    until(page, "document.getElementById('answer').getBoundingClientRect().top < innerHeight / 2")
    page.fill("#chol", "99999999999999999999")
    page.click("#ask")
    page.wait_for_selector("#said .refusal")
    assert page.evaluate(widths) == [320, 320, 320]


def test_everything_a_finger_meets_is_large_enough(open_page: Open) -> None:
    """Inputs, options and buttons are at least 44 pixels high."""
    page = open_page(viewport=PHONE)
    heights = page.eval_on_selector_all(
        "#form input[type=text]:not([hidden]), .option, button", "them => them.map((it) => it.offsetHeight)"
    )
    assert len(heights) > 30
    assert min(heights) >= 44


def test_tab_reaches_every_control_in_order_and_shows_where_it_is(open_page: Open) -> None:
    """From the first link to the last, every control gets a visible focus."""
    page = open_page()
    type_in(page)
    ask(page)
    page.evaluate("scrollTo(0, 0)")
    page.mouse.click(2, 2)  # from here Tab begins
    name = "(it) => it.id || it.name || it.getAttribute('href')"
    expected = page.evaluate(
        f"""() => [...document.querySelectorAll('a[href], button, input:not([hidden])')]
        .filter((it) => it.type !== 'radio' || it.checked).map({name})"""
    )
    reached = []
    for _ in range(len(expected) + 1):
        page.keyboard.press("Tab")
        focus = page.evaluate(
            f"""() => {{
            const it = document.activeElement;
            if (it === document.body) return null;
            const box = it.getBoundingClientRect();
            const there = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            const marked = [it, it.closest('.option')].some((at) => at && getComputedStyle(at).outlineStyle !== 'none');
            return [({name})(it), marked, it === there || it.contains(there)];
            }}"""
        )
        if focus is None:
            break
        assert focus[1:] == [True, True], f"{focus[0]} is reached, but cannot be seen"
        reached.append(focus[0])
    assert reached == expected
    features = {"age", "sex", "trestbps", "cp", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca"}
    assert features | {"thal", "ask", "clear", "?lang=pt", "?lang=en", "version", "card"} <= set(reached)


def test_the_form_can_be_filled_and_asked_without_a_mouse(open_page: Open) -> None:
    """Tab, arrows, digits and Enter are enough."""
    page = open_page()
    page.focus("#age")
    for key in ("5", "8", "Tab", "ArrowDown", "ArrowDown", "Tab", "1", "4", "0", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector("#said .sentence")
    assert values(page) == {"age": "58", "sex": "1", "trestbps": "140"}


def test_a_screen_reader_hears_the_answer_and_finds_its_way(open_page: Open) -> None:
    """The answer is a status; there are landmarks, ordered headings, named groups, and pictures with alternatives."""
    page = open_page()
    type_in(page)
    ask(page)
    status = page.get_by_role("status").filter(has_text="Of 100 people")
    assert status.count() == 1
    for landmark in ("banner", "navigation", "main", "contentinfo"):
        assert page.get_by_role(landmark).count() == 1
    assert page.get_by_role("region", name=ENGLISH.answer, exact=True).count() == 1
    levels = page.eval_on_selector_all("h1, h2, h3, h4", "them => them.map((it) => Number(it.tagName[1]))")
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert page.get_by_role("group", name=ENGLISH.label("cp"), exact=True).get_by_role("radio").count() == 5
    assert page.get_by_role("textbox", name=ENGLISH.label("age")).input_value() == "58"
    for picture in page.get_by_role("img").all():
        name = picture.get_attribute("aria-label")
        assert name is None or len(name) > 50


def test_without_javascript_the_page_says_so(open_page: Open) -> None:
    """And it names the alternative."""
    page = open_page(java_script_enabled=False, ready=False)
    sentence = page.locator("noscript p")
    assert sentence.is_visible()
    assert sentence.inner_text() == ENGLISH.no_script


# --- its container is replaced ---


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def service(port: int, release: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The real service, started as in its container."""
    settings = {"PORT": str(port), "HOST": "127.0.0.1", "RELEASE": release, "MODEL_FOLDER": str(folder)}
    process = subprocess.Popen(
        [sys.executable, "-m", "serving"],
        cwd=HERE,
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "the service stopped"
                assert time.monotonic() < deadline, "the service does not listen"
                time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait(10)


@pytest.mark.parametrize("stopped_by", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_new_container_answers_what_was_typed_before(
    stopped_by: signal.Signals, open_page: Open, model_folder: Path, keep: Callable[[Page, str], None]
) -> None:
    """No typed value is lost, sent or not, even while no server answers; no grey page; the answer returns."""
    port = free_port()
    with service(port, "v1", model_folder) as first:
        page = open_page(f"http://127.0.0.1:{port}")
        type_in(page)
        before = ask(page)
        first.send_signal(stopped_by)
        first.wait(30)
    until(page, "document.getElementById('away').innerText !== ''")
    assert page.inner_text("#away") == ENGLISH.away
    assert page.locator("#shiny-disconnected-overlay").is_hidden()
    keep(page, f"away-{stopped_by.name.lower()}")
    is_accessible(page)
    page.check("input[name=cp][value='2']")  # nobody hears it
    page.type("#chol", "23")  # begun, and not sent
    with service(port, "v2", model_folder):
        until(page, "before => document.getElementById('said').innerText !== before", before)
        assert "Of 100 people" in page.inner_text("#said")
        assert page.inner_text("#away") in (ENGLISH.back, "")
        assert values(page) == {**TYPED, "cp": "2", "chol": "23"}
        page.keyboard.type("4")
        page.keyboard.press("Tab")
        until(page, "document.getElementById('moved').innerText.includes('234 mg/dl')")
        page.reload()
        page.wait_for_selector("#said .sentence")
        assert values(page) == {**TYPED, "cp": "2", "chol": "234"}


def test_a_page_of_an_older_release_loads_itself_anew_with_what_was_typed(open_page: Open) -> None:
    """The new release may have other fields and texts."""
    page = open_page()
    type_in(page)
    ask(page)
    page.focus("#thalach")
    with page.expect_navigation():
        page.evaluate("document.body.dataset.version = 'older'; Shiny.shinyapp.$socket.close()")
    page.wait_for_selector("#said .sentence")
    assert values(page) == TYPED
    assert page.get_attribute("body", "data-version") != "older"
    assert page.evaluate("document.activeElement.id") == "thalach"


# --- other kinds of model ---


@pytest.fixture(scope="module", params=["regression", "multiclass", "text"])
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A kind of generated data, and the address of its model's page."""
    folder = tmp_path_factory.mktemp(request.param)
    data, settings = generate(folder, request.param)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evaluation, "REPEATS", 1)
        card = train.train(data, settings, folder / "models", "0123abc", datetime(2026, 11, 23, tzinfo=UTC))
    words, groups = read_words(folder / "models/words.toml", card)
    with served(create_page(load(folder / "models"), lambda *_: None, words, groups)) as at:
        yield request.param, at


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_the_page_of_another_kind_answers_keeps_what_was_typed_and_has_no_faults(
    other: tuple[str, str], viewport: dict[str, int], open_page: Open, keep: Callable[[Page, str], None]
) -> None:
    """A number or a class; axe finds nothing; nothing is wider than the screen; a reload loses no text."""
    kind, at = other
    page = open_page(at, viewport=viewport)
    field, typed = ("#note", "moss and a leaf") if kind == "text" else ("#weight", "4,5")
    page.fill(field, typed)
    page.check("input[name=stripes][value='1']")
    ask(page)
    assert re.search("EUR" if kind == "regression" else r"(red|green|blue) \(en\)", page.inner_text("#said"))
    is_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    keep(page, f"{kind}-{viewport['width']}")
    page.reload()
    connected(page)
    assert page.input_value(field) == typed
    until(page, "!!document.querySelector('.figure')")
