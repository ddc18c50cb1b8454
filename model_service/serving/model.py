"""The model: records of features in, answers out, without HTTP and the page.

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

from serving.card import MODEL, Calibration, Card, Text, UnusableModel, read_card
from serving.text import Vectors

# Rows with unknown values are compared with every row of the training data. This limits the memory for one call of the
# runtime: the rows asked for, times the rows in the file, times the columns.
ROWS_AT_A_TIME = 64
MOST_CELLS = 256_000
OUTPUTS = ["mean", "low", "high"]

Record = Mapping[str, float | str | None]


@dataclass(frozen=True)
class Prediction:
    """The model's answer to one record.

    ``value``: the probability of the target or of the most probable class, or the number of a regression. 90 % of the
    held-out rows with about this answer turned out between ``low`` and ``high`` (serving/card.py, Calibration).
    ``unknown``: the features that were not given. If they were known, the value would lie between ``if_known_low`` and
    ``if_known_high`` four times in five. ``shares``: the probability of each of several classes, in the card's order.
    """

    value: float
    low: float
    high: float
    if_known_low: float
    if_known_high: float
    unknown: tuple[str, ...]
    shares: tuple[float, ...] = ()

    @property
    def best(self) -> int:
        """The position of the most probable of several classes."""
        return self.shares.index(max(self.shares))


@dataclass(frozen=True)
class Effect:
    """The effect of one known value: the answer with it, and the answer if it were unknown."""

    name: str
    value: float | str
    with_it: float
    without: float

    @property
    def change(self) -> float:
        """The difference that the value makes to the answer."""
        return self.with_it - self.without


class Model:
    """A trained model and its card. Several threads may call it."""

    def __init__(self, card: Card, session: ort.InferenceSession) -> None:
        self.card = card
        self.names = tuple(feature.name for feature in card.features)
        self._plain = tuple(feature.name for feature in card.features if not isinstance(feature, Text))
        self._texts = {f.name: Vectors(f.terms) for f in card.features if isinstance(f, Text)}
        self._session = session
        columns = len(self._plain) + sum(len(f.terms) for f in card.features if isinstance(f, Text))
        self._columns = columns
        self._at_a_time = max(1, min(ROWS_AT_A_TIME, MOST_CELLS // (card.data.rows * columns)))

    def predict(self, records: Sequence[Record]) -> list[Prediction]:
        """One prediction for each record, in their order. An unknown feature is None or absent.

        The features must accept the values (records.py checks that); other values give a meaningless answer.
        """
        outputs = self._run(self._rows(records))
        if self.card.task == "multiclass":
            best = outputs[0].argmax(axis=1)
            shares: Sequence[tuple[float, ...]] = [tuple(row) for row in outputs[0].tolist()]
            value, if_low, if_high = outputs[:, np.arange(len(best)), best]
        else:
            value, if_low, if_high = outputs[:, :, 0]
            shares = [()] * len(value)
        low, high = self._between(value)
        found = zip(*(one.tolist() for one in (value, low, high, if_low, if_high)), records, shares, strict=True)
        return [
            Prediction(v, min(v, lo), max(v, hi), il, ih, self._unknown(record), of)
            for v, lo, hi, il, ih, record, of in found
        ]

    def effects(self, record: Record) -> list[Effect]:
        """The effect of each known value of a record, the strongest first; of several classes, on the probable one."""
        known = [name for name in self.names if record.get(name) is not None]
        mean = self._run(self._rows([record, *({**record, name: None} for name in known)]))[0]
        with_it, *without = mean[:, int(mean[0].argmax())]
        effects = [
            Effect(name, record[name] or 0, float(with_it), float(p)) for name, p in zip(known, without, strict=True)
        ]
        return sorted(effects, key=lambda effect: -abs(effect.change))

    def calibration(self, value: float) -> Calibration:
        """How the held-out rows with about this answer turned out."""
        return min(self.card.calibration, key=lambda at: abs(at.at - value))

    def rank(self, value: float) -> float:
        """The share of the training data's rows with a lower answer, 0 to 1."""
        return float(np.searchsorted(self._seen, value)) / len(self._seen)

    def _between(self, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.card.task == "regression":  # beyond the answers of the data the width stays the same
            at = np.clip(value, self._given[0], self._given[-1])
            shift = value - at
            return np.interp(at, self._given, self._lows) + shift, np.interp(at, self._given, self._highs) + shift
        return np.interp(value, self._given, self._lows), np.interp(value, self._given, self._highs)

    @cached_property
    def _seen(self) -> np.ndarray:
        return np.array([row.answer for row in self.card.held_out])

    @cached_property
    def _given(self) -> np.ndarray:
        return np.array([at.at for at in self.card.calibration])

    @cached_property
    def _lows(self) -> np.ndarray:
        return np.array([at.low for at in self.card.calibration])

    @cached_property
    def _highs(self) -> np.ndarray:
        return np.array([at.high for at in self.card.calibration])

    def _rows(self, records: Sequence[Record]) -> np.ndarray:
        rows = [[_number(record.get(name)) for name in self._plain] for record in records]
        if self._texts:
            for row, record in zip(rows, records, strict=True):
                for name, vectors in self._texts.items():
                    row += vectors.row(record.get(name))  # type: ignore[arg-type] # a text, as records.py checked
        return np.array(rows, dtype=np.float32).reshape(len(rows), self._columns)

    def _run(self, rows: np.ndarray) -> np.ndarray:
        """The outputs for rows: [outputs, n, answers]. Complete rows cost far less, so they are computed separately."""
        holed = np.isnan(rows).any(axis=1)
        if not holed.any():
            return np.array(self._session.run(OUTPUTS, {"features": rows}))
        answers = len(self.card.classes) or 1
        outputs = np.empty((len(OUTPUTS), len(rows), answers), np.float32)
        if not holed.all():
            outputs[:, ~holed] = self._session.run(OUTPUTS, {"features": rows[~holed]})
        with_holes = np.flatnonzero(holed)
        for at in range(0, len(with_holes), self._at_a_time):
            some = with_holes[at : at + self._at_a_time]
            outputs[:, some] = self._session.run(OUTPUTS, {"features": rows[some]})
        return outputs

    def _unknown(self, record: Record) -> tuple[str, ...]:
        return tuple([name for name in self.names if record.get(name) is None])


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


def _number(value: float | str | None) -> float:
    return math.nan if value is None else float(value)
