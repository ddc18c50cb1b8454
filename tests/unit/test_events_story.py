"""events/README.md tells the truth about the files beside it: which there are, in which order, what each one wakes."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from console.local.replay import routes

EVENTS = Path(__file__).parents[2] / "events"
FILES = {path.name: json.loads(path.read_text()) for path in sorted(EVENTS.glob("*.json"))}
ROW = re.compile(
    r"^\| `(?P<file>\w+\.json)` \| (?P<what>[^|]+) \| (?P<wakes>\w+) \| (?P<happens>[^|]+) \|$", re.MULTILINE
)
WORDS = EVENTS.joinpath("README.md").read_text()
TABLES = {title: ROW.findall(text) for title, text in re.findall(r"## (.+)\n([^#]+)", WORDS)}
ROWS = [row for rows in TABLES.values() for row in rows]
STORY = [file for file, *_ in TABLES["The story, in order"]]
TARGETS = routes("esteira")
SENT = {name: event for name, event in FILES.items() if "detail-type" in event}

ENVELOPE = {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}
DEPLOYMENT = {"application", "deploymentGroup", "deploymentId", "instanceGroupId", "region", "state"}
BUILD = {"project-name", "build-id", "additional-information", "version"}
REFERENCE = {
    "callerUserArn",
    "event",
    "referenceFullName",
    "referenceName",
    "referenceType",
    "repositoryId",
    "repositoryName",
}
# What a detail has by AWS's event reference, and what it may have beside that.
DOCUMENTED: dict[str, tuple[set[str], set[str]]] = {
    "CodeCommit Repository State Change": (
        REFERENCE,
        {"commitId", "oldCommitId", "mergeOption", "sourceCommitId", "destinationCommitId"},
    ),
    "CodeBuild Build State Change": (BUILD | {"build-status", "current-phase", "current-phase-context"}, set()),
    "CodeBuild Build Phase Change": (
        BUILD
        | {f"completed-phase{part}" for part in ("", "-context", "-duration-seconds", "-end", "-start", "-status")},
        set(),
    ),
    "ECR Image Action": (
        {"action-type", "result", "repository-name", "image-digest", "image-tag"},
        {"manifest-media-type", "artifact-media-type"},
    ),
    "ECR Image Scan": (
        {"scan-status", "repository-name", "image-digest", "image-tags"},
        {"finding-severity-counts"},
    ),
    "Inspector2 Scan": (
        {"scan-status", "repository-name", "image-digest", "image-tags", "finding-severity-counts"},
        set(),
    ),
    "CodeDeploy Deployment State-change Notification": (DEPLOYMENT, set()),
    "CodeDeploy Instance State-change Notification": (DEPLOYMENT | {"instanceId"}, set()),
    "Scheduled Event": (set(), set()),
    "Release Phase Changed": (
        {
            *(
                "service",
                "stage",
                "stages",
                "release",
                "number",
                "attempt",
                "rollout",
                "phase",
                "before",
                "summary",
                "detail",
                "next",
                "cause",
            ),
            *("commit", "tag", "digest"),
        },
        set(),
    ),
    "Hold Ends Soon": ({"service", "stage", "by", "reason", "since", "until"}, set()),
    "Host Report": (
        {"service", "stage", "host", "release", "digest", "deployment", "sick", "since"}
        | {"times", "seconds", "status", "requests", "milliseconds", "before", "percent"},
        set(),
    ),
    "Parameter Store Change": ({"operation", "name", "type", "description"}, set()),
    "CloudWatch Alarm State Change": ({"alarmName", "configuration", "previousState", "state"}, set()),
}


# What a build's additional-information has, and what beside that once it runs.
ALWAYS = {
    "artifact",
    "build-complete",
    "build-start-time",
    "cache",
    "environment",
    "initiator",
    "logs",
    "queued-timeout-in-minutes",
    "source",
    "source-version",
    "timeout-in-minutes",
}
RUNNING = {"build-number", "phases"}
BUILDS = {name: event for name, event in SENT.items() if event["source"] == "aws.codebuild"}


def test_every_file_stands_in_one_table_and_every_row_has_its_file() -> None:
    """A file nobody explained, and an explanation whose file is gone, are found out."""
    assert sorted(file for file, *_ in ROWS) == sorted(FILES)


@pytest.mark.parametrize(("file", "wakes"), [(file, wakes) for file, _, wakes, _ in ROWS])
def test_a_file_wakes_what_its_row_says(file: str, wakes: str) -> None:
    """By the rules and the schedule of template.yaml, and by nothing written down twice."""
    assert TARGETS(FILES[file]) == (() if wakes == "nothing" else (f"esteira-{wakes}",))


def test_the_story_is_told_in_the_order_in_which_it_happened() -> None:
    """Who sends the files of the first table one after the other sends them as AWS would."""
    times = [FILES[file]["time"] for file in STORY]
    assert times == sorted(times)


def test_the_story_is_about_one_commit_one_build_one_image_and_one_deployment() -> None:
    """What one file calls v1's, the next calls by the same id; only the last push is of another commit."""
    *story, last = (json.dumps(FILES[file]) for file in STORY)
    told = " ".join(story)
    for pattern in (r"\b[0-9a-f]{40}\b", r"heart-build:[0-9a-f-]{36}", r"sha256:[0-9a-f]{64}", r"\bd-[A-Z0-9]{9}\b"):
        assert len(set(re.findall(pattern, told))) == 1, pattern
    (commit,) = set(re.findall(r"\b[0-9a-f]{40}\b", told))
    assert json.loads(last)["detail"]["oldCommitId"] == commit


