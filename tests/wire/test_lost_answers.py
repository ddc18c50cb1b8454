"""Answers that are lost between AWS and botocore: nothing is made twice, and nobody waits for himself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from esteira.bundle import default
from esteira.claims import BuildClaim, RolloutClaim
from esteira.core.facts import (
    Claimed,
    Held,
    ImageArrived,
    Pushed,
    Rollout,
    about_release,
)
from esteira.errors import BusyError, DeclinedError, UnsureError
from esteira.trail import Decided
from tests.unit import rights
from tests.wire.adapters import AT, Wire
from tests.wire.lossy import BROKEN, LOST, NEVER_ARRIVED, THROTTLED, Fault

pytestmark = pytest.mark.integration
CLAIM = RolloutClaim("heart", 1, "production", 1)
CLAIMED = Claimed(at=AT, release=1, action="build", attempt=1, take=1, lease=AT)
HELD = Held(at=AT, request="one", by="ana", reason="a test", stage="production", until=AT)
IMAGE = ImageArrived(at=AT, tag="v1", digest="sha256:1")
PUSHED = Pushed(at=AT, number=1, source="image", tag="v1", digest="sha256:1")
ROLLOUT = Rollout(
    at=AT,
    stage="production",
    number=1,
    release=1,
    attempt=1,
    digest="sha256:1",
    kind="deploy",
    live=0,
    healthy=(),
    served="",
    lease=AT,
    deadline=AT,
)
DECIDED = Decided(at=AT, release=1, action="Wait", why="a test", round=0, place=0, seen="s", configuration="c")


def deploy(wire: Wire) -> str:
    """Upload the default bundle and deploy it."""
    _, etag = wire.aws.put_bundle(wire.service, "one.zip", default(), {"number": 1})
    return wire.aws.create_deployment(wire.service, CLAIM, "a test", "one.zip", etag)


def deployments(wire: Wire) -> int:
    """How many deployments CodeDeploy has."""
    return len(wire.local_aws.codedeploy.deployments())


# --- a call without an idempotency token (C1)


@pytest.mark.parametrize("fault", [LOST, BROKEN], ids=["lost", "500"])
def test_a_deployment_whose_answer_is_lost_is_unsure_and_found_by_its_claim(wire: Wire, fault: Fault) -> None:
    """CreateDeployment is sent once. The caller learns that it may exist, and the claim finds it."""
    wire.lossy.spoil("codedeploy:CreateDeployment", fault)
    with pytest.raises(UnsureError, match=str(CLAIM)):
        deploy(wire)
    assert (wire.lossy.counts["codedeploy:CreateDeployment"], deployments(wire)) == (1, 1)
    assert wire.aws.find_deployment(wire.service, CLAIM, since=AT) is not None
    assert wire.aws.find_deployment(wire.service, CLAIM._replace(rollout=2), since=AT) is None


def test_a_deployment_is_of_the_very_bundle_that_was_written(wire: Wire) -> None:
    """The revision names the object's ETag, as S3 gave it, so the host's agent takes nothing that came to lie there."""
    id_ = deploy(wire)
    told = wire.aws.client("codedeploy").get_deployment(deploymentId=id_)["deploymentInfo"]["revision"]["s3Location"]
    lying = wire.aws.client("s3").head_object(Bucket=told["bucket"], Key=told["key"])
    assert told["eTag"] == lying["ETag"].strip('"')


def test_a_deployment_of_before_the_claim_is_not_looked_at(wire: Wire) -> None:
    """A list comes in no order that CodeDeploy promises, so what is looked through is bounded by time."""
    deploy(wire)
    assert wire.aws.find_deployment(wire.service, CLAIM, since=AT + timedelta(hours=1)) is None


def test_a_deployment_that_never_arrived_is_unsure_and_not_found(wire: Wire) -> None:
    """A broken connection does not tell whether the call arrived. The look-up does."""
    wire.lossy.spoil("codedeploy:CreateDeployment", NEVER_ARRIVED)
    with pytest.raises(UnsureError):
        deploy(wire)
    assert (wire.lossy.counts["codedeploy:CreateDeployment"], deployments(wire)) == (1, 0)
    assert wire.aws.find_deployment(wire.service, CLAIM, since=AT) is None


def test_a_throttled_deployment_is_tried_again_after_a_pause(wire: Wire) -> None:
    """A throttle made nothing, so the call is sent again, and one deployment comes of it."""
    wire.lossy.spoil("codedeploy:CreateDeployment", THROTTLED)
    assert wire.aws.find_deployment(wire.service, CLAIM, since=AT) is None
    assert deploy(wire) == wire.aws.find_deployment(wire.service, CLAIM, since=AT)
    assert (wire.lossy.counts["codedeploy:CreateDeployment"], deployments(wire), len(wire.pauses)) == (2, 1, 1)


def test_a_deployment_that_is_always_throttled_is_declined_in_the_end(wire: Wire) -> None:
    """The tries end, and the caller may note that nothing exists."""
    wire.lossy.always["codedeploy:CreateDeployment"] = THROTTLED
    with pytest.raises(DeclinedError, match="ThrottlingException"):
        deploy(wire)
    assert (deployments(wire), len(wire.pauses)) == (0, 6)


def test_a_busy_group_is_busy_and_not_unsure(wire: Wire) -> None:
    """AWS's refusal of a second deployment is a refusal: nothing exists."""
    deploy(wire)
    with pytest.raises(BusyError):
        wire.aws.create_deployment(wire.service, CLAIM._replace(rollout=2), "a test", "one.zip", "etag")
    assert deployments(wire) == 1


