"""The page's server, on 127.0.0.1 alone: it reads the table with the operator's own credentials and says their words.

It is for one person, so it is guarded against the pages they have open beside it: the address that is printed holds a
key, which becomes a cookie no other site's request carries (SameSite=Strict); a request under another host name is
refused (DNS rebinding); a word is only taken as JSON with a header that no form can send. Nothing is loaded from
elsewhere.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import uuid
import webbrowser
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from console.call import Call
from console.remote import TroubleError, explained
from console.render import document
from console.ui import board
from esteira.config import Service

HERE = Path(__file__).parent
COOKIE = "esteira-ui"
# How often the table is looked at while somebody looks at the page.
SECONDS = 2.0
VERBS = ("rollback", "hold", "resume", "retry", "abort", "quarantine", "approve", "reject", "promote", "bypass")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Page:
    """The page of one operator. ``by`` is who says their words."""

    def __init__(self, call: Call, by: str, links: board.Links | None = None, seconds: float = SECONDS) -> None:
        self.key = secrets.token_urlsafe(24)
        self._call, self._by, self._seconds = call, by, seconds
        self._links = links or board.Links()

    def application(self) -> web.Application:
        """Return what answers."""
        app = web.Application(middlewares=[self._guarded], client_max_size=16 * 1024)
        for name in ("page.css", "page.js"):
            app.router.add_get(f"/{name}", self._file(name))
        app.router.add_get("/", self._file("page.html"))
        app.router.add_get("/api/overview", self._told(self._overview))
        app.router.add_get("/api/history", self._told(self._history))
        app.router.add_get("/api/release", self._told(self._release))
        app.router.add_get("/api/dora", self._told(self._dora))
        app.router.add_get("/api/changes", self._changes)
        app.router.add_post("/api/say", self._say)
        return app

    # --- who may ask

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        host = (request.host or "").rsplit(":", 1)[0]
        given = request.query.get("key", "")
        if host not in ("127.0.0.1", "localhost"):
            answer: web.StreamResponse = web.Response(status=403, text="this page answers as 127.0.0.1 only")
        elif request.path == "/" and given and self._is_the_key(given):
            answer = web.Response(status=303, headers={"Location": "/"})
            answer.set_cookie(COOKIE, self.key, httponly=True, samesite="Strict", path="/")
        elif not self._is_the_key(request.cookies.get(COOKIE, "")):
            answer = web.Response(status=403, text="open the address that esteira ui printed: the key is in it")
        else:
            try:
                answer = await handler(request)
            except web.HTTPException as error:
                answer = error
        if not answer.prepared:
            answer.headers.update(HEADERS)
        return answer

    def _is_the_key(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), self.key.encode())

    def _file(self, name: str) -> Handler:
        async def answer(_: web.Request) -> web.StreamResponse:
            kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
            return web.Response(
                body=(HERE / name).read_bytes(), content_type=kinds[name.rsplit(".", 1)[1]], charset="utf-8"
            )

        return answer

    # --- what is read

    def _told(self, read: Callable[[web.Request], Any]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            status, value = await asyncio.to_thread(self._tried, lambda: read(request))
            return _json(value, status)

        return answer

    def _tried(self, do: Callable[[], Any]) -> tuple[int, Any]:
        """Do it; return HTTP's status and the answer, or the sentence why there is none."""
        try:
            return 200, do()
        except TroubleError as trouble:
            return 409, {"error": str(trouble)}
        except (ValueError, KeyError, LookupError) as error:
            return 400, {"error": f"the page asked for something that is not there: {error}"}
        except Exception as error:
            sentence = explained(error, self._call.controller.where)
            if sentence is None:
                raise
            return 502, {"error": sentence}

    def _overview(self, _: web.Request) -> Any:
        return {"services": board.overview(self._call.store, self._call.services(), self._call.now()), "by": self._by}

    def _history(self, request: web.Request) -> Any:
        before = int(request.query["before"]) if "before" in request.query else None
        return board.past(self._call.store, self._service(request.query["service"]), before, self._call.now())

    def _release(self, request: web.Request) -> Any:
        service = self._service(request.query["service"])
        number = int(request.query["number"].removeprefix("v"))
        return board.release(self._call.store, service, number, self._call.now(), self._links)

    def _dora(self, request: web.Request) -> Any:
        service = self._service(request.query["service"])
        stage = request.query.get("stage") or service.last.name
        days = min(max(int(request.query.get("days", "90")), 1), 730)
        return board.four_keys(self._call.store, service, service.stage(stage).name, days, self._call.now())

    def _service(self, name: str) -> Service:
        for service in self._call.services():
            if service.name == name:
                return service
        raise LookupError(f"no service is called {name!r}")

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        """Tell the overview whenever it is another than before, for as long as somebody listens."""
        stream = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await stream.prepare(request)
        last = ""
        while True:
            status, value = await asyncio.to_thread(self._tried, lambda: self._overview(request))
            text = document(value, None)
            try:
                if text != last:
                    last = text
                    kind = "overview" if status == 200 else "trouble"
                    await stream.write(f"event: {kind}\ndata: {text}\n\n".encode())
                else:
                    await stream.write(b": nothing new\n\n")  # or nobody would notice that the page is gone
            except ConnectionResetError:
                return stream
            await asyncio.sleep(self._seconds)

    # --- what is said

    async def _say(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "application/json" or request.headers.get("X-Esteira") != "word":
            return _json({"error": "a word comes as JSON from the page itself"}, 415)
        try:
            word = await request.json()
            action = word.pop("action")
        except (ValueError, KeyError, TypeError, AttributeError):
            return _json({"error": "the word cannot be read"}, 400)
        if action not in VERBS:
            return _json({"error": f"there is no word {action!r}"}, 400)
        said = {name: value for name, value in word.items() if value not in ("", None)}
        said |= {"action": action, "request": str(uuid.uuid4()), "by": self._by}
        status, value = await asyncio.to_thread(self._tried, lambda: self._call.controller.operate(said))
        return _json(value, status)


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(text=document(value, None), status=status, content_type="application/json")


async def serve(page: Page, port: int, say: Callable[[str], None], *, browser: bool) -> None:
    """Serve the page until this is cancelled; ``say`` hears its address, a browser opens it if one is wanted."""
    runner = web.AppRunner(page.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        bound = runner.addresses[0][1]
        address = f"http://127.0.0.1:{bound}/?key={page.key}"
        say(address)
        if browser:
            await asyncio.to_thread(webbrowser.open, address)
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
