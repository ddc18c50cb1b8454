"""The bookkeeping of ``bench.swap``: what its load client notes, and what is counted as lost."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio import client, server

from bench.swap import DRAIN, Span, figures, missed
from bench.swap_load import SwapLoad, stay

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
SPAN = Span(begun=100.0, turned=102.0, end=110.0)
STEADY = [[96 + n / 200, 0.002, ""] for n in range(3000)]


def seen(*sockets: tuple[float, int], wrong: str = "") -> dict[str, object]:
    """What the client prints: a good answer each 5 ms, one that went wrong if told, and these sockets' ends."""
    return {"requests": [*STEADY, [105.0, 0.1, wrong]], "sockets": list(sockets), "opened": 50}


@pytest.mark.parametrize(
    ("at", "code", "early", "rude"),
    [
        (102 + DRAIN, 1012, 0, 0),
        (102 + DRAIN - 0.01, 1012, 1, 0),
        (100 + DRAIN, 1012, 1, 0),
        (102 + DRAIN, 1006, 0, 1),
        (130.0, 1012, 1, 0),
    ],
    ids=["at the deadline", "just before it", "counted from the begin", "cut", "without a swap"],
)
def test_a_socket_has_its_whole_time_from_the_turn_and_a_goodbye(at: float, code: int, early: int, rude: int) -> None:
    """A socket is counted that ends a moment too early, or while nothing is swapped, or without a goodbye."""
    found = figures(seen((at, code)), [SPAN])
    assert (found["sockets_before_deadline"], found["sockets_without_goodbye"]) == (early, rude)


def test_one_request_that_failed_breaks_the_promise() -> None:
    """A single failure in a swap of the default bundle is said, with its number."""
    result = {"ways": {"ours": figures(seen(wrong="503"), [SPAN])}, "rollback_seconds": 1.0}
    assert missed(result) == ["1 failed, expected 0"]
    result["ways"] = {"ours": figures(seen(), [SPAN])}
    assert missed(result) == []


async def heard(*answers: bytes) -> tuple[list[tuple[float, float, str]], int]:
    """Ask once per answer on kept connections of a server that gives these, b"" closing without one; return what was
    noted and how many connections it took."""
    left, connections = list(answers), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while left and await reader.read(65536):
            answer = left.pop(0)
            writer.write(answer)
            if answer != GOOD:
                break
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        load = SwapLoad(listening.sockets[0].getsockname()[1])
        for _ in answers:
            await load._ask(0.0, kept=True)
    return load.requests, connections


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        (GOOD, ""),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "503"),
        (b"", "IncompleteReadError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "IncompleteReadError"),
        (b"?" * 200_000, "LimitOverrunError"),
    ],
    ids=["good", "a status", "no answer", "half an answer", "not HTTP"],
)
def test_every_request_is_noted_with_what_went_wrong(answer: bytes, wrong: str) -> None:
    """Whatever a request ends in, it is in the list exactly once: what is not in it would not count as lost."""
    requests, _ = asyncio.run(heard(answer))
    assert [each[2] for each in requests] == [wrong]


def test_a_connection_is_kept_until_the_server_says_it_was_the_last_answer() -> None:
    """Connection: close is obeyed as a client's pool does; nothing else makes a new connection."""
    assert asyncio.run(heard(GOOD, GOOD, LAST, GOOD))[1] == 2


async def stayed(code: int | None) -> tuple[float, float, int]:
    """Stay on a socket that its server closes with a code, or cuts; return when it did, and what was noted."""
    closed = 0.0

    async def serve(socket: server.ServerConnection) -> None:
        nonlocal closed
        await socket.recv()
        closed = asyncio.get_running_loop().time()
        if code is None:
            socket.transport.abort()
        else:
            await socket.close(code)

    async with server.serve(serve, "127.0.0.1", 0) as listening:
        port = next(iter(listening.sockets)).getsockname()[1]
        async with client.connect(f"ws://127.0.0.1:{port}/", ping_interval=None) as socket:
            await socket.send("go")
            ended, noted = await stay(socket, pause=3600)
    return closed, ended, noted


@pytest.mark.parametrize(("code", "noted"), [(1012, 1012), (None, 1006)], ids=["a goodbye", "a cut"])
def test_the_end_of_a_socket_is_noted_when_it_comes(code: int | None, noted: int) -> None:
    """The pause between two pings is an hour here, and the end is noted nevertheless, with its close code."""
    closed, ended, found = asyncio.run(asyncio.wait_for(stayed(code), 60))
    assert found == noted
    assert closed <= ended
