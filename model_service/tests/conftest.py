"""The model the tests ask is trained here, from the data in the repository, once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Scope

import train
from heart.app import Origin, create_app
from heart.model import Model, load


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
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models")
    train.train(train.DATA, out)
    return out / "model.json"


@pytest.fixture(scope="session")
def model(model_file: Path) -> Model:
    return load(model_file)


@pytest.fixture(scope="session")
def ask(model: Model) -> Ask:
    """Asks the application without a network: one request in, the whole answer out."""
    app = create_app(model, Origin(commit="0123abc", release="v17"))

    def asked(method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        path, _, query = path.partition("?")
        scope: Scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }  # fmt: skip
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        async def call() -> None:
            await app(scope, receive, send)

        asyncio.run(call())
        text = b"".join(m.get("body", b"") for m in sent).decode()
        return Answer(sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}, text)

    return asked
