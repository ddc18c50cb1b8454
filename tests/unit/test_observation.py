"""What an event says and what the API answers about the same thing are equal facts, for every state of every source."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aws_events import (
    Heard,
    NotOurs,
    observed_build,
    observed_deployment,
    observed_image,
    observed_instance,
    observed_scan,
    read,
)
from esteira.aws.cloudwatch import Alarms
from esteira.core.facts import DeploymentReported, ImageArrived
from esteira.fact import Fact
from esteira.trail import ImageScanned
from tests.unit.conftest import COMMIT, DIGEST, HEART, NOON, SETTINGS, after, recorded

EVENTS = Path(__file__).parents[2] / "events"
LATER = after(7)  # the sweep comes some minutes after the event

# A phase as (type, status, code, message); both worlds are written from it.
Phases = list[tuple[str, str, str, str]]
BEFORE: Phases = [("SUBMITTED", "SUCCEEDED", "", ""), ("PROVISIONING", "SUCCEEDED", "", "")]
AFTER: Phases = [("POST_BUILD", "SUCCEEDED", "", ""), ("FINALIZING", "SUCCEEDED", "", "")]
FAILED = (
    "BUILD",
    "FAILED",
    "COMMAND_EXECUTION_ERROR",
    "Error while executing command: python train.py. Reason: exit status 1",
)

BUILDS: dict[str, tuple[Phases, str]] = {
    "IN_PROGRESS": (BEFORE, ""),
    "SUCCEEDED": ([*BEFORE, ("BUILD", "SUCCEEDED", "", ""), *AFTER], ""),
    "FAILED": ([*BEFORE, FAILED, *AFTER], f"BUILD: {FAILED[2]}: {FAILED[3]}"),
    "STOPPED": ([*BEFORE, ("BUILD", "STOPPED", "", ""), AFTER[1]], "BUILD"),
    "TIMED_OUT": (
        [*BEFORE, ("BUILD", "TIMED_OUT", "BUILD_TIMED_OUT", "Build has timed out. "), AFTER[1]],
        "BUILD: BUILD_TIMED_OUT: Build has timed out. ",
    ),
    "FAULT": (
        [BEFORE[0], ("PROVISIONING", "FAULT", "INTERNAL_SERVICE_ERROR", "try again"), AFTER[1]],
        "PROVISIONING: INTERNAL_SERVICE_ERROR: try again",
    ),
}


def event(name: str, **detail: Any) -> Any:
    """An event file's document with other values in its detail; ``_`` in a name stands for ``-``."""
    document = json.loads((EVENTS / f"{name}.json").read_text(encoding="utf-8"))
    document["detail"].update({key.replace("_", "-"): value for key, value in detail.items()})
    return document


def heard(document: Any) -> tuple[Fact, ...]:
    """The facts an event tells, heard at noon."""
    answer = read(document, [HEART], NOON, SETTINGS)
    assert isinstance(answer, Heard)
    return answer.facts


def build_event(status: str, phases: Phases) -> Any:
    """A build's state change as EventBridge sends it: hyphens, contexts joined, COMPLETED without a status."""
    document = event("codebuild_in_progress" if status == "IN_PROGRESS" else "codebuild_succeeded", build_status=status)
    if status != "IN_PROGRESS":
        document["detail"]["additional-information"]["phases"] = [
            *({"phase-type": t, "phase-status": s, "phase-context": [f"{c}: {m}"]} for t, s, c, m in phases),
            {"phase-type": "COMPLETED", "start-time": "Nov 23, 2026 10:00:43 AM"},
        ]
    return document


def build_answer(status: str, phases: Phases) -> dict[str, Any]:
    """The same build as BatchGetBuilds answers: camel case, contexts in two parts."""
    detail = event("codebuild_succeeded")["detail"]
    return {
        "id": detail["build-id"].split("build/", 1)[1],
        "arn": detail["build-id"],
        "buildStatus": status,
        "environment": {
            "environmentVariables": detail["additional-information"]["environment"]["environment-variables"]
        },
        "phases": [
            *(
                {"phaseType": t, "phaseStatus": s, "contexts": [{"statusCode": c, "message": m}]}
                for t, s, c, m in phases
            ),
            {"phaseType": "BUILD" if status == "IN_PROGRESS" else "COMPLETED", "startTime": NOON},
        ],
    }


