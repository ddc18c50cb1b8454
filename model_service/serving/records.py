"""The check of all input: bytes in, valid records out, or a refusal that says what to correct.

Every record that passes can be answered by the model; no value is rounded, clipped or guessed. The features come from
the model's card. HTTP and the model are not used here.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from serving.card import Feature, Measure, Text
from serving.model import Record

MOST_RECORDS = 1_000  # in one request: they take a twentieth of a second
MOST_PROBLEMS = 20  # named in one answer
SHOWN = 60  # characters of the input that an answer repeats
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True)
class Problem:
    """A problem with one value, or (without ``field``) with a whole record. ``record`` counts from 0.

    ``value`` is the input as shortened text; ``allowed`` describes the allowed values.
    """

    record: int
    message: str
    field: str | None = None
    value: str | None = None
    allowed: str | None = None


class Refused(Exception):  # noqa: N818 - the message is a sentence
    """A refused request: HTTP status, a message, and for 422 the problems; ``more`` of them are not listed."""

    def __init__(self, status: int, message: str, problems: Sequence[Problem] = (), more: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.problems = tuple(problems)
        self.more = more


class Intake:
    """The reader of records of these features. For any input a method gives records or raises Refused."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = {feature.name: feature for feature in features}
        self._accepts = {feature.name: feature.accepts for feature in features}
        self._texts = {feature.name for feature in features if isinstance(feature, Text)}
        self._names = ", ".join(self._features)
        self._example = json.dumps({feature.name: _typical(feature) for feature in features[:2]})

    def from_json(self, body: bytes) -> list[Record]:
        """The records of a JSON body: one object, a list of them, or either under ``"instances"``."""
        return self.checked(self._listed(self._parsed(_text(body))))

    def from_csv(self, body: bytes) -> tuple[list[Record], bool]:
        """The records of a CSV body, one per line, and whether it has a header line.

        A first line that names at least one feature is a header; it gives the columns and their order. Without a header
        each line has a value for every feature, in the features' order. An empty value is unknown.
        """
        rows = self._rows(_text(body))
        names = [cell.strip() for cell in rows[0]]
        if not any(name in self._features for name in names):
            return self.checked([self._row(row, list(self._features)) for row in _few(rows)]), False
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise Refused(422, f"The header line has {_shown(twice)} twice. Name each column once.")
        return self.checked([self._row(row, names) for row in _few(rows[1:])]), True

    def checked(self, raw: Sequence[Any]) -> list[Record]:
        """The same records. Raises Refused unless each is an object with accepted values of features, at least one."""
        bad = [at for at, record in enumerate(raw) if not self._sound(record)]
        if not bad:
            return cast("list[Record]", raw)
        named: list[Problem] = []
        more = 0
        for at in bad:
            for problem in self._problems(at, raw[at]):
                if len(named) < MOST_PROBLEMS:
                    named.append(problem)
                else:
                    more += 1
        message = named[0].message
        if len(bad) > 1:
            message = f"{len(bad)} of {len(raw)} records are refused, so no record is answered. The first: {message}"
        raise Refused(422, message, named, more)

    def _sound(self, raw: Any) -> bool:
        # Nearly every record is sound, so this only answers yes or no; _problems finds the reasons.
        if type(raw) is not dict:
            return False
        known = False
        for name, value in raw.items():
            accepts = self._accepts.get(name)
            if accepts is None:
                return False
            if value is not None:
                if not accepts(value):
                    return False
                known = True
        return known

    def _problems(self, at: int, raw: Any) -> Iterator[Problem]:
        if isinstance(raw, _Odd):
            yield Problem(at, f"Record {at} {raw.what}. Send {self._names}, in this order, an unknown one empty.")
        elif not isinstance(raw, dict):
            yield Problem(at, f"Record {at} is {_shown(raw)}. Send an object, for instance {self._example}.")
        elif all(value is None for value in raw.values()) and raw.keys() <= self._features.keys():
            yield Problem(at, f"Nothing is known in record {at}. Send at least one of {self._names}.")
        else:
            for name, value in raw.items():
                if problem := self._problem(at, name, value):
                    yield problem

    def _problem(self, at: int, name: str, value: Any) -> Problem | None:
        feature, shown, field = self._features.get(name), _shown(value), _shown(name)[1:-1]
        if feature is None:
            message = f"{_shown(name)} is no feature of this model. Send some of {self._names}."
            return Problem(at, message, field, shown, f"some of {self._names}")
        if value is None or feature.accepts(value):
            return None
        what = "a text" if isinstance(feature, Text) else "a number"
        message = f"{name} is {shown}, allowed is {feature.allowed}. Send {what}, or nothing when it is not known."
        return Problem(at, message, field, shown, feature.allowed)

    def _parsed(self, text: str) -> Any:
        if not text.strip():
            raise Refused(400, f"The body is empty. Send for instance {self._example}.")
        try:
            return _decoded(text)
        except RecursionError:
            raise Refused(400, f"The body is nested too deeply. Send for instance {self._example}.") from None
        except ValueError as error:
            raise Refused(400, f"The body is not JSON ({error}). Send for instance {self._example}.") from error

    def _listed(self, content: Any) -> list[Any]:
        if isinstance(content, dict) and "instances" in content:
            if len(content) > 1:
                others = [_shown(key) for key in content if key != "instances"]
                rest = f" and {len(others) - 3} more" if len(others) > 3 else ""
                listed = ", ".join(others[:3]) + rest
                raise Refused(422, f'Beside "instances" there is {listed}. Send "instances" alone.')
            content = content["instances"]
        return _few(content if isinstance(content, list) else [content])

    def _rows(self, text: str) -> list[list[str]]:
        # Only the end is stripped: an empty line in the middle is a record and has its place in the answer.
        lines = text.rstrip("\r\n")
        try:
            rows = list(csv.reader(io.StringIO(lines, newline=""), strict=True))
        except csv.Error as error:
            raise Refused(
                400, f"The body is not CSV ({error}). Send numbers separated by commas, one record per line."
            ) from error
        if not any(map(len, rows)):
            raise Refused(400, f"The body is empty. Send lines of {self._names}.")
        return rows

    def _row(self, cells: list[str], names: list[str]) -> Any:
        if len(cells) != len(names):
            return _Odd(f"has {len(cells)} values and not {len(names)}")
        return {
            name: (cell or None) if name in self._texts else _cell(cell)
            for name, cell in zip(names, cells, strict=True)
        }


