"""What reading commands cost: processor time beside that of a Python process that makes one boto3 client.

Both are processes of their own, run in turns, so that other work on the machine weighs on both alike. The commands
speak to the local AWS over HTTP, with three releases in its table.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.long_history import HistoryStage, push_one
from bench.meter import BenchError
from console.local.aws.aws_server import AwsServer

ROUNDS = 10
RELEASES = 3
ALLOWED = 1.3
CLIENT = "import boto3; boto3.client('dynamodb', region_name='us-east-1')"
COMMANDS = {"status": ("status",), "why": ("why", f"v{RELEASES}")}


def run(say: Callable[[str], None], rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure; the medians in seconds, and each command's by the client's."""
    with tempfile.TemporaryDirectory(prefix="esteira-bench-") as name, HistoryStage(Path(name) / "aws") as stage:
        for _ in range(RELEASES):
            push_one(stage)
        with AwsServer(stage.local_aws, "local") as server:
            here = ("--endpoint", server.url, "--state", name)
            typed = {
                what: [sys.executable, "-m", "console.cli.main", *words, *here] for what, words in COMMANDS.items()
            }
            processes = {"client": [sys.executable, "-c", CLIENT], **typed}
            spent: dict[str, list[float]] = {what: [] for what in processes}
            for n in range(rounds):
                say(f"round {n + 1} of {rounds}")
                for what, words in processes.items():
                    spent[what].append(_processor(words))
    medians = {what: statistics.median(seconds) for what, seconds in spent.items()}
    ratios = {what: round(medians[what] / medians["client"], 3) for what in COMMANDS}
    return {"rounds": rounds, "seconds": {what: round(s, 3) for what, s in medians.items()}, "ratios": ratios}


def missed(result: dict[str, Any]) -> list[str]:
    """A sentence for every command that costs more than is allowed."""
    return [
        f"esteira {what} takes {ratio} x the processor time of one boto3 client, allowed are {ALLOWED}"
        for what, ratio in result["ratios"].items()
        if ratio > ALLOWED
    ]


def table(result: dict[str, Any]) -> list[str]:
    """The figures as Markdown."""
    seconds = result["seconds"]
    lines = [
        f"Processor time (user and system) of a process, medians of {result['rounds']}:",
        "",
        "| process | seconds | by one boto3 client |",
        "|---|---:|---:|",
        f"| one boto3 DynamoDB client | {seconds['client']:.2f} | 1 |",
    ]
    lines += [f"| `esteira {what}` | {seconds[what]:.2f} | {ratio:.2f} |" for what, ratio in result["ratios"].items()]
    verdict = "MISSED" if missed(result) else "kept"
    return [*lines, "", f"Allowed are {ALLOWED}: {verdict}."]


def _processor(words: list[str]) -> float:
    """The processor time of one process. Raises BenchError if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, capture_output=True, text=True, env=_environment(os.environ), check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise BenchError(f"{' '.join(words[1:4])} failed: {done.stderr.strip()}. Next: run it by itself")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without what chooses an account or a stack."""
    return {name: value for name, value in given.items() if not name.startswith(("AWS_", "ESTEIRA_"))}
