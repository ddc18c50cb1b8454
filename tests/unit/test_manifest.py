"""What lies under a digest: an image, an index of images, or something that no host can run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esteira.manifest import CONFIGURATIONS, IMAGES, INDEXES, Manifest, no_image, read

OCI, DOCKER = "application/vnd.oci.image", "application/vnd.docker"
CONFIG = {"mediaType": f"{OCI}.config.v1+json"}
LAYER = {"mediaType": f"{OCI}.layer.v1.tar+gzip"}
ARM = {"mediaType": f"{OCI}.manifest.v1+json", "digest": "sha256:1", "platform": {"os": "linux"}}
ATTESTATION = {"mediaType": f"{OCI}.manifest.v1+json", "digest": "sha256:2", "platform": {"os": "unknown"}}
ANNOTATED = {**ARM, "digest": "sha256:3", "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
REFERRER = {**ARM, "digest": "sha256:4", "artifactType": "application/vnd.amazon.soci.index.v2+json"}


def image(**more: Any) -> str:
    return json.dumps({"mediaType": IMAGES[0], "config": CONFIG, "layers": [LAYER], **more})


def index(*children: Any) -> str:
    return json.dumps({"mediaType": INDEXES[0], "manifests": children})


@pytest.mark.parametrize(
    "text",
    [
        image(),
        image(layers=[]),
        image(layers=[{"mediaType": f"{OCI}.layer.nondistributable.v1.tar"}]),
        json.dumps(
            {
                "mediaType": IMAGES[1],
                "config": {"mediaType": CONFIGURATIONS[1]},
                "layers": [{"mediaType": f"{DOCKER}.image.rootfs.diff.tar.gzip"}],
            }
        ),
    ],
)
def test_an_image_is_one(text: str) -> None:
    """Of OCI and of Docker."""
    assert read(text) == Manifest()


def test_an_image_may_leave_its_media_type_to_the_registry() -> None:
    """OCI's manifest need not name it; then ECR's word counts."""
    assert read(image(mediaType=None), IMAGES[0]) == Manifest()


def test_an_index_is_its_images() -> None:
    """What is attached to them, attestations and the like, is none of them."""
    assert read(
        index(ARM, ATTESTATION, ANNOTATED, REFERRER, "nonsense", {"platform": 1, "annotations": 2})
    ) == Manifest(images=("sha256:1",))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (image(config={"mediaType": "application/vnd.cncf.helm.config.v1+json"}), "vnd.cncf.helm.config"),
        (image(layers=[{"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json"}]), "cosign.simplesigning"),
        (image(layers=[LAYER, {"mediaType": "application/vnd.in-toto+json"}]), "holds application/vnd.in-toto+json"),
        (image(artifactType="application/spdx+json"), "application/spdx+json"),
        (image(subject={"digest": "sha256:1"}), "attached to another image"),
        (image(config=None), "without a configuration"),
        (image(mediaType="application/vnd.docker.distribution.manifest.v1+prettyjws"), "manifest.v1+prettyjws"),
        (index(ATTESTATION), "an index without an image"),
        (index(), "an index without an image"),
        ("[]", "no JSON object"),
        ("{", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
    ],
)
def test_what_no_host_can_run_is_refused(text: str, why: str) -> None:
    """With a sentence that says what it is."""
    assert why in read(text).refused


@pytest.mark.parametrize(
    "types", [("", ""), (IMAGES[0], CONFIGURATIONS[0]), (IMAGES[1], CONFIGURATIONS[1]), (INDEXES[1], "")]
)
def test_media_types_alone_do_not_refuse_an_image(types: tuple[str, str]) -> None:
    """Older events have none."""
    assert no_image(*types) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("mediaType", "config", "layers", "manifests", "platform", "annotations", "subject", "x")),
            inner,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from((*IMAGES, *INDEXES, "")))
def test_any_manifest_is_read_or_refused(document: Any, media_type: str) -> None:
    """A manifest is text from outside: whatever stands in it, it raises nothing."""
    assert isinstance(read(json.dumps(document), media_type), Manifest)


def test_an_index_says_what_its_images_are_built_for() -> None:
    """Where one does not say it, nothing is known; an attestation's platform is none."""
    amd = {**ARM, "digest": "sha256:5", "platform": {"os": "linux", "architecture": "amd64"}}
    arm = {**ARM, "platform": {"os": "linux", "architecture": "arm64"}}
    assert read(index(arm, amd, ATTESTATION)).architectures == ("amd64", "arm64")
    assert read(index(arm, {**amd, "platform": None})).architectures == ()
    assert read(image()).architectures == ()
