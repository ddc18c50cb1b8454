"""The answer of a model when some features are unknown.

Filling an unknown value with the usual value describes a person who does not exist, and the answer is too confident.
With only age, sex and blood pressure known, this gave a log loss of 0.81 on this data; the same answer for everyone
gives 0.69. Instead the unknown features are taken from each patient of the training data in turn, the model answers
every such completion, and the answers are averaged. A patient who is closer in the known features has more weight:

    weight(d)   ~ exp(-closeness * sum over known features of distance(x, d))
    probability = sum of weight(d) * model(x, completed by d)

The distance of two measures is (x - d)^2 / variance. The distance of two different choices is MISMATCH, the average of
the former between two people. ``closeness`` is chosen by cross-validation (train.py). If everything is known, all
completions are the same, and the answer is the model's own.

This file defines it in numpy, for the evaluation. export.py writes the same into the ONNX file, and a test compares
both.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from training.settings import Settings

MISMATCH = 2.0
CLOSENESS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5)  # the values that are tried
# The quantiles of the answers for "if the rest were known": four of five lie between them.
LOW, HIGH = 0.1, 0.9


class Marginal:
    """A fitted model that averages over unknown features.

    ``donors`` [patients, features] are complete rows. ``fitted`` has ``predict_proba`` for such rows.
    """

    def __init__(self, fitted: Any, donors: np.ndarray, settings: Settings, closeness: float) -> None:
        self.fitted = fitted
        self.donors = donors
        self.closeness = closeness
        self.is_choice = np.array([column.codes is not None for column in settings.features.values()])
        self.variance = donors.var(axis=0)
        self.variance[self.variance == 0] = 1.0

    def predict(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For rows [n, features], NaN if unknown: the probability, and its low and high if the rest were known."""
        answers, apart = self.completed_answers(rows), self.distances(rows)
        return self.averaged(answers, apart, self.closeness)

    def completed_answers(self, rows: np.ndarray) -> np.ndarray:
        """The model's answer for each row completed by each patient: [n, patients]."""
        completed = np.where(np.isnan(rows)[:, None], self.donors[None], rows[:, None])
        flat = completed.reshape(-1, self.donors.shape[1])
        return np.asarray(self.fitted.predict_proba(flat)[:, 1].reshape(len(rows), len(self.donors)))

    def distances(self, rows: np.ndarray) -> np.ndarray:
        """The distance of each patient from each row in the row's known features: [n, patients]."""
        person, donors = rows[:, None], self.donors[None]
        apart = np.where(self.is_choice, MISMATCH * (donors != person), (donors - person) ** 2 / self.variance)
        return np.asarray(np.where(np.isnan(person), 0.0, apart).sum(axis=2))

    @staticmethod
    def averaged(answers: np.ndarray, apart: np.ndarray, closeness: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The weighted mean of ``answers`` [n, patients] and its low and high, each [n]."""
        weights = np.exp(-closeness * (apart - apart.min(axis=1, keepdims=True)))
        weights /= weights.sum(axis=1, keepdims=True)
        order = np.argsort(answers, axis=1, kind="stable")
        rising = np.take_along_axis(answers, order, axis=1)
        reached = np.take_along_axis(weights, order, axis=1).cumsum(axis=1)
        low, high = (
            np.take_along_axis(rising, np.argmax(reached >= share * (1 - 1e-6), axis=1)[:, None], axis=1)[:, 0]
            for share in (LOW, HIGH)
        )
        return (weights * answers).sum(axis=1), low, high
