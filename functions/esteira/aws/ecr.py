"""The registry: images, what they are, and their tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from esteira.config import Service
from esteira.errors import DeclinedError, PartialError, code_of
from esteira.manifest import Manifest, read

Missing = Literal["deleted", "archived", ""]


@dataclass(frozen=True)
class Image:
    """One image in the registry. One that is ``archived`` cannot be pulled until somebody restores it."""

    digest: str
    tags: tuple[str, ...]
    pushed_at: datetime
    archived: bool = False


@dataclass(frozen=True)
class ImageRegistry:
    """ECR, as the controller needs it."""

    client: Callable[..., Any]

    def image(self, service: Service, *, tag: str = "", digest: str = "") -> Image | None:
        """The image under a tag or digest, None if there is none."""
        wanted = {"imageTag": tag} if tag else {"imageDigest": digest}
        try:
            answer = self.client("ecr").describe_images(repositoryName=service.images, imageIds=[wanted])
        except Exception as error:
            if code_of(error) == "ImageNotFoundException":
                return None
            raise
        found = answer["imageDetails"][0]
        archived = found.get("imageStatus", "ACTIVE") != "ACTIVE"
        return Image(found["imageDigest"], tuple(found.get("imageTags", ())), found["imagePushedAt"], archived)

    def missing(self, service: Service, digest: str) -> Missing:
        """How an image is not to be had: ``deleted``, ``archived``, or "" where it can be pulled."""
        image = self.image(service, digest=digest)
        return "deleted" if image is None else "archived" if image.archived else ""

    def manifest(self, service: Service, digest: str) -> Manifest | None:
        """What lies under a digest, None if it is gone. Raises PartialError."""
        answer = self.client("ecr").batch_get_image(repositoryName=service.images, imageIds=[{"imageDigest": digest}])
        found = _only(answer, digest)
        return read(found["imageManifest"], found.get("imageManifestMediaType", "")) if found else None

    def images(self, service: Service) -> Iterator[Mapping[str, Any]]:
        """The details of every image that can be pulled, also those without a tag: an index's images have none.

        The repository's lifecycle policy bounds them.
        """
        pages = (
            self.client("ecr")
            .get_paginator("describe_images")
            .paginate(repositoryName=service.images, filter={"tagStatus": "ANY"})
        )
        for page in pages:
            yield from page["imageDetails"]

    def scan_findings(self, service: Service, digest: str) -> Mapping[str, Any]:
        """ECR's scan of an image with all of its findings; empty where there was none. With basic scanning
        DescribeImages tells of none."""
        wanted = {"repositoryName": service.images, "imageId": {"imageDigest": digest}}
        pages = self.client("ecr").get_paginator("describe_image_scan_findings").paginate(**wanted)
        told: dict[str, Any] = {}
        try:
            for page in pages:
                there = page.get("imageScanFindings", {})
                if told:  # what is not a list is the same on each page
                    for kind in ("findings", "enhancedFindings"):
                        told["imageScanFindings"].setdefault(kind, []).extend(there.get(kind, ()))
                else:
                    told = {**page, "imageScanFindings": dict(there)}
        except Exception as error:
            if code_of(error) in ("ScanNotFoundException", "ImageNotFoundException"):
                return {}
            raise
        return told

    def tag_image(self, service: Service, digest: str, tag: str, known: Manifest | None = None) -> bool:
        """Put ``tag`` on the image, moving it if it may be moved; False if the image is gone. ``known`` is its manifest
        where that was read already.

        May be sent twice: the second time ECR says that it is so already. Raises DeclinedError where the tag is frozen
        on another image.
        """
        found = known or self.manifest(service, digest)
        if found is None:
            return False
        request = {"repositoryName": service.images, "imageManifest": found.text, "imageTag": tag}
        if found.media_type:
            request["imageManifestMediaType"] = found.media_type
        try:
            self.client("ecr").put_image(**request)
        except Exception as error:
            if code_of(error) == "ImageTagAlreadyExistsException":
                raise DeclinedError(f"tag {tag} is frozen on another image of {service.images}") from error
            if code_of(error) != "ImageAlreadyExistsException":  # the tag is on this image already
                raise
        return True


def _only(answer: Mapping[str, Any], digest: str) -> Mapping[str, Any] | None:
    """The one image that was asked for, None if it is gone. Raises PartialError where ECR could not give it."""
    images: list[Mapping[str, Any]] = answer["images"]
    if images:
        return images[0]
    for failure in answer.get("failures", ()):
        if failure.get("failureCode") != "ImageNotFound":
            said = f"{failure.get('failureCode')}: {failure.get('failureReason', 'no reason given')}"
            raise PartialError(f"ECR did not give image {digest}, {said}")
    return None
