"""The page's server, on 127.0.0.1 alone: it reads the table with the operator's own credentials and says their words.

It is for one person, so it is guarded against the pages they have open beside it: the address that is printed holds a
key, which becomes a cookie no other site's request carries (SameSite=Strict); a request under another host name is
refused (DNS rebinding), and one from another origin; a word is only taken as JSON with a header that no form can send.
Nothing is loaded from elsewhere.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import tempfile
import uuid
import webbrowser
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, aclosing, suppress
from html import escape
from pathlib import Path
from typing import Any, get_args

from aiohttp import web

from console.read.printable import page_document
from console.read.session import Session
from console.read.trouble import explained
from console.read.where import TroubleError
from console.read.writing import write_private
from console.ui import board
from console.ui.watch import Watch
from esteira.config import Service, Verb

HERE = Path(__file__).parent
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# How often the table is looked at while somebody looks at the page.
SECONDS = 2.0
VERBS: tuple[str, ...] = get_args(Verb)
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Page:
    """The page of one operator. ``by`` is who says their words."""

    def __init__(self, session: Session, by: str, links: board.Links | None = None, seconds: float = SECONDS) -> None:
        self.key = secrets.token_urlsafe(24)
        self._session, self._by = session, by
        self._links = links or board.Links()
        self._usual: dict[str, float | None] = {}
        self._watch = Watch(self._look, seconds)

    def application(self) -> web.Application:
        """What answers."""
        app = web.Application(middlewares=[self._guarded], client_max_size=16 * 1024)
        for name in ("page.css", "page.js"):
            app.router.add_get(f"/{name}", self._file(name))
        app.router.add_get("/", self._file("page.html"))
        app.router.add_get("/api/history", self._told(self._history))
        app.router.add_get("/api/release", self._told(self._release))
        app.router.add_get("/api/log", self._told(self._log))
        app.router.add_get("/api/dora", self._told(self._dora))
        app.router.add_get("/api/changes", self._changes)
        app.router.add_post("/api/say", self._say)
        return app

    # --- who may ask

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        answer = self._refused(request)
        if answer is None:
            try:
                answer = await handler(request)
            except web.HTTPException as error:
                answer = error
        if not answer.prepared:
            answer.headers.update(HEADERS)
        return answer

    def _refused(self, request: web.Request) -> web.StreamResponse | None:
        """The answer to a request that is not this operator's, or brings the key; None for one of the page's."""
        port = _port(request)
        names = {f"127.0.0.1:{port}", f"localhost:{port}"}
        cookie = cookie_name(port)
        if request.host not in names:
            return web.Response(status=403, text="this page answers as 127.0.0.1 only")
        origin = request.headers.get("Origin")
        if origin is not None and origin not in {f"http://{name}" for name in names}:
            return web.Response(status=403, text="this page answers nobody but itself")
        if request.path == "/" and self._is_key(request.query.get("key", "")):
            answer = _onwards(request)  # so that the key stays in no history
            answer.set_cookie(cookie, self.key, httponly=True, samesite="Strict", path="/")
            return answer
        if not self._is_key(request.cookies.get(cookie, "")):
            return web.Response(status=403, text="open the address that esteira ui printed: the key is in it")
        return None

    def _is_key(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="replace"), self.key.encode())

    def _file(self, name: str) -> Handler:
        async def answer(_: web.Request) -> web.StreamResponse:
            file = HERE / name
            return web.Response(body=file.read_bytes(), content_type=KINDS[file.suffix], charset="utf-8")

        return answer

    # --- what is read

    def _told(self, read: Callable[[web.Request], Any]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            return _json(*await asyncio.to_thread(self._tried, lambda: read(request)))

        return answer

    def _tried(self, do: Callable[[], Any]) -> tuple[Any, int]:
        """Do it; return the answer and HTTP's status, or the sentence why there is none."""
        try:
            return do(), 200
        except TroubleError as trouble:
            return {"error": str(trouble)}, 409
        except (ValueError, LookupError) as error:
            return {"error": f"the page asked for something that is not there: {error}"}, 400
        except Exception as error:
            sentence = explained(error, self._session.controller.where)
            if sentence is None:
                raise
            return {"error": sentence}, 502

    def _history(self, request: web.Request) -> Any:
        before = int(request.query["before"]) if "before" in request.query else None
        service, now = self._service(request.query["service"]), self._session.now()
        if request.query.get("search"):
            return board.search(self._session.store, service, request.query["search"][:200], now)
        return board.past(self._session.store, service, before, now)

    def _log(self, request: web.Request) -> Any:
        session, service = self._session, self._service(request.query["service"])
        number = int(request.query["number"].removeprefix("v"))
        return board.log(session.controller.client, session.store, service, number, session.now())

    def _release(self, request: web.Request) -> Any:
        service = self._service(request.query["service"])
        number = int(request.query["number"].removeprefix("v"))
        return board.release(self._session.store, service, number, self._session.now(), self._links)

    def _dora(self, request: web.Request) -> Any:
        service = self._service(request.query["service"])
        stage = request.query.get("stage") or service.last.name
        days = min(max(int(request.query.get("days", "90")), 1), 730)
        return board.five_keys(self._session.store, service, service.stage(stage).name, days, self._session.now())

    def _service(self, name: str) -> Service:
        for service in self._session.services():
            if service.name == name:
                return service
        raise LookupError(f"no service is called {name!r}")

    # --- what changes

    def _look(self) -> dict[str, str]:
        """What the page shows now, by a name each: the services, what runs of each, their names, or the trouble
        instead. What runs changes with every look, and no view is read again for it."""
        value, status = self._tried(lambda: board.overview(self._session, self._usual))
        if status != 200:
            return {"trouble": page_document(value)}
        names = [service["service"] for service in value]
        runs = [{"service": service["service"], "running": service.pop("running")} for service in value]
        told = {f"running {name}": page_document(one) for name, one in zip(names, runs, strict=True)}
        told |= {f"service {name}": page_document(one) for name, one in zip(names, value, strict=True)}
        return {**told, "services": page_document(names)}

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        """Tell who says words and where, then each service, and anew whenever it is another than before, for as long as
        somebody listens."""
        stream = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await stream.prepare(request)
        hello = {"by": self._by, "where": self._session.controller.where.named}
        with suppress(ConnectionError):  # the page was closed
            await stream.write(_event("hello", page_document(hello)).encode())
            async with aclosing(self._watch.news()) as all_news:
                async for news in all_news:
                    events = [_event(name.partition(" ")[0], text) for name, text in news.items()]
                    # something is always sent, or nobody would notice that the page is gone
                    clock = _event("clock", page_document({"now": self._session.now()}))
                    await stream.write("".join([*events, clock]).encode())
        return stream

    # --- what is said

    async def _say(self, request: web.Request) -> web.StreamResponse:
        if request.content_type != "application/json" or request.headers.get("X-Esteira") != "word":
            return _json({"error": "a word comes as JSON from the page itself"}, 415)
        try:
            word = await request.json()
        except ValueError:
            word = None
        if not isinstance(word, dict) or word.get("action") not in VERBS:
            return _json({"error": f"that is none of the words there are: {', '.join(VERBS)}"}, 400)
        said = {name: value for name, value in word.items() if value not in ("", None)}
        said |= {"request": str(uuid.uuid4()), "by": self._by}
        value, status = await asyncio.to_thread(self._tried, lambda: self._session.controller.operate(said))
        self._watch.hurry()
        return _json(value, status)


