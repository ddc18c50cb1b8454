"""The training data: a CSV file with the features' columns and the target, checked cell by cell."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serving.text import Vectors, vocabulary
from training.settings import Column, Settings

LEAST = 10  # rows of each class, the same number as evaluation.FOLDS
LEAST_ROWS = 50  # of a regression


class UnusableData(Exception):  # noqa: N818 - the message is a sentence
    """The training data cannot be used. The message names line, column and value."""


@dataclass(frozen=True)
class Table:
    """The data. ``inputs``: [rows, columns] of float; a missing value is NaN. ``targets``: [rows].

    ``columns`` names the feature of each column: one column for a plain feature, then one for each term of a text.
    ``targets`` are 0 and 1, the positions of classes, or numbers. ``texts`` has the texts themselves, and ``terms`` the
    known words, by feature.
    """

    inputs: np.ndarray
    targets: np.ndarray
    columns: tuple[str, ...]
    texts: Mapping[str, tuple[str | None, ...]]
    terms: Mapping[str, tuple[str, ...]]
    sha256: str


def read(path: Path, settings: Settings) -> Table:
    """The data in a file with a column for each feature, in their order, and the target. Raises UnusableData."""
    columns = [*settings.names, settings.model.target]
    content, lines = _lines(path)
    if len(lines) < 2 or lines[0][1] != columns:
        raise UnusableData(f"{path}: the first line must be {','.join(columns)}, and rows must follow")
    numbered = [(line, _row(path, line, cells, columns)) for line, cells in lines[1:]]
    plain = [[_cell(path, line, row, name, c) for name, c in settings.plain.items()] for line, row in numbered]
    texts = {name: tuple(_text(path, line, row, name, settings) for line, row in numbered) for name in settings.texts}
    terms = {name: vocabulary(text for text in found if text is not None) for name, found in texts.items()}
    parts = [np.array(plain).reshape(len(numbered), -1)]
    parts += [np.array([Vectors(terms[name]).row(text) for text in found]) for name, found in texts.items()]
    targets = np.array([_target(path, line, row, settings) for line, row in numbered])
    named = (*settings.plain, *(name for name in texts for _ in terms[name]))
    table = Table(np.hstack(parts), targets, named, texts, terms, hashlib.sha256(content).hexdigest())
    _require_enough(path, table, settings)
    return table


def _lines(path: Path) -> tuple[bytes, list[tuple[int, list[str]]]]:
    try:
        content = path.read_bytes()
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        return content, [(reader.line_num, cells) for cells in reader if cells]
    except OSError as error:
        raise UnusableData(f"{path}: {error.strerror}. Name the file with --data FILE") from error
    except UnicodeDecodeError as error:
        raise UnusableData(f"{path} is not UTF-8 text ({error.reason}). Save it as CSV in UTF-8") from error


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
    about = settings.model
    rows = len(table.targets)
    if about.task == "regression" and rows < LEAST_ROWS:
        raise UnusableData(f"{path} has {rows} rows, but a regression needs at least {LEAST_ROWS}. Collect more")
    for target, name in enumerate(() if about.task == "regression" else about.classes or ("0", "1")):
        found = int((table.targets == target).sum())
        if found < LEAST:
            raise UnusableData(
                f"{path}: {about.target} is {name} in {found} rows, but cross-validation needs at least "
                f"{LEAST}, one for each fold. Collect more"
            )
    for at, name in enumerate(settings.plain):
        if np.isnan(table.inputs[:, at]).all():
            raise UnusableData(f"{path}: {name} is empty in every row. Remove the column here and in model.toml")
    for name, terms in table.terms.items():
        if not terms:
            raise UnusableData(f"{path}: no word of {name} is in two rows or more. Collect more, or longer texts")


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


def _text(path: Path, line: int, row: dict[str, str], name: str, settings: Settings) -> str | None:
    longest = settings.features[name].longest or 0
    if len(row[name]) > longest:
        raise UnusableData(
            f"{path} line {line}: {name} has {len(row[name])} characters, allowed is a text of at most {longest}. "
            "Shorten it, or raise longest in model.toml"
        )
    return row[name] if row[name].strip() else None


def _target(path: Path, line: int, row: dict[str, str], settings: Settings) -> float:
    about, text = settings.model, row[settings.model.target]
    classes = about.classes or ("0", "1")
    if about.task != "regression" and text in classes:
        return classes.index(text)
    try:
        value = float(text) if about.task == "regression" else math.inf
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        allowed = "a number" if about.task == "regression" else f"{', '.join(classes[:-1])} or {classes[-1]}"
        raise UnusableData(f"{path} line {line}: {about.target} is {text!r}, allowed is {allowed}. Correct the row")
    return value
