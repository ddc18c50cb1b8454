"""Every event file gives its exact facts; any stream of events the same facts; garbage is refused in a sentence."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from moto.events.models import EventPattern

from aws_events import Heard, NotOurs, observed_alarm, read
from console.local import template
from esteira import operate
from esteira.config import Service, Stage
from esteira.core.facts import (
    BuildEnded,
    BuildStarted,
    CommitPushed,
    DeploymentReported,
    HostObserved,
    ImageArrived,
)
from esteira.core.status import Phase
from esteira.fact import Fact, stamp
from esteira.refusal import Refused
from esteira.trail import HostReported, ImageScanned
from notify import news
from tests.unit.conftest import DIGEST, HEART, NOON, SETTINGS, after, recorded

ROOT = Path(__file__).parents[2]
FILES = {path.stem: path for path in sorted((ROOT / "events").glob("*.json"))}

BUILD = "heart-build:b893d605-40aa-5a2e-90e2-a45f40e71ce0"
DEPLOYMENT = "d-7QX1M4K2B"
HOST = "i-0a1b2c3d4e5f60718"
PUSHED_DIGEST = "sha256:73efbbb22c7a29e642ef7553a01f35afc9b744f6054006868bdedcd460729ece"

STARTED = BuildStarted(at=NOON, release=1, attempt=1, build=BUILD)
BEGUN = DeploymentReported(at=NOON, deployment=DEPLOYMENT, status="InProgress")


@cache
def loaded(name: str) -> Any:
    return json.loads(FILES[name].read_text(encoding="utf-8"))


FIRST, SECOND = "8f3b6c1de2a94705b1c6d3e8f7a0925b4c1d7e60", "c4e1f7a2905d4b83961fe0ad27b36c58d9017ef4"


def pushed(commit: str, before: str = "") -> CommitPushed:
    return CommitPushed(at=NOON, commit=commit, by="arn:aws:iam::123456789012:user/ana", before=before)


def build_end(status: str, cause: str = "") -> BuildEnded:
    return BuildEnded(at=NOON, release=1, attempt=1, build=BUILD, status=status, cause=cause)


def host_said(status: str) -> HostReported:
    return HostReported(at=NOON, deployment=DEPLOYMENT, host=HOST, status=status)


def scan_said(name: str, findings: str) -> ImageScanned:
    """What a scan's event file tells: the findings at the minute of the event."""
    scanned_at = datetime.fromisoformat(loaded(name)["time"]).replace(second=0)
    return ImageScanned(at=NOON, digest=DIGEST, scanned_at=scanned_at, findings=findings)


HOST_SAID = HostObserved(
    at=NOON,
    stage="production",
    host=HOST,
    since=datetime(2026, 11, 23, 10, 3, 11, 204917, tzinfo=UTC),
    release=1,
    digest=DIGEST,
    sick="crash-loop",
    why="its container ended 3 times in 12 s, the last time with status 1",
    deployment=DEPLOYMENT,
)


@dataclass(frozen=True)
class Hears:
    """An event that intake hears, and the facts it tells it; no facts: it only says that something moved."""

    facts: tuple[Fact, ...] = ()
    function: str = "IntakeFunction"


@dataclass(frozen=True)
class Ignores:
    """An event that is not ours; the words of the reason, and the function its rule wakes for nothing ("": none)."""

    why: str
    function: str = "IntakeFunction"


