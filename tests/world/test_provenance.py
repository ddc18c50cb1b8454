"""Which image is a release's: the one that the table knows its build to have pushed. No tag proves, and none blocks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from console.local.aws.api import AwsError
from console.local.aws.faults import Call, When
from console.local.rehearse.rehearsal_engine import BuildOutcome
from console.read.account import account
from esteira.config import build_tag
from esteira.core.facts import Accepted, Claimed, ImageMissed
from esteira.trail import ImageScanned
from tests.world.story import Story, refusing

OCI = "application/vnd.oci.image"
CONFIG = {"mediaType": f"{OCI}.config.v1+json", "digest": f"sha256:{'1' * 64}", "size": 2}
FAILED = BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: exit status 1")


@pytest.fixture
def alone() -> Iterator[Story]:
    """A story in memory alone."""
    with Story() as alone:
        yield alone


def document(kind: str = f"{OCI}.manifest.v1+json", **more: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": kind, **more}).encode()


def index(*children: str) -> bytes:
    """An index of images, whose last entry is an attestation."""
    rows = [{"mediaType": f"{OCI}.manifest.v1+json", "digest": digest, "size": 9} for digest in children]
    attestation = {"platform": {"os": "unknown", "architecture": "unknown"}}
    return document(f"{OCI}.index.v1+json", manifests=[*rows[:-1], rows[-1] | attestation])


def push(story: Any, manifest: bytes, tag: str) -> str:
    kind = json.loads(manifest)["mediaType"]
    return str(story.local_aws.ecr.push(story.service.images, manifest, tag, kind))


def delete(story: Any, **identity: str) -> None:
    story.aws_client("ecr").batch_delete_image(repositoryName=story.service.images, imageIds=[identity])


def accepted(story: Any, number: int) -> Accepted:
    (fact,) = [f for f in story.facts(number) if isinstance(f, Accepted)]
    return fact


# --- B2: a tag is no proof -------------------------------------------------------------------------------------------


def test_an_image_that_another_commits_build_left_never_goes_live_as_this_one(story: Any) -> None:
    """B2: the build of one commit, which fails, pushes its image under the tags of a commit to come and of a release
    to come. That commit's tree is innocent, and the planted image went live as it, "without a build"."""
    story.push("attack")
    story.deliver()
    innocent = story.push("innocent")
    for tag in (f"git-{innocent}", "esteira-v7777777", "esteira-v2"):
        planted = story.push_image("planted", tag)
    story.builds = FAILED
    story.end_build()
    story.builds = BuildOutcome()
    story.play()
    assert story.phases[-1] == "live"
    assert story.built()[-1] == "v2/build/1 SUCCEEDED"
    assert story.digest("live-production") == story.made(innocent) != planted
    assert [d["digest"] for d in story.release_documents()] == [story.made(innocent)]


def test_a_build_that_fails_leaves_no_image_that_is_used_again(story: Any) -> None:
    """B2: even under the tag that this very build was told."""
    first = story.push("one")
    story.deliver()
    planted = story.push_image("planted", story.build_tag())
    story.builds = FAILED
    story.play()
    story.builds = BuildOutcome()
    story.live("two")
    story.force_push(first)
    story.play()
    assert story.phases == ["failed", "superseded", "live"]
    assert story.built() == ["v1/build/1 FAILED", "v2/build/1 SUCCEEDED", "v3/build/1 SUCCEEDED"]
    assert story.digest("live-production") == story.made(first) != planted


def test_what_is_pushed_to_a_builds_tag_after_its_end_is_not_the_builds(alone: Story) -> None:
    """B2: whoever reads the tag in CodeBuild's console comes too late."""
    alone.builds = BuildOutcome(push=False)
    alone.push("one")
    alone.deliver()
    alone.faults.hook = refusing("ecr:DescribeImages")
    alone.end_build()
    alone.clock.advance(90)
    alone.push_image("planted", alone.build_tag())
    alone.faults.hook = None
    alone.wait(0)
    assert alone.phases == ["failed"]
    assert "was pushed after the build had ended" in alone.why(1)
    assert alone.why(1).endswith("next: esteira retry v1")
    assert alone.deployed() == []


def test_an_image_is_used_again_where_a_build_of_the_commit_pushed_it(story: Any) -> None:
    """The table names it, whatever tags it has by now, and it brings along what its build exported."""
    story.builds = BuildOutcome(exported={"ROC_AUC": "0.91"})
    first, _ = story.live("one", "two")
    for tag in story.tags(story.made(first)) - {"previous-production"}:
        delete(story, imageTag=tag)
    story.force_push(first)
    story.play()
    assert story.phases == ["superseded", "superseded", "live"]
    assert len(story.built()) == 2
    assert (accepted(story, 3).reused, accepted(story, 3).figures) == (True, {"ROC_AUC": "0.91"})


