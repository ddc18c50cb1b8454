"""The training data: a CSV file with the features' columns and the target, checked cell by cell."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.settings import Column, Settings

LEAST = 10  # rows of each target, the same number as evaluation.FOLDS


class UnusableData(Exception):  # noqa: N818 - the message is a sentence
    """The training data cannot be used. The message names line, column and value."""


@dataclass(frozen=True)
class Table:
    """The data. ``inputs``: [rows, features] of float; a missing value is NaN. ``targets``: [rows] of 0 and 1."""

    inputs: np.ndarray
    targets: np.ndarray
    sha256: str


def read(path: Path, settings: Settings) -> Table:
    """The data in a file with a column for each feature, in their order, and the target. Raises UnusableData."""
    columns = [*settings.names, settings.model.target]
    try:
        content = path.read_bytes()
        reader = csv.reader(content.decode("utf-8-sig").splitlines())
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except OSError as error:
        raise UnusableData(f"{path}: {error.strerror}. Name the file with --data FILE") from error
    except UnicodeDecodeError as error:
        raise UnusableData(f"{path} is not UTF-8 text ({error.reason}). Save it as CSV in UTF-8") from error
    if len(lines) < 2 or lines[0][1] != columns:
        raise UnusableData(f"{path}: the first line must be {','.join(columns)}, and rows must follow")
    numbered = [(line, _row(path, line, cells, columns)) for line, cells in lines[1:]]
    inputs = [[_cell(path, line, row, name, c) for name, c in settings.features.items()] for line, row in numbered]
    targets = [_target(path, line, row, settings.model.target) for line, row in numbered]
    table = Table(np.array(inputs), np.array(targets), hashlib.sha256(content).hexdigest())
    _require_enough(path, table, settings)
    return table


def completed(inputs: np.ndarray, settings: Settings) -> np.ndarray:
    """A copy with missing values filled in: by the median of a measure, by the most frequent code of a choice.

    This is for the few missing values of the training data. The unknown values of a person are averaged over instead
    (training/export.py).
    """
    filled = inputs.copy()
    for at in range(filled.shape[1]):
        known = filled[~np.isnan(filled[:, at]), at]
        filled[np.isnan(filled[:, at]), at] = _commonest(known) if at in settings.choices else np.median(known)
    return filled


def _commonest(values: np.ndarray) -> float:
    found, counts = np.unique(values, return_counts=True)
    return float(found[np.argmax(counts)])


def _row(path: Path, line: int, cells: list[str], columns: list[str]) -> dict[str, str]:
    if len(cells) != len(columns):
        raise UnusableData(
            f"{path} line {line}: {len(cells)} cells where there are {len(columns)} columns. Correct the row"
        )
    return dict(zip(columns, cells, strict=True))


def _require_enough(path: Path, table: Table, settings: Settings) -> None:
    for target in (0, 1):
        found = int((table.targets == target).sum())
        if found < LEAST:
            raise UnusableData(
                f"{path}: {settings.model.target} is {target} in {found} rows, but cross-validation needs at least "
                f"{LEAST}, one for each fold. Collect more"
            )
    for name, column in zip(settings.names, table.inputs.T, strict=True):
        if np.isnan(column).all():
            raise UnusableData(f"{path}: {name} is empty in every row. Remove the column here and in model.toml")


def _cell(path: Path, line: int, row: dict[str, str], name: str, column: Column) -> float:
    text = row[name]
    if text == "":
        return float("nan")
    try:
        value = float(text)
    except ValueError:
        value = float("inf")
    if column.codes is not None:
        fits, allowed = value in column.codes, f"one of {column.codes}"
    else:
        assert column.low is not None and column.high is not None  # noqa: S101, PT018 - Column checks it
        fits, allowed = column.low <= value <= column.high, f"{column.low:g} to {column.high:g} {column.unit}"
    if not fits:
        raise UnusableData(
            f"{path} line {line}: {name} is {text!r}, allowed is {allowed}. "
            "Correct the row, empty the cell, or widen what model.toml allows"
        )
    return value


def _target(path: Path, line: int, row: dict[str, str], name: str) -> int:
    if row[name] not in ("0", "1"):
        raise UnusableData(f"{path} line {line}: {name} is {row[name]!r}, allowed is 0 or 1. Correct the row")
    return int(row[name])
