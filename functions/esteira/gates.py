"""A new model's figures held against what the service asks for and against the live release's. Pure.

The figures are what the build exported (``NAME=VALUE``), the gates the registration's; a gate's name is a figure's in
any case: ``roc_auc`` is ROC_AUC.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from esteira.config import Gate


def refusals(gates: Mapping[str, Gate], figures: Mapping[str, str], live: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each gate that ``figures`` do not pass, in the order of the gates; none if all are passed.

    ``live`` are the live release's figures: where it has none of that name, it is not compared.
    """
    mine, theirs = _by_name(figures), _by_name(live)
    return tuple(s for name, gate in gates.items() for s in _refusals(name, gate, mine, theirs))


def _refusals(name: str, gate: Gate, mine: Mapping[str, str], theirs: Mapping[str, str]) -> Iterator[str]:
    text = mine.get(name.lower())
    value, live = _number(text), _number(theirs.get(name.lower()))
    if text is None:
        yield f"its build exported no {name}"
    elif value is None:
        yield f"its build exported {name}={text}, which is no number"
    else:
        if gate.min is not None and value < gate.min:
            yield f"{name} is {text}, below {gate.min:g}"
        if gate.max is not None and value > gate.max:
            yield f"{name} is {text}, above {gate.max:g}"
        # A difference of two decimals is not exact; a billionth is no worse.
        if live is not None and gate.max_drop is not None and live - value > gate.max_drop + 1e-9:
            yield f"{name} is {text}, more than {gate.max_drop:g} below the live {live:g}"
        if live is not None and gate.max_rise is not None and value - live > gate.max_rise + 1e-9:
            yield f"{name} is {text}, more than {gate.max_rise:g} above the live {live:g}"


def _by_name(figures: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in figures.items()}


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
