"""STS knows who calls by the access key alone, and looks at no signature: a key that nobody has made is the name of its
user. So two people can be played on one machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from moto.sts.models import STSBackend
from moto.sts.responses import TokenResponse

from console.local.aws.api import user
from console.local.aws_account import ACCOUNT

Answers: Any = TokenResponse
Backend: Any = STSBackend


def install() -> Callable[[], None]:
    """Let moto's STS answer so; the returned call undoes it."""
    key, identity = TokenResponse.get_access_key, STSBackend.get_caller_identity

    def get_access_key(response: Any) -> str:
        # moto itself sees only keys as long as AWS's own
        found = re.search(r"Credential=([^/,\s]+)/", response.headers.get("Authorization", ""))
        return found[1] if found else key(response)

    def get_caller_identity(backend: Any, access_key_id: str, region: str) -> tuple[str, str, str]:
        known = identity(backend, access_key_id, region)
        return (access_key_id, user(access_key_id), ACCOUNT) if known[1].endswith(":user/moto") else known

    Answers.get_access_key, Backend.get_caller_identity = get_access_key, get_caller_identity

    def uninstall() -> None:
        if "get_access_key" in vars(Answers):  # where one world ends inside another, the other's is gone with it
            del Answers.get_access_key  # which it has of its base
        Backend.get_caller_identity = identity

    return uninstall
