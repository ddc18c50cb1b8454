"""The model card: what is known about a model besides its weights. Training writes it, the service reads it.

``models/model-card.json`` lies beside ``models/model.onnx``. pydantic checks it on both sides, so a service never
starts with a card that it cannot read.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

CARD = "model-card.json"
MODEL = "model.onnx"

Probability = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Shares(_Part):
    """The distribution of a feature in the training data, for drift: ``shares[i]`` of its known values lie in bin i.

    A measure's bins are the intervals between ``edges``; the first and the last are open, so there is one bin more than
    there are edges. A choice's bins are its codes; it has no edges.
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

    def accepts(self, value: float) -> bool:
        """Whether the service answers for this value."""
        return self.low <= value <= self.high

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

    def accepts(self, value: float) -> bool:
        """Whether this is one of the codes."""
        return value in self.codes

    @property
    def allowed(self) -> str:
        """The allowed values in words: ``one of 3, 6, 7``."""
        return "one of " + ", ".join(map(str, self.codes))


Feature = Annotated[Measure | Choice, Field(discriminator="kind")]


class Estimate(_Part):
    """A figure with its 95 % interval, by bootstrap over the patients."""

    value: float
    low: float
    high: float


class Metrics(_Part):
    """How good a model is on held-out patients. ``log_loss`` in nats; ``ece``: expected calibration error."""

    roc_auc: Estimate
    log_loss: Estimate
    brier: Estimate
    ece: Estimate


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
    """How many of the held-out patients with about this predicted ``probability`` were ill.

    ``patients`` is the number of patients nearest to it; ``ill`` of them had the disease. The true share lies between
    ``low`` and ``high`` (90 %, Wilson's interval).
    """

    probability: Probability
    patients: int
    ill: int
    low: Probability
    high: Probability


class Seen(_Part):
    """One patient of the training data: the probability from models not trained on them, and whether they were ill."""

    probability: Probability
    ill: bool


class Data(_Part):
    """The training data."""

    rows: int
    ill: int
    sha256: Sha256


class Card(_Part):
    """The whole card. ``commit`` and ``trained_at`` (UTC) are the build's; ``sha256`` is the model file's."""

    format: Literal[2] = 2
    name: str
    kind: str
    means: str
    threshold: Probability
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
    patients: tuple[Seen, ...]

    def feature(self, name: str) -> Measure | Choice:
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
