"""``make build``: what is deployed to AWS. ``sam build``, then less to load and nothing left to compile.

``sam build`` needs neither Docker nor the runtime's Python (its builder is uv). What it makes would start slowly:
Lambda cannot keep bytecode, so each cold start compiles every module again, and botocore brings the descriptions of
four hundred services where nine are spoken to. So the artifact is trimmed, compiled by the runtime's own minor version
(a Python of this machine, or the runtime's image), and every handler is imported from it as proof.
"""

from __future__ import annotations

import argparse
import ast
import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from console.local.paths import FUNCTIONS, ROOT, TEMPLATE
from console.local.sam.emulator import MACHINES
from console.local.sam.sam_cli import LOCAL, RELEASE, SamError, artifact_of, build, last_words
from console.local.template import Stack, read

LIMIT_MB = 10.0
MB = 1_000_000
HERE = MACHINES.get(platform.machine(), "x86_64")
INSIDE = "/var/task"  # where Lambda unpacks the artifact; bytecode names its source there
# What no function reads: what SAM and uv leave behind, boto3's other interface, Powertools but for its logger and its
# figures, web pages, a pydantic of years ago, cron in words, and lists of time zones beside the zones.
UNREAD = (
    ".lock",
    "bin",
    "requirements.txt",
    "boto3/data",
    "boto3/examples",
    "aws_lambda_powertools/event_handler",
    *(
        f"aws_lambda_powertools/utilities/{name}"
        for name in (
            "auth_alpha",
            "batch",
            "circuit_breaker",
            "data_classes",
            "data_masking",
            "feature_flags",
            "idempotency",
            "kafka",
            "metadata",
            "parameters",
            "parser",
            "streaming",
            "validation",
        )
    ),
    "pydantic/v1",
    "cronsim/explain.py",
    "tzdata/zoneinfo/tzdata.zi",
    "tzdata/zoneinfo/zone.tab",
    "tzdata/zoneinfo/zone1970.tab",
    "tzdata/zoneinfo/zonenow.tab",
)

COMPILE = """
import compileall, py_compile, sys
folder, inside = sys.argv[1:]
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
good = compileall.compile_dir(folder, quiet=1, invalidation_mode=mode, stripdir=folder, prependdir=inside)
sys.exit(not good)
"""
# Without site-packages and the user's environment: what is not in the artifact is not there.
IMPORT = """
import importlib, json, sys
folder, told = sys.argv[1], json.loads(sys.argv[2])
sys.path.insert(0, folder)
sys.dont_write_bytecode = True
for handler in told["handlers"]:
    module, _, name = handler.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name)), handler
for module in told["modules"]:
    importlib.import_module(module)
import boto3
for service in [*told["services"], "xray"]:  # the last by the first call that is traced
    boto3.client(service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
elsewhere = [m.__file__ for m in sys.modules.values() if "site-packages" in (getattr(m, "__file__", None) or "")]
assert not elsewhere, elsewhere
plain = [m.__file__ for m in sys.modules.values() if (getattr(m, "__file__", None) or "").startswith(folder)
         and m.__file__.endswith(".py") and not __import__("os").path.exists(m.__cached__)]
assert not plain, plain
"""


class ReleaseError(Exception):
    """The release cannot be made; the sentence says why and what to do."""


