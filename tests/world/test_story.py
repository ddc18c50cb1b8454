"""From a push to live, and every other end a push may come to."""

from __future__ import annotations

import pytest

from console.local.aws.bus import Chaos
from console.local.aws.git import NOTHING
from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome, manifest_for
from tests.world.story import ACCESS_KEY_ID, Story

FAILED_BUILD = BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: Error while executing command: pytest. Reason: exit 1")
SICK = DeployOutcome(False, "GET /ping answered 500", log_tail="Traceback\nValueError: no model")


def test_a_push_goes_live_by_digest_under_its_tags(story: Story) -> None:
    """One push is one release, one build, one deployment; its image bears the release's and the stage's tags."""
    commit = story.push("one")
    story.play()
    assert story.phases == ["live"]
    assert story.built() == ["v1/build/1 SUCCEEDED"]
    assert story.deployed() == ["v1 Succeeded"]
    digest = story.made(commit)
    assert story.build_tag().startswith(f"git-{commit}-")
    assert story.tags(digest) == {story.build_tag(), "esteira-v1", "live-production"}
    (document,) = story.release_documents()
    assert document["image"] == f"{story.service.image_uri}@{digest}"
    wanted = {"service": "heart", "release": "v1", "number": 1, "commit": commit, "stage": "production"}
    assert wanted.items() <= document.items()
    assert not story.bus.letters


def test_every_phase_on_the_way_explains_itself(story: Story) -> None:
    """Pushed, building, deploying, live: each says what it waits for."""
    story.push("one")
    story.deliver()
    assert story.stands(1).phase == "building"
    assert story.engine.in_flight()[0] in story.why(1)
    story.end_build()
    assert story.stands(1).phase == "deploying"
    assert story.engine.in_flight()[0] in story.why(1)
    story.end_deployment()
    assert story.phases == ["live"]
    assert "succeeded on production" in story.why(1)


def test_a_second_push_takes_the_place_of_the_first(story: Story) -> None:
    """The live tag moves on, the previous tag marks where it was."""
    first, second = story.live("one", "two")
    assert story.phases == ["superseded", "live"]
    assert story.why(1) == "v2 replaced it on production"
    assert story.digest("live-production") == story.made(second)
    assert story.digest("previous-production") == story.made(first)
    assert story.deployed() == ["v1 Succeeded", "v2 Succeeded"]


def test_a_newer_push_supersedes_what_is_being_built_and_stops_its_build(story: Story) -> None:
    """What nobody needs any more is neither built to its end nor deployed."""
    story.push("one")
    story.deliver()
    story.push("two")
    story.play()
    assert story.phases == ["superseded", "live"]
    assert story.why(1) == "v2 came before it was deployed"
    assert story.built() == ["v1/build/1 STOPPED", "v2/build/1 SUCCEEDED"]
    assert story.deployed() == ["v2 Succeeded"]
    assert story.open() == [2]


def test_a_push_while_another_deploys_waits_with_its_reason_and_then_goes_live(story: Story) -> None:
    """One deployment at a time, and the one that waits says for whom."""
    story.push("one")
    story.deliver()
    story.end_build()
    story.push("two")
    story.deliver()
    story.end_build()
    assert story.phases == ["deploying", "waiting"]
    assert story.why(2) == "v1 is being deployed to production"
    assert story.deployed() == ["v1 InProgress"]
    story.end_deployment()
    assert story.deployed() == ["v1 Succeeded", "v2 InProgress"]
    story.end_deployment()
    assert story.phases == ["superseded", "live"]


def test_of_two_that_wait_for_a_deployment_only_the_newer_goes(story: Story) -> None:
    """What waited and was overtaken never deploys."""
    story.push("one")
    story.deliver()
    story.end_build()
    for text in ("two", "three"):
        story.push(text)
        story.deliver()
        story.end_build()
    story.play()
    assert story.phases == ["superseded", "superseded", "live"]
    assert story.why(2) == "v3 came before it was deployed"
    assert story.deployed() == ["v1 Succeeded", "v3 Succeeded"]


def test_a_push_that_never_arrives_as_an_event_is_overtaken_by_the_next(story: Story) -> None:
    """The branch's tip counts: two pushes at once are one release of the newer commit."""
    story.push("one")
    newer = story.push("two")
    story.play()
    assert story.phases == ["live"]
    assert story.release_documents()[0]["commit"] == newer


