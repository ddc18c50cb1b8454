"""What was found in a release's image: of an index, in the images for the hosts' platform. ECR scans each by itself."""

from __future__ import annotations

from esteira.core.actions import ReadFindings
from esteira.core.facts import FindingsRead
from esteira.core.state import Release
from esteira.errors import DeclinedError
from esteira.perform.effects import Effects
from scans.findings import scan, together


def read(action: ReadFindings, do: Effects) -> None:
    """Record what was found, and the first time also that the scan is not at an end.

    Raises DeclinedError while it is not: an event tells when it is, and every sweep asks.
    """
    release = do.release(action.release)
    before = release.findings
    images = before[-1].images if before else _images(release, do)
    found = together(scan(do.aws.scan_findings(do.service, digest)) for digest in images)
    if found.status != "pending" or not before:
        unlisted = (found.unlisted or {}).items()
        do.record(
            FindingsRead(
                at=do.now(),
                release=action.release,
                attempt=action.attempt,
                number=before[-1].number + 1 if before else 1,
                images=images,
                status=found.status,
                found=tuple(map(str, found.found)),
                unlisted=tuple(f"{severity} {number}" for severity, number in unlisted),
            )
        )
    if found.status == "pending":
        raise DeclinedError("the scan of its image is not at an end")


def _images(release: Release, do: Effects) -> tuple[str, ...]:
    """What a host would run: the image, or those of an index for the hosts' platform, all where that is not known."""
    if release.accepted is None or not release.accepted.images:
        return (release.digest,)
    manifest = do.aws.manifest(do.service, release.digest)
    return manifest.for_hosts(do.service.docker_architecture) if manifest else release.accepted.images
