"""The page as a Shiny application: it reads the form, asks the model, and shows the answer.

The values of a person are kept in their browser and in the memory of their session, and never in an address, a log or a
file. A session may end at any time together with its container. The browser then sends its values to the next
container, which answers them again (static/page.js), so nothing has to be stored here.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
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
from serving.model import Model, Prediction, Record
from serving.words import DEFAULT, Words, language

STATIC = Path(__file__).parent / "static"
Tell = Callable[[Record, Prediction], None]
Spoken = Mapping[str, Words]

# Shiny adds small inline scripts to its pages; the policy allows them by their hashes.
INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)
POLICY = (
    "default-src 'none'; script-src 'self'{hashes}; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
# Shiny's upload and download, which this page does not use.
UNUSED_PATH = "/session/"
UNUSED_HANDLERS = ("uploadInit", "uploadEnd")


def create_page(model: Model, tell: Tell, words: Spoken, groups: form.Groups) -> App:
    """The page of a model. ``tell`` is called with each record and the prediction that a person was shown for it."""
    version = _version(model, words)
    documents = {lang: form.document(model.card, words, groups, lang, version) for lang in words}

    def page(request: Request) -> Tag:
        return documents[_language(request)]

    tags = {lang: one.tag for lang, one in words.items()}
    return _Page(page, partial(_converse, model, words, tell, version), tags)


class _Page(App):
    """The Shiny application with security headers, compression, and without the routes that the page does not use."""

    def __init__(
        self,
        page: Callable[[Request], Tag],
        server: Callable[[Inputs, Outputs, Session], None],
        tags: Mapping[str, str],
    ) -> None:
        super().__init__(page, server, static_assets={"/static": STATIC, "/favicon.ico": STATIC / "icon.svg"})
        self.sanitize_errors = True  # an error message on the page must not show internals
        self._door: ASGIApp = GZipMiddleware(_guarded(self.starlette_app, tags), minimum_size=1000, compresslevel=6)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._door(scope, receive, send)


@dataclass(frozen=True)
class _Values:
    """The values of one session. Shiny computes a value again when the inputs that it read have changed."""

    words: Callable[[], Words]
    reading: Callable[[], form.Reading]
    prediction: Callable[[], Prediction | None]


def _converse(
    model: Model,
    spoken: Spoken,
    tell: Tell,
    version: str,
    input: Inputs,  # noqa: A002 - Shiny's name
    output: Outputs,  # noqa: ARG001 - Shiny fills it by the names of the functions in _show
    session: Session,
) -> None:
    """One browser's session, from its connection to its end."""
    for name in UNUSED_HANDLERS:
        session.set_message_handler(name, None)
    values = _values(model, spoken, input)
    _show(model, values)
    _tell(tell, values)
    _send(version, values, input, session)


def _values(model: Model, spoken: Spoken, inputs: Inputs) -> _Values:
    def typed(name: str) -> object:
        return inputs[name]() if name in inputs else None

    @reactive.calc
    def words() -> Words:
        return spoken.get(str(typed("lang")), spoken[DEFAULT])

    @reactive.calc
    def reading() -> form.Reading:
        return form.read(model.card, {name: typed(name) for name in model.names}, words())

    @reactive.calc
    def prediction() -> Prediction | None:
        """The answer, once the person has asked for it. From then on it follows the form."""
        now = reading()
        if now.problems or not now.record or not typed("ask"):
            return None
        return model.predict([now.record])[0]

    return _Values(words, reading, prediction)


def _show(model: Model, values: _Values) -> None:
    words, reading, prediction = values.words, values.reading, values.prediction

    @render.ui
    def said() -> Tag | TagList:
        now, answered = reading(), prediction()
        if now.problems:
            return answer.refusal(now.problems, words())
        if answered:
            return answer.sentence(model.card, answered, words())
        return ui.tags.p(words().ready if now.record else words().inviting, class_="inviting")

    @render.ui
    def shown() -> TagList | None:
        answered = prediction()
        return answer.shown(model, reading().record, answered, words()) if answered else None

    @render.ui
    def moved_list() -> Tag | TagList:
        effects = model.effects(reading().record) if prediction() else []
        if not effects:
            return ui.tags.p(words().moved_nothing, class_="about")
        return answer.moved(effects, model.card, words())

    @render.ui
    def good_list() -> TagList:
        now = reading()
        return answer.good(model.card, () if now.problems else now.record, words())


def _tell(tell: Tell, values: _Values) -> None:
    told: list[Record] = []

    @reactive.effect
    def _told() -> None:
        answered, record = values.prediction(), values.reading().record
        # the same values sent again, for instance after a broken connection, are not a second answer
        if answered and [record] != told[-1:]:
            told[:] = [record]
            tell(record, answered)


def _send(version: str, values: _Values, inputs: Inputs, session: Session) -> None:
    @reactive.effect
    async def _problems() -> None:
        await session.send_custom_message("problems", dict(values.reading().problems))

    @reactive.effect
    @reactive.event(inputs.ask, ignore_init=True)
    async def _asked() -> None:
        await session.send_custom_message("asked", {"wrong": next(iter(values.reading().problems), None)})

    @reactive.effect
    async def _version_of_the_page() -> None:
        await session.send_custom_message("version", {"version": version})


def _language(request: Request) -> str:
    return language(request.query_params.get("lang"), request.headers.get("accept-language", ""))


def _version(model: Model, words: Spoken) -> str:
    """A hash of twelve digits that changes with the model, the texts, or the files of the page."""
    parts = [model.card.model_dump_json().encode(), repr(sorted(words.items())).encode()]
    parts += [path.read_bytes() for path in sorted(STATIC.iterdir())]
    parts += [Path(module.__file__ or "").read_bytes() for module in (form, answer)]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


def _guarded(app: ASGIApp, tags: Mapping[str, str]) -> ASGIApp:
    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif scope["path"].startswith(UNUSED_PATH):
            await PlainTextResponse("There is nothing here. The page is at /.\n", 404)(scope, receive, send)
        elif scope["path"] == "/":
            await app(scope, receive, _of_the_page(tags[_language(Request(scope))], send))
        else:
            await app(scope, receive, _of_a_file(send))

    return guarded


def _of_the_page(tag: str, send: Send) -> Send:
    started: list[Message] = []

    async def with_headers(message: Message) -> None:
        # the policy needs the page's whole text, which Shiny sends in one message
        if message["type"] == "http.response.start":
            started.append(message)
            return
        if started:
            start = started.pop()
            headers = MutableHeaders(scope=start)
            headers["cache-control"] = "no-store"
            headers["content-language"] = tag
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
                # the addresses contain a version
                headers["cache-control"] = "public, max-age=86400"
        await send(message)

    return with_headers


def _hashes(html: bytes) -> str:
    digests = (hashlib.sha256(script).digest() for script in INLINE_SCRIPT.findall(html))
    return "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
