"""What an operator looks at shows what happened: the lines, metrics and traces of a real story, asked by the template's
own queries, dashboard and alarms. The runbook has a paragraph for every alarm."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import pytest

from console.local.aws_account import REGION
from console.local.paths import ROOT, TEMPLATE
from console.local.template import read
from esteira import bootstrap
from esteira.aws.tracing import is_sampled
from esteira.core.status import Cause
from tests.insights import Answer, Line, QueryError, run
from tests.integration.conftest import Story
from tests.integration.watched import Written, listened_to

STACK = read(TEMPLATE)
RESOURCES: dict[str, Any] = dict(STACK.document["Resources"])
FUNCTIONS = ("intake", "sweep", "operate", "announce")
# The metrics that AWS publishes for what the template creates, by namespace, with their one dimension.
OF_AWS = {
    "AWS/Lambda": ({"Invocations", "Errors", "Throttles", "Duration"}, "FunctionName"),
    "AWS/SQS": ({"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"}, "QueueName"),
}
# What Lambda itself writes where a function's log is JSON, after AWS's documentation: an invocation that was cut off.
CUT_OFF = {
    "time": "2026-11-25T22:00:00.000Z",
    "type": "platform.report",
    "record": {"requestId": "6d67e385", "status": "timeout", "metrics": {"durationMs": 60000.0}},
}


@dataclass(frozen=True)
class Seen:
    """What a story left behind: the lines by function, and the segments that reached X-Ray."""

    written: list[Written]
    segments: list[dict[str, Any]]

    @property
    def lines(self) -> list[Line]:
        """The lines as CloudWatch Logs has them, Lambda's own about a timeout with them."""
        lines = [Line(f"/aws/lambda/{w.function}", w.text) for w in self.written]
        return [*lines, Line("/aws/lambda/esteira-sweep", json.dumps(CUT_OFF))]

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The lines, read."""
        return [json.loads(w.text) for w in self.written]

    @property
    def published(self) -> dict[str, set[str]]:
        """The metrics that were published, in EMF, by namespace; each with the dimension that the alarms name."""
        found: dict[str, set[str]] = {}
        for document in self.documents:
            for directive in document.get("_aws", {}).get("CloudWatchMetrics", []):
                assert directive["Dimensions"] == [["service"]]
                assert document["service"] == STACK.name
                found.setdefault(directive["Namespace"], set()).update(m["Name"] for m in directive["Metrics"])
        return found

    def annotated(self, trace: str) -> set[tuple[str, str]]:
        """What X-Ray finds a trace by."""
        parts = [part for segment in self.segments if segment["trace_id"] == trace for part in parts_of(segment)]
        return {(key, value) for part in parts for key, value in part.get("annotations", {}).items()}


def parts_of(part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A segment and all that is within it."""
    yield part
    for inner in part["subsegments"]:
        yield from parts_of(inner)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """The story of ``watched.py``, played once in a process with Lambda's environment."""
    folder = tmp_path_factory.mktemp("watched")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "functions"))),
        **next(f.environment for f in STACK.functions if f.name == "esteira-intake"),
        "AWS_REGION": REGION,
        "AWS_LAMBDA_FUNCTION_NAME": "esteira-intake",
    }
    words = [sys.executable, "-m", "tests.integration.watched", str(folder)]
    played = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert played.returncode == 0, played.stderr[-3000:]
    rows = [json.loads(line) for line in played.stdout.splitlines()]
    written = [Written(**row["written"]) for row in rows if "written" in row]
    return Seen(written, [row["segment"] for row in rows if "segment" in row])


def dashboard() -> dict[str, Any]:
    """The dashboard's body as CloudFormation fills it in."""
    text, variables = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    # The two alarms that are off by default, as where they are on.
    asked = {name: variables[name]["Fn::If"][1]["Fn::Sub"] for name in ("FailedReleases", "SlowReleases")}
    logs = variables["Logs"]["Fn::Sub"]
    filled: dict[str, Any] = json.loads(
        substituted(text, {name: substituted(row) for name, row in {**asked, "Logs": logs}.items()})
    )
    return filled


