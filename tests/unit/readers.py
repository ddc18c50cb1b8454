"""Every reader of text from outside, as a process that reads documents one after another under limits of its own: each
document has ``SECONDS`` of processor time and the process ``MEGABYTES`` of memory, and the kernel ends it beyond them.

``python -m tests.unit.readers NAME`` is that process. Its words: a document's length in four bytes and the document;
its answer is one line, ``read``, ``refused``, or the error that nobody expected.
"""

from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
SECONDS = 2  # of the processor, for one document as large as the reader takes
MEGABYTES = 512
NOW = datetime(2026, 11, 23, 15, 4, 5, tzinfo=UTC)

Read = Callable[[bytes], object]


@dataclass(frozen=True)
class Reader:
    """``make`` gives what reads, and the errors by which it refuses. ``largest``: bytes of a document that can come."""

    make: Callable[[], tuple[Read, tuple[type[Exception], ...]]]
    largest: int
    examples: tuple[str, ...]  # files, by patterns


def _json(text: bytes) -> object:
    """What Lambda's runtime makes of an event; where it makes none, no function of ours is called."""
    try:
        return json.loads(text)
    except (RecursionError, ValueError) as error:  # a number may have 4,300 digits
        raise json.JSONDecodeError("too deep", "", 0) from error


def _event() -> tuple[Read, tuple[type[Exception], ...]]:
    import aws_events
    from esteira.refusal import Refused

    services, settings = _configured()
    return lambda text: aws_events.read(_json(text), services, NOW, settings), (Refused,)


def _announcement() -> tuple[Read, tuple[type[Exception], ...]]:
    from esteira.refusal import Refused
    from notify import news

    services, settings = _configured()

    def read(text: bytes) -> object:
        said = news.read(_json(text), settings)
        return said if isinstance(said, news.NotOurs) else news.news(said, services[0])

    return read, (Refused,)


def _word() -> tuple[Read, tuple[type[Exception], ...]]:
    from esteira import operate
    from esteira.refusal import Refused

    services, _ = _configured()
    return lambda text: operate.read(_json(text), services), (Refused,)


def _registration() -> tuple[Read, tuple[type[Exception], ...]]:
    from pydantic import ValidationError

    from esteira.config import Service

    return Service.model_validate_json, (ValidationError,)


def _policy() -> tuple[Read, tuple[type[Exception], ...]]:
    from policy.reading import PolicyError, read

    services, _ = _configured()
    return lambda text: read(text.decode(errors="replace"), services[0]), (PolicyError,)


def _appspec() -> tuple[Read, tuple[type[Exception], ...]]:
    from appspec.problem import File
    from appspec.verdict import problems

    script = File(b"#!/bin/bash\ncd /\n", executable=True)
    return lambda text: problems(text, {"scripts/start.sh": script, "appspec.yml": File(text)}), ()


def _script() -> tuple[Read, tuple[type[Exception], ...]]:
    from appspec.script import script_problems

    return lambda text: list(script_problems("scripts/start.sh", text, {"scripts/start.sh", "nginx.conf"})), ()


def _agent() -> tuple[Read, tuple[type[Exception], ...]]:
    from console.local.agent import appspec_reader

    return appspec_reader.parse, (appspec_reader.AppspecError,)


def _buildspec() -> tuple[Read, tuple[type[Exception], ...]]:
    from console.local.build import buildspec

    return lambda text: buildspec.parse(text.decode()), (buildspec.BuildspecError,)


def _golden() -> tuple[Read, tuple[type[Exception], ...]]:
    sys.path.insert(0, str(ROOT / "functions" / "host" / "hooks"))
    import golden

    file = Path(tempfile.mkstemp()[1])

    def read(text: bytes) -> object:
        file.write_bytes(text)
        return golden.read(file)

    return read, (golden.WrongError, RecursionError)  # as its main does


def _dockerfile() -> tuple[Read, tuple[type[Exception], ...]]:
    from console.local.process.docker_images import DockerError, Images
    from console.local.process.dockerfile import Recipe
    from console.local.process.packages import Packages

    class Uninstalled(Packages):
        """What a RUN asks for is read and not installed, which would be the installer's time and memory."""

        def install(self, *_: Any) -> tuple[str, str]:
            return "", ""

    folder = Path(tempfile.mkdtemp())
    images, packages = Images(folder / "images"), Uninstalled(folder / "packages")
    return lambda text: Recipe(text, {}, images, packages, say=lambda _: None).stage(), (DockerError,)


def _endless() -> tuple[Read, tuple[type[Exception], ...]]:
    def read(text: bytes) -> object:
        while text == b"x":
            pass
        return text

    return read, ()


def _greedy() -> tuple[Read, tuple[type[Exception], ...]]:
    return lambda text: bytearray(MEGABYTES * 1024 * 1024 * (text == b"x")), ()


# By these the tests see that the limits hold.
WRONG: Mapping[str, Reader] = {
    "a reader that never ends": Reader(_endless, 1, ()),
    "a reader that takes all memory": Reader(_greedy, 1, ()),
}


def _guard() -> tuple[Read, tuple[type[Exception], ...]]:
    from guard.reading import look

    return lambda text: look("config.env", text), ()


