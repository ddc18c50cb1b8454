"""Images pushed from elsewhere: which become a release, which do not, and in what order."""

from __future__ import annotations

from typing import Any

import pytest

from console.local.rehearse.rehearsal_engine import manifest_for
from esteira.trail import ImageScanned
from tests.world.story import Story


def image_event(story: Story, digest: str, tag: str | None, **more: str) -> dict[str, Any]:
    """ECR's event of a push, with what is said otherwise."""
    detail = {
        "action-type": "PUSH",
        "result": "SUCCESS",
        "repository-name": story.service.images,
        "image-digest": digest,
        **({"image-tag": tag} if tag is not None else {}),
        **more,
    }
    return {
        "version": "0",
        "id": "13cde686-328b-6117-af20-0e5566167482",
        "detail-type": "ECR Image Action",
        "source": "aws.ecr",
        "account": "123456789012",
        "time": "2026-01-01T00:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": detail,
    }


def delete(story: Story, tag: str) -> None:
    """Delete a tag, and its image if it was the last one."""
    story.aws_client("ecr").batch_delete_image(repositoryName=story.service.images, imageIds=[{"imageTag": tag}])


@pytest.mark.parametrize("tag", ["v1.0", "release-2026-01"])
def test_an_image_with_an_accepted_tag_is_deployed_by_digest_with_no_build(story: Story, tag: str) -> None:
    """It becomes a release of its own, and bears the controller's tags beside its own."""
    digest = story.push_image("elsewhere", tag)
    story.play()
    assert story.phases == ["live"]
    assert story.built() == []
    assert story.deployed() == ["v1 Succeeded"]
    assert story.tags(digest) == {tag, "esteira-v1", "live-production"}
    (document,) = story.release_documents()
    assert document["image"] == f"{story.service.image_uri}@{digest}"
    assert document["commit"] == ""
    (view,) = story.store.views("heart")
    assert (view.tag, view.digest) == (tag, digest)


def test_the_registration_says_which_tags_are_accepted(story: Story) -> None:
    """Another service may take other tags."""
    story.register(accepted_tags=["model-*"])
    story.push_image("one", "v1.0")
    story.push_image("two", "model-7")
    story.play()
    assert story.phases == ["live"]
    assert [v.tag for v in story.store.views("heart")] == ["model-7"]


@pytest.mark.parametrize(
    "tag",
    [
        "",
        *("latest", "git-abc", "esteira-v7", "live-production", "previous-production"),
    ],
)
def test_an_image_without_an_accepted_tag_starts_nothing(story: Story, tag: str) -> None:
    """No tag, somebody's tag, the controller's own tags."""
    rows = story.rows()
    story.push_image("elsewhere", tag)
    story.play()
    story.pass_time(600)
    assert story.newest() == 0
    assert story.rows() == rows
    assert not story.bus.letters


def test_own_tags_start_nothing_even_where_the_configuration_accepts_everything(story: Story) -> None:
    """A release that tags its image would start the next one, without end."""
    story.register(accepted_tags=["*"])
    story.live("one")
    story.push_image("elsewhere", "v1.0")
    story.play()
    story.pass_time(600)
    assert story.phases == ["superseded", "live"]


def test_what_is_no_push_that_succeeded_starts_nothing(story: Story) -> None:
    """A failed push, a deletion, a push with no tag or an empty one."""
    digest = story.push_image("elsewhere", "")
    for event in (
        image_event(story, digest, "v1.0", result="FAILURE"),
        image_event(story, digest, "v1.0", **{"action-type": "DELETE"}),
        image_event(story, digest, ""),
        image_event(story, digest, None),
    ):
        story.bus.put(event)
    story.play()
    assert story.newest() == 0
    assert not story.bus.letters


def test_the_event_of_an_image_that_is_gone_deploys_nothing(story: Story) -> None:
    """It was deleted before anybody looked. It is looked for until the deadline, and then the release says so."""
    story.push_image("elsewhere", "v1.0")
    delete(story, "v1.0")
    story.play()
    story.pass_time(600)
    assert story.newest() == 0
    story.pass_time(600, sweeps=2)
    assert story.phases == ["rejected"]
    assert (story.built(), story.deployed()) == ([], [])
    assert not story.bus.letters