def test_a_force_push_back_to_an_accepted_commit_deploys_with_no_build(story: Story) -> None:
    """Its image exists and is trusted: the same digest is live again, as a release of its own."""
    first, _ = story.live("one", "two")
    story.force_push(first)
    story.play()
    assert story.phases == ["superseded", "superseded", "live"]
    assert story.built() == ["v1/build/1 SUCCEEDED", "v2/build/1 SUCCEEDED"]
    digest = story.made(first)
    assert story.tags(digest) >= {"esteira-v1", "esteira-v3", "live-production"}
    assert story.release_documents()[-1]["digest"] == digest


def test_an_image_that_a_failed_build_pushed_is_not_trusted(story: Story) -> None:
    """Only what was accepted is used again; the commit is built anew."""
    first = story.push("one")
    story.deliver()
    story.push_image(first, story.build_tag())  # the build pushes, then fails
    story.builds = FAILED_BUILD
    story.play()
    assert story.phases == ["failed"]
    assert "esteira-v1" not in story.tags(story.made(first))
    story.builds = BuildOutcome()
    story.push("two")
    story.play()
    story.force_push(first)
    story.play()
    assert story.built() == ["v1/build/1 FAILED", "v2/build/1 SUCCEEDED", "v3/build/1 SUCCEEDED"]
    assert story.phases == ["failed", "superseded", "live"]


def test_a_failed_build_says_which_phase_failed_and_why(story: Story) -> None:
    """The command that failed is in the release's sentence, and nothing is deployed."""
    story.builds = FAILED_BUILD
    story.push("one")
    story.play()
    assert story.phases == ["failed"]
    assert "BUILD: COMMAND_EXECUTION_ERROR: Error while executing command: pytest." in story.why(1)
    assert story.deployed() == []
    assert story.open() == []


def test_a_build_that_succeeds_without_pushing_its_image_fails_with_that_sentence(story: Story) -> None:
    """It names the tag that is missing and what to write into buildspec.yml, once the registry had time to show it."""
    story.builds = BuildOutcome(push=False)
    story.push("one")
    story.play()
    assert story.phases == ["building"]
    story.wait(2)
    assert story.phases == ["failed"]
    assert story.why(1).startswith(
        f"the build succeeded without pushing its image {story.build_tag()}; next: let buildspec.yml push"
    )
    assert story.deployed() == []


def test_a_deployment_that_fails_leaves_the_live_one_and_tells_its_log(story: Story) -> None:
    """The cause and the last lines of the log are in the sentence; tags stay where they were."""
    first, _ = *story.live("one"), story.push("two")
    story.deploys = SICK
    story.play()
    assert story.phases == ["live", "failed"]
    assert "ValidateService: GET /ping answered 500" in story.why(2)
    assert story.stands(2).detail == ("Traceback", "ValueError: no model")
    assert story.digest("live-production") == story.made(first)
    assert story.digest("previous-production") == ""
    assert story.stage_state.live == 1


@pytest.mark.parametrize("what", ["build", "deployment"])
def test_a_failure_says_what_to_type_next(story: Story, what: str) -> None:
    """Whoever reads why a release failed reads the command that tries again."""
    if what == "build":
        story.builds = FAILED_BUILD
    else:
        story.deploys = SICK
    story.push("one")
    story.play()
    assert "esteira retry v1" in story.why(1)


# --- what is not built


def test_a_push_of_ignored_paths_only_is_skipped(story: Story) -> None:
    """The live release stays, nothing is built, and the reason names the paths."""
    story.live("one")
    story.change({"README.md": "hello", "docs/deep/a.txt": "more"})
    story.play()
    assert story.phases == ["live", "skipped"]
    assert story.why(2) == "only ignored paths changed: README.md, docs/deep/a.txt"
    assert story.built() == ["v1/build/1 SUCCEEDED"]


def test_a_skipped_push_supersedes_nothing(story: Story) -> None:
    """A push of documentation while a release is built lets it go live."""
    story.push("one")
    story.deliver()
    story.change({"README.md": "hello"})
    story.play()
    assert story.phases == ["live", "skipped"]


