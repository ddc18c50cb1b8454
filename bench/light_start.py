"""How long each handler takes from nothing to ready: imports and initialisation, in a fresh interpreter each time.

Beside them, in the same run and in turns: (a) a handler that only makes one boto3 client, compiled too, and (b) a
typical Powertools handler with the parser's envelopes as a plain build leaves it, without bytecode. Both artifacts hold
exactly what functions/requirements.txt names. Milliseconds are this machine's; only the ratios carry.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

from bench.meter import BenchError
from console.local.aws_account import ACCOUNT, REGION
from console.local.paths import FUNCTIONS

RUNS = 15
AT_MOST = {"a": 1.5, "b": 0.5}
HANDLERS = ("intake", "sweep", "operate", "announce")
# In an interpreter of its own: ms from the first statement to the handler, and to what more is asked for.
PROBE = """
import time
began = time.perf_counter()
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
importlib.import_module(sys.argv[2]).handler
for more in sys.argv[3:]:
    module, name = more.split(":")
    getattr(importlib.import_module(module), name)()
print(json.dumps((time.perf_counter() - began) * 1000))
"""


@dataclass(frozen=True)
class LightSubject:
    """One thing to start: a module of an artifact, and what is called after it as ``module:function``."""

    name: str
    artifact: Path
    module: str
    more: tuple[str, ...] = ()


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Pack, start everything RUNS times in turns, and return the medians and the ratios to (a) and (b)."""
    with tempfile.TemporaryDirectory(prefix="esteira-bench-") as folder:
        say("packing the artifacts")
        subjects = _subjects(Path(folder))
        _round(subjects)  # so that none pays for reading the files from the disk
        say(f"{RUNS} starts of each of {len(subjects)}, in turns")
        rounds = [_round(subjects) for _ in range(RUNS)]
    medians = {s.name: round(statistics.median(r[s.name] for r in rounds), 1) for s in subjects}
    against = {"a": medians["a: one boto3 client"], "b": medians["b: typical, no bytecode"]}
    return {
        "runs": RUNS,
        "median_ms": medians,
        "ratios": {name: {x: round(medians[name] / ms, 3) for x, ms in against.items()} for name in HANDLERS},
        "first_use_ratio_to_a": round(medians["intake, and its first client"] / against["a"], 3),
    }


def missed(result: dict[str, Any]) -> list[str]:
    """A sentence for every handler that is heavier than promised."""
    return [
        f"{handler} starts in {ratio:.2f} x ({x}), more than {AT_MOST[x]} x"
        for handler, ratios in result["ratios"].items()
        for x, ratio in ratios.items()
        if ratio > AT_MOST[x]
    ]


def table(result: dict[str, Any]) -> list[str]:
    """The medians as Markdown."""
    lines = [
        f"Median of {result['runs']} fresh interpreters each:",
        "",
        "| | ms | x (a) | x (b) |",
        "|---|---:|---:|---:|",
    ]
    for name, ms in result["median_ms"].items():
        ratios = result["ratios"].get(name)
        lines.append(
            f"| {name} | {ms:.0f} | {ratios['a']:.2f} | {ratios['b']:.2f} |" if ratios else f"| {name} | {ms:.0f} | | |"
        )
    worst = {x: max(ratios[x] for ratios in result["ratios"].values()) for x in AT_MOST}
    verdict = {x: "kept" if worst[x] <= most else "MISSED" for x, most in AT_MOST.items()}
    first_use = f"its first client made, intake is ready after {result['first_use_ratio_to_a']:.2f} x (a)"
    return [
        *lines,
        "",
        f"At most {AT_MOST['a']} x (a): the heaviest is {worst['a']:.2f}, {verdict['a']}.",
        f"At most {AT_MOST['b']} x (b): the heaviest is {worst['b']:.2f}, {verdict['b']}.",
        "",
        f"Clients are made when first used, so this is paid by the first call and not by the start: {first_use}.",
    ]


# --- packing


def _subjects(folder: Path) -> list[LightSubject]:
    compiled, plain = folder / "compiled", folder / "plain"
    for artifact in (compiled, plain):
        _pack(artifact)
    _compile(compiled)
    context, traces = "esteira.bootstrap:from_environment", "esteira.aws.tracing:client_of_xray"
    return [
        *(LightSubject(name, compiled, name) for name in HANDLERS),
        LightSubject("a: one boto3 client", compiled, "one_client"),
        LightSubject("b: typical, no bytecode", plain, "typical"),
        LightSubject("intake, and its first client", compiled, "intake", (context,)),
        LightSubject("intake, its first client and traces", compiled, "intake", (context, traces)),
        LightSubject("intake, no bytecode", plain, "intake"),
        LightSubject("typical, compiled", compiled, "typical"),
    ]


def _pack(artifact: Path) -> None:
    """Lay out what Lambda would unpack: functions/, its dependencies, and the handlers compared with; no bytecode."""
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(FUNCTIONS, artifact, ignore=skip)
    shutil.copytree(Path(__file__).parent / "subjects", artifact, ignore=skip, dirs_exist_ok=True)
    for name in re.findall(r"^([A-Za-z0-9._-]+)==", (FUNCTIONS / "requirements.txt").read_text(), re.MULTILINE):
        try:
            found = files(name) or []
        except PackageNotFoundError:
            raise BenchError(
                f"functions/requirements.txt names {name}, which is not installed. Next: make setup"
            ) from None
        for file in found:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target = artifact / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), target)


def _compile(artifact: Path) -> None:
    """Compile as a release build does: unchecked, for a zip rounds the times that bytecode is otherwise judged by."""
    words = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(artifact)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"the artifact does not compile: {done.stdout[-500:]}. Next: make lint")


# --- starting


def _round(subjects: list[LightSubject]) -> dict[str, float]:
    return {subject.name: _start(subject) for subject in subjects}


def _start(subject: LightSubject) -> float:
    """Start an interpreter without the environment of this one (no site-packages), and return the ms it tells."""
    words = [sys.executable, "-S", "-s", "-c", PROBE, str(subject.artifact), subject.module, *subject.more]
    done = subprocess.run(words, env=_environment(), cwd=subject.artifact, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{subject.name} does not start: {done.stderr[-800:]}. Next: make test")
    return float(json.loads(done.stdout.splitlines()[-1]))


def _environment() -> dict[str, str]:
    """What Lambda and template.yaml give a function. No interpreter here may write bytecode: /var/task is
    read-only."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "POWERTOOLS_SERVICE_NAME": "bench",
        "POWERTOOLS_METRICS_NAMESPACE": "bench",
        "ESTEIRA_TABLE": "bench",
        "ESTEIRA_SERVICES_PATH": "/bench/services/",
        "ESTEIRA_ACCOUNT": ACCOUNT,
    }
