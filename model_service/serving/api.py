"""The JSON routes: bytes in, bytes out, without ASGI or the network.

``openapi.py`` describes these routes; ``app.py`` calls them.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from serving.card import Task
from serving.health import Origin
from serving.model import Model, Prediction, Record
from serving.records import Intake, Refused

JSON = b"application/json"
CSV = b"text/csv; charset=utf-8"
COLUMNS: Mapping[Task, tuple[str, ...]] = {
    "binary": ("probability", "target"),
    "multiclass": ("class", "probability"),
    "regression": ("value",),
}
INTERVALS = ("low", "high", "if_known_low", "if_known_high", "unknown")  # the columns after these
DIGITS = 6
JSON_KINDS = ("application/json", "application/*", "*/*")
UTF_8 = ("utf-8", "utf8", "us-ascii")

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class Answer(NamedTuple):
    """An answer to a request."""

    status: int
    kind: bytes  # its content-type
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Api:
    """The routes of one model. ``tell`` is called with each record and its prediction."""

    def __init__(self, model: Model, origin: Origin, tell: Callable[[Record, Prediction], None]) -> None:
        self._model = model
        self._origin = origin
        self._tell = tell
        self._intake = Intake(model.card.features)
        self._card = model.card.model_dump_json().encode()

    def ping(self) -> Answer:
        """200 if the model makes a prediction (with all features unknown), else 503."""
        try:
            value = self._model.predict([{}])[0].value
            well = math.isfinite(value) if self._model.card.task == "regression" else 0 <= value <= 1
        except Exception as error:  # noqa: BLE001 - any error means that the service is not healthy
            return failure(503, f"The model does not answer ({type(error).__name__}: {error}). Restart the service.")
        if not well:
            return failure(503, "The model answers, but not with a number that is allowed. Restart the service.")
        return Answer(200, JSON, _encode({"status": "healthy", "release": self._origin.release}).encode())

    def version(self) -> Answer:
        """The origin of the model and its figures."""
        card = self._model.card
        about = {
            "name": card.name,
            "release": self._origin.release,
            "commit": self._origin.commit,
            "digest": self._origin.digest,
            "kind": card.kind,
            "trained_at": card.trained_at.isoformat(),
            "model_sha256": card.sha256,
            "data_sha256": card.data.sha256,
            "metrics": {name: figure.value for name, figure in card.metrics.items()},
        }
        return Answer(200, JSON, _encode(about).encode())

    def card(self) -> Answer:
        """The whole model card."""
        return Answer(200, JSON, self._card)

    def invocations(self, body: bytes, content_type: str, accept: str) -> Answer:
        """A prediction for each record, in the same order, or a refusal that names what to correct."""
        try:
            if _is_csv(content_type):
                records, header = self._intake.from_csv(body)
            else:
                records, header = self._intake.from_json(body), False
        except Refused as refused:
            return refusal(refused)
        predictions = self._model.predict(records)
        for record, prediction in zip(records, predictions, strict=True):
            self._tell(record, prediction)
        if prefers_csv(accept):
            return Answer(200, CSV, self._as_csv(predictions, header).encode())
        return Answer(200, JSON, _encode({"predictions": [self._as_json(p) for p in predictions]}).encode())

    def _as_json(self, p: Prediction) -> dict[str, Any]:
        found = self._main(p)
        if p.shares:
            names = self._model.card.classes
            found["probabilities"] = {name: round(share, DIGITS) for name, share in zip(names, p.shares, strict=True)}
        found["low"] = round(p.low, DIGITS)
        found["high"] = round(p.high, DIGITS)
        found["if_known"] = (round(p.if_known_low, DIGITS), round(p.if_known_high, DIGITS))
        found["unknown"] = p.unknown
        return found

    def _as_csv(self, predictions: Iterable[Prediction], header: bool) -> str:
        out = io.StringIO()
        lines = csv.writer(out, lineterminator="\n")
        if header:
            lines.writerow((*COLUMNS[self._model.card.task], *INTERVALS))
        for p in predictions:
            between = [round(value, DIGITS) for value in (p.low, p.high, p.if_known_low, p.if_known_high)]
            lines.writerow((*self._main(p).values(), *between, " ".join(p.unknown)))
        return out.getvalue()

    def _main(self, p: Prediction) -> dict[str, Any]:
        card = self._model.card
        if card.task == "regression":
            return {"value": round(p.value, DIGITS)}
        if card.task == "multiclass":
            return {"class": card.classes[p.best], "probability": round(p.value, DIGITS)}
        return {"probability": round(p.value, DIGITS), "target": int(p.value >= card.threshold)}


def failure(status: int, message: str, *headers: tuple[bytes, bytes]) -> Answer:
    """An answer with an error message and nothing else."""
    return Answer(status, JSON, _encode({"error": message}).encode(), headers)


def refusal(refused: Refused) -> Answer:
    """The answer to a request that is refused."""
    if refused.status != 422:
        return failure(refused.status, refused.message)
    problems = [{name: value for name, value in asdict(p).items() if value is not None} for p in refused.problems]
    content = {"error": refused.message, "problems": problems, "more": refused.more}
    return Answer(422, JSON, _encode(content).encode())


def prefers_csv(accept: str) -> bool:
    """Whether an ``accept`` header prefers CSV to JSON. The answer is JSON if it names neither."""
    if accept in ("*/*", "application/json", ""):
        return False
    wanted = [item.strip().partition(";") for item in accept.lower().split(",")]
    ranked = sorted(((-_weight(parameters), kind.strip()) for kind, _, parameters in wanted), key=lambda pair: pair[0])
    kinds = [kind for weight, kind in ranked if weight < 0 and kind in (*JSON_KINDS, "text/csv")]
    return kinds[:1] == ["text/csv"]


def _is_csv(content_type: str) -> bool:
    if content_type in ("application/json", ""):  # as SageMaker does, a request without a content-type is JSON
        return False
    kind, *parameters = (part.strip() for part in content_type.lower().split(";"))
    if kind not in ("application/json", "text/csv"):
        message = f"The content-type is {_encode(kind[:60])}. Send application/json or text/csv."
        raise Refused(415, message)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(' "') not in UTF_8:
            raise Refused(415, f"The charset is {_encode(value[:60])}. Send utf-8.")
    return kind == "text/csv"


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0
