"""Who is foreign to a server on 127.0.0.1: a web page in any browser, and whoever calls the machine by another name.

A page of another site reaches loopback by a form, a script or a name of its own that it lets point there (DNS
rebinding). Browsers mark the first two with headers that a script cannot take off, and the third by the name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

# The second is Docker Desktop's name of the machine, by which its containers call.
NAMES = ("localhost", "host.docker.internal")
FROM_A_PAGE = ("origin", "sec-fetch-site", "sec-fetch-mode")


def why_foreign(headers: Mapping[str, str]) -> str:
    """Why a program of this machine did not send a request with these headers (their names in lower case); "" if it may
    have."""
    if any(name in headers for name in FROM_A_PAGE):
        return "a web page sent this request, and this server answers programs only"
    host = headers.get("host", "")
    return "" if _is_ours(host) else f"this server is not called {host!r}: call it by 127.0.0.1"


def _is_ours(host: str) -> bool:
    """Whether a Host header names this machine by number, which no foreign name server can, or by a name of ours."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name in NAMES or bool(ipaddress.ip_address(name))
    except ValueError:
        return False
