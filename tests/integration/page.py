"""The operator's page over the controller on the local AWS: two stages, approvals, and functions that really answer."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from aiohttp import web
from boto3.dynamodb.types import TypeSerializer

from console.local.stages import give_stages
from console.read.remote import Controller, Invoked
from console.read.session import Session, Shell
from console.read.where import Where
from console.ui.board import Links
from console.ui.page_server import Page, cookie_name
from esteira.core.facts import (
    RELEASES,
    Accepted,
    DeploymentEnded,
    DeploymentStarted,
    Pushed,
    RollbackOrdered,
    Rollout,
    RolloutFinished,
)
from esteira.fact import Fact, stamp
from esteira.store import View
from esteira.store.rows import latest_rows, row_of
from esteira.trail import FoundBySweep
from tests.integration.conftest import Story

TWO_STAGES: list[dict[str, Any]] = [{"name": "staging"}, {"name": "production", "approvals": {"votes": 1}}]


@contextmanager
def story_of_two_stages(folder: Path) -> Iterator[Story]:
    """Yield a story whose service has a staging before its production, which wants one approval."""
    with Story(folder) as story:
        client: Any = boto3.client
        give_stages(client, story.context.settings.services_path, TWO_STAGES)
        try:
            yield story
        finally:
            gc.unfreeze()  # what ``lengthen`` froze


def call_of(story: Story) -> Session:
    """Return what a command would work with, in the story's world and time."""
    client: Any = boto3.client

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
    """Return the cookie of somebody who opened the address that was printed."""
    return f"{cookie_name(int(address.rpartition(':')[2]))}={page.key}"


def lengthen(story: Story, releases: int) -> None:
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
        why = f"v{number + 1} took its place on production"
        view = View(number, "superseded", why, commit, "", digest(number), (), stamp(at), stamp(at))
        lists = {"classes": [], "stages": ["staging=superseded", "production=superseded"]}
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
        write(DeploymentEnded(at=end, deployment=deployment, status="Succeeded"))
    pack = TypeSerializer().serialize
    story.local_aws.dynamodb.load(
        {story.context.settings.table: [{k: pack(v) for k, v in row.items()} for row in (*rows, *latest_rows(rows))]}
    )
    store.reopen(name, releases, 1)
    # AWS's memory is in this process, as it is not where the page is served: its garbage collector would walk through
    # all of it again and again.
    gc.collect()
    gc.freeze()


MINUTE = timedelta(minutes=1)


class Reads:
    """What is read of the table: requests, and the rows that came back."""

    def __init__(self, story: Story) -> None:
        self.requests = self.rows = 0
        self._lock = threading.Lock()
        story.context.aws.client("dynamodb").meta.events.register("after-call.dynamodb", self._hear)

    def start(self) -> None:
        """Forget what was read so far."""
        self.requests = self.rows = 0

    def _hear(self, parsed: Any, **_: object) -> None:
        with self._lock:
            self.requests += 1
            self.rows += len(parsed.get("Items", [])) + ("Item" in parsed)
