"""Which image a release has: the one its build says it pushed, or the one that was pushed from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from aws_events import exported_by, exported_digest
from esteira.aws import Image
from esteira.claims import BuildClaim
from esteira.config import build_tag, release_tags
from esteira.core.facts import Claimed
from esteira.core.state import Release
from esteira.errors import DeclinedError, is_refusal
from esteira.manifest import Manifest
from esteira.perform.effects import Effects

# The registry may show an image a moment after its push; a build's end may be heard before that.
PATIENCE = timedelta(minutes=2)
# The registry's clock is not CodeBuild's.
SAME_TIME = timedelta(minutes=1)


@dataclass(frozen=True)
class ReleaseImage:
    """A release's image: its digest, its manifest, and what its build exported."""

    digest: str
    manifest: Manifest
    exported: tuple[str, ...]


@dataclass(frozen=True)
class Unfit:
    """Why a release has no image, in a sentence, and what would help."""

    why: str
    remedy: str


_PUSH = "let buildspec.yml push $IMAGE_URI:$IMAGE_TAG, then push the commit"
_AGAIN = "push it again under a new tag"


def found(release: Release, do: Effects) -> ReleaseImage | Unfit:
    """The release's image. Raises DeclinedError where it may still appear in the registry."""
    pushed = release.pushed
    if pushed.source == "image":
        there = do.aws.image(do.service, digest=pushed.digest)
        return _image(f"image {pushed.tag}", there, (), do) or Unfit(
            f"image {pushed.tag} is not in the registry any more", _AGAIN
        )
    (build, unread), tag = _own_build(release, do), told_tag(release, "", do)
    exported = exported_by(build)
    if digest := exported_digest(build):
        named = f"image {digest[:19]}, which the build exported as IMAGE_DIGEST,"
        image = _image(named, do.aws.image(do.service, digest=digest), exported, do)
        return image or _absent(release, Unfit(f"{named} is not in the registry", _PUSH), do)
    there = do.aws.image(do.service, tag=tag) if tag else None
    named = f"the build's image {tag}"
    ended = _ended(release, build)
    if there is not None and ended is not None and there.pushed_at > ended + SAME_TIME:
        why = f"{named} was pushed after the build had ended, so it is not known to be the build's"
        return Unfit(why, f"esteira retry {release.label}")
    image = _image(named, there, exported, do)
    if image is None and unread is not None:
        raise unread
    return image or _absent(release, Unfit(f"the build succeeded without pushing its image {tag}", _PUSH), do)


def told_tag(release: Release, claimant: str, do: Effects) -> str:
    """The tag that the attempt's builds are told, by who claimed the first of them: each take then has the same.

    ``claimant`` has claimed it in this very call, "" is nobody. "" where nobody claimed one.
    """
    first = release.one(Claimed, action="build", attempt=release.attempt)
    owner = first.owner if first else claimant
    claim = BuildClaim(do.service.name, release.number, release.attempt)
    return build_tag(release.pushed.commit, owner, claim) if owner else ""


def _image(named: str, there: Image | None, exported: tuple[str, ...], do: Effects) -> ReleaseImage | Unfit | None:
    """A release's image, or why it is none; None where it is not in the registry or cannot be pulled."""
    manifest = do.aws.manifest(do.service, there.digest) if there and not there.archived else None
    if there is None or manifest is None:
        return None
    if manifest.refused:
        return Unfit(f"{named} is refused: {manifest.refused}", "push an image in its place")
    needed = do.service.docker_architecture
    if needed and manifest.architectures and needed not in manifest.architectures:
        built = ", ".join(manifest.architectures)
        why = f"{named} is built for {built}, and the hosts of {do.service.name} are {do.service.architecture}"
        return Unfit(why, f"build it with --platform linux/{needed} and push again")
    return ReleaseImage(there.digest, manifest, exported)


def _absent(release: Release, unfit: Unfit, do: Effects) -> Unfit:
    """``unfit``, once the registry has had time to show the image. Raises DeclinedError before that."""
    if release.build_ended is not None and do.now() < release.build_ended.at + PATIENCE:
        raise DeclinedError(f"{unfit.why}; looking again")
    return unfit


def _own_build(release: Release, do: Effects) -> tuple[Mapping[str, Any], Exception | None]:
    """The release's build as CodeBuild tells it; nothing where CodeBuild forgot it, or cannot be asked.

    A first error is raised, so that it is asked again. After that the release goes on without what the build exported,
    as long as its image lies under its tag.
    """
    if release.build_ended is None:
        return {}, None
    try:
        builds = do.aws.builds([release.build_ended.build])
    except Exception as error:
        if release.declined("accept", release.attempt, 1) is None:
            raise
        return {}, error
    return (builds[0] if builds else {}), None


def _ended(release: Release, build: Mapping[str, Any]) -> datetime | None:
    heard = release.build_ended.at if release.build_ended else None
    return build.get("endTime") or heard


def label(number: int, digest: str, do: Effects, manifest: Manifest | None = None) -> str:
    """Label a release's image, so that people find it and the registry keeps it; why it has not the usual label.

    A label that ECR refuses keeps nothing from going on.
    """
    note = ""
    for tag in release_tags(number, digest):
        try:
            there = do.aws.tag_image(do.service, digest, tag, manifest)
        except Exception as error:
            if not is_refusal(error):
                raise
            note = note or str(error)
            continue
        if not there:
            raise DeclinedError(f"image {digest[:19]} is not in the registry any more")
        return f"{note}; it is labelled {tag}" if note else ""
    return f"{note}; it has no label"
