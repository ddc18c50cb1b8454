"""The page's server: who may ask, what it says, and how much it reads for it."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

import pytest
from aiohttp import ClientSession, CookieJar
from click.testing import CliRunner, Result

from console.cli.main import main
from console.local.aws.api import AwsError
from console.local.rehearse.rehearsal_engine import DeployOutcome
from console.read.session import Shell
from console.ui.board import Links
from console.ui.page_server import Page, serve
from tests.integration.page import PageStory, call_of, cookie_of, lengthen, served, story_of_two_stages


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Asker:
    """Somebody who asks the server, with the cookie or without."""

    def __init__(self, address: str, cookie: str) -> None:
        self._address, self._cookie = address, cookie

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """The status and what was answered: JSON where it is."""
        said = {"Cookie": self._cookie, **{k.replace("_", "-"): v for k, v in headers.items()}}
        data = None if body is None else json.dumps(body).encode()
        try:
            with build_opener(_Stay).open(Request(self._address + path, data, said), timeout=20) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if "json" in answer.headers["Content-Type"] else text
        except HTTPError as error:
            text = error.read().decode()
            return error.code, json.loads(text) if "json" in error.headers.get("Content-Type", "") else text

    def overview(self) -> Any:
        """The one service as the page is told of it first."""
        with urlopen(Request(self._address + "/api/changes", headers={"Cookie": self._cookie}), timeout=20) as stream:
            return told_by(stream, "service")


@pytest.fixture
def story() -> Iterator[PageStory]:
    with story_of_two_stages() as told:
        yield told


@pytest.fixture
def asker(story: PageStory) -> Iterator[Asker]:
    with served(call_of(story)) as (address, page):
        yield Asker(address, cookie_of(address, page))


WORD = {"Content_Type": "application/json", "X_Esteira": "word"}


def test_it_answers_who_has_the_key_and_under_its_own_name_only(story: PageStory) -> None:
    with served(call_of(story)) as (address, page):
        nobody, somebody = Asker(address, ""), Asker(address, cookie_of(address, page))
        assert nobody.ask("/")[0] == nobody.ask("/api/changes")[0] == nobody.ask("/?key=guessed")[0] == 403
        assert nobody.ask(f"/?key={page.key}")[0] == 303
        assert somebody.ask("/")[0] == 200
        assert somebody.ask("/", Host="evil.example:80")[0] == 403
        assert somebody.ask("/", Host="127.0.0.1:80")[0] == 403
        assert somebody.ask("/api/history?service=heart", Origin="http://127.0.0.1:80")[0] == 403
        assert somebody.ask("/api/history?service=heart", Origin=address)[0] == 200
        assert somebody.ask("/api/history?service=heart", Cookie=cookie_of(address, page)[:-1])[0] == 403


def test_a_word_is_taken_from_the_page_alone(asker: Asker, story: PageStory) -> None:
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


def test_each_view_tells_the_story(asker: Asker, story: PageStory) -> None:
    story.live("1")
    staging, production = asker.overview()["stages"]
    assert (staging["live"]["release"], production["live"]) == ("v1", None)
    assert [w["what"] for w in production["under_way"][0]["waits"]] == ["approval"] or staging["under_way"]
    said = asker.ask("/api/say", {"action": "approve", "service": "heart", "release": "v1"}, **WORD)
    assert said[0] == 200, said[1]
    story.play()
    assert asker.overview()["stages"][1]["live"]["release"] == "v1"
    _, value = asker.ask("/api/release?service=heart&number=v1")
    assert {row["decision"] for row in value["said"]} == {True, False}
    assert [row["at"] for row in value["said"]] == sorted(row["at"] for row in value["said"])
    assert value["commit_link"] == ""  # there is no console of AWS's here
    _, value = asker.ask("/api/history?service=heart")
    assert [line["release"] for line in value["releases"]] == ["v1"]
    assert value["next"] is None
    _, value = asker.ask("/api/dora?service=heart")
    assert [d["release"] for d in value["deployments"]] == [1]


# By view, how many requests it may make of the table and how many rows may come back; the page asks for one at a time.
BOUNDS = {
    "/api/history?service=heart": (3, 60),
    "/api/history?service=heart&before=1000": (3, 60),
    "/api/release?service=heart&number=v2000": (15, 40),
    "/api/dora?service=heart": (4, 2_700),
    "/api/dora?service=heart&stage=staging&days=730": (4, 2_000),
}


def test_each_view_reads_a_bounded_number_of_rows_with_two_thousand_releases_behind_it(story: PageStory) -> None:
    """Requests and rows, whatever the length of the history; in a browser, test_ui_browser.py has ten thousand."""
    lengthen(story, 2_000)
    reads = story.reads
    reads.start()
    with served(call_of(story), seconds=60) as (address, page):
        asker = Asker(address, cookie_of(address, page))
        service = asker.overview()
        assert reads.requests <= 10
        print(f"the overview: {reads.requests} requests, {reads.rows} rows")
        assert reads.rows <= 160
        assert [(stage["live"]["release"], stage["ordered"]) for stage in service["stages"]] == [("v2000", "")] * 2
        assert service["found"] == {"days": 30, "count": 36, "kinds": {"build-ended": 36}, "most": 100}
        for path, (requests, rows) in BOUNDS.items():
            reads.start()
            began = time.perf_counter()
            status, value = asker.ask(path)
            seconds = time.perf_counter() - began
            print(f"{path}: {reads.requests} requests, {reads.rows} rows, {seconds * 1000:.0f} ms")
            assert status == 200, value
            assert reads.requests <= requests, path
            assert reads.rows <= rows, path
            assert seconds < 10


def test_the_five_keys_of_a_long_history_say_since_when_they_count(story: PageStory) -> None:
    """Where not every rollout of those days is read, the frequency is that of the days that were."""
    lengthen(story, 1_000)
    with served(call_of(story)) as (address, page):
        _, value = Asker(address, cookie_of(address, page)).ask("/api/dora?service=heart&days=365")
    assert len(value["deployments"]) < 500
    assert value["per_week"] == pytest.approx(7 * 12, rel=0.05)
    assert value["failure_rate"] == pytest.approx(0.05, abs=0.01)
    assert value["since"] > "2025-11"


def test_the_table_is_looked_at_only_while_somebody_looks_and_once_for_all(story: PageStory) -> None:
    """Two pages listen: one look for both; they hear what changes and nothing else; when they are gone, no look."""
    reads = story.reads
    with served(call_of(story)) as (address, page):
        cookie = {"Cookie": cookie_of(address, page)}
        with urlopen(Request(address + "/api/changes", headers=cookie), timeout=20) as first:
            assert told_by(first, "hello")["by"] == "ana"
            one = told_by(first, "service")
            assert one["service"] == "heart"
            assert one["stages"][0]["live"] is None
            reads.start()
            with urlopen(Request(address + "/api/changes", headers=cookie), timeout=20) as second:
                told_by(second, "service")
                assert events(second, 4) == ["services", "clock", "clock", "clock"]
            looks = reads.requests
            assert looks <= 6 * 12
            story.live("1")
            while not (one := told_by(first, "service"))["stages"][0]["live"]:
                pass
            assert one["stages"][0]["live"]["release"] == "v1"
        time.sleep(1.5)
        reads.start()
        time.sleep(1)
        assert reads.requests == 0


def events(stream: Any, count: int) -> list[str]:
    """The kinds of the next events."""
    return [next(line for line in stream if line.startswith(b"event:")).decode()[7:-1] for _ in range(count)]


def told_by(stream: Any, kind: str) -> Any:
    """What the next event of that kind says."""
    while events(stream, 1) != [kind]:
        pass
    return json.loads(stream.readline()[6:])


def test_links_lead_to_the_region_s_own_console() -> None:
    """Where the controller is on AWS; on a laptop there is nothing to lead to."""
    links = Links("eu-west-1")
    assert links.deployment("d-1") == (
        "https://eu-west-1.console.aws.amazon.com/codesuite/codedeploy/deployments/d-1?region=eu-west-1"
    )
    assert Links("cn-north-1").deployment("d-1").startswith("https://cn-north-1.console.amazonaws.cn/")
    assert Links("us-gov-west-1").deployment("d-1").startswith("https://us-gov-west-1.console.amazonaws-us-gov.com/")
    assert Links().deployment("d-1") == ""


def test_a_release_has_links_to_its_build_log_and_its_diff(story: PageStory) -> None:
    (commit,) = story.live("1")
    with served(call_of(story), Links("us-east-1")) as (address, page):
        _, value = Asker(address, cookie_of(address, page)).ask("/api/release?service=heart&number=1")
    assert f"/codecommit/repositories/heart/commit/{commit}?" in value["commit_link"]
    (build,) = value["builds"]
    assert f"/build/{build['id'].replace(':', '%3A')}/log?" in build["link"]


def test_the_address_that_is_printed_opens_the_page(story: PageStory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser is opened with it; its key becomes a cookie of that page alone."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)

    async def visit() -> None:
        said: list[str] = []
        serving = asyncio.create_task(serve(Page(call_of(story), "ana"), 0, said.append, browser=True))
        while not opened:
            await asyncio.sleep(0.02)
        (file,) = [Path(urlsplit(url).path) for url in opened]  # on a browser's command line, which everybody can read
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert said[0] in file.read_text()
        async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as somebody, somebody.get(said[0]) as answer:
            assert answer.status == 200
            assert "<title>esteira</title>" in await answer.text()
            assert "key" not in str(answer.url)
            assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
            cookie = answer.history[0].headers["Set-Cookie"]
            assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        assert not file.exists()

    asyncio.run(visit())


def typed(story: PageStory, *words: str) -> Result:
    """Type a command in the story's world."""
    call = call_of(story)
    shell = Shell(connect=lambda _: call.controller, now=call.shell.now)
    return CliRunner().invoke(main, [*words, "--endpoint", "http://127.0.0.1:1"], obj=shell)


