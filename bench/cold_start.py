"""How long each function takes from nothing to its first answer, in its container: the runtime's image, the emulator
and a new container for each sample, as ``sam local invoke`` runs it but without what SAM itself takes.

In one run and in turns: the four functions from the release that ``make build`` makes, the same from what ``sam build``
alone makes, a function that does nothing, and one that makes one boto3 client. The functions answer a real event
against a local AWS on this machine, which is their usual first answer and includes that AWS's own work. *Init* is told
from inside (``subjects/probe.py``): the SAM CLI's own figure for it is none. Nothing limits the processor, and Lambda
gives 512 MB a third of one; others at work make every time longer, but the processor time of init hardly, so the
promises are about that. Only the ratios carry.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.meter import BenchError
from console.local.ports import LOOPBACK, free_port
from console.local.sam import emulator
from console.local.sam.artifact import HERE, ReleaseError, interpreter, make, runtime
from console.local.sam.emulator import EmulatorError
from console.local.sam.invoke import Door, InvokeError, door, image, variables
from console.local.sam.sam_cli import SamError, artifact_of, build
from tests.sam.world import CREDENTIALS, World, template, world

RUNS = 11
FIRST_SECONDS = 60.0
# The processor time of a released function's init, at most: of what sam build alone makes, and of one boto3 client.
AT_MOST = {"plain": 0.6, "client": 1.5}
AGAINST = {"plain": "what sam build alone makes", "client": "one boto3 client"}
EVENTS = {
    "intake": "codecommit_created",
    "sweep": "schedule",
    "operate": "operate_hold",
    "announce": "release_phase_changed",
}
SUBJECTS = Path(__file__).parent / "subjects"
INVOKE = "/2015-03-31/functions/function/invocations"
MEASURES = ("init_ms", "init_cpu_ms", "import_ms", "handler_ms", "first_answer_ms", "whole_ms")


@dataclass(frozen=True)
class ColdSubject:
    """One function to start: its artifact, its handler, its environment and the event it is asked with."""

    name: str
    artifact: Path
    handler: str
    environment: dict[str, str]
    event: Any


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Build, start everything RUNS times in turns, and return the medians and the ratios.

    Raises BenchError where an engine, the runtime's image, the SAM CLI or the emulator is missing, or a function fails.
    """
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="esteira-bench-")))
        try:
            parts = emulator.find()
            say("building the release, and what sam build alone makes")
            released, plain = _artifacts(folder)
            here = opened.enter_context(world(folder / "aws", datetime.now(UTC).replace(microsecond=0)))
            way = opened.enter_context(door(here.url, image(template()), folder))
        except (EmulatorError, InvokeError, ReleaseError, SamError) as error:
            raise BenchError(str(error)) from None
        subjects = _subjects(released, plain, here, way)
        say("one start of each, so that none pays for reading the files from the disk")
        _round(subjects, way, parts.program)
        rounds = []
        for number in range(1, RUNS + 1):
            say(f"{number} of {RUNS} starts of each of {len(subjects)}, in turns")
            rounds.append(_round(subjects, way, parts.program))
    return _figures(rounds)


def missed(result: dict[str, Any]) -> list[str]:
    """A sentence for every function that is heavier than promised."""
    return [
        f"{name}'s init takes {ratio:.2f} x the processor time of {AGAINST[against]}, more than {AT_MOST[against]} x"
        for name, ratios in result["ratios"].items()
        for against, ratio in ratios.items()
        if ratio > AT_MOST[against]
    ]