EXPECTED: dict[str, Hears | Ignores] = {
    "codecommit_created": Hears((pushed("8f3b6c1de2a94705b1c6d3e8f7a0925b4c1d7e60"),)),
    "codecommit_updated": Hears((pushed(SECOND, FIRST),)),
    "codecommit_merge": Hears((pushed(SECOND, FIRST),)),
    "codecommit_deleted": Hears(),
    "codecommit_other_branch": Ignores("watches main, not feature/ages"),
    "codecommit_other_repository": Ignores("no service has the repository website"),
    "codecommit_tag_created": Ignores("a tag starts no release"),
    "codebuild_in_progress": Hears((STARTED,)),
    "codebuild_succeeded": Hears((STARTED, build_end("SUCCEEDED"))),
    "codebuild_failed": Hears(
        (
            STARTED,
            build_end(
                "FAILED",
                "BUILD: COMMAND_EXECUTION_ERROR: Error while executing command: python train.py. Reason: exit status 1",
            ),
        )
    ),
    "codebuild_stopped": Hears((STARTED, build_end("STOPPED", "BUILD"))),
    "codebuild_timed_out": Hears((STARTED, build_end("TIMED_OUT", "BUILD: BUILD_TIMED_OUT: Build has timed out. "))),
    "codebuild_foreign": Ignores("was not started by esteira"),
    "codebuild_phase_change": Ignores("CodeBuild Build Phase Change is not read here", function=""),
    "ecr_push_git_tag": Ignores("not the tag git-"),
    "ecr_push_own_tag": Ignores("not the tag esteira-v1"),
    "ecr_push_release_tag": Hears((ImageArrived(at=NOON, tag="v1.2", digest=PUSHED_DIGEST),)),
    "ecr_push_chart": Ignores("it is no image but application/vnd.cncf.helm.config.v1+json"),
    "inspector2_scan": Hears((scan_said("inspector2_scan", "CRITICAL 1, HIGH 3, MEDIUM 9"),)),
    "ecr_push_untagged": Ignores("an image without a tag"),
    "ecr_push_failed": Ignores("PUSH FAILURE of an image"),
    "ecr_delete": Ignores("DELETE SUCCESS of an image"),
    "ecr_scan_complete": Hears((scan_said("ecr_scan_complete", "CRITICAL 1, HIGH 3, MEDIUM 9"),)),
    "ecr_scan_clean": Hears((scan_said("ecr_scan_clean", "none"),)),
    "ecr_scan_failed": Hears((scan_said("ecr_scan_failed", "failed"),)),
    "codedeploy_start": Hears((BEGUN,)),
    "codedeploy_ready": Hears((BEGUN,)),
    "codedeploy_success": Hears((BEGUN, DeploymentReported(at=NOON, deployment=DEPLOYMENT, status="Succeeded"))),
    "codedeploy_failure": Hears((BEGUN, DeploymentReported(at=NOON, deployment=DEPLOYMENT, status="Failed"))),
    "codedeploy_stop": Hears((BEGUN, DeploymentReported(at=NOON, deployment=DEPLOYMENT, status="Stopped"))),
    "codedeploy_instance_start": Hears((host_said("InProgress"),)),
    "codedeploy_instance_success": Hears((host_said("Succeeded"),)),
    "codedeploy_instance_failure": Hears((host_said("Failed"),)),
    "cloudwatch_alarm": Ignores("no service listens to the alarm heart-errors"),
    "host_report": Hears((HOST_SAID,)),
    "hold_ends_soon": Ignores("esteira / Hold Ends Soon is not read here", function="AnnounceFunction"),
    "release_phase_changed": Ignores("esteira / Release Phase Changed is not read here", function="AnnounceFunction"),
    "ssm_parameter_change": Ignores("aws.ssm / Parameter Store Change is not read here"),
    "schedule": Ignores("aws.events / Scheduled Event is not read here", function=""),
}

# An operator's requests are no events: no rule matches them, operate is invoked with them.
REQUESTS: dict[str, dict[str, Any]] = {
    "operate_approve": {"action": "approve", "release": "v1", "reason": "the shadow run agrees"},
    "operate_bypass": {"action": "bypass", "release": "v1", "minutes": 60, "reason": "v1 answers nobody; INC-204"},
    "operate_promote": {"action": "promote", "release": "v1", "reason": "staging has run it for a week"},
    "operate_reject": {"action": "reject", "release": "v1", "reason": "it drifts on the over-eighties"},
    "operate_abort": {"action": "abort", "release": "v1", "reason": "pushed by mistake"},
    "operate_hold": {"action": "hold", "minutes": 480, "reason": "audit until the evening"},
    "operate_quarantine": {"action": "quarantine", "release": "v1", "reason": "its training data held a leak"},
    "operate_resume": {"action": "resume", "reason": "the audit is over"},
    "operate_retry": {"action": "retry", "release": "v1", "reason": "the registry was down"},
    "operate_rollback": {"action": "rollback", "to": "v1", "reason": "v2 answers 0.5 to everybody"},
}


def event_of(name: str) -> Any:
    """A fresh copy of an event file's document."""
    return copy.deepcopy(loaded(name))


