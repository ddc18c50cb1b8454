"""The build's gate: ``python gate.py`` fails if the model is worse than the live one by more than model.toml allows.

The controller passes the figures of the live release to the build: ESTEIRA_LIVE_RELEASE (v16), ESTEIRA_LIVE_ROC_AUC
(0.9147) and so on. By hand, ``python gate.py --live CARD.json`` compares with a card. Exit status: 0 if the figures
pass, 1 if they do not, 2 if they cannot be compared.

Each model is judged on held-out rows of its own data. If the data changed, a difference may come from the data.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.card import Card
    from training.settings import Tolerance

HERE = Path(__file__).parent
PREFIX = "ESTEIRA_LIVE_"
DIGITS = 4  # of a figure, as in the card
NOT_THERE = "-"
HEADINGS = ("figure", "live", "this one", "difference", "allowed", "")
FIGURES = (1, 2, 3)  # the columns with numbers


class Incomparable(Exception):  # noqa: N818 - the message is a sentence
    """A figure cannot be compared. The message names it and the next step."""


@dataclass(frozen=True)
class Live:
    """The live model's figures by their lower-case names, and its name: ``v16``. Without a name nothing is live."""

    name: str
    figures: Mapping[str, str]


@dataclass(frozen=True)
class Comparison:
    """One figure of both models. ``live`` is None if the live one lacks it; ``allowed`` is None if it is not judged."""

    figure: str
    live: float | None
    this: float
    allowed: Tolerance | None

    @property
    def difference(self) -> float | None:
        """The figure of this model minus the live one, rounded like the card."""
        return None if self.live is None else round(self.this - self.live, DIGITS)

    @property
    def passes(self) -> bool:
        """Whether the figure is at least as good as the live one, or worse by no more than is allowed."""
        if self.difference is None or self.allowed is None:
            return True
        if self.allowed.max_drop is not None:
            return -self.difference <= self.allowed.max_drop
        return self.allowed.max_rise is None or self.difference <= self.allowed.max_rise

    @property
    def cells(self) -> tuple[str, ...]:
        """The figure's line of the table."""
        live = NOT_THERE if self.live is None else f"{self.live:.{DIGITS}f}"
        difference = NOT_THERE if self.difference is None else f"{self.difference:+.{DIGITS}f}"
        said = "" if self.passes else "TOO MUCH WORSE"
        return self.figure, live, f"{self.this:.{DIGITS}f}", difference, _said(self.allowed), said


def compared(card: Card, live: Live, gate: Mapping[str, Tolerance]) -> list[Comparison]:
    """Every figure of the card compared with the live one. Raises Incomparable."""
    figures = {name: estimate.value for name, estimate in card.metrics.items()}
    return [Comparison(name, _number(live, name, name in gate), this, gate.get(name)) for name, this in figures.items()]


def live_from(environment: Mapping[str, str]) -> Live:
    """The live release in the variables that the controller sets."""
    told = {name: value for name, value in environment.items() if name.startswith(PREFIX) and value}
    name = told.pop(f"{PREFIX}RELEASE", "")
    return Live(name, {name.removeprefix(PREFIX).lower(): value for name, value in told.items()})


def live_card(path: Path) -> Live:
    """The figures of a card file. Raises Incomparable."""
    card = _card(path, "Name another with --live CARD.json")
    return Live(path.name, {name: str(found.value) for name, found in card.metrics.items()})


def table(rows: Sequence[Sequence[str]]) -> str:
    """The rows as lines of text with aligned columns, numbers to the right."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    for at, column in enumerate(columns):
        width = max(map(len, column))
        columns[at] = [cell.rjust(width) if at in FIGURES else cell.ljust(width) for cell in column]
    return "\n".join("  ".join(row).rstrip() for row in zip(*columns, strict=True))


def judged(card: Card, live: Live, gate: Mapping[str, Tolerance]) -> int:
    """Print both models' figures side by side and the verdict. The result is the exit status."""
    found = compared(card, live, gate)
    name = live.name or "nothing"
    print(f"Live is {name}.\n{table([HEADINGS, *(one.cells for one in found)])}", flush=True)
    worse = ", ".join(one.figure for one in found if not one.passes)
    if worse:
        print(
            f"gate.py: worse than {name} by more than model.toml allows: {worse}. No image is built, and the live "
            "release stays. Next: find the cause in the change and push again. If the loss is intended, first raise "
            "the limit in model.toml under [gate].",
            file=sys.stderr,
        )
        return 1
    if not live.name:
        print("gate.py: nothing is live to compare with, so the figures pass.")
        return 0
    unknown = [one.figure for one in found if one.live is None]
    print(
        f"gate.py: the figures pass in comparison with {name}."
        + (f" It lacks {', '.join(unknown)}, which were not judged." if unknown else "")
    )
    return 0


def main() -> int:
    """The command. The result is its exit status."""
    options = argparse.ArgumentParser(description="Compare the model in models/ with the live one.")
    options.add_argument(
        "--live", type=Path, metavar="CARD.json", help="the live one's card, instead of the environment"
    )
    options.add_argument(
        "--card", type=Path, metavar="CARD.json", default=HERE / "models/model-card.json", help="this one's"
    )
    options.add_argument("--settings", type=Path, metavar="FILE", default=HERE / "model.toml", help="what is allowed")
    chosen = options.parse_args()
    from training.settings import UnusableSettings, read_settings

    try:
        gate = read_settings(chosen.settings).gate
        card = _card(chosen.card, "Make it with: python train.py")
        return judged(card, live_card(chosen.live) if chosen.live else live_from(os.environ), gate)
    except (Incomparable, UnusableSettings) as error:
        print(f"gate.py: {error}", file=sys.stderr)
        return 2


def _card(path: Path, otherwise: str) -> Card:
    from pydantic import ValidationError

    from serving.card import Card

    try:
        return Card.model_validate_json(path.read_bytes())
    except OSError as error:
        raise Incomparable(f"no card at {path} ({error.strerror}). {otherwise}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise Incomparable(f"{path}: {where}: {first['msg']}. {otherwise}") from error


def _number(live: Live, name: str, judged: bool) -> float | None:
    text = live.figures.get(name)
    try:
        value = math.nan if text is None else float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value):
        return value
    if judged and text is not None:
        variable = f"{PREFIX}{name.upper()}"
        raise Incomparable(
            f"{name} of {live.name or 'the live release'} is {text!r}, which is not a number. Next: check that this "
            f"build exports {name.upper()} as a number, and for one push write `{variable}= python gate.py` in "
            "buildspec.yml, which does not judge that figure"
        )
    return None


def _said(allowed: Tolerance | None) -> str:
    if allowed is None:
        return "not judged"
    if allowed.max_drop is not None:
        return f"{allowed.max_drop:.{DIGITS}f} lower"
    return f"{allowed.max_rise:.{DIGITS}f} higher"


if __name__ == "__main__":
    sys.exit(main())