def test_a_service_that_cannot_be_reached_made_nothing(wire: Wire) -> None:
    """Where no connection comes about the call was never sent, so it is declined."""
    wire.lossy.close()
    with pytest.raises(DeclinedError, match="never reached AWS"):
        wire.aws.create_deployment(wire.service, CLAIM, "a test", "one.zip", "etag")


# --- a put that meets its own row (C2)


def test_a_claim_whose_answer_is_lost_is_ours(wire: Wire) -> None:
    """The put is sent again and finds its own row. Another function's claim finds it, too, and is not ours."""
    wire.lossy.spoil("dynamodb:PutItem", LOST)
    assert wire.store.record("heart", CLAIMED)
    assert wire.lossy.counts["dynamodb:PutItem"] == 2
    assert not wire.store.record("heart", CLAIMED)


def test_a_claim_that_meets_anothers_row_is_not_ours_even_when_its_answer_is_lost(wire: Wire) -> None:
    """Sent again, the refusal stays a refusal."""
    assert wire.store.record("heart", CLAIMED)
    wire.lossy.spoil("dynamodb:PutItem", LOST)
    assert not wire.store.record("heart", CLAIMED)


def test_a_word_whose_answer_is_lost_is_ours(wire: Wire) -> None:
    """A fact and the latest row of its series are one transaction. botocore sends it again under the same token."""
    wire.lossy.spoil("dynamodb:TransactWriteItems", LOST)
    assert wire.store.record("heart", HELD)
    assert not wire.store.record("heart", HELD)
    assert wire.store.snapshot_rows(wire.service).stages[0].hold == HELD


def test_a_transaction_that_meets_another_is_tried_again(wire: Wire) -> None:
    """A conflict is no refusal: the row is written after a pause."""
    cancelled = {
        "__type": "TransactionCanceledException",
        "message": "on purpose",
        "CancellationReasons": [{"Code": "TransactionConflict"}, {"Code": "None"}],
    }
    wire.lossy.spoil("dynamodb:TransactWriteItems", Fault(error=(400, ""), done=False, answer=cancelled))
    assert wire.store.record("heart", HELD)
    assert len(wire.pauses) == 1


# --- every call that changes something


@dataclass(frozen=True)
class Change:
    """A call of the adapters that changes something: how it is made, and how many things there are of its kind."""

    make: Callable[[Wire], object]
    things: Callable[[Wire], int]
    unsure: bool = False