@cache
def patterns() -> tuple[tuple[str, EventPattern], ...]:
    """The rules of template.yaml, each as the function it wakes and its compiled pattern."""
    rules = template.read(ROOT / "template.yaml").rules
    return tuple((target, EventPattern.load(json.dumps(rule.pattern))) for rule in rules for target in rule.targets)


# --- the files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in FILES if not n.startswith(("operate_", "schedule"))])
@pytest.mark.parametrize("elsewhere", [{"account": "210987654321"}, {"region": "eu-west-1"}, {"account": ""}])
def test_an_event_of_another_account_or_region_is_not_ours(name: str, elsewhere: dict[str, str]) -> None:
    """An alarm of the same name in another account, whose events were forwarded here, rolled production back; a
    foreign build failed ours. Not even the detail of such an event is looked at."""
    event = event_of(name) | elsewhere
    for foreign in (event, {**event, "detail": {}}):
        told = news.read(foreign, SETTINGS) if event["source"] == "esteira" else read(foreign, [HEART], NOON, SETTINGS)
        assert isinstance(told, NotOurs)


def test_every_file_in_events_has_its_expectation() -> None:
    """A new file without one, or an expectation whose file is gone, is found out."""
    assert set(FILES) == set(EXPECTED) | set(REQUESTS)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_event_file_gives_its_exact_facts_or_is_not_ours(name: str) -> None:
    """What each real payload means, all of it, heard now."""
    heard, expected = read(event_of(name), [HEART], NOON, SETTINGS), EXPECTED[name]
    if isinstance(expected, Ignores):
        assert isinstance(heard, NotOurs)
        assert expected.why in heard.why
    else:
        assert heard == Heard(HEART, expected.facts)


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("2026-11-23T10:00:10Z", after(minutes=-119, seconds=-50)),
        ("2026-11-23T13:00:00+01:00", NOON),
        ("2026-11-23T12:00:07Z", NOON),
        (None, NOON),
    ],
    ids=["late", "in another zone", "in the future", "without a time"],
)
def test_an_image_is_as_old_as_its_event_says_and_never_of_the_future(said: str | None, at: datetime) -> None:
    """Of images the order of pushing counts, however long the events were on their way."""
    event = event_of("ecr_push_release_tag") | {"time": said}
    heard = read(event, [HEART], NOON, SETTINGS)
    assert isinstance(heard, Heard)
    assert [fact.at for fact in heard.facts] == [at]


def test_a_fact_is_heard_when_it_is_heard() -> None:
    """What is waited for after a build counts from when its end was heard, though the event was hours on its way."""
    heard = read(event_of("codebuild_succeeded") | {"time": "2026-11-23T10:00:10Z"}, [HEART], NOON, SETTINGS)
    assert isinstance(heard, Heard)
    assert {fact.at for fact in heard.facts} == {NOON}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_event_file_wakes_the_function_it_is_for(name: str) -> None:
    """The rules of template.yaml match every event the controller understands, once, and no other."""
    woken = [function for function, pattern in patterns() if pattern.matches_event(event_of(name))]
    assert woken == ([EXPECTED[name].function] if EXPECTED[name].function else [])


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_file_is_a_request_that_operate_takes(name: str) -> None:
    """Each verb's file is whole: who, why, and an id of its own. It is no event, and no rule takes it for one."""
    request, service = operate.read(event_of(name), [HEART])
    assert service is HEART
    assert request.by == "ana"
    assert {key: getattr(request, key) for key in REQUESTS[name]} == REQUESTS[name]
    assert not any(pattern.matches_event(event_of(name)) for _, pattern in patterns())


def test_every_request_file_has_an_id_of_its_own() -> None:
    """Two files with one id would be one word, and the second never heard."""
    assert len({event_of(name)["request"] for name in REQUESTS}) == len(REQUESTS)


def test_the_phase_change_file_is_what_announce_reads() -> None:
    """The controller's own event, as it leaves advance and enters announce."""
    change = news.read(event_of("release_phase_changed"), SETTINGS)
    assert isinstance(change, news.PhaseChange)
    assert (change.service, change.release, change.number, change.phase) == ("heart", "v1", 1, Phase.LIVE)
    assert change.model_dump(mode="json").items() <= event_of("release_phase_changed")["detail"].items()


