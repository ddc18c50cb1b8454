"""The model card: what is known about a model besides its weights. Training writes it, the service reads it.

``models/model-card.json`` lies beside ``models/model.onnx``. pydantic checks it on both sides, so a service never
starts with a card that it cannot read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

CARD = "model-card.json"
MODEL = "model.onnx"
NUMBERS = (int, float)  # the types of a number; a bool is not one of them

Task = Literal["binary", "multiclass", "regression"]
# The figures of each task. The first one that should be low decides between candidates (training/figures.py).
FIGURES: Mapping[Task, tuple[str, ...]] = {
    "binary": ("roc_auc", "log_loss", "brier", "ece"),
    "multiclass": ("macro_f1", "accuracy", "log_loss", "ece"),
    "regression": ("rmse", "mae", "r2"),
}

Probability = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Shares(_Part):
    """The distribution of a feature in the training data, for drift: ``shares[i]`` of its known values lie in bin i.

    A measure's bins are the intervals between ``edges``; the first and the last are open, so there is one bin more than
    there are edges. A text's bins are the same for its number of words. A choice's bins are its codes, without edges.
    """

    edges: tuple[float, ...] = ()
    shares: tuple[Probability, ...]
    missing: Probability


class Measure(_Part):
    """A number with a unit. The service accepts ``low`` to ``high``; ``seen`` is the lowest and highest in the data."""

    kind: Literal["measure"] = "measure"
    name: str
    unit: str
    low: float
    high: float
    seen: tuple[float, float]
    spread: Shares

    def accepts(self, value: float | str) -> bool:
        """Whether the service answers for this value."""
        return type(value) in NUMBERS and self.low <= value <= self.high  # type: ignore[operator]

    @property
    def allowed(self) -> str:
        """The allowed values in words: ``60 to 260 mm Hg``."""
        return f"{self.low:g} to {self.high:g} {self.unit}"


class Choice(_Part):
    """One of a few codes."""

    kind: Literal["choice"] = "choice"
    name: str
    codes: tuple[int, ...]
    spread: Shares

    def accepts(self, value: float | str) -> bool:
        """Whether this is one of the codes."""
        return type(value) in NUMBERS and value in self.codes

    @property
    def allowed(self) -> str:
        """The allowed values in words: ``one of 3, 6, 7``."""
        return "one of " + ", ".join(map(str, self.codes))


class Text(_Part):
    """A text of at most ``longest`` characters. The model counts the words that are in ``terms`` (serving/text.py)."""

    kind: Literal["text"] = "text"
    name: str
    longest: int
    terms: tuple[str, ...]
    spread: Shares

    def accepts(self, value: float | str) -> bool:
        """Whether this is a text with something in it that is not too long."""
        return type(value) is str and len(value) <= self.longest and not value.isspace() and value != ""

    @property
    def allowed(self) -> str:
        """The allowed values in words: ``a text of 1 to 2000 characters``."""
        return f"a text of 1 to {self.longest} characters"


Feature = Annotated[Measure | Choice | Text, Field(discriminator="kind")]


class Estimate(_Part):
    """A figure with its 95 % interval, by bootstrap over the rows of the data."""

    value: float
    low: float
    high: float


# How good a model is on held-out rows: the figures of its task by name. ``log_loss`` in nats; ``ece``: expected
# calibration error; ``rmse`` and ``mae`` in the target's unit.
Metrics = Mapping[str, Estimate]


class Candidate(_Part):
    """A kind of model that was tried, with its figures. Exactly one candidate of a card was kept."""

    name: str
    kept: bool
    metrics: Metrics


class Partial(_Part):
    """How good the kept model is when only the features ``known`` are given."""

    name: str
    known: tuple[str, ...]
    metrics: Metrics


class Calibration(_Part):
    """How the held-out rows with about the answer ``at`` turned out: 90 % of the truth lies from ``low`` to ``high``.

    ``rows`` is the number of rows nearest to it. The answer is a number of the regression, a probability of the binary
    target, or the probability of the class that was named. Of the last two, ``hits`` rows had the target or that class,
    and the interval is Wilson's for their true share.
    """

    at: float
    rows: int
    hits: int
    low: float
    high: float


class Seen(_Part):
    """One row of the training data: the ``answer`` of models not trained on it, and the ``truth``.

    Regression: two numbers. Binary: the probability, and 0 or 1. Several classes: the probability of the class that was
    named, and whether it was right (1 or 0).
    """

    answer: float
    truth: float


class Data(_Part):
    """The training data. ``counts``: the rows of each class (binary: of 0 and of 1; regression: nothing)."""

    rows: int
    counts: tuple[int, ...]
    sha256: Sha256


class Card(_Part):
    """The whole card. ``kind`` is the candidate that was kept. A regression has a ``unit``, several classes have names.

    ``commit`` and ``trained_at`` (UTC) are the build's; ``sha256`` is the model file's.
    """

    format: Literal[3] = 3
    name: str
    task: Task
    kind: str
    means: str
    unit: str = ""
    classes: tuple[str, ...] = ()
    threshold: Probability = 0.5
    limits: tuple[str, ...]
    commit: str
    trained_at: AwareDatetime
    sha256: Sha256
    data: Data
    features: tuple[Feature, ...]
    metrics: Metrics
    candidates: tuple[Candidate, ...]
    partial: tuple[Partial, ...]
    calibration: tuple[Calibration, ...]
    held_out: tuple[Seen, ...]

    def feature(self, name: str) -> Measure | Choice | Text:
        """The feature of that name. Raises KeyError."""
        return {feature.name: feature for feature in self.features}[name]


class UnusableModel(Exception):  # noqa: N818 - the message is a sentence
    """The model's files cannot be used. The message says why and what to type."""


def read_card(folder: Path) -> Card:
    """The card in ``folder``. Raises UnusableModel if it is missing or belongs to another model file."""
    try:
        card = Card.model_validate_json((folder / CARD).read_bytes())
        found = hashlib.sha256((folder / MODEL).read_bytes()).hexdigest()
    except OSError as error:
        raise UnusableModel(
            f"no model at {error.filename} ({error.strerror}). Make it with: python train.py"
        ) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UnusableModel(f"{folder / CARD}: {where}: {first['msg']}. Make it anew with: python train.py") from error
    if found != card.sha256:
        raise UnusableModel(
            f"{folder / MODEL} has the hash {found[:12]}, but {CARD} names {card.sha256[:12]}: they were not made "
            "together. Make both anew with: python train.py"
        )
    return card
