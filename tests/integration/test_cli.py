"""The command line, on a table in memory: what an operator reads, says, and is told when it cannot be."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import click
import pytest
from botocore.exceptions import NoCredentialsError
from click.testing import CliRunner

from console.cli import render_release, render_status
from console.cli.main import main
from console.cli.options import duration
from console.read.account import account
from console.read.clients import clients
from console.read.out import Out
from console.read.release_lines import releases
from console.read.remote import Controller, Invoked, answered
from console.read.sentences import sentence
from console.read.session import Shell
from console.read.where import Where
from esteira import trail
from esteira.core import facts
from esteira.core.facts import Held
from esteira.fact import Fact, Unknown, stamp
from tests.integration.operated import CRASH, START, Operated, commit, operated, service

pytestmark = pytest.mark.integration

EVENTS = Path(__file__).parents[2] / "events"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operated]:
    with operated(tmp_path, monkeypatch, service()) as world:
        yield world


# --- reading --------------------------------------------------------------------------------------------------------


def test_status_says_what_is_live_why_and_since_when(world: Operated) -> None:
    """A reader of status knows what answers now, by which deployment, since when, and what is under way."""
    world.tell()
    world.push(5)
    world.record(
        Held(
            at=START, request="r-1", by="rui", reason="the audit", stage="production", until=world.now.replace(hour=23)
        )
    )
    stage = world.read("status")["stages"][0]
    assert (stage["service"], stage["live"]["release"]) == ("heart", "v2")
    assert stage["live"]["why"] == "deployment d-2 succeeded on production"
    told = world.store.facts("heart", "deployment/d-2", "ended")
    assert stage["live"]["since"] == stamp(told[0].at)
    assert [(line["release"], line["phase"]) for line in stage["under_way"]] == [("v5", "pushed")]
    assert (stage["hold"]["by"], stage["hold"]["reason"]) == ("rui", "the audit")
    assert "rui holds production until 2026-11-23 23:35 UTC (for 12 hours more)" in world.run("status").stdout


def test_status_of_an_empty_service_says_where_to_push(world: Operated) -> None:
    """Before the first release, status ends in the next thing to type."""
    assert "heart: nothing was pushed yet. Next: git push REMOTE HEAD:main\n" in world.run("status").stdout


def test_status_begins_with_the_last_push_and_where_the_model_answers(world: Operated) -> None:
    """A newest release that failed is said first, with its cause and its log, above what is live; then the address."""
    world.tell()
    lines = world.run("status").stdout.splitlines()
    assert lines[0].startswith("heart v4 (4abc0000) was pushed less than a minute ago and is rejected: key.pem holds")
    assert lines[1] == "  answers at http://127.0.0.1:8 with v2"
    told = world.read("status")["services"]
    assert [(s["service"], s["newest"]["release"], s["url"], s["live"]) for s in told] == [
        ("heart", "v4", "http://127.0.0.1:8", "v2")
    ]
    world.register(world.heart.model_copy(update={"url": "http://ec2.example/"}))
    world.note(pages={})
    assert world.run("status").stdout.splitlines()[1] == "  answers at http://ec2.example/ with v2"


def test_a_plain_release_is_shown_in_ten_lines(world: Operated) -> None:
    """What matters of it, and how to see the rest; on a terminal of 80 columns no word is broken and none is lost."""
    world.tell()
    lines = world.run("show", "v2").stdout.splitlines()
    assert len(lines) <= 10
    assert lines[-1] == "9 more: esteira show v2 --all"
    whole = world.run("show", "v2", "--all").stdout
    assert len(whole.splitlines()) == len(lines) + 10  # the nine, two more rows, without the last line
    told = account(world.store, world.heart, 3, world.now)
    seen, plain = StringIO(), StringIO()
    render_release.account(Out(seen, terminal=True, width=80), told, world.now, whole=True)
    render_release.account(Out(plain, terminal=False), told, world.now, whole=True)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", seen.getvalue())
    assert shown.split() == plain.getvalue().split()
    assert [line for line in shown.splitlines() if len(line) > 80 and " " in line.strip()] == []


def test_after_a_rollback_status_says_who_went_back_and_why(world: Operated) -> None:
    """What is live because of a rollback says so, and not that a deployment succeeded."""
    world.tell()
    assert world.run("rollback", "--reason", "v2 answers 0.5").exit_code == 0
    assert "ana ordered production back from v2 to v1" in world.read("status")["stages"][0]["ordered"]
    world.deploy(1, live=2, succeeded=True, rollout=4, kind="rollback")
    live = world.read("status")["stages"][0]["live"]
    assert live["release"] == "v1"
    assert live["why"] == "ana ordered production back from v2 to v1: v2 answers 0.5"


def test_releases_are_listed_newest_first_and_no_more_than_asked(world: Operated) -> None:
    """The list is a table of plain lines when it is piped, with one line for each release."""
    world.tell()
    lines = world.run("releases", "--limit", "3").stdout.splitlines()
    assert lines[0].split() == [
        "release",
        "phase",
        "commit",
        "tag",
        "class",
        "subject",
        "author",
        "pushed",
        "(UTC)",
        "why",
    ]
    assert [line.split()[0] for line in lines[1:]] == ["v4", "v3", "v2"]
    assert "failed" in lines[2]
    assert "3abc0000" in lines[2]
    assert "Traceback" not in lines[2]
    assert [line["phase"] for line in world.read("releases")["releases"]] == [
        "rejected",
        "failed",
        "live",
        "superseded",
    ]


def test_the_table_is_coloured_for_a_person_and_reads_no_markup(world: Operated) -> None:
    """A terminal gets colours; brackets in a reason are text, not orders to the terminal."""
    world.tell()
    seen = StringIO()
    out = Out(seen, terminal=True, width=200)
    render_release.releases(out, releases(world.store, world.heart, 9, world.now), "heart")
    newest = releases(world.store, world.heart, 9, world.now)[0]
    render_status.why(out, replace(newest, why="[red]no[/] order\x1b]0;mine\x07\u202e"), world.now)
    text = seen.getvalue()
    assert "\x1b[1;31mrejected\x1b[0m" in text
    assert r"order\u001b]0;mine\u0007\u202e" in text
    assert "[red]no[/] order" in text


def test_show_tells_every_fact_in_order_of_time(world: Operated) -> None:
    """The account of a release holds its birth, build, deployment, scan and each fact as a sentence."""
    world.tell()
    told = world.read("show", "v2")
    assert (told["line"]["classes"], told["changed"], told["findings"]) == (["model"], ["train.py"], "HIGH 3")
    assert told["builds"] == [{"id": "heart:2", "attempt": 1, "status": "SUCCEEDED"}]
    assert told["deployments"] == [{"id": "d-2", "stage": "production", "rollout": 2, "status": "Succeeded"}]
    assert [f["fact"] for f in told["facts"]] == [
        "pushed", "claimed", "build-started", "build-ended", "accepted", "rollout", "deployment-started",
        "deployment-reported", "deployment-reported", "diagnosed", "rollout-finished", "image-scanned",
    ]  # fmt: skip
    assert [f["at"] for f in told["facts"]] == sorted(f["at"] for f in told["facts"])
    assert "commit 2abc0000 was pushed and became v2, classed model, one path changed" in world.run("show", "v2").stdout


def test_every_kind_of_fact_has_its_sentence() -> None:
    """No fact, however rare, leaves the account of a release without words."""
    kinds = {k for there in (facts, trail) for k in vars(there).values() if isinstance(k, type) and issubclass(k, Fact)}
    leaves = {k for k in kinds if not any(other is not k and issubclass(other, k) for other in kinds)} | {Unknown}
    assert len(leaves) > 25
    for kind in leaves:
        for fact in every(kind):
            said = sentence(fact)
            assert said[0].islower() or said.startswith(("v7", "ECR", "AWS")), (kind, said)
            assert not said.endswith("."), (kind, said)


def every(kind: type[Fact]) -> Iterator[Fact]:
    """A fact of that kind for each combination of the words and of yes and no that its fields may have."""
    samples: dict[Any, tuple[Any, ...]] = {datetime: (START,), int: (7,), str: ("x",), bool: (True, False)}
    hints = get_type_hints(kind)
    choices: list[tuple[Any, ...]] = []
    for field in fields(kind):
        declared = hints[field.name]
        said = get_args(declared)
        if get_origin(declared) is tuple:
            choices.append(((),))
        else:
            choices.append(samples.get(declared) or (said if datetime not in said else (START, None)))
    for values in itertools.product(*choices):
        yield kind(**{f.name: value for f, value in zip(fields(kind), values, strict=True)})


@pytest.mark.parametrize("asked", ["v3", "3abc", "3ABC00", commit(3)])
def test_why_answers_for_a_release_and_for_a_commit(world: Operated, asked: str) -> None:
    """The one sentence, with the log of the failure below it, for a label and for a commit's first characters."""
    world.tell()
    first, *log = world.run("why", asked).stdout.splitlines()
    why = "deployment d-3 failed: ApplicationStart: the container ended with 1; next: push a fix, or esteira retry v3"
    assert first == f"v3 (3abc0000) failed: {why}"
    assert [line.strip(" │") for line in log] == CRASH.splitlines()[1:]
    assert world.read("why", asked)["log"] == CRASH.splitlines()[1:]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("v9", "heart has no release v9"),
        ("beef", "no release of heart has a commit beef"),
        ("abc", "neither a release"),
    ],
)
def test_why_of_something_unknown_is_a_sentence_and_status_2(world: Operated, asked: str, sentence: str) -> None:
    """Who asks for what is not there is told so, and what to type next."""
    world.tell()
    result = world.run("why", asked)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert "Next: esteira releases" in result.stderr
    refused = world.run("why", asked, "--json")
    assert sentence in json.loads(refused.stdout)["refused"]