def listening(*services: str) -> list[Service]:
    """Services whose production listens to the alarm of the event file."""
    stage = Stage(name="production", group="heart-production", bake_minutes=30, alarms=("heart-errors",))
    return [HEART.model_copy(update={"name": name, "stages": (stage,)}) for name in services]


def test_an_alarm_is_heard_by_every_service_whose_stage_names_it() -> None:
    """The event tells the very fact that asking CloudWatch tells, to the millisecond that both know."""
    heard = read(event_of("cloudwatch_alarm"), listening("heart", "lungs"), NOON, SETTINGS)
    assert isinstance(heard, Heard)
    assert [heard.service.name, *(s.name for s in heard.others)] == ["heart", "lungs"]
    state = event_of("cloudwatch_alarm")["detail"]["state"]
    answered = datetime(2026, 11, 23, 10, 9, 40, 989_421, tzinfo=UTC)  # as boto3 gives it
    assert heard.facts == observed_alarm("heart-errors", answered, state["reason"], NOON)
    [fact] = heard.facts
    assert fact.key == "rang#2026-11-23T10:09:40.989000Z"


@pytest.mark.parametrize("state", ["OK", "INSUFFICIENT_DATA"])
def test_an_alarm_that_is_over_takes_nothing_back(state: str) -> None:
    """The rule passes it on to nobody; and should it come, it tells nothing."""
    event = event_of("cloudwatch_alarm")
    event["detail"]["state"]["value"] = state
    assert isinstance(read(event, listening("heart"), NOON, SETTINGS), NotOurs)
    assert not any(pattern.matches_event(event) for _, pattern in patterns())


# --- what is not ours, or malformed --------------------------------------------------------------------------------


def edited(name: str, **detail: Any) -> Any:
    """An event file's document with other values in its detail; ``_`` in a name stands for ``-``."""
    event = event_of(name)
    event["detail"].update({key.replace("_", "-"): value for key, value in detail.items()})
    return event


def with_claim(claim: str) -> Any:
    """The event of a build that carries this claim."""
    event = event_of("codebuild_succeeded")
    for variable in event["detail"]["additional-information"]["environment"]["environment-variables"]:
        if variable["name"] == "ESTEIRA_CLAIM":
            variable["value"] = claim
    return event


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (edited("codebuild_succeeded", project_name="other"), "build project other"),
        (with_claim("lungs/v1/build/1"), "belongs to lungs"),
        (edited("ecr_push_release_tag", repository_name="other"), "image repository other"),
        (edited("ecr_push_release_tag", image_tag="latest"), "not the tag latest"),
        (edited("ecr_push_release_tag", action_type="UPDATE_STORAGE_CLASS"), "UPDATE_STORAGE_CLASS SUCCESS"),
        (edited("ecr_scan_complete", repository_name="other"), "image repository other"),
        (edited("ecr_scan_complete", scan_status="IN_PROGRESS"), "IN_PROGRESS, not at an end"),
        (edited("codedeploy_success", application="other"), "deployment group other/heart-production"),
        (edited("codedeploy_success", deploymentGroup="other"), "deployment group heart/other"),
        (edited("codedeploy_instance_success", deploymentGroup="other"), "deployment group heart/other"),
        ({"source": "aws.codecommit", "detail-type": "AWS API Call via CloudTrail", "detail": {}}, "is not read here"),
        ({"source": "aws.ec2", "detail-type": "ECR Image Action", "detail": {}}, "is not read here"),
    ],
)
def test_what_is_about_something_else_is_not_ours(event: Any, why: str) -> None:
    """Another project, repository, group or kind of event is no error, and says whose it is."""
    heard = read(event, [HEART], NOON, SETTINGS)
    assert isinstance(heard, NotOurs)
    assert why in heard.why


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ([], "the document"),
        (event_of("ecr_push_release_tag") | {"detail": None}, "detail"),
        (event_of("ecr_push_release_tag") | {"detail": "{}"}, "detail"),
        (edited("codecommit_updated", referenceName=None), "referenceName"),
        (edited("codebuild_succeeded", build_id="heart-build:1"), "build-id"),
        (edited("codebuild_succeeded", build_status="ok"), "build-status"),
        (edited("codebuild_succeeded", build_id=f"arn:aws:codebuild:us-east-1:1:build/lungs{BUILD[5:]}"), "build-id"),
        (with_claim("heart/v0/build/1"), "ESTEIRA_CLAIM"),
        (with_claim("heart/v1/production/1"), "ESTEIRA_CLAIM"),
        (edited("ecr_push_release_tag", image_digest="sha256:12"), "image-digest"),
        (edited("ecr_push_release_tag", image_digest=""), "image-digest"),
        (edited("ecr_scan_complete", finding_severity_counts={"HIGH": "many"}), "finding-severity-counts.HIGH"),
        (edited("codedeploy_success", deploymentId="arn:d-1"), "deploymentId"),
        (edited("codedeploy_success", state="Succeeded"), "state"),
        (edited("codedeploy_instance_success", instanceId=""), "instanceId"),
    ],
)
def test_a_malformed_event_of_ours_is_refused_with_the_field_it_is_wrong_in(event: Any, field: str) -> None:
    """Who looks into the dead-letter queue reads what was wrong."""
    with pytest.raises(Refused, match=f"is refused: {field}"):
        read(event, [HEART], NOON, SETTINGS)


