"""ECR in memory: images by digest with their tags; some tags may move and others are frozen, as in the template."""

from __future__ import annotations

import fnmatch
import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from console.local.aws.api import AwsError
from console.local.aws.bus import Bus
from console.local.aws_account import ACCOUNT, arn
from console.local.rehearse.rehearsal_engine import MEDIA_TYPE

Params = Mapping[str, Any]


@dataclass
class Image:
    """One image in one repository, with the tags on it and what its last scan found."""

    digest: str
    manifest: str
    media_type: str
    pushed_at: datetime
    tags: list[str] = field(default_factory=list)
    scan: dict[str, Any] | None = None


class Ecr:
    """Images by repository. ``moving`` are the patterns of the tags that may move to another image."""

    def __init__(self, bus: Bus, moving: tuple[str, ...]) -> None:
        self._bus, self._moving = bus, moving
        self._images: defaultdict[str, dict[str, Image]] = defaultdict(dict)

    def push(self, repository: str, manifest: bytes, tag: str, media_type: str = MEDIA_TYPE) -> str:
        """Push an image, as a build or a person does; its digest."""
        digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
        image = self._images[repository].get(digest)
        if image is None or (tag and tag not in image.tags):
            asked = {"repositoryName": repository, "imageManifest": manifest.decode(), "imageTag": tag}
            self.put_image(asked | {"imageManifestMediaType": media_type})
        return digest

    def scanned(self, repository: str, digest: str, counts: Mapping[str, int], status: str = "COMPLETE") -> None:
        """Record a scan's end and emit its event; ``counts`` by severity, empty when clean."""
        image, now = self._images[repository][digest], self._bus.clock.now()
        image.scan = {"findingSeverityCounts": dict(counts), "imageScanCompletedAt": now}
        detail: dict[str, Any] = {
            "scan-status": status,
            "repository-name": repository,
            "image-digest": digest,
            "image-tags": list(image.tags),
            **({"finding-severity-counts": dict(counts)} if counts else {}),
        }
        self._bus.emit("aws.ecr", "ECR Image Scan", [arn("ecr", f"repository/{repository}")], detail)

    def images(self, repository: str) -> list[Image]:
        """Every image of a repository, oldest push first."""
        return sorted(self._images[repository].values(), key=lambda image: image.pushed_at)

    # --- AWS's operations

    def put_image(self, p: Params) -> dict[str, Any]:
        """PutImage: also how a tag is put on, or moved to, an image that is there."""
        repository, manifest, tag = p["repositoryName"], p["imageManifest"], p.get("imageTag") or ""
        images, media_type = self._images[repository], p.get("imageManifestMediaType") or MEDIA_TYPE
        digest = "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()
        if digest in images and (not tag or tag in images[digest].tags):
            raise AwsError("ImageAlreadyExistsException", f"Image with digest '{digest}' and tag '{tag}' exists")
        taken = any(tag in image.tags for image in images.values())
        if tag and taken and not any(fnmatch.fnmatchcase(tag, pattern) for pattern in self._moving):
            text = f"The image tag '{tag}' already exists and cannot be overwritten because the tag is immutable."
            raise AwsError("ImageTagAlreadyExistsException", text)
        image = images.setdefault(digest, Image(digest, manifest, media_type, self._bus.clock.now()))
        if tag:
            for other in images.values():
                other.tags = [t for t in other.tags if t != tag]
            image.tags.append(tag)
        self._emit("PUSH", repository, image, tag)
        return {"image": _answer(repository, image, tag)}

    def describe_images(self, p: Params) -> dict[str, Any]:
        """DescribeImages: by tag or digest, or every image that has a tag."""
        repository = p["repositoryName"]
        if not p.get("imageIds"):
            return {"imageDetails": [_details(repository, i) for i in self._images[repository].values() if i.tags]}
        found = [(self._find(repository, asked), asked) for asked in p["imageIds"]]
        for image, asked in found:
            if image is None:
                raise AwsError("ImageNotFoundException", f"The image with imageId {asked} does not exist")
        return {"imageDetails": [_details(repository, image) for image, _ in found if image is not None]}

    def batch_get_image(self, p: Params) -> dict[str, Any]:
        """BatchGetImage: manifests, and a failure for each image that is not there."""
        repository = p["repositoryName"]
        answer: dict[str, Any] = {"images": [], "failures": []}
        for asked in p["imageIds"]:
            image = self._find(repository, asked)
            if image is None:
                answer["failures"].append({"imageId": dict(asked), "failureCode": "ImageNotFound"})
            else:
                answer["images"].append(_answer(repository, image, asked.get("imageTag", "")))
        return answer

    def batch_delete_image(self, p: Params) -> dict[str, Any]:
        """BatchDeleteImage by tag: the image goes with its last one."""
        repository = p["repositoryName"]
        for asked in p["imageIds"]:
            image = self._find(repository, asked)
            assert image is not None
            image.tags.remove(asked["imageTag"])
            if not image.tags:
                del self._images[repository][image.digest]
            self._emit("DELETE", repository, image, asked["imageTag"])
        return {"imageIds": p["imageIds"], "failures": []}

    def _find(self, repository: str, asked: Mapping[str, str]) -> Image | None:
        tag, digest = asked.get("imageTag"), asked.get("imageDigest")
        fits = (i for i in self._images[repository].values() if digest in (None, i.digest))
        return next((i for i in fits if not tag or tag in i.tags), None)

    def _emit(self, action: str, repository: str, image: Image, tag: str) -> None:
        detail = {
            "action-type": action,
            "result": "SUCCESS",
            "repository-name": repository,
            "image-digest": image.digest,
            "image-tag": tag,
            "manifest-media-type": image.media_type,
        }
        self._bus.emit("aws.ecr", "ECR Image Action", [], detail)


def _answer(repository: str, image: Image, tag: str) -> dict[str, Any]:
    return {
        "registryId": ACCOUNT,
        "repositoryName": repository,
        "imageId": {"imageDigest": image.digest} | ({"imageTag": tag} if tag else {}),
        "imageManifest": image.manifest,
        "imageManifestMediaType": image.media_type,
    }


def _details(repository: str, image: Image) -> dict[str, Any]:
    row: dict[str, Any] = {
        "registryId": ACCOUNT,
        "repositoryName": repository,
        "imageDigest": image.digest,
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": image.media_type,
    }
    row |= {"imageTags": list(image.tags)} if image.tags else {}
    if image.scan is not None:
        row |= {"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindingsSummary": image.scan}
    return row
