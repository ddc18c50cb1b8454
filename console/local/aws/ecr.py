"""ECR's images over moto's repositories: the digest is the manifest's sha256, tags freeze as the repository says, and
every push and deletion is an event.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from threading import RLock
from typing import Any

from moto.ecr.models import ecr_backends

from console.local.aws.api import AwsError, Operation, Params, page, required
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws_account import ACCOUNT, REGION, arn

USER = "AWS"  # as ECR calls everybody who logs in
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


@dataclass
class EcrImage:
    """One manifest in one repository, with the tags on it."""

    digest: str
    manifest: str
    media_type: str
    pushed_at: datetime
    tags: list[str] = field(default_factory=list)
    scan: dict[str, Any] | None = None  # the last scan's DescribeImages summary


class Ecr:
    """Images by repository and digest."""

    def __init__(self, bus: Bus, clock: Clock, lock: RLock) -> None:
        self._bus = bus
        self._clock = clock
        self._lock = lock
        self._images: dict[str, dict[str, EcrImage]] = {}
        self.password = secrets.token_hex(20)  # of the registry's user AWS, for this run
        self.operations: dict[str, Operation] = {
            "PutImage": self.put_image,
            "DescribeImages": self.describe_images,
            "ListImages": self.list_images,
            "BatchGetImage": self.batch_get_image,
            "BatchDeleteImage": self.batch_delete_image,
            "GetAuthorizationToken": self.get_authorization_token,
        }

    # what builds and tests do

    def push(self, repository: str, manifest: bytes, tag: str = "", media_type: str = "") -> str:
        """Put a manifest under ``tag`` as ``docker push`` would (the same again is no error); its digest."""
        params = {"repositoryName": repository, "imageManifest": manifest.decode(), "imageTag": tag}
        with self._lock:
            try:
                image = self.put_image(params | ({"imageManifestMediaType": media_type} if media_type else {}))["image"]
            except AwsError as error:
                if error.code != "ImageAlreadyExistsException":
                    raise
                return _digest(manifest.decode())
        return str(image["imageId"]["imageDigest"])

    def scanned(self, repository: str, digest: str, counts: Mapping[str, int], status: str = "COMPLETE") -> None:
        """Record a scan's end and emit ``ECR Image Scan``; ``counts`` by severity, empty when clean."""
        with self._lock:
            image = self._repository(repository)[digest]
            image.scan = {"findingSeverityCounts": dict(counts), "imageScanCompletedAt": self._clock.now()}
            detail: dict[str, Any] = {
                "scan-status": status,
                "repository-name": repository,
                "image-digest": digest,
                "image-tags": list(image.tags),
            }
            if counts:
                detail["finding-severity-counts"] = dict(counts)
            resources = [arn("ecr", f"repository/{repository}")]
            self._bus.emit("aws.ecr", "ECR Image Scan", resources, detail)

    def images(self, repository: str) -> list[EcrImage]:
        """Every image of a repository, oldest push first."""
        return sorted(self._repository(repository).values(), key=lambda image: image.pushed_at)

    def dump(self) -> dict[str, Any]:
        """Every image, to be kept."""
        return {name: [asdict(image) for image in images.values()] for name, images in self._images.items()}

    def load(self, kept: dict[str, Any]) -> None:
        """Take up what ``dump`` gave."""
        self._images = {name: {row["digest"]: EcrImage(**row) for row in rows} for name, rows in kept.items()}

    # AWS's operations

    def get_authorization_token(self, _: Params) -> dict[str, Any]:
        """GetAuthorizationToken: the user and the password of ``docker login``."""
        row = {
            "authorizationToken": base64.b64encode(f"{USER}:{self.password}".encode()).decode(),
            "expiresAt": self._clock.now() + timedelta(hours=12),
            "proxyEndpoint": f"https://{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com",
        }
        return {"authorizationData": [row]}

    def put_image(self, params: Params) -> dict[str, Any]:
        """PutImage: also how a tag is put on, or moved to, an image that is there."""
        name = _name(params)
        images = self._repository(name)
        manifest = str(required(params, "imageManifest", code="InvalidParameterException"))
        media_type = params.get("imageManifestMediaType") or _media_type(manifest)
        digest = _digest(manifest)
        if params.get("imageDigest") not in (None, "", digest):
            text = f"The digest of the manifest is {digest}, not {params['imageDigest']}."
            raise AwsError("ImageDigestDoesNotMatchException", text)
        tag = str(params.get("imageTag") or "")
        if tag and not TAG.fullmatch(tag):
            raise AwsError("InvalidParameterException", f"Invalid parameter at 'imageTag': {tag!r}")
        image = images.get(digest)
        self._refuse(name, image, digest, tag)
        if image is None:
            image = images[digest] = EcrImage(digest, manifest, media_type, self._clock.now())
        if tag:
            for other in images.values():
                other.tags = [t for t in other.tags if t != tag]
            image.tags.append(tag)
        self._emit("PUSH", name, digest, tag, media_type)
        return {"image": _answer(name, image, tag)}

    def describe_images(self, params: Params) -> dict[str, Any]:
        """DescribeImages, by tag, by digest, or all in pages of ``maxResults`` (100)."""
        name = _name(params)
        images = self._repository(name)
        if not params.get("imageIds"):
            wanted = (params.get("filter") or {}).get("tagStatus", "ANY")
            rows = [image for image in images.values() if wanted in ("ANY", "TAGGED" if image.tags else "UNTAGGED")]
            details = [_details(name, image) for image in rows]
            return _paged("imageDetails", details, params)
        found = [(_find(images, identity), identity) for identity in params["imageIds"]]
        for image, identity in found:
            if image is None:
                raise AwsError("ImageNotFoundException", _not_found(name, identity))
        unique = {image.digest: image for image, _ in found if image is not None}
        return {"imageDetails": [_details(name, image) for image in unique.values()]}

    def list_images(self, params: Params) -> dict[str, Any]:
        """ListImages: a row for each tag, and one for each image without any."""
        wanted = (params.get("filter") or {}).get("tagStatus", "ANY")
        rows: list[dict[str, str]] = []
        for image in self._repository(_name(params)).values():
            if wanted in ("ANY", "TAGGED"):
                rows += [{"imageDigest": image.digest, "imageTag": tag} for tag in image.tags]
            if wanted in ("ANY", "UNTAGGED") and not image.tags:
                rows.append({"imageDigest": image.digest})
        return _paged("imageIds", rows, params)

    def batch_get_image(self, params: Params) -> dict[str, Any]:
        """BatchGetImage: manifests, and a failure for each image that is not there."""
        name = _name(params)
        images = self._repository(name)
        answer: dict[str, Any] = {"images": [], "failures": []}
        for identity in required(params, "imageIds", code="InvalidParameterException"):
            image = _find(images, identity)
            if image is None:
                answer["failures"].append(_failure(identity))
            else:
                answer["images"].append(_answer(name, image, identity.get("imageTag") or ""))
        return answer

    def batch_delete_image(self, params: Params) -> dict[str, Any]:
        """BatchDeleteImage: a tag goes with its event, the image with its last tag, or by digest with all of them."""
        name = _name(params)
        images = self._repository(name)
        answer: dict[str, Any] = {"imageIds": [], "failures": []}
        for identity in required(params, "imageIds", code="InvalidParameterException"):
            image = _find(images, identity)
            if image is None:
                answer["failures"].append(_failure(identity))
                continue
            tags = [identity["imageTag"]] if identity.get("imageTag") else list(image.tags)
            image.tags = [tag for tag in image.tags if tag not in tags]
            if not image.tags:
                del images[image.digest]
            for tag in tags or [""]:
                answer["imageIds"].append({"imageDigest": image.digest} | ({"imageTag": tag} if tag else {}))
                self._emit("DELETE", name, image.digest, tag, image.media_type)
        return answer

    def _repository(self, name: str) -> dict[str, EcrImage]:
        if name not in ecr_backends[ACCOUNT][REGION].repositories:
            text = f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'"
            raise AwsError("RepositoryNotFoundException", text)
        return self._images.setdefault(name, {})

    def _refuse(self, name: str, image: EcrImage | None, digest: str, tag: str) -> None:
        where = f"in the repository with name '{name}' in registry with id '{ACCOUNT}'"
        if image is not None and (not tag or tag in image.tags):
            text = f"Image with digest '{digest}' and tag '{tag or 'null'}' already exists {where}"
            raise AwsError("ImageAlreadyExistsException", text)
        taken = tag and any(tag in other.tags for other in self._images[name].values())
        if taken and _frozen(ecr_backends[ACCOUNT][REGION].repositories[name], tag):
            text = (
                f"The image tag '{tag}' already exists {where} and cannot be overwritten because the tag is immutable."
            )
            raise AwsError("ImageTagAlreadyExistsException", text)

    def _emit(self, action: str, repository: str, digest: str, tag: str, media_type: str) -> None:
        detail = {
            "action-type": action,
            "result": "SUCCESS",
            "repository-name": repository,
            "image-digest": digest,
            "image-tag": tag,
            "manifest-media-type": media_type,
        }
        self._bus.emit("aws.ecr", "ECR Image Action", [], detail)