def substituted(text: str, more: dict[str, str] | None = None) -> str:
    """Return ``text`` with its variables filled in. Raises KeyError for one that the template does not define."""
    known = {
        "AWS::StackName": STACK.name,
        "AWS::Region": "eu-west-1",
        **{name: str(p.get("Default")) for name, p in STACK.document["Parameters"].items()},
        **(more or {}),
    }

    def value(match: re.Match[str]) -> str:
        name, _, attribute = match[1].partition(".")
        if match[1] in known:
            return known[match[1]]
        resource = RESOURCES[name]
        if attribute == "Arn":
            assert resource["Type"] == "AWS::CloudWatch::Alarm"
            return f"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}"
        assert attribute == ("QueueName" if resource["Type"] == "AWS::SQS::Queue" and attribute else "")
        named = {"AWS::Serverless::Function": "FunctionName", "AWS::Logs::LogGroup": "LogGroupName"}
        named |= {"AWS::SQS::Queue": "QueueName"}
        return substituted(resource["Properties"][named[resource["Type"]]]["Fn::Sub"])

    return re.sub(r"\$\{([A-Za-z:.]+)\}", value, text)


def widgets(kind: str) -> list[dict[str, Any]]:
    return [w["properties"] for w in dashboard()["widgets"] if w["type"] == kind]


def widget(title: str) -> str:
    """The query of the widget whose title begins so."""
    [query] = [str(w["query"]) for w in widgets("log") if w["title"].startswith(title)]
    return query


def saved() -> dict[str, str]:
    """The saved queries by their names, without the stack's."""
    found = {}
    for resource in RESOURCES.values():
        if resource["Type"] == "AWS::Logs::QueryDefinition":
            properties = resource["Properties"]
            assert [group["Ref"] for group in properties["LogGroupNames"]] == [f"{f.title()}Log" for f in FUNCTIONS]
            text = properties["QueryString"]
            name = substituted(properties["Name"]["Fn::Sub"]).partition("/")[2]
            found[name] = substituted(text["Fn::Sub"]) if isinstance(text, dict) else text
    return found


def asked(seen: Seen, query: str) -> Answer:
    """What a query of the template answers about the story."""
    groups = [f"/aws/lambda/{STACK.name}-{function}" for function in FUNCTIONS]
    return run(query, seen.lines, groups)


def alarms() -> dict[str, dict[str, Any]]:
    return {n: r["Properties"] for n, r in RESOURCES.items() if r["Type"] == "AWS::CloudWatch::Alarm"}


# --- the lines --------------------------------------------------------------------------------------------------------


def test_every_line_is_json(seen: Seen) -> None:
    """Logs Insights finds the fields of every one."""
    assert seen.written
    assert all(isinstance(document, dict) for document in seen.documents)


def test_every_line_has_a_time_that_lambda_can_read(seen: Seen) -> None:
    """RFC 3339, or Lambda counts every line as INFO and drops even errors where LogLevel is ERROR."""
    for document in seen.documents:
        assert "_aws" in document or re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?(Z|[+-]\d\d:\d\d)", document["timestamp"]
        )


def test_a_change_of_phase_is_one_line(seen: Seen) -> None:
    """Each line's phase is where the release's next begins; of a failure there is a word, of a first life a time."""
    changes = [d for d in seen.documents if "before" in d]
    for release in ("v2", "v3", "v4", "v6"):
        way = [(d["before"], d["phase"]) for d in changes if d["release"] == release]
        assert [before for before, _ in way] == ["new", *(phase for _, phase in way[:-1])]
    assert [d["cause"] for d in changes if "cause" in d] == ["application-start-failed", "build-failed", "guard"]
    assert [d["release"] for d in changes if "seconds_to_live" in d] == ["v1", "v5", "v6"]


def test_only_what_an_alarm_watches_is_a_metric_and_only_when_there_is_something_to_say(seen: Seen) -> None:
    """A metric costs in every hour that has a figure of it: no figure is zero, and none is published for nothing."""
    watched = {a["MetricName"] for a in alarms().values() if a["Namespace"] == "esteira"}
    assert seen.published == {"esteira": watched}
    for document in seen.documents:
        for directive in document.get("_aws", {}).get("CloudWatchMetrics", []):
            assert all(sum(document[m["Name"]]) > 0 for m in directive["Metrics"])


