"""The attacks that every server of the local stack has to withstand, as requests: what a web page, another name of this
machine, and a program without the key can send."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

Headers = Mapping[str, str]
# Makes the headers of the owner's own request: method, path, body → headers, Host among them.
Sign = Callable[[str, str, bytes], dict[str, str]]


@dataclass(frozen=True)
class Answer:
    """What a server answered; ``readable``: whether a page of another site may read it."""

    status: int
    body: bytes
    readable: bool


@dataclass(frozen=True)
class Target:
    """One server, and one request that changes something there when its owner sends it."""

    address: str
    method: str
    path: str
    body: bytes
    headers: Headers
    sign: Sign

    def owned(self) -> dict[str, str]:
        """The headers of the owner's request."""
        return {**self.headers, **self.sign(self.method, self.path, self.body)}

    def send(self, headers: Headers, method: str = "", path: str = "", body: bytes | None = None) -> Answer:
        """Send a request with these headers and no others."""
        connection = http.client.HTTPConnection(self.address, timeout=20)
        sent = self.body if body is None else body
        connection.putrequest(method or self.method, path or self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": self.address, "Content-Length": str(len(sent)), **headers}.items():
            connection.putheader(name, value)
        connection.endheaders(sent)
        answer = connection.getresponse()
        readable = any(name.lower().startswith("access-control-") for name, _ in answer.getheaders())
        found = Answer(answer.status, answer.read(), readable)
        connection.close()
        return found


Attack = Callable[[Target], Answer]


def _plain(target: Target) -> Answer:
    """A program, or a page's ``fetch`` without a preflight: no key."""
    return target.send({**target.headers, "Content-Type": "text/plain"})


def _another_key(target: Target) -> Answer:
    """The owner's request with another's key."""
    owned = target.owned()
    names = [name for name in owned if name in ("Authorization", "Cookie")]
    return target.send({**owned, **{name: owned[name][:-8] + "0badc0de" for name in names}})


def _form(target: Target) -> Answer:
    """A form of another site, sent by itself."""
    marks = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    return target.send({"Content-Type": "application/x-www-form-urlencoded", **marks})


def _page_with_the_key(target: Target) -> Answer:
    """A page for which a browser adds the key: another server on this machine is of the same site."""
    return target.send({**target.owned(), "Origin": "http://127.0.0.1:1"})


def _no_cors(target: Target) -> Answer:
    """``fetch`` with mode no-cors and GET: it carries no Origin."""
    return target.send({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, "GET", body=b"")


def _preflight(target: Target) -> Answer:
    """The question whether a page may send the owner's headers."""
    asked = {"Access-Control-Request-Method": target.method, "Access-Control-Request-Headers": "authorization"}
    return target.send({"Origin": "https://evil.example", **asked}, "OPTIONS", body=b"")


def _rebound(target: Target) -> Answer:
    """A page whose name leads to this machine by now; to its own name it sends no Origin with GET, and has cookies."""
    return target.send({**target.owned(), "Host": f"evil.example:{target.address.rpartition(':')[2]}"})


def _no_host(target: Target) -> Answer:
    """The owner's request under an empty name."""
    return target.send({**target.owned(), "Host": ""})


ATTACKS: dict[str, Attack] = {
    "no key": _plain,
    "another key": _another_key,
    "a form of another site": _form,
    "a page with the key": _page_with_the_key,
    "no-cors": _no_cors,
    "preflight": _preflight,
    "DNS rebinding": _rebound,
    "no host": _no_host,
}


def host_of(url: str) -> str:
    """HOST:PORT of a URL."""
    return urlsplit(url).netloc
