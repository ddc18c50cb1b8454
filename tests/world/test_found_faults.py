"""The faults found in November 2026, told as stories: each test names its fault and fails on the code of that time.

Lost and partial answers of AWS (C1 to C3) are in ``tests/wire``; rows of an unknown kind (C4) and events of another
account (A6) in ``tests/unit``; comments (A3) in ``test_announcing``.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from zipfile import ZipFile

import pytest

from console.local.aws.api import AwsError
from console.local.aws.codedeploy import IAM_ROLE_MISSING, NO_INSTANCES
from console.local.aws.faults import Call, When
from console.local.engine import DeployResult
from console.local.rehearse.rehearsal_engine import BuildOutcome, manifest_for
from esteira.config import Service
from esteira.context import Context
from esteira.core.facts import Bundled, StopAsked
from esteira.each import each, rotated
from esteira.telemetry import logger
from tests.world.story import Story, dying, refusing
from tests.world.test_images import image_event

Begin = Callable[..., Any]
STAGING: dict[str, Any] = {"name": "staging"}
PRODUCTION: dict[str, Any] = {"name": "production"}


@pytest.fixture
def alone() -> Iterator[Story]:
    """A story in memory alone, which may have copies of its builds and services beside its own."""
    with Story() as alone:
        yield alone


# --- C5: one picture -------------------------------------------------------------------------------------------------


def test_a_quarantine_counts_while_the_release_builds(story: Any) -> None:
    """C5: the list and the event said that it was building, and ``why`` that it was rejected."""
    story.live("one")
    story.push("two")
    story.deliver()
    story.faults._keep = story.bus.keep = True
    story.operate("quarantine", release="v2", reason="the data is wrong")
    told = [e["detail"] for e in story.bus.events if e["source"] == "esteira"]
    assert story.phases == ["live", "rejected"]
    assert [(e["release"], e["phase"], e["before"]) for e in told] == [("v2", "rejected", "building")]
    assert story.why(2).startswith("ana quarantined ")
    (view, _) = story.store.views("heart")
    assert view.why == story.why(2)
    assert told[0]["summary"] == story.stands(2).summary
    story.play()
    assert story.built()[-1] == "v2/build/1 STOPPED"
    assert story.phases == ["live", "rejected"]


# --- C6: rollouts are counted on each stage --------------------------------------------------------------------------


def test_a_rollout_of_the_same_number_on_another_stage_is_another_one(on: Begin) -> None:
    """C6: a release that was live on staging by rollout 1 had no image and "was never live" after production's
    rollout 1 was given up."""
    story = on(STAGING, PRODUCTION)

    def refuse(moment: When, call: Call) -> None:
        production = str(call.params.get("deploymentGroupName")).endswith("production")
        if moment == "before" and call.name == "codedeploy:CreateDeployment" and production:
            raise AwsError("InvalidRoleException", "the role cannot be assumed")

    story.faults.hook = refuse
    (commit,) = story.live("one")
    for _ in range(13):
        story.wait(5)
    story.faults.hook = None
    assert story.stages_of(1) == {"staging": "live", "production": "failed"}
    assert story.why(1).startswith("live on staging; its deployment could not start: InvalidRoleException")
    assert story.snapshot(1).release(1).digest == story.made(commit)
    story.live("two")
    assert "refused" not in story.operate("rollback", stage="staging", to="v1")
    story.play()
    assert (story.live_on("staging"), story.live_on("production")) == (1, 2)


# --- C7: several services --------------------------------------------------------------------------------------------

WATCHED = [{"name": "production", "bake_minutes": 30, "alarms": ["errors"]}]


def beside(story: Story, *names: str) -> None:
    """Register further services, each a copy of heart with names of its own, that listen to heart's alarms."""
    path = story.context.settings.services_path
    heart = json.loads(story.local_aws.ssm.values[f"{path}heart"])
    for name in names:
        document = json.dumps(heart).replace("heart", name)
        story.local_aws.ssm.put_parameter({"Name": f"{path}{name}", "Value": document})


