"""The direction of the arrows: what is pure knows no I/O and no clock, and nothing that ships knows the console."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

FUNCTIONS = Path(__file__).parents[2] / "functions"
MODULES = {str(path.relative_to(FUNCTIONS)): ast.parse(path.read_text()) for path in sorted(FUNCTIONS.rglob("*.py"))}
PURE = [
    "config",
    "claims",
    "windows",
    "gates",
    "core/facts",
    "core/state",
    "core/lease",
    "core/status",
    "core/admission",
    "core/actions",
    "core/plan",
    "audit",
    "aws_events",
    "inspection",
    "notify/news",
    "appspec/judge",
    "appspec/hook",
    "appspec/psych",
    "appspec/shell",
]
EFFECTS = {"os", "sys", "time", "io", "pathlib", "socket", "subprocess", "urllib", "random", "uuid", "threading"}
SHELL = {
    f"esteira.{name}"
    for name in (
        "store",
        "aws",
        "targets",
        "appspec.bundle",
        "advance",
        "perform",
        "snapshot",
        "observe",
        "ingest",
        "operate",
        "rollbacks",
        "posting",
        "notify.announce",
        "notify.webhook",
        "context",
        "each",
        "bootstrap",
        "telemetry",
    )
}
# The packages and modules through which the controller speaks to AWS: store*, aws*, targets*.
DOORS = re.compile(r"esteira/(store|aws|targets)(\.py|/.*)")


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield every module that is imported anywhere in the file, also inside a function or for typing only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots(tree: ast.AST) -> set[str]:
    return {name.split(".")[0] for name in imported(tree)}


def asks_the_time(tree: ast.AST) -> bool:
    """Whether the file calls ``datetime.now()`` or the like, or uses ``time``. ``do.now()`` is the context's clock."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return "time" in roots(tree) or any(
        isinstance(c, ast.Attribute)
        and c.attr in ("now", "utcnow", "today")
        and ast.unparse(c.value) not in ("do", "self")
        for c in calls
    )


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_imports_nothing_that_acts(name: str) -> None:
    """Facts, status and plan are values and functions of values, so they can be tested as such."""
    tree = MODULES[f"esteira/{name}.py"]
    assert not roots(tree) & (EFFECTS | {"boto3", "botocore", "aws_lambda_powertools"})
    assert not set(imported(tree)) & SHELL


def test_boto3_is_known_to_the_doors_to_aws_alone() -> None:
    """They are the store, the adapter and the targets."""
    knowing = {name for name, tree in MODULES.items() if roots(tree) & {"boto3", "botocore"}}
    assert knowing
    assert [name for name in knowing if not DOORS.fullmatch(name)] == []


def test_nothing_that_ships_knows_the_console() -> None:
    """The console is never deployed."""
    assert [name for name, tree in MODULES.items() if roots(tree) & {"console", "tests", "bench", "moto"}] == []


def test_only_the_bootstrap_reads_the_clock() -> None:
    """Time is an argument everywhere else."""
    shipped = {name: tree for name, tree in MODULES.items() if not name.startswith("host/")}
    assert [name for name, tree in shipped.items() if asks_the_time(tree)] == ["esteira/bootstrap.py"]


def test_nothing_happens_when_a_pure_module_or_a_door_is_imported() -> None:
    """boto3 is imported inside the functions that need it, so that a function starts light."""
    for name in [*(f"esteira/{pure}.py" for pure in PURE), *filter(DOORS.fullmatch, MODULES)]:
        top: list[ast.stmt] = [n for n in MODULES[name].body if isinstance(n, ast.Import | ast.ImportFrom)]
        assert not roots(ast.Module(top, [])) & {"boto3", "botocore"}, name
