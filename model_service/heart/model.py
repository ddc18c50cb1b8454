"""The model: reads ``model.json``, says what it refuses, gives a probability. Pure Python, so that the serving image
needs no scientific package and starts at once. The only thing done here besides arithmetic is reading that one file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT = 1  # what train.py writes; another shape of model.json gets another number


class UnusableModel(Exception):  # noqa: N818 - it is said as a sentence
    """The model file is missing or is not one this code can read."""


@dataclass(frozen=True)
class Measure:
    """A number with a unit, allowed from ``low`` to ``high``. ``slope``: change of the log-odds per unit."""

    name: str
    unit: str
    low: float
    high: float
    fill: float
    slope: float

    @property
    def allowed(self) -> str:
        return f"a number from {self.low:g} to {self.high:g} {self.unit}".rstrip()

    def takes(self, value: object) -> bool:
        return _is_number(value) and self.low <= value <= self.high  # type: ignore[operator]

    def term(self, value: float) -> float:
        return self.slope * value


@dataclass(frozen=True)
class Choice:
    """One code of a few. ``weights`` maps each code to its share of the log-odds."""

    name: str
    weights: Mapping[float, float]
    fill: float

    @property
    def allowed(self) -> str:
        return "one of " + ", ".join(f"{code:g}" for code in self.weights)

    def takes(self, value: object) -> bool:
        return _is_number(value) and value in self.weights

    def term(self, value: float) -> float:
        return self.weights[value]


Feature = Measure | Choice


@dataclass(frozen=True)
class Refusal:
    """A value the model does not take, or, with ``feature`` None, a field it does not know."""

    field: str
    value: object
    feature: Feature | None


@dataclass(frozen=True)
class Prediction:
    """The probability of disease, 0 to 1, and the fields that were filled in because the record left them out."""

    probability: float
    filled: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """A logistic regression: the sum of the features' terms and the intercept are the log-odds of disease."""

    features: tuple[Feature, ...]
    intercept: float
    metrics: Mapping[str, float]
    data_sha256: str
    sha256: str  # of model.json itself

    def refuses(self, record: Mapping[str, object]) -> list[Refusal]:
        """All that is wrong with a record, in its order; empty when it can be predicted. None is a missing value."""
        known = {feature.name: feature for feature in self.features}
        return [
            Refusal(name, value, known.get(name))
            for name, value in record.items()
            if name not in known or (value is not None and not known[name].takes(value))
        ]

    def predict(self, record: Mapping[str, Any]) -> Prediction:
        """The prediction for a record that ``refuses`` found nothing wrong with; what is missing takes the training
        data's usual value."""
        filled = tuple(f.name for f in self.features if record.get(f.name) is None)
        terms = (f.term(f.fill if f.name in filled else record[f.name]) for f in self.features)
        return Prediction(_logistic(math.fsum(terms) + self.intercept), filled)


def load(path: Path) -> Model:
    """The model in the file train.py wrote. Raises UnusableModel with the cause and the next step."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UnusableModel(
            f"no model at {path} ({error.strerror}). Make it with: python train.py. "
            "In an image, check that the Dockerfile copies models/model.json."
        ) from error
    try:
        return _model(json.loads(text), hashlib.sha256(text).hexdigest())
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableModel(
            f"{path} is not a model this version reads ({error!r}). Make it anew with: python train.py"
        ) from error


def _model(content: dict[str, Any], sha256: str) -> Model:
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']}, expected {FORMAT}")
    return Model(
        features=tuple(_feature(f) for f in content["features"]),
        intercept=float(content["intercept"]),
        metrics=content["metrics"],
        data_sha256=content["data_sha256"],
        sha256=sha256,
    )


def _feature(content: dict[str, Any]) -> Feature:
    if content["kind"] == "choice":
        weights = {float(code): float(weight) for code, weight in content["weights"].items()}
        return Choice(content["name"], weights, float(content["fill"]))
    return Measure(
        content["name"],
        content["unit"],
        *(float(content[key]) for key in ("low", "high", "fill", "slope")),
    )


def _is_number(value: object) -> bool:
    # bool is an int in Python, and `true` is no age
    return isinstance(value, int | float) and not isinstance(value, bool)


def _logistic(log_odds: float) -> float:
    # two forms, because exp() of a large number overflows
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    return math.exp(log_odds) / (1 + math.exp(log_odds))
