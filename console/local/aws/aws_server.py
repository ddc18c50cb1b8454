"""The local AWS over HTTP on 127.0.0.1: moto's server application behind one lock, and before the lock the paths that
must not hold it. Before all of it stands the check who asks: programs that can sign with the secret key of this run.
"""

from __future__ import annotations

import hmac
import io
import json
import logging
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import run_wsgi_app

from console.local.aws import doors, signature
from console.local.aws.api import AwsError, user
from console.local.aws.stack import LocalAws
from console.local.aws_account import REGION
from console.local.foreign import why_foreign
from console.read.writing import write_private

LOG = logging.getLogger(__name__)
OWN = "/_esteira/"
INVOKE = "/2015-03-31/functions/"
POST_RECEIVE = f"{OWN}post-receive/"
CORS = "access-control-"
NEXT = (
    "Next: use esteira in the folder of the local stack, or give other programs the credentials that "
    "esteira local up prints (AWS_SHARED_CREDENTIALS_FILE)."
)


class _RefusedError(Exception):
    """A request that is not this person's; the AWS error in it says why."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.error = AwsError(code, f"{why} {NEXT}")


class AwsServer:
    """``aws`` (entered already) at ``http://127.0.0.1:PORT``; port 0 takes a free one. Requests are signed with
    ``secret``; "" makes one. Without ``signed`` any program may ask: for a rehearsal whose engine runs nothing."""

    def __init__(
        self, local_aws: LocalAws, secret: str = "", *, host: str = "127.0.0.1", port: int = 0, signed: bool = True
    ) -> None:
        if host not in ("127.0.0.1", "localhost"):
            raise ValueError(f"The local AWS listens on 127.0.0.1 only, not on {host}.")
        self._local_aws = local_aws
        self.secret = secret or signature.new_secret()
        application = _Application(local_aws, self.secret, signed)
        self._server = make_server("127.0.0.1", port, application, threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="aws", daemon=True)

    @property
    def url(self) -> str:
        """What goes into AWS_ENDPOINT_URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        """Listen, and let the repositories' hooks know where, and by which key."""
        write_private(self._local_aws.endpoint_file, f"{self.url}\n{self.secret}\n")
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._local_aws.endpoint_file.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Quiet(MotoRequestHandler):  # type: ignore[misc, unused-ignore]
    """moto's request handler without a line for each request, on connections that stay open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer is written in two parts, and the second must not wait

    def log_request(self, *_: object) -> None:
        """Say nothing."""


class _Application:
    """The WSGI application."""

    def __init__(self, local_aws: LocalAws, secret: str, signed: bool) -> None:
        self._local_aws = local_aws
        self._secret, self._signed = secret, signed
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = _body(environ)
        path = unquote(environ.get("PATH_INFO", ""))
        try:
            self._check(path, environ, body)
            status, headers, content = self._answer(path, environ, body)
        except _RefusedError as refused:
            status, headers, content = _error(403, refused.error, environ)
        except AwsError as error:
            status, headers, content = _error(404 if error.code == "ResourceNotFoundException" else 400, error, environ)
        except NotImplementedError as error:
            status, headers, content = _error(501, _missing(error), environ)
        except Exception as error:
            LOG.exception("%s %s failed inside the local AWS", environ.get("REQUEST_METHOD"), path)
            text = f"The local AWS failed on this call ({type(error).__name__}: {error}). Its log has the traceback."
            status, headers, content = _error(500, AwsError("InternalFailure", text), environ)
        # moto lets the pages of every site read its answers
        kept = [(n, v) for n, v in headers if n.lower() != "content-length" and not n.lower().startswith(CORS)]
        start_response(status, [*kept, ("Content-Length", str(len(content)))])
        return [content]

    def _check(self, path: str, environ: Mapping[str, Any], body: bytes) -> None:
        """Raise _RefusedError unless a program that has the secret key asks: by AWS's signature, and of what is not
        AWS's by the key itself, as the repositories' hooks do."""
        headers = _headers(environ)
        if why := why_foreign(headers):
            raise _RefusedError("AccessDeniedException", f"{why[0].upper()}{why[1:]}.")
        if path.startswith(OWN):
            if not hmac.compare_digest(headers.get("authorization", "").encode(), f"Bearer {self._secret}".encode()):
                raise _RefusedError("AccessDeniedException", "The key of this run is missing.")
            return
        if not self._signed:
            return
        target = str(environ.get("RAW_URI") or environ.get("PATH_INFO", "/"))
        try:
            signature.check(self._secret, environ["REQUEST_METHOD"], target, headers, body, datetime.now(UTC))
        except AwsError as error:
            raise _RefusedError(error.code, error.message) from None

    def _answer(self, path: str, environ: dict[str, Any], body: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
        if path.startswith(INVOKE) and path.endswith("/invocations"):
            return self._invoke(path.removeprefix(INVOKE).removesuffix("/invocations"), environ, body)
        if path.startswith(POST_RECEIVE):
            by = user(environ.get("HTTP_X_ESTEIRA_BY") or "local")
            moved = self._local_aws.codecommit.received(path.removeprefix(POST_RECEIVE), body.decode(), by)
            return _json(200, {"moved": moved})
        return self._moto_answer(environ, body)

    def _invoke(
        self, function: str, environ: Mapping[str, Any], body: bytes
    ) -> tuple[str, list[tuple[str, str]], bytes]:
        kind = environ.get("HTTP_X_AMZ_INVOCATION_TYPE", "RequestResponse")
        status, error, content = self._local_aws.invoked(function, kind, body)
        headers = [("Content-Type", "application/json"), ("X-Amz-Executed-Version", "$LATEST")]
        return _line(status), headers + ([("X-Amz-Function-Error", error)] if error else []), content

    def _moto_answer(self, environ: dict[str, Any], body: bytes) -> tuple[str, list[tuple[str, str]], bytes]:
        service, operation = _asked(environ, body)
        with self._local_aws.lock:
            if service == "autoscaling":
                self._local_aws.open_autoscaling()
            chunks, status, headers = run_wsgi_app(self._moto, environ, buffered=True)
            content = b"".join(chunks)
            if int(status.split()[0]) < 300:
                request = _request(service, environ, body)
                self._local_aws.performed(service, operation, request)
        return status, list(headers), content


def _body(environ: dict[str, Any]) -> bytes:
    """The request's body, left in ``environ`` to be read again."""
    if environ.get("wsgi.input_terminated") and not environ.get("CONTENT_LENGTH"):
        body = environ["wsgi.input"].read()
        environ.pop("HTTP_TRANSFER_ENCODING", None)
    else:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    return bytes(body)


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    """The request's headers, their names in lower case."""
    return {
        name.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
    }


