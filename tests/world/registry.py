"""ECR in memory: images by digest with their tags; some tags may move and others are frozen, as in the template."""

from __future__ import annotations

import fnmatch
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from console.local.aws.api import AwsError
from console.local.aws.bus import Bus
from console.local.aws.ecr_images import EcrImage, answer_of, artifact_type, details_of, scan_detail, scan_of, status_of
from console.local.aws_account import arn
from console.local.rehearse.rehearsal_engine import MEDIA_TYPE

Params = Mapping[str, Any]


class Ecr:
    """Images by repository. ``moving`` are the patterns of the tags that may move to another image."""

    def __init__(self, bus: Bus, moving: tuple[str, ...]) -> None:
        self._bus, self._moving = bus, moving
        self._images: defaultdict[str, dict[str, EcrImage]] = defaultdict(dict)

    def push(self, repository: str, manifest: bytes, tag: str, media_type: str = MEDIA_TYPE) -> str:
        """Push an image, as a build or a person does; its digest."""
        digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
        image = self._images[repository].get(digest)
        if image is None or (tag and tag not in image.tags):
            asked = {"repositoryName": repository, "imageManifest": manifest.decode(), "imageTag": tag}
            self.put_image(asked | {"imageManifestMediaType": media_type})
        return digest

    def scanned(
        self,
        repository: str,
        digest: str,
        counts: Mapping[str, int],
        status: str = "COMPLETE",
        findings: Sequence[Any] = (),
    ) -> None:
        """Record a scan's end and emit its event; ``counts`` by severity, empty when clean."""
        image = self._images[repository][digest]
        image.scanned(counts, findings, self._bus.clock.now(), status)
        detail = scan_detail(repository, digest, image.tags, counts, status)
        self._bus.emit("aws.ecr", "ECR Image Scan", [arn("ecr", f"repository/{repository}")], detail)

    def inspected(self, repository: str, digest: str, counts: Mapping[str, int], findings: Sequence[Any] = ()) -> None:
        """Keep what Inspector found and emit its event, which comes in the other's place where scanning is enhanced."""
        name, image = arn("ecr", f"repository/{repository}"), self._images[repository][digest]
        image.scanned(counts, findings, self._bus.clock.now(), "ACTIVE")
        detail = scan_detail(name, digest, image.tags, {**counts, "TOTAL": 99}, "INITIAL_SCAN_COMPLETE")
        self._bus.emit("aws.inspector2", "Inspector2 Scan", [name], detail)

    def images(self, repository: str) -> list[EcrImage]:
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
        image = images.setdefault(digest, EcrImage(digest, manifest, media_type, self._bus.clock.now()))
        image.archived = False
        if tag:
            for other in images.values():
                other.tags = [t for t in other.tags if t != tag]
            image.tags.append(tag)
        self._emit("PUSH", repository, image, tag)
        return {"image": answer_of(repository, image, tag)}

    def describe_images(self, p: Params) -> dict[str, Any]:
        """DescribeImages: by tag or digest, or every image that is not archived."""
        repository = p["repositoryName"]
        if not p.get("imageIds"):
            return {
                "imageDetails": [details_of(repository, i) for i in self._images[repository].values() if not i.archived]
            }
        found = [(self._find(repository, asked), asked) for asked in p["imageIds"]]
        for image, asked in found:
            if image is None:
                raise AwsError("ImageNotFoundException", f"The image with imageId {asked} does not exist")
        return {"imageDetails": [details_of(repository, image) for image, _ in found if image is not None]}

    def describe_image_scan_findings(self, p: Params) -> dict[str, Any]:
        """DescribeImageScanFindings: what a scan found, in pages."""
        image = self._find(p["repositoryName"], p["imageId"])
        if image is None:
            raise AwsError("ImageNotFoundException", f"The image with imageId {p['imageId']} does not exist")
        return scan_of(p["repositoryName"], image, p)

    def batch_get_image(self, p: Params) -> dict[str, Any]:
        """BatchGetImage: manifests, and a failure for each image that is not there."""
        repository = p["repositoryName"]
        answer: dict[str, Any] = {"images": [], "failures": []}
        for asked in p["imageIds"]:
            image = self._find(repository, asked)
            if image is None or image.archived:
                answer["failures"].append({"imageId": dict(asked), "failureCode": "ImageNotFound"})
            else:
                answer["images"].append(answer_of(repository, image, asked.get("imageTag", "")))
        return answer

    def batch_delete_image(self, p: Params) -> dict[str, Any]:
        """BatchDeleteImage: by tag the image goes with its last one, by digest with all of them."""
        repository = p["repositoryName"]
        for asked in p["imageIds"]:
            image = self._find(repository, asked)
            assert image is not None
            tags = [asked["imageTag"]] if "imageTag" in asked else list(image.tags)
            image.tags = [tag for tag in image.tags if tag not in tags]
            if not image.tags:
                del self._images[repository][image.digest]
            for tag in tags:
                self._emit("DELETE", repository, image, tag)
        return {"imageIds": p["imageIds"], "failures": []}

    def update_image_storage_class(self, p: Params) -> dict[str, Any]:
        """UpdateImageStorageClass: archive an image, or restore it."""
        image = self._find(p["repositoryName"], p["imageId"])
        assert image is not None
        image.archived = p["targetStorageClass"] == "ARCHIVE"
        return {"imageStatus": status_of(image)}

    def _find(self, repository: str, asked: Mapping[str, str]) -> EcrImage | None:
        tag, digest = asked.get("imageTag"), asked.get("imageDigest")
        fits = (i for i in self._images[repository].values() if digest in (None, i.digest))
        return next((i for i in fits if not tag or tag in i.tags), None)

    def _emit(self, action: str, repository: str, image: EcrImage, tag: str) -> None:
        detail = {
            "action-type": action,
            "result": "SUCCESS",
            "repository-name": repository,
            "image-digest": image.digest,
            "image-tag": tag,
            "manifest-media-type": image.media_type,
            "artifact-media-type": artifact_type(image.manifest),
        }
        self._bus.emit("aws.ecr", "ECR Image Action", [], detail)
