"""What a release shows: stacks, pushes, events, comments, tags, and the sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from console.prove.item import ProofItem, ProofOutcome, proven, refuted
from console.prove.pushed import version
from console.prove.site import ProofSite
from esteira.errors import code_of

HEARD_AND_LIVE = (
    "a push is heard, built under the tag condition on CodeBuild's actions, deployed by the CodeDeploy role's three "
    "rights to a host found by its tag, and live"
)
TAKEN = "ImageTagAlreadyExistsException"
FIXED = "proof-fixed"
FIRST, SECOND, LOST = "first", "second", "lost"


def _stands(of: str) -> Callable[[ProofSite], ProofOutcome | None]:
    def look(site: ProofSite) -> ProofOutcome | None:
        told = site.stands(of)
        return proven(told) if told else None

    return look


def _push(word: str) -> Callable[[ProofSite], None]:
    return lambda site: site.push(word, version(word))


def live(word: str) -> Callable[[ProofSite], ProofOutcome | None]:
    """Whether the release of that commit came to life."""

    def look(site: ProofSite) -> ProofOutcome | None:
        view = site.release_of(word)
        if view is None:
            return None
        if view.phase in ("failed", "rejected"):
            return refuted(f"v{view.number} is {view.phase}: {view.summary}")
        return proven(f"v{view.number} of {site.commits[word][:8]} is live") if view.phase == "live" else None

    return look


def _commented(site: ProofSite) -> ProofOutcome | None:
    asked = {"repositoryName": site.service, "afterCommitId": site.commits[SECOND]}
    asked["beforeCommitId"] = site.commits[FIRST]
    rows = site.client("codecommit").get_comments_for_compared_commit(**asked)["commentsForComparedCommitData"]
    texts = [comment["content"] for row in rows for comment in row["comments"]]
    return proven(f"{site.commits[SECOND][:8]} bears: {texts[0]}") if texts else None


def _tag_moves(site: ProofSite) -> ProofOutcome:
    """The first image is put under the tag of the second one's build, and that tag is put back."""
    tag = next(tag for tag in _image(site, SECOND)["imageTags"] if tag.startswith("git-"))
    try:
        _put(site, FIRST, tag)
    except ClientError as error:
        if code_of(error) != TAKEN:
            raise
        return refuted(f"{tag} cannot move: {error}")
    _put(site, SECOND, tag)
    return proven(f"{tag} moved to another image and back")


def _tag_stays(site: ProofSite) -> ProofOutcome:
    _put(site, FIRST, FIXED)
    try:
        _put(site, SECOND, FIXED)
    except ClientError as error:
        if code_of(error) != TAKEN:
            raise
        return proven(f"{FIXED} stays on its image: {TAKEN}")
    return refuted(f"{FIXED} moved to another image")


def _pushed_at(site: ProofSite) -> ProofOutcome:
    before = _image(site, SECOND)["imagePushedAt"]
    _put(site, SECOND, "proof-another")
    after = _image(site, SECOND)["imagePushedAt"]
    told = f"imagePushedAt before and after another tag: {before.isoformat()}, {after.isoformat()}"
    return proven(told) if before == after else refuted(told)


def _digest(site: ProofSite, word: str) -> dict[str, str]:
    view = site.release_of(word)
    if view is None or not view.digest:
        raise LookupError(f"no image of the {word} commit is known")
    return {"imageDigest": view.digest}


def _image(site: ProofSite, word: str) -> Any:
    asked = {"repositoryName": site.service, "imageIds": [_digest(site, word)]}
    return site.client("ecr").describe_images(**asked)["imageDetails"][0]


def _put(site: ProofSite, word: str, tag: str) -> None:
    ecr, asked = site.client("ecr"), {"repositoryName": site.service}
    manifest = ecr.batch_get_image(**asked, imageIds=[_digest(site, word)])["images"][0]["imageManifest"]
    try:
        ecr.put_image(**asked, imageManifest=manifest, imageTag=tag)
    except ClientError as error:
        if code_of(error) != "ImageAlreadyExistsException":  # it bears the tag already
            raise


def _push_unheard(site: ProofSite) -> None:
    site.hear_pushes(False)
    try:
        site.push(LOST, version(LOST))
        site.pause(30.0)  # so that the event has come and gone before the rule hears again
    finally:
        site.hear_pushes(True)


def _found(site: ProofSite) -> ProofOutcome | None:
    view = site.release_of(LOST)
    return proven(f"v{view.number} was born of a push whose event was lost; it is {view.phase}") if view else None


BEGIN = (
    ProofItem(
        "controller",
        "template.yaml comes up in this account and Region",
        "sam build and sam deploy",
        1,
        _stands("controller"),
        lambda site: site.deploy(),
        needed=True,
    ),
    ProofItem(
        "service",
        "service.yaml comes up: the host's start script ends well, and CloudFormation hears it",
        "esteira add-service",
        1,
        _stands("service"),
        lambda site: site.add_service(),
        needed=True,
    ),
    ProofItem("push", HEARD_AND_LIVE, "a first commit", 25, live(FIRST), _push(FIRST), needed=True),
    ProofItem(
        "second-push",
        "a second release takes the place of the first",
        "a second commit",
        25,
        live(SECOND),
        _push(SECOND),
        needed=True,
    ),
    ProofItem("comment", "the commit after the first bears a comment", "the second commit", 5, _commented),
    ProofItem(
        "git-tag-moves",
        "IMMUTABLE_WITH_EXCLUSION lets a build's git-… tag be pushed a second time",
        "PutImage of another manifest under that tag, and back",
        1,
        _tag_moves,
    ),
    ProofItem(
        "tag-stays",
        "IMMUTABLE_WITH_EXCLUSION lets no other tag move",
        "PutImage twice under one tag",
        1,
        _tag_stays,
    ),
    ProofItem("pushed-at", "another tag leaves an image's imagePushedAt as it was", "PutImage", 1, _pushed_at),
    ProofItem(
        "lost-event",
        "the sweep finds a push whose event was lost",
        "a commit while the rule for pushes is off",
        12,
        _found,
        _push_unheard,
    ),
)
