"""From ``git push`` to a live model on the local stack, beside its bare parts done by hand in turn with it: the
buildspec's commands in one shell, then the model started and asked until it is healthy. What is more is esteira's.

Both use the same interpreter and the same small docker; seconds are this machine's, only the ratio carries.
"""

from __future__ import annotations

import os
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.meter import BenchError
from console.local.build.buildspec import PHASES, parse
from console.local.paths import ROOT
from console.local.up.demo import SERVICE
from console.local.up.demo_team import Team
from console.local.up.laptop import Laptop
from esteira import bootstrap
from esteira.core.status import Phase
from esteira.store import Store
from service_index.lookup import listed

RUNS = 3
PATIENCE = 300.0  # seconds for any one step
GLANCE = 0.02  # seconds between two looks


def run(say: Callable[[str], None]) -> dict[str, Any]:
    """Push RUNS changed models one after the other, each followed by its parts by hand; medians in seconds."""
    whole, build, start = [], [], []
    with (
        tempfile.TemporaryDirectory(prefix="esteira-bench-") as name,
        Laptop(Path(name) / "state", sweep_every=10) as laptop,
    ):
        folder = Path(name)
        team = Team(folder / SERVICE, laptop.whereabouts.remotes[SERVICE])
        store = Store(laptop.client("dynamodb"), laptop.table)
        for n in range(1, RUNS + 1):
            say(f"push {n} of {RUNS}, and its parts by hand")
            (team.folder / "CHANGES").write_text(f"{n}\n")
            whole.append(_push_to_live(team, store, n))
            seconds = _by_hand(team.folder, folder, n)
            build.append(seconds[0])
            start.append(seconds[1])
    parts = [b + s for b, s in zip(build, start, strict=True)]
    return {
        "runs": RUNS,
        "push_to_live_seconds": _median(whole),
        "by_hand_seconds": _median(parts),
        "of_that": {"buildspec": _median(build), "start_until_healthy": _median(start)},
        "overhead_seconds": round(_median(whole) - _median(parts), 2),
        "ratio": round(statistics.median(whole) / statistics.median(parts), 3),
    }


def missed(_: dict[str, Any]) -> list[str]:
    """No ratio is promised."""
    return []


def table(result: dict[str, Any]) -> list[str]:
    """The medians as Markdown."""
    parts = result["of_that"]
    by_hand = f"the buildspec's commands {parts['buildspec']:.2f}, the model started and healthy "
    by_hand += f"{parts['start_until_healthy']:.2f}"
    return [
        f"Median of {result['runs']}, in turns, on the local stack (process engine):",
        "",
        "| | seconds |",
        "|---|---:|",
        f"| `git push` to live | {result['push_to_live_seconds']:.2f} |",
        f"| the same by hand: {by_hand} | {result['by_hand_seconds']:.2f} |",
        f"| esteira on top | {result['overhead_seconds']:.2f} ({result['ratio']:.2f} x) |",
    ]


def _push_to_live(team: Team, store: Store, number: int) -> float:
    """Push, and return the seconds until the release is live."""
    team.git("add", "--all")
    team.git("commit", "--quiet", "--message", f"change {number}")
    began = time.monotonic()
    team.git("push", "--quiet", "esteira", "main")
    said = "not there"
    while time.monotonic() - began < PATIENCE:
        view = next((v for v in store.views(SERVICE, 3) if v.number == number), None)
        if view is not None and view.phase == Phase.LIVE:
            return time.monotonic() - began
        if view is not None and Phase(view.phase).ended:
            raise BenchError(
                f"v{number} should go live and is {view.phase}: {view.why}. Next: make demo, which shows why"
            )
        said = view.phase if view else said
        time.sleep(GLANCE)
    raise BenchError(f"v{number} is not live after {PATIENCE:.0f} s but {said}. Next: make demo, which shows why")


# --- by hand


def _by_hand(repository: Path, folder: Path, number: int) -> tuple[float, float]:
    """The seconds the buildspec's commands take in a clean copy, and those until the model built there is well.

    What esteira spends on getting the copy, and on unpacking and swapping, is esteira's.
    """
    copy = folder / f"by-hand-{number}"
    subprocess.run(["git", "clone", "--quiet", str(repository), str(copy)], check=True, capture_output=True)
    environment = _environment(folder, number)
    began = time.monotonic()
    _build(copy, environment)
    built = time.monotonic()
    _start_until_healthy(copy, environment)
    return built - began, time.monotonic() - built


def _build(copy: Path, environment: dict[str, str]) -> None:
    spec = parse((copy / "buildspec.yml").read_text())
    commands = [c for name in PHASES if name in spec.phases for c in spec.phases[name].commands]
    script = "set -e\n" + "\n".join(commands)
    words = ["/bin/sh", "-c", script]
    done = subprocess.run(
        words, cwd=copy, env={**environment, **spec.variables}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(
            f"the buildspec's commands fail by hand: {(done.stdout + done.stderr)[-800:]}. Next: make demo"
        )


def _start_until_healthy(copy: Path, environment: dict[str, str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words, variables = [sys.executable, "-m", "serving"], {**environment, "PORT": str(port)}
    with subprocess.Popen(
        words, cwd=copy, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as model:
        try:
            _wait_for_health(f"http://127.0.0.1:{port}/ping", model)
        finally:
            model.terminate()


def _wait_for_health(url: str, model: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and model.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(GLANCE)
    raise BenchError(f"the model started by hand does not answer at {url}. Next: python -m serving, in model_service")


def _environment(folder: Path, number: int) -> dict[str, str]:
    """What the buildspec asks for. On the PATH, which is that of local builds, python is this one and docker is
    the small one."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    stores = f"images=Path({str(folder / 'images')!r}), registry=Path({str(folder / 'registry')!r})"
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from pathlib import Path; "
    code += f"from console.local.process.docker_cli import main; sys.exit(main({stores}))"
    lines = {"docker": f"{shlex.quote(sys.executable)} -I -c {shlex.quote(code)}"}
    lines |= dict.fromkeys(("python", "python3"), shlex.quote(sys.executable))
    for name, line in lines.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {line} "$@"\n')
        (programs / name).chmod(0o755)
    return {
        # Of the variables in force only those that lead to the local AWS, whose registry takes the image.
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
        "PATH": f"{programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "IMAGE_URI": next(iter(listed(bootstrap.from_environment()).values())).image_uri,
        "IMAGE_TAG": f"git-{number:040x}",
        "ESTEIRA_RELEASE": f"v{number}",
        "CODEBUILD_RESOLVED_SOURCE_VERSION": f"{number:040x}",
        "CODEBUILD_BUILD_SUCCEEDING": "1",
    }


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 2)
