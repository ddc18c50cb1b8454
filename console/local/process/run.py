"""RUN without an engine: what of a command line can be carried out, what may be left, and what needs an engine.

Carried out: ``pip install``, and ``mkdir``. Left, and said: what a system's package manager does, as this machine's own
programs serve; users and owners, as there are none; what only tidies or checks. Anything else would make an image that
is not the one the Dockerfile describes, so it is refused. In an earlier stage it is refused when its work is taken.
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace

from appspec.shell import Command, commands
from console.local.process.build_stage import ENGINE, BuildStage, Ground
from console.local.process.dockerfile_text import Instruction
from console.local.process.oci import Entry, with_parents
from console.local.process.packages import Install, PackageError

_SYSTEM = frozenset(
    (
        "add-apt-repository",
        "adduser",
        "addgroup",
        "apk",
        "apt",
        "apt-get",
        "chgrp",
        "chown",
        "dnf",
        "dpkg-reconfigure",
        "groupadd",
        "ldconfig",
        "locale-gen",
        "microdnf",
        "update-ca-certificates",
        "useradd",
        "usermod",
        "yum",
    )
)
_TIDY = frozenset(
    (
        ".",
        "[",
        "cd",
        "deactivate",
        "echo",
        "exit",
        "export",
        "find",
        "hash",
        "rm",
        "set",
        "source",
        "sync",
        "test",
        "true",
        "umask",
        "unset",
    )
)
_PIP = re.compile(r"(.*/)?pip[0-9.]*")
_PYTHON = re.compile(r"(.*/)?python[0-9.]*")
_COMPOUND = frozenset(("case", "do", "else", "for", "function", "if", "then", "until", "while"))


def apply_run(found: Instruction, stage: BuildStage, ground: Ground) -> None:
    """Do what of the line can be done; refuse or note the rest."""
    if found.exec_form:
        parsed = [Command(found.words, (), "", 1)]
    elif len(found.heredocs) == 1 and found.text.removeprefix("<<").lstrip("-").strip("\"'") == found.heredocs[0].name:
        parsed = commands(found.heredocs[0].content)
    else:
        parsed = commands(found.text)
    if any(word in _COMPOUND for command in parsed for word in command.words[:1]):
        return _cannot(found, "a compound command", stage, ground)
    left = []
    for command in parsed:
        run = tuple(_expanded(word, stage.variables) for word in command.run)
        said = _do(run, found, stage, ground)
        if said is None:
            return _cannot(found, " ".join(run), stage, ground)
        left += [said] if said else []
    if left:
        ground.say(f"RUN: not done here, as this machine's own programs serve: {'; '.join(dict.fromkeys(left))}")
    return None


def _do(run: tuple[str, ...], found: Instruction, stage: BuildStage, ground: Ground) -> str | None:
    """Do one command. "" where it is done or makes nothing, what was left out, None where it cannot be done."""
    if not run or run[0] in _TIDY:
        return ""
    if run[0] in _SYSTEM:
        return " ".join(run[:2])
    if run[0] == "mkdir":
        return _make(run[1:], stage)
    python = run[1:] if _PYTHON.fullmatch(run[0]) else ()
    if python[:2] in (("-m", "venv"), ("-m", "virtualenv"), ("-m", "compileall")) or run[0] == "virtualenv":
        return ""
    if python[:1] == ("-c",) and len(python) == 2:
        return "" if _only_imports(python[1]) else None
    uv = run[:2] == ("uv", "pip")
    if run[0] == "uv" and run[1:2] == ("venv",):
        return ""
    if not (uv or python[:2] == ("-m", "pip") or _PIP.fullmatch(run[0])):
        return None
    return _pip(run[2:] if uv else python[2:] or run[1:], found, stage, ground)


def _pip(words: tuple[str, ...], found: Instruction, stage: BuildStage, ground: Ground) -> str | None:
    install = Install.of(words)
    if install is None:
        return None
    if not install.wanted:
        return ""  # pip uninstall, pip cache purge
    try:
        key = ground.packages.install(install, stage.tree, stage.config.workdir or "/", ground.say)
    except PackageError as error:
        found.refuse(f"{error}.")
    stage.packages = tuple(dict.fromkeys((*stage.packages, key))) if key else stage.packages
    stage.installs = True
    return ""


def _make(words: tuple[str, ...], stage: BuildStage) -> str | None:
    paths = [word for word in words if not word.startswith("-")]
    if any(re.search(r"[*?$`{]", path) for path in paths):
        return None
    places = [posixpath.normpath(posixpath.join("/", stage.config.workdir, path)).strip("/") for path in paths]
    layer = {place: Entry("directory") for place in places if place and place not in stage.tree}
    if layer:
        stage.layers.append(layer)
        stage.tree.update(with_parents(layer))
    return ""


def _only_imports(code: str) -> bool:
    """Whether a Python program does nothing but import, as a check of what was installed does."""
    try:
        return all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(code).body)
    except SyntaxError:
        return False


def _expanded(word: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda match: variables.get(match[1] or match[2], match[0]), word)


def _cannot(found: Instruction, what: str, stage: BuildStage, ground: Ground) -> None:
    shown = what if len(what) <= 60 else f"{what[:59]}…"
    why = f"the process engine does not run {shown}, and without it the image would be another one; {ENGINE}"
    if ground.last:
        found.refuse(why)
    stage.undone = replace(found, text=json.dumps(found.text)[1:-1]), why
