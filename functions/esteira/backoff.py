"""Tries with growing pauses between them, for answers of AWS that ask for patience."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")
Sleep = Callable[[float], None]
# Seconds: about three in all, well under the time a function lives.
PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


def tries(sleep: Sleep) -> Iterator[int]:
    """The numbers of the tries from 1, with a pause before every try but the first. It ends; the caller then raises.

    Half of each pause is chance, so that callers who were refused together do not come back together.
    """
    yield 1
    for number, longest in enumerate(PAUSES, 2):
        sleep(longest * random.uniform(0.5, 1))  # noqa: S311 - no secret hangs on it
        yield number


def patiently(call: Callable[[], T], again: Callable[[Exception], bool], sleep: Sleep) -> T:
    """What ``call`` answers. It is tried again after an error that ``again`` is true of; the last is raised."""
    met: Exception | None = None
    for _ in tries(sleep):
        try:
            return call()
        except Exception as error:
            if not again(error):
                raise
            met = error
    raise met or LookupError("nothing was tried")