def commit(story: Story, service: str, text: str) -> None:
    """Push to another service's repository."""
    story.local_aws.codecommit.commit(service, "main", {"app.py": text.encode()})


def refusing_branch_of(repository: str) -> Callable[[When, Call], None]:
    """A hook: CodeCommit refuses to tell where one repository's branch is."""

    def hook(moment: When, call: Call) -> None:
        if (moment, call.name, call.params.get("repositoryName")) == ("before", "codecommit:GetBranch", repository):
            raise AwsError("EncryptionKeyDisabledException", "the key is disabled")

    return hook


def live(story: Story, service: str) -> int:
    """The release that is live on a service's production."""
    return story.store.stage(service, "production").live


def test_an_alarm_that_two_services_hear_takes_both_back_though_the_first_fails() -> None:
    """C7: the first service's error kept the second one from being advanced at all."""
    with Story(stages=WATCHED) as story:
        beside(story, "lung")
        for text in ("one", "two"):
            story.live(text)
            commit(story, "lung", text)
            story.play()
        assert (live(story, "heart"), live(story, "lung")) == (2, 2)
        story.faults.hook = refusing_branch_of("heart")
        story.clock.advance(60)
        story.ring("errors")
        story.play()
        assert (live(story, "heart"), live(story, "lung")) == (2, 1)
        assert "EncryptionKeyDisabledException" in str(story.bus.letters)
        story.faults.hook = None
        story.pass_time(60)
        assert (live(story, "heart"), live(story, "lung")) == (1, 1)


@pytest.mark.parametrize("failing", ["heart", "lung"])
def test_a_sweep_looks_after_the_others_where_one_service_fails(alone: Story, failing: str) -> None:
    """C7: whichever of two services fails, the other's lost push goes live by the sweep alone."""
    beside(alone, "lung")
    alone.lose_everything()
    alone.push("one")
    commit(alone, "lung", "one")
    alone.faults.hook = refusing_branch_of(failing)
    alone.pass_time(60, sweeps=3)
    other = {"heart": "lung", "lung": "heart"}[failing]
    assert (live(alone, failing), live(alone, other)) == (0, 1)


def test_no_service_is_always_the_first_of_a_sweep(alone: Story) -> None:
    """C7: the order was always the same, so the last service was the one that a slow one cost its sweep."""
    beside(alone, "lung", "skin")
    orders = []
    for _ in range(20):
        orders.append([row["service"] for row in alone.bus.functions.call("SweepFunction", {}).payload])
        alone.clock.advance(60)
    assert {order[0] for order in orders} == {"heart", "lung", "skin"}
    assert all(sorted(order) == ["heart", "lung", "skin"] for order in orders)
    assert rotated((), alone.clock.now()) == ()


def test_a_service_for_which_no_time_is_left_is_named_and_passed_over(
    alone: Story, caplog: pytest.LogCaptureFixture
) -> None:
    """C7: a slow service used up the function's time, and nobody said so. Now it has a share, and then the log says
    who got nothing."""
    beside(alone, "lung", "skin")
    services, _ = alone.context.aws.services(alone.context.settings.services_path)
    began, late = alone.clock.now(), []

    def slow(service: Service, context: Context) -> str:
        late.append((service.name, context.is_late()))
        alone.clock.advance(26)
        late.append((service.name, context.is_late()))
        return service.name

    with caplog.at_level(logging.WARNING, logger.name):
        done = each(services, slow, alone.context, lambda: timedelta(seconds=55) - (alone.clock.now() - began))
    # 45 seconds for three, then 19 for two, then none for the last.
    assert late == [("heart", False), ("heart", True), ("lung", False), ("lung", True)]
    assert list(done) == ["heart", "lung"]
    assert [r.service for r in caplog.records if r.getMessage() == "no time was left for a service"] == ["skin"]  # type: ignore[attr-defined]


