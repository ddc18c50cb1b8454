"""The page's server: who may ask, what it says, and how much it reads for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import pytest

from tests.integration.conftest import Story
from tests.integration.page import call_of, cookie_of, served, story_of_two_stages


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Asker:
    """Somebody who asks the server, with the cookie or without."""

    def __init__(self, address: str, cookie: str) -> None:
        self._address, self._cookie = address, cookie

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return the status and what was answered: JSON where it is."""
        said = {"Cookie": self._cookie, **{k.replace("_", "-"): v for k, v in headers.items()}}
        data = None if body is None else json.dumps(body).encode()
        try:
            with build_opener(_Stay).open(Request(self._address + path, data, said), timeout=20) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if "json" in answer.headers["Content-Type"] else text
        except HTTPError as error:
            text = error.read().decode()
            return error.code, json.loads(text) if "json" in error.headers.get("Content-Type", "") else text


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    with story_of_two_stages(tmp_path) as told:
        yield told


@pytest.fixture
def asker(story: Story) -> Iterator[Asker]:
    with served(call_of(story)) as (address, page):
        yield Asker(address, cookie_of(address, page))


WORD = {"Content_Type": "application/json", "X_Esteira": "word"}


def test_it_answers_who_has_the_key_and_under_its_own_name_only(story: Story) -> None:
    with served(call_of(story)) as (address, page):
        nobody, somebody = Asker(address, ""), Asker(address, cookie_of(address, page))
        assert nobody.ask("/")[0] == nobody.ask("/api/overview")[0] == nobody.ask("/?key=guessed")[0] == 403
        assert nobody.ask(f"/?key={page.key}")[0] == 303
        assert somebody.ask("/")[0] == 200
        assert somebody.ask("/", Host="evil.example:80")[0] == 403
        assert somebody.ask("/", Host="127.0.0.1:80")[0] == 403
        assert somebody.ask("/api/overview", Origin="http://127.0.0.1:80")[0] == 403
        assert somebody.ask("/api/overview", Origin=address)[0] == 200
        assert somebody.ask("/api/overview", Cookie=cookie_of(address, page)[:-1])[0] == 403


def test_a_word_is_taken_from_the_page_alone(asker: Asker, story: Story) -> None:
    """A form of another site can send neither JSON nor the header."""
    word = {"action": "hold", "service": "heart", "reason": "audit", "minutes": 60}
    assert asker.ask("/api/say", word, Content_Type="text/plain", X_Esteira="word")[0] == 415
    assert asker.ask("/api/say", word, Content_Type="application/json")[0] == 415
    assert asker.ask("/api/say", {"action": "drop"}, **WORD)[0] == 400
    assert asker.ask("/api/say", [], **WORD)[0] == 400
    assert story.stage_state.hold is None
    assert asker.ask("/api/say", word, **WORD)[0] == 200
    hold = story.stage_state.hold
    assert hold is not None
    assert (hold.by, hold.reason) == ("ana", "audit")


def test_a_refusal_is_the_sentence_it_is(asker: Asker) -> None:
    status, value = asker.ask("/api/say", {"action": "resume", "service": "heart"}, **WORD)
    assert status == 409
    assert "not held" in value["error"]
    assert "Next:" in value["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/history",
        "/api/history?service=lungs",
        "/api/history?service=heart&before=x",
        "/api/release?service=heart&number=x",
        "/api/dora?service=heart&stage=moon",
        "/api/dora?service=heart&days=x",
    ],
)
def test_what_is_not_there_is_a_sentence(asker: Asker, path: str) -> None:
    status, value = asker.ask(path)
    assert status == 400
    assert value["error"]


def test_each_view_tells_the_story(asker: Asker, story: Story) -> None:
    story.live("1")
    _, value = asker.ask("/api/overview")
    staging, production = value["services"][0]["stages"]
    assert (staging["live"]["release"], production["live"]) == ("v1", None)
    assert [w["what"] for w in production["under_way"][0]["waits"]] == ["approval"] or staging["under_way"]
    assert asker.ask("/api/say", {"action": "approve", "service": "heart", "release": "v1"}, **WORD)[0] == 200
    story.play()
    _, value = asker.ask("/api/overview")
    assert value["services"][0]["stages"][1]["live"]["release"] == "v1"
    _, value = asker.ask("/api/release?service=heart&number=v1")
    assert {row["decision"] for row in value["said"]} == {True, False}
    assert [row["at"] for row in value["said"]] == sorted(row["at"] for row in value["said"])
    assert value["commit_link"] == ""  # there is no console of AWS's here
    _, value = asker.ask("/api/history?service=heart")
    assert [line["release"] for line in value["releases"]] == ["v1"]
    assert value["next"] is None
    _, value = asker.ask("/api/dora?service=heart")
    assert [d["release"] for d in value["deployments"]] == [1]
