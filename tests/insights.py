"""Logs Insights' query language, as far as the queries of template.yaml use it, run over lines that are at hand.

Nothing of AWS runs here; this follows AWS's reference, and refuses with a QueryError what it does not know or what the
reference forbids: a third ``stats``, anything but ``stats`` between two of them, a field that the ``stats`` before did
not make. What differs from AWS unseen is what the reference does not say.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]
Value = Callable[[Row], Any]

TOKEN = re.compile(
    r"""\s*(?: "(?P<text>[^"]*)" | '(?P<text2>[^']*)' | /(?P<regex>(?:[^/\\]|\\.)+)/ | (?P<number>\d+(?:\.\d+)?)
    | (?P<name>@?[A-Za-z_][A-Za-z0-9_.]*) | (?P<sign><=|>=|!=|[=<>(),|*\[\]]) )""",
    re.VERBOSE,
)
SCALARS: dict[str, Callable[..., Any]] = {
    "ispresent": lambda value: value is not None,
    "coalesce": lambda *values: next((v for v in values if v is not None), None),
}
AGGREGATES: dict[str, Callable[..., Any]] = {
    "sum": lambda values: sum(values),
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
    "avg": lambda values: sum(values) / len(values) if values else None,
    "pct": lambda values, percent: sorted(values)[math.ceil(len(values) * percent / 100) - 1] if values else None,
    "count_distinct": lambda values: len(set(values)),
    "latest": lambda values: values[-1] if values else None,  # rows come in order of time
}
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


class QueryError(Exception):
    """The query is none, or uses what is not known here."""


@dataclass(frozen=True)
class Line:
    """One line of a log, by the group it stands in."""

    group: str
    text: str

    def row(self) -> Row:
        """The fields that Logs Insights discovers in it."""
        try:
            document = json.loads(self.text)
        except ValueError:
            document = {}
        return {
            "@message": self.text,
            "@log": f"123456789012:{self.group}",
            "@timestamp": document.get("timestamp", ""),
            **dict(_flat(document)),
        }


@dataclass
class Answer:
    """What a query gives: its rows, each with the columns it shows, and every field of a line that it names."""

    rows: list[dict[str, Any]]
    named: set[str] = field(default_factory=set)


def run(query: str, lines: Sequence[Line], groups: Sequence[str] = ()) -> Answer:
    """Run ``query`` over the lines of ``groups``, or of those that it names by SOURCE. Raises QueryError."""
    commands = [c for c in _commands(query) if c]
    sources = [command[1][1] for command in commands if command[0] == ("name", "SOURCE")]
    wanted = set(sources or groups)
    run = _Run([line.row() for line in lines if line.group in wanted])
    for command in commands:
        if command[0] != ("name", "SOURCE"):
            run.apply(command)
    shown = [{name: value(row) for name, value in run.shown.items()} for row in run.rows]
    return Answer(shown, run.named)


class _Run:
    """A query under way: the rows it has, and which columns they show."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows = sorted(rows, key=lambda row: row["@timestamp"])
        self.shown: dict[str, Value] = {}
        self.named: set[str] = set()
        self.made: set[str] | None = None  # what the latest stats made; None: fields of the lines
        self.stats = 0
        self.last = ""

    def apply(self, tokens: list[tuple[str, str]]) -> None:
        command = _Parser(tokens, self._field)
        self.last, before = command.word(), self.last
        match self.last:
            case "fields":
                self.shown |= command.columns()
            case "filter":
                keep = command.condition()
                self.rows = [row for row in self.rows if keep(row)]
            case "stats":
                if self.stats == 2 or before in ("sort", "limit"):
                    raise QueryError(f"stats after {before}, or for the third time")
                self._stats(command)
            case "sort":
                self._sort(command)
            case "limit":
                self.rows = self.rows[: int(command.number())]
            case other:
                raise QueryError(f"the command {other} is not known here")
        command.end()

    def _field(self, name: str) -> Value:
        if self.made is None:
            self.named.add(name)
        elif name not in self.made:
            raise QueryError(f"{name} is not what the stats before made: {sorted(self.made)}")
        return lambda row: row.get(name)

    def _stats(self, command: _Parser) -> None:
        aggregates = command.aggregates()
        by = command.columns() if command.take("by") else {}
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in self.rows:
            groups.setdefault(tuple(value(row) for value in by.values()), []).append(row)
        self.rows = [
            {**dict(zip(by, key, strict=True)), **{name: of(rows) for name, of in aggregates.items()}}
            for key, rows in groups.items()
        ]
        self.made, self.stats = {*by, *aggregates}, self.stats + 1
        self.shown = {name: self._field(name) for name in self.made}

    def _sort(self, command: _Parser) -> None:
        value = command.value()
        down = command.take("desc")
        if not down and not command.take("asc"):
            raise QueryError("sort which way? asc or desc")
        present = [row for row in self.rows if value(row) is not None]
        self.rows = sorted(present, key=value, reverse=down) + [row for row in self.rows if value(row) is None]