# --- C9: the same again ----------------------------------------------------------------------------------------------


def push_same(story: Any, image: str, text: str, **files: str) -> str:
    """Push a commit whose build makes the very image of another commit, and play; the new commit."""
    made = story.push(text, **files)
    story.deliver()
    before, story.builds = story.builds, BuildOutcome(push=False)
    story.local_aws.ecr.push("heart", manifest_for(image), story.build_tag())
    story.play()
    story.builds = before
    return str(made)


def test_the_same_image_with_the_same_settings_is_live_without_a_second_deployment(story: Any) -> None:
    """C9: it was deployed again, and the host started a new container for nothing. ``why`` says what runs."""
    (first,) = story.live("one")
    push_same(story, first, "two")
    assert story.phases == ["superseded", "live"]
    assert story.deployed() == ["v1 Succeeded"]
    assert "already ran this image with these settings" in story.why(2)
    assert "nothing was restarted" in story.why(2)
    assert story.live_on("production") == 2
    push_same(story, first, "three")
    assert story.phases == ["superseded", "superseded", "live"]
    assert story.deployed() == ["v1 Succeeded"]
    (bundled,) = [f for f in story.facts(3) if isinstance(f, Bundled)]
    assert bundled.name_in_bucket == "heart/v1/production-1.zip"
    story.operate("rollback", to="v2", reason="a rollback always runs")
    story.play()
    assert story.deployed() == ["v1 Succeeded", "v2 Succeeded"]
    assert story.tags(story.digest("live-production")) >= {story.build_tag(0), story.build_tag(1)}


def test_the_same_image_under_another_tag_is_live_without_a_second_deployment(story: Any) -> None:
    """C9: the same for images that are pushed from elsewhere."""
    story.push_image("elsewhere", "v1.0")
    story.play()
    story.clock.advance(60)
    story.push_image("elsewhere", "v1.1")
    story.play()
    assert story.phases == ["superseded", "live"]
    assert story.deployed() == ["v1 Succeeded"]


def test_the_same_image_after_another_one_is_deployed(story: Any) -> None:
    """C9: what counts is what runs now, not that the image ran once."""
    first, _ = story.live("one", "two")
    story.force_push(first)
    story.play()
    assert story.phases == ["superseded", "superseded", "live"]
    assert story.deployed() == ["v1 Succeeded", "v2 Succeeded", "v3 Succeeded"]


def test_on_each_stage_the_same_image_is_live_without_a_second_deployment(on: Begin) -> None:
    """C9: it was deployed again on every stage."""
    story = on(STAGING, PRODUCTION)
    (first,) = story.live("one")
    push_same(story, first, "two")
    assert (story.live_on("staging"), story.live_on("production")) == (2, 2)
    assert story.stages_of(2) == {"staging": "live", "production": "live"}
    assert story.deployed() == ["v1 Succeeded", "v1 Succeeded"]


@pytest.mark.parametrize(
    "setting",
    [
        {"port": 9090},
        {"environment": {"LEVEL": "2"}},
        {"drain_seconds": 31},
        {"parameters": {"KEY": "/esteira/parameters/heart/key"}},
    ],
    ids=["port", "environment", "drain", "parameters"],
)
def test_the_same_image_with_other_settings_is_deployed_again(story: Any, setting: dict[str, Any]) -> None:
    """C9: only what is the same in everything stays as it is. Of a parameter nobody knows whether its value changed."""
    (first,) = story.live("one")
    story.register(**setting)
    push_same(story, first, "two")
    assert story.deployed() == ["v1 Succeeded", "v2 Succeeded"]
    push_same(story, first, "three")
    deployed = ["v3 Succeeded"] if "parameters" in setting else []
    assert story.deployed() == ["v1 Succeeded", "v2 Succeeded", *deployed]