@pytest.mark.parametrize("file", SENT)
def test_an_event_has_the_documented_shape(file: str) -> None:
    """No field that AWS does not send, none missing that it always sends; resources are ARNs of this account."""
    event: dict[str, Any] = SENT[file]
    must, may = DOCUMENTED[event["detail-type"]]
    assert set(event) == ENVELOPE
    assert must <= set(event["detail"]) <= must | may
    assert (event["version"], event["account"], event["region"]) == ("0", "123456789012", "us-east-1")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", event["time"])
    # Inspector's event is about the repository.
    service = "ecr" if event["source"] == "aws.inspector2" else event["source"].removeprefix("aws.")
    assert all(arn.startswith(f"arn:aws:{service}:us-east-1:123456789012:") for arn in event["resources"])


def test_no_two_files_have_one_id() -> None:
    """Two events with one id would be one event sent twice."""
    assert len({event["id"] for event in SENT.values()}) == len(SENT)


@pytest.mark.parametrize("file", BUILDS)
def test_a_builds_event_is_as_wide_as_aws_makes_it(file: str) -> None:
    """Contexts are text in the detail and lists in the phases; the last phase has begun and no more."""
    detail = BUILDS[file]["detail"]
    about, begun = detail["additional-information"], detail.get("build-status") == "IN_PROGRESS"
    assert set(about) == ALWAYS | (set() if begun else RUNNING)
    assert about["build-complete"] is (detail.get("current-phase") == "COMPLETED")
    assert detail["build-id"] == BUILDS[file]["resources"][0]
    context = detail.get("current-phase-context", detail.get("completed-phase-context"))
    assert isinstance(context, str)
    if begun:
        return
    *done, last = about["phases"]
    assert set(last) == {"phase-type", "start-time"}
    for phase in done:
        length = _moment(phase["end-time"]) - _moment(phase["start-time"])
        assert length.total_seconds() == phase["duration-in-seconds"]
        assert isinstance(phase["phase-context"], list)
    assert [phase["end-time"] for phase in done] == [phase["start-time"] for phase in (*done[1:], last)]


def test_a_builds_events_carry_the_times_that_were_recorded_of_real_ones() -> None:
    """A phase's event has its beginning as time; a build's end comes a quarter of a minute after its last phase."""
    for file, event in BUILDS.items():
        detail, sent = event["detail"], datetime.strptime(event["time"], "%Y-%m-%dT%H:%M:%SZ")  # noqa: DTZ007
        if "completed-phase-start" in detail:
            assert sent == _moment(detail["completed-phase-start"]), file
            assert detail["completed-phase"] == detail["additional-information"]["phases"][-2]["phase-type"]
        elif detail["current-phase"] == "COMPLETED":
            after = sent - _moment(detail["additional-information"]["phases"][-1]["start-time"])
            assert 13 <= after.total_seconds() <= 14, file


def test_a_failed_build_says_why_in_its_phases_only() -> None:
    """Its current phase and context read as a good one's do, and the phases after the failed one succeeded."""
    detail = FILES["codebuild_failed.json"]["detail"]
    assert (detail["current-phase"], detail["current-phase-context"]) == ("COMPLETED", "[: ]")
    ends = [phase.get("phase-status", "") for phase in detail["additional-information"]["phases"]]
    assert ends.index("FAILED") < len(ends) - 2
    assert ends[-2] == "SUCCEEDED"


def test_what_is_absent_and_what_is_empty_is_as_it_was_seen() -> None:
    """A created reference has no former commit, a deleted one no commit; a failed push has "" for a digest."""
    for event in SENT.values():
        detail, kind = event["detail"], event["detail-type"]
        if kind == "CodeCommit Repository State Change":
            assert ("oldCommitId" in detail) is (detail["event"] != "referenceCreated")
            assert ("commitId" in detail) is (detail["event"] != "referenceDeleted")
            prefix = {"branch": "refs/heads/", "tag": "refs/tags/"}[detail["referenceType"]]
            assert detail["referenceFullName"] == prefix + detail["referenceName"]
            assert event["resources"] == [f"arn:aws:codecommit:us-east-1:123456789012:{detail['repositoryName']}"]
        elif kind == "ECR Image Action":
            assert event["resources"] == []
            assert (detail["image-digest"] == "") is (detail["result"] == "FAILURE")
        elif kind == "ECR Image Scan":
            assert isinstance(detail["image-tags"], list)
            assert 0 not in detail.get("finding-severity-counts", {}).values()
        elif kind == "Inspector2 Scan":
            assert [detail["repository-name"]] == event["resources"]
            assert detail["finding-severity-counts"]["TOTAL"] >= 13
        elif kind.startswith("CodeDeploy"):
            assert detail["state"] in {"START", "SUCCESS", "FAILURE", "STOP", "READY"}
            assert [arn.split(":")[5] for arn in event["resources"]] == ["deploymentgroup", "application"]


def _moment(text: str) -> datetime:
    """The time that CodeBuild writes as ``Nov 23, 2026 10:00:10 AM``, in UTC and without saying so."""
    return datetime.strptime(text, "%b %d, %Y %I:%M:%S %p")  # noqa: DTZ007
