"""An image was pushed or scanned: ECR's events and what its API answers about the same image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from aws_events.heard import Digest, Heard, NotOurs, name_in, service_with
from esteira.config import Service
from esteira.core.facts import ImageArrived
from esteira.manifest import no_image
from esteira.refusal import validated
from esteira.trail import ImageScanned
from scans.findings import status_of

Severity = Annotated[str, Field(pattern=r"^[A-Z_]{1,20}$")]
Counts = Annotated[dict[Severity, int], Field(max_length=20)]
Tag = Annotated[str, Field(max_length=300)]


class ImageAction(BaseModel, defer_build=True):
    """ECR Image Action, of a push under a tag."""

    tag: Annotated[Tag, Field(alias="image-tag")]
    digest: Annotated[Digest, Field(alias="image-digest")]


class ImageScan(BaseModel, defer_build=True):
    """ECR Image Scan (basic). A missing count map means none only when the scan is complete."""

    digest: Annotated[Digest, Field(alias="image-digest")]
    counts: Annotated[Counts | None, Field(alias="finding-severity-counts")] = None


def read_image(detail: Mapping[str, Any], services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    """An image that arrived under an accepted tag. A push may have no tag, or an empty one."""
    repository, tag = name_in(detail, "repository-name"), name_in(detail, "image-tag")
    service = service_with(services, "images", repository)
    if service is None:
        return NotOurs(f"no service has the image repository {repository}")
    came = (name_in(detail, "action-type"), name_in(detail, "result"))
    if came != ("PUSH", "SUCCESS"):
        return NotOurs(f"{' '.join(came)} of an image starts no release")
    if not tag and not detail.get("image-tag"):
        return NotOurs("an image without a tag starts no release")
    if tag and not service.accepts_tag(tag):
        return NotOurs(f"{service.name} accepts {', '.join(service.accepted_tags)}, not the tag {tag}")
    if refused := no_image(name_in(detail, "manifest-media-type"), name_in(detail, "artifact-media-type")):
        return NotOurs(f"what was pushed as {tag} starts no release: {refused}")
    action = validated(ImageAction, detail, "ECR event")
    return Heard(service, (ImageArrived(at=now, tag=action.tag, digest=action.digest, heard=now),))


def read_scan(detail: Mapping[str, Any], services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    """What a scan of one of our images found."""
    repository, status = name_in(detail, "repository-name"), name_in(detail, "scan-status")
    service = service_with(services, "images", repository)
    if service is None:
        return NotOurs(f"no service has the image repository {repository}")
    if status not in ("COMPLETE", "FAILED"):
        return NotOurs(f"the scan of an image of {repository} is {status or 'unknown'}, not at an end")
    scan = validated(ImageScan, detail, "ECR scan event")
    return Heard(service, (_scanned(scan.digest, status, scan.counts, now, now),))


def read_inspection(detail: Mapping[str, Any], services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    """What Inspector found in one of our images, where scanning is enhanced: ECR then sends no event of its own.

    Its event names the repository by an ARN. Inspector scans again when it learns of a vulnerability, and then sends
    findings alone.
    """
    repository = name_in(detail, "repository-name").rpartition(":repository/")[2]
    status = name_in(detail, "scan-status").removeprefix("INITIAL_SCAN_")
    return read_scan({**detail, "repository-name": repository, "scan-status": status}, services, now)


def observed_image(service: Service, image: Mapping[str, Any], now: datetime) -> tuple[ImageArrived, ...]:
    """The arrivals that one of ``DescribeImages``' imageDetails tells."""
    digest = image["imageDigest"]
    refused = no_image(image.get("imageManifestMediaType", ""), image.get("artifactMediaType", ""))
    attached = image.get("subjectManifestDigest", "")
    return tuple(
        ImageArrived(at=image.get("imagePushedAt", now), tag=tag, digest=digest, heard=now)
        for tag in image.get("imageTags", [])
        if service.accepts_tag(tag) and not (refused or attached)
    )


def observed_scan(digest: str, scan: Mapping[str, Any], now: datetime) -> ImageScanned | None:
    """What ``DescribeImageScanFindings`` tells of an image's scan, None while it is not at an end."""
    ends = {"COMPLETE": "COMPLETE", "ACTIVE": "COMPLETE", "FAILED": "FAILED"}
    status, found = ends.get(status_of(scan)), scan.get("imageScanFindings", {})
    if status is None:
        return None
    return _scanned(digest, status, found.get("findingSeverityCounts"), found.get("imageScanCompletedAt", now), now)


def _scanned(
    digest: str, status: str, counts: Mapping[str, int] | None, scanned_at: datetime, now: datetime
) -> ImageScanned:
    found = ", ".join(f"{name} {count}" for name, count in sorted((counts or {}).items()) if count and name != "TOTAL")
    findings = (found or "none") if status == "COMPLETE" else status.lower()
    # To the minute: the event tells when it was sent, the API when the scan completed.
    return ImageScanned(
        at=now, digest=digest, scanned_at=scanned_at.replace(second=0, microsecond=0), findings=findings
    )