def _name(params: Params) -> str:
    return str(required(params, "repositoryName", code="InvalidParameterException"))


def _digest(manifest: str) -> str:
    return "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()


def _media_type(manifest: str) -> str:
    try:
        found = json.loads(manifest).get("mediaType")
    except (ValueError, AttributeError):
        found = None
    if not found:
        text = "The manifest names no mediaType: pass imageManifestMediaType, or put mediaType into the manifest."
        raise AwsError("InvalidParameterException", text)
    return str(found)


def _frozen(repository: Any, tag: str) -> bool:
    """Whether ``tag`` may not move, by the repository's mutability and its exclusion filters, whose ``*`` is a
    wildcard.
    """
    filters = repository.image_tag_mutability_exclusion_filters or []
    patterns = (re.escape(row["filter"]).replace(r"\*", ".*") for row in filters)
    excluded = any(re.fullmatch(pattern, tag) for pattern in patterns)
    setting = str(getattr(repository.image_tag_mutability, "value", repository.image_tag_mutability))
    return excluded if setting.startswith("MUTABLE") else not excluded


def _find(images: Mapping[str, EcrImage], identity: Mapping[str, str]) -> EcrImage | None:
    digest, tag = identity.get("imageDigest"), identity.get("imageTag")
    fits = (i for i in images.values() if (not digest or i.digest == digest) and (not tag or tag in i.tags))
    return next(fits, None)