@dataclass(frozen=True)
class Interpreter:
    """A Python of the runtime's minor version: a program of this machine, or the runtime's image in Docker."""

    program: str = ""
    image: str = ""

    @property
    def named(self) -> str:
        """What to call it."""
        return self.program or f"the image {self.image}"

    def run(self, code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``code`` alone with ``folder`` and ``arguments``."""
        if self.program:
            command = [self.program, "-I", "-S", "-c", code, str(folder), *arguments]
        else:
            mounted = [
                "--rm",
                "--network",
                "none",
                "--user",
                f"{os.getuid()}:{os.getgid()}",
                "-v",
                f"{folder}:{INSIDE}",
            ]
            inside = ["--entrypoint", "python3", self.image, "-I", "-S", "-c", code, INSIDE, *arguments]
            command = ["docker", "run", *mounted, *inside]
        return subprocess.run(command, capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class Size:
    """What an artifact weighs, in MB of a million bytes: as a zip file, and unpacked."""

    zipped: float
    unpacked: float

    def __str__(self) -> str:
        return f"{self.zipped:.1f} MB zipped, {self.unpacked:.1f} MB unpacked"


def runtime(stack: Stack) -> str:
    """The version of the functions' Python that the template asks for, such as ``3.13``."""
    return str(stack.document["Globals"]["Function"]["Runtime"]).removeprefix("python")


def interpreter(version: str, wanted: str = "") -> Interpreter:
    """A Python ``version``: the ``wanted`` program, one on PATH, or the runtime's image. Raises ReleaseError.

    A program of the right name may be a shim that starts nothing, or another version; so each is asked.
    """
    names = [wanted] if wanted else [f"{folder}/python{version}" for folder in os.get_exec_path()]
    for name in [*names, *([] if wanted else [sys.executable])]:
        if version_of(name) == version:
            return Interpreter(program=name)
    image = f"public.ecr.aws/lambda/python:{version}"
    if not wanted and _has_image(image):
        return Interpreter(image=image)
    where = f"{wanted} is no Python {version}" if wanted else f"there is no Python {version} here, and no image {image}"
    raise ReleaseError(
        f"{where}; bytecode is good for the minor version that made it. Next: make build PYTHON_OF_RUNTIME=PATH with a "
        f"Python {version}, or docker pull {image}"
    )


def services(folder: Path = FUNCTIONS) -> tuple[str, ...]:
    """The AWS services that the code in ``folder`` makes a client of, each by its literal name."""
    return tuple(sorted({name for tree in _trees(folder) for name in _asked_for(tree)}))


def modules(folder: Path = FUNCTIONS) -> tuple[str, ...]:
    """What the code in ``folder`` imports anywhere, also where it is first needed; not its own modules."""
    own = {"__future__", *(path.stem for path in folder.iterdir())}
    nodes = [node for tree in _trees(folder) for node in ast.walk(_WithoutTyping().visit(tree))]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    told = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return tuple(sorted(name for name in plain | told if name.split(".")[0] not in own))


def trim(artifact: Path, kept: tuple[str, ...]) -> None:
    """Take out of an artifact what no function reads: other services' descriptions, other Pythons' bytecode."""
    for name in UNREAD:
        _remove(artifact / name)
    for folder in [*artifact.rglob("__pycache__")]:
        _remove(folder)
    for described in (artifact / "botocore" / "data").iterdir():
        if described.is_dir() and described.name not in kept:
            _remove(described)


def compiled(artifact: Path, python: Interpreter) -> None:
    """Compile every module, good whatever the time stamps are. Raises ReleaseError where one does not compile."""
    came = python.run(COMPILE, artifact, INSIDE)
    if came.returncode:
        raise ReleaseError(f"{python.named} could not compile the artifact. {came.stdout.strip()} {last_words(came)}")


def imported(artifact: Path, python: Interpreter, stack: Stack) -> None:
    """Import every handler and module, and make every client, from the artifact alone, with its bytecode.

    Raises ReleaseError where one fails.
    """
    own = (path for path in sorted(FUNCTIONS.glob("*/*.py")) if path.parent.name != "host")
    told = {
        "handlers": [function.handler for function in stack.functions],
        "modules": [*(f"{p.parent.name}.{p.stem}" for p in own), *modules()],
        "services": services(),
    }
    came = python.run(IMPORT, artifact, json.dumps(told))
    if came.returncode:
        raise ReleaseError(
            f"the artifact does not start under {python.named}: {last_words(came)} Next: put back what it misses "
            f"(UNREAD and services in console/local/sam/artifact.py), then make build"
        )


def pack(artifact: Path, file: Path) -> Size:
    """Write the artifact into a zip file, as ``sam package`` does, and return what both weigh."""
    unpacked = 0
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for path in sorted(p for p in artifact.rglob("*") if p.is_file()):
            packed.write(path, path.relative_to(artifact))
            unpacked += path.stat().st_size
    return Size(file.stat().st_size / MB, unpacked / MB)


def contents(artifact: Path) -> set[str]:
    """The artifact's files, with the architecture taken out of their names."""
    files = (str(p.relative_to(artifact)) for p in artifact.rglob("*") if p.is_file())
    return {f.replace("aarch64-linux-gnu", "ARCH").replace("x86_64-linux-gnu", "ARCH") for f in files}


def make(folder: Path, architecture: str, python: Interpreter) -> tuple[Size, Size]:
    """Build, trim and compile into ``folder``; return the size before and after. Raises SamError or ReleaseError."""
    artifact, file = build(folder, architecture), folder / "artifact.zip"
    before = pack(artifact, file)
    trim(artifact, services())
    compiled(artifact, python)
    after = pack(artifact, file)
    file.unlink()
    return before, after


def release(architecture: str, python: Interpreter, stack: Stack) -> tuple[Size, Size]:
    """Make the release in .aws-sam/build and prove it; return its size before and after.

    An artifact for another processor cannot be imported here. It differs from this machine's in compiled extensions
    only: that one is made too, the same files are in it, and it is imported. Raises SamError or ReleaseError.
    """
    before, after = make(RELEASE, architecture, python)
    proof = RELEASE
    if architecture != HERE:
        proof = LOCAL
        make(LOCAL, HERE, python)
        if other := contents(artifact_of(RELEASE)) ^ contents(artifact_of(LOCAL)):
            raise ReleaseError(f"the {architecture} artifact has other files than this machine's: {sorted(other)[:5]}")
    imported(artifact_of(proof), python, stack)
    if after.zipped > LIMIT_MB:
        raise ReleaseError(
            f"the artifact is {after}, over the limit of {LIMIT_MB:.0f} MB zipped. Next: see what grew: "
            f"du -a {artifact_of(RELEASE).relative_to(ROOT)} | sort -n | tail"
        )
    return before, after


def version_of(program: str) -> str:
    """The version of a Python, such as ``3.13``; "" where it does not start."""
    if not shutil.which(program):
        return ""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    came = subprocess.run([program, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    return came.stdout.strip()


def _has_image(image: str) -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0


def _trees(folder: Path) -> Iterator[ast.AST]:
    """What the functions run; host/ is only carried by them, to a host and its own Python."""
    for path in sorted(folder.rglob("*.py")):
        if path.relative_to(folder).parts[0] != "host":
            yield ast.parse(path.read_text())


class _WithoutTyping(ast.NodeTransformer):
    """Takes out what only a type checker imports."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """Drop ``if TYPE_CHECKING:``."""
        return None if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" else node


def _asked_for(tree: ast.AST) -> Iterator[str]:
    """The literal argument of every call of something called ``client``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == "client":
                yield str(node.args[0].value)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Make a release as the command line says; print what it weighs. Return the exit status."""
    stack = read(TEMPLATE)
    default = str(stack.document["Parameters"]["Architecture"]["Default"])
    parser = argparse.ArgumentParser(prog="make build", description="Build what is deployed to AWS.")
    parser.add_argument("--architecture", choices=["arm64", "x86_64"], default=default, help="default: %(default)s")
    parser.add_argument("--python", default="", metavar="PATH", help="a Python of the runtime's version")
    asked = parser.parse_args(arguments)
    try:
        python = interpreter(runtime(stack), asked.python)
        before, after = release(asked.architecture, python, stack)
    except (SamError, ReleaseError) as error:
        print(error, file=sys.stderr)
        return 1
    say = functools.partial(print, flush=True)
    say(f"{RELEASE.relative_to(ROOT)} for {asked.architecture}: one artifact for {len(stack.functions)} functions")
    say(f"  as sam built it   {before}")
    say(f"  as it is released {after}: bytecode by {python.named}; {', '.join(services())}")
    say("Next: sam deploy, or make invoke EVENT=events/codecommit_created.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
