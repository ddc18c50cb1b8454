"""ECR's images over moto's repositories: the digest is the manifest's sha256, tags freeze as the repository says, and
every push and deletion is an event.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from threading import RLock
from typing import Any

from moto.ecr.models import ecr_backends

from console.local.aws.api import AwsError, Operation, Params, page, required
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws.ecr_images import (
    EcrImage,
    answer_of,
    artifact_type,
    details_of,
    in_index,
    index_of,
    scan_detail,
    scan_of,
    status_of,
)
from console.local.aws_account import ACCOUNT, REGION, arn

USER = "AWS"  # as ECR calls everybody who logs in
TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


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
            "DescribeImageScanFindings": self.describe_image_scan_findings,
            "ListImages": self.list_images,
            "BatchGetImage": self.batch_get_image,
            "BatchDeleteImage": self.batch_delete_image,
            "UpdateImageStorageClass": self.update_image_storage_class,
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

    def scanned(
        self,
        repository: str,
        digest: str,
        counts: Mapping[str, int],
        status: str = "COMPLETE",
        findings: Sequence[Any] = (),
    ) -> None:
        """Record a scan's end and emit ``ECR Image Scan``; ``counts`` by severity, empty when clean."""
        with self._lock:
            image = self._repository(repository)[digest]
            image.scanned(counts, findings, self._clock.now(), status)
            detail = scan_detail(repository, digest, image.tags, counts, status)
            self._bus.emit("aws.ecr", "ECR Image Scan", [arn("ecr", f"repository/{repository}")], detail)

    def inspected(self, repository: str, digest: str, counts: Mapping[str, int], findings: Sequence[Any] = ()) -> None:
        """Keep what enhanced scanning found, and emit ``Inspector2 Scan`` as it does."""
        with self._lock:
            name, image = arn("ecr", f"repository/{repository}"), self._repository(repository)[digest]
            image.scanned(counts, findings, self._clock.now(), "ACTIVE")
            total = {**counts, "TOTAL": sum(counts.values())}
            detail = scan_detail(name, digest, image.tags, total, "INITIAL_SCAN_COMPLETE")
            self._bus.emit("aws.inspector2", "Inspector2 Scan", [name], detail)

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
        lacking = [child for child in in_index(manifest) if child not in images]
        if lacking:
            text = f"The manifest refers to images that are not in the repository: {', '.join(lacking)}"
            raise AwsError("ReferencedImagesNotFoundException", text)
        if image is None:
            image = images[digest] = EcrImage(digest, manifest, media_type, self._clock.now())
        image.archived = False  # pushed again, it is restored
        if tag:
            for other in images.values():
                other.tags = [t for t in other.tags if t != tag]
            image.tags.append(tag)
        self._emit("PUSH", name, image, tag)
        return {"image": answer_of(name, image, tag)}

    def describe_images(self, params: Params) -> dict[str, Any]:
        """DescribeImages, by tag, by digest, or all in pages of ``maxResults`` (100). Archived images are not listed
        unless the filter asks for them.
        """
        name = _name(params)
        images = self._repository(name)
        if not params.get("imageIds"):
            wanted = (params.get("filter") or {}).get("tagStatus", "ANY")
            status = (params.get("filter") or {}).get("imageStatus", "ACTIVE")
            listed = [image for image in images.values() if status in ("ANY", status_of(image))]
            rows = [image for image in listed if wanted in ("ANY", "TAGGED" if image.tags else "UNTAGGED")]
            details = [details_of(name, image) for image in rows]
            return _paged("imageDetails", details, params)
        found = [(_find(images, identity), identity) for identity in params["imageIds"]]
        for image, identity in found:
            if image is None:
                raise AwsError("ImageNotFoundException", _not_found(name, identity))
        unique = {image.digest: image for image, _ in found if image is not None}
        return {"imageDetails": [details_of(name, image) for image in unique.values()]}

    def describe_image_scan_findings(self, params: Params) -> dict[str, Any]:
        """DescribeImageScanFindings: what a scan found, in pages."""
        name = _name(params)
        image = _find(self._repository(name), params["imageId"])
        if image is None:
            raise AwsError("ImageNotFoundException", _not_found(name, params["imageId"]))
        return scan_of(name, image, params)

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
        """BatchGetImage: manifests, and a failure for each image that is not there or archived: it cannot be pulled."""
        name = _name(params)
        images = self._repository(name)
        answer: dict[str, Any] = {"images": [], "failures": []}
        for identity in required(params, "imageIds", code="InvalidParameterException"):
            image = _find(images, identity)
            if image is None or image.archived:
                answer["failures"].append(_failure(identity))
            else:
                answer["images"].append(answer_of(name, image, identity.get("imageTag") or ""))
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
            if not identity.get("imageTag") and (index := index_of(images, image.digest)):
                reason = f"Requested image referenced by manifest list: [{index}]"
                failure = {"failureCode": "ImageReferencedByManifestList", "failureReason": reason}
                answer["failures"].append(_failure(identity) | failure)
                continue
            tags = [identity["imageTag"]] if identity.get("imageTag") else list(image.tags)
            image.tags = [tag for tag in image.tags if tag not in tags]
            if not image.tags and not index_of(images, image.digest):
                del images[image.digest]
            for tag in tags or [""]:
                answer["imageIds"].append({"imageDigest": image.digest} | ({"imageTag": tag} if tag else {}))
                self._emit("DELETE", name, image, tag)
        return answer

    def update_image_storage_class(self, params: Params) -> dict[str, Any]:
        """UpdateImageStorageClass: archive an image, or restore it (at once, which AWS takes a while for)."""
        name, identity = _name(params), required(params, "imageId", code="InvalidParameterException")
        image = _find(self._repository(name), identity)
        if image is None:
            raise AwsError("ImageNotFoundException", _not_found(name, identity))
        image.archived = required(params, "targetStorageClass", code="InvalidParameterException") == "ARCHIVE"
        row = {"registryId": ACCOUNT, "repositoryName": name, "imageId": {"imageDigest": image.digest}}
        return row | {"imageStatus": status_of(image)}

    def _repository(self, name: str) -> dict[str, EcrImage]:
        if name not in ecr_backends[ACCOUNT][REGION].repositories:
            text = f"The repository with name '{name}' does not exist in the registry with id '{ACCOUNT}'"
            raise AwsError("RepositoryNotFoundException", text)
        return self._images.setdefault(name, {})

    def _refuse(self, name: str, image: EcrImage | None, digest: str, tag: str) -> None:
        where = f"in the repository with name '{name}' in registry with id '{ACCOUNT}'"
        if image is not None and not image.archived and (not tag or tag in image.tags):
            text = f"Image with digest '{digest}' and tag '{tag or 'null'}' already exists {where}"
            raise AwsError("ImageAlreadyExistsException", text)
        taken = tag and any(tag in other.tags for other in self._images[name].values())
        if taken and _frozen(ecr_backends[ACCOUNT][REGION].repositories[name], tag):
            text = (
                f"The image tag '{tag}' already exists {where} and cannot be overwritten because the tag is immutable."
            )
            raise AwsError("ImageTagAlreadyExistsException", text)

    def _emit(self, action: str, repository: str, image: EcrImage, tag: str) -> None:
        detail = {
            "action-type": action,
            "result": "SUCCESS",
            "repository-name": repository,
            "image-digest": image.digest,
            "image-tag": tag,
            "manifest-media-type": image.media_type,
        }
        kind = artifact_type(image.manifest)
        detail |= {"artifact-media-type": kind} if kind else {}
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
