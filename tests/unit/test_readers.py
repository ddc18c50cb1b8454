"""Whatever somebody writes, a reader of text from outside reads it or refuses it in its own words, within the
processor time and the memory that one document may cost (``tests.unit.readers``: the kernel counts them)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.readers import READERS, ReaderProcess, examples

JSON = ("event", "announcement", "word", "registration", "golden questions")


def filled(piece: bytes, size: int, before: bytes = b"", after: bytes = b"") -> bytes:
    """``piece`` as often as there is room."""
    return before + piece * ((size - len(before) - len(after)) // len(piece)) + after


ALIASES = b"a0: &a0 [x, x]\n" + b"".join(
    b"a%d: &a%d [*a%d, *a%d, *a%d]\n" % (n, n, n - 1, n - 1, n - 1) for n in range(1, 40)
)
# What has cost readers of YAML, JSON and shell their time: depth, unclosed pairs, long words, keys without end.
SHAPES: dict[str, Callable[[int], bytes]] = {
    "brackets": lambda size: filled(b"[", size),
    "brackets on lines": lambda size: filled(b"[\n", size),
    "braces": lambda size: filled(b"{", size),
    "maps in maps": lambda size: filled(b'{"a":', size),
    "lists in lists, closed": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
    "list in a key": lambda size: filled(b"? [", size),
    "dashes": lambda size: filled(b"- ", size),
    "question marks": lambda size: filled(b"? ", size),
    "colons": lambda size: filled(b": ", size),
    "flow keys": lambda size: filled(b"a: b,", size, b"{", b"}"),
    "flow words": lambda size: filled(b"a,", size, b"[", b"]"),
    "different keys": lambda size: b"".join(b"k%d: x\n" % n for n in range(size // 12)),
    "different misspelt keys": lambda size: (
        b"version: 0.0\nos: linux\nhooks:\n" + b"".join(b" AfterInstal%d: []\n" % n for n in range(size // 24))
    ),
    "one key again": lambda size: filled(b"a: 1\n", size),
    "deeper each line": lambda size: b"".join(b" " * n + b"a:\n" for n in range(int((2 * size) ** 0.5) - 4)),
    "aliases of aliases": lambda _: ALIASES + b"version: 0.2\nphases: {build: {commands: *a39}}\n",
    **{
        f"aliases of aliases as {key}": lambda _, key=key: (
            ALIASES + b"version: 0.2\nphases: {}\n" + key.encode() + b": *a39\n"
        )
        for key in ("version", "env", "phases", "cache", "artifacts", "os", "files", "hooks", "b0")
    },
    "merges of merges": lambda _: (
        b"a0: &a0 {x: 1}\n" + b"".join(b"a%d: &a%d {<<: [*a%d, *a%d]}\n" % (n, n, n - 1, n - 1) for n in range(1, 40))
    ),
    "an alias of itself": lambda _: b"version: 0.2\nphases: &a {build: {commands: [*a]}, install: *a}\n",
    "anchors": lambda size: filled(b"&a ", size),
    "tags": lambda size: filled(b"!!str ", size),
    "documents": lambda size: filled(b"---\n", size),
    "directives": lambda size: filled(b"%YAML 1.1\n", size),
    "double quotes": lambda size: filled(b'"', size),
    "single quotes": lambda size: filled(b"'", size),
    "backslashes": lambda size: filled(b"\\", size),
    "a quoted text of backslashes": lambda size: filled(b"\\\\", size, b'a: "', b'"'),
    "backticks": lambda size: filled(b"`", size),
    "substitutions": lambda size: filled(b"$(", size),
    "variables": lambda size: filled(b"${", size),
    "variables with defaults": lambda size: filled(b"${a:-", size, b"FROM scratch\nENV A="),
    "parentheses": lambda size: filled(b"(", size),
    "here-documents": lambda size: filled(b"<<E\n", size),
    "here-documents on a line": lambda size: filled(b"<<E ", size, b"FROM x\nRUN "),
    "continued lines": lambda size: filled(b"a \\\n", size, b"FROM scratch\nRUN "),
    "pipes": lambda size: filled(b"a |", size),
    "background children": lambda size: filled(b"a & ", size, b"#!/bin/bash\n"),
    "shells in shells": lambda size: filled(b'bash -c "', size, b"#!/bin/bash\n"),
    "redirections": lambda size: filled(b">a ", size),
    "comments": lambda size: filled(b"#", size),
    "allowed traps": lambda size: filled(b"a,", size, b"# esteira: allow "),
    "allowed blanks": lambda size: filled(b" ", size, b"# esteira: allow a", b"!"),
    "tabs": lambda size: filled(b"\t", size),
    "blanks": lambda size: filled(b" ", size),
    "lines": lambda size: filled(b"\n", size),
    "carriage returns": lambda size: filled(b"\r", size),
    "zeros": lambda size: filled(b"\0", size),
    "a long word": lambda size: filled(b"a", size),
    "a long key": lambda size: filled(b"a", size, b"", b": b"),
    "a long number": lambda size: filled(b"1", size, b'{"a": ', b"}"),
    "a long number of YAML": lambda size: filled(b"1", size, b"version: "),
    "a long number in base 60": lambda size: filled(b"1:", size, b"version: "),
    "a long fraction": lambda size: filled(b"1", size, b'{"a": 0.', b"}"),
    "a huge exponent": lambda _: b'{"a": 1e999999999, "format": 1e999}',
    "not a number": lambda _: b'{"a": NaN, "b": Infinity}',
    "lone surrogates": lambda size: filled(b"\\ud800", size, b'{"a": "', b'"}'),
    "bytes that are no text": lambda size: filled(b"\xff", size),
    "long characters": lambda size: filled("\U0001f600".encode(), size),
    "a byte order mark": lambda size: filled(b"a", size, b"\xef\xbb\xbf"),
    "names of secrets": lambda size: filled(b"password=", size),
    "assigned names": lambda size: filled(b"token = ", size),
    "quoted names": lambda size: filled(b'"api_key": "', size),
    "addresses": lambda size: filled(b"postgres://a:", size),
    "a long login": lambda size: filled(b"a", size, b"https://user:", b"@host"),
    "armours": lambda size: filled(b"-----BEGIN PRIVATE KEY-----\n", size),
    "a long drawn value": lambda size: filled(b"aB3xK9", size, b"secret = "),
    "prefixes of keys": lambda size: filled(b"AKIA ghp_ sk-", size),
    "dots of a token": lambda size: filled(b"eyJ.", size),
    "stages of stages": lambda size: (
        b"FROM scratch AS s0\n"
        + b"".join(b"FROM s%d AS s%d\nCOPY --from=s%d / /\n" % (n, n + 1, n) for n in range(size // 48))
    ),
    "arguments of arguments": lambda _: (
        b"ARG A0=xxxxxxxxxx\n"
        + b"".join(b"ARG A%d=$A%d$A%d$A%d\n" % (n, n - 1, n - 1, n - 1) for n in range(1, 40))
        + b"FROM scratch\n"
    ),
    "variables of variables": lambda _: (
        b"FROM scratch\nENV A0=xxxxxxxxxx\n"
        + b"".join(b"ENV A%d=$A%d$A%d$A%d\n" % (n, n - 1, n - 1, n - 1) for n in range(1, 40))
    ),
}


@pytest.fixture(scope="module")
def process() -> Iterator[Callable[[str], ReaderProcess]]:
    """The process of each reader, started when it is first asked for."""
    started: dict[str, ReaderProcess] = {}

    def of(name: str) -> ReaderProcess:
        return started.setdefault(name, ReaderProcess(name))

    yield of
    for each in started.values():
        each.__exit__()


@pytest.mark.parametrize("name", READERS)
def test_what_people_really_write_is_read(name: str, process: Callable[[str], ReaderProcess]) -> None:
    """The limits and the readers are the real ones: each example of the repository is read."""
    texts = examples(name)
    assert texts
    assert [process(name).read(text) for text in texts] == ["read"] * len(texts)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_a_document_costs_no_more_than_its_share(name: str, process: Callable[[str], ReaderProcess]) -> None:
    """Each shape as large as the reader takes, and a byte more."""
    size = READERS[name].largest
    came = {shape: process(name).read(make(size + 1)) for shape, make in SHAPES.items()}
    assert {shape: said for shape, said in came.items() if said not in ("read", "refused")} == {}


def test_the_kernel_ends_what_costs_more(process: Callable[[str], ReaderProcess]) -> None:
    """The limits hold: a reader that never ends, and one that takes all memory, are found out."""
    assert "signal" in process("a reader that never ends").read(b"x")
    assert "MemoryError" in process("a reader that takes all memory").read(b"x")


# --- by chance ------------------------------------------------------------------------------------------------------


@cache
def leaves() -> st.SearchStrategy[Any]:
    """A value of JSON without any inside."""
    return st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)


@cache
def values() -> st.SearchStrategy[Any]:
    """Any value of JSON."""
    return st.recursive(
        leaves(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    )


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of each value inside ``value``."""
    yield here
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from paths(inner, (*here, key))


