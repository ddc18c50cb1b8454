"""A release gets its image: a build is started, found, stopped; the image it pushed is accepted.

A build is claimed first. Where it is not the first take, CodeBuild is asked before anything is started again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aws_events import exported_by
from esteira.claims import BuildClaim
from esteira.config import commit_tag, release_tag, released_as
from esteira.core.actions import AcceptImage, FindBuild, StartBuild
from esteira.core.facts import (
    Accepted,
    BuildStarted,
    GivenUp,
    about_release,
)
from esteira.core.state import Release
from esteira.perform.effects import Effects, Take

DEFAULT = Path(__file__).parents[1] / "buildspec.yml"  # for a commit without one


def start(action: StartBuild, do: Effects) -> None:
    """Claim the attempt's build; use the commit's accepted image, the build that exists, or start one."""
    number, commit = action.release, do.release(action.release).pushed.commit
    take = Take("build", number, action.attempt, action.take)
    if not do.claim("build", take):
        return
    claim = BuildClaim(do.service.name, number, action.attempt)
    build = do.aws.find_build(do.service, claim) if action.take > 1 else None
    if build is None:
        with do.declining(take):
            accepted = _accepted_before(action, commit, do)
            if accepted is not None:
                do.record(accepted)
                return
            token = str(claim).replace("/", "-")
            buildspec = DEFAULT.read_text() if do.release(action.release).pushed.default_build else ""
            build = do.aws.start_build(do.service, claim, commit, token, _about_live(do), buildspec)
    do.record(BuildStarted(at=do.now(), release=number, attempt=action.attempt, build=build))


def _accepted_before(action: StartBuild, commit: str, do: Effects) -> Accepted | None:
    """The commit's image under this release's tag, if an earlier release accepted it."""
    image = do.aws.image(do.service, tag=commit_tag(commit))
    by = [number for number in map(released_as, image.tags) if number] if image else []
    # Only an image that was accepted is trusted: a failed build may have pushed one, too.
    if image is None or not by or not do.aws.tag_image(do.service, image.digest, release_tag(action.release)):
        return None
    return Accepted(
        at=do.now(),
        release=action.release,
        attempt=action.attempt,
        digest=image.digest,
        reused=True,
        exported=_exported_before(image.digest, by, do),
    )


def _exported_before(digest: str, by: Sequence[int], do: Effects) -> tuple[str, ...]:
    """What the build of an image exported, as the newest release that accepted it has it."""
    for number in sorted(by, reverse=True):
        for fact in do.store.facts(do.service.name, about_release(number), "accepted#"):
            if isinstance(fact, Accepted) and fact.digest == digest:
                return fact.exported
    return ()


def _about_live(do: Effects) -> dict[str, str]:
    """The variables that tell a build about the live release: its label, and what its own build exported."""
    live = do.s.release(do.s.last.live)
    if live is None:
        return {}
    figures = {f"ESTEIRA_LIVE_{name}": value for name, value in live.on(do.s.last).figures.items()}
    return {**figures, "ESTEIRA_LIVE_RELEASE": live.label}  # last: a build may have exported a RELEASE


def find(action: FindBuild, do: Effects) -> None:
    """Record whether a claimed build was ever started."""
    number, attempt = action.release, action.attempt
    build = do.aws.find_build(do.service, BuildClaim(do.service.name, number, attempt))
    if build:
        do.record(BuildStarted(at=do.now(), release=number, attempt=attempt, build=build))
    else:
        do.declined(Take("build", number, attempt, action.take), "it was never started")


def accept(action: AcceptImage, do: Effects) -> None:
    """Put the release's tag on the image that was built or pushed; record that there is none."""
    release, number = do.release(action.release), action.release
    pushed = release.pushed
    tag = pushed.tag if pushed.source == "image" else commit_tag(pushed.commit)
    with do.declining(Take("accept", number, action.attempt, 1), of=Exception):
        digest = pushed.digest
        if pushed.source == "commit":
            image = do.aws.image(do.service, tag=tag)
            digest = image.digest if image else ""
        there = bool(digest) and do.aws.tag_image(do.service, digest, release_tag(number))
        exported = _exported(release, do) if there else ()
    if there:
        accepted = Accepted(
            at=do.now(), release=number, attempt=action.attempt, digest=digest, reused=False, exported=exported
        )
        do.record(accepted)
    else:
        do.record(_no_image(release, action.attempt, tag, do))


def _no_image(release: Release, attempt: int, tag: str, do: Effects) -> GivenUp:
    why, remedy = f"image {tag} is not in the registry any more", "push it again under a new tag"
    if release.pushed.source == "commit":
        why = f"the build succeeded without pushing its image {tag}"
        remedy = "let buildspec.yml push $IMAGE_URI:$IMAGE_TAG, then push the commit"
    return GivenUp(at=do.now(), release=release.number, what="image", number=attempt, why=why, remedy=remedy)


def _exported(release: Release, do: Effects) -> tuple[str, ...]:
    """What the release's build exported; nothing for an image from elsewhere, or where CodeBuild forgot the build.

    A first refusal is raised, so that it is asked again. After that the release goes on without: it needs its image,
    not its figures.
    """
    if release.build_ended is None:
        return ()
    try:
        builds = do.aws.builds([release.build_ended.build])
    except Exception:
        if release.declined("accept", release.attempt, 1) is None:
            raise
        return ()
    return exported_by(builds[0]) if builds else ()
