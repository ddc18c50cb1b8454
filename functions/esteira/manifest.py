"""What lies in the registry under a digest: an image, an index of images, or something else. Pure.

A registry keeps helm charts, signatures, attestations and bills of materials beside images, and all of them have
manifests. Media types tell them apart. A signature may call itself an image; then its layers tell.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
IMAGES = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
# The artifact's type, as ECR calls the media type of a manifest's configuration. An index has none.
CONFIGURATIONS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
_LAYERS = ("application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs.")
_ATTESTATION = "vnd.docker.reference.type"  # the annotation of an attestation in an index


@dataclass(frozen=True)
class Manifest:
    """What a manifest describes: an image, or an index with its images' digests and, in Docker's words, architectures;
    or why it is neither. ``text`` is the manifest itself, ``media_type`` what the registry calls it."""

    images: tuple[str, ...] = ()
    refused: str = ""
    platforms: tuple[str, ...] = field(default=(), compare=False)  # of each image: amd64, arm64; "" is not said
    text: str = field(default="", compare=False)
    media_type: str = field(default="", compare=False)

    @property
    def architectures(self) -> tuple[str, ...]:
        """The architectures of an index's images; none where one of them does not say."""
        return () if "" in self.platforms else tuple(sorted(set(self.platforms)))

    def for_hosts(self, architecture: str) -> tuple[str, ...]:
        """An index's images that a host of that architecture may run; all of them where it is "" or none is for it."""
        fits = zip(self.images, self.platforms, strict=True)
        return tuple(digest for digest, built in fits if architecture and built in ("", architecture)) or self.images


def no_image(manifest_type: str, artifact_type: str) -> str:
    """Why these media types are no image's, "" where they may be one's or are not known."""
    if manifest_type and manifest_type not in INDEXES + IMAGES:
        return f"it is no image but {manifest_type}"
    if artifact_type and artifact_type not in CONFIGURATIONS:
        return f"it is no image but {artifact_type}"
    return ""


def read(text: str, media_type: str = "") -> Manifest:
    """The manifest in ``text``; ``media_type`` is what the registry calls it."""
    return replace(_read(text, media_type), text=text, media_type=media_type)


def _read(text: str, media_type: str) -> Manifest:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return Manifest(refused="its manifest is no JSON object")
    kind = str(document.get("mediaType") or media_type)
    refused = no_image(kind, str(document.get("artifactType") or ""))
    if refused or document.get("subject"):
        return Manifest(refused=refused or "it is attached to another image")
    return _index(document) if kind in INDEXES else _image(document)


def _index(document: Mapping[str, Any]) -> Manifest:
    images = [child for child in _rows(document, "manifests") if _is_image(child)]
    if not images:
        return Manifest(refused="it is an index without an image")
    platforms = [child["platform"] if isinstance(child.get("platform"), dict) else {} for child in images]
    built = tuple(str(platform.get("architecture") or "") for platform in platforms)
    return Manifest(tuple(str(child.get("digest")) for child in images), platforms=built)


def _is_image(child: Mapping[str, Any]) -> bool:
    """Whether an index's entry is an image or a further index, not what says something about one."""
    platform, annotations = child.get("platform"), child.get("annotations")
    attests = isinstance(annotations, dict) and _ATTESTATION in annotations
    attests = attests or (isinstance(platform, dict) and platform.get("os") == "unknown")
    return child.get("mediaType") in INDEXES + IMAGES and not child.get("artifactType") and not attests


def _image(document: Mapping[str, Any]) -> Manifest:
    configuration = document.get("config")
    kind = str(configuration.get("mediaType") or "") if isinstance(configuration, dict) else "without a configuration"
    layers = [str(layer.get("mediaType") or "") for layer in _rows(document, "layers")]
    other = next((layer for layer in layers if not layer.startswith(_LAYERS)), "")
    refused = no_image("", kind) or (f"it is no image but holds {other}" if other else "")
    return Manifest(refused=refused)


def _rows(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    rows = document.get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