class _Odd:
    """A placeholder for an input that cannot be a value or a record."""

    def __init__(self, what: str) -> None:
        self.what = what


_TWICE = _Odd("given twice")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Python's decoder would silently keep the second of two values with the same name.
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                found[name] = _TWICE
            seen.add(name)
    return found


def _long(digits: str) -> float | int:
    try:
        return int(digits)
    except ValueError:
        return -math.inf if digits.startswith("-") else math.inf


_JSON = json.JSONDecoder(object_pairs_hook=_object)
_JSON_WITH_LONG_NUMBERS = json.JSONDecoder(object_pairs_hook=_object, parse_int=_long)


def _decoded(text: str) -> Any:
    # NaN and Infinity are accepted here although they are not JSON, so that the refusal can name them as values.
    try:
        return _JSON.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python refuses to read whole numbers of thousands of digits
        return _JSON_WITH_LONG_NUMBERS.decode(text)


def _text(body: bytes) -> str:
    try:
        return body.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        message = f"The body is not UTF-8 (byte {error.start} is {body[error.start]:#04x}). Send it as UTF-8."
        raise Refused(400, message) from error


def _few(records: list[Any]) -> list[Any]:
    if not 1 <= len(records) <= MOST_RECORDS:
        raise Refused(422, f"There are {len(records)} records. Send 1 to {MOST_RECORDS} in one request.")
    return records


def _cell(cell: str) -> float | str | None:
    text = cell.strip(" \t")
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return _long(text)  # an int, so that a message shows it as it was sent
    return float(text) if NUMBER.fullmatch(text) else cell


def _shown(value: object) -> str:
    # ASCII, short and without nesting, so that it can be part of any answer
    if isinstance(value, dict | list):
        kind = "a list" if isinstance(value, list) else "an object"
        return f"an empty {kind.split()[1]}" if not value else kind
    if isinstance(value, _Odd):
        return value.what
    if isinstance(value, int) and abs(value) > 10**SHOWN:
        return "a number of more than 60 digits"
    text = json.dumps(value[: SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= SHOWN else f'{text[: SHOWN - 4]}..."'


def _typical(feature: Feature) -> float | str:
    if isinstance(feature, Text):
        return " ".join(feature.terms[:3])
    if isinstance(feature, Measure):
        return round((feature.seen[0] + feature.seen[1]) / 2)
    return feature.codes[0]