def same(from_event: tuple[Fact, ...], from_api: tuple[Fact, ...]) -> bool:
    """Whether both tell the same facts, and the second tells the table nothing new."""
    return set(from_event) == set(from_api) and set(recorded(from_event)) == set(recorded(from_api))


@pytest.mark.parametrize("status", BUILDS)
def test_a_builds_event_equals_its_observation(status: str) -> None:
    """Every state of a build, with the cause where it has one."""
    phases, cause = BUILDS[status]
    from_event = heard(build_event(status, phases))
    assert same(from_event, observed_build(HEART, build_answer(status, phases), LATER))
    assert [getattr(f, "cause", None) for f in from_event[1:]] == ([] if status == "IN_PROGRESS" else [cause])


def test_a_running_build_is_observed_with_a_phase_that_is_in_progress() -> None:
    """The API may call the running phase IN_PROGRESS, which is no failure."""
    answer = build_answer("IN_PROGRESS", [*BEFORE, ("BUILD", "IN_PROGRESS", "", "")])
    assert same(heard(build_event("IN_PROGRESS", BEFORE)), observed_build(HEART, answer, LATER))


def test_a_build_that_succeeded_has_no_cause_to_tell() -> None:
    """Whatever one of its phases said on the way, in both worlds."""
    phases = [*BEFORE, FAILED, *AFTER]
    from_event = heard(build_event("SUCCEEDED", phases))
    assert same(from_event, observed_build(HEART, build_answer("SUCCEEDED", phases), LATER))
    assert [getattr(f, "cause", None) for f in from_event] == [None, ""]


def test_a_build_without_a_claim_or_with_a_wrong_one_tells_nothing() -> None:
    """What a person started in the project is not the controller's, for the sweep neither."""
    foreign = build_answer("SUCCEEDED", BEFORE)
    foreign["environment"]["environmentVariables"] = []
    wrong = build_answer("SUCCEEDED", BEFORE)
    wrong["environment"]["environmentVariables"] = [{"name": "ESTEIRA_CLAIM", "value": "nonsense"}]
    assert observed_build(HEART, foreign, LATER) == observed_build(HEART, wrong, LATER) == ()


STATES = {
    "START": "InProgress",
    "READY": "Ready",
    "SUCCESS": "Succeeded",
    "FAILURE": "Failed",
    "STOP": "Stopped",
}


@pytest.mark.parametrize(("said", "answered"), STATES.items())
def test_a_deployments_event_equals_its_observation(said: str, answered: str) -> None:
    """Every state of a deployment: the event's word in capitals, the API's in its own."""
    document = event("codedeploy_start", state=said)
    from_api = observed_deployment(document["detail"]["deploymentId"], answered, LATER)
    assert same(heard(document), from_api)
    assert any(isinstance(f, DeploymentReported) and f.milestone == "ended" for f in from_api) == (
        said in ("SUCCESS", "FAILURE", "STOP")
    )


@pytest.mark.parametrize("status", ["Created", "Queued"])
def test_a_deployment_that_has_not_begun_tells_nothing(status: str) -> None:
    """No event speaks of it either."""
    assert observed_deployment("d-1", status, LATER) == ()


@pytest.mark.parametrize(("said", "answered"), STATES.items())
def test_a_hosts_event_equals_its_observation(said: str, answered: str) -> None:
    """Every state of one host in a deployment; the event may name it by its ARN, the API does not."""
    detail = event("codedeploy_instance_start")["detail"]
    host = f"arn:aws:ec2:us-east-1:123456789012:instance/{detail['instanceId']}"
    from_api = observed_instance(detail["deploymentId"], detail["instanceId"], answered, LATER)
    assert same(heard(event("codedeploy_instance_start", state=said)), from_api)
    assert same(heard(event("codedeploy_instance_start", state=said, instanceId=host)), from_api)