def facts(wire: Wire) -> int:
    return len(wire.store.facts("heart", about_release(1)))


def build(wire: Wire) -> str:
    """Start the build of the one commit."""
    claim = BuildClaim("heart", 1, 1)
    return wire.aws.start_build(wire.service, claim, wire.commit, "git-one", "heart-v1-build-1", {})


def comments(wire: Wire) -> int:
    """How many comments the commit has."""
    asked = {"repositoryName": wire.service.repository, "afterCommitId": wire.commit}
    data = wire.aws.client("codecommit").get_comments_for_compared_commit(**asked)["commentsForComparedCommitData"]
    return sum(len(each["comments"]) for each in data)


def arrived(wire: Wire) -> int:
    return len(wire.store.open("heart")[1])


def open_releases(wire: Wire) -> int:
    return len(wire.store.open("heart")[0])


CHANGES = {
    "dynamodb:PutItem": Change(lambda w: w.store.record("heart", CLAIMED), facts),
    "dynamodb:TransactWriteItems": Change(lambda w: w.store.birth("heart", PUSHED), open_releases),
    "dynamodb:BatchWriteItem": Change(
        lambda w: w.store.write_decisions("heart", [DECIDED]),
        lambda w: len(w.store.facts("heart", DECIDED.about)),
    ),
    "dynamodb:DeleteItem": Change(lambda w: w.store.dismiss("heart", IMAGE, AT), lambda w: 1 + arrived(w)),
    "codebuild:StartBuild": Change(build, lambda w: len(w.local_aws.codebuild.builds())),
    "codebuild:StopBuild": Change(lambda w: w.aws.stop_build(build(w)), lambda w: len(w.local_aws.codebuild.builds())),
    "codedeploy:CreateDeployment": Change(deploy, deployments, unsure=True),
    "codedeploy:StopDeployment": Change(lambda w: w.aws.stop_deployment(deploy(w)), deployments),
    "s3:PutObject": Change(
        lambda w: w.aws.put_bundle(w.service, "one.zip", default(), {"number": 1}),
        lambda w: w.aws.client("s3").list_objects_v2(Bucket=w.service.bundles)["KeyCount"],
    ),
    "ecr:PutImage": Change(
        lambda w: w.aws.tag_image(w.service, w.image("git-one"), "live-production"),
        lambda w: len(list(w.aws.images(w.service))),
    ),
    "codecommit:PostCommentForComparedCommit": Change(
        lambda w: w.aws.comment(w.service, w.commit, "live", "token"), comments
    ),
}
# These may be done twice, and say so: esteira.aws.telling and .invoking, esteira.targets.autoscaling.
TOLD_TWICE = {
    "autoscaling:SetInstanceHealth",
    "autoscaling:StartInstanceRefresh",
    "events:PutEvents",
    "lambda:Invoke",
    "sns:Publish",
    "xray:PutTraceSegments",
}


@pytest.mark.parametrize("operation", CHANGES)
def test_no_call_whose_answer_is_lost_makes_a_thing_twice(wire: Wire, operation: str) -> None:
    """Whatever changes something is done, its answer is lost, and there is one thing all the same."""
    change = CHANGES[operation]
    wire.lossy.spoil(operation, LOST)
    if change.unsure:
        with pytest.raises(UnsureError):
            change.make(wire)
    else:
        assert change.make(wire) is not False
        assert wire.lossy.counts[operation] >= 2
    assert change.things(wire) == 1


def test_every_call_that_changes_something_is_tried() -> None:
    """A new one has to say in this file how it bears being sent twice."""
    handlers = ("intake.handler", "sweep.handler", "operate.handler", "announce.handler")
    reached = {o for handler in handlers for o in rights.source().reached(handler).operations}
    reading = ("BatchGet", "Describe", "Get", "List", "Query")
    changing = {f"{o.service}:{o.name}" for o in reached if not o.name.startswith(reading)}
    assert changing == {*CHANGES, *TOLD_TWICE}