class _Parser:
    """Reads one command. ``field`` gives the value of a field by its name."""

    def __init__(self, tokens: list[tuple[str, str]], field: Callable[[str], Value]) -> None:
        self._tokens, self._field, self._at = tokens, field, 0

    def word(self) -> str:
        return self._next("name")

    def number(self) -> float:
        return float(self._next("number"))

    def take(self, text: str) -> bool:
        """Step over a word or a sign if it is next; return whether it was."""
        if self._peek() in (("name", text), ("sign", text)):
            self._at += 1
            return True
        return False

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise QueryError(f"not understood from here: {self._tokens[self._at :]}")

    def columns(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        while True:
            start = self._at
            value = self.value()
            plain = self._at == start + 1
            found[self.word() if self.take("as") else self._alias_of(start, plain)] = value
            if not self.take(","):
                return found

    def aggregates(self) -> dict[str, Callable[[list[Row]], Any]]:
        found: dict[str, Callable[[list[Row]], Any]] = {}
        while True:
            of = self._aggregate()
            if not self.take("as"):
                raise QueryError("an aggregate without a name: say what the column is, with as")
            found[self.word()] = of
            if not self.take(","):
                return found

    def condition(self) -> Callable[[Row], bool]:
        parts = [self._conjunction()]
        while self.take("or"):
            parts.append(self._conjunction())
        return lambda row: any(part(row) for part in parts)

    def value(self) -> Value:
        kind, text = self._peek()
        self._at += 1
        if kind == "name" and self._peek() == ("sign", "("):
            if text not in SCALARS:
                raise QueryError(f"the function {text} is not known here")
            arguments = self._arguments()
            return lambda row: SCALARS[text](*(a(row) for a in arguments))
        if kind == "name":
            return self._field(text)
        if kind in ("text", "number"):
            constant = float(text) if kind == "number" else text
            return lambda _: constant
        raise QueryError(f"expected a value, got {text!r}")

    def _conjunction(self) -> Callable[[Row], bool]:
        parts = [self._comparison()]
        while self.take("and"):
            parts.append(self._comparison())
        return lambda row: all(part(row) for part in parts)

    def _comparison(self) -> Callable[[Row], bool]:
        if self.take("not"):
            negated = self._comparison()
            return lambda row: not negated(row)
        if self.take("("):
            inner = self.condition()
            self._expect(")")
            return inner
        left = self.value()
        if self.take("in"):
            self._expect("[")
            values = [self._constant()]
            while self.take(","):
                values.append(self._constant())
            self._expect("]")
            return lambda row: left(row) in values
        if self.take("like"):
            kind, text = self._tokens[self._at]
            self._at += 1
            pattern = re.compile(text if kind == "regex" else re.escape(text))
            return lambda row: pattern.search(str(left(row) or "")) is not None
        kind, sign = self._peek()
        if kind == "sign" and sign in COMPARE:
            self._at += 1
            right = self.value()
            return lambda row: None not in (left(row), right(row)) and COMPARE[sign](left(row), right(row))
        return lambda row: bool(left(row))

    def _aggregate(self) -> Callable[[list[Row]], Any]:
        name = self.word()
        if name == "count":
            self._expect("(")
            self._expect("*")
            self._expect(")")
            return len
        if name not in AGGREGATES:
            raise QueryError(f"the aggregate {name} is not known here")
        of, *more = self._arguments()
        rest = [m({}) for m in more]
        return lambda rows: AGGREGATES[name]([v for v in map(of, rows) if v is not None], *rest)

    def _arguments(self) -> list[Value]:
        self._expect("(")
        found = [self.value()]
        while self.take(","):
            found.append(self.value())
        self._expect(")")
        return found

    def _alias_of(self, start: int, plain: bool) -> str:
        if not plain:
            raise QueryError("a column without a name: say what it is, with as")
        return self._tokens[start][1]

    def _constant(self) -> Any:
        return self.value()({})

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "the end")

    def _next(self, kind: str) -> str:
        found, text = self._peek()
        if found != kind:
            raise QueryError(f"expected a {kind}, got {text!r}")
        self._at += 1
        return text

    def _expect(self, sign: str) -> None:
        if not self.take(sign):
            raise QueryError(f"expected {sign}, got {self._peek()[1]!r}")


def _commands(query: str) -> list[list[tuple[str, str]]]:
    """The query's commands, each as its tokens; a line that begins with # is a comment."""
    text = "\n".join(line for line in query.splitlines() if not line.lstrip().startswith("#")).rstrip()
    commands: list[list[tuple[str, str]]] = [[]]
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None:
            raise QueryError(f"not understood: {text[at : at + 40]!r}")
        at, kind = match.end(), str(match.lastgroup)
        if match[kind] == "|" and kind == "sign":
            commands.append([])
        else:
            commands[-1].append(("text" if kind == "text2" else kind, match[kind]))
    return commands


def _flat(document: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """A document's fields, nested ones by their path with dots; null is a field that is not there."""
    found: list[tuple[str, Any]] = []
    for name, value in document.items() if isinstance(document, dict) else ():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{name}.")
        elif value is not None:
            found.append((prefix + name, value))
    return found
