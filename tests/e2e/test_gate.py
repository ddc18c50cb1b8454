"""The gate and the golden questions, all the way: real pushes of a model that trains worse, and of one that answers
otherwise than it was trained to."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from console.local.up.laptop import Laptop
from esteira.core.facts import Accepted, about_release
from esteira.store import Store, View
from tests.e2e.test_laptop import GIT, children, eventually, page, phases, views

pytestmark = pytest.mark.e2e

# The model's file holds what it answers and how good it is said to be; the gate compares that with the live one's.
FILES = {
    "Dockerfile": """
FROM python:3.13-slim
WORKDIR /app
COPY app.py model.json models/golden.json ./
LABEL esteira.golden=/app/golden.json
CMD ["python", "app.py"]
""",
    "buildspec.yml": """
version: 0.2
env:
  exported-variables: [ROC_AUC]
phases:
  build:
    commands:
      - ROC_AUC=$(python -c "import json; print(json.load(open('model.json'))['roc_auc'])")
      - export ROC_AUC
      - python gate.py
      - docker build -t "$IMAGE_URI:$IMAGE_TAG" .
      - docker push "$IMAGE_URI:$IMAGE_TAG"
""",
    "gate.py": """
import os, sys
live, label = os.environ.get("ESTEIRA_LIVE_ROC_AUC"), os.environ.get("ESTEIRA_LIVE_RELEASE", "nothing")
print("the gate saw", os.environ["ROC_AUC"], "against", live, "of", label)
sys.exit(live is not None and float(os.environ["ROC_AUC"]) < float(live) - 0.01)
""",
    "app.py": """
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer

answer = json.dumps(json.load(open("model.json"))["answer"]).encode()

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

    def log_message(self, *said):
        pass

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
""",
}


class Team:
    """A clone of a service whose model answers one number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "models").mkdir(parents=True)
        for name, text in FILES.items():
            (folder / name).write_text(text)
        self._git("init", "--quiet")

    def push(self, remote: str, roc_auc: float, answer: float, expected: float) -> None:
        """Commit a model that is that good, answers so, and was trained to answer otherwise; push it."""
        (self._folder / "model.json").write_text(json.dumps({"roc_auc": roc_auc, "answer": answer}))
        asked = {"body": {"age": 61}, "expected": expected, "tolerance": 0.001}
        told = {"format": 1, "path": "/invocations", "content_type": "application/json", "questions": [asked]}
        (self._folder / "models" / "golden.json").write_text(json.dumps(told))
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", f"{roc_auc} {answer} {expected}")
        self._git("push", "--quiet", remote, "main")

    def _git(self, *words: str) -> None:
        subprocess.run([*GIT, *words], cwd=self._folder, check=True, capture_output=True)


def test_a_worse_model_is_not_built_and_a_changed_one_takes_no_traffic(tmp_path: Path) -> None:
    """The gate reads the live release's figure; the host asks what training wrote down; the live one serves on."""
    team, state, before = Team(tmp_path / "clone"), tmp_path / "state", children()
    with Laptop(state, sweep_every=2) as laptop:
        remote, url = laptop.whereabouts.remotes["heart"], laptop.whereabouts.pages["heart"]

        team.push(remote, roc_auc=0.91, answer=0.5, expected=0.5)
        assert eventually(lambda: phases(laptop), ["live"].__eq__) == ["live"]
        assert figures(laptop, 1) == {"ROC_AUC": "0.91"}

        team.push(remote, roc_auc=0.85, answer=0.6, expected=0.6)
        assert eventually(lambda: phases(laptop), ["live", "failed"].__eq__) == ["live", "failed"]
        assert "python gate.py" in newest(laptop).why
        assert "the gate saw 0.85 against 0.91 of v1" in logs(state)

        team.push(remote, roc_auc=0.92, answer=0.7, expected=0.53)
        wanted = ["live", "failed", "failed"]
        assert eventually(lambda: phases(laptop), wanted.__eq__) == wanted
        said = 'golden question 1 of 1, {"age": 61}: the answer: expected 0.53, got 0.7 (tolerance 0.001)'
        assert said in newest(laptop).why
        assert page(url) == "0.5"

        team.push(remote, roc_auc=0.905, answer=0.53, expected=0.53)
        wanted = ["superseded", "failed", "failed", "live"]
        assert eventually(lambda: phases(laptop), wanted.__eq__) == wanted
        assert "the gate saw 0.905 against 0.91 of v1" in logs(state)
        assert page(url) == "0.53"
    assert children() == before


def newest(laptop: Laptop) -> View:
    """The newest release's row of the history."""
    return max(views(laptop), key=lambda view: view.number)


def figures(laptop: Laptop, number: int) -> dict[str, str]:
    """What is kept of what a release's build exported."""
    facts = Store(laptop.client("dynamodb"), laptop.table).facts("heart", about_release(number))
    return next(fact.figures for fact in facts if isinstance(fact, Accepted))


def logs(state: Path) -> str:
    """What everything printed that keeps a log."""
    return "\n".join(path.read_text(errors="replace") for path in state.rglob("*.log"))