def test_with_several_services_one_has_to_be_named(world: Operated) -> None:
    """The service is chosen where there is one, asked for where there are more, and status tells of all."""
    world.tell()
    world.register(service("lungs"))
    result = world.run("releases")
    assert result.exit_code == 2
    assert "--service with one of: heart, lungs" in result.stderr
    assert world.read("releases", "--service", "heart")["service"] == "heart"
    assert [s["service"] for s in world.read("status")["stages"]] == ["heart", "lungs"]
    assert "no service is called 'liver'" in world.run("status", "--service", "liver").stderr


def test_a_malformed_registration_is_named_and_hinders_no_other(world: Operated) -> None:
    """One broken registration is told on stderr; the others are shown."""
    world.tell()
    world.ssm.put_parameter(Name="/esteira/services/bad", Value='{"name": "bad"}', Type="String")
    result = world.run("status", "--json")
    assert json.loads(result.stdout)["stages"][0]["live"]["release"] == "v2"
    assert "/esteira/services/bad is refused" in result.stderr


# --- an operator's words --------------------------------------------------------------------------------------------


def test_a_hold_is_recorded_with_who_why_and_how_long(world: Operated) -> None:
    """A hold that was typed is in force until then, and a resume ends it."""
    world.tell()
    assert world.run("hold", "--reason", "the audit", "--for", "1h30m").exit_code == 0
    hold = world.store.stage("heart", "production").held(world.now)
    assert hold is not None
    assert (hold.by, hold.reason, hold.until) == ("ana", "the audit", world.now + timedelta(minutes=90))
    world.tick()
    assert world.run("resume", "--by", "rui").exit_code == 0
    assert world.store.stage("heart", "production").held(world.now) is None
    assert {function for function, _ in world.asked} == {"esteira-operate"}