# --- C10: true of all stages -----------------------------------------------------------------------------------------


def test_what_was_aborted_too_late_says_where_it_is_live(on: Begin) -> None:
    """C10: the release was live on staging, and ``why`` said only that it was aborted."""
    story = on(STAGING, PRODUCTION | {"approvals": {"votes": 1}})
    story.live("one")
    story.operate("abort", release="v1", reason="too late")
    story.play()
    assert story.phases == ["aborted"]
    assert story.stages_of(1) == {"staging": "live"}
    assert story.why(1) == "live on staging; ana aborted it: too late"
    (view,) = story.store.views("heart")
    assert view.summary == story.why(1)


# --- C11: two builds with one claim ----------------------------------------------------------------------------------


def copy_of_the_build(story: Story, *, retried: bool = False) -> str:
    """Start the build that runs, or ran last, once more with its variables, as the console does; the copy's id.

    ``retried``: as CodeBuild does by itself, which names the build it retries.
    """
    codebuild = story.local_aws.codebuild
    own = codebuild.builds()[-1]
    copy = codebuild.start_build(
        {
            "projectName": own["projectName"],
            "sourceVersion": own["sourceVersion"],
            "environmentVariablesOverride": own["environment"]["environmentVariables"],
        }
    )["build"]["id"]
    if retried:
        codebuild._builds[copy]["autoRetryConfig"] = {"autoRetryNumber": 1, "previousAutoRetry": own["arn"]}
    story.deliver()
    return str(copy)


def end(story: Story, build: str, outcome: BuildOutcome) -> None:
    """End one build, and deliver what it says."""
    before, story.builds = story.builds, outcome
    story._end(lambda name: name == build)
    story.builds = before


FAILED = BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: pytest")


@pytest.mark.parametrize("first", [90, 1], ids=["before ours", "after ours"])
@pytest.mark.parametrize("outcome", [FAILED, BuildOutcome()], ids=["it fails", "it succeeds"])
def test_a_release_follows_its_own_build_whatever_a_copy_does(alone: Story, first: int, outcome: BuildOutcome) -> None:
    """C11: of two builds with one claim the first by its id decided: a failed copy failed the release and stopped the
    good build, or the release waited for an image for ever."""
    alone.local_aws.codebuild._started = first
    alone.push("one")
    alone.deliver()
    own = alone.engine.in_flight()[0]
    alone.local_aws.codebuild._started = 10
    alone.clock.advance(30)
    copy = copy_of_the_build(alone)
    assert (copy < own) is (first == 90)
    end(alone, copy, outcome)
    assert alone.phases == ["building"]
    assert alone.why(1) == f"build {own} is in progress; build {copy} carries the same claim and does not count"
    alone.play()
    assert alone.phases == ["live"]
    assert alone.deployed() == ["v1 Succeeded"]


def test_a_copy_that_succeeds_does_not_save_a_release_whose_own_build_fails(alone: Story) -> None:
    """C11: a stranger's build decides nothing, for good or for bad."""
    alone.push("one")
    alone.deliver()
    own = alone.engine.in_flight()[0]
    alone.clock.advance(30)
    copy = copy_of_the_build(alone)
    end(alone, own, FAILED)
    end(alone, copy, BuildOutcome())
    alone.play()
    assert alone.phases == ["failed"]
    assert alone.why(1).startswith(f"build {own} failed")
    assert alone.deployed() == []


def test_the_build_that_codebuild_itself_retries_is_followed(alone: Story) -> None:
    """C11: CodeBuild's own retry is the release's build from then on."""
    alone.push("one")
    alone.deliver()
    own = alone.engine.in_flight()[0]
    alone.clock.advance(30)
    end(alone, own, FAILED)
    assert alone.phases == ["failed"]
    retry = copy_of_the_build(alone, retried=True)
    assert alone.phases == ["building"]
    assert alone.why(1) == f"build {retry} is in progress"
    alone.play()
    assert alone.phases == ["live"]
    assert alone.deployed() == ["v1 Succeeded"]


