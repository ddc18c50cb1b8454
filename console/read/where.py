"""Where the controller is: the local stack that left a note in its state folder, a named endpoint, or AWS.

What a person can cause here leaves this file as ``TroubleError``: one sentence that ends in the next thing to type.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from configparser import Error as ConfigParserError
from configparser import RawConfigParser
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

FAILED, REFUSED, UNDER_WAY = 1, 2, 3  # exit statuses, as `esteira --help` tells them


class TroubleError(Exception):
    """A sentence for the person who typed, and the exit status that goes with it."""

    def __init__(self, sentence: str, status: int = FAILED) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Where:
    """One controller: its stack's name, the endpoint that stands for AWS (None: AWS itself), whether it is the local
    stack, and the endpoint that runs the functions where that is another (``sam local start-lambda``). Of the local
    stack also where a service is pushed to and answers, and where its dead letters lie."""

    stack: str
    endpoint: str | None = None
    local: bool = False
    remotes: Mapping[str, str] = field(default_factory=dict)
    functions: str | None = None
    pages: Mapping[str, str] = field(default_factory=dict)
    letters: Path | None = None
    secret: str = field(default="", repr=False)  # the local stack's secret key

    @property
    def named(self) -> str:
        """What to call it in a sentence."""
        if self.local:
            return "the local stack"
        return f"AWS at {self.endpoint}" if self.endpoint else "AWS"


def find(endpoint: str | None, stack: str | None, state: Path, functions: str | None = None) -> Where:
    """Which controller is meant. A note of a local stack in ``state`` counts unless an endpoint is given;
    ``functions`` is the endpoint of its functions, if that is another.

    Raises TroubleError where the note cannot be read, or the process that wrote it is gone: what was meant for the
    local stack must not reach AWS.
    """
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL") or None
    functions = functions or os.environ.get("AWS_ENDPOINT_URL_LAMBDA") or None
    note = state / "local.json"
    if endpoint or not note.exists():
        return Where(stack or "esteira", endpoint, functions=functions)
    try:
        told = json.loads(note.read_text())
        pid, url = int(told["pid"]), str(told["endpoint"])
        if not _runs(pid):
            raise TroubleError(
                f"the local stack of {state} is not running. Next: esteira local up; to speak to AWS instead, remove "
                f"{note}"
            )
        secret = _secret(Path(told["credentials"]))
        where = Where(
            stack or str(told.get("stack", "esteira")),
            url,
            True,
            told.get("remotes", {}),
            functions,
            told.get("pages", {}),
            state / "dead-letters.jsonl",
            secret,
        )
    except (OSError, ValueError, KeyError, TypeError, ConfigParserError):
        raise TroubleError(
            f"{note} is not a local stack's note. Next: esteira local up writes it anew; to speak to AWS, remove it"
        ) from None
    return where


def local_credentials(where: Where) -> dict[str, str]:
    """The credentials and region to use where whoever answers asks for none: on this machine."""
    here = urlsplit(where.endpoint or "").hostname in ("127.0.0.1", "localhost", "::1")
    named = {"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"}
    if where.local or (here and not os.environ.keys() & named):
        secret = where.secret or "local"
        return {"aws_access_key_id": "local", "aws_secret_access_key": secret, "region_name": "us-east-1"}
    return {}


def _secret(credentials: Path) -> str:
    """The secret key in the credentials file of a local stack."""
    parser = RawConfigParser()
    parser.read_string(credentials.read_text())
    return parser["default"]["aws_secret_access_key"]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
