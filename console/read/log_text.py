"""The text of a log as a person reads it while it is written: without colours, and of CodeBuild's own lines those that
say something."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_OURS = re.compile(r"\[Container\] \S+ \S+ ")
# A phase that begins or went well, and its message where it has none.
_QUIET = re.compile(r"Entering phase |Phase complete: \S+ State: SUCCEEDED|Phase context status code:\s+Message:\s*$")


def without_colours(text: str) -> str:
    """The text without what colours it on a terminal."""
    return _COLOURS.sub("", text)


def telling(lines: Iterable[str]) -> Iterator[str]:
    """Of a build's lines those that say something, CodeBuild's own without the time. ``esteira logs`` has them all."""
    for line in lines:
        ours = _OURS.match(line)
        said = line[ours.end() :] if ours else line
        if not (ours and _QUIET.match(said)):
            yield said
