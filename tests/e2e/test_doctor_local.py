"""`esteira doctor` against the running local stack, over HTTP, as somebody with a laptop types it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from console.local.up.laptop import Laptop

CHECKOUT = Path(__file__).parents[2]
LETTER = {
    "requestContext": {"functionArn": "arn:aws:lambda:us-east-1:1:function:esteira-intake:$LATEST"},
    "responsePayload": {"errorType": "Refused", "errorMessage": "detail.state is missing"},
}


def doctor(*typed: str, **variables: str) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, "-m", "console.cli.main", "doctor", "--json", *typed]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "ESTEIRA_"))} | variables
    came = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT, env=environment)
    return came.returncode, json.loads(came.stdout)["lines"] if came.stdout.startswith('{\n  "attend"') else []


@pytest.mark.slow
def test_the_local_stack_is_looked_at_as_an_account_is(tmp_path: Path) -> None:
    """What stands on the laptop is ok, what it does not play is skipped with its name, a dead letter is told with its
    cause; and the same by its endpoint alone, where nobody says that it is the local stack."""
    state = tmp_path / "state"
    with Laptop(state) as laptop:
        status, lines = doctor("--state", str(state))
        said = {(line["verdict"], line["check"]): line["says"] for line in lines}
        assert [line for line in lines if line["verdict"] == "attend" and line["check"] != "SAM CLI"] == []
        assert said["ok", "clock"] == "within a minute of AWS's"
        assert said["ok", "table"] == "it is ACTIVE"
        assert said["ok", "dead letters"] == "none"
        assert said["skip", "Lambda's concurrency"] == "the local stack does not play GetAccountSettings"
        heart = [line["says"] for line in lines if line["check"] == "heart"]
        assert f"its repository is empty. Next: git push {laptop.whereabouts.remotes['heart']} HEAD:main" in heart
        assert f"its page {laptop.whereabouts.pages['heart']}: nothing is live yet" in heart

        (state / "dead-letters.jsonl").write_text(json.dumps({"Body": json.dumps(LETTER)}) + "\n")
        status, lines = doctor("--state", str(state))
        [letters] = [line["says"] for line in lines if line["check"] == "dead letters"]
        assert status == 1
        assert letters.startswith(
            "1 message could not be handled; of the first: esteira-intake failed: Refused: detail"
        )

        keys = {"AWS_SHARED_CREDENTIALS_FILE": laptop.whereabouts.credentials, "AWS_DEFAULT_REGION": "us-east-1"}
        status, lines = doctor("--endpoint", laptop.whereabouts.endpoint, **keys)
        assert [line["check"] for line in lines if line["verdict"] == "attend" and line["check"] != "SAM CLI"] == []


def test_an_endpoint_where_nobody_listens_is_one_thing_to_attend_to() -> None:
    """Nothing more is asked of what does not answer."""
    status, lines = doctor("--endpoint", "http://127.0.0.1:9")
    assert status == 1
    assert "does not answer" in next(line["says"] for line in lines if line["check"] == "credentials")
    assert [line["check"] for line in lines if line["verdict"] == "skip"] == ["clock", "account and stack"]
