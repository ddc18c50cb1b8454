"""The model the tests ask is trained here, from the data in the repository, once; or it is the one in MODEL_FOLDER."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from serving.app import create_app
from serving.health import Origin
from serving.model import Model, load

HERE = Path(__file__).parent.parent
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
    """Where the model's files are. A build trains first and sets MODEL_FOLDER, so that it does not train twice."""
    if folder := os.environ.get("MODEL_FOLDER"):
        return HERE / folder
    import train

    out = tmp_path_factory.mktemp("models")
    train.train(HERE / "data/raw/heart.csv", HERE / "model.toml", out, "0123abc", datetime(2026, 11, 23, tzinfo=UTC))
    return out


@pytest.fixture(scope="session")
def model(model_folder: Path) -> Model:
    return load(model_folder)


def asking(app: Asgi) -> Ask:
    """Asks an application without a network: one request in, the whole answer out."""

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

        asyncio.run(call())
        text = b"".join(m.get("body", b"") for m in sent).decode()
        return Answer(sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}, text)

    return asked


@pytest.fixture(scope="session")
def ask(model: Model) -> Ask:
    """Asks the service without its page and its log."""
    return asking(create_app(model, ORIGIN))