def table(result: dict[str, Any]) -> list[str]:
    """The medians as Markdown."""
    lines = [
        f"Median of {result['runs']} new containers each, in turns; ms:",
        "",
        "| | init | its processor time | the handler's first call | first answer | with the container's start |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, told in result["median_ms"].items():
        row = [told[m] for m in ("init_ms", "init_cpu_ms", "handler_ms", "first_answer_ms", "whole_ms")]
        lines.append(f"| {name} | " + " | ".join(f"{ms:.0f}" for ms in row) + " |")
    worst = {against: max(r[against] for r in result["ratios"].values()) for against in AT_MOST}
    lines += [""]
    for against, most in AT_MOST.items():
        verdict = "kept" if worst[against] <= most else "MISSED"
        promise = f"Init's processor time, at most {most} x {AGAINST[against]}"
        lines.append(f"{promise}: the heaviest is {worst[against]:.2f}, {verdict}.")
    of_plain = ", ".join(f"{name} {ratio:.2f}" for name, ratio in result["first_answer_of_plain"].items())
    first = f"The first answer of a release takes, of the plain build's: {of_plain}"
    return [*lines, "", f"{first}. The local AWS's own work is in it."]


def _figures(rounds: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    medians = {
        name: {m: round(statistics.median(r[name][m] for r in rounds), 1) for m in MEASURES} for name in rounds[0]
    }
    client = medians["one boto3 client"]["init_cpu_ms"]
    return {
        "runs": len(rounds),
        "median_ms": medians,
        "ratios": {
            name: {
                "plain": round(medians[name]["init_cpu_ms"] / medians[f"{name}, sam build alone"]["init_cpu_ms"], 3),
                "client": round(medians[name]["init_cpu_ms"] / client, 3),
            }
            for name in EVENTS
        },
        "first_answer_of_plain": {
            name: round(medians[name]["first_answer_ms"] / medians[f"{name}, sam build alone"]["first_answer_ms"], 3)
            for name in EVENTS
        },
    }


# --- what is started ------------------------------------------------------------------------------------------------


def _artifacts(folder: Path) -> tuple[Path, Path]:
    """The artifact of a release, and what sam build alone makes, for this machine's processor."""
    make(folder / "released", HERE, interpreter(runtime(template())))
    return artifact_of(folder / "released"), build(folder / "plain", HERE)


def _subjects(released: Path, plain: Path, here: World, way: Door) -> list[ColdSubject]:
    """Everything to start. The world gets a push, so that there is something to advance."""
    here.before("codecommit_created")
    specs = {f.name.rpartition("-")[2]: f for f in template().functions}
    environments = {name: dict(variables(spec, way)) for name, spec in specs.items()}
    nothing = ColdSubject("nothing", released, "nothing.handler", environments["intake"], {})
    client = "one_client.handler"
    return [
        nothing,
        ColdSubject("one boto3 client", released, client, environments["intake"], {}),
        ColdSubject("one boto3 client, sam build alone", plain, client, environments["intake"], {}),
        *(
            ColdSubject(f"{name}{more}", artifact, specs[name].handler, environments[name], here.addressed(event))
            for name, event in EVENTS.items()
            for more, artifact in (("", released), (", sam build alone", plain))
        ),
    ]


# --- starting -------------------------------------------------------------------------------------------------------


def _round(subjects: list[ColdSubject], way: Door, program: Path) -> dict[str, dict[str, float]]:
    return {subject.name: _start(subject, way, program) for subject in subjects}


def _start(subject: ColdSubject, way: Door, program: Path) -> dict[str, float]:
    """Start a container, ask the function once, and return what it and the clock tell, in ms."""
    with _container(subject, way, program) as (name, port):
        began = time.perf_counter()
        _docker("start", name)
        asked, body = _first_answer(port, json.dumps(subject.event).encode())
        answered = time.perf_counter()
        told = _read(subject, body)
    return {
        **{measure: told[measure] for measure in MEASURES if measure in told},
        "first_answer_ms": (answered - asked) * 1000,
        "whole_ms": (answered - began) * 1000,
    }


@contextmanager
def _container(subject: ColdSubject, way: Door, program: Path) -> Iterator[tuple[str, int]]:
    """Make a container that is not started yet; yield its name and the port it will answer on."""
    name, port = f"esteira-cold-{uuid.uuid4().hex[:8]}", free_port()
    environment = {
        **subject.environment,
        **CREDENTIALS,
        "AWS_REGION": CREDENTIALS["AWS_DEFAULT_REGION"],
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(int(FIRST_SECONDS)),
        "POWERTOOLS_TRACE_DISABLED": "true",  # there is no X-Ray here to send a trace to
        "PROBED": subject.handler,
        "_HANDLER": "probe.handler",
    }
    to_aws = [word.replace("--docker-network", "--network") for word in way.arguments]  # SAM has a word of its own
    words = ["create", "--name", name, "--publish", f"{LOOPBACK}:{port}:8080", *to_aws]
    for folder, inside in ((subject.artifact, "/var/task"), (SUBJECTS, "/opt/python"), (program, "/rapid")):
        words += ["--volume", f"{folder}:{inside}:ro"]
    words += [word for variable in environment.items() for word in ("--env", "=".join(variable))]
    _docker(*words, "--entrypoint", "/rapid", image(template()), "--log-level", "error", "/var/runtime/bootstrap")
    try:
        yield name, port
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)


def _first_answer(port: int, event: bytes) -> tuple[float, bytes]:
    """Ask until the emulator listens, and return when the question that was answered was asked, and the answer.

    It starts the runtime when it is asked for the first time, so that question waits for init too.
    """
    end = time.monotonic() + FIRST_SECONDS
    while time.monotonic() < end:
        asked = time.perf_counter()
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=FIRST_SECONDS)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("POST", INVOKE, event)
            return asked, connection.getresponse().read()
        time.sleep(0.005)
    raise BenchError(f"a function's container did not answer in {FIRST_SECONDS:.0f} s. Next: docker ps --all")


def _read(subject: ColdSubject, body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict) or "init_ms" not in told:
        raise BenchError(f"{subject.name} failed: {body.decode(errors='replace')[-800:]}. Next: make test-docker")
    return told


def _docker(*arguments: str) -> None:
    came = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if came.returncode:
        raise BenchError(f"docker {arguments[0]} failed: {came.stderr.strip()[-500:]}. Next: docker info")
