"""The operator's page over a controller in memory: two stages, approvals, and functions that really answer."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from console.local.rehearse.scenario import SIGNED_BY
from console.read.remote import Controller, Invoked
from console.read.session import Session, Shell
from console.read.where import Where
from console.ui.board import Links
from console.ui.page_server import Page, cookie_name
from esteira.core.facts import (
    RELEASES,
    Accepted,
    DeploymentReported,
    DeploymentStarted,
    Pushed,
    RollbackOrdered,
    Rollout,
    RolloutFinished,
)
from esteira.fact import Fact, stamp
from esteira.store import View
from esteira.store.rows import latest_rows, packed, row_of
from esteira.trail import FoundBySweep
from tests.world.story import Story
from tests.world.table import Table

TWO_STAGES: list[dict[str, Any]] = [{"name": "staging"}, {"name": "production", "approvals": {"votes": 1}}]


class Reads:
    """The story's table, for several threads at once; it counts its requests and the rows that come back."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.requests = self.rows = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Forget what was read so far."""
        self.requests = self.rows = 0

    def __getattr__(self, name: str) -> Any:
        def call(parameters: Any) -> Any:
            with self._lock:
                answer = getattr(self.table, name)(parameters)
                self.requests += 1
                self.rows += len(answer.get("Items", [])) + ("Item" in answer)
                self.rows += sum(map(len, answer.get("Responses", {}).values()))
                return answer

        return call


class PageStory(Story):
    """A story whose service has a staging before its production, which needs one approval."""

    def __init__(self) -> None:
        super().__init__(stages=TWO_STAGES)
        self.reads = self.local_aws.dynamodb = Reads(self.local_aws.dynamodb)


@contextmanager
def story_of_two_stages() -> Iterator[PageStory]:
    """A story for the page, and no STS that could be asked who somebody is."""
    with PageStory() as story, pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        try:
            yield story
        finally:
            gc.unfreeze()  # what ``lengthen`` froze


def call_of(story: PageStory) -> Session:
    """What a command would work with, in the story's world and time."""
    region = SimpleNamespace(meta=SimpleNamespace(region_name="us-east-1"))

    def client(name: str) -> Any:
        return region if name == "lambda" else story.client(name)

    def invoke(name: str, payload: Any) -> Invoked:
        answer = story.bus.functions.call("OperateFunction", payload).payload
        return Invoked(answer, str(answer.get("errorMessage", "")) if "errorType" in answer else "")

    class Here(Controller):
        """The controller of the story."""

        @property
        def store(self) -> Any:
            return story.store

        def services(self) -> Any:
            return story.context.aws.services(story.context.settings.services_path)

        def _proof(self, request: Any) -> dict[str, Any]:
            return {"headers": {SIGNED_BY: request["by"]}}  # as the people of a rehearsal sign

    here = Here(Where("esteira", "http://127.0.0.1:1", local=True), client, invoke)
    return Session(here, Shell(now=story.clock.now), None)


@contextmanager
def served(call: Session, links: Links | None = None, seconds: float = 0.2) -> Iterator[tuple[str, Page]]:
    """Serve the page by a thread of these tests; yield its address, without the key, and the page."""
    page, loop = Page(call, "ana", links, seconds), asyncio.new_event_loop()
    runner = web.AppRunner(page.application(), access_log=None, shutdown_timeout=0.2)

    async def begin() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    thread = threading.Thread(target=loop.run_forever)
    thread.start()  # a loop of its own: Playwright has one in this thread
    try:
        yield f"http://127.0.0.1:{asyncio.run_coroutine_threadsafe(begin(), loop).result(10)}", page
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def cookie_of(address: str, page: Page) -> str:
    """The cookie of somebody who opened the address that was printed."""
    return f"{cookie_name(int(address.rpartition(':')[2]))}={page.key}"


def lengthen(story: PageStory, releases: int) -> None:
    """Give the story a history without waiting for it: every row that a view may come across, of so many releases.

    Each came to both stages, every twentieth was rolled back from, every tenth was found by the sweep. Only the newest
    has facts of its own, which nobody reads of the others unless they are asked for.
    """
    store, name, end = story.store, story.service.name, story.clock.now()
    rows: list[dict[str, Any]] = []
    rollouts, served = dict.fromkeys(("staging", "production"), 0), ""

    def write(fact: Fact) -> None:
        rows.append(row_of(name, fact))

    def rollout(stage: str, release: int, at: datetime, kind: Any, before: int, served: str) -> None:
        rollouts[stage] += 1
        taken = Rollout(
            at=at, stage=stage, number=rollouts[stage], release=release, attempt=1, digest=digest(release), kind=kind,
            live=before, healthy=tuple(range(max(1, release - 10), release)), served=served, lease=at, deadline=at,
        )  # fmt: skip
        write(taken)
        finished = RolloutFinished(
            at=at + MINUTE, stage=stage, rollout=rollouts[stage], release=release, succeeded=True
        )
        write(finished)

    def digest(release: int) -> str:
        return f"sha256:{release:064x}"

    for number in range(1, releases + 1):
        at = end - (releases - number + 1) * timedelta(hours=2)
        commit = f"{number:040x}"
        write(Pushed(at=at, number=number, source="commit", commit=commit, tip=commit, base=commit, mark=stamp(at)))
        why = f"v{number + 1} replaced it on production"
        phase = "superseded" if number < releases else "live"
        view = View(
            number, phase, why if number < releases else "", commit, "", digest(number), (), stamp(at), stamp(at)
        )
        lists = {"classes": [], "stages": [f"staging={phase}", f"production={phase}"]}
        rows.append({"pk": f"{name}#{RELEASES}", "sk": f"view#{number:08d}", **asdict(view), **lists})
        rollout("staging", number, at + 10 * MINUTE, "deploy", number - 1, "")
        rollout("production", number, at + 30 * MINUTE, "deploy", number - 1, served)
        if number % 20 == 0 and number < releases:
            order = RollbackOrdered(
                at=at + 50 * MINUTE, request=f"order-{number:08d}", by="ana", reason="slow", stage="production",
                away=number, to=number - 1,
            )  # fmt: skip
            write(order)
            served = order.key
            rollout("production", number - 1, order.at, "rollback", number, served)
        if number % 10 == 0:
            write(FoundBySweep(at=at, kind="build-ended", release=number))
    common: dict[str, Any] = {"at": end, "release": releases, "attempt": 1}
    write(Accepted(**common, digest=digest(releases), reused=False))
    for stage in rollouts:
        deployment = f"d-{stage}"
        started = DeploymentStarted(
            **common, stage=stage, rollout=rollouts[stage], deployment=deployment, digest=digest(releases)
        )
        write(started)
        write(DeploymentReported(at=end, deployment=deployment, status="Succeeded"))
    table = story.context.settings.table
    for row in (*rows, *latest_rows(rows)):
        story.reads.table.put_item({"TableName": table, "Item": packed(row)})
    store.reopen(name, releases, 1)
    # AWS's memory is in this process, as it is not where the page is served: its garbage collector would walk through
    # all of it again and again.
    gc.collect()
    gc.freeze()


MINUTE = timedelta(minutes=1)