def test_a_retry_that_codebuild_begins_too_late_is_stopped(alone: Story) -> None:
    """C11: a newer release has come by then, so the older one comes to nothing and its build is stopped."""
    alone.push("one")
    alone.deliver()
    end(alone, alone.engine.in_flight()[0], FAILED)
    retry = copy_of_the_build(alone, retried=True)
    alone.push("two")
    alone.play()
    assert alone.phases == ["superseded", "live"]
    assert alone.built() == ["v1/build/1 FAILED", "v1/build/1 STOPPED", "v2/build/1 SUCCEEDED"]
    assert retry in str([f for f in alone.facts(1) if isinstance(f, StopAsked)])
    assert alone.open() == [2]


def test_of_two_builds_with_one_claim_the_older_one_is_found_where_an_answer_was_lost(alone: Story) -> None:
    """C11: CodeBuild lists the newest first, so a lost answer made the copy the release's own build."""
    alone.push("one")
    alone.faults.hook = dying("after", "codebuild:StartBuild")
    alone.lose_everything()
    alone.wait(1)
    own = alone.engine.in_flight()[0]
    alone.clock.advance(30)
    copy = copy_of_the_build(alone)
    alone.wait(3)
    assert alone.why(1) == f"build {own} is in progress"
    end(alone, copy, FAILED)
    alone.pass_time(60, sweeps=3)
    assert alone.phases == ["live"]


# --- C12: an absence is asked again ----------------------------------------------------------------------------------


def digest_of(content: str) -> str:
    """The digest that an image of this content has."""
    return "sha256:" + hashlib.sha256(manifest_for(content)).hexdigest()


def told(story: Any, release: str) -> list[str]:
    """The phases of a release that were put on the bus."""
    details = (e["detail"] for e in story.bus.events if e["source"] == "esteira")
    return [d["phase"] for d in details if d["release"] == release]


def test_an_image_that_appears_minutes_after_its_event_is_a_release(story: Any) -> None:
    """C12: one look decided, and its tag and digest were noted as taken: no sweep and no second push helped."""
    story.bus.put(image_event(story, digest_of("late"), "v1.0"))
    story.deliver()
    story.wait(5)
    assert story.newest() == 0
    assert story.push_image("late", "v1.0") == digest_of("late")
    story.bus.forget()
    story.pass_time(60)
    assert story.phases == ["live"]
    assert story.deployed() == ["v1 Succeeded"]
    assert not story.bus.letters


def test_an_image_that_never_appears_is_one_rejected_release_and_may_come_again(story: Any) -> None:
    """C12: nobody said a word about it. Pushed again after that, it is a release."""
    story.bus.keep = True
    event = image_event(story, digest_of("late"), "v1.0")
    story.bus.put(event)
    for _ in range(14):
        story.wait(1)
    assert story.newest() == 0
    story.wait(1)
    for _ in range(3):
        story.bus.put(event)
        story.wait(20)
    assert story.phases == ["rejected"]
    assert story.why(1) == "image v1.0 is not in the registry although its push was told; push it again"
    assert told(story, "v1") == ["rejected"]
    assert story.open() == []
    story.push_image("late", "v1.0")
    story.play()
    assert story.phases == ["rejected", "live"]
    assert not story.bus.letters


def test_a_finding_that_comes_back_is_the_latest_finding(story: Any) -> None:
    """C12: a finding kept its first time, so scans that found something, nothing, and the same again showed nothing."""
    digest = story.push_image("elsewhere", "v1.0")
    story.play()
    for counts in ({"CRITICAL": 1}, {}, {"CRITICAL": 1}):
        story.clock.advance(3600)
        story.local_aws.ecr.scanned(story.service.images, digest, counts)
        story.deliver()
    story.pass_time(600)
    assert [scan.findings for scan in story.scans(digest)] == ["CRITICAL 1", "none", "CRITICAL 1"]


