"""What a service's containers wrote on their hosts, from CloudWatch Logs.

A host's agent sends Docker's own files, whose lines are JSON: what was written, when, and a tag that names service,
stage and release (``functions/host/hooks/application_start.sh``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from console.read.build_log import LogLine, without_secrets
from console.read.where import REFUSED, TroubleError
from esteira.errors import code_of

PAGES = 200  # of 1 MB at most; empty ones come while CloudWatch searches


@dataclass(frozen=True)
class HostPage:
    """The lines since a moment, and the ids of the events of its last second, which the next look finds again."""

    lines: tuple[LogLine, ...]
    since: datetime
    seen: frozenset[str]


def group_of(stack: str, service: str) -> str:
    """The log group of a service's hosts, as ``service.yaml`` makes it."""
    return f"/{stack}/hosts/{service}"


def read_hosts(
    client: Callable[[str], Any], group: str, tag: str, since: datetime, seen: frozenset[str] = frozenset()
) -> HostPage:
    """What the containers with that tag wrote from ``since`` on, but for the events that were ``seen``. Raises
    TroubleError where there is no such group."""
    asked: dict[str, Any] = {
        "logGroupName": group,
        "startTime": int(since.timestamp() * 1000),
        "filterPattern": f'{{ $.attrs.tag = "{tag}" }}',
    }
    found: dict[str, Mapping[str, Any]] = {}
    for _ in range(PAGES):
        try:
            told = client("logs").filter_log_events(**asked)
        except Exception as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            raise TroubleError(
                f"there is no log group {group}: the service's stack is of an earlier esteira. Next: deploy "
                f"service.yaml again, or read the log on the host (the stack's output ShellCommand)",
                REFUSED,
            ) from None
        found |= {event["eventId"]: event for event in told["events"] if event["eventId"] not in seen}
        if not told.get("nextToken"):
            break
        asked["nextToken"] = told["nextToken"]
    lines = [line for event in found.values() for line in _lines(event, tag)]
    latest = max((event["timestamp"] for event in found.values()), default=0)
    if not latest:
        return HostPage((), since, seen)
    same = frozenset(id_ for id_, event in found.items() if event["timestamp"] == latest)
    at = datetime.fromtimestamp(latest / 1000, UTC)
    return HostPage(
        without_secrets(sorted(lines, key=lambda line: line.at)), at, same | (seen if at == since else frozenset())
    )


def _lines(event: Mapping[str, Any], tag: str) -> list[LogLine]:
    """The lines of an event, none where it is another container's."""
    try:
        row = json.loads(event["message"])
        if row["attrs"]["tag"] != tag:
            return []
        says, at = str(row["log"]), datetime.fromisoformat(row["time"]).astimezone(UTC)  # with nanoseconds
    except (KeyError, TypeError, ValueError):
        return []
    return [LogLine(at, line) for line in says.rstrip("\n").split("\n")]