SCANNED = datetime(2026, 11, 23, 10, 1, 20, tzinfo=UTC)


def image(tags: list[str]) -> dict[str, Any]:
    """One of DescribeImages' imageDetails."""
    return {"imageDigest": DIGEST, "imageTags": tags, "imagePushedAt": NOON - timedelta(minutes=1)}


def scan(status: str, counts: dict[str, int] | None = None) -> dict[str, Any]:
    """What DescribeImageScanFindings answers."""
    found: dict[str, Any] = {} if counts is None else {"findingSeverityCounts": counts}
    return {"imageScanStatus": {"status": status}, "imageScanFindings": {**found, "imageScanCompletedAt": SCANNED}}


@pytest.mark.parametrize("tag", ["v1.2", "release-7"])
def test_a_pushed_images_event_equals_its_observation(tag: str) -> None:
    """An image under an accepted tag; the controller's and the build's own tags beside it tell nothing."""
    from_event = heard(event("ecr_push_release_tag", image_tag=tag, image_digest=DIGEST))
    from_api = observed_image(HEART, image([f"git-{COMMIT}", tag, "esteira-v1", "live-production", "latest"]), LATER)
    assert same(from_event, from_api)
    assert from_api == (ImageArrived(at=NOON, tag=tag, digest=DIGEST),)


def test_an_observed_image_arrived_when_it_was_pushed() -> None:
    """Its age decides whether it is news, so it is not the time of the look."""
    (arrived,) = observed_image(HEART, image(["v1"]), LATER)
    assert arrived.at == NOON - timedelta(minutes=1)


@pytest.mark.parametrize(
    ("status", "counts", "findings"),
    [
        ("COMPLETE", {"HIGH": 3, "CRITICAL": 1}, "CRITICAL 1, HIGH 3"),
        ("COMPLETE", {"HIGH": 0}, "none"),
        ("COMPLETE", None, "none"),
        ("FAILED", None, "failed"),
    ],
)
def test_a_scans_event_equals_its_observation(status: str, counts: dict[str, int] | None, findings: str) -> None:
    """Findings, none, and a scan that failed: no counts mean none only if it is complete."""
    document = event("ecr_scan_clean", scan_status=status) | {"time": f"{SCANNED + timedelta(seconds=30):%FT%TZ}"}
    if counts is not None:
        document["detail"]["finding-severity-counts"] = counts
    from_api = observed_scan(DIGEST, scan(status, counts), LATER)
    assert from_api == ImageScanned(at=NOON, digest=DIGEST, scanned_at=SCANNED.replace(second=0), findings=findings)
    assert same(heard(document), (from_api,))
    if status == "COMPLETE":  # enhanced scanning goes on for ever
        assert observed_scan(DIGEST, scan("ACTIVE", counts), LATER) == from_api


@pytest.mark.parametrize("status", ["IN_PROGRESS", "PENDING", "UNSUPPORTED_IMAGE"])
def test_a_scan_under_way_is_no_finding(status: str) -> None:
    """It has not said anything yet, neither in an event."""
    assert isinstance(read(event("ecr_scan_clean", scan_status=status), [HEART], NOON, SETTINGS), NotOurs)
    assert observed_scan(DIGEST, scan(status), LATER) is None


def test_an_alarm_whose_actions_are_suppressed_does_not_ring() -> None:
    """A composite alarm that its suppressor keeps quiet takes nothing back, whoever tells of it."""
    quiet = {"AlarmName": "quiet", "StateUpdatedTimestamp": NOON, "ActionsSuppressedBy": "Alarm"}
    loud = {"AlarmName": "loud", "StateUpdatedTimestamp": NOON}
    pages = SimpleNamespace(paginate=lambda **_: [{"CompositeAlarms": [quiet, loud]}])
    found = Alarms(lambda _: SimpleNamespace(get_paginator=lambda _: pages)).alarms(["quiet", "loud"])
    assert [name for name, _, _ in found] == ["loud"]