def _mask() -> tuple[Read, tuple[type[Exception], ...]]:
    from guard.mask import masked

    return lambda text: masked(text.decode(errors="replace"), ["correct horse battery"]), ()


READERS: Mapping[str, Reader] = {
    "changed file": Reader(_guard, 512 * 1024, ("examples/*/*.yml", "functions/host/hooks/*.sh", "model_service/*.py")),
    "log": Reader(_mask, 64 * 1024, ("functions/host/hooks/*.sh", "model_service/*.py")),
    "event": Reader(_event, 256 * 1024, ("events/c*.json", "events/ecr_*.json")),
    "announcement": Reader(_announcement, 256 * 1024, ("events/release_phase_changed.json", "events/hold_*.json")),
    "word": Reader(_word, 256 * 1024, ("events/operate_*.json",)),
    "registration": Reader(_registration, 8 * 1024, ()),
    "policy": Reader(_policy, 32 * 1024, ()),
    "appspec": Reader(_appspec, 64 * 1024, ("examples/*/appspec.yml", "functions/host/appspec.yml")),
    "script": Reader(_script, 256 * 1024, ("examples/*/scripts/*.sh", "functions/host/hooks/*.sh")),
    "agent": Reader(_agent, 64 * 1024, ("examples/*/appspec.yml", "functions/host/appspec.yml")),
    "buildspec": Reader(_buildspec, 64 * 1024, ("examples/*/buildspec.yml", "model_service/buildspec.yml")),
    "golden questions": Reader(_golden, 1024 * 1024, ()),
    "Dockerfile": Reader(_dockerfile, 64 * 1024, ()),
}
DOCKERFILE = b"""# syntax=docker/dockerfile:1
ARG BASE=scratch
FROM ${BASE} AS first
ENV A=1 B="two words" \\
    C=${A:-none}
LABEL who="$B"
WORKDIR /app/$A
EXPOSE 8080/tcp
USER 1000
HEALTHCHECK --interval=5s CMD ["true"]
RUN <<E
echo "$A"
E
FROM first
ENTRYPOINT ["python", "-m", "serving"]
"""
WRITTEN: Mapping[str, tuple[Any, ...]] = {
    "policy": (
        {
            "stages": {"production": {"approvals": {"votes": 2}, "bake_minutes": 30, "alarms": ["errors"]}},
            "gates": {"roc_auc": {"min": 0.85}},
            "words": {"bypass": []},
        },
    ),
    "golden questions": (
        {
            "format": 1,
            "path": "/invocations",
            "content_type": "application/json",
            "questions": [{"body": [[1.5, None]], "expected": {"answer": [0.5, "no"]}, "tolerance": 0.0001}],
        },
    ),
}


def examples(name: str) -> list[bytes]:
    """Real documents of a reader's kind."""
    found = [path.read_bytes() for pattern in READERS[name].examples for path in sorted(ROOT.glob(pattern))]
    if name == "registration":
        services, _ = _configured()
        found += [service.model_dump_json().encode() for service in services]
    found += [DOCKERFILE] if name == "Dockerfile" else []
    return found + [json.dumps(document).encode() for document in WRITTEN.get(name, ())]


class ReaderProcess:
    """A reader under its limits. It is started anew where the kernel ended it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, document: bytes) -> str:
        """What came of it: ``read``, ``refused``, the error that nobody expected, or how the process ended."""
        process = self._process or self._start()
        assert process.stdin
        assert process.stdout
        with suppress(BrokenPipeError):  # it has ended already, and is found to have
            process.stdin.write(struct.pack("!I", len(document)) + document)
            process.stdin.flush()
        if said := process.stdout.readline().decode().strip():
            return said
        self._process = None
        return f"ended by signal {-process.wait()}"

    def _start(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "tests.unit.readers", self._name]
        environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'functions'}", "PATH": "/usr/bin:/bin"}
        self._process = subprocess.Popen(
            words, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        return self._process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            assert self._process.stdin
            self._process.stdin.close()
            self._process.wait()


def _configured() -> tuple[Any, Any]:
    from tests.unit.conftest import HEART, SETTINGS

    return (HEART,), SETTINGS


def _documents() -> Iterator[bytes]:
    stream = sys.stdin.buffer
    while head := stream.read(4):
        yield stream.read(struct.unpack("!I", head)[0])


def main(name: str) -> None:
    """Read documents until there is none."""
    read, refusals = {**READERS, **WRONG}[name].make()
    read_once(read, refusals, b"{}")  # what is imported late is not a document's
    memory = MEGABYTES * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    for document in _documents():
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + 1 + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        print(read_once(read, refusals, document), flush=True)


def read_once(read: Read, refusals: tuple[type[Exception], ...], document: bytes) -> str:
    """What came of one document. What is not UTF-8 or not JSON never comes to a reader of text or of an event."""
    try:
        read(document)
    except (UnicodeDecodeError, json.JSONDecodeError):
        return "refused"
    except refusals:
        return "refused"
    except BaseException as error:  # noqa: BLE001 - told, and judged by who asked
        return f"{type(error).__name__}: {error}"[:300].replace("\n", " ")
    return "read"


if __name__ == "__main__":
    main(sys.argv[1])