def test_code_that_came_with_a_secret_is_built_once_the_secret_is_gone(story: Story) -> None:
    """What a rejected push changed still counts: removing its key with a change of documentation builds it."""
    story.live("one")
    story.change({"app.py": "two", "mlops.ppk": "key"})
    story.play()
    fixed = story.change({"README.md": "hello", "mlops.ppk": None})
    story.play()
    assert story.phases == ["superseded", "rejected", "live"]
    assert story.release_documents()[-1]["commit"] == fixed


def test_a_secret_is_rejected_again_while_it_is_in_the_tree(story: Story) -> None:
    """A later push that leaves the key where it is does not slip through."""
    story.live("one")
    story.change({"mlops.ppk": "key"})
    story.play()
    story.push("two")
    story.play()
    assert story.phases == ["live", "rejected", "rejected"]
    assert "mlops.ppk" in story.why(3)


def test_a_skipped_push_moves_no_base(story: Story) -> None:
    """After documentation, a change of code is classed and built by itself."""
    story.live("one")
    story.change({"docs/a.md": "hello"})
    story.play()
    story.push("two")
    story.play()
    assert story.phases == ["superseded", "skipped", "live"]


def test_the_first_push_is_built_whatever_is_in_it(story: Story) -> None:
    """There is nothing live to leave as it is."""
    story.change({"README.md": "hello"})
    story.play()
    assert story.phases == ["live"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("credentials/mlops.ppk", "anything"),
        ("id_rsa", "anything"),
        ("home/.aws/credentials", "anything"),
        ("config.txt", f"aws_access_key_id = {ACCESS_KEY_ID}"),
        ("deep/notes.cfg", "-----BEGIN " + "RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEA0Z3VS5JJcds" * 2),
    ],
)
def test_a_tree_with_a_secret_in_it_is_not_built(story: Story, path: str, body: str) -> None:
    """The release is rejected, names the file and what to do, and never quotes the secret."""
    story.change({"app.py": "one", path: body})
    story.play()
    assert story.phases == ["rejected"]
    assert story.why(1).startswith(f"{path} ")
    assert "remove it from the tree, rotate the secret, and push again" in story.why(1)
    assert ACCESS_KEY_ID not in story.why(1)
    assert story.built() == []
    story.change({path: None})
    story.play()
    assert story.phases == ["rejected", "live"]


def test_what_the_registration_allows_is_no_secret(story: Story) -> None:
    """guard.allow takes globs of paths; what it does not name is refused still."""
    story.register(guard={"allow": ["tests/*.ppk"]})
    story.change({"app.py": "one", "tests/fake.ppk": "a fixture"})
    story.play()
    assert story.phases == ["live"]
    story.change({"other.ppk": "key"})
    story.play()
    assert story.phases == ["live", "rejected"]


def test_the_documentations_own_access_key_id_is_no_secret(story: Story) -> None:
    """AWS's examples end in EXAMPLE."""
    story.push("AKIA" + "IOSFODNN7" + "EXAMPLE")
    story.play()
    assert story.phases == ["live"]


def test_a_push_shows_the_classes_of_what_it_changed(story: Story) -> None:
    """Application, data, infrastructure and model, each by its paths, and only what this push changed."""
    story.change({"app.py": "1", "data/raw/heart.csv": "1", "Dockerfile": "1", "train.py": "1"})
    story.play()
    story.change({"data/raw/heart.csv": "2"})
    story.play()
    classes = {v.number: v.classes for v in story.store.views("heart")}
    assert classes == {1: ("application", "data", "infrastructure", "model"), 2: ("data",)}


# --- branches and tags


def test_a_deleted_branch_changes_nothing_and_the_same_commit_again_neither(story: Story) -> None:
    """What is live stays live; re-creating the branch where it was is no push."""
    (commit,) = story.live("one")
    story.force_push(NOTHING)
    story.play()
    story.pass_time(600)
    assert story.phases == ["live"]
    story.force_push(commit)
    story.play()
    assert story.phases == ["live"]
    assert not story.bus.letters


def test_a_branch_re_created_elsewhere_is_a_release(story: Story) -> None:
    """A branch that comes back with another commit releases it."""
    first, _ = story.live("one", "two")
    story.force_push(NOTHING)
    story.play()
    story.force_push(first)
    story.play()
    assert story.phases == ["superseded", "superseded", "live"]
    assert story.release_documents()[-1]["commit"] == first