def test_retry_abort_and_quarantine_record_what_was_said(world: Operated) -> None:
    """Each verb becomes its fact, about the release that was named."""
    world.tell()
    world.push(5)
    assert world.run("abort", "v5", "--reason", "wrong branch").exit_code == 0
    assert world.run("quarantine", "v1", "--reason", "leaks").exit_code == 0
    world.project(5)
    assert world.run("retry", "3").exit_code == 0
    fifth, third = world.store.release("heart", 5), world.store.release("heart", 3)
    assert fifth is not None
    assert fifth.aborted is not None
    assert fifth.aborted.reason == "wrong branch"
    assert world.store.quarantine("heart", [commit(1)]) is not None
    assert third is not None
    assert third.attempt == 2


def test_a_refusal_goes_to_stderr_with_status_2_and_changes_nothing(world: Operated) -> None:
    """What operate refuses is told in its own words; --json tells it on stdout, too."""
    world.tell()
    result = world.run("retry", "v2")
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        result.stderr == f"on the local stack at {world.state}\nv2 is live and needs no retry. Next: esteira show v2\n"
    )
    assert json.loads(world.run("resume", "--json").stdout)["refused"].startswith("production is not held")
    second = world.store.release("heart", 2)
    assert second is not None
    assert second.attempt == 1


