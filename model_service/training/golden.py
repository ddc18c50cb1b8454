"""The golden questions: inputs with known answers, which the host asks a release before it takes traffic.

They find a service that does not answer like the model it was built with, because of another library, another machine
or a broken build. The expected answers are therefore the model's own, and the tolerance covers the rounding of float
arithmetic; for a regression it is a thousandth of the range of its answers. The format is the host's: each
``body`` is posted to ``path``, and each leaf of ``expected`` must be in the answer, numbers within ``tolerance``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from serving.model import Model, Record
from training.data import Table
from training.settings import Settings

PATIENTS = 24  # of the training data, evenly spaced
TOLERANCE = 0.001


def golden(model: Model, table: Table, settings: Settings) -> str:
    """The file's text: whole rows, rows with only some known features, and one row's features singly."""
    questions = [_question(model, record) for record in _records(table, settings)]
    content = {"format": 1, "path": "/invocations", "content_type": "application/json", "questions": questions}
    return json.dumps(content, indent=1)


def _records(table: Table, settings: Settings) -> Iterator[Record]:
    rows = [_record(int(at), table, settings) for at in np.linspace(0, len(table.inputs) - 1, PATIENTS)]
    rows = [row for row in rows if row]
    yield from rows
    for known in settings.known.values():
        for row in rows[::4]:
            if some := {name: value for name, value in row.items() if name in known}:
                yield some
    for name, value in rows[0].items():
        yield {name: value}


def _record(at: int, table: Table, settings: Settings) -> Record:
    row: dict[str, Any] = {name: float(table.inputs[at, place]) for place, name in enumerate(settings.plain)}
    row |= {name: table.texts[name][at] for name in settings.texts}
    return {name: row[name] for name in settings.names if row[name] is not None and row[name] == row[name]}


def _question(model: Model, record: Record) -> dict[str, Any]:
    card, prediction = model.card, model.predict([record])[0]
    tolerance = TOLERANCE
    answer: dict[str, Any] = {"probability": round(prediction.value, 6)}
    if card.task == "multiclass":
        shares = zip(card.classes, prediction.shares, strict=True)
        answer = {"probabilities": {name: round(share, 6) for name, share in shares}}
    elif card.task == "regression":
        answer = {"value": prediction.value}
        tolerance *= card.calibration[-1].at - card.calibration[0].at
    answer["unknown"] = list(prediction.unknown)
    return {"body": record, "expected": {"predictions": [answer]}, "tolerance": tolerance}