def with_state(**fields: Any) -> Any:
    """The alarm's event with other fields in its state."""
    event = event_of("cloudwatch_alarm")
    event["detail"]["state"] |= fields
    return event


def malformed(name: str, **fields: Any) -> Any:
    """An event of somebody else's, with these fields of its detail."""
    event = event_of(name)
    event["detail"] |= {key.replace("_", "-"): value for key, value in fields.items()}
    return event


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ({}, "is not read here"),
        ({"source": 7, "detail-type": []}, "is not read here"),
        (event_of("ecr_push_release_tag") | {"account": "999999999999", "detail": 7}, "account 999999999999"),
        (event_of("ecr_push_release_tag") | {"account": {}, "detail": 7}, "account unknown"),
        (malformed("codecommit_other_repository", commitId=7, referenceName=None), "no service has the repository"),
        (malformed("codebuild_foreign", build_id=7, build_status=None), "was not started by esteira"),
        (malformed("codebuild_foreign", additional_information="none"), "was not started by esteira"),
        (malformed("ecr_push_failed", image_digest=7), "starts no release"),
        (malformed("ecr_push_untagged", image_digest="x"), "without a tag"),
        (
            malformed("ecr_scan_complete", repository_name="lungs", finding_severity_counts=7),
            "no service has the image",
        ),
        (malformed("codedeploy_success", application="lungs", deploymentId=7), "no service has the deployment group"),
        (malformed("cloudwatch_alarm", alarmName="lungs-errors", state=7), "no service listens"),
        (with_state(value="OK", timestamp="?"), "takes nothing back"),
        (with_state(actionsSuppressedBy="Alarm", actionsSuppressedReason="a deployment"), "are suppressed"),
        (edited("codecommit_updated", repositoryName=7), "no service has the repository"),
    ],
)
def test_what_is_not_ours_may_be_malformed(event: Any, why: str) -> None:
    """It is first asked whose an event is. What others put on the bus is no dead letter of ours."""
    heard = read(event, listening("heart"), NOON, SETTINGS)
    assert isinstance(heard, NotOurs)
    assert why in heard.why


@pytest.mark.parametrize("information", ["phases", "build-start-time", "environment", "everything"])
def test_a_builds_end_is_heard_although_a_nicety_is_malformed(information: str) -> None:
    """A phase that cannot be read costs its sentence and not the build's end."""
    event = event_of("codebuild_failed")
    told = event["detail"]["additional-information"]
    if information == "phases":
        told["phases"] = [{"phase-type": 7}, *[{**phase, "phase-context": {"odd": 1}} for phase in told["phases"]]]
    elif information == "everything":
        event["detail"]["additional-information"] = {"environment": told["environment"], "phases": 7}
    elif information == "build-start-time":
        told["build-start-time"] = {"odd": 1}
    else:
        told["environment"]["environment-variables"] = [7, *told["environment"]["environment-variables"]]
    heard = read(event, [HEART], NOON, SETTINGS)
    assert isinstance(heard, Heard)
    assert [fact.status for fact in heard.facts if isinstance(fact, BuildEnded)] == ["FAILED"]


@pytest.mark.parametrize(
    "event",
    [
        edited("codecommit_updated", commitId="main"),
        edited("codecommit_updated", callerUserArn={"odd": 1}),
    ],
)
def test_a_push_that_does_not_say_all_is_a_reason_to_look(event: Any) -> None:
    """Which commit it was is asked of CodeCommit anyway."""
    assert read(event, [HEART], NOON, SETTINGS) == Heard(HEART, ())


