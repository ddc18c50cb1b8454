"""A WebSocket through the front: the client's is joined to one on the upstream until either closes."""

from __future__ import annotations

import asyncio
import contextlib

import aiohttp
from aiohttp import hdrs, web

from console.local.process.upstream import Upstream

CLOSE_SECONDS = 2.0
_UNSENDABLE_CLOSE_CODES = frozenset({1004, 1005, 1006, 1015})


def asks_for_websocket(request: web.BaseRequest) -> bool:
    tokens = {token.strip().lower() for token in request.headers.get(hdrs.CONNECTION, "").split(",")}
    return "upgrade" in tokens and request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"


async def relay(request: web.BaseRequest, upstream: Upstream) -> web.StreamResponse:
    """Join the client's WebSocket to one on the upstream until either closes."""
    try:
        async with upstream.join(request) as far:
            near = web.WebSocketResponse(
                protocols=(far.protocol,) if far.protocol else (), autoping=False, max_msg_size=0, timeout=CLOSE_SECONDS
            )
            await near.prepare(request)
            await _join(near, far)
            return near
    except aiohttp.WSServerHandshakeError as refused:
        return web.Response(status=refused.status, text=f"the live release refused the WebSocket: {refused.message}\n")


_Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _join(near: web.WebSocketResponse, far: aiohttp.ClientWebSocketResponse) -> None:
    """Pump both ways; when one side closes, close the other with the same code."""
    inward = asyncio.create_task(_pump(near, far))
    outward = asyncio.create_task(_pump(far, near))
    try:
        await asyncio.wait({inward, outward}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in (inward, outward):
            pump.cancel()
        await asyncio.gather(inward, outward, return_exceptions=True)
    # A side that vanished without a word left no code to pass on; then each side is told what that means to it.
    code = far.close_code or near.close_code or aiohttp.WSCloseCode.OK
    vanished = code in _UNSENDABLE_CLOSE_CODES
    for side, instead in ((near, aiohttp.WSCloseCode.SERVICE_RESTART), (far, aiohttp.WSCloseCode.GOING_AWAY)):
        with contextlib.suppress(aiohttp.ClientError, OSError, RuntimeError):
            await side.close(code=instead if vanished else code)


async def _pump(source: _Socket, sink: _Socket) -> None:
    """Carry every message of ``source`` to ``sink``, control frames too, until ``source`` closes."""
    with contextlib.suppress(aiohttp.ClientError, OSError):
        async for message in source:
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    await sink.send_str(message.data)
                case aiohttp.WSMsgType.BINARY:
                    await sink.send_bytes(message.data)
                case aiohttp.WSMsgType.PING:
                    await sink.ping(message.data)
                case aiohttp.WSMsgType.PONG:
                    await sink.pong(message.data)
                case _:
                    return