def test_an_image_that_is_gone_is_built_again(story: Any) -> None:
    """What the table names must still be there."""
    first, _ = story.live("one", "two")
    delete(story, imageDigest=story.made(first))
    story.force_push(first)
    story.play()
    assert story.phases == ["superseded", "superseded", "live"]
    assert story.built()[-1] == "v3/build/1 SUCCEEDED"


@pytest.mark.parametrize("exports", ["{}", "{uri}@{}", "{uri}:latest@{}"])
def test_a_build_may_say_itself_which_digest_it_pushed(story: Any, exports: str) -> None:
    """With IMAGE_DIGEST among its exported variables it may push under whatever tag it likes."""
    digest = story.push_image("mine", "mine")
    value = exports.format(digest, uri=story.service.image_uri)
    story.builds = BuildOutcome(push=False, exported={"IMAGE_DIGEST": value})
    story.live("one")
    assert story.phases == ["live"]
    assert story.digest("live-production") == digest


def test_a_digest_that_a_build_exported_and_did_not_push_fails_the_release(story: Any) -> None:
    """Its tag does not count then: the build spoke of another image."""
    story.builds = BuildOutcome(exported={"IMAGE_DIGEST": f"sha256:{'5' * 64}"})
    story.live("one")
    story.wait(2)
    assert story.phases == ["failed"]
    assert story.why(1).startswith("image sha256:555555555555, which the build exported as IMAGE_DIGEST, is not in the")


def test_every_take_of_one_attempt_tells_the_same_tag_and_every_attempt_another(alone: Story) -> None:
    """The tag is the claim's: found again by whoever comes after, and never told to a later build."""
    alone.faults.hook = refusing("codebuild:StartBuild")
    commit = alone.push("one")
    alone.deliver()
    alone.faults.hook, alone.builds = None, FAILED
    alone.__dict__["context"] = replace(alone.context, owner="another invocation")
    alone.pass_time(300)
    claims = [f for f in alone.facts(1) if isinstance(f, Claimed)]
    assert [(c.take, c.owner == "another invocation") for c in claims] == [(1, False), (2, True)]
    assert alone.build_tag() == build_tag(commit, claims[0].owner, "heart/v1/build/1")
    alone.builds = BuildOutcome()
    alone.operate("retry", release="v1")
    alone.play()
    assert alone.built() == ["v1/build/1 FAILED", "v1/build/2 SUCCEEDED"]
    assert alone.build_tag(0) != alone.build_tag(1)
    assert alone.phases == ["live"]


# --- B3: a tag blocks nobody -----------------------------------------------------------------------------------------


def test_labels_that_a_build_took_beforehand_block_no_release(story: Any) -> None:
    """B3: a buildspec that pushed esteira-v2 to v4 kept three releases from going live. They go live by digest, under
    another label that the registry's lifecycle policy keeps as well."""
    story.live("one")
    for number in (2, 3, 4):
        story.push_image("squatter", f"esteira-v{number}")
    commits = story.live("two", "three", "four")
    assert story.phases == ["superseded", "superseded", "superseded", "live"]
    for number, commit in zip((2, 3, 4), commits, strict=True):
        digest = story.made(commit)
        assert f"esteira-v{number}-{digest[7:19]}" in story.tags(digest)
        note = accepted(story, number).note
        assert note.startswith(f"tag esteira-v{number} is frozen on another image")
        assert note.endswith(f"it is labelled esteira-v{number}-{digest[7:19]}")
    assert not story.bus.letters


def test_a_registry_that_takes_no_label_keeps_no_release_back(story: Any) -> None:
    """The label is a nicety; that it is missing is a note."""
    story.faults.hook = refusing("ecr:PutImage")
    story.push("one")
    story.deliver()
    story.end_build()
    assert story.phases == ["deploying"]
    assert accepted(story, 1).note.endswith("; it has no label")
    story.faults.hook = None
    story.play()
    assert story.phases == ["live"]


def test_a_registry_that_lets_no_tag_move_holds_no_stage_up(story: Any) -> None:
    """B3's kind: a repository that was adopted may freeze live-production with the first release. Each later one then
    held its stage for a quarter of an hour."""

    def freeze(moment: When, call: Call) -> None:
        if moment == "before" and call.name == "ecr:PutImage" and call.params["imageTag"] == "live-production":
            raise AwsError("ImageTagAlreadyExistsException", "the tag is immutable")

    story.live("one")
    story.faults.hook = freeze
    story.live("two")
    assert story.phases == ["superseded", "live"]
    assert not story.stage_state.busy
    assert story.digest("live-production") == story.digest("esteira-v1")
    assert story.stage_state.finished.note.startswith("its tags stay: tag live-production is frozen")


