"""CloudWatch Logs, as far as a build's log is read: GetLogEvents over the files that builds write.

A project's group is ``/aws/codebuild/PROJECT`` and a build's stream the part of its id after the colon, as CodeBuild
has it unless a project says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console.local.aws.api import AwsError, Operation, Params, required

PREFIX = "/aws/codebuild/"
MOST = 10_000  # events of an answer, as AWS has it
INVALID = "InvalidParameterException"
_STAMP = re.compile(r"\[Container\] (\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) ")


class BuildLogs:
    """The logs of builds below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self.operations: dict[str, Operation] = {"GetLogEvents": self.get_log_events}

    def get_log_events(self, params: Params) -> dict[str, Any]:
        """GetLogEvents: from the head, from a token, or the last ones. The token of the end is given again."""
        group = str(required(params, "logGroupName", code=INVALID))
        stream = str(required(params, "logStreamName", code=INVALID))
        events = list(self._events(group, stream))
        since = int(params.get("startTime") or 0)
        events = [event for event in events if event["timestamp"] >= since]
        limit = min(int(params.get("limit") or MOST), MOST)
        if token := params.get("nextToken"):
            if not re.fullmatch(r"f/\d+", str(token)):
                raise AwsError(INVALID, "The specified nextToken is invalid.")
            start = int(str(token)[2:])
        else:
            start = 0 if params.get("startFromHead") else max(0, len(events) - limit)
        told = events[start : start + limit]
        return {
            "events": told,
            "nextForwardToken": f"f/{start + len(told)}",
            "nextBackwardToken": f"b/{start}",
        }

    def _events(self, group: str, stream: str) -> Iterator[dict[str, Any]]:
        """The lines of a log; one without a time of its own has that of the line before."""
        file = self._folder / f"{group.removeprefix(PREFIX)}-{stream}.log"
        if not group.startswith(PREFIX) or file.parent != self._folder or not file.exists():
            raise AwsError("ResourceNotFoundException", "The specified log stream does not exist.")
        at = 0
        for line in file.read_text(errors="replace").splitlines():
            if stamp := _STAMP.match(line):
                at = int(datetime.strptime(stamp[1], "%Y/%m/%d %H:%M:%S").replace(tzinfo=UTC).timestamp() * 1000)
            yield {"timestamp": at, "message": f"{line}\n", "ingestionTime": at}
