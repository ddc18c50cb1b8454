"""YAML's plain words, as Ruby's Psych reads them. Each value here is what Psych 4.0.4 answered."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from appspec.psych import DEEPEST, UnreadableError, read
from appspec.scalar import scalar

# Where PyYAML's safe loader says something else, it stands behind.
VALUES = {
    "0644": 420, "644": 644, "0o644": "0o644", "08": "08", "0b11": 3, "0x1f": 31,
    "1_000": 1000, "1,000": 1000,  # PyYAML: "1,000"
    "yes": True, "No": False, "on": True, "y": "y", "n": "n", "~": None, "": None, "NULL": None, "nUll": None,
    "5m": "5m", "0.0": 0.0, "-0.0": 0.0, "0.0.0": "0.0.0", ".5": 0.5, "1.": 1.0, "1e3": "1e3", "1.5e+3": 1500.0,
    "1:30": 5400,  # PyYAML: 90
    "1:30:00": 5400, "12:70": "12:70", "-1:10": -3000,
    ".inf": math.inf, "-.INF": -math.inf, ".": ".", "true story": "true story", "a:b": "a:b",
}  # fmt: skip


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_a_plain_word_is_what_ruby_takes_it_for(text: str, value: object) -> None:
    """Of the same value and of the same kind."""
    found = scalar(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["2024-01-31", "2024-1-1 10:00:00", "2024-01-31T10:00:00Z", ":symbol", ".e+3"])
def test_what_loading_safely_refuses_is_refused(text: str) -> None:
    """A date, a symbol and a number that is none."""
    with pytest.raises(ValueError, match="put it in quotes"):
        scalar(text)


def test_what_is_in_quotes_is_text() -> None:
    """And says that it had quotes."""
    node, _ = read(b"a: \"0644\"\nb: 'yes'\nc: 0644\n")
    assert [(v.value, v.plain) for v in node.value.values()] == [("0644", False), ("yes", False), (420, True)]


def test_everything_keeps_its_line() -> None:
    """Keys, values, and the second document."""
    node, second = read(b"a:\n  - 1\n  - b: 2\nc: 3\n---\nd: 4\n")
    assert [key.line for key in node.keys] == [1, 4]
    assert [item.line for item in node.value["a"].value] == [2, 3]
    assert second == 5


@pytest.mark.parametrize(
    ("document", "line"), [(b"a: 1\n\tb: 2\n", 2), (b"a: 1\nb: \xff\n", 2), (b"a: [1\nb: 2\n", 2), (b"a: \x00\n", 1)]
)
def test_what_is_no_yaml_says_where(document: bytes, line: int) -> None:
    """The line at which the reader stops."""
    with pytest.raises(UnreadableError) as caught:
        read(document)
    assert caught.value.line == line


@pytest.mark.parametrize("opening", [b"[", b"{a: ", b"- ", b"? "])
def test_reading_stops_at_the_first_level_that_is_too_deep(opening: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Depth is counted while reading: the parser gives no event after the one that is too deep."""
    parse, given = yaml.parse, []

    def counted(*arguments: Any, **options: Any) -> Iterator[Any]:
        for event in parse(*arguments, **options):
            given.append(event)
            yield event

    monkeypatch.setattr(yaml, "parse", counted)
    with pytest.raises(UnreadableError, match=f"nested deeper than {DEEPEST} levels"):
        read(opening * (64 * 1024 // len(opening)))
    assert sum(isinstance(e, yaml.CollectionStartEvent) for e in given) == DEEPEST + 1
    assert isinstance(given[-1], yaml.CollectionStartEvent)