def test_the_same_event_three_times_is_one_release(story: Story) -> None:
    """At once, and again when the release is live."""
    digest = story.push_image("elsewhere", "v1.0")
    event = image_event(story, digest, "v1.0")
    story.bus.put(event)
    story.play()
    story.bus.put(event)
    story.play()
    story.pass_time(600)
    assert story.phases == ["live"]
    assert story.deployed() == ["v1 Succeeded"]


def test_an_image_whose_event_was_lost_is_found_by_the_sweep(story: Story) -> None:
    """One release, and only one however often it is swept; a late event adds none."""
    digest = story.push_image("elsewhere", "v1.0")
    story.bus.forget()
    story.pass_time(60, sweeps=3)
    assert story.phases == ["live"]
    story.bus.put(image_event(story, digest, "v1.0"))
    story.play()
    assert story.phases == ["live"]


def test_of_a_registry_never_seen_before_only_the_newest_image_is_a_release(story: Story) -> None:
    """A service that is registered over years of images does not deploy them one after the other."""
    for n in range(3):
        story.push_image(f"old {n}", f"v0.{n}")
        story.clock.advance(2 * 86400)
    story.bus.forget()
    story.pass_time(60, sweeps=3)
    assert story.phases == ["live"]
    assert [v.tag for v in story.store.views("heart")] == ["v0.2"]


def test_the_late_event_of_an_older_image_is_superseded_at_birth(story: Story) -> None:
    """What was pushed later is live and stays so."""
    newer = swapped(story, seconds=120)
    assert story.phases == ["live", "superseded"]
    assert "v1.0" in story.why(2)
    assert story.deployed() == ["v1 Succeeded"]
    assert story.digest("live-production") == newer


def test_the_late_event_of_a_slightly_older_image_is_superseded_as_well(story: Story) -> None:
    """An older image never takes a newer one's place, though they were pushed half a minute apart."""
    assert swapped(story, seconds=30) == story.digest("live-production")


def swapped(story: Story, seconds: float) -> str:
    """Push an image and, that much later, a newer one; deliver their events the other way round. The newer digest."""
    story.push_image("older", "v1.0")
    late = story.bus.waiting()[0].event
    story.bus.forget()
    story.clock.advance(seconds)
    newer = story.push_image("newer", "v2.0")
    story.play()
    story.bus.put(late)
    story.play()
    return newer


def test_two_images_whose_events_were_lost_end_with_the_newer_live(story: Story) -> None:
    """The sweep takes them in the order of their push."""
    story.push_image("first", "v1.0")
    story.play()
    for n in (2, 3):
        story.clock.advance(60)
        newest = story.push_image(f"number {n}", f"v{n}.0")
    story.bus.forget()
    story.pass_time(60, sweeps=2)
    assert story.phases == ["superseded", "superseded", "live"]
    assert story.digest("live-production") == newest
    assert story.deployed() == ["v1 Succeeded", "v3 Succeeded"]


def test_a_tag_that_moved_before_it_was_read_gives_the_image_it_is_on(story: Story) -> None:
    """The event of the first digest comes to nothing, the second one's is a release."""
    story.push_image("first", "v1.0")
    delete(story, "v1.0")
    story.clock.advance(1)
    second = story.push_image("second", "v1.0")
    story.play()
    assert story.phases == ["live"]
    assert story.release_documents()[0]["digest"] == second


def test_an_image_that_vanishes_after_its_release_was_born_ends_it(story: Story) -> None:
    """The sentence says what is missing and what to do."""
    story.push_image("elsewhere", "v1.0")

    def vanish(moment: str, call: Any) -> None:
        if moment == "before" and call.name == "ecr:BatchGetImage":
            story.faults.hook = None
            delete(story, "v1.0")

    story.faults.hook = vanish
    story.play()
    assert story.phases == ["failed"]
    assert story.why(1) == "image v1.0 is not in the registry any more; next: push it again under a new tag"
    assert story.open() == []


