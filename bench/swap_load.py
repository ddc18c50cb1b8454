"""An open-loop client: requests leave on a schedule, whatever becomes of the ones before; WebSockets stay open beside.

``python -m bench.swap_load PORT SECONDS`` asks 127.0.0.1:PORT and prints one JSON document at its end, or at SIGTERM::

    {"requests": [[SCHEDULED, LATENCY, "" or WHAT WENT WRONG], …], "sockets": [[ENDED, CODE], …], "opened": N}

Times are seconds of CLOCK_MONOTONIC, which every process of the machine shares. A latency counts from the moment a
request was due, not from when it was sent, so a server that stands still is seen by all who would have asked meanwhile.
Every second request has a connection of its own, the others share kept-alive ones, as a browser's would. Nothing is
tried twice. CODE is the WebSocket's close code, 1006 where it was cut without one (RFC 6455, 7.4.1).
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio import client
from websockets.exceptions import ConnectionClosed, WebSocketException

RATE = 200  # requests a second
SOCKETS = 50
TIMEOUT = 10.0  # seconds until a request without an answer has failed
PATIENT = json.dumps({"age": 54, "sex": 1, "trestbps": 130}).encode()

Kept = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class SwapLoad:
    """The requests to 127.0.0.1:port, and their answers."""

    port: int
    requests: list[tuple[float, float, str]] = field(default_factory=list)
    sockets: list[tuple[float, int]] = field(default_factory=list)
    opened: int = 0
    _idle: list[Kept] = field(default_factory=list)
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self, seconds: float) -> None:
        """Ask for so long, or until SIGTERM; then wait for what is under way."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._over.set)
        pages = [asyncio.create_task(self._page()) for _ in range(SOCKETS)]
        begun = time.monotonic()
        for number in range(int(RATE * seconds)):
            due = begun + number / RATE
            await asyncio.sleep(due - time.monotonic())
            if self._over.is_set():
                break
            self._spawn(self._ask(due, kept=number % 2 == 0))
        await asyncio.gather(*self._tasks)
        for page in pages:
            page.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, due: float, kept: bool) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                wrong = await self._answer(kept)
        except Exception as error:  # noqa: BLE001 # whatever it is, it was no answer; unnoted, it would not be counted
            wrong = type(error).__name__
        self.requests.append((due, time.monotonic() - due, wrong))

    async def _answer(self, kept: bool) -> str:
        """Send one request; return "" for a good answer, or its status."""
        reader, writer = (self._taken() if kept else None) or await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(
                b"POST /invocations HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
                b"Connection: %s\r\nContent-Length: %d\r\n\r\n%s"
                % (b"keep-alive" if kept else b"close", len(PATIENT), PATIENT)
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            await reader.readexactly(int(head.partition("content-length:")[2].partition("\r\n")[0]))
        except BaseException:
            writer.close()
            raise
        if kept and "connection: close" not in head:
            self._idle.append((reader, writer))
        else:
            writer.close()
        return "" if " 200 " in head.partition("\r\n")[0] else head.split()[1]

    def _taken(self) -> Kept | None:
        """The idle connection used last, if any; one that the server has closed meanwhile is none."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return None

    async def _page(self) -> None:
        """Keep a WebSocket open, one ping a second; whenever it ends, note how, and come back as the page does."""
        while not self._over.is_set():
            try:
                async with client.connect(f"ws://127.0.0.1:{self.port}/websocket/", ping_interval=None) as socket:
                    self.opened += 1
                    self.sockets.append(await stay(socket))
            except (OSError, WebSocketException):
                await asyncio.sleep(0.2)  # nobody there: this one never stood, so it cannot be cut


async def stay(socket: client.ClientConnection, pause: float = 1, patience: float = TIMEOUT) -> tuple[float, int]:
    """Ping every ``pause`` seconds until the socket ends; return when, and its close code.

    The end is noted when it comes, not at the next ping: a second too late would be a second of grace for who cut it.
    A ping without an answer for ``patience`` seconds is a cut.
    """
    talk = asyncio.create_task(_talk(socket, pause, patience))
    try:
        await socket.wait_closed()
        return time.monotonic(), socket.close_code or 1006
    finally:
        talk.cancel()


async def _talk(socket: client.ClientConnection, pause: float, patience: float) -> None:
    try:
        while True:
            await asyncio.wait_for(await socket.ping(), patience)
            await asyncio.sleep(pause)
    except ConnectionClosed:
        pass
    except TimeoutError:
        socket.transport.abort()


def main(port: str, seconds: str) -> None:
    """Ask, and print the result."""
    load = SwapLoad(int(port))
    asyncio.run(load.run(float(seconds)))
    print(json.dumps({"requests": load.requests, "sockets": load.sockets, "opened": load.opened}))


if __name__ == "__main__":
    main(*sys.argv[1:])
