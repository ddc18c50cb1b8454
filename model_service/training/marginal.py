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

The same holds for the probability of each of several classes, and for the number of a regression. The words of a text
have no distance. Of very many rows, MOST_DONORS are drawn.

This file defines it in numpy, for the evaluation. export.py writes the same into the ONNX file, and a test compares
both.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from training.candidates import SEED
from training.settings import Settings

MISMATCH = 2.0
CLOSENESS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5)  # the values that are tried
# The quantiles of the answers for "if the rest were known": four of five lie between them.
LOW, HIGH = 0.1, 0.9
MOST_DONORS = 500


def answered(fitted: Any, rows: np.ndarray, settings: Settings) -> np.ndarray:
    """The answers of a fitted model [rows, answers]: of the target, of each class, or the number."""
    if settings.model.task == "regression":
        return np.asarray(fitted.predict(rows)).reshape(-1, 1)
    shares = np.asarray(fitted.predict_proba(rows))
    return shares[:, 1:] if settings.model.task == "binary" else shares


def donors(inputs: np.ndarray) -> np.ndarray:
    """The complete rows that unknown values are taken from: all, or of very many a sample."""
    if len(inputs) <= MOST_DONORS:
        return inputs
    return np.asarray(inputs[np.sort(np.random.default_rng(SEED).choice(len(inputs), MOST_DONORS, replace=False))])


class Marginal:
    """A fitted model that averages over unknown features.

    ``donors`` [patients, columns] are complete rows. ``fitted`` answers such rows.
    """

    def __init__(self, fitted: Any, donors: np.ndarray, settings: Settings, closeness: float) -> None:
        self.fitted = fitted
        self.donors = donors
        self.settings = settings
        self.closeness = closeness
        plain, columns = len(settings.plain), donors.shape[1]
        self.is_choice = np.isin(np.arange(columns), settings.choices)
        self.variance = donors.var(axis=0)
        self.variance[self.variance == 0] = 1.0
        self.variance[plain:] = np.inf

    def predict(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For rows [n, columns], NaN if unknown: the answers, and their low and high if the rest were known."""
        answers, apart = self.completed_answers(rows), self.distances(rows)
        return self.averaged(answers, apart, self.closeness)

    def completed_answers(self, rows: np.ndarray) -> np.ndarray:
        """The model's answers for each row completed by each patient: [n, patients, answers]."""
        completed = np.where(np.isnan(rows)[:, None], self.donors[None], rows[:, None])
        flat = completed.reshape(-1, self.donors.shape[1])
        return answered(self.fitted, flat, self.settings).reshape(len(rows), len(self.donors), -1)

    def distances(self, rows: np.ndarray) -> np.ndarray:
        """The distance of each patient from each row in the row's known features: [n, patients]."""
        person, donors = rows[:, None], self.donors[None]
        apart = np.where(self.is_choice, MISMATCH * (donors != person), (donors - person) ** 2 / self.variance)
        return np.asarray(np.where(np.isnan(person), 0.0, apart).sum(axis=2))

    @staticmethod
    def averaged(answers: np.ndarray, apart: np.ndarray, closeness: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The weighted mean of ``answers`` [n, patients, answers] and its low and high, each [n, answers]."""
        weights = np.exp(-closeness * (apart - apart.min(axis=1, keepdims=True)))
        weights = (weights / weights.sum(axis=1, keepdims=True))[:, :, None]
        order = np.argsort(answers, axis=1, kind="stable")
        rising = np.take_along_axis(answers, order, axis=1)
        reached = np.take_along_axis(np.broadcast_to(weights, answers.shape), order, axis=1).cumsum(axis=1)
        low, high = (
            np.take_along_axis(rising, np.argmax(reached >= share * (1 - 1e-6), axis=1)[:, None], axis=1)[:, 0]
            for share in (LOW, HIGH)
        )
        return (weights * answers).sum(axis=1), low, high
