"""ECR's images as rows: what a manifest says of itself, and how the API and the events tell of an image. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from console.local.aws.api import AwsError, page
from console.local.aws_account import ACCOUNT


@dataclass
class EcrImage:
    """One manifest in one repository, with the tags on it."""

    digest: str
    manifest: str
    media_type: str
    pushed_at: datetime
    tags: list[str] = field(default_factory=list)
    archived: bool = False
    scan: dict[str, Any] | None = None  # what the last scan found
    scan_status: str = "COMPLETE"

    def scanned(self, counts: Mapping[str, int], findings: Sequence[Any], at: datetime, status: str) -> None:
        """Keep what a scan found: "ACTIVE" is enhanced scanning, whose findings have a shape of their own."""
        kind = "enhancedFindings" if status == "ACTIVE" else "findings"
        self.scan = {"findingSeverityCounts": dict(counts), "imageScanCompletedAt": at, kind: list(findings)}
        self.scan_status = status


def scan_detail(
    repository: str, digest: str, tags: Sequence[str], counts: Mapping[str, int], status: str
) -> dict[str, Any]:
    """A scan's end as its event tells it; a clean scan has no counts."""
    detail: dict[str, Any] = {
        "scan-status": status,
        "repository-name": repository,
        "image-digest": digest,
        "image-tags": list(tags),
    }
    return detail | ({"finding-severity-counts": dict(counts)} if any(counts.values()) else {})


def artifact_type(manifest: str) -> str:
    """What ECR calls the artifact's media type: the manifest's or its configuration's; an index has none."""
    document = document_of(manifest)
    return str(document.get("artifactType") or (document.get("config") or {}).get("mediaType") or "")


def document_of(manifest: str) -> dict[str, Any]:
    try:
        found = json.loads(manifest)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def in_index(manifest: str) -> list[str]:
    """The digests that an index refers to."""
    return [str(child.get("digest")) for child in document_of(manifest).get("manifests") or ()]


def index_of(images: Mapping[str, EcrImage], digest: str) -> str:
    """An index in the repository that refers to this image, "" if none does."""
    return next((image.digest for image in images.values() if digest in in_index(image.manifest)), "")


def status_of(image: EcrImage) -> str:
    return "ARCHIVED" if image.archived else "ACTIVE"


def answer_of(repository: str, image: EcrImage, tag: str) -> dict[str, Any]:
    return {
        "registryId": ACCOUNT,
        "repositoryName": repository,
        "imageId": {"imageDigest": image.digest} | ({"imageTag": tag} if tag else {}),
        "imageManifest": image.manifest,
        "imageManifestMediaType": image.media_type,
    }


def details_of(repository: str, image: EcrImage) -> dict[str, Any]:
    row: dict[str, Any] = {
        "registryId": ACCOUNT,
        "repositoryName": repository,
        "imageDigest": image.digest,
        "imageSizeInBytes": _size(image.manifest),
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": image.media_type,
        "imageStatus": status_of(image),
    }
    document = document_of(image.manifest)
    row |= {"artifactMediaType": artifact_type(image.manifest)} if artifact_type(image.manifest) else {}
    row |= {"subjectManifestDigest": document["subject"]["digest"]} if document.get("subject") else {}
    if image.tags:
        row["imageTags"] = list(image.tags)
    return row


def scan_of(repository: str, image: EcrImage, params: Mapping[str, Any]) -> dict[str, Any]:
    """A page of what DescribeImageScanFindings tells of a scan; basic scanning tells it nowhere else."""
    if image.scan is None:
        raise AwsError("ScanNotFoundException", f"The image {image.digest} of {repository} was not scanned.")
    named = {"registryId": ACCOUNT, "repositoryName": repository, "imageId": {"imageDigest": image.digest}}
    kind = "enhancedFindings" if "enhancedFindings" in image.scan else "findings"
    size, begin = int(params.get("maxResults") or 100), params.get("nextToken")
    rows, token = page(image.scan.get(kind, []), begin, size, code="InvalidParameterException")
    answer = named | {"imageScanStatus": {"status": image.scan_status}, "imageScanFindings": image.scan | {kind: rows}}
    return answer | ({"nextToken": token} if token else {})


def _size(manifest: str) -> int:
    try:
        return sum(int(layer.get("size", 0)) for layer in json.loads(manifest).get("layers", []))
    except (ValueError, AttributeError):
        return 0