def test_a_function_that_fails_is_told_with_status_1(world: Operated) -> None:
    """An error of the function is a sentence with its message and where its log is, and no traceback."""
    shell = world.shell(invoke=lambda name, payload: Invoked({}, "RuntimeError: no table"))
    result = world.run("hold", "--reason", "r", shell=shell)
    assert result.exit_code == 1
    assert "esteira-operate failed: RuntimeError: no table. Next: esteira status" in result.stderr
    assert "/aws/lambda/esteira-operate" in result.stderr


def test_a_rollback_can_be_waited_for(world: Operated) -> None:
    """--wait follows the release it goes back to until that has had its rollout and is live."""
    world.tell()

    def carried_out(_: float) -> None:
        world.deploy(1, live=2, succeeded=True, rollout=4, kind="rollback")

    result = world.run("rollback", "--reason", "slow", "--wait", "--json", shell=world.shell(sleep=carried_out))
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["release"], told["phase"], told["succeeded"]) == ("v1", "live", True)
    assert "v1 is superseded" in result.stderr


def test_what_was_waited_for_and_failed_is_status_1(world: Operated) -> None:
    """--wait ends with the failure's sentence and a status a script can see."""
    world.tell()

    def failed(_: float) -> None:
        world.deploy(1, live=2, succeeded=False, rollout=4, kind="rollback")

    result = world.run("rollback", "--reason", "slow", "--wait", shell=world.shell(sleep=failed))
    assert result.exit_code == 1
    assert "v1 (1abc0000) failed: deployment d-4 failed" in result.stdout


def test_waiting_is_bounded(world: Operated) -> None:
    """At its timeout --wait says what is still under way, with a status of its own."""
    world.tell()
    shell = world.shell(sleep=lambda _: world.tick(minutes=4) and None)
    result = world.run("retry", "v3", "--wait", "--timeout", "10m", shell=shell)
    assert result.exit_code == 3
    assert "v3 is still pushed after 0:10:00" in result.stderr


@pytest.mark.parametrize(
    ("typed", "minutes"),
    [("90m", 90), ("2h", 120), ("1d", 1440), ("1h30m", 90), ("", 0), ("2", 0), ("0m", 0), ("31d", 0)],
)
def test_a_length_of_time_is_read_as_people_type_it(typed: str, minutes: int) -> None:
    """Days, hours and minutes; anything else is refused with an example."""
    if minutes:
        assert duration(typed) == timedelta(minutes=minutes)
    else:
        with pytest.raises(click.BadParameter):
            duration(typed)


# --- replay ---------------------------------------------------------------------------------------------------------


@dataclass
class Functions:
    """Functions that answer with what they were called."""

    called: list[tuple[str, Any]]

    def __call__(self, name: str, payload: Any) -> Invoked:
        self.called.append((name, payload))
        answer = {"service": "heart", "release": "v1", "phase": "live", "why": "so", "actions": []}
        if name.endswith("-announce"):
            return Invoked({}, "Refused: detail.phase is missing")
        return Invoked([answer] if name.endswith("-sweep") else answer)


