"""One POST to somebody who is not AWS's API client: a chat's webhook, or STS with a request that an operator signed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

TIMEOUT = 5  # seconds
LONGEST = 65_536  # bytes of an answer; more is not read
HERE = ("127.0.0.1", "::1", "localhost")


def address_of(text: str) -> SplitResult | None:
    """The address in its parts, None where it is none to post to.

    Only https, so that nobody on the way reads what is sent. Plain http may go to this very machine, and only in the
    local mode, which is where AWS itself is at an address: in Lambda, "this machine" would be Lambda's own runtime.
    """
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.username is None and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    if not usable or not text.isascii() or not text.isprintable() or " " in text:
        return None
    local = parts.scheme == "http" and parts.hostname in HERE and bool(os.environ.get("AWS_ENDPOINT_URL"))
    return parts if parts.scheme == "https" or local else None


def post(parts: SplitResult, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
    """Post once and return the answer's status and its body. No redirect is followed: where a thing is sent was
    decided before. Raises what ``http.client`` raises."""
    from http.client import HTTPConnection, HTTPSConnection  # not while a function starts that posts nothing

    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read(LONGEST)
    finally:
        connection.close()