def test_other_branches_and_tags_start_nothing(story: Story) -> None:
    """Only the watched branch releases."""
    (commit,) = story.live("one")
    rows = story.rows()
    story.local_aws.codecommit.commit("heart", "feature", {"app.py": b"other"}, "elsewhere")
    story.local_aws.codecommit.move("heart", "refs/tags/v9", commit)
    story.play()
    assert story.phases == ["live"]
    assert story.rows() == rows


# --- events are only hints


def told(story: Story) -> dict[str, object]:
    """What a story came to, without the ids that AWS makes up."""
    tags = {tag: story.digest(tag) for tag in ("live-production", "previous-production", "esteira-v1", "esteira-v4")}
    return {"phases": story.phases, "built": story.built(), "deployed": story.deployed(), **tags}


def whole_story(story: Story, step: str = "play") -> dict[str, object]:
    """Push what goes live, what fails, what is skipped and what goes live again."""

    def finish() -> None:
        if step == "play":
            story.play()
        else:
            story.pass_time(60, sweeps=4)

    story.push("one")
    finish()
    story.deploys = SICK
    story.push("two")
    finish()
    story.deploys = DeployOutcome()
    story.change({"README.md": "hello"})
    finish()
    story.push("four")
    finish()
    return told(story)


WHOLE_STORY = {
    "phases": ["superseded", "failed", "skipped", "live"],
    "built": ["v1/build/1 SUCCEEDED", "v2/build/1 SUCCEEDED", "v4/build/1 SUCCEEDED"],
    "deployed": ["v1 Succeeded", "v2 Failed", "v4 Succeeded"],
}


def test_with_every_event_the_story_ends_so(story: Story) -> None:
    """The end that the next two must come to."""
    assert WHOLE_STORY.items() <= whole_story(story).items()


def test_with_every_event_lost_the_sweep_alone_brings_the_same_end(story: Story) -> None:
    """The sweep is the trigger; events only make it quick."""
    story.lose_everything()
    assert WHOLE_STORY.items() <= whole_story(story, "sweep").items()
    assert story.digest("live-production") == story.digest("esteira-v4")
    assert story.digest("previous-production") == story.digest("esteira-v1")


def test_with_every_event_twice_and_shuffled_the_end_is_the_same(story: Story) -> None:
    """A fact twice is a fact once."""
    story.bus.chaos = Chaos(duplicate=1.0, shuffle=True)
    assert WHOLE_STORY.items() <= whole_story(story).items()


def test_an_old_push_event_builds_nothing(story: Story) -> None:
    """The event only says "look": the same push told again much later finds the tip as it is known."""
    story.push("one")
    event = story.bus.waiting()[0].event
    story.play()
    story.live("two")
    story.bus.put(event)
    story.play()
    assert story.phases == ["superseded", "live"]


def test_a_build_by_hand_is_none_of_ours(story: Story) -> None:
    """A build that somebody starts in the console ends without a release."""
    story.live("one")
    rows = story.rows()
    story.aws_client("codebuild").start_build(projectName=story.service.project)
    story.play()
    assert story.phases == ["live"]
    assert story.rows() == rows
    assert not story.bus.letters


def test_a_commit_hears_once_how_its_release_ended(story: Story) -> None:
    """One comment a phase, however often the change is announced."""
    story.bus.chaos = Chaos(duplicate=1.0)
    commit = story.push("one")
    story.play()
    said = [c for c in story.local_aws.codecommit.comments if c["afterCommitId"] == commit]
    heard = [c["comment"]["content"].split(":")[0] for c in said]
    assert heard == ["heart v1 is on its way to production", "heart v1 is live on production"]


def test_the_same_manifest_from_another_commit_is_another_release(story: Story) -> None:
    """A commit that builds the very image that is live deploys it; live and previous stay one image."""
    first = story.push("one")
    story.play()
    story.push("two")
    story.deliver()
    story.builds = BuildOutcome(push=False)
    story.local_aws.ecr.push("heart", manifest_for(first), story.build_tag())
    story.play()
    assert story.phases == ["superseded", "live"]
    assert story.tags(story.digest("live-production")) >= {"esteira-v1", "esteira-v2"}
    assert story.digest("previous-production") == ""