def test_replay_sends_each_file_where_the_template_says(world: Operated) -> None:
    """Events go by the rules, the clock's by the schedule, requests to operate; what matches nothing says so."""
    called: list[tuple[str, Any]] = []
    names = ("codecommit_updated", "schedule", "operate_hold", "codebuild_phase_change")
    files = [str(EVENTS / f"{name}.json") for name in names]
    result = world.run("replay", *files, "--json", shell=world.shell(invoke=Functions(called)))
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["returned"]
    assert [row["function"] for row in rows] == ["esteira-intake", "esteira-sweep", "esteira-operate", ""]
    assert [row["release"] for row in rows] == ["v1", "v1", "v1", ""]
    assert "no rule of template.yaml matches it" in rows[3]["why"]
    assert len(called[2][1]["request"]) == 36
    assert called[0][1] == json.loads(Path(files[0]).read_text())


def test_replay_tells_a_functions_error(world: Operated) -> None:
    """A function that fails is told by name, beside those that did not, and the status is 1."""
    files = [str(EVENTS / "release_phase_changed.json"), str(EVENTS / "schedule.json")]
    result = world.run("replay", *files, shell=world.shell(invoke=Functions([])))
    assert result.exit_code == 1
    assert "esteira-announce: Refused: detail.phase is missing" in result.stdout
    assert "esteira-sweep: heart v1 is live: so" in result.stdout


@pytest.mark.parametrize(
    ("text", "sentence"), [("{", "is not JSON"), ("[]", "holds no event"), (None, "cannot be read")]
)
def test_a_file_that_is_no_event_is_refused_before_anything_is_sent(
    world: Operated, tmp_path: Path, text: str | None, sentence: str
) -> None:
    """A bad file among good ones stops the replay before its first event."""
    called: list[tuple[str, Any]] = []
    bad = tmp_path / "bad.json"
    if text is not None:
        bad.write_text(text)
    shell = world.shell(invoke=Functions(called))
    result = world.run("replay", str(EVENTS / "schedule.json"), str(bad), shell=shell)
    assert (result.exit_code, called) == (2, [])
    assert sentence in result.stderr


# --- which controller -----------------------------------------------------------------------------------------------