def cookie_name(port: int) -> str:
    """The cookie's name: browsers keep no cookies apart by port, and two pages may be open."""
    return f"esteira-ui-{port}"


def _onwards(request: web.Request) -> web.Response:
    """What leads to the page. Browsers keep a strict cookie back from a redirect that begins in a file, such as the one
    that ``serve`` lets them open: there a page of this origin leads on."""
    if request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin"):
        return web.Response(status=303, headers={"Location": "/"})
    return web.Response(text=_leads_to("/"), content_type="text/html")


def _leads_to(address: str) -> str:
    return f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(address)}">\n'


def _port(request: web.Request) -> int:
    assert request.transport is not None  # noqa: S101 - while it is being answered
    return int(request.transport.get_extra_info("sockname")[1])


def _event(kind: str, text: str) -> str:
    return f"event: {kind}\ndata: {text}\n\n"


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(text=page_document(value), status=status, content_type="application/json")


async def serve(page: Page, port: int, say: Callable[[str], None], *, browser: bool) -> None:
    """Serve the page until this is cancelled; ``say`` hears its address, a browser opens it if one is wanted.

    The browser is given a file that leads there and that only its owner can read: what stands on a command line,
    everybody on this machine can.
    """
    runner = web.AppRunner(page.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    opened = ExitStack()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        bound = runner.addresses[0][1]
        address = f"http://127.0.0.1:{bound}/?key={page.key}"
        say(address)
        if browser:
            folder = opened.enter_context(tempfile.TemporaryDirectory(prefix="esteira-ui-"))
            write_private(file := Path(folder) / "page.html", _leads_to(address))
            await asyncio.to_thread(webbrowser.open, file.as_uri())
        await asyncio.Event().wait()
    finally:
        opened.close()
        await runner.cleanup()
