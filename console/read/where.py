"""A controller: the local stack of a state folder, a named endpoint, or AWS; and the error of a person who typed."""

from __future__ import annotations

import os
from collections.abc import Mapping
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
    stack also its state folder, and where a service is pushed to and answers. Of AWS also the profile and the Region
    that were named ("": those of this machine)."""

    stack: str
    endpoint: str | None = None
    local: bool = False
    remotes: Mapping[str, str] = field(default_factory=dict)
    functions: str | None = None
    pages: Mapping[str, str] = field(default_factory=dict)
    state: Path | None = None
    secret: str = field(default="", repr=False)  # the local stack's secret key
    profile: str = ""
    region: str = ""

    @property
    def named(self) -> str:
        """What to call it in a sentence."""
        if self.local:
            return "the local stack"
        return f"AWS at {self.endpoint}" if self.endpoint else "AWS"

    @property
    def letters(self) -> Path | None:
        """Where the local stack's dead letters are."""
        return self.state / "dead-letters.jsonl" if self.state else None


def local_credentials(where: Where) -> dict[str, str]:
    """The credentials and region to use where whoever answers asks for none: on this machine."""
    here = urlsplit(where.endpoint or "").hostname in ("127.0.0.1", "localhost", "::1")
    named = {"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"}
    if where.local or (here and not os.environ.keys() & named):
        secret = where.secret or "local"
        return {"aws_access_key_id": "local", "aws_secret_access_key": secret, "region_name": "us-east-1"}
    return {}