def test_a_word_is_heard_although_advancing_meets_an_error(story: Any) -> None:
    """B3: ``hold`` failed for its operator, because an image could not be accepted."""
    story.live("one")
    story.push("two")
    story.deliver()
    story.faults.hook = refusing("ecr:DescribeImages", "ThrottlingException")
    story.end_build()
    answer = story.operate("hold", reason="an audit")
    assert answer["why"].startswith("the word is recorded; carrying it out met an error, and the next sweep goes on: ")
    assert story.stage_state.held(story.clock.now()) is not None


# --- A7: only images -------------------------------------------------------------------------------------------------

CHART = document(config={**CONFIG, "mediaType": "application/vnd.cncf.helm.config.v1+json"}, layers=[])
SIGNATURE = document(
    config=CONFIG, layers=[{"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", "size": 9}]
)
ATTESTATION = document(config=CONFIG, layers=[{"mediaType": "application/vnd.in-toto+json", "size": 9}])
ATTACHED = document(config=CONFIG, layers=[], subject={"digest": f"sha256:{'2' * 64}", "size": 9})
BILL = document(
    artifactType="application/spdx+json", config={**CONFIG, "mediaType": "application/vnd.oci.empty.v1+json"}
)


@pytest.mark.parametrize("manifest", [CHART, SIGNATURE, ATTESTATION, ATTACHED, BILL], ids=lambda m: str(len(m)))
@pytest.mark.parametrize("heard", [True, False])
def test_what_is_no_image_becomes_no_release(story: Any, manifest: bytes, heard: bool) -> None:
    """A7: a helm chart, a signature, an attestation, what is attached to another image. Nobody is bothered."""
    story.register(accepted_tags=["*"])
    push(story, manifest, "v1.0")
    if not heard:
        story.bus.forget()
    story.play()
    story.pass_time(600, sweeps=3)
    assert story.newest() == 0
    assert story.store.open("heart")[1] == ()
    assert not story.bus.letters
    image = story.push_image("an image", "v2.0")
    story.play()
    assert story.digest("live-production") == image


def test_a_build_that_pushes_no_image_fails_with_that_sentence(story: Any) -> None:
    """A7: the kind is asked of what a build pushed, too."""
    story.push("one")
    story.deliver()
    story.builds = BuildOutcome(push=False)
    push(story, CHART, story.build_tag())
    story.play()
    assert story.phases == ["failed"]
    assert "is refused: it is no image but application/vnd.cncf.helm.config.v1+json" in story.why(1)


# --- A14: the architecture --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hosts", "ends"), [("arm64", "failed"), ("x86_64", "live"), ("", "live")])
def test_an_image_of_another_architecture_is_refused_before_its_deployment(alone: Story, hosts: str, ends: str) -> None:
    """A14: the host alone compared it, after the deployment had begun. "": a registration that does not say."""
    alone.register(architecture=hosts)
    child = alone.push_image("for amd64", "")
    row = {"mediaType": f"{OCI}.manifest.v1+json", "digest": child, "size": 9}
    built = [row | {"platform": {"os": "linux", "architecture": "amd64"}}]
    push(alone, document(f"{OCI}.index.v1+json", manifests=built), "v1.0")
    alone.play()
    assert alone.phases == [ends]
    assert bool(alone.deployed()) is (ends == "live")
    if ends == "failed":
        assert "image v1.0 is built for amd64, and the hosts of heart are arm64" in alone.why(1)
        assert "build it with --platform linux/arm64 and push again" in alone.why(1)


# --- A8: scans -------------------------------------------------------------------------------------------------------


def platforms(story: Any) -> tuple[str, str, str]:
    """Push an index of two images, one of them an attestation; the index's digest, the image's, the attestation's."""
    child = story.push_image("for arm64", "")
    attestation = push(story, ATTESTATION, "")
    return push(story, index(child, attestation), "v1.0"), child, attestation


def test_the_images_of_an_index_are_known_and_their_scans_are_shown(story: Any) -> None:
    """A8: ECR scans the images in an index, never the index, so a finding stood under a digest that nobody knew."""
    digest, child, _ = platforms(story)
    story.play()
    assert story.phases == ["live"]
    assert (accepted(story, 1).digest, accepted(story, 1).images) == (digest, (child,))
    story.local_aws.ecr.scanned(story.service.images, child, {"HIGH": 2})
    story.bus.forget()
    story.pass_time(600)
    assert [scan.findings for scan in story.scans(child)] == ["HIGH 2"]
    assert account(story.store, story.service, 1, story.clock.now()).findings == "HIGH 2"


