"""A release comes into being: of the branch's tip, or of an image pushed from elsewhere."""

from __future__ import annotations

from datetime import timedelta

from esteira.aws import Image
from esteira.core.actions import OpenCommit, OpenImage
from esteira.core.facts import ImageArrived, Pushed
from esteira.errors import is_refusal
from esteira.fact import stamp
from esteira.inspection import inspect
from esteira.perform.effects import Effects

# Events tell whole seconds and clocks differ: an image is older than a release only by more than this.
SAME_TIME = timedelta(seconds=2)


def open_commit(action: OpenCommit, do: Effects) -> bool:
    """Inspect what the push changed and make the release. False: the number was taken meanwhile."""
    newest, service = do.s.newest, do.service
    changes, first = do.aws.changes(service, newest.base if newest else "", action.commit)
    seen = inspect(service, changes, first, lambda blob: do.aws.blob(service, blob))
    now, ended = do.now(), bool(seen.rejected or seen.skipped)
    pushed = Pushed(
        at=now,
        number=action.release,
        source="commit",
        commit=action.commit,
        tip=action.commit,
        base=(newest.base if newest else "") if ended else action.commit,
        mark=(newest.mark if newest else "") if ended else stamp(now),
        classes=seen.classes,
        changed=seen.paths[:20],
        changed_count=len(seen.paths),
        rejected=seen.rejected,
        skipped=seen.skipped,
        note=seen.note,
    )
    return do.store.birth(service.name, pushed)


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
