"""What a build exports is kept with its release, and the next build is told what is live."""

from __future__ import annotations

from typing import Any

import pytest

from console.local.aws.api import AwsError
from console.local.aws.faults import Call, Hook, When
from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome
from esteira.core.facts import Accepted
from tests.world.story import Story, dying, refusing

READ = "codebuild:BatchGetBuilds"


def exporting(roc_auc: str) -> BuildOutcome:
    """A build that exports one figure; the rehearsed engine adds the image's digest."""
    return BuildOutcome(exported={"ROC_AUC": roc_auc})


def told_of_live(story: Story) -> list[dict[str, str]]:
    """What each build was told of the live release, oldest first."""
    environments = (job.environment for job in story.engine.built)
    return [{k: v for k, v in e.items() if k.startswith("ESTEIRA_LIVE_")} for e in environments]


def figures(story: Story, number: int) -> list[dict[str, str]]:
    """What is kept of what a release's builds exported, one attempt after the other, without the digest."""
    kept = [f.figures for f in story.facts(number) if isinstance(f, Accepted)]
    return [{name: value for name, value in each.items() if name != "IMAGE_DIGEST"} for each in kept]


def live_with(story: Story, *values: str) -> list[str]:
    """Bring a commit to life for each value, whose build exports it; the commits."""
    commits = []
    for value in values:
        story.builds = exporting(value)
        commits += story.live(f"model of {value}")
    return commits


def test_a_release_keeps_what_its_build_exported_and_the_next_build_is_told(story: Story) -> None:
    """The first build is told of nothing; each later one of the release that is live when it starts."""
    live_with(story, "0.91", "0.92", "0.93")
    assert [figures(story, number) for number in (1, 2, 3)] == [
        [{"ROC_AUC": "0.91"}],
        [{"ROC_AUC": "0.92"}],
        [{"ROC_AUC": "0.93"}],
    ]
    first, second, third = told_of_live(story)
    assert first == {}
    assert (second["ESTEIRA_LIVE_RELEASE"], second["ESTEIRA_LIVE_ROC_AUC"]) == ("v1", "0.91")
    assert (third["ESTEIRA_LIVE_RELEASE"], third["ESTEIRA_LIVE_ROC_AUC"]) == ("v2", "0.92")


def test_what_never_came_to_life_is_not_what_a_build_is_told_of(story: Story) -> None:
    """After a failed deployment the live release's figures are told, not those of the release that failed."""
    live_with(story, "0.91")
    story.deploys = DeployOutcome(False, "sick")
    live_with(story, "0.99")
    assert story.phases == ["live", "failed"]
    story.deploys = DeployOutcome()
    live_with(story, "0.92")
    last = told_of_live(story)[-1]
    assert (last["ESTEIRA_LIVE_RELEASE"], last["ESTEIRA_LIVE_ROC_AUC"]) == ("v1", "0.91")


def test_after_a_rollback_a_build_is_told_of_the_release_gone_back_to(story: Story) -> None:
    """What is live counts, not what is newest."""
    live_with(story, "0.91", "0.92")
    story.operate("rollback", to="v1")
    story.play()
    live_with(story, "0.93")
    last = told_of_live(story)[-1]
    assert (last["ESTEIRA_LIVE_RELEASE"], last["ESTEIRA_LIVE_ROC_AUC"]) == ("v1", "0.91")


def test_an_image_used_again_brings_its_figures_along(story: Story) -> None:
    """A force-push back builds nothing: the release has the figures of the build that made its image, however often."""
    one, two = live_with(story, "0.91", "0.92")
    for commit in (one, two, one):
        story.force_push(commit)
        story.play()
    assert story.built() == ["v1/build/1 SUCCEEDED", "v2/build/1 SUCCEEDED"]
    assert [figures(story, n) for n in (3, 4, 5)] == [[{"ROC_AUC": v}] for v in ("0.91", "0.92", "0.91")]
    live_with(story, "0.93")
    last = told_of_live(story)[-1]
    assert (last["ESTEIRA_LIVE_RELEASE"], last["ESTEIRA_LIVE_ROC_AUC"]) == ("v5", "0.91")


def test_an_image_from_elsewhere_has_no_figures(story: Story) -> None:
    """Nobody's build exported anything for it: the next build is told its release and nothing more."""
    story.push_image("elsewhere", "v1.0")
    story.play()
    assert figures(story, 1) == [{}]
    live_with(story, "0.91")
    assert told_of_live(story) == [{"ESTEIRA_LIVE_RELEASE": "v1"}]


def test_an_exported_release_does_not_take_the_live_releases_place(story: Story) -> None:
    """ESTEIRA_LIVE_RELEASE is always the controller's word."""
    story.builds = BuildOutcome(exported={"RELEASE": "9.9"})
    story.live("one", "two")
    assert told_of_live(story)[1]["ESTEIRA_LIVE_RELEASE"] == "v1"


def test_a_build_that_codebuild_forgot_stops_no_release(story: Story) -> None:
    """Pruned between its end and its image's acceptance: the release is live, without figures."""
    story.builds = exporting("0.91")
    story.push("one")
    story.deliver()
    story.faults.hook = answering_without(story)
    story.end_build()
    story.play()
    assert story.phases == ["live"]
    assert figures(story, 1) == [{}]


def answering_without(story: Story) -> Hook:
    """A hook that has CodeBuild forget every build once its image is in the registry."""

    def hook(moment: When, call: Call) -> None:
        if moment == "before" and call.name == READ:
            story.local_aws.codebuild._builds.clear()

    return hook


def test_a_codebuild_that_stumbles_once_loses_no_figures(story: Story) -> None:
    """Throttled when it is asked: the release is tried again and has its figures."""
    story.builds = exporting("0.91")
    times: list[Any] = []

    def hook(moment: When, call: Call) -> None:
        if moment == "before" and call.name == READ and not times:
            times.append(call)
            raise AwsError("ThrottlingException", "Rate exceeded")

    story.faults.hook = hook
    story.live("one")
    assert (len(times), story.phases) == (1, ["live"])
    assert figures(story, 1) == [{"ROC_AUC": "0.91"}]


def test_a_codebuild_that_never_tells_stops_no_release(story: Story) -> None:
    """A role that may not read builds: the release goes live without figures, and its record says what was refused."""
    story.builds = exporting("0.91")
    story.faults.hook = refusing(READ)
    story.live("one", "two")
    assert story.phases == ["superseded", "live"]
    assert [figures(story, number) for number in (1, 2)] == [[{}], [{}]]
    assert any("AccessDenied" in getattr(fact, "error", "") for fact in story.facts(1))


@pytest.mark.parametrize("operation", [READ, "ecr:PutImage"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_death_while_an_image_is_accepted_loses_no_figures(story: Story, moment: When, operation: str) -> None:
    """Whoever comes after reads them again: once accepted, once built, with the figure."""
    story.builds = exporting("0.91")
    story.faults.hook = dying(moment, operation)
    story.push("one")
    story.play()
    story.wait(3)
    story.play()
    assert story.phases == ["live"]
    assert figures(story, 1) == [{"ROC_AUC": "0.91"}]


def test_a_build_is_read_once_for_its_figures(story: Story) -> None:
    """One more call for each release, and none for one whose image is used again."""
    reads: list[str] = []

    def hook(moment: When, call: Call) -> None:
        if moment == "before" and call.name == READ:
            reads.append(call.name)

    story.faults.hook = hook
    one, _ = live_with(story, "0.91", "0.92")
    assert len(reads) == 2
    story.force_push(one)
    story.play()
    assert (len(reads), story.phases) == (2, ["superseded", "superseded", "live"])