@pytest.mark.parametrize("time", ["10:00", "2026-11-23T10:00:00", None, 7])
def test_an_event_whose_time_cannot_be_read_came_now(time: Any) -> None:
    """Its time only dates what happened; what happened is known without."""
    heard = read(event_of("ecr_push_release_tag") | {"time": time}, [HEART], NOON, SETTINGS)
    assert isinstance(heard, Heard)
    assert [fact.at for fact in heard.facts] == [NOON]


def test_an_alarm_without_a_reason_rings_all_the_same() -> None:
    """The reason is for people; when it went off is what is needed."""
    heard = read(with_state(reason={"odd": 1}), listening("heart"), NOON, SETTINGS)
    assert isinstance(heard, Heard)
    assert len(heard.facts) == 1


def test_an_empty_tag_is_no_tag() -> None:
    """ECR says "" for a push without a tag, and leaves the field out elsewhere: both start no release."""
    without = edited("ecr_push_untagged")
    del without["detail"]["image-tag"]
    assert isinstance(read(without, [HEART], NOON, SETTINGS), NotOurs)


def test_a_host_named_by_its_arn_is_the_host_named_by_its_id() -> None:
    """The documentation's samples have an ARN where deliveries have the bare id."""
    event = edited("codedeploy_instance_success", instanceId=f"arn:aws:ec2:us-east-1:123456789012:instance/{HOST}")
    assert read(event, [HEART], NOON, SETTINGS) == Heard(HEART, (host_said("Succeeded"),))


LUNGS = HEART.model_copy(
    update={
        "name": "lungs",
        "repository": "lungs",
        "images": "lungs",
        "project": "lungs-build",
        "application": "lungs",
        "stages": (Stage(group="lungs-production"),),
    }
)


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if isinstance(expected, Hears)])
def test_an_event_is_heard_by_its_own_service_among_several(name: str) -> None:
    """One controller, any number of models."""
    heard = read(event_of(name), [LUNGS, HEART], NOON, SETTINGS)
    assert isinstance(heard, Heard)
    assert heard.service is HEART


def test_two_services_may_watch_two_branches_of_one_repository() -> None:
    """A push to the second one's branch is its, though the first one has the same repository."""
    canary = HEART.model_copy(update={"name": "canary", "branch": "feature/ages"})
    heard = read(event_of("codecommit_other_branch"), [HEART, canary], NOON, SETTINGS)
    assert isinstance(heard, Heard)
    assert heard.service is canary


def test_what_two_services_share_is_heard_by_the_one_it_is_about() -> None:
    """A build of a shared project is its claim's, a deployment of a shared application its group's."""
    canary = HEART.model_copy(update={"name": "canary", "stages": (Stage(group="heart-canary"),)})
    shared = [
        with_claim("canary/v1/build/1"),
        edited("codedeploy_success", deploymentGroup="heart-canary"),
        edited("codedeploy_instance_success", deploymentGroup="heart-canary"),
    ]
    for event in shared:
        heard = read(event, [HEART, canary], NOON, SETTINGS)
        assert isinstance(heard, Heard)
        assert heard.service is canary


@pytest.mark.parametrize(
    "event",
    [
        edited("ecr_push_release_tag", image_tag="v" + "1" * 2000),
        edited("codebuild_succeeded", build_id="arn:aws:codebuild:us-east-1:123456789012:build/heart:" + "1" * 2000),
        edited("ecr_scan_complete", finding_severity_counts={"HIGH" * 500: 1}),
    ],
    ids=["tag", "build-id", "counts"],
)
def test_what_would_not_fit_the_table_is_refused_with_a_sentence(event: Any) -> None:
    """A sort key has 1,024 bytes; what is longer must not come back as an error of DynamoDB's."""
    with pytest.raises(Refused):
        read(event, [HEART], NOON, SETTINGS)


def test_a_refusal_is_one_line_whatever_the_field_is_called() -> None:
    """A line break in a name that came from outside does not break the sentence, nor the log, in two."""
    with pytest.raises(Refused) as refused:
        read(edited("ecr_scan_complete", finding_severity_counts={"HI\nGH": "x"}), [HEART], NOON, SETTINGS)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("said", ["0001-01-01T00:00:00+14:00", "0987-01-01T00:00:00Z"])
