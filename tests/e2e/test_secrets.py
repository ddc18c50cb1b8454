"""A secret on its way from standard input into a build and a container, by the words of the command line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from console.cli.main import main
from console.local.up.laptop import Laptop
from esteira.perform.build import DEFAULT
from tests.e2e.test_any_model import Pushed

pytestmark = pytest.mark.slow
ONE, TWO = "one-of-" + "these", "two-of-" + "these"
APP = """
import hashlib, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SEEN = hashlib.sha256(os.environ["TOKEN"].encode()).hexdigest() + " " + open("seen.txt").read().split()[0]

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(SEEN)))
        self.end_headers()
        self.wfile.write(SEEN.encode())

ThreadingHTTPServer(("0.0.0.0", 5000), Answer).serve_forever()
"""
SPEC = DEFAULT.read_text().replace(
    "    commands:\n", '    commands:\n      - printf %s "$PYPI_TOKEN" | sha256sum > seen.txt\n', 1
)
FILES = {
    "Dockerfile": 'FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nEXPOSE 5000\nCMD ["python", "app.py"]\n',
    "app.py": APP,
    "buildspec.yml": SPEC,
    "esteira.yaml": "health: /\nsecrets: [TOKEN]\nbuild_secrets: [PYPI_TOKEN]\n",
}


def hashed(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def test_a_secret_reaches_the_build_and_the_container_and_no_file(tmp_path: Path) -> None:
    """What is not set is said before it is built, and before it is deployed; a new value comes by a word that says
    why, without a build; no value is in any answer, and in no file but the local SSM's."""
    state = tmp_path / ".esteira"
    said = ""

    def esteira(*words: str, given: str = "", status: int = 0) -> Result:
        nonlocal said
        result = CliRunner().invoke(main, [*words, "--state", str(state)], input=given)
        said += result.output
        assert result.exit_code == status, result.output
        return result

    with Laptop(state, sweep_every=2) as laptop:
        team = Pushed(laptop, tmp_path)
        view = team.push("model", FILES)
        assert (view.phase, view.cause) == ("failed", "secret-missing")
        assert view.why.startswith("the secret PYPI_TOKEN of v1 is not set for builds, so nothing was built; next: ")
        esteira("secret", "set", "PYPI_TOKEN", "--build", given=f"{TWO}\n")
        told = esteira("retry", "v1", "--wait", status=1).stdout
        assert "the secret TOKEN of v1 is not set for production, so nothing was deployed; next: " in told
        esteira("secret", "set", "TOKEN", given=f"{ONE}\n")
        esteira("retry", "v1", "--wait")
        assert team.get("/") == f"{hashed(ONE)} {hashed(TWO)}"

        told = esteira("secret", "set", "TOKEN", given=TWO).stdout
        assert "Next: esteira redeploy --stage production --reason 'a new TOKEN'" in told
        assert team.get("/") == f"{hashed(ONE)} {hashed(TWO)}"
        esteira("redeploy", "--stage", "production", "--reason", "a new TOKEN", "--wait")
        assert team.get("/") == f"{hashed(TWO)} {hashed(TWO)}"
        assert "ordered v1 to be deployed to production again: a new TOKEN" in esteira("status").stdout
        esteira("show", "v1", "--all")
    files = {path.relative_to(state): path.read_bytes() for path in state.rglob("*") if path.is_file()}
    holding = sorted(str(p) for p, content in files.items() if ONE.encode() in content or TWO.encode() in content)
    assert (holding, ONE in said, TWO in said) == ([], False, False)
    assert (state / "aws" / "journal.jsonl").stat().st_mode & 0o077 == 0