def test_an_image_supersedes_a_commit_that_is_being_built(story: Story) -> None:
    """Whichever came last goes; the commit is not released again by the sweep."""
    story.push("one")
    story.deliver()
    story.push_image("elsewhere", "v1.0")
    story.play()
    story.pass_time(600, sweeps=2)
    assert story.phases == ["superseded", "live"]
    assert story.built() == ["v1/build/1 STOPPED"]


def test_a_commit_after_an_image_takes_its_place(story: Story) -> None:
    """Commits and images are one line of releases."""
    image = story.push_image("elsewhere", "v1.0")
    story.play()
    story.live("one")
    story.pass_time(600, sweeps=2)
    assert story.phases == ["superseded", "live"]
    assert story.digest("previous-production") == image


def test_an_image_that_was_rolled_back_stays_out_under_another_tag(story: Story) -> None:
    """It is the digest that is bad, whatever it is called."""
    story.push_image("good", "v1.0")
    story.play()
    story.clock.advance(60)
    story.push_image("bad", "v2.0")
    story.play()
    story.operate("rollback", reason="it answers 0.5")
    story.play()
    story.clock.advance(60)
    story.push_image("bad", "v2.1")
    story.play()
    assert story.phases == ["live", "rolled back", "rejected"]
    assert "it answers 0.5" in story.why(3)
    assert story.digest("live-production") == story.digest("v1.0")


def test_a_scan_is_recorded_and_releases_nothing(story: Story) -> None:
    """What ECR found stands beside the image; the sweep's look adds nothing to the event's word."""
    digest = story.push_image("elsewhere", "v1.0")
    story.play()
    scanned = story.clock.now()
    story.local_aws.ecr.scanned(story.service.images, digest, {"HIGH": 3, "CRITICAL": 1})
    story.play()
    story.pass_time(600)
    findings = "CRITICAL 1, HIGH 3"
    assert story.scans(digest) == [ImageScanned(at=scanned, scanned_at=scanned, digest=digest, findings=findings)]
    assert story.phases == ["live"]


def test_a_scan_whose_event_was_lost_is_found_by_the_sweep(story: Story) -> None:
    """A clean scan is a fact, too."""
    digest = story.push_image("elsewhere", "v1.0")
    story.play()
    scanned = story.clock.now()
    story.local_aws.ecr.scanned(story.service.images, digest, {})
    story.bus.forget()
    story.pass_time(600)
    found = ImageScanned(at=story.clock.now(), scanned_at=scanned, digest=digest, findings="none")
    assert story.scans(digest) == [found]


def test_a_registry_that_does_not_scan_is_asked_for_a_day(story: Story) -> None:
    """Basic scanning tells of a scan nowhere else; an image that is live for long is not asked about for ever."""
    story.push_image("elsewhere", "v1.0")
    story.play()
    asked = "ecr:DescribeImageScanFindings"
    story.pass_time(600)
    assert story.faults.counts[asked] > 0
    story.pass_time(90_000)
    story.faults.counts.clear()
    story.pass_time(600)
    assert story.faults.counts[asked] == 0
    assert story.phases == ["live"]


def test_a_malformed_push_ends_among_the_dead_letters_and_changes_nothing(story: Story) -> None:
    """Refused in one sentence that names the field; the whole event is kept."""
    rows = story.rows()
    event = image_event(story, "not a digest", "v1.0")
    story.bus.put(event)
    story.play()
    (letter,) = story.bus.letters
    assert "the ECR event is refused: image-digest: " in str(letter)
    assert "not a digest" in str(letter)
    assert story.rows() == rows


def test_two_accepted_tags_of_one_image_deploy_it_again_without_harm(story: Story) -> None:
    """Each tag is a release; the image is one, and live stays on it."""
    story.local_aws.ecr.push("heart", manifest_for("elsewhere"), "v1.0")
    digest = story.push_image("elsewhere", "release-1")
    story.play()
    assert story.phases == ["superseded", "live"]
    assert story.digest("live-production") == digest
    assert story.digest("previous-production") == ""
