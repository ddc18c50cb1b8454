"""Python web apps: which framework a repository uses, in which file, and how it is started.

The files are parsed, never imported.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from console.init.recognized import HEALTH_PATHS, STREAMLIT_HEALTH, Recognized, UnknownKindError, text_of

# Where an app may stand: at the root, or one folder below.
_FILES = ("*.py", "*/*.py")
_NOT_THE_APP = {"tests", "test", "docs", "notebooks", "venv", "env", "node_modules"}


@dataclass(frozen=True)
class _App:
    """An app in a file: the framework, the line, the name it has, and whether that name is a function that makes it."""

    framework: str
    path: Path
    line: int
    name: str = "app"
    made: bool = False


_STARTS = {
    # A worker holds the whole model in memory, so there is one, with threads.
    "Flask": "gunicorn --bind 0.0.0.0:8080 --threads 8 --timeout 120 {app}",
    "FastAPI": "uvicorn {app} --host 0.0.0.0 --port 8080",
    "Streamlit": "streamlit run {file} --server.port 8080 --server.address 0.0.0.0 --server.headless true",
    "Gradio": "python {file}",
}
_SERVERS = {"Flask": "gunicorn", "FastAPI": "uvicorn"}


def look(folder: Path) -> Recognized | None:
    """The Python app in a folder, None if there is none. Raises UnknownKindError where its packages are not named."""
    apps = sorted(_apps(folder), key=lambda app: (list(_STARTS).index(app.framework), len(app.path.parts), app.path))
    if not apps:
        return None
    app = apps[0]
    file = app.path.relative_to(folder).as_posix()
    health = STREAMLIT_HEALTH if app.framework == "Streamlit" else _health(text_of(app.path))
    seen = f"{app.framework} in line {app.line} of {file}"
    return Recognized(f"{app.framework} app", seen, 8080, health, _dockerfile(folder, app, file))


def _apps(folder: Path) -> Iterator[_App]:
    for pattern in _FILES:
        for path in sorted(folder.glob(pattern)):
            below = path.relative_to(folder).parts[:-1]
            if path.is_file() and not (_NOT_THE_APP & set(below)) and not any(part.startswith(".") for part in below):
                yield from _apps_in(path)


def _apps_in(path: Path) -> Iterator[_App]:
    try:
        tree = ast.parse(text_of(path))
    except (SyntaxError, ValueError):  # of another Python, or no Python
        return
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and (framework := _makes(node.value)):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                yield _App(framework, path, node.lineno, target.id)
        elif isinstance(node, ast.FunctionDef) and not node.args.args:
            framework = next(filter(None, map(_makes, (n for n in ast.walk(node) if isinstance(n, ast.Call)))), "")
            if framework in _SERVERS and any(isinstance(n, ast.Return) for n in ast.walk(node)):
                yield _App(framework, path, node.lineno, node.name, made=True)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in ("streamlit", "gradio"):
                    yield _App(alias.name.title(), path, node.lineno)


def _makes(value: ast.expr | None) -> str:
    """The framework whose app an expression makes, "" for any other expression."""
    if not isinstance(value, ast.Call):
        return ""
    called = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
    return called if called in _SERVERS else ""


def _health(text: str) -> str:
    return next((path for path in HEALTH_PATHS if f'"{path}"' in text or f"'{path}'" in text), "")


def _dockerfile(folder: Path, app: _App, file: str) -> str:
    server = _SERVERS.get(app.framework, "")
    install = " && ".join(
        filter(None, (_packages(folder, app), f"pip install --no-cache-dir {server}" if server else ""))
    )
    module = file.removesuffix(".py").replace("/", ".")
    # gunicorn calls a function that is written with brackets; uvicorn is told by an option.
    called = f"{module}:{app.name}" + ("()" if app.made and app.framework == "Flask" else "")
    start = _STARTS[app.framework].format(app=called, file=file)
    if app.made and app.framework == "FastAPI":
        start += " --factory"
    settings = "ENV GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=8080\n" if app.framework == "Gradio" else ""
    command = ", ".join(f'"{word}"' for word in start.split())
    return (
        f"FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nRUN {install}\n"
        f"ENV PYTHONUNBUFFERED=1\n{settings}EXPOSE 8080\nCMD [{command}]\n"
    )


def _packages(folder: Path, app: _App) -> str:
    """The command that installs the repository's packages. Raises UnknownKindError where nothing names them."""
    if (folder / "requirements.txt").is_file():
        return "pip install --no-cache-dir -r requirements.txt"
    if (folder / "pyproject.toml").is_file():
        return "pip install --no-cache-dir ."
    tree = ast.parse(text_of(app.path))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level}
    ours = {path.stem for path in folder.iterdir()}
    third = sorted({name.split(".")[0] for name in names} - sys.stdlib_module_names - ours - {""})
    raise UnknownKindError(
        f"this is a {app.framework} app, and nothing says which packages it needs. "
        f"Next: write requirements.txt ({app.path.name} imports {', '.join(third)}), then: esteira init"
    )
