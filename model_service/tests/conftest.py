"""The model that most tests ask. They test the template, so it is trained on data of their own (tests/heart/).

The tests of the model that this repository trains are in test_this_model.py. If you replace the data, model.toml and
words.toml, only they look at yours.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from serving.app import create_app
from serving.card import Card
from serving.health import Origin
from serving.model import Model, load
from serving.words import read_words

HERE = Path(__file__).parent.parent
SAMPLE = HERE / "tests/heart"
DATA, SETTINGS = SAMPLE / "heart.csv", SAMPLE / "model.toml"
SAMPLED = ("--data", str(DATA), "--settings", str(SETTINGS))  # options of train.py
WORDS, GROUPS = read_words(SAMPLE / "words.toml", cast("Card", SimpleNamespace(task="binary", unit="")))
ENGLISH, PORTUGUESE = WORDS["en"], WORDS["pt"]
ORIGIN = Origin(release="v17", commit="0123abc", digest="sha256:4567", since=datetime(2026, 11, 23, 8, 30, tzinfo=UTC))
Asgi = Callable[..., Awaitable[None]]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


Ask = Callable[..., Answer]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the model's files. While the data are still the template's, a build's cache has them already.

    The workers of a parallel run share one folder: the first one trains under a lock while the others wait.
    """
    run = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent
    out = run / "models"
    with (run / "models.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (out / "metrics.env").exists():
            _train(out)
    return out


def _train(out: Path) -> None:
    import train

    cache = os.environ.get("ESTEIRA_MODEL_CACHE")
    now = datetime(2026, 11, 23, tzinfo=UTC)
    train.train(DATA, SETTINGS, out, "0123abc", now, HERE / cache if cache else None)


@pytest.fixture(scope="session")
def model(model_folder: Path) -> Model:
    return load(model_folder)


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all requests; making a loop takes longer than answering a request."""
    with asyncio.Runner() as one:
        yield one


def asking(app: Asgi, run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run) -> Ask:
    """A function that sends one request to an application without a network and gives the whole answer."""

    def asked(method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        path, _, query = path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        async def call() -> None:
            await app(scope, receive, send)

        run(call())
        text = b"".join(m.get("body", b"") for m in sent).decode()
        return Answer(sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}, text)

    return asked


@pytest.fixture(scope="session")
def ask(model: Model, runner: asyncio.Runner) -> Ask:
    """Requests to the service without its page and its log."""
    return asking(create_app(model, ORIGIN), runner.run)
