"""The registry: images and their tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from esteira.config import Service
from esteira.errors import DeclinedError, PartialError, code_of


@dataclass(frozen=True)
class Image:
    """One image in the registry."""

    digest: str
    tags: tuple[str, ...]
    pushed_at: datetime


@dataclass(frozen=True)
class Ecr:
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
        return Image(found["imageDigest"], tuple(found.get("imageTags", ())), found["imagePushedAt"])

    def images(self, service: Service) -> Iterator[Mapping[str, Any]]:
        """The details of every tagged image; the repository's lifecycle policy bounds them."""
        pages = (
            self.client("ecr")
            .get_paginator("describe_images")
            .paginate(repositoryName=service.images, filter={"tagStatus": "TAGGED"})
        )
        for page in pages:
            yield from page["imageDetails"]

    def tag_image(self, service: Service, digest: str, tag: str) -> bool:
        """Put ``tag`` on the image, moving it if it may be moved; False if the image is gone.

        May be sent twice: the second time ECR says that it is so already. Raises DeclinedError where the tag is frozen
        on another image.
        """
        ecr = self.client("ecr")
        found = _manifest(
            ecr.batch_get_image(repositoryName=service.images, imageIds=[{"imageDigest": digest}]), digest
        )
        if found is None:
            return False
        request = {"repositoryName": service.images, "imageManifest": found["imageManifest"], "imageTag": tag}
        if found.get("imageManifestMediaType"):
            request["imageManifestMediaType"] = found["imageManifestMediaType"]
        try:
            ecr.put_image(**request)
        except Exception as error:
            if code_of(error) == "ImageTagAlreadyExistsException":
                raise DeclinedError(f"tag {tag} is frozen on another image of {service.images}") from error
            if code_of(error) != "ImageAlreadyExistsException":  # the tag is on this image already
                raise
        return True


def _manifest(answer: Mapping[str, Any], digest: str) -> Mapping[str, Any] | None:
    """The one image that was asked for, None if it is gone. Raises PartialError where ECR could not give it."""
    images: list[Mapping[str, Any]] = answer["images"]
    if images:
        return images[0]
    for failure in answer.get("failures", ()):
        if failure.get("failureCode") != "ImageNotFound":
            said = f"{failure.get('failureCode')}: {failure.get('failureReason', 'no reason given')}"
            raise PartialError(f"ECR did not give image {digest}, {said}")
    return None