def put(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    """``value`` with another at a place in it."""
    if not path:
        return other
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[path[0]] = put(value[path[0]], path[1:], other)
    return changed


@st.composite
def changed_values(draw: st.DrawFn, name: str) -> bytes:
    """A real document of JSON in which some values are others."""
    value = json.loads(draw(st.sampled_from(examples(name))))
    for _ in range(draw(st.integers(1, 3))):
        value = put(value, draw(st.sampled_from(list(paths(value)))), draw(values()))
    return json.dumps(value).encode()


@st.composite
def changed_text(draw: st.DrawFn, name: str) -> bytes:
    """A real document in which pieces are cut, doubled, or others: characters that mean something are likelier."""
    text = draw(st.sampled_from(examples(name)))
    piece = st.sampled_from(
        [b"[", b"{", b"- ", b": ", b"&a ", b"*a", b"'", b'"', b"\\", b"$(", b"\n", b"\t", b"#", b"<<"]
    )
    for _ in range(draw(st.integers(1, 6))):
        at, to = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        middle = draw(
            st.one_of(st.just(b""), st.just(text[at:to] * 2), piece.map(lambda p: p * 40), st.binary(max_size=20))
        )
        text = text[:at] + middle + text[to:]
    return text[: READERS[name].largest]


def documents(name: str) -> st.SearchStrategy[bytes]:
    """Bytes, text, and real documents that somebody changed."""
    found = st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="replace"))
    found |= changed_text(name)
    return found | changed_values(name) if name in JSON else found


@pytest.mark.parametrize("name", READERS)
def test_any_document_is_read_or_refused(name: str, process: Callable[[str], ReaderProcess]) -> None:
    """A few, in each run of the tests."""
    tried(name, process(name), 60)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_any_of_many_documents_is_read_or_refused(name: str, process: Callable[[str], ReaderProcess]) -> None:
    """Many; their number stands in docs/hardening.md."""
    tried(name, process(name), 2000)


def tried(name: str, process: ReaderProcess, count: int) -> None:
    """Give the reader so many documents."""

    @settings(max_examples=count)
    @given(documents(name))
    def one(document: bytes) -> None:
        assert process.read(document) in ("read", "refused")

    one()
