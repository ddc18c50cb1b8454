"""The direction of the arrows: what is pure knows no I/O and no clock, nothing that ships knows the console, and no
imports run in a circle."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUNCTIONS = ROOT / "functions"
MODULES = {str(path.relative_to(FUNCTIONS)): ast.parse(path.read_text()) for path in sorted(FUNCTIONS.rglob("*.py"))}
PURE = [
    "config",
    "claims",
    "gates",
    "core/facts",
    "core/state",
    "core/lease",
    "core/actions",
    "core/admission",
    "core/status",
    "core/plan",
    "audit",
    "refusal",
    "inspection",
]
JUDGE = [name for name in MODULES if name.startswith("appspec/")]
# mask.py is the host's command, too, and reads what it is told to.
GUARD = [name for name in MODULES if name.startswith("guard/") and name != "guard/mask.py"]
SETTINGS = [name for name in MODULES if name.startswith("settings/")]
POLICY = [name for name in MODULES if name.startswith("policy/")]
SCANS = [name for name in MODULES if name.startswith("scans/")]
EVENTS = [name for name in MODULES if name.startswith("aws_events/")]
PURE_FILES = [
    *(f"esteira/{name}.py" for name in PURE),
    *JUDGE,
    *EVENTS,
    *POLICY,
    *GUARD,
    *SETTINGS,
    *SCANS,
    "windows/__init__.py",
    "notify/news.py",
]
EFFECTS = {"os", "sys", "time", "io", "pathlib", "socket", "subprocess", "urllib", "random", "uuid", "threading"}
SHELL = {
    f"esteira.{name}"
    for name in (
        "store",
        "aws",
        "bundle",
        "advance",
        "perform",
        "observe",
        "operate",
        "rollbacks",
        "context",
        "bootstrap",
        "telemetry",
    )
}


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that is imported anywhere in the file, also inside a function or for typing only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def roots(tree: ast.AST) -> set[str]:
    return {name.split(".")[0] for name in imported(tree)}


def asks_the_time(tree: ast.AST) -> bool:
    """Whether the file calls ``….now()``, ``….today()``, ``….utcnow()`` or anything of ``time`` but ``sleep``."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    times = [name for name in imported(tree) if name.split(".")[0] == "time"]
    return any(name != "time.sleep" for name in times if not (name == "time" and "time.sleep" in times)) or any(
        isinstance(c, ast.Attribute)
        and c.attr in ("now", "utcnow", "today")
        and ast.unparse(c.value) not in ("do", "self")
        for c in calls
    )


@pytest.mark.parametrize("name", PURE_FILES)
def test_a_pure_module_imports_nothing_that_acts(name: str) -> None:
    """Facts, phase and plan are values and functions of values; so they can be tested as such."""
    tree = MODULES[name]
    assert not roots(tree) & (EFFECTS | {"boto3", "botocore", "aws_lambda_powertools"})
    assert not set(imported(tree)) & SHELL


def test_the_judge_knows_nothing_of_the_controller() -> None:
    """The appspec package takes bytes and gives problems, so the local mode's agent reads by the same rules."""
    assert len(JUDGE) > 10
    assert [name for name in JUDGE if roots(MODULES[name]) & {"esteira", "console", "host"}] == []


def test_the_guard_knows_nothing_of_the_controller() -> None:
    """The guard's package takes text and gives places in it, so a host masks its logs by the same rules."""
    assert len(GUARD) > 5
    ours = {"esteira", "console", "host", "appspec"}
    assert [n for n in MODULES if n.startswith("guard/") and roots(MODULES[n]) - ours != roots(MODULES[n])] == []


def test_windows_know_nothing_of_the_controller() -> None:
    """Windows and a time in, open or closed out."""
    assert roots(MODULES["windows/__init__.py"]).isdisjoint({"esteira", "notify", "console"})


def test_the_controller_does_not_know_who_is_told() -> None:
    """What people hear is made from the controller's events, by a function of its own."""
    below = [name for name in MODULES if name.startswith(("esteira/", "appspec/", "windows/"))]
    assert [name for name in below if "notify" in roots(MODULES[name])] == []


def test_the_guard_is_imported_when_a_push_or_a_log_is_read() -> None:
    """No function starts with the rules: most calls need none of them."""
    for name, tree in MODULES.items():
        top: list[ast.stmt] = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        assert name.startswith("guard/") or "guard" not in roots(ast.Module(top, [])), name


def is_door(name: str) -> bool:
    """Whether the file belongs to a package that speaks to AWS."""
    return name.startswith(("esteira/store/", "esteira/aws/", "esteira/targets/"))