def test_a_local_stack_that_is_gone_is_not_taken_for_aws(world: Operated) -> None:
    """What was meant for the laptop never reaches AWS because the laptop's stack died."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (world.state / "local.json").write_text(json.dumps({"endpoint": "http://127.0.0.1:9", "pid": gone.pid}))
    result = world.run("status")
    assert result.exit_code == 1
    assert "is not running. Next: esteira local up" in result.stderr
    (world.state / "local.json").write_text("{}")
    assert "is not a local stack's note" in world.run("status").stderr


def test_an_endpoint_goes_before_the_local_stack(world: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    """--endpoint, then AWS_ENDPOINT_URL, then the note of a local stack, then AWS."""
    seen: list[Where] = []

    def connect(where: Where) -> Controller:
        seen.append(where)
        return Controller(where, world.client, world.operate)

    shell = Shell(connect, lambda: world.now)
    world.run("status", shell=shell)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:7")
    world.run("status", shell=shell)
    world.run("status", "--endpoint", "http://127.0.0.1:8", "--stack", "other", shell=shell)
    assert [(w.endpoint, w.local, w.stack) for w in seen] == [
        ("http://127.0.0.1:9", True, "esteira"),
        ("http://127.0.0.1:7", False, "esteira"),
        ("http://127.0.0.1:8", False, "other"),
    ]


def test_the_functions_may_be_elsewhere_than_the_rest(world: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    """lambda=URL, then AWS_ENDPOINT_URL_LAMBDA: a request goes there, while the table is read where it is."""
    seen: list[Where] = []

    def connect(where: Where) -> Controller:
        seen.append(where)
        return Controller(where, world.client, world.operate)

    shell = Shell(connect, lambda: world.now)
    world.run("status", "--endpoint", "lambda=http://127.0.0.1:6", shell=shell)
    world.run("status", "--endpoint", "http://127.0.0.1:8", "--endpoint", "lambda=http://127.0.0.1:6", shell=shell)
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:5")
    world.run("status", shell=shell)
    assert [(w.endpoint, w.local, w.functions) for w in seen] == [
        ("http://127.0.0.1:9", True, "http://127.0.0.1:6"),
        ("http://127.0.0.1:8", False, "http://127.0.0.1:6"),
        ("http://127.0.0.1:9", True, "http://127.0.0.1:5"),
    ]
    client = clients(seen[0])
    assert [client(name).meta.endpoint_url for name in ("lambda", "dynamodb")] == [
        "http://127.0.0.1:6",
        "http://127.0.0.1:9",
    ]


def test_an_endpoint_that_is_none_is_refused(world: Operated) -> None:
    """A service other than lambda, or a word without a scheme, would be passed over in silence."""
    for word in ("dynamodb=http://127.0.0.1:6", "lambda=3001", "localhost:3001"):
        result = world.run("status", "--endpoint", word)
        assert result.exit_code == 2
        assert f"{word!r} is neither URL nor lambda=URL" in result.stderr


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('{"errorType": "KeyError", "errorMessage": "pk", "requestId": "1", "stackTrace": []}', "KeyError: pk"),
        ("Task timed out after 60.00 seconds", "Task timed out after 60.00 seconds"),
        ('{"phase": "live"}', ""),
        ("", ""),
    ],
)
def test_an_error_is_known_by_what_it_says(body: str, error: str) -> None:
    """The SAM CLI sets no FunctionError: what failed would pass for done."""
    assert answered(body).error == error


def test_on_aws_the_table_is_the_one_the_function_uses(world: Operated) -> None:
    """CloudFormation makes the table's name up, so it is asked of the function that writes to it."""

    class Lambda:
        def get_function_configuration(self, FunctionName: str) -> Any:  # noqa: N803 - boto3's name for it
            table = {"esteira-operate": "esteira-Table"}[FunctionName]
            return {"Environment": {"Variables": {"ESTEIRA_TABLE": table}}}

    def client(name: str) -> Any:
        return Lambda() if name == "lambda" else world.client(name)

    world.tell()
    shell = Shell(lambda where: Controller(where, client))
    result = CliRunner().invoke(main, ["why", "v2", "--aws"], obj=shell)
    assert result.stdout == "v2 (2abc0000) is live: deployment d-2 succeeded on production\n"


def test_a_stack_that_is_not_there_is_a_sentence(world: Operated) -> None:
    """A wrong name, or a stack not deployed yet, is told with both ways on."""
    result = world.run("status", "--stack", "nowhere")
    assert result.exit_code == 1
    assert "no service is registered with the stack nowhere" in result.stderr
    assert "--stack NAME" in result.stderr


def test_no_credentials_is_a_sentence_and_so_is_an_endpoint_that_is_dead(world: Operated) -> None:
    """boto3's errors end in the next thing to type, never in a traceback."""

    def nobody(_: str) -> Any:
        raise NoCredentialsError

    result = world.run("status", shell=Shell(lambda where: Controller(where, nobody)))
    assert result.exit_code == 1
    assert "Next: aws configure; without an AWS account: esteira local up" in result.stderr


def test_reading_loads_no_emulator(world: Operated) -> None:
    """The reading commands start without moto, the template reader and, until it is used, boto3."""
    modules = "console.cli.main, console.cli.read_commands, console.cli.render_status"
    program = f"import sys, {modules}; print({{'moto', 'boto3', 'yaml'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_command_answers_help_and_the_group_tells_its_exit_statuses(world: Operated) -> None:
    """A newcomer who types --help anywhere is told what there is."""
    assert "--wait reached its --timeout" in CliRunner().invoke(main, ["--help"]).stdout
    for name in main.list_commands(click.Context(main)):
        result = CliRunner().invoke(main, [name, "--help"])
        assert result.exit_code == 0, result.output
