"""How the held-out rows with about the same answer turned out: the interval that the service gives with an answer."""

from __future__ import annotations

import math

import numpy as np

from serving.card import Calibration, Seen, Task

NEAREST = 60  # rows with about the same answer
GRID = 101  # answers with such an interval
Z90 = 1.6448536269514722  # the normal distribution's 95th percentile, for a two-sided 90 %
DIGITS = 4
SIGNIFICANT = 6  # digits of a regression's numbers


def seen(task: Task, answers: np.ndarray, targets: np.ndarray) -> tuple[Seen, ...]:
    """Every row of the data in the order of its answer. ``answers`` [repeats, rows, answers] are held out."""
    given, truth = _given(task, answers, targets)
    pairs = sorted(zip(given.tolist(), truth.tolist(), strict=True))
    return tuple(Seen(answer=_rounded(task, answer), truth=_rounded(task, true)) for answer, true in pairs)


def calibration(task: Task, answers: np.ndarray, targets: np.ndarray) -> tuple[Calibration, ...]:
    """The interval for answers in even steps: probabilities from 0 to 1, or the numbers that the model answered."""
    given, truth = _given(task, answers, targets)
    if task == "regression":
        steps = np.linspace(given.min(), given.max(), GRID)
        return tuple(_residuals_at(float(at), given, truth) for at in steps)
    return tuple(_share_at(float(at), given, truth) for at in np.linspace(0, 1, GRID))


def _given(task: Task, answers: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = answers.mean(axis=0)
    if task == "multiclass":
        return mean.max(axis=1), (mean.argmax(axis=1) == targets).astype(float)
    return mean[:, 0], targets.astype(float)


def _share_at(at: float, given: np.ndarray, truth: np.ndarray) -> Calibration:
    nearest = np.argsort(np.abs(given - at), kind="stable")[:NEAREST]
    hits = int(truth[nearest].sum())
    low, high = _wilson(hits, len(nearest))
    return Calibration(
        at=round(at, DIGITS), rows=len(nearest), hits=hits, low=round(low, DIGITS), high=round(high, DIGITS)
    )


def _residuals_at(at: float, given: np.ndarray, truth: np.ndarray) -> Calibration:
    nearest = np.argsort(np.abs(given - at), kind="stable")[:NEAREST]
    low, high = np.percentile((truth - given)[nearest], [5, 95])
    at, low, high = (_rounded("regression", value) for value in (at, at + low, at + high))
    return Calibration(at=at, rows=len(nearest), hits=0, low=low, high=high)


def _rounded(task: Task, value: float) -> float:
    return float(f"{value:.{SIGNIFICANT}g}") if task == "regression" else round(value, DIGITS)


def _wilson(hits: int, tries: int) -> tuple[float, float]:
    """The 90 % interval of a share (E. B. Wilson, JASA 22 (1927), 209)."""
    share, z2 = hits / tries, Z90 * Z90
    middle = (share + z2 / (2 * tries)) / (1 + z2 / tries)
    half = Z90 / (1 + z2 / tries) * math.sqrt(share * (1 - share) / tries + z2 / (4 * tries * tries))
    return max(0.0, middle - half), min(1.0, middle + half)