def test_a_port_that_is_taken_is_a_sentence(story: PageStory) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = typed(story, "ui", "--no-browser", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 1
    assert "cannot be used" in result.stderr
    assert "Next: leave --port out" in result.stderr


def test_the_five_keys_on_the_command_line(story: PageStory) -> None:
    """As lines for people, and as a document; a stage that is not there is refused."""
    story.live("1")
    told = json.loads(typed(story, "dora", "--stage", "staging", "--json").stdout)
    assert [d["release"] for d in told["deployments"]] == [1]
    assert told["failure_rate"] == 0
    assert "lead time" in typed(story, "dora").stdout
    assert (
        "1 in 90 days; rollouts that ended otherwise: 0 on staging\n"
        in typed(story, "dora", "--stage", "staging").stdout
    )
    story.deploys = DeployOutcome(False, "GET /ping answered 500")
    story.live("2")
    assert "0 in 90 days; rollouts that ended otherwise: 1 on staging, 0 on production\n" in typed(story, "dora").stdout
    assert typed(story, "dora", "--stage", "moon").exit_code == 2


# --- what runs


def looked(story: PageStory, page: Page) -> tuple[list[dict[str, Any]], int]:
    """What the page tells that runs at one look, and how many requests of the table the look took."""
    story.reads.start()
    told = json.loads(page._look()["running heart"])["running"]
    return told, story.reads.requests


def test_a_running_build_has_its_step_its_last_line_and_how_long_the_last_ones_took(story: PageStory) -> None:
    """In a bounded number of requests: how long builds take is read once, and the log is no row of the table."""
    story.live("1")
    story.local_aws.logs.said = ["[Container] 2026/11/23 10:00:10 Running command docker build .", "Step 2/7", ""]
    story.push("2")
    story.deliver()
    page = Page(call_of(story), "ana")
    assert looked(story, page)[1] <= 12
    (build,), requests = looked(story, page)
    assert (build["release"], build["what"], build["stage"]) == ("v2", "build", "")
    assert (build["step"], build["says"]) == ("docker build .", "Step 2/7")
    assert build["usual_seconds"] >= 0
    assert requests <= 10


def test_a_running_deployment_has_the_hook_that_a_host_is_in(story: PageStory) -> None:
    """And how long the last rollouts of its stage took; whoever may not ask CodeDeploy sees the rest."""
    story.live("1")
    story.push("2")
    story.deliver()
    story.end_build()
    (target,) = next(reversed(story.local_aws.codedeploy._targets.values()))
    target["lifecycleEvents"] = [
        {"lifecycleEventName": "BeforeInstall", "status": "Succeeded"},
        {"lifecycleEventName": "ApplicationStart", "status": "InProgress"},
        {"lifecycleEventName": "ValidateService", "status": "Pending"},
    ]
    page = Page(call_of(story), "ana")
    (one,), requests = looked(story, page)
    assert (one["release"], one["what"], one["stage"]) == ("v2", "deployment", "staging")
    assert (one["step"], one["usual_seconds"] >= 0) == ("ApplicationStart", True)
    assert requests <= 12
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(story.local_aws.codedeploy, "_begun", refused)
        (one,), _ = looked(story, page)
    assert (one["release"], one["step"]) == ("v2", "")
    story.play()
    assert looked(story, page)[0] == []


def refused(_: Any) -> Any:
    raise AwsError("AccessDeniedException", "no identity-based policy allows codedeploy:ListDeploymentTargets")
