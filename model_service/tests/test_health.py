from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from conftest import ORIGIN, Ask, asking

from serving.app import create_app
from serving.drift import Drift
from serving.health import NO_FIGURE, STYLE, State, render
from serving.model import Model

TOLD = [
    Drift("age", 200, 0.02, "ok", 0.0, 0.0),
    Drift("sex", 200, 0.1234, "watch", 0.05, 0.0),
    Drift("ca", 90, 0.7, "drifted", 0.55, 0.013),
    Drift("thal", 3, None, "too few", 0.985, 0.007),
]


@pytest.fixture
def state(model: Model) -> State:
    return State(True, ORIGIN, model.card, ORIGIN.since + timedelta(days=2, hours=3, minutes=4), 512, 200, TOLD)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_says_what_runs(state: State, model: Model) -> None:
    """Release, commit, image, model, start time, and the number of predictions."""
    text = render(state, "en")
    for said in ("Well: the model answers.", "v17", "0123abc", "sha256:4567", model.card.sha256[:12], "512",
                 "2026-11-23 08:30 UTC (2 d 3 h 4 min)"):  # fmt: skip
        assert f">{said}<" in text or said in text
    assert "Not well" not in text


def test_an_unknown_fact_is_shown_as_not_known(state: State) -> None:
    """A service started by hand has no image."""
    text = render(replace(state, origin=replace(ORIGIN, digest="")), "en")
    assert "<dt>Image</dt><dd>not known</dd>" in text


@pytest.mark.parametrize(
    ("lang", "rows"),
    [
        ("en", ["✓ ok 0.020 200 0.0 % 0.0 %", "! watch 0.123 200 5.0 % 0.0 %", "✗ drifted 0.700 90 55.0 % 1.3 %",
                f"… too few to tell {NO_FIGURE} 3 98.5 % 0.7 %"]),
        ("pt", ["✓ ok 0,020 200 0,0 % 0,0 %", "! observar 0,123 200 5,0 % 0,0 %", "✗ mudou 0,700 90 55,0 % 1,3 %",
                f"… poucos para dizer {NO_FIGURE} 3 98,5 % 0,7 %"]),
    ],
)  # fmt: skip
def test_the_drift_is_a_table_with_words(state: State, lang: str, rows: list[str]) -> None:
    """Each feature has its verdict as word and sign, its index and its missing shares, in the language's format."""
    found = re.findall(r'<tr><th scope="row">(.*?)</tr>', render(state, lang))
    plain = [" ".join(re.sub("<[^>]+>", " ", row).split()) for row in found]
    assert plain == [f"{feature.name} {row}" for feature, row in zip(TOLD, rows, strict=True)]


@pytest.mark.parametrize("lang", ["en", "pt"])
def test_the_page_is_made_for_everybody(state: State, lang: str) -> None:
    """Its language, title, one main heading, landmarks, a table with headers, a scrolling region for the keyboard."""
    page = Page(render(state, lang))
    assert page.all("html") == [{"lang": {"en": "en", "pt": "pt-BR"}[lang]}]
    assert [len(page.all(tag)) for tag in ("title", "h1", "main", "header", "nav", "footer", "caption")] == [1] * 7
    assert {attributes["scope"] for attributes in page.all("th")} == {"col", "row"}
    [region] = [attributes for attributes in page.all("div") if attributes.get("role") == "region"]
    assert region["tabindex"] == "0"
    assert region["aria-label"]
    assert not page.all("script")
    assert all(link["href"] and link["href"][0] in "/?" for link in page.all("a"))


def contrast(first: str, second: str) -> float:
    """WCAG 2's contrast ratio of two colours."""
    lights = []
    for colour in (first, second):
        digits = colour.lstrip("#")
        digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_every_colour_can_be_read() -> None:
    """Each text colour has a contrast of 4.5 to 1 (WCAG AA), in the light and the dark scheme."""
    for block in re.findall(r":root \{([^}]*)\}", STYLE):
        colours = dict(re.findall(r"--(\w+): (#\w+)", block))
        for name in ("ink", "quiet", "link", "good", "mind", "bad"):
            assert contrast(colours[name], colours["paper"]) >= 4.5, (name, block)


def test_the_browser_speaks_its_language(ask: Ask) -> None:
    """The switch has priority over the browser's language, and that over English."""
    assert '<html lang="pt-BR">' in ask("GET", "/health", accept_language="pt-BR,pt;q=0.9,en;q=0.8").text
    assert '<html lang="en">' in ask("GET", "/health?lang=en", accept_language="pt-BR").text
    assert '<html lang="en">' in ask("GET", "/health?lang=%22%3E%3Cscript%3E").text


def test_the_policy_lets_the_page_load_nothing(ask: Ask) -> None:
    """The policy allows its own style by its hash, and no script, picture or frame."""
    answer = ask("GET", "/health")
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    assert answer.headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'"
    )
    assert f"<style>{STYLE}</style>" in answer.text


def test_the_page_follows_what_is_asked(model: Model) -> None:
    """Sixty people aged one hundred: the age has drifted, and the values that were not sent are missing."""
    ask = asking(create_app(model, ORIGIN))
    assert "too few to tell" in ask("GET", "/health").text
    ask("POST", "/invocations", b"[%s]" % b",".join([b'{"age": 100}'] * 60), content_type="application/json")
    text = ask("GET", "/health").text
    assert re.search(r'<th scope="row">age</th><td class="drifted">✗ drifted</td>', text)
    assert re.search(r'<th scope="row">chol</th>.*>100.0 %<', text)