def _answer(repository: str, image: EcrImage, tag: str) -> dict[str, Any]:
    return {
        "registryId": ACCOUNT,
        "repositoryName": repository,
        "imageId": {"imageDigest": image.digest} | ({"imageTag": tag} if tag else {}),
        "imageManifest": image.manifest,
        "imageManifestMediaType": image.media_type,
    }


def _details(repository: str, image: EcrImage) -> dict[str, Any]:
    row: dict[str, Any] = {
        "registryId": ACCOUNT,
        "repositoryName": repository,
        "imageDigest": image.digest,
        "imageSizeInBytes": _size(image.manifest),
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": image.media_type,
    }
    if image.tags:
        row["imageTags"] = list(image.tags)
    if image.scan is not None:
        row |= {"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindingsSummary": image.scan}
    return row


def _size(manifest: str) -> int:
    try:
        return sum(int(layer.get("size", 0)) for layer in json.loads(manifest).get("layers", []))
    except (ValueError, AttributeError):
        return 0


def _not_found(repository: str, identity: Mapping[str, str]) -> str:
    digest, tag = identity.get("imageDigest", "null"), identity.get("imageTag", "null")
    return (
        f"The image with imageId {{imageDigest:'{digest}', imageTag:'{tag}'}} does not exist within the repository "
        f"with name '{repository}' in the registry with id '{ACCOUNT}'"
    )


def _failure(identity: Mapping[str, str]) -> dict[str, Any]:
    return {"imageId": dict(identity), "failureCode": "ImageNotFound", "failureReason": "Requested image not found"}


def _paged(name: str, rows: list[Any], params: Params) -> dict[str, Any]:
    size = int(params.get("maxResults") or 100)
    chosen, token = page(rows, params.get("nextToken"), size, code="InvalidParameterException")
    return {name: chosen} | ({"nextToken": token} if token else {})
