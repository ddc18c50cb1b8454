"""The golden questions: inputs with known answers, which the host asks a release before it takes traffic.

They find a service that does not answer like the model it was built with, because of another library, another machine
or a broken build. The expected answers are therefore the model's own, and the tolerance covers the rounding of float
arithmetic. The format is the host's: each ``body`` is posted to ``path``, and each leaf of ``expected`` must be in the
answer, numbers within ``tolerance``.
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
    """The file's text: whole patients, patients with only some known features, and one patient's features singly."""
    questions = [_question(model, record) for record in _records(table, settings)]
    content = {"format": 1, "path": "/invocations", "content_type": "application/json", "questions": questions}
    return json.dumps(content, indent=1)


def _records(table: Table, settings: Settings) -> Iterator[Record]:
    rows = table.inputs[np.linspace(0, len(table.inputs) - 1, PATIENTS).astype(int)]
    for row in rows:
        yield _record(row, settings)
    for known in settings.known.values():
        for row in rows[::4]:
            yield {name: value for name, value in _record(row, settings).items() if name in known}
    for name, value in _record(rows[0], settings).items():
        yield {name: value}


def _record(row: np.ndarray, settings: Settings) -> Record:
    named = zip(settings.names, row.tolist(), strict=True)
    return {name: value for name, value in named if value == value}  # NaN is not equal to itself


def _question(model: Model, record: Record) -> dict[str, Any]:
    prediction = model.predict([record])[0]
    answer = {"probability": round(prediction.probability, 6), "unknown": list(prediction.unknown)}
    return {"body": record, "expected": {"predictions": [answer]}, "tolerance": TOLERANCE}