def test_only_store_aws_and_targets_know_aws() -> None:
    """boto3 and botocore are imported by the packages that speak to AWS, and by no other file."""
    knowing = {name for name, tree in MODULES.items() if roots(tree) & {"boto3", "botocore"}}
    assert knowing
    assert [name for name in knowing if not is_door(name)] == []


def test_nothing_that_ships_knows_the_console() -> None:
    """The console is never deployed."""
    assert [name for name, tree in MODULES.items() if roots(tree) & {"console", "tests", "bench", "moto"}] == []


def test_only_the_desk_reads_the_clock() -> None:
    """Time is an argument everywhere else, but for a trace, which is of how long things really took."""
    shipped = {name: tree for name, tree in MODULES.items() if not name.startswith("host/")}
    knowing = [name for name, tree in shipped.items() if asks_the_time(tree)]
    assert knowing == ["esteira/aws/tracing.py", "esteira/bootstrap.py"]


def test_nothing_happens_when_a_pure_module_or_a_door_is_imported() -> None:
    """boto3 is imported inside the functions that need it, so that a function starts light."""
    doors = [name for name in MODULES if is_door(name)]
    assert doors
    for name in [*PURE_FILES, *doors]:
        top: list[ast.stmt] = [n for n in MODULES[name].body if isinstance(n, ast.Import | ast.ImportFrom)]
        assert not roots(ast.Module(top, [])) & {"boto3", "botocore"}, name


# --- the console ------------------------------------------------------------------------------------------------------

# A folder imports from its own rank's lower ones only; folders of one rank do not import each other.
RANKS = {"read": 0, "local": 1, "init": 2, "doctor": 2, "record": 2, "ui": 2, "cli": 3, "prove": 4}


def modules(folder: Path, root: Path) -> dict[str, ast.Module]:
    """The modules below a folder by the name they are imported by."""
    files = (path for path in sorted(folder.rglob("*.py")) if "subjects" not in path.parts)
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): ast.parse(path.read_text())
        for path in files
    }


CONSOLE = modules(ROOT / "console", ROOT)
ALL = {**CONSOLE, **modules(FUNCTIONS, FUNCTIONS), **modules(ROOT / "bench", ROOT)}


def imports_of(name: str, known: Mapping[str, ast.Module]) -> set[str]:
    """The modules of ``known`` that one of them imports, also inside a function or for typing only."""
    return {other for other in imported(known[name]) if other in known and other != name}


def circle(known: Mapping[str, ast.Module]) -> list[str]:
    """One circle of imports among the modules, by their names in order; empty where there is none."""
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        found = next(filter(None, (visit(other, [*path, name]) for other in sorted(imports_of(name, known)))), [])
        done.add(name)
        return found

    return next(filter(None, (visit(name, []) for name in sorted(known))), [])


@pytest.mark.parametrize("folder", ["functions", "console"])
def test_no_modules_import_each_other_in_a_circle(folder: str) -> None:
    """Whoever reads a module needs to know only what stands below it."""
    known = {name: tree for name, tree in ALL.items() if (name in CONSOLE) == (folder == "console")}
    assert len(known) > 20
    assert circle(known) == []


def test_a_circle_is_found() -> None:
    """The search above would be content with anything if it found none."""
    known = {"a": ast.parse("import b"), "b": ast.parse("def f():\n    from c import x"), "c": ast.parse("import a")}
    assert circle(known) == ["a", "b", "c", "a"]


def test_arrows_in_the_console_point_down() -> None:
    """cli uses record, ui, doctor and read; nothing below knows the command line."""
    folder = {name: name.split(".")[1] for name in CONSOLE if name.count(".") > 1}
    assert set(folder.values()) == set(RANKS)
    upward = [
        f"{name} -> {other}"
        for name, there in folder.items()
        for other in imports_of(name, CONSOLE)
        if other in folder and folder[other] != there and RANKS[folder[other]] >= RANKS[there]
    ]
    assert upward == []


def test_no_class_name_stands_for_two_things() -> None:
    """A reader who has met a class knows it wherever its name comes again."""
    classes = [(n.name, name) for name, tree in ALL.items() for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    twice = {name for name, count in Counter(name for name, _ in classes).items() if count > 1}
    assert sorted(twice) == []


def test_no_function_is_longer_than_forty_lines() -> None:
    """What does not fit a screen does two things."""
    long = [
        f"{name}.{node.name}"
        for name, tree in ALL.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 40
    ]
    assert long == []
