"""A text leaves a host, or reaches a person, without its secrets."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aws_events.builds import _cause
from console.local.process.container import Container, Lifeline, Program
from esteira import bundle
from esteira.targets.ec2 import _told
from guard.mask import MASKED, masked, secret_values
from tests.unit.leaks.corpus import samples

KEY_ID = "AKIA" + "QX7M4K2BZT5R9W3D"
PASSWORD = "Tulipa" + "4711!"


@pytest.mark.parametrize("kind", ["aws-secret-key", "postgres-url", "rsa-key", "jwt", "db-password", "github-pat"])
def test_the_guards_rules_mask_a_log(kind: str) -> None:
    """What the guard finds in a file, it finds in a log; a second look finds nothing more."""
    for sample in (s for s in samples("secrets", 7) if s.kind == kind):
        once = masked(sample.content)
        assert MASKED in once
        assert masked(once) == once


def test_a_private_key_is_masked_to_its_end() -> None:
    """Its body is the secret, not its first line."""
    (first, *_) = (s.content for s in samples("secrets", 3) if s.kind == "rsa-key" and s.path == "keys/server.txt")
    assert masked(f"before\n{first}after") == f"before\n{MASKED}\nafter"


@pytest.mark.parametrize("value", ["plain words", 'a "quoted" one', "two\nlines", "ü/ö & co"])
def test_a_releases_own_values_are_masked_however_they_are_written(value: str) -> None:
    """As they are, as JSON and Python write them, in an address, and by their lines."""
    from urllib.parse import quote

    text = f"{value} | {json.dumps(value)} | {value!r} | https://x/?q={quote(value, safe='')}"
    left = masked(text, [value])
    assert all(line not in left for line in value.splitlines())
    assert left.count(MASKED) >= 4


def test_a_short_value_masks_no_words() -> None:
    """A parameter that is 1 would take every 1 out of the log."""
    assert masked("error 1 in line 11", ["1", "", "in"]) == "error 1 in line 11"


def test_values_are_those_of_parameters_and_what_is_a_secret_by_its_name() -> None:
    """A password given as a plain variable is one all the same."""
    environment = ["TOKEN=plain", f"DB_PASSWORD={PASSWORD}", "LOG_LEVEL=info", "PATH=/usr/bin:/bin", "EMPTY="]
    assert secret_values(environment, {"TOKEN": "/heart/token"}) == ["plain", PASSWORD]


def test_a_log_that_holds_no_secret_is_not_changed() -> None:
    """Tracebacks, digests and addresses stay what a person needs to read."""
    text = (
        "Traceback (most recent call last):\n  File \"app.py\", line 3, in <module>\nKeyError: 'password'\n"
        f"pulled heart@sha256:{'4d7a' * 16}\nGET http://127.0.0.1:8080/ping 200\ntoken expired, try again"
    )
    assert masked(text) == text


def test_a_container_of_the_process_engine_ends_with_a_masked_log(tmp_path: Path) -> None:
    """The laptop does what the host does, by the same code."""
    program = Program(
        ("/bin/sh", "-c", f'echo "with $SECRET_KEY"; echo {KEY_ID}; echo no model'),
        tmp_path,
        {"SECRET_KEY": PASSWORD, "PATH": "/usr/bin:/bin"},
    )
    lifeline = Lifeline()
    try:
        container = Container(program, tmp_path / "log", lifeline)
        container.start()
        while container.running:
            time.sleep(0.01)
        assert container.log_tail() == f"with {MASKED}\n{MASKED}\nno model"
    finally:
        container.end(0)
        lifeline.close()


def test_what_a_repositorys_own_hook_printed_is_masked_before_it_is_recorded() -> None:
    """Its hook masks nothing, and a fact cannot be deleted."""
    event = {"lifecycleEventName": "AfterInstall", "diagnostics": {"message": "failed", "logTail": f"id {KEY_ID}\nend"}}
    assert _told(event) == f"AfterInstall: failed\nid {MASKED}\nend"


def test_a_secret_in_the_command_of_a_failed_build_is_masked() -> None:
    """CodeBuild tells the whole command that failed."""
    context = f"COMMAND_EXECUTION_ERROR: Error while executing command: curl -u ana:{PASSWORD} x. Reason: exit status 1"
    cause = _cause([("BUILD", "FAILED", [context])])
    assert PASSWORD not in cause
    assert cause.endswith("x. Reason: exit status 1")


@pytest.mark.parametrize("name", [n for n in bundle.default().files if n.endswith(".py")])
def test_what_runs_on_a_host_is_written_for_its_python(name: str) -> None:
    """Amazon Linux 2023 has Python 3.9."""
    ast.parse(bundle.default().files[name].content, feature_version=(3, 9))


def test_a_hosts_python_masks_with_what_is_in_the_bundle(tmp_path: Path) -> None:
    """The bundle carries the rules; they need the standard library only."""
    for name, file in bundle.default().files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
    (tmp_path / "release.json").write_text(json.dumps({"parameters": {"TOKEN": "/heart/token"}}))
    (tmp_path / "environment").write_text(json.dumps(["TOKEN=plain words"]))
    files = [str(tmp_path / name) for name in ("guard/mask.py", "release.json", "environment")]
    done = subprocess.run(
        [sys.executable, "-I", "-S", *files],
        input=f"with plain words and {KEY_ID}\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, f"with {MASKED} and {MASKED}\n", "")