def test_a_time_out_of_all_reason_is_refused_or_not_believed(said: str) -> None:
    """No exception escapes when the fact is written down, and its time still sorts among the others."""
    try:
        heard = read(event_of("codebuild_in_progress") | {"time": said}, [HEART], NOON, SETTINGS)
    except Refused:
        return
    assert isinstance(heard, Heard)
    assert all(len(stamp(fact.at)) == len(stamp(NOON)) for fact in heard.facts)


def test_a_claim_is_spelled_in_one_way_only() -> None:
    """A claim that reads as another one's is none: other digits are other letters."""
    with pytest.raises(Refused):
        read(with_claim("heart/v1\u0662/build/1"), [HEART], NOON, SETTINGS)


# --- any order, any repetition -------------------------------------------------------------------------------------

UUIDS = st.uuids(version=4).map(str)
DIGESTS = st.integers(0, 2**256 - 1).map(lambda n: f"sha256:{n:064x}")
DEPLOYMENTS = st.integers(0, 10**9 - 1).map(lambda n: f"d-{n:09d}")


def build_life(uuid: str, release: int, attempt: int, end: str) -> list[Any]:
    """The events of one build, from the files, under another id."""
    text = [json.dumps(loaded(name)) for name in ("codebuild_in_progress", f"codebuild_{end}")]
    claim = f"heart/v{release}/build/{attempt}"
    return [json.loads(t.replace(BUILD.split(":")[1], uuid).replace("heart/v1/build/1", claim)) for t in text]


def deployment_life(deployment: str, host: str, end: str, *, ready: bool) -> list[Any]:
    """The events of one deployment and of its host, from the files, under other ids."""
    names = ["start", *(["ready"] if ready else []), end, "instance_start"]
    names += [f"instance_{end}"] if end != "stop" else []
    text = [json.dumps(loaded(f"codedeploy_{name}")) for name in names]
    return [json.loads(t.replace(DEPLOYMENT, deployment).replace(HOST, host)) for t in text]


def image_life(digest: str, tag: str, scan: str) -> list[Any]:
    """The events of one image, from the files, under another digest."""
    pushed, scanned = edited("ecr_push_release_tag", image_tag=tag), event_of(f"ecr_scan_{scan}")
    for event in (pushed, scanned):
        event["detail"]["image-digest"] = digest
    return [pushed, scanned]


# One thing ends in one way: each life is drawn with the id of what lives it, and no id twice.
Life = tuple[str, list[Any]]


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Make the events of one build, deployment, image or push, and the id it has."""
    kind = draw(st.sampled_from(["build", "deployment", "image", "other"]))
    if kind == "build":
        uuid, end = draw(UUIDS), draw(st.sampled_from(["succeeded", "failed", "stopped", "timed_out"]))
        return uuid, build_life(uuid, draw(st.integers(1, 4)), draw(st.integers(1, 2)), end)
    if kind == "deployment":
        id_, end = draw(DEPLOYMENTS), draw(st.sampled_from(["success", "failure", "stop"]))
        host, ready = draw(st.sampled_from([HOST, "i-2"])), draw(st.sampled_from([True, False]))
        return id_, deployment_life(id_, host, end, ready=ready)
    if kind == "image":
        digest, tag = draw(DIGESTS), draw(st.sampled_from(["v1", "v2.0", "release-3"]))
        return digest, image_life(digest, tag, draw(st.sampled_from(["complete", "clean"])))
    name = draw(
        st.sampled_from([n for n in EXPECTED if n.startswith("codecommit") or "foreign" in n or n == "schedule"])
    )
    return name, [event_of(name)]


STREAMS = st.lists(lives(), max_size=6, unique_by=lambda life: life[0]).map(
    lambda several: [event for _, events in several for event in events]
)


def told(stream: list[Any], seconds: int = 0) -> Iterator[Fact]:
    """The facts a stream of events tells, each heard a second after the one before."""
    for place, event in enumerate(stream):
        heard = read(event, [LUNGS, HEART], after(seconds=seconds + place), SETTINGS)
        yield from heard.facts if isinstance(heard, Heard) else ()


@given(STREAMS, st.data())
@settings(max_examples=30)
def test_a_stream_of_events_tells_the_same_facts_in_any_order_and_repetition(
    stream: list[Any], data: st.DataObject
) -> None:
    """Late, doubled and shuffled events leave the same facts, and the same rows in the table, as the stream as it
    was sent."""
    again = data.draw(st.lists(st.sampled_from(stream), max_size=6)) if stream else []
    shuffled = data.draw(st.permutations(stream + again))
    assert set(told(shuffled, seconds=3600)) == set(told(stream))
    assert recorded(told(shuffled, seconds=3600)) == recorded(told(stream))


@given(STREAMS, st.data())
@settings(max_examples=20)
def test_a_stream_cut_in_two_tells_the_same_as_a_whole(stream: list[Any], data: st.DataObject) -> None:
    """A prefix, then the rest, some of it heard before: nothing depends on where one function's life ended."""
    end, begin = sorted(data.draw(st.tuples(*[st.integers(0, len(stream))] * 2)), reverse=True)
    assert recorded([*told(stream[:end]), *told(stream[begin:], 60)]) == recorded(told(stream))


