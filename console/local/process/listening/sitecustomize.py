"""Run first by every Python that a container of the process engine starts: the server listens where the host wants it.

In Docker each container has ports of its own, so two releases may both listen on 5000. Processes of one machine share
theirs. So a socket that is bound to the container's port is bound to the one that the host chose, on this machine's
loopback. Every bind is noted, so that the host can say on which port the server meant to listen.

``ESTEIRA_LISTEN`` is ``CONTAINER-PORT:HOST-PORT:NOTES``; container port 0 stands for the first port that is bound.
"""

from __future__ import annotations

import os
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_wanted, _given, _notes = os.environ.get("ESTEIRA_LISTEN", "0:0:").split(":", 2)
_state = {"wanted": int(_wanted)}
_bind = socket.socket.bind


def _bound(self: socket.socket, address: Any) -> None:
    """``socket.bind``, with the container's port on the port that the host gave it."""
    inet = self.family in (socket.AF_INET, socket.AF_INET6) and self.type == socket.SOCK_STREAM
    if inet and isinstance(address, tuple) and address[1]:
        host, port = address[:2]
        _state["wanted"] = _state["wanted"] or int(port)
        notes = os.open(_notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(notes, f"{host or '0.0.0.0'} {port}\n".encode())
        os.close(notes)
        if int(port) in (_state["wanted"], int(_given)):
            address = (_loopback(self), int(_given), *address[2:])
    _bind(self, address)


def _loopback(sock: socket.socket) -> str:
    if sock.family == socket.AF_INET:
        return "127.0.0.1"
    only = sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    return "::1" if only else "::ffff:127.0.0.1"


if int(_given):
    socket.socket.bind = _bound  # type: ignore[method-assign,assignment]
    sys.modules["uvloop"] = None  # type: ignore[assignment] # it binds in C, past this; servers take asyncio instead
