"""Several things of AWS's read at once, in order, so that a few are in memory together and not all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 8  # files of 6 MB each, at most, that are in memory together
FEW = 2 * AT_ONCE  # so many are not worth a thread


def several(read: Callable[[T], R], things: Sequence[T]) -> Iterator[tuple[T, R]]:
    """Each thing with what ``read`` gives for it. Raises what ``read`` raises, at the thing's place."""
    from concurrent.futures import ThreadPoolExecutor  # not while a function starts

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for begin in range(0, len(things), AT_ONCE):
            batch = things[begin : begin + AT_ONCE]
            yield from zip(batch, (map if len(things) <= FEW else pool.map)(read, batch), strict=True)