def _asked(environ: Mapping[str, Any], body: bytes) -> tuple[str, str]:
    """The service and operation of a request, from its signature and its target or form; "" where it does not say."""
    scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split(",")[0].split("/")
    service = scope[3] if len(scope) > 3 else ""
    target = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
    if not target and environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        target = parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
    return service, target


def _request(service: str, environ: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """The request as it would have gone to AWS, for the journal."""
    headers = {n: v for n, v in _headers(environ).items() if n not in ("host", "connection", "content-length")}
    query = environ.get("QUERY_STRING")
    path = environ.get("RAW_URI", environ.get("PATH_INFO", "/")).partition("?")[0]
    url = f"https://{service}.{REGION}.amazonaws.com{path}" + (f"?{query}" if query else "")
    return {"method": environ["REQUEST_METHOD"], "url": url, "headers": headers, "body": body}


def _missing(error: NotImplementedError) -> AwsError:
    told = json.loads(doors.not_there(str(error).rstrip(".")))
    return AwsError(told["__type"], told["message"])


def _error(status: int, error: AwsError, environ: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        inner = f"<Error><Type>Sender</Type><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
        text = f"<ErrorResponse>{inner}<RequestId>local</RequestId></ErrorResponse>"
        return _line(status), [("Content-Type", "text/xml")], text.encode()
    if _asked(environ, b"")[0] == "s3":
        text = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
        return _line(status), [("Content-Type", "application/xml")], text.encode()
    line, headers, content = _json(status, {"__type": error.code, "message": error.message, "Message": error.message})
    return line, [*headers, ("x-amzn-errortype", error.code)], content


def _json(status: int, body: Any) -> tuple[str, list[tuple[str, str]], bytes]:
    return _line(status), [("Content-Type", "application/json")], json.dumps(body).encode()


def _line(status: int) -> str:
    return f"{status} {HTTPStatus(status).phrase}"
