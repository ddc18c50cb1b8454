"""How `esteira doctor` asks: what AWS refuses, or an emulator does not play, becomes a ``Silence`` with a sentence."""

from __future__ import annotations

import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeVar

from console.doctor.observed import Silence
from console.read.remote import Controller
from console.read.trouble import explained
from console.read.where import Where
from esteira.errors import code_of

T = TypeVar("T")


PAGE_SECONDS = 5.0


DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError", "NotAuthorized")


NOT_PLAYED = ("NotImplemented", "NotImplementedException", "InternalFailure", "UnknownOperationException", "501", "404")


def fetched(url: str) -> int:
    """The status a page answers with, 0 where it does not."""
    try:
        with urllib.request.urlopen(url, timeout=PAGE_SECONDS) as answer:  # noqa: S310 - http, to a host of the stack
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)
    except OSError:
        return 0


@dataclass(frozen=True)
class Eyes:
    """What an examination looks with: the controller, the clock (aware, UTC), and what asks for a page (its status, 0
    where it does not answer)."""

    controller: Controller
    now: Callable[[], datetime]
    fetch: Callable[[str], int] = fetched
    sleep: Callable[[float], None] = time.sleep
    ask_hosts: bool = False
    wanted: str | None = None  # the one service to look at; None: all

    def __call__(self, service: str, operation: str, **request: Any) -> Any:
        """Ask AWS; ``operation`` is boto3's name of it."""
        return getattr(self.controller.client(service), operation)(**request)

    def pages(self, service: str, operation: str, key: str, **request: Any) -> list[Any]:
        """Ask AWS for all pages of a list, and return what stands under ``key``."""
        found = self.controller.client(service).get_paginator(operation).paginate(**request)
        return [row for page in found for row in page.get(key, [])]

    def heard(self, look: Callable[[], T]) -> T | Silence:
        """What ``look`` saw, or why AWS did not say."""
        try:
            return look()
        except Exception as error:
            sentence = explained(error, self.controller.where)
            if sentence is None:
                raise
            return _silence(error, sentence, self.controller.where)

    def unless_gone(self, service: str, operation: str, **request: Any) -> Any | None:
        """Ask AWS for one thing; None where it says that there is none."""
        try:
            return self(service, operation, **request)
        except Exception as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            return None

    @cached_property
    def resources(self) -> Mapping[str, Sequence[str]] | Silence:
        """The physical ids in the controller's stack, by type."""
        stack = self.controller.where.stack
        rows = self.heard(
            lambda: self.pages("cloudformation", "list_stack_resources", "StackResourceSummaries", StackName=stack)
        )
        if isinstance(rows, Silence):
            return Silence("there is no stack to read it from") if rows.code == "ValidationError" else rows
        kinds = {row["ResourceType"] for row in rows}
        return {
            k: [
                r["PhysicalResourceId"]
                for r in rows
                if r["ResourceType"] == k and r.get("PhysicalResourceId", "").strip()
            ]
            for k in kinds
        }

    def each(self, kind: str, look: Callable[[str], T]) -> tuple[T, ...] | Silence:
        """Look at each resource of a type in the stack."""
        resources = self.resources
        if isinstance(resources, Silence):
            return resources
        return self.heard(lambda: tuple(look(id_) for id_ in resources.get(kind, ())))


def answer_date(answer: Mapping[str, Any]) -> str:
    return str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))


def _silence(error: Exception, sentence: str, where: Where) -> Silence:
    """The words for what AWS did not say: a right that is wanted, an action an emulator lacks, or its own."""
    code, date = code_of(error), answer_date(getattr(error, "response", {}))
    operation = str(getattr(error, "operation_name", ""))
    text = str(getattr(error, "response", {}).get("Error", {}).get("Message", ""))
    if code in DENIED:
        right = re.search(r"perform:? ([\w-]+:\w+)", text)
        return Silence(f"you may not ask: that wants the right {right[1] if right else operation}", code, date)
    if where.endpoint and code in NOT_PLAYED and operation != "HeadBucket":
        return Silence(f"{where.named} does not play {operation}", code, date)
    return Silence(sentence, code, date)
