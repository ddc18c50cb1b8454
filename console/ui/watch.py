"""One look at the table every few seconds, shared by all who listen, and none while nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress

Look = Callable[[], Mapping[str, str]]


class Watch:
    """``look`` returns what there is to tell, by a name each; it is called in a thread, ``seconds`` apart."""

    def __init__(self, look: Look, seconds: float) -> None:
        self._look, self._seconds = look, seconds
        self._told: Mapping[str, str] = {}
        self._next: asyncio.Future[Mapping[str, str]] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._listeners = 0

    def hurry(self) -> None:
        """Look again at once: something was said."""
        self._hurry.set()

    async def news(self) -> AsyncGenerator[dict[str, str], None]:
        """What is new since the last time, after every look: first all there is, later often nothing.

        Raises what ``look`` raised; who listens then begins anew.
        """
        self._listeners += 1
        try:
            if self._looking is None or self._looking.done():
                self._told, self._next = {}, asyncio.get_running_loop().create_future()
                self._looking = asyncio.create_task(self._look_on())
                self._looking.add_done_callback(self._failed)
            seen = self._told
            if seen:
                yield dict(seen)
            while self._next is not None:
                told = await asyncio.shield(self._next)
                yield {name: text for name, text in told.items() if seen.get(name) != text}
                seen = told
        finally:
            self._listeners -= 1
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _look_on(self) -> None:
        while True:
            self._hurry.clear()
            self._told = await asyncio.to_thread(self._look)
            due, self._next = self._next, asyncio.get_running_loop().create_future()
            if due is not None:
                due.set_result(self._told)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._seconds)

    def _failed(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and self._next is not None:
            self._next.set_exception(error)
