"""Another model from the template: three examples go live by a push, and the README's advice gives a green build.

What the advice says is done here as a person does it: new.py, then each line that train.py stops at, then the build's
commands.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from console.local.up.laptop import Laptop
from esteira.store import Store, View

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
SECONDS = 600.0  # after which something that should have happened has not
GIT = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
# Each example: a record, a key of its answer, the title in both languages, and the column to predict.
EXAMPLES: Mapping[str, tuple[dict[str, Any], str, str, str, str]] = {
    "rents": ({"area": 70, "district": 2}, "value", "What should this flat cost", "Quanto deve custar", "rent"),
    "wine": ({"alcohol": 13.2, "proline": 1000}, "class", "Which grower made", "Que produtor fez", "grower"),
    "tickets": ({"message": "my parcel is late"}, "class", "What is this message", "De que trata", "topic"),
}
EACH = pytest.mark.parametrize("name", EXAMPLES)


def new(*words: str) -> None:
    """Run new.py as its documentation says."""
    command = [sys.executable, "new.py", *words]
    done = subprocess.run(command, cwd=ROOT / "model_service", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@EACH
def test_an_example_goes_live_by_a_push(name: str, tmp_path: Path) -> None:
    """It answers with its own kind of answer, its page speaks of it in both languages, and its figures are stored."""
    record, key, english, portuguese, _ = EXAMPLES[name]
    repository = tmp_path / name
    new("--like", f"../examples/{name}", str(repository))
    with Laptop(tmp_path / "state", sweep_every=2) as laptop:
        push(repository, laptop.whereabouts.remotes["heart"])
        release = ended(laptop)
        assert release.phase == "live", release
        page = laptop.whereabouts.pages["heart"]
        [answer] = asked(f"{page}/invocations", json.dumps(record).encode())["predictions"]
        assert key in answer
        assert answer["low"] < answer["high"]
        version = asked(f"{page}/version")
        assert version["name"] == name
        for language, title in (("en", english), ("pt", portuguese)):
            text = read(f"{page}/?lang={language}")
            assert title in text
            assert not re.search("heart|cora[cç]|card[ií]ac", text.replace("heartbeat", ""), re.IGNORECASE)


@EACH
def test_the_advice_for_another_table_leads_to_a_green_build(name: str, tmp_path: Path) -> None:
    """train.py stops at each line that is not written, by its number; then lint, training, gate and tests pass."""
    table, target = ROOT / f"examples/{name}/data/raw/{name}.csv", EXAMPLES[name][-1]
    repository = tmp_path / "mine"
    new("--data", str(table), "--target", target, "--name", "mine", str(repository))
    stops = 0
    while told := unwritten(repository):
        file, line = Path(told[1]), int(told[2]) - 1
        lines = file.read_text(encoding="utf-8").splitlines()
        assert "TODO" in lines[line]
        lines[line] = lines[line].replace("TODO", "melons")
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        stops += 1
    assert stops > 10
    for command in (
        ["-m", "ruff", "check", "."],
        ["gate.py"],
        ["-m", "pytest", "-q", "-m", "not thorough and not slow"],
    ):
        done = run(repository, *command)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    words = (repository / "models/words.toml").read_text(encoding="utf-8")
    assert 'title = "melons (pt)"' in words


def unwritten(repository: Path) -> re.Match[str] | None:
    """Where train.py stops, or None if it trains."""
    done = run(repository, "train.py")
    told = re.match(r"train\.py: (.+) line (\d+): this is not written yet", done.stderr)
    assert told or done.returncode == 0, done.stderr
    return told


def run(repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ESTEIRA_MODEL_CACHE": ".cache/model", "MODEL_FOLDER": "models"}
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


def push(repository: Path, remote: str) -> None:
    for words in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "first")):
        subprocess.run([*GIT, *words], cwd=repository, check=True, capture_output=True)
    subprocess.run([*GIT, "push", "--quiet", remote, "main"], cwd=repository, check=True, capture_output=True)


def ended(laptop: Laptop) -> View:
    """The release, once it is live or can no longer become it."""
    deadline = time.monotonic() + SECONDS
    while True:
        found = Store(laptop.client("dynamodb"), laptop.table).views("heart", 1)
        if found and found[0].phase in ("live", "failed", "rejected"):
            return found[0]
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def asked(url: str, body: bytes | None = None) -> Any:
    return json.loads(read(url, body))


def read(url: str, body: bytes | None = None) -> str:
    request = urllib.request.Request(url, body, {"content-type": "application/json"} if body else {})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
        text: str = answer.read().decode()
        return text
