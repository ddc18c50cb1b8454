"""A release gets its image: a build is started, found, stopped; the image it pushed is accepted.

A build is claimed first. Where it is not the first take, CodeBuild is asked before anything is started again.

An image is a release's image because the table says which build pushed it: the build exported the digest as
``IMAGE_DIGEST``, or pushed to the tag that it alone was told. Every other tag is a label and proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from esteira.claims import BuildClaim
from esteira.core.actions import AcceptImage, FindBuild, StartBuild
from esteira.core.facts import Accepted, BuildStarted, GivenUp, ImageBuilt, about_release
from esteira.core.status import Cause
from esteira.perform.effects import Effects, Take
from esteira.perform.images import Unfit, found, label, told_tag
from settings.model import restored
from settings.secrets import chosen, folder, unset

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
            if _accepted_again(action, commit, do):
                return
            tag = told_tag(do.release(number), do.context.owner, do)
            token = str(claim).replace("/", "-")
            pushed = do.release(number).pushed
            named = f"{do.service.folder}/buildspec.yml" if do.service.folder else ""
            buildspec = DEFAULT.read_text() if pushed.default_build else named
            secrets = _secrets(take, do)
            if isinstance(secrets, GivenUp):
                do.declined(take, secrets.why)
                do.record(secrets)
                return
            build = do.aws.start_build(do.service, claim, commit, tag, token, _about_live(do), buildspec, secrets)
    do.record(BuildStarted(at=do.now(), release=number, attempt=action.attempt, build=build))


def _accepted_again(action: StartBuild, commit: str, do: Effects) -> bool:
    """Accept an image that an earlier build of the commit pushed, if the table names one that can still be pulled."""
    for before in _accepted_of(commit, do):
        if not do.aws.missing(do.service, before.digest):
            note = label(action.release, before.digest, do)
            accepted = replace(before, at=do.now(), release=action.release, attempt=action.attempt, note=note)
            do.record(replace(accepted, reused=True))
            return True
    return False


def _accepted_of(commit: str, do: Effects) -> Iterator[Accepted]:
    """What was accepted as a build's of this commit, the newest first. What was built is only where to look: the
    release's own rows, which a checkpoint seals, have to say the same."""
    name = do.service.name
    for built in reversed(do.store.facts(name, f"commit/{commit}", "image-built#")):
        pushed = do.store.pushed(name, built.release) if isinstance(built, ImageBuilt) else None
        if isinstance(built, ImageBuilt) and pushed is not None and pushed.commit == commit:
            facts = do.store.facts(name, about_release(built.release), f"accepted#{built.attempt:04d}")
            yield from (f for f in facts if isinstance(f, Accepted) and f.digest == built.digest)


def _about_live(do: Effects) -> dict[str, str]:
    """The variables that tell a build about the live release: its label, and what its own build exported."""
    live = do.s.release(do.s.last.live)
    if live is None:
        return {}
    figures = {f"ESTEIRA_LIVE_{name}": value for name, value in live.on(do.s.last).figures.items()}
    return {**figures, "ESTEIRA_LIVE_RELEASE": live.label}  # last: a build may have exported a RELEASE


def _secrets(take: Take, do: Effects) -> dict[str, str] | GivenUp:
    """By variable, the parameters that hold the build's secrets; or that the build is given up, as one is not set."""
    release = do.release(take.release)
    names = restored(release.pushed.settings).build_secrets
    if not names:
        return {}
    below = folder(do.context.settings.services_path, do.service.name, build=True)
    at = chosen(names, do.aws.parameter_names(below), below)
    missing = unset(names, at, release.label, "builds")
    if not missing:
        return at
    first = next(name for name in names if name not in at)
    return GivenUp(
        at=do.now(),
        release=release.number,
        what="start",
        number=take.number,
        why=f"{missing}, so nothing was built",
        remedy=f"esteira secret set {first} --build, then: esteira retry {release.label}",
        cause=Cause.SECRET_MISSING,
    )


def find(action: FindBuild, do: Effects) -> None:
    """Record whether a claimed build was ever started."""
    number, attempt = action.release, action.attempt
    build = do.aws.find_build(do.service, BuildClaim(do.service.name, number, attempt))
    if build:
        do.record(BuildStarted(at=do.now(), release=number, attempt=attempt, build=build))
    else:
        do.declined(Take("build", number, attempt, action.take), "it was never started")


def accept(action: AcceptImage, do: Effects) -> None:
    """Record which image is the release's and label it, or record that there is none."""
    release, number, attempt = do.release(action.release), action.release, action.attempt
    with do.declining(Take("accept", number, attempt, 1), of=Exception):
        image = found(release, do)
        note = "" if isinstance(image, Unfit) else label(number, image.digest, do, image.manifest)
    if isinstance(image, Unfit):
        gone = GivenUp(at=do.now(), release=number, what="image", number=attempt, why=image.why, remedy=image.remedy)
        do.record(gone)
        return
    accepted = Accepted(
        at=do.now(),
        release=number,
        attempt=attempt,
        digest=image.digest,
        reused=False,
        exported=image.exported,
        images=image.manifest.images,
        note=note,
    )
    commit = release.pushed.commit
    built = ImageBuilt(at=do.now(), commit=commit, release=number, attempt=attempt, digest=image.digest)
    do.store.write(do.service.name, [accepted, built] if commit else [accepted])
