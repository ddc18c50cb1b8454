"""The page a person meets, as a Shiny application: it reads the form, asks the model, and says the answer.

What a person types lives in their browser and in the memory of their session here; it is in no address, no log and no
file. A session may end at any time, with its container: the browser then sends its values to the next one, which
answers them anew (static/page.js), so that nothing here needs to last.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from htmltools import Tag, TagList
from shiny import App, Inputs, Outputs, Session, reactive, render, ui
from starlette.datastructures import MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import answer, form
from serving.model import Effect, Model, Prediction, Record
from serving.words import DEFAULT, WORDS, Words, language

STATIC = Path(__file__).parent / "static"
Tell = Callable[[Record, Prediction], None]

# Shiny's pages start with small scripts of their own, which the policy lets run by their hashes.
INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)
POLICY = (
    "default-src 'none'; script-src 'self'{hashes}; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
# What Shiny offers to pages that take files or give some. This one does neither.
UNUSED_PATH = "/session/"
UNUSED_HANDLERS = ("uploadInit", "uploadEnd")


def create_page(model: Model, tell: Tell) -> App:
    """The page of a model. ``tell`` is called with each record and the prediction that a person was shown for it."""
    version = _version(model)
    documents = {lang: form.document(model.card, lang, version) for lang in WORDS}

    def page(request: Request) -> Tag:
        return documents[_language(request)]

    return _Page(page, partial(_converse, model, tell, version))


class _Page(App):
    """The Shiny application behind a door that adds headers and shuts out what the page does not use."""

    def __init__(self, page: Callable[[Request], Tag], server: Callable[[Inputs, Outputs, Session], None]) -> None:
        super().__init__(page, server, static_assets={"/static": STATIC, "/favicon.ico": STATIC / "icon.svg"})
        self.sanitize_errors = True  # whatever fails here, a person is not shown its insides
        self._door: ASGIApp = GZipMiddleware(_guarded(self.starlette_app), minimum_size=1000, compresslevel=6)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._door(scope, receive, send)


def _converse(  # noqa: C901 - Shiny's outputs are functions inside this one
    model: Model,
    tell: Tell,
    version: str,
    input: Inputs,  # noqa: A002 - Shiny's name
    output: Outputs,  # noqa: ARG001 - Shiny gives it, and fills it by the names of the functions below
    session: Session,
) -> None:
    """One browser's session, from its connection to the end of it."""
    for name in UNUSED_HANDLERS:
        session.set_message_handler(name, None)
    told: list[Record] = []

    def typed(name: str) -> object:
        return input[name]() if name in input else None

    @reactive.calc
    def words() -> Words:
        return WORDS.get(str(typed("lang")), WORDS[DEFAULT])

    @reactive.calc
    def reading() -> form.Reading:
        return form.read(model.card, {name: typed(name) for name in model.names}, words())

    @reactive.calc
    def prediction() -> Prediction | None:
        """The answer, once asked for. From then on it follows what is typed."""
        now = reading()
        if now.problems or not now.record or not typed("ask"):
            return None
        return model.predict([now.record])[0]

    @reactive.calc
    def effects() -> list[Effect]:
        return model.effects(reading().record) if prediction() else []

    @render.ui
    def said() -> Tag | TagList:
        now, answered = reading(), prediction()
        if now.problems:
            return answer.refusal(now.problems, words())
        if answered:
            return answer.sentence(answered, words())
        return ui.tags.p(words().ready if now.record else words().inviting, class_="inviting")

    @render.ui
    def shown() -> TagList | None:
        answered = prediction()
        return answer.shown(model, reading().record, answered, words()) if answered else None

    @render.ui
    def moved_list() -> Tag | TagList:
        if not effects():
            return ui.tags.p(words().moved_nothing, class_="about")
        return answer.moved(effects(), model.card, words())

    @render.ui
    def good_list() -> TagList:
        now = reading()
        return answer.good(model.card, () if now.problems else now.record, words())

    @reactive.effect
    def _tell() -> None:
        answered, record = prediction(), reading().record
        # the same values sent again, as after a broken connection, are no second answer
        if answered and [record] != told[-1:]:
            told[:] = [record]
            tell(record, answered)

    @reactive.effect
    async def _say_problems() -> None:
        await session.send_custom_message("problems", dict(reading().problems))

    @reactive.effect
    @reactive.event(input.ask, ignore_init=True)
    async def _asked() -> None:
        await session.send_custom_message("asked", {"wrong": next(iter(reading().problems), None)})

    @reactive.effect
    async def _say_version() -> None:
        await session.send_custom_message("version", {"version": version})


def _language(request: Request) -> str:
    return language(request.query_params.get("lang"), request.headers.get("accept-language", ""))


def _version(model: Model) -> str:
    """Twelve digits that change with the model, the words, or the files of the page."""
    parts = [model.card.model_dump_json().encode(), repr(sorted(WORDS.items())).encode()]
    parts += [path.read_bytes() for path in sorted(STATIC.iterdir())]
    parts += [Path(module.__file__ or "").read_bytes() for module in (form, answer)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _guarded(app: ASGIApp) -> ASGIApp:
    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif scope["path"].startswith(UNUSED_PATH):
            await PlainTextResponse("There is nothing here. The page is at /.\n", 404)(scope, receive, send)
        elif scope["path"] == "/":
            await app(scope, receive, _of_the_page(Request(scope), send))
        else:
            await app(scope, receive, _of_a_file(send))

    return guarded


def _of_the_page(request: Request, send: Send) -> Send:
    started: list[Message] = []
    lang = _language(request)

    async def with_headers(message: Message) -> None:
        # the policy needs the page's whole text, which Shiny sends in one piece
        if message["type"] == "http.response.start":
            started.append(message)
            return
        if started:
            start = started.pop()
            headers = MutableHeaders(scope=start)
            headers["cache-control"] = "no-store"
            headers["content-language"] = WORDS[lang].tag
            headers["content-security-policy"] = POLICY.format(hashes=_hashes(message.get("body", b"")))
            headers["cross-origin-opener-policy"] = "same-origin"
            headers["referrer-policy"] = "no-referrer"
            headers["x-content-type-options"] = "nosniff"
            headers.add_vary_header("accept-language")
            await send(start)
        await send(message)

    return with_headers


def _of_a_file(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["x-content-type-options"] = "nosniff"
            if message["status"] == 200:
                # their addresses carry a version
                headers["cache-control"] = "public, max-age=86400"
        await send(message)

    return with_headers


def _hashes(html: bytes) -> str:
    digests = (hashlib.sha256(script).digest() for script in INLINE_SCRIPT.findall(html))
    return "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
