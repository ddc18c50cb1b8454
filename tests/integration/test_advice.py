"""Every command that the program advises is one that it takes: collected from its sources and typed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from console.cli.main import main
from console.local.up.up_commands import local

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
SOURCES = [*sorted((ROOT / "console").rglob("*.py")), *sorted((ROOT / "functions").rglob("*.py"))]
# What a placeholder of a sentence stands for, by the first of these that its expression holds.
VALUES = (("releases", "3"), ("stages", "2"), ("label", "v3"), ("release", "v3"), ("version", "v3"), ("number", "3"),
          ("to", "v3"), ("stage", "production"), ("name", "heart"), ("typed", "add-service"), ("state", "/tmp/state"),
          ("seed", "1"), ("verb", "up"), ("url", "http://127.0.0.1:9"), ("endpoint", "http://127.0.0.1:9"))  # fmt: skip
# A command in a sentence ends where the sentence goes on.
COMMAND = re.compile(r"\besteira ((?:--?[a-z]|[a-z])[a-z-]*(?: (?:--?[a-z][a-z-]*|[A-Za-z0-9_./:=,|…\[\]'-]+))*)")
PLACES = {"NAME": "heart", "FILE": "file.json", "DIR": "/tmp/dir", "PATH": "/tmp/path", "vN": "v3", "COMMIT": "4f2a",
          "CONFIG": "file.json", "URL": "http://127.0.0.1:9", "TIME": "2h", "…": "because"}  # fmt: skip
ARGUMENT = re.compile(r"v\d+|[0-9a-f]{4,40}|/\S+|heart|x|aws|local|bash|file\.json|eu-west-1|events/\S+")


def sentences(tree: ast.AST) -> Iterator[str]:
    """The texts of a file, with something in place of what is filled in; docstrings and comments are no advice."""
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(_part(part) for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts | docs:
            yield node.value


def _part(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    text = ast.unparse(part.value)
    return next((value for key, value in VALUES if key in text), "v3")


def advice() -> dict[str, str]:
    """Each command that some sentence advises, with the file it is from."""
    found: dict[str, str] = {}
    for path in SOURCES:
        for text in sentences(ast.parse(path.read_text())):
            for match in COMMAND.finditer(text):
                words = _words(match[1])
                if words:
                    found.setdefault(" ".join(words), str(path.relative_to(ROOT)))
    return found


def _words(text: str) -> list[str]:
    """The words of a command, up to where the sentence goes on: an option that it has with its value, and what looks
    like an argument. Each placeholder is something."""
    words = [word.rstrip(",;:.") for word in text.split(" ")]
    command, kept = command_of(words)
    if command is None:
        return []
    rest = words[len(kept) :]
    valued = {opt for p in command.params if isinstance(p, click.Option) and not p.is_flag for opt in p.opts}
    while rest and (rest[0].startswith("-") or rest[0] in PLACES or ARGUMENT.fullmatch(rest[0])):
        kept.append(PLACES.get(rest[0], rest[0]))
        if rest.pop(0) in valued and rest:
            kept.append(PLACES.get(rest[0], rest.pop(0)))
    return kept


def command_of(words: list[str]) -> tuple[click.Command | None, list[str]]:
    """The command that the words begin with, None for none, and the words that name it."""
    found = local if words[0] == "local" else main.get_command(click.Context(main), words[0])
    if isinstance(found, click.Group):
        return found.commands.get(words[1]) if len(words) > 1 else None, words[:2]
    return found, words[:1]


ADVICE = advice()


def test_advice_is_found_at_all() -> None:
    """A search that finds nothing would pass every test below."""
    assert len(ADVICE) > 30
    assert {"status", "local up", "retry v3", "releases", "use aws", "local add heart"} <= ADVICE.keys()


@pytest.mark.parametrize("typed", sorted(ADVICE))
def test_an_advised_command_is_taken(typed: str) -> None:
    """The parser takes its name, its options and its arguments, and misses none."""
    words = typed.split(" ")
    command, names = command_of(words)
    assert command is not None
    try:
        command.make_context(typed, words[len(names) :], parent=click.Context(main, info_name="esteira"))
    except click.UsageError as error:
        if isinstance(error, click.MissingParameter) and words == names:
            return  # a command spoken of by its name alone; whoever is told what to type is told all of it
        pytest.fail(f"{ADVICE[typed]} advises `esteira {typed}`: {error.format_message()}")


def test_makefile_targets_that_are_advised_are_there() -> None:
    """`make X` in a sentence is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    advised = {
        (match[1], str(path.relative_to(ROOT)))
        for path in SOURCES
        for text in sentences(ast.parse(path.read_text()))
        for match in re.finditer(r"Next: make ([a-z-]+)(?= [A-Z]+=|[.,;]|$)", text)
    }
    assert advised
    assert [found for found in advised if found[0] not in targets] == []


def test_an_advice_without_its_argument_says_what_is_missing() -> None:
    """Typed as it stands in the sentence it ends in a sentence, never in a traceback."""
    for typed in ("retry", "show", "local add --state /nowhere", "use aws extra"):
        result = CliRunner().invoke(main, typed.split(" "))
        assert result.exit_code in (1, 2)
        assert result.exception is None or isinstance(result.exception, SystemExit)