def test_inspector_is_heard_where_scanning_is_enhanced(story: Any) -> None:
    """A8: there is no ECR Image Scan then, and no rule matched Inspector's own event."""
    digest = story.push_image("elsewhere", "v1.0")
    story.play()
    story.local_aws.ecr.inspected(story.service.images, digest, {"CRITICAL": 1})
    story.play()
    assert [scan.findings for scan in story.scans(digest) if isinstance(scan, ImageScanned)] == ["CRITICAL 1"]
    assert not story.bus.letters


# --- A10: an image that is gone --------------------------------------------------------------------------------------


def gone(story: Any, digest: str) -> None:
    delete(story, imageDigest=digest)


def archived(story: Any, digest: str) -> None:
    story.aws_client("ecr").update_image_storage_class(
        repositoryName=story.service.images, imageId={"imageDigest": digest}, targetStorageClass="ARCHIVE"
    )


@pytest.mark.parametrize(("lose", "how"), [(gone, "deleted"), (archived, "archived")])
def test_the_sweep_tells_that_the_live_image_cannot_be_pulled(
    story: Any, lose: Callable[[Any, str], None], how: str
) -> None:
    """A10: it was passed over, and the next host would have found nothing to run."""
    (commit,) = story.live("one")
    story.bus.keep = True
    lose(story, story.made(commit))
    story.pass_time(600, sweeps=3)
    assert story.phases == ["live"]
    status = story.stands(1)
    assert f"its image {story.made(commit)[:19]} is {how}, so no other host can pull it" in status.summary
    assert (status.cause, bool(status.next)) == ("image-gone", True)
    assert len([f for f in story.facts(1) if isinstance(f, ImageMissed)]) == 1
    said = [e["detail"]["cause"] for e in story.bus.events if e["source"] == "esteira"]
    assert said == ["image-gone"]


def test_an_image_that_is_there_again_is_missed_no_more(story: Any) -> None:
    """Restored or pushed again."""
    (commit,) = story.live("one")
    archived(story, story.made(commit))
    story.pass_time(600)
    assert story.stands(1).cause == "image-gone"
    story.aws_client("ecr").update_image_storage_class(
        repositoryName=story.service.images,
        imageId={"imageDigest": story.made(commit)},
        targetStorageClass="STANDARD",
    )
    story.pass_time(600)
    assert story.stands(1).cause == ""


@pytest.mark.parametrize(("lose", "how"), [(gone, "deleted"), (archived, "archived")])
def test_a_rollback_to_an_image_that_cannot_be_pulled_is_refused(
    story: Any, lose: Callable[[Any, str], None], how: str
) -> None:
    """A10: it started a deployment that could only fail. The sentence says what to do."""
    first, _ = story.live("one", "two")
    lose(story, story.made(first))
    said = story.operate("rollback", to="v1", reason="v2 is slow")["refused"]
    assert said.startswith(f"the image of v1 is {how} in the registry. Next: ")
    said = story.operate("rollback", reason="v2 is slow")["refused"]
    assert f"can be pulled: the image of v1 is {how}" in said
    story.play()
    assert story.phases == ["superseded", "live"]
    assert story.deployed() == ["v1 Succeeded", "v2 Succeeded"]


def test_a_rollback_passes_over_a_release_whose_image_is_gone(story: Any) -> None:
    """An alarm, too, goes back to the last one that can be run."""
    _, second, _ = story.live("one", "two", "three")
    gone(story, story.made(second))
    story.operate("rollback", reason="v3 is slow")
    story.play()
    assert story.live_on("production") == 1


def test_an_image_that_vanishes_between_the_word_and_the_rollout_starts_no_deployment(story: Any) -> None:
    """A10: the rollout asks again, before it creates anything."""
    first, _ = story.live("one", "two")
    story.faults.hook = refusing("ecr:DescribeImages")
    story.operate("rollback", to="v1", reason="v2 is slow")
    story.faults.hook = None
    gone(story, story.made(first))
    story.wait(5)
    story.wait(5)
    story.play()
    assert story.deployed() == ["v1 Succeeded", "v2 Succeeded"]
    assert "is deleted in the registry, so nothing was deployed" in story.why(1)
    assert story.live_on("production") == 2
    assert not story.stage_state.busy


# --- a tag that moves back -------------------------------------------------------------------------------------------


def test_a_tag_that_moves_back_to_an_image_makes_it_no_release_again(story: Any) -> None:
    """Decided so: a late event of the first push looks the same, and would roll a good release back. To go back is a
    word: ``esteira rollback``."""
    one = story.push_image("one", "v1.0")
    story.play()
    story.clock.advance(60)
    two = story.push_image("two", "v1.1")
    story.play()
    story.clock.advance(60)
    delete(story, imageTag="v1.0")
    story.push_image("one", "v1.0")
    story.play()
    story.pass_time(600, sweeps=2)
    assert story.phases == ["superseded", "live"]
    assert story.digest("live-production") == two != one
