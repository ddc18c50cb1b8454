"""The page's pictures, as SVG text. Pure functions: figures in, text out.

Colours and stroke widths are in static/page.css, by class, so the pictures follow the light and dark schemes. Each
picture is either an image with a text alternative (``alt``), or hidden from screen readers because the words beside it
contain the same information. Positive (ill) and negative (well) dots differ in shape, not in colour alone.

A dot is a line of length zero with round ends. It takes eight characters; a circle takes forty.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

ACROSS, DOWN, APART = 20, 5, 16.0  # the hundred people: columns, rows, distance of the dots

WIDTH, MARGIN = 340.0, 10.0  # of the picture ``standing``; the line of probabilities lies between the margins
BINS, HIGHEST = 64, 34  # the number of columns of dots, and the most dots in a column
PITCH = (WIDTH - 2 * MARGIN) / BINS
TOP = 30.0  # room for the marker's words

Point = tuple[float, float]


def hundred(probability: float, low: float, high: float, alt: str) -> str:
    """One hundred people as dots; the ill are filled. The dots between ``low`` and ``high`` have a point."""
    ill, first, last = (round(share * 100) for share in (probability, low, high))
    kinds = {
        "ill": range(first),
        "ill unsure": range(first, ill),
        "well unsure": range(ill, last),
        "well": range(last, ACROSS * DOWN),
    }
    drawn = "".join(_dots(kind, (_place(at) for at in numbers)) for kind, numbers in kinds.items())
    return _image("hundred", ACROSS * APART, DOWN * APART, alt, drawn)


@dataclass(frozen=True)
class Line:
    """The rows of the data along a line from ``low`` to ``high``: their places, and whether each is a positive one.

    ``ticks`` are the words at the start, the middle and the end.
    """

    dots: Sequence[tuple[float, bool]]
    low: float
    high: float
    ticks: tuple[str, str, str]

    @property
    def per(self) -> int:
        """The number of rows that one dot represents, so that no column is too high."""
        return max(1, math.ceil(max(len(column) for column in _columns(self)) / HIGHEST))

    def share(self, at: float) -> float:
        """The place on the line, 0 to 1."""
        return min(max((at - self.low) / (self.high - self.low), 0.0), 1.0) if self.high > self.low else 0.5


def standing(
    line_: Line,
    value: float,
    sure: tuple[float, float],
    if_known: tuple[float, float] | None,
    here: str,
    alt: str,
) -> str:
    """The rows along the line, negative below positive, and a marker at ``value`` with the words ``here``.

    Under the line the thick bar is the answer's uncertainty ``sure``, the thin one ``if_known``.
    """
    per = line_.per
    stacks = [_stack(column, per) for column in _columns(line_)]
    line = TOP + max(map(len, stacks)) * PITCH + 2
    places: dict[bool, list[Point]] = {True: [], False: []}
    for at, stack in enumerate(stacks):
        for height, ill in enumerate(stack):
            places[ill].append((MARGIN + (at + 0.5) * PITCH, line - 2 - (height + 0.5) * PITCH))
    marker, left, right = (_x(line_.share(at)) for at in (value, *sure))
    parts = [
        _dots("well", places[False]),
        _dots("ill", places[True]),
        f'<path class="line" d="M{_n(MARGIN)} {_n(line)}H{_n(WIDTH - MARGIN)}"/>',
        *(f'<path class="line" d="M{_n(_x(tick))} {_n(line)}v4"/>' for tick in (0, 0.25, 0.5, 0.75, 1)),
        _bar("known", _x(line_.share(if_known[0])), _x(line_.share(if_known[1])), line + 11) if if_known else "",
        _bar("sure", left, right, line + 11),
        f'<path class="marker" d="M{_n(marker)} {_n(TOP - 7)}V{_n(line + 17)}"/>',
        _text(marker, 15, here, "here"),
        *(_text(_x(at), line + 33, tick, "tick") for at, tick in zip((0, 0.5, 1), line_.ticks, strict=True)),
    ]
    return _image("standing", WIDTH, line + 40, alt, "".join(parts))


def change(amount: float, most: float) -> str:
    """A bar to the right if the value raises the probability, to the left if it lowers it; ``most`` fills a half."""
    length = 100 * min(1.0, abs(amount) / most) if most else 0.0
    start, kind = (100.0, "raises") if amount >= 0 else (100 - length, "lowers")
    return _strip(
        "change",
        200,
        '<path class="middle" d="M100 0v12"/>'
        f'<rect class="{kind}" x="{_n(start)}" y="2" width="{_n(max(length, 0.8))}" height="8"/>',
    )


def whisker(value: float, low: float, high: float, floor: float = 0.0) -> str:
    """A point with its interval on the line from ``floor`` (the figure without a model) to 1."""
    at, left, right = ((min(max(share, floor), 1.0) - floor) / (1 - floor) * 200 for share in (value, low, high))
    return _strip(
        "whisker",
        200,
        '<path class="rail" d="M0 6H200"/>'
        f'<rect class="interval" x="{_n(left)}" y="3.5" width="{_n(right - left)}" height="5"/>'
        f'<rect class="point" x="{_n(max(0.0, at - 1.5))}" y="0" width="3" height="12"/>',
    )


def _place(at: int) -> Point:
    row, column = divmod(at, ACROSS)
    return (column + 0.5) * APART, (row + 0.5) * APART


def _columns(line: Line) -> list[list[bool]]:
    columns: list[list[bool]] = [[] for _ in range(BINS)]
    for at, positive in line.dots:
        columns[min(BINS - 1, int(line.share(at) * BINS))].append(positive)
    return columns


def _stack(column: Sequence[bool], per: int) -> list[bool]:
    ill = sum(column)
    return [False] * math.ceil((len(column) - ill) / per) + [True] * math.ceil(ill / per)


def _dots(kind: str, places: Iterable[Point]) -> str:
    drawn = "".join(f"M{_n(x)} {_n(y)}h0" for x, y in places)
    if not drawn:
        return ""
    # a ring is a dot with a smaller dot in the background colour on top
    inner = f'<path class="inner" d="{drawn}"/>' if kind.startswith("well") else ""
    core = f'<path class="core" d="{drawn}"/>' if kind.endswith("unsure") else ""
    return f'<g class="dots {kind}"><path d="{drawn}"/>{inner}{core}</g>'


def _bar(kind: str, left: float, right: float, y: float) -> str:
    return f'<path class="{kind}" d="M{_n(left)} {_n(y)}H{_n(max(right, left + 1))}"/>'


def _text(x: float, y: float, words: str, kind: str) -> str:
    # near an edge, centred words would leave the picture
    room = 3.6 * len(words)
    anchor = "start" if x < room else "end" if x > WIDTH - room else "middle"
    at = {"start": max(0.0, x - MARGIN), "end": min(WIDTH, x + MARGIN), "middle": x}[anchor]
    return f'<text class="{kind}" x="{_n(at)}" y="{_n(y)}" text-anchor="{anchor}">{escape(words)}</text>'


def _x(share: float) -> float:
    return MARGIN + (WIDTH - 2 * MARGIN) * share


def _image(name: str, width: float, height: float, alt: str, drawn: str) -> str:
    return (
        f'<svg class="{name}" role="img" aria-label="{escape(alt)}" viewBox="0 0 {_n(width)} {_n(height)}" '
        f'xmlns="http://www.w3.org/2000/svg">{drawn}</svg>'
    )


def _strip(name: str, width: float, drawn: str) -> str:
    # takes the available width: its shapes may be stretched
    return (
        f'<svg class="strip {name}" aria-hidden="true" viewBox="0 0 {_n(width)} 12" preserveAspectRatio="none" '
        f'xmlns="http://www.w3.org/2000/svg">{drawn}</svg>'
    )


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")
