"""Batch calls that do a part of what they were asked: the rest follows after a pause, or an error names it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from esteira.claims import BuildClaim
from esteira.core.facts import Pushed
from esteira.errors import PartialError
from esteira.trail import Decided
from tests.wire.adapters import AT, Wire
from tests.wire.lossy import Body, Fault
from tests.wire.test_lost_answers import CLAIM, build, deploy

pytestmark = pytest.mark.integration


def decided(number: int) -> list[Decided]:
    """So many decisions of one round."""
    return [
        Decided(at=AT, release=1, action="Wait", why="a test", round=0, place=n, seen="s", configuration="c")
        for n in range(number)
    ]


def without(field: str) -> Callable[[Body, Body], Body]:
    """An answer whose list is empty."""
    return lambda _asked, answer: {**answer, field: []}


def first_only(asked: Body) -> Body:
    """A BatchWriteItem of the first of its rows."""
    [(table, puts)] = asked["RequestItems"].items()
    return {**asked, "RequestItems": {table: puts[:1]}}


def rest_unprocessed(asked: Body, answer: Body) -> Body:
    """DynamoDB's answer to a BatchWriteItem when it wrote the first row only."""
    [(table, puts)] = asked["RequestItems"].items()
    return {**answer, "UnprocessedItems": {table: puts[1:]} if puts[1:] else {}}


def keys_unprocessed(asked: Body, _answer: Body) -> Body:
    """DynamoDB's answer to a BatchGetItem when it read nothing."""
    return {"Responses": {}, "UnprocessedKeys": asked["RequestItems"]}


def test_an_event_that_the_bus_did_not_take_is_an_error(wire: Wire) -> None:
    """PutEvents answers 200 and says in the body that it failed. The projection must not be written then."""
    entry = {"ErrorCode": "ThrottlingException", "ErrorMessage": "on purpose"}
    failed = Fault(change=lambda _asked, _answer: {"FailedEntryCount": 1, "Entries": [entry]})
    wire.lossy.spoil("events:PutEvents", failed)
    with pytest.raises(PartialError, match="ThrottlingException: on purpose"):
        wire.aws.emit({"service": "heart"})
    wire.aws.emit({"service": "heart"})


def test_rows_that_were_left_out_are_written_after_a_pause(wire: Wire) -> None:
    """Each call writes one row of four; in the end all are there."""
    wire.lossy.always["dynamodb:BatchWriteItem"] = Fault(forward=first_only, change=rest_unprocessed)
    wire.store.write_decisions("heart", decided(4))
    assert len(wire.store.facts("heart", decided(1)[0].about)) == 4
    assert (wire.lossy.counts["dynamodb:BatchWriteItem"], len(wire.pauses)) == (4, 3)
    assert wire.pauses == sorted(wire.pauses)


def test_rows_that_are_always_left_out_are_an_error(wire: Wire) -> None:
    """The tries end, and the message says how many rows are missing and of which table."""
    wire.lossy.always["dynamodb:BatchWriteItem"] = Fault(forward=first_only, change=rest_unprocessed)
    with pytest.raises(PartialError, match="left 3 rows of"):
        wire.store.write_decisions("heart", decided(10))
    assert wire.lossy.counts["dynamodb:BatchWriteItem"] == 7


def test_rows_that_were_not_read_are_read_after_a_pause(wire: Wire) -> None:
    """A snapshot never misses a row because a batch was cut."""
    pushed = Pushed(at=AT, number=1, source="commit", commit="abc")
    assert wire.store.birth("heart", pushed)
    wire.lossy.spoil("dynamodb:BatchGetItem", Fault(change=keys_unprocessed))
    assert wire.store.snapshot_rows(wire.service).births == {1: pushed}
    assert len(wire.pauses) == 1
    wire.lossy.always["dynamodb:BatchGetItem"] = Fault(change=keys_unprocessed)
    with pytest.raises(PartialError, match="unread"):
        wire.store.snapshot_rows(wire.service)


def test_an_image_that_ecr_could_not_give_is_not_gone(wire: Wire) -> None:
    """BatchGetImage's failures are read: only ImageNotFound means that the image is gone."""
    digest = wire.image("git-one")
    failure = {"imageId": {"imageDigest": digest}, "failureCode": "KmsError", "failureReason": "on purpose"}
    failed = Fault(change=lambda _asked, _answer: {"images": [], "failures": [failure]})
    wire.lossy.spoil("ecr:BatchGetImage", failed)
    with pytest.raises(PartialError, match="KmsError: on purpose"):
        wire.aws.tag_image(wire.service, digest, "live-production")
    assert wire.aws.tag_image(wire.service, digest, "live-production")
    assert not wire.aws.tag_image(wire.service, f"sha256:{'0' * 64}", "live-production")


def test_a_build_that_is_listed_and_not_given_may_be_the_one(wire: Wire) -> None:
    """BatchGetBuilds leaves builds out: then nobody says that the claim has none."""
    build(wire)
    wire.lossy.spoil("codebuild:BatchGetBuilds", Fault(change=without("builds")))
    with pytest.raises(PartialError, match="does not give"):
        wire.aws.find_build(wire.service, BuildClaim("heart", 1, 1))
    assert wire.aws.find_build(wire.service, BuildClaim("heart", 1, 1)) is not None
    assert wire.aws.find_build(wire.service, BuildClaim("heart", 1, 2)) is None


def test_a_deployment_that_is_listed_and_not_given_may_be_the_one(wire: Wire) -> None:
    """BatchGetDeployments leaves deployments out: then nobody says that the claim has none."""
    deploy(wire)
    wire.lossy.spoil("codedeploy:BatchGetDeployments", Fault(change=without("deploymentsInfo")))
    with pytest.raises(PartialError, match="gives 0"):
        wire.aws.find_deployment(wire.service, CLAIM, since=AT)


def test_a_host_that_is_listed_and_not_given_is_not_a_host_that_has_it(wire: Wire) -> None:
    """BatchGetDeploymentTargets leaves hosts out: a deployment is not settled without them."""
    deployment = deploy(wire)
    wire.local_aws.engine.finish_next()
    wire.lossy.spoil("codedeploy:BatchGetDeploymentTargets", Fault(change=without("deploymentTargets")))
    with pytest.raises(PartialError, match="more hosts"):
        wire.aws.hosts(deployment)
    assert wire.aws.hosts(deployment).reached
