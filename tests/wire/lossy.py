"""A server between real botocore and an AWS over HTTP, which spoils chosen answers.

It forwards every request to ``upstream`` and counts them by operation. A :class:`Fault` says what happens to one of
them: the connection breaks before the call or after it was done, the answer becomes an error, or its body is changed.
Tests that lose answers in one process, without a socket, use ``console.local.aws.faults`` instead.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.session import get_session

Body = dict[str, Any]
Change = Callable[[Body, Body], Body]
HOP_BY_HOP = ("connection", "content-length", "date", "server", "transfer-encoding")


@dataclass(frozen=True)
class Fault:
    """What happens to a request: ``lost`` (before or after it is done) breaks the connection, ``error`` answers this
    HTTP status with that AWS code. ``change`` makes another answer of the request's and the answer's JSON, and with
    ``forward`` another request before it is sent on."""

    lost: Literal["", "before", "after"] = ""
    error: tuple[int, str] | None = None
    answer: Body | None = None  # the error's body, where its code alone would not do
    done: bool = True  # whether AWS does what was asked before the error is answered
    change: Change | None = None
    forward: Callable[[Body], Body] | None = None


LOST = Fault(lost="after")
NEVER_ARRIVED = Fault(lost="before")
BROKEN = Fault(error=(500, "InternalFailure"))
THROTTLED = Fault(error=(400, "ThrottlingException"), done=False)


class LossyAws:
    """An AWS at ``url`` that is the one at ``upstream``, but for its faults.

    ``faults`` gives the fault of the nth call (from 1) of an operation, such as ``("codedeploy:CreateDeployment", 1)``;
    ``always`` that of every call of an operation. ``counts`` are the requests that came, ``done`` those that AWS got.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.faults: dict[tuple[str, int], Fault] = {}
        self.always: dict[str, Fault] = {}
        self.counts: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"aws": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="lossy", daemon=True)

    @property
    def url(self) -> str:
        """What goes into AWS_ENDPOINT_URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def spoil(self, operation: str, fault: Fault, call: int = 1) -> None:
        """Let that call of an operation, counted from now, meet a fault."""
        self.faults[operation, self.counts[operation] + call] = fault

    def arrived(self, operation: str) -> Fault:
        """Count a request; its fault."""
        with self._lock:
            self.counts[operation] += 1
            return self.faults.get((operation, self.counts[operation])) or self.always.get(operation) or Fault()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Listen no more: who connects now is refused."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    aws: LossyAws
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self._body()
        operation = operation_of(self.command, self.path, self.headers, body)
        fault = self.aws.arrived(operation)
        if fault.lost == "before":
            return self._hang_up()
        if fault.error and not fault.done:
            return self._refuse(*fault.error, fault.answer)
        asked = _json(body)
        if fault.forward is not None:
            body = json.dumps(fault.forward(asked)).encode()
            self._sign(body)
        status, headers, content = self._forward(body)
        self.aws.done[operation] += 1
        if fault.lost == "after":
            return self._hang_up()
        if fault.error:
            return self._refuse(*fault.error, fault.answer)
        if fault.change is not None:
            content = json.dumps(fault.change(asked, _json(content))).encode()
            headers.pop("x-amz-crc32", None)
        return self._answer(status, headers, content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - http.server's names

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(urlsplit(self.aws.upstream).netloc, timeout=30)
        kept = {
            k: v for k, v in self.headers.items() if k.lower() not in ("content-length", "transfer-encoding", "expect")
        }
        connection.request(self.command, self.path, body, {**kept, "Content-Length": str(len(body))})
        answer = connection.getresponse()
        content = answer.read()
        headers = {k: v for k, v in answer.getheaders() if k.lower() not in HOP_BY_HOP}
        connection.close()
        return answer.status, headers, content

    def _sign(self, body: bytes) -> None:
        """Sign another body in the client's place, with its own keys."""
        _, _, region, service, _ = re.split(r"[/,]", self.headers["Authorization"].partition("Credential=")[2])[:5]
        names = ("Host", "Content-Type", "X-Amz-Target")
        request = AWSRequest("POST", self.aws.upstream, {name: self.headers[name] for name in names}, body)
        keys: Any = get_session().get_credentials()
        SigV4Auth(keys, service, region).add_auth(request)
        for name, value in request.headers.items():
            del self.headers[name]
            self.headers[name] = value

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, status: int, code: str, answer: Body | None) -> None:
        content = json.dumps(answer or {"__type": code, "message": f"{code} on purpose"}).encode()
        self._answer(status, {"Content-Type": "application/x-amz-json-1.0"}, content)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(2)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


def operation_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> str:
    """The operation of a request, such as ``dynamodb:PutItem``; of S3's, that of its method on an object."""
    scope = headers.get("Authorization", "").partition("Credential=")[2].split(",")[0].split("/")
    service = {"monitoring": "cloudwatch"}.get(scope[3], scope[3]) if len(scope) > 3 else ""
    if service == "s3":
        return f"s3:{method.capitalize()}{'Object' if path.strip('/').count('/') else 'Bucket'}"
    target = headers.get("X-Amz-Target", "").rpartition(".")[2]
    return f"{service}:{target or parse_qs(body.decode(errors='replace')).get('Action', [''])[0]}"


def _json(body: bytes) -> Body:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
