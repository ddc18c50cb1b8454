"""The operator's page over the controller on the local AWS: two stages, approvals, and functions that really answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from aiohttp import web

from console.call import Call, Shell
from console.local.stages import give_stages
from console.remote import Controller, Invoked, Where
from console.ui.board import Links
from console.ui.server import Page, cookie_name
from tests.integration.conftest import Story

TWO_STAGES: list[dict[str, Any]] = [{"name": "staging"}, {"name": "production", "approvals": {"votes": 1}}]


@contextmanager
def story_of_two_stages(folder: Path) -> Iterator[Story]:
    """Yield a story whose service has a staging before its production, which wants one approval."""
    with Story(folder) as story:
        client: Any = boto3.client
        give_stages(client, story.desk.settings.services_path, TWO_STAGES)
        yield story


def call_of(story: Story) -> Call:
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
            return story.desk.cloud.services(story.desk.settings.services_path)

    here = Here(Where("esteira", "http://127.0.0.1:1", local=True), client, invoke)
    return Call(here, Shell(now=story.clock.now), None, json=False)


@contextmanager
def served(call: Call, links: Links | None = None, seconds: float = 0.2) -> Iterator[tuple[str, Page]]:
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