# --- garbage -------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
KINDS = sorted({(e["source"], e["detail-type"]) for e in map(loaded, EXPECTED)})


def refusal_of(attempt: Callable[[], object]) -> str:
    """The sentence with which an attempt was refused, "" if it was not; let any other exception pass."""
    try:
        attempt()
    except Refused as refused:
        return str(refused)
    return ""


def only_refused(event: object) -> None:
    """Read the event; any exception but a Refused of one sentence is a fault."""
    sentence = refusal_of(lambda: read(event, [HEART], NOON, SETTINGS))
    assert len(sentence.splitlines()) <= 1
    assert not sentence or " is refused: " in sentence


@given(JSON)
@settings(max_examples=30)
def test_garbage_is_refused_with_a_sentence(event: object) -> None:
    """Any JSON at all: no exception but Refused escapes."""
    only_refused(event)


@given(st.sampled_from(KINDS), st.dictionaries(st.text(max_size=12), JSON, max_size=4))
@settings(max_examples=30)
def test_a_right_envelope_around_garbage_is_refused_with_a_sentence(kind: tuple[str, str], detail: Any) -> None:
    """The kind is ours, what it says is nonsense."""
    only_refused({"source": kind[0], "detail-type": kind[1], "detail": detail})


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value inside a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield (*path, key)
        yield from places(child, (*path, key))


def mutated(event: Any, path: tuple[Any, ...], value: Any, *, drop: bool) -> Any:
    """The document with the value at ``path`` replaced, or taken out."""
    *parents, last = path
    inner = event
    for key in parents:
        inner = inner[key]
    if drop:
        del inner[last]
    else:
        inner[last] = value
    return event


@given(st.sampled_from(sorted(EXPECTED)), st.data())
@settings(max_examples=60)
def test_a_mutated_real_event_is_heard_ignored_or_refused_with_a_sentence(name: str, data: st.DataObject) -> None:
    """One value of a real event replaced by garbage, or missing: no exception but Refused escapes."""
    event = event_of(name)
    path = data.draw(st.sampled_from(list(places(event))))
    only_refused(mutated(event, path, data.draw(JSON), drop=data.draw(st.booleans())))


@given(JSON)
@example({"action": "rollback", "service": "heart", "request": "12345678", "by": "ana", "minutes": "x"})
@settings(max_examples=30)
def test_a_garbage_request_is_refused_with_a_sentence(payload: object) -> None:
    """An operator's mistyped request is told what is wrong with it."""
    with pytest.raises(Refused) as refused:
        operate.read(payload, [HEART])
    assert len(str(refused.value).splitlines()) == 1


@given(st.sampled_from(sorted(REQUESTS)), st.data())
@settings(max_examples=30)
def test_a_mutated_request_is_taken_or_refused_with_a_sentence(name: str, data: st.DataObject) -> None:
    """A request with one field wrong or missing: no exception but Refused escapes."""
    payload = event_of(name)
    path = data.draw(st.sampled_from(list(places(payload))))
    wrong = mutated(payload, path, data.draw(JSON), drop=data.draw(st.booleans()))
    assert len(refusal_of(lambda: operate.read(wrong, [HEART])).splitlines()) <= 1
