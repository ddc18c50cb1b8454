"""The model: records of features in, probabilities out, without HTTP and the page.

The ONNX file takes rows with unknown values and averages over them (training/export.py), so no value is filled in
here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime as ort

from serving.card import MODEL, Calibration, Card, UnusableModel, read_card

# The number of rows with unknown values for one call of the runtime. It compares each row with every patient, so this
# limits the memory that a batch needs.
ROWS_AT_A_TIME = 64
OUTPUTS = ["probability", "low", "high"]

Record = Mapping[str, float | None]


@dataclass(frozen=True)
class Prediction:
    """The model's answer to one record.

    ``probability``: of the disease, 0 to 1. ``low`` and ``high``: the true share of ill people among those with about
    this probability lies between them (90 %, from held-out patients). ``unknown``: the features that were not given. If
    they were known, the probability would lie between ``if_known_low`` and ``if_known_high`` four times in five.
    """

    probability: float
    low: float
    high: float
    if_known_low: float
    if_known_high: float
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Effect:
    """The effect of one known value: the probability with it, and the probability if it were unknown."""

    name: str
    value: float
    with_it: float
    without: float

    @property
    def change(self) -> float:
        """The difference that the value makes to the probability; negative means healthier."""
        return self.with_it - self.without


class Model:
    """A trained model and its card. Several threads may call it."""

    def __init__(self, card: Card, session: ort.InferenceSession) -> None:
        self.card = card
        self.names = tuple(feature.name for feature in card.features)
        self._session = session

    def predict(self, records: Sequence[Record]) -> list[Prediction]:
        """One prediction for each record, in their order. An unknown feature is None or absent.

        The features must accept the values (records.py checks that); other values give a meaningless answer.
        """
        rows = self._rows(records)
        probability, if_low, if_high = self._run(rows)
        low = np.interp(probability, self._given, self._lows)
        high = np.interp(probability, self._given, self._highs)
        return [
            Prediction(float(p), float(min(p, lo)), float(max(p, hi)), float(il), float(ih), self._unknown(row))
            for p, lo, hi, il, ih, row in zip(probability, low, high, if_low, if_high, rows, strict=True)
        ]

    def effects(self, record: Record) -> list[Effect]:
        """The effect of each known value of a record, the strongest first."""
        known = [name for name in self.names if record.get(name) is not None]
        rows = self._rows([record, *({**record, name: None} for name in known)])
        with_it, *without = self._run(rows)[0]
        effects = [
            Effect(name, float(record[name] or 0), float(with_it), float(p))
            for name, p in zip(known, without, strict=True)
        ]
        return sorted(effects, key=lambda effect: -abs(effect.change))

    def calibration(self, probability: float) -> Calibration:
        """How many of the patients with about this predicted probability were ill."""
        return min(self.card.calibration, key=lambda at: abs(at.probability - probability))

    def rank(self, probability: float) -> float:
        """The share of the training data's patients with a lower predicted probability, 0 to 1."""
        return float(np.searchsorted(self._seen, probability)) / len(self._seen)

    @cached_property
    def _seen(self) -> np.ndarray:
        return np.sort([patient.probability for patient in self.card.patients])

    @cached_property
    def _given(self) -> np.ndarray:
        return np.array([at.probability for at in self.card.calibration])

    @cached_property
    def _lows(self) -> np.ndarray:
        return np.array([at.low for at in self.card.calibration])

    @cached_property
    def _highs(self) -> np.ndarray:
        return np.array([at.high for at in self.card.calibration])

    def _rows(self, records: Sequence[Record]) -> np.ndarray:
        rows = [[_number(record.get(name)) for name in self.names] for record in records]
        return np.array(rows, dtype=np.float32).reshape(len(rows), len(self.names))

    def _run(self, rows: np.ndarray) -> np.ndarray:
        """The outputs for rows: [outputs, n]. Complete rows cost far less, so they are computed separately."""
        holed = np.isnan(rows).any(axis=1)
        if not holed.any():
            return np.array(self._session.run(OUTPUTS, {"features": rows}))
        outputs = np.empty((len(OUTPUTS), len(rows)), np.float32)
        if not holed.all():
            outputs[:, ~holed] = self._session.run(OUTPUTS, {"features": rows[~holed]})
        with_holes = np.flatnonzero(holed)
        for at in range(0, len(with_holes), ROWS_AT_A_TIME):
            some = with_holes[at : at + ROWS_AT_A_TIME]
            outputs[:, some] = self._session.run(OUTPUTS, {"features": rows[some]})
        return outputs

    def _unknown(self, row: np.ndarray) -> tuple[str, ...]:
        return tuple(name for name, value in zip(self.names, row.tolist(), strict=True) if math.isnan(value))


def load(folder: Path) -> Model:
    """The model in ``folder``. Raises UnusableModel when its files are missing, unreadable or not a pair."""
    card = read_card(folder)
    try:
        opened = session(str(folder / MODEL))
    except Exception as error:  # onnxruntime's error classes are not public, and each means the same here
        raise UnusableModel(
            f"{folder / MODEL} cannot be loaded ({error}). Make it anew with: python train.py"
        ) from error
    missing = set(OUTPUTS) - {output.name for output in opened.get_outputs()}
    if missing:
        raise UnusableModel(
            f"{folder / MODEL} has no output {', '.join(sorted(missing))}. Next: see training/export.py"
        )
    return Model(card, opened)


def session(model: str | bytes) -> ort.InferenceSession:
    """The runtime for a model, given as its path or as its content."""
    options = ort.SessionOptions()
    # One request is too little work to share, and threads of several requests would compete for the cores.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