# --- C13: a refusal that cannot heal ---------------------------------------------------------------------------------


def test_a_tag_that_ecr_does_not_take_is_one_rejected_release(story: Any) -> None:
    """C13: every later event and sweep of the service ended in an error: ten dead letters over one release."""
    tag = "v" + "x" * 299

    def refuse(moment: When, call: Call) -> None:
        if moment == "before" and call.name == "ecr:DescribeImages" and tag in str(call.params):
            raise AwsError("InvalidParameterException", "Invalid parameter at 'imageTag' failed to satisfy constraint")

    story.faults.hook = refuse
    event = image_event(story, digest_of("long"), tag)
    for _ in range(10):
        story.bus.put(event)
        story.wait(2)
    assert story.bus.functions.call("IntakeFunction", event).error == ""
    assert story.phases == ["rejected"]
    assert story.why(1).startswith(f"ECR refuses to look up {tag[:20]}")
    assert "InvalidParameterException" in story.why(1)
    assert story.why(1).endswith("; push it again under a new tag")
    assert not story.bus.letters
    assert story.open() == []
    story.push("one")
    story.play()
    assert story.phases == ["rejected", "live"]


# --- A4: a deployment that fails before any host begins --------------------------------------------------------------


@pytest.mark.parametrize("error", [NO_INSTANCES, IAM_ROLE_MISSING])
def test_a_deployment_that_no_host_began_says_codedeploys_own_error_at_once(story: Any, error: DeployResult) -> None:
    """A4: the release waited 15 minutes and then said that CodeDeploy did not say why."""
    failed: list[str] = []
    story.bus.watch = lambda done: failed.append(done.answer.said) if done.answer.error else None
    story.local_aws.codedeploy.never_begins = error
    story.push("one")
    story.deliver()
    story.end_build()
    assert story.local_aws.codedeploy.deployments()[0]["status"] == "Created"
    story.wait(1)
    assert story.phases == ["deploying"]
    story.end_deployment()
    assert story.phases == ["failed"]
    assert f" failed: {error.error_code}: {error.message}" in story.why(1)
    assert failed == []


def test_a_sweep_passes_over_hosts_of_a_deployment_that_has_not_started(story: Any) -> None:
    """A4: CodeDeploy lists the hosts already and does not tell of them yet; the sweep raised."""
    failed: list[str] = []
    story.bus.watch = lambda done: failed.append(done.answer.said) if done.answer.error else None
    story.push("one")
    story.deliver()
    story.end_build()
    story.faults.hook = refusing("codedeploy:BatchGetDeploymentTargets", "DeploymentNotStartedException")
    story.wait(1)
    story.faults.hook = None
    assert failed == []
    story.play()
    assert story.phases == ["live"]


# --- A14: another object in the bundle's place ----------------------------------------------------------------------


def test_a_deployment_is_of_the_object_that_was_uploaded_and_of_no_other(alone: Story) -> None:
    """A14: the revision named the key alone; with the ETag the host's agent refuses what was put there since."""
    alone.live("one")
    [deployment] = alone.local_aws.codedeploy.deployments()
    place = deployment["revision"]["s3Location"]
    assert place["eTag"] == hashlib.md5(alone.engine.deployed[0].bundle, usedforsecurity=False).hexdigest()


# --- A15: hooks that run as another user -----------------------------------------------------------------------------


def test_every_file_of_the_bundle_may_be_read_by_anybody(story: Any) -> None:
    """A15: release.json was 0600, so a hook with ``runas`` could not read it."""
    story.live("one")
    with ZipFile(io.BytesIO(story.engine.deployed[0].bundle)) as bundle:
        modes = {entry.filename: entry.external_attr >> 16 for entry in bundle.infolist()}
    assert modes["release.json"] == 0o644
    assert set(modes.values()) == {0o644, 0o755}
