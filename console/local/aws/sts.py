"""STS knows who calls by the access key alone, and no signature: a key that nobody has made is its user's name. So two
people can be played on one machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.sts.models import STSBackend

from console.local.aws.api import ACCOUNT, user


def install() -> Callable[[], None]:
    """Let moto's STS answer so; the returned call undoes it."""
    original: Any = STSBackend.get_caller_identity

    def get_caller_identity(backend: Any, access_key_id: str, region: str) -> tuple[str, str, str]:
        known: tuple[str, str, str] = original(backend, access_key_id, region)
        return (access_key_id, user(access_key_id), ACCOUNT) if known[1].endswith(":user/moto") else known

    STSBackend.get_caller_identity = get_caller_identity  # type: ignore[method-assign, unused-ignore]

    def uninstall() -> None:
        STSBackend.get_caller_identity = original  # type: ignore[method-assign, unused-ignore]

    return uninstall
