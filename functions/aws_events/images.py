"""An image was pushed or scanned: ECR's events and what its API answers about the same image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from aws_events.heard import Digest, Heard, NotOurs, service_with
from esteira.config import Service
from esteira.core.facts import ImageArrived
from esteira.fact import Fact
from esteira.manifest import no_image
from esteira.refusal import Refused
from esteira.trail import ImageScanned

Severity = Annotated[str, Field(pattern=r"^[A-Z_]{1,20}$")]
Counts = Annotated[dict[Severity, int], Field(max_length=20)]
# A bound on an optional value goes on the value: on the union, pydantic would measure None.
Tag = Annotated[str, Field(max_length=300)]
MediaType = Annotated[str, Field(max_length=300)]
Blank = BeforeValidator(lambda v: None if v == "" else v)


class ImageAction(BaseModel, defer_build=True):
    """ECR Image Action. A push may have no tag, or an empty one."""

    action: Annotated[str, Field(alias="action-type")]
    result: str
    repository: Annotated[str, Field(alias="repository-name")]
    tag: Annotated[Tag | None, Blank, Field(alias="image-tag")] = None
    digest: Annotated[Digest | None, Blank, Field(alias="image-digest")] = None
    manifest: Annotated[MediaType | None, Field(alias="manifest-media-type")] = None
    artifact: Annotated[MediaType | None, Field(alias="artifact-media-type")] = None


class ImageScan(BaseModel, defer_build=True):
    """ECR Image Scan (basic). A missing count map means none only when the scan is complete."""

    status: Annotated[str, Field(alias="scan-status")]
    repository: Annotated[str, Field(alias="repository-name")]
    digest: Annotated[Digest, Field(alias="image-digest")]
    counts: Annotated[Counts | None, Field(alias="finding-severity-counts")] = None


class InspectorScan(ImageScan):
    """Inspector2 Scan, which comes in the place of ECR Image Scan where scanning is enhanced.

    The repository is an ARN. Inspector scans again when it learns of a vulnerability, and then sends findings alone.
    """

    repository: Annotated[
        str, Field(alias="repository-name"), BeforeValidator(lambda v: str(v).rpartition(":repository/")[2])
    ]


def read_image(action: ImageAction, services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    service = service_with(services, "images", action.repository)
    if service is None:
        return NotOurs(f"no service has the image repository {action.repository}")
    if (action.action, action.result) != ("PUSH", "SUCCESS"):
        return NotOurs(f"{action.action} {action.result} of an image starts no release")
    if action.tag is None:
        return NotOurs("an image without a tag starts no release")
    if not service.accepts_tag(action.tag):
        return NotOurs(f"{service.name} accepts {', '.join(service.accepted_tags)}, not the tag {action.tag}")
    if refused := no_image(action.manifest or "", action.artifact or ""):
        return NotOurs(f"what was pushed as {action.tag} starts no release: {refused}")
    if action.digest is None:
        raise Refused("the ECR event is refused: image-digest: Field required for a push")
    return Heard(service, (ImageArrived(at=now, tag=action.tag, digest=action.digest, heard=now),))


def read_scan(scan: ImageScan, services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    service = service_with(services, "images", scan.repository)
    if service is None:
        return NotOurs(f"no service has the image repository {scan.repository}")
    status = scan.status.removeprefix("INITIAL_SCAN_")
    if status not in ("COMPLETE", "FAILED"):
        return NotOurs(f"the scan of {scan.digest} is {scan.status}, not at an end")
    return Heard(service, (_scanned(scan.digest, status, scan.counts, now, now),))


def observed_image(service: Service, image: Mapping[str, Any], now: datetime) -> tuple[Fact, ...]:
    """The facts that one of ``DescribeImages``' imageDetails tells."""
    digest = image["imageDigest"]
    attached = no_image(image.get("imageManifestMediaType", ""), image.get("artifactMediaType", ""))
    attached = attached or image.get("subjectManifestDigest", "")
    facts: list[Fact] = [
        ImageArrived(at=image.get("imagePushedAt", now), tag=tag, digest=digest, heard=now)
        for tag in image.get("imageTags", [])
        if service.accepts_tag(tag) and not attached
    ]
    status = image.get("imageScanStatus", {}).get("status", "")
    if status in ("COMPLETE", "FAILED"):
        summary = image.get("imageScanFindingsSummary", {})
        completed = summary.get("imageScanCompletedAt", now)
        facts.append(_scanned(digest, status, summary.get("findingSeverityCounts"), completed, now))
    return tuple(facts)


def _scanned(
    digest: str, status: str, counts: Mapping[str, int] | None, scanned_at: datetime, now: datetime
) -> ImageScanned:
    found = ", ".join(f"{name} {count}" for name, count in sorted((counts or {}).items()) if count and name != "TOTAL")
    findings = (found or "none") if status == "COMPLETE" else status.lower()
    # To the minute: the event tells when it was sent, the API when the scan completed.
    return ImageScanned(
        at=now, digest=digest, scanned_at=scanned_at.replace(second=0, microsecond=0), findings=findings
    )
