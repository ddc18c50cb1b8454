"""A release comes into being: of the branch's tip, or of an image pushed from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from esteira.aws import Image
from esteira.core.actions import OpenCommit, OpenImage
from esteira.core.facts import ImageArrived, Pushed
from esteira.core.status import Cause
from esteira.errors import is_refusal
from esteira.fact import stamp
from esteira.inspection import inspect, to_search
from esteira.perform.effects import Effects
from esteira.perform.search import search
from settings.file import FILE, LARGEST, SettingsError, read
from settings.model import ReleaseSettings, in_effect, stored

# Events tell whole seconds and clocks differ: an image is older than a release only by more than this.
SAME_TIME = timedelta(seconds=2)
BUILDSPEC = "buildspec.yml"  # CodeBuild reads no other name by itself


def open_commit(action: OpenCommit, do: Effects) -> bool | None:
    """Inspect what the push changed and make the release. False: the number was taken meanwhile. None: the time was
    used up before all files were searched; how far that came is recorded, and the next call goes on."""
    newest, service = do.s.newest, do.service
    base = newest.base if newest else ""
    changes, first = do.aws.changes(service, base, action.commit)
    found = search(to_search(service, changes), base, action.commit, do)
    if found is None:
        return None
    own = Own() if found.secret else _own(action.commit, do)
    seen = inspect(in_effect(service, own.settings), changes, first, found)
    rejected = seen.rejected or own.rejected
    now, ended = do.now(), bool(rejected or seen.skipped)
    pushed = Pushed(
        at=now,
        number=action.release,
        source="commit",
        commit=action.commit,
        tip=action.commit,
        base=base if ended else action.commit,
        mark=(newest.mark if newest else "") if ended else stamp(now),
        classes=seen.classes,
        changed=seen.paths[:20],
        changed_count=len(seen.paths),
        rejected=rejected,
        cause=Cause.SETTINGS if own.rejected else "",
        skipped="" if rejected else seen.skipped,
        note=seen.note,
        settings=stored(own.settings),
        default_build=own.default_build,
        **do.aws.described(service, action.commit),
    )
    return do.store.birth(service.name, pushed)


@dataclass(frozen=True)
class Own:
    """What a commit brings of its own: its settings, and whether it is built by the default buildspec. ``rejected``
    says why it cannot be released as it stands."""

    settings: ReleaseSettings = field(default_factory=ReleaseSettings)
    default_build: bool = False
    rejected: str = ""


def _own(commit: str, do: Effects) -> Own:
    root = do.aws.folder(do.service, commit, "")
    if root is None:
        return Own()  # the commit is gone, which the build will say
    if BUILDSPEC not in root.files and "buildspec.yaml" in root.files:
        return Own(rejected=f"buildspec.yaml is not read by CodeBuild; rename it to {BUILDSPEC} and push again")
    if FILE in root.strange:
        return Own(rejected=f"{FILE} is {root.strange[FILE]}, which esteira does not follow; commit the file itself")
    if FILE not in root.files and "esteira.yml" in root.files:
        return Own(rejected=f"esteira.yml is not read; rename it to {FILE} and push again")
    if FILE not in root.files:
        return Own(default_build=BUILDSPEC not in root.files)
    content = do.aws.blob(do.service, root.files[FILE][0])
    try:
        settings = read(content if content is not None else bytes(LARGEST + 1))
    except SettingsError as error:
        return Own(rejected=f"{error}. Correct it and push again")
    return Own(settings, BUILDSPEC not in root.files)


def _is_it(found: Image, image: ImageArrived, do: Effects) -> bool:
    """Whether the tag is still on the image that arrived, and it is one: no signature, chart or attestation."""
    if found.digest != image.digest:
        return False
    manifest = do.aws.manifest(do.service, image.digest)
    return manifest is None or not manifest.refused


def open_image(action: OpenImage, do: Effects) -> bool | None:
    """Make a release of a pushed image. None: it is not in the registry yet, or not any more; look again later.

    At the deadline the release is made all the same, rejected, so that the push is not lost without a word.
    """
    image, newest, service = action.image, do.s.newest, do.service
    missing = ""
    try:
        found = do.aws.image(service, tag=image.tag)
    except Exception as error:
        if not is_refusal(error):
            raise
        found, missing = None, f"ECR refuses to look up {image.tag}: {error}; push it again under a new tag"
    if found is None and do.store.taken(service.name, image, missing=True):  # a release says so already
        do.store.forget(service.name, image)
        return True
    if do.store.taken(service.name, image) or (found is not None and not _is_it(found, image, do)):
        do.store.dismiss(service.name, image, do.now())
        return True
    if found is None and not action.late:
        return None
    if found is None:
        missing = missing or f"image {image.tag} is not in the registry although its push was told; push it again"
    mark = newest.mark if newest else ""
    outdated = f"{image.tag} was pushed before the newest release" if stamp(image.at + SAME_TIME) < mark else ""
    pushed = Pushed(
        at=do.now(),
        number=action.release,
        source="image",
        tag=image.tag,
        digest=image.digest,
        tip=newest.tip if newest else "",
        base=newest.base if newest else "",
        mark=mark if missing else max(mark, stamp(image.at)),
        outdated="" if missing else outdated,
        rejected=missing,
    )
    return do.store.birth(service.name, pushed, image)
