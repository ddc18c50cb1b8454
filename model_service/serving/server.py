"""uvicorn, made to stop without losing a request and to put up with senders who never finish.

What plain uvicorn does not do and is done here:

- Before it stops listening it takes in whoever stands in the kernel's queue. Closing the socket would cut those off,
  who believe themselves connected. As others come faster than a queue empties, the kernel is first told to let nobody
  new begin: a filter on the socket drops the first packet of a connection, and its sender tries again a second later,
  when nobody listens any more (or the successor does), and is refused cleanly.
- A connection on which nothing is under way is not cut at once: a request may be on its way. It gets a moment, and the
  answer on it says that it is the last.
- WebSockets, which people's pages hold for hours, are closed when the HTTP requests are done, with code 1012 (the
  service restarts), so that the pages come back to the successor.
- A request's head has a time limit and a size limit, and so has the taking of an answer.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import socket
import struct
import sys
from asyncio import TimerHandle
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_SECONDS = 15.0  # for a request's head to come
MOST_HEAD = 65_536  # bytes of it
TAKE_SECONDS = 30.0  # for some of an answer to be taken
IDLE_SECONDS = 75  # a kept connection without a request; more than the 60 s of the usual proxy, which would run into it
DOOR_SECONDS = 0.1  # from the filter to the closing: connections half made come in
LAST_WORD_SECONDS = 0.5  # for a request on its way on a kept connection, when stopping
FIRST_WORD_SECONDS = 2.0  # for the first one on a new connection
SOCKET_SECONDS = 2.0  # for what runs behind a WebSocket to end
POLL_SECONDS = 0.02


class Server(uvicorn.Server):
    """Serves ``listener`` until should_exit. ``own``: no other process has it, so that it may be shut for all.

    ``say`` is told, in a sentence, what goes on at the stop.
    """

    def __init__(
        self,
        app: Any,
        listener: socket.socket,
        release: str,
        drain_seconds: float,
        own: bool,
        say: Callable[[str], None],
    ) -> None:
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http=_connection(release),
            ws="websockets-sansio",
            ws_max_size=MOST_HEAD * 4,
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=IDLE_SECONDS,
        )
        super().__init__(config)
        self._listener = listener
        self._drain_seconds = drain_seconds
        self._own = own
        self._say = say

    def serve_until_told(self) -> None:
        """Serve; returns after the stop."""
        self.run(sockets=[self._listener])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: shut the door, finish what is under way, close the WebSockets, end the application."""
        if self._own and refuse_new(self._listener):
            await asyncio.sleep(DOOR_SECONDS)
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        await asyncio.sleep(POLL_SECONDS)  # what was taken in last becomes a connection
        await self._finish_requests()
        await self._close_web_sockets()
        await self.lifespan.shutdown()

    async def _finish_requests(self) -> None:
        if busy := sum(connection.busy for connection in self._http()):
            self._say(f"stopping, {busy} requests under way")
        deadline = asyncio.get_running_loop().time() + self._drain_seconds
        while (left := self._http()) and not self.force_exit:
            if asyncio.get_running_loop().time() > deadline:
                self._say(f"{len(left)} connections are cut: not done {self._drain_seconds:g} s after the stop")
                for connection in left:
                    connection.transport.abort()
                return
            for connection in left:
                connection.shutdown()
            await asyncio.sleep(POLL_SECONDS)

    async def _close_web_sockets(self) -> None:
        for connection in list(self.server_state.connections):
            connection.shutdown()  # of uvicorn's WebSocket: sends 1012 and closes
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SOCKET_SECONDS
        while self.server_state.tasks and loop.time() < deadline and not self.force_exit:
            await asyncio.sleep(POLL_SECONDS)
        for task in list(self.server_state.tasks):
            task.cancel()

    def _http(self) -> list[Connection]:
        return [connection for connection in self.server_state.connections if isinstance(connection, Connection)]


class Connection(HttpToolsProtocol):
    """One HTTP connection."""

    release = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = False
        self._head_bytes = 0
        self._head_timer: TimerHandle | None = None
        self._taken_timer: TimerHandle | None = None
        self._stop_timer: TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is under way, be it only the beginning of its head."""
        return self._in_head or (self.cycle is not None and not self.cycle.response_complete)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        super().connection_made(transport)  # type: ignore[arg-type]
        # asyncio does so by itself, but not on a listener whose protocol number is left open, as Python's own makes it;
        # then an answer's body waits 40 ms for the acknowledgement of its head.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._no_head)

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD:
                self._refuse(
                    431, f"The request's head is longer than {MOST_HEAD} bytes. Send fewer or shorter headers."
                )
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_SECONDS, self._no_head)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Its head is here."""
        self._in_head = False
        self._cancel("_head_timer")
        super().on_headers_complete()
        if self._stop_timer:
            self._make_last()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, f"{msg.rstrip('.')}. Send HTTP/1.1.")

    def pause_writing(self) -> None:
        """The answer is not taken as fast as it is given."""
        super().pause_writing()
        self._taken_timer = self.loop.call_later(TAKE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Some of it was taken."""
        super().resume_writing()
        self._cancel("_taken_timer")

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        for timer in ("_head_timer", "_taken_timer", "_stop_timer"):
            self._cancel(timer)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Let the request under way, or one about to come, be the last. Twice is once."""
        if self._stop_timer is None:
            seconds = FIRST_WORD_SECONDS if self.cycle is None else LAST_WORD_SECONDS
            self._stop_timer = self.loop.call_later(seconds, self._close_if_idle)
            self._make_last()

    def _make_last(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            # said, too: not every uvicorn says so by itself, and who is not told sends another request
            self.cycle.default_headers = [*self.cycle.default_headers, (b"connection", b"close")]

    def _close_if_idle(self) -> None:
        if not self.busy:
            self.transport.close()

    def _no_head(self) -> None:
        if self._in_head:
            self._refuse(408, f"The request's head did not come within {HEAD_SECONDS:g} s. Send it again.")
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        # Before there is a request there is nothing to ask the application.
        body = json.dumps({"error": message}).encode()
        head = (
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nx-model-version: {self.release}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[status] + head.encode("latin-1") + body)
        self.transport.close()

    def _cancel(self, name: str) -> None:
        timer: TimerHandle | None = getattr(self, name)
        if timer is not None:
            timer.cancel()
            setattr(self, name, None)


def refuse_new(listener: socket.socket) -> bool:
    """Let no new connection begin on a listening socket, for all who have it; those begun come in. False: cannot.

    Linux only. A program of the kernel's classic packet filter: a TCP packet with SYN and without ACK is dropped.
    """
    if sys.platform != "linux":
        return False
    attach_filter = 26
    program = (
        (0x30, 0, 0, 13),  # load the byte of flags
        (0x54, 0, 0, 0x12),  # of which ACK and SYN
        (0x15, 0, 1, 0x02),  # only SYN?
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFFFFFF),  # keep
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    try:
        listener.setsockopt(socket.SOL_SOCKET, attach_filter, struct.pack("HP", len(program), ctypes.addressof(code)))
    except OSError:
        return False
    return True


def _connection(release: str) -> type[Connection]:
    return type("Connection", (Connection,), {"release": release})
