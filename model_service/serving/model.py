"""The model: records of features in, probabilities out. It reads what training made, and knows no HTTP and no page.

The ONNX file answers rows with holes in them: what is unknown it averages over the patients of the training data that
could be this one (training/export.py). So nothing here fills a gap.
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

# Rows with holes given to the runtime at a time: inside, each is compared with every patient, so that the memory
# needed for a batch does not grow with it.
ROWS_AT_A_TIME = 64
OUTPUTS = ["probability", "low", "high"]

Record = Mapping[str, float | None]


@dataclass(frozen=True)
class Prediction:
    """What the model makes of one record.

    ``probability`` of the disease, 0 to 1. ``low`` and ``high``: between these the true share of ill people lies among
    those who get about this probability (90 %; from patients the model had not seen). ``unknown``: the features that
    were not given; were they known, the probability would lie between ``if_known_low`` and ``if_known_high`` four
    times in five.
    """

    probability: float
    low: float
    high: float
    if_known_low: float
    if_known_high: float
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Effect:
    """What one known value did: with it ``with_it``, had it been unknown ``without``. Both are probabilities."""

    name: str
    value: float
    with_it: float
    without: float

    @property
    def change(self) -> float:
        """How far the value moved the answer, in probability; negative: towards health."""
        return self.with_it - self.without


class Model:
    """A trained model and its card. Safe to call from several threads."""

    def __init__(self, card: Card, session: ort.InferenceSession) -> None:
        self.card = card
        self.names = tuple(feature.name for feature in card.features)
        self._session = session

    def predict(self, records: Sequence[Record]) -> list[Prediction]:
        """One prediction for each record, in their order. An unknown feature is None or not there.

        The values must be ones the features accept (records.py checks that); others give a meaningless answer.
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
        """What each known value of a record did to its answer, the strongest first."""
        known = [name for name in self.names if record.get(name) is not None]
        rows = self._rows([record, *({**record, name: None} for name in known)])
        with_it, *without = self._run(rows)[0]
        effects = [
            Effect(name, float(record[name] or 0), float(with_it), float(p))
            for name, p in zip(known, without, strict=True)
        ]
        return sorted(effects, key=lambda effect: -abs(effect.change))

    def calibration(self, probability: float) -> Calibration:
        """What became of the patients who were given about this probability."""
        return min(self.card.calibration, key=lambda at: abs(at.probability - probability))

    def rank(self, probability: float) -> float:
        """The share of the training data's patients who were given a lower probability, 0 to 1."""
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
        """The outputs for rows: [outputs, n]. Rows with holes go apart from those without, which cost far less."""
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
        raise UnusableModel(f"{folder / MODEL} gives no {', '.join(sorted(missing))}. See training/export.py")
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
