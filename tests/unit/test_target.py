"""Which controller a command goes to: named, remembered, or found from below; never guessed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from console.cli.main import main
from console.read.clients import session
from console.read.remote import Controller
from console.read.session import Shell
from console.read.target import Named, find
from console.read.where import TroubleError, Where

pytestmark = pytest.mark.unit
VARIABLES = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE",
             "ESTEIRA_STATE", "ESTEIRA_STACK")  # fmt: skip
URL = "http://127.0.0.1:9"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without anything, in which one types."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stack(folder: Path, pid: int | None = None, name: str = "local.json") -> Path:
    """The state folder of a local stack in ``folder``."""
    state = folder / ".esteira"
    state.mkdir(exist_ok=True)
    note = {"endpoint": URL, "stack": "esteira", "pid": pid or os.getpid()}
    (state / name).write_text(json.dumps(note))
    return state


def gone() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def trouble(named: Named | None = None) -> str:
    with pytest.raises(TroubleError) as raised:
        find(named or Named())
    return str(raised.value)


def test_a_running_local_stack_is_found_from_below(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command typed in a subfolder goes to the stack of the nearest folder above that has one."""
    state, below = stack(folder), folder / "training" / "data"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    where = find(Named())
    assert (where.endpoint, where.local, where.state) == (URL, True, state)
    (below / ".esteira").mkdir()  # an empty folder of that name is no stack
    assert find(Named()).state == state


@pytest.mark.parametrize("name", ["local.json", "last.json"])
def test_a_local_stack_that_is_stopped_is_never_taken_for_aws(folder: Path, name: str) -> None:
    """After Ctrl-C the note is called last.json, after a kill it stays: both say how to start it again."""
    state = stack(folder, gone(), name)
    said = f"the local stack at {state} is not running. Next: esteira local up; for AWS instead: --aws"
    assert trouble() == said
    assert f"Next: esteira local up --state {state}; " in trouble(Named(state=state))


def test_where_nothing_is_named_nothing_is_spoken_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and a profile in the environment name no controller."""
    monkeypatch.setenv("AWS_PROFILE", "work")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    assert "no AWS account is named. Next: esteira local up starts a local stack here" in trouble()


@pytest.mark.parametrize(
    "named", [Named(aws=True), Named(profile="work"), Named(region="eu-west-1"), Named(stack="esteira")]
)
def test_aws_is_named_by_an_option(folder: Path, named: Named) -> None:
    """Each of them goes before a local stack, running or not."""
    stack(folder)
    where = find(named)
    assert (where.local, where.endpoint, where.stack) == (False, None, "esteira")
    assert (where.profile, where.region) == (named.profile or "", named.region or "")


def test_the_environment_names_a_stack_or_a_state(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ESTEIRA_STATE names the local stack, ESTEIRA_STACK one on AWS; an option goes before both."""
    state = stack(folder)
    monkeypatch.setenv("ESTEIRA_STACK", "other")
    assert (find(Named()).local, find(Named()).stack) == (False, "other")
    monkeypatch.setenv("ESTEIRA_STATE", str(state))
    assert find(Named()).state == state
    assert find(Named(aws=True)).local is False


def test_both_at_once_are_refused(folder: Path) -> None:
    """Who names the local stack and AWS in one command has to decide."""
    assert "Next: leave one of them out" in trouble(Named(state=stack(folder), aws=True))


def test_a_choice_is_remembered_until_it_is_taken_back(folder: Path) -> None:
    """`esteira use aws` is for this folder and those below it, goes before the local stack there, and is not committed
    with the model."""
    state = stack(folder)
    typed = ("use", "aws", "--profile", "work", "--region", "eu-west-1", "--stack", "models")
    result = CliRunner().invoke(main, typed)
    assert result.output == "commands go to AWS, stack models, profile work, Region eu-west-1\n"
    assert find(Named()) == Where("models", profile="work", region="eu-west-1")
    assert find(Named(stack="other")) == Where("other", profile="work", region="eu-west-1")
    assert find(Named(profile="home")) == Where("esteira", profile="home")
    assert (state / ".gitignore").read_text() == "*\n"
    assert CliRunner().invoke(main, ["use"]).output == result.output
    assert CliRunner().invoke(main, ["use", "local"]).output == f"commands go to the local stack at {state}\n"
    assert find(Named()).local
    assert CliRunner().invoke(main, ["use", "local", "--region", "eu-west-1"]).exit_code == 2


def test_the_region_is_found_as_the_aws_cli_finds_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--region, AWS_REGION, AWS_DEFAULT_REGION, the profile's."""
    (folder / "config").write_text("[profile work]\nregion = eu-north-1\n")

    def region(**named: str) -> str:
        where = find(Named(aws=True, **named))
        return str(session(where).get_config_variable("region"))

    assert region(profile="work") == "eu-north-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    assert region() == "eu-west-3"
    monkeypatch.setenv("AWS_REGION", "eu-west-2")
    assert region(profile="work") == "eu-west-2"
    assert region(region="eu-west-1") == "eu-west-1"


def test_a_word_names_the_account_the_region_and_the_stack_first(folder: Path) -> None:
    """What a word changes is said before it is changed, on stderr, so that --json stays one document."""
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:esteira-operate"

    class Lambda:
        def get_function_configuration(self, FunctionName: str) -> dict[str, str]:  # noqa: N803 - boto3's name for it
            return {"FunctionArn": arn.replace("esteira-operate", FunctionName)}

    assert Controller(Where("esteira"), lambda _: Lambda()).target == (
        "AWS account 123456789012, eu-west-1, stack esteira"
    )
    shell = Shell(lambda where: Controller(where, lambda _: Lambda()))
    result = CliRunner().invoke(main, ["use", "aws"], obj=shell)
    assert result.exit_code == 0
