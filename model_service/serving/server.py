"""uvicorn with a stop that loses no request, and with limits for clients that never finish.

Differences from plain uvicorn:

- Before the socket closes, the connections in the kernel's queue are accepted. Closing the socket would cut them off,
  although their clients are already connected. New connections arrive faster than the queue empties, so a filter on the
  socket first drops the first packet of every new connection. Its client tries again a second later and is then refused
  cleanly, or reaches the next release.
- An idle connection is not closed at once, because a request may already be in transit. It stays open for a moment, and
  the answer to that request carries ``connection: close``.
- WebSockets, which pages keep open for hours, are closed after the HTTP requests with code 1012 (service restart), so
  that the pages connect to the next release.
- The head of a request has a time limit and a size limit, and reading an answer has a time limit.
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

HEAD_SECONDS = 15.0  # for a request's head to arrive
MOST_HEAD = 65_536  # bytes of a head
TAKE_SECONDS = 30.0  # for the client to read a part of an answer
IDLE_SECONDS = 75  # for a kept connection without a request; proxies usually keep theirs for 60 s, so they close first
DOOR_SECONDS = 0.1  # between the filter and the closing, for connections that have begun
LAST_WORD_SECONDS = 0.5  # at the stop, for a request in transit on a kept connection
FIRST_WORD_SECONDS = 2.0  # at the stop, for the first request on a new connection
SOCKET_SECONDS = 2.0  # for the tasks behind WebSockets to end
POLL_SECONDS = 0.02


class Server(uvicorn.Server):
    """A server on ``listener`` until should_exit. ``own``: no other process shares the socket, so it may be filtered.

    ``say`` is called with a sentence for each event of the stop.
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
        """Serve until the stop is complete."""
        self.run(sockets=[self._listener])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: refuse new connections, finish the requests, close the WebSockets, end the application."""
        if self._own and refuse_new(self._listener):
            await asyncio.sleep(DOOR_SECONDS)
        for server in self.servers:
            server.close()
        for sock in sockets or []:
            sock.close()
        await asyncio.sleep(POLL_SECONDS)  # the last accepted sockets become connections
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
        """Whether a request has begun, even if only a part of its head has arrived."""
        return self._in_head or (self.cycle is not None and not self.cycle.response_complete)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        super().connection_made(transport)  # type: ignore[arg-type]
        # asyncio sets this only if the listener has a protocol number, and socket.create_server gives it none. Without
        # it an answer's body waits 40 ms for the acknowledgement of its head.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._no_head)

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
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
        """A request has begun."""
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """The request's head is complete."""
        self._in_head = False
        self._cancel("_head_timer")
        super().on_headers_complete()
        if self._stop_timer:
            self._make_last()

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are not HTTP."""
        self._refuse(400, f"{msg.rstrip('.')}. Send HTTP/1.1.")

    def pause_writing(self) -> None:
        """The client reads the answer too slowly."""
        super().pause_writing()
        self._taken_timer = self.loop.call_later(TAKE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read a part of the answer."""
        super().resume_writing()
        self._cancel("_taken_timer")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        for timer in ("_head_timer", "_taken_timer", "_stop_timer"):
            self._cancel(timer)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Let the current or the next request be the last. A second call does nothing."""
        if self._stop_timer is None:
            seconds = FIRST_WORD_SECONDS if self.cycle is None else LAST_WORD_SECONDS
            self._stop_timer = self.loop.call_later(seconds, self._close_if_idle)
            self._make_last()

    def _make_last(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
            # Not every version of uvicorn sends this header, and without it a client would send another request.
            self.cycle.default_headers = [*self.cycle.default_headers, (b"connection", b"close")]

    def _close_if_idle(self) -> None:
        if not self.busy:
            self.transport.close()

    def _no_head(self) -> None:
        if self._in_head:
            self._refuse(408, f"The request's head did not arrive within {HEAD_SECONDS:g} s. Send it again.")
        else:
            self.transport.close()

    def _refuse(self, status: int, message: str) -> None:
        # Without a complete request the application cannot be called.
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
    """Block new connections on a listening socket in all processes that share it. False if that is not possible.

    Linux only: a classic BPF program drops every TCP packet with SYN and without ACK. Connections that have begun are
    not affected.
    """
    if sys.platform != "linux":
        return False
    attach_filter = 26
    program = (
        (0x30, 0, 0, 13),  # load the byte of flags
        (0x54, 0, 0, 0x12),  # keep the bits of ACK and SYN
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
