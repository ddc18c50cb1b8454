"""A build's log in CloudWatch Logs, from its head or from where it was read to before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from console.read.log_text import without_colours
from esteira.aws.codebuild import log_of
from esteira.errors import code_of

LAST = 100
PAGES = 50  # of 1 MB at most: more of a log than anybody reads


@dataclass(frozen=True)
class LogLine:
    """One line: when CloudWatch says that it was written, and what it says."""

    at: datetime
    says: str


@dataclass(frozen=True)
class LogPage:
    """Some lines, and the token from which the log goes on."""

    lines: tuple[LogLine, ...]
    token: str


def read_log(client: Callable[[str], Any], build: str, token: str = "", since: datetime | None = None) -> LogPage:
    """What the log of a build has from ``token`` on; nothing yet where the build has not begun to write."""
    asked: dict[str, Any] = {**log_of(build)}
    if since is not None:
        asked["startTime"] = int(since.timestamp() * 1000)
    lines: list[LogLine] = []
    for _ in range(PAGES):
        more = {"nextToken": token} if token else {}
        try:
            told = client("logs").get_log_events(**asked, **more, startFromHead=True)
        except Exception as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            break
        lines += _lines(told["events"])
        before, token = token, told["nextForwardToken"]
        if token == before or not told["events"]:
            break
    return LogPage(without_secrets(lines), token)


def last_lines(client: Callable[[str], Any], build: str) -> tuple[str, ...]:
    """The last lines of a build's log, in one request; none where it has not begun to write."""
    try:
        told = client("logs").get_log_events(**log_of(build), limit=LAST)
    except Exception as error:
        if code_of(error) != "ResourceNotFoundException":
            raise
        return ()
    return tuple(line.says for line in without_secrets(_lines(told["events"])))


def without_secrets(lines: Sequence[LogLine]) -> tuple[LogLine, ...]:
    """The lines without colours, and without the secrets in them. What is masked may have been several lines, so a
    part of the log that another number of lines is left of has the time of its first one."""
    from guard.mask import MOST, masked

    told: list[LogLine] = []
    for part in _parts(lines, MOST):
        said = masked(without_colours("\n".join(one.says for one in part))).split("\n")
        times = [one.at for one in part] if len(said) == len(part) else [part[0].at] * len(said)
        told += map(LogLine, times, said)
    return tuple(told)


def _parts(lines: Sequence[LogLine], most: int) -> Iterator[list[LogLine]]:
    """The lines in parts of at most so many characters; a longer line is a part of its own."""
    part, size = list[LogLine](), 0
    for line in lines:
        if part and size + len(line.says) >= most:
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line.says) + 1
    if part:
        yield part


def _lines(events: Sequence[Any]) -> list[LogLine]:
    return [
        LogLine(datetime.fromtimestamp(event["timestamp"] / 1000, UTC), line)
        for event in events
        for line in event["message"].rstrip("\n").split("\n")
    ]