def test_a_sweep_that_finds_nothing_writes_nothing(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line and no metric: nothing happens, and nothing is paid for but the sweep itself."""
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "false")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "")
    heard: list[Written] = []
    functions = story.bus.functions
    story.context = replace(story.context, tell=bootstrap.tell)
    monkeypatch.setattr(functions, "call", listened_to(functions.call, lambda f: functions.named(f).name, heard))
    logging.getLogger("esteira").setLevel("INFO")
    try:
        story.live("one")
        lines = len(heard)
        story.pass_time(300, sweeps=3)
    finally:
        logging.getLogger("esteira").setLevel("CRITICAL")
    assert lines
    assert heard[lines:] == []


# --- the queries ------------------------------------------------------------------------------------------------------


def test_every_query_asks_for_fields_that_the_lines_have(seen: Seen) -> None:
    """Those of the dashboard and the saved ones run, over groups that exist, and name nothing that is never written."""
    fields = {name for line in seen.lines for name in line.row()}
    queries = {**saved(), **{w["title"]: w["query"] for w in widgets("log")}}
    assert len(queries) == 11
    for name, query in queries.items():
        answer = asked(seen, query)
        assert answer.named <= fields, f"{name}: {answer.named - fields}"
        assert answer.rows, f"{name} has nothing to show"
    groups = {
        substituted(r["Properties"]["LogGroupName"]["Fn::Sub"]) for r in RESOURCES.values() if "LogGroup" in r["Type"]
    }
    assert set(re.findall(r"SOURCE '([^']+)'", json.dumps(dashboard()))) == groups


def test_the_dashboard_counts_releases_by_phase_failures_by_cause_and_repairs_by_kind(seen: Seen) -> None:
    """What is shown is what happened: each release once, where it stands in the end."""
    stands = asked(seen, widget("Releases by the phase")).rows
    assert {row["stands"]: row["releases"] for row in stands} == {
        "superseded": 1,
        "failed": 2,
        "rejected": 1,
        "rolled back": 1,
        "live": 1,
    }
    causes = asked(seen, widget("Failures")).rows
    assert {row["cause"]: row["releases"] for row in causes} == {
        "application-start-failed": 1,
        "build-failed": 1,
        "guard": 1,
    }
    repairs = asked(seen, widget("What the sweep repaired")).rows
    assert {row["fact"]: row["found"] for row in repairs} == {
        "pushed": 1,
        "build-ended": 1,
        "deployment-reported": 2,
        "host-reported": 1,
    }


def test_the_dashboard_says_how_long_a_push_takes_to_live(seen: Seen) -> None:
    """By the stage's clock: forty seconds of build, twenty of deployment; the sweep's none. A rollback is no push."""
    [row] = asked(seen, widget("Push to live")).rows
    assert (row["service"], row["pushes"], row["p50"], row["slowest"]) == ("heart", 3, 60.0, 60.0)
    slowest = asked(seen, saved()["The slowest pushes to live"]).rows
    assert [r["seconds_to_live"] for r in slowest] == [60.0, 60.0, 0.0]


def test_one_query_shows_all_that_was_said_of_a_release_by_all_four_functions(seen: Seen) -> None:
    """v1 was pushed, went live, was taken over from and returned to: intake, announce, sweep and operate say so."""
    told = asked(seen, saved()["One release, everything said"]).rows
    assert {row["function_name"] for row in told} == {f"{STACK.name}-{function}" for function in FUNCTIONS}
    assert [row["@timestamp"] for row in told] == sorted(row["@timestamp"] for row in told)
    assert {"Announce", "rollback"} <= {row["action"] for row in told}
    phases = [row["phase"] for row in told if row["before"]]
    assert phases[:5] == ["pushed", "building", "built", "deploying", "live"]
    assert phases[-1] == "superseded"


def test_the_errors_are_those_of_the_code_of_the_runtime_and_what_was_cut_off(seen: Seen) -> None:
    """A refusal by AWS with its release, a malformed event and registration by their fields, and a timeout."""
    said = [str(row["said"]) for row in asked(seen, saved()["Errors"]).rows]
    for words in ("AccessDeniedException: not today", "build-id: Field required", "services/lungs", "timeout"):
        assert any(words in text for text in said), said
    of_v6 = [row for row in asked(seen, saved()["Errors"]).rows if row["release"] == "v6"]
    assert [row["action"] for row in of_v6] == ["StartBuild"]


def test_a_query_that_logs_insights_would_refuse_is_refused_here(seen: Seen) -> None:
    """What checks the queries is itself no yes-man."""
    for wrong in (
        "fields service | stats count() as n",
        "filter phase = | limit 1",
        "stats count(*) as n by phase | stats count(*) as n by cause",
        "stats count(*) as n by phase | sort n desc | stats max(n) as most",
        "parse @message '*' as all",
        "filter median(x) > 1",
        "stats count(*) as a by phase | stats max(a) as b | stats max(b) as c",
    ):
        with pytest.raises(QueryError):
            asked(seen, wrong)


# --- the dashboard ----------------------------------------------------------------------------------------------------


def test_the_dashboard_is_named_after_the_stack_and_its_widgets_do_not_overlap() -> None:
    """Filled in, it is JSON; each widget has a place of its own in the twenty-four columns."""
    assert RESOURCES["Dashboard"]["Properties"]["DashboardName"] == {"Ref": "AWS::StackName"}
    taken: set[tuple[int, int]] = set()
    for w in dashboard()["widgets"]:
        assert w["x"] + w["width"] <= 24
        cells = {(x, y) for x in range(w["x"], w["x"] + w["width"]) for y in range(w["y"], w["y"] + w["height"])}
        assert not cells & taken, w
        taken |= cells


def test_every_metric_shown_is_one_that_is_published_for_something_that_exists() -> None:
    """AWS's, for the template's functions and queue; every function is shown."""
    functions = {f"{STACK.name}-{function}" for function in FUNCTIONS}
    shown: set[tuple[str, str, str]] = set()
    for w in widgets("metric"):
        for namespace, name, dimension, value, _ in w["metrics"]:
            names, of = OF_AWS[namespace]
            assert (name in names, dimension) == (True, of)
            assert value in (functions if namespace == "AWS/Lambda" else {f"{STACK.name}-dead-letters"})
            shown.add((namespace, name, value))
    assert {(n, f) for _, n, f in shown if f in functions} == {
        (n, f) for n in OF_AWS["AWS/Lambda"][0] for f in functions
    }


def test_the_dashboard_shows_every_alarm() -> None:
    """None is left out where somebody looks first."""
    [status] = widgets("alarm")
    assert {arn.rpartition(":")[2] for arn in status["alarms"]} == set(alarms())
    assert len(status["alarms"]) == len(alarms())


@pytest.mark.parametrize(("metric", "phases"), [("FailedReleases", {"failed", "rejected"}), ("SlowReleases", {"live"})])
def test_what_the_two_optional_alarms_count_is_in_the_lines(metric: str, phases: set[str], seen: Seen) -> None:
    """Their filters name fields that the functions write, of the phases they are about, in every log that has them."""
    filters = {name: row for name, row in RESOURCES.items() if row["Type"] == "AWS::Logs::MetricFilter"}
    ours = [
        r["Properties"] for r in filters.values() if r["Properties"]["MetricTransformations"][0]["MetricName"] == metric
    ]
    texts = {
        row["FilterPattern"]["Fn::Sub"] if isinstance(row["FilterPattern"], dict) else row["FilterPattern"]
        for row in ours
    }
    [pattern] = texts
    fields = set(re.findall(r"\$\.(\w+)", pattern))
    told = [json.loads(w.text) for w in seen.written]
    counted = [row for row in told if fields <= row.keys() and row.get("phase") in phases]
    assert {row["phase"] for row in counted} == phases
    groups = {row["LogGroupName"]["Ref"] for row in ours}
    writing = {w.function for w, row in zip(seen.written, told, strict=True) if fields <= row.keys()}
    assert {f"esteira-{group.removesuffix('Log').lower()}" for group in groups} >= writing


# --- alarms and the runbook -------------------------------------------------------------------------------------------


def test_every_alarm_says_what_to_type_next_and_has_its_paragraph_in_the_runbook() -> None:
    """Its description ends in the next thing to type, and docs/runbook.md has a heading for it, and for no other."""
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    headings = set(re.findall(r"^### (\w+Alarm)", runbook, re.MULTILINE))
    service = read(TEMPLATE.with_name("service.yaml")).document["Resources"]
    every = {**alarms(), "HostAlarm": service["HostAlarm"]["Properties"]}
    assert headings == set(every)
    for name, alarm in every.items():
        text = alarm["AlarmDescription"]
        text = substituted(text["Fn::Sub"], {"ServiceName": "heart"}) if isinstance(text, dict) else text
        assert re.search(r"Next: (aws|esteira) .+$", text), name
        assert len(text) <= 1024


def test_all_alarms_reach_the_one_address_that_was_given() -> None:
    """Each goes to the one topic, and AlarmEmail, where it is given, is subscribed to it."""
    assert all(alarm["AlarmActions"] == [{"Ref": "Alarms"}] for alarm in alarms().values())
    subscription = RESOURCES["AlarmSubscription"]
    assert subscription["Condition"] == "HasAlarmEmail"
    assert subscription["Properties"] == {
        "TopicArn": {"Ref": "Alarms"},
        "Protocol": "email",
        "Endpoint": {"Ref": "AlarmEmail"},
    }


def test_the_runbook_names_every_saved_query_and_every_cause(seen: Seen) -> None:
    """Whoever is woken finds which query to open, and what each word for a failure means."""
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert [name for name in saved() if f"*{name}*" not in runbook] == []
    assert [cause.value for cause in Cause if f"`{cause}`" not in runbook] == []


# --- traces -----------------------------------------------------------------------------------------------------------


def test_a_release_is_followed_through_all_four_functions_by_its_annotation(seen: Seen) -> None:
    """What the functions sent to X-Ray is found by the release in every trace that did something for it."""
    functions: dict[str, set[str]] = {}
    for written in seen.written:
        said = json.loads(written.text)
        if "release" in said:
            assert said["xray_trace_id"] == written.trace
            about = ("release", f"{said['service']} {said['release']}")
            assert about in seen.annotated(written.trace), said
            assert ("service", said["service"]) in seen.annotated(written.trace)
            functions.setdefault(said["release"], set()).add(written.function)
    assert functions["v1"] == {f"{STACK.name}-{function}" for function in FUNCTIONS}


def test_every_call_is_one_segment_with_its_decisions_and_the_calls_of_each_within(seen: Seen) -> None:
    """Each part lies within the time of what it is in; the calls to AWS are named by AWS's service and operation."""
    assert len({segment["trace_id"] for segment in seen.segments}) == len(seen.segments) > 20
    assert {segment["trace_id"] for segment in seen.segments} >= {written.trace for written in seen.written}
    for segment in seen.segments:
        ids = [part["id"] for part in parts_of(segment)]
        assert len(set(ids)) == len(ids)
        for part in parts_of(segment):
            assert part["end_time"] >= part["start_time"]
            assert all(inner["start_time"] >= part["start_time"] for inner in part["subsegments"])
            assert all(inner["end_time"] <= part["end_time"] for inner in part["subsegments"])
    every = [part for segment in seen.segments for part in parts_of(segment)]
    calls = {(part["name"], part["aws"]["operation"]) for part in every if part.get("namespace") == "aws"}
    # What the story plays of other services is no boto3 client.
    assert {("S3", "PutObject"), ("SSM", "GetParametersByPath")} <= calls
    assert {"StartBuild", "AcceptImage"} <= {part["name"] for part in every}
    assert "XRay" not in {name for name, _ in calls}


def test_what_failed_is_a_fault_in_its_trace(seen: Seen) -> None:
    """The call of the function that ended in an error, with what it said."""
    said = {segment["cause"]["exceptions"][0]["type"] for segment in seen.segments if segment.get("fault")}
    assert said
    raised = {document["errorType"] for document in seen.documents if "errorType" in document}
    assert said == raised


def test_a_trace_stays_within_what_xray_indexes(seen: Seen) -> None:
    """Fifty annotations a trace: each is put once, however many decisions it is about."""
    for segment in seen.segments:
        assert sum(len(part.get("annotations", {})) for part in parts_of(segment)) <= 12


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.25, 1.0])
def test_of_many_calls_the_share_that_was_asked_for_is_traced(share: float) -> None:
    """X-Ray's price is by the trace; the id decides, so the functions need remember nothing."""
    ids = [f"1-00000000-{sha256(str(n).encode()).hexdigest()[:24]}" for n in range(20_000)]
    assert abs(sum(is_sampled(id_, share) for id_ in ids) / len(ids) - share) < 0.01
    assert not is_sampled("", 1.0)
