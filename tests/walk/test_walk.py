"""Nothing is asked of AWS that was not walked, and nothing that AWS can answer was overlooked."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from console.read.trouble import explained
from console.read.where import Where
from tests.unit.reach import operations
from tests.walk import walked

pytestmark = pytest.mark.unit
CONSOLE = Path(__file__).parents[2] / "console"
CALLS = walked.of_functions() | walked.of_console()
# Words of the console that are operations of AWS's, too, and are not meant so.
WORDS = {"query", "scan"}


def test_every_modelled_error_of_every_call_is_handled_or_raised_on_purpose() -> None:
    """An error that botocore begins to model, or a new call, is named here until somebody has thought about it."""
    raised = walked.raised()
    modelled = {call: walked.errors(call) for call in CALLS}
    overlooked = {c: left for c, e in modelled.items() if (left := {*e} - {*walked.handled(c)} - {*raised})}
    assert overlooked == {}


def test_what_is_listed_is_modelled() -> None:
    """No call is walked that nobody makes, and no error is listed that AWS does not have."""
    unmade = {call: found for call in walked.HANDLED if (found := {*walked.HANDLED[call]} - {*walked.errors(call)})}
    assert unmade == {}
    assert set(walked.HANDLED) <= CALLS
    through = {error for call in CALLS for error in walked.errors(call) if error not in walked.handled(call)}
    assert set(walked.raised()) - through == set()
    names = [name for names in walked.RAISED.values() for name in names.split()]
    assert len(names) == len(set(names))


def test_every_call_of_the_console_is_walked() -> None:
    """Whatever word of the console is an operation of a service that it speaks of stands in the list, and no other."""
    listed = {word for call in walked.of_console() for word in _spellings(call)}
    spoken = {word for service in walked.CONSOLE for word in {*operations(service), *operations(service).values()}}
    found = {word for word in _words() if word in spoken} - WORDS
    assert found - listed == set()
    unsaid = {call for call in walked.of_console() if not {*_spellings(call)} & found}
    assert unsaid == set()


@pytest.mark.parametrize("call", sorted(walked.of_console()))
def test_what_the_console_raises_is_told_in_a_sentence(call: str) -> None:
    """Whoever typed a command reads what AWS said, and what to type next."""
    for code in walked.errors(call):
        error = ClientError({"Error": {"Code": code, "Message": "said AWS"}}, call.partition(":")[2])
        sentence = explained(error, Where(stack="esteira"))
        assert "said AWS" in str(sentence)
        assert "Next: " in str(sentence)


def _spellings(call: str) -> Iterator[str]:
    service, _, name = call.partition(":")
    yield name
    yield from (word for word, operation in operations(service).items() if operation == name)


def _words() -> set[str]:
    """Every attribute and text of the console's source, but of its local mode, and of ``prove``, which asks the real
    AWS and takes every answer as evidence."""
    beside = {CONSOLE / "local", CONSOLE / "prove"}
    paths = (path for path in CONSOLE.rglob("*.py") if not beside & {*path.parents})
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return texts | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def test_the_documents_figures_are_those_of_the_walk() -> None:
    """Calls, errors, handled and raised, of the functions and of the console."""
    document = (CONSOLE.parent / "docs" / "local-aws.md").read_text(encoding="utf-8")
    columns = []
    for calls in (walked.of_functions(), walked.of_console()):
        given = [(call, error) for call in calls for error in walked.errors(call)]
        handled = sum(error in walked.handled(call) for call, error in given)
        columns.append((len(calls), len(given), handled, len(given) - handled))
    for name, *row in zip(("calls", "modelled errors", "handled", "raised on purpose"), *columns, strict=True):
        assert f"| {name} | {row[0]} | {row[1]} |" in document
