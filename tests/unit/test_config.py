"""A registration is validated where it enters; the controller's own tags never start a release."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from esteira.claims import BuildClaim, RolloutClaim, build_claim, rollout_claim
from esteira.config import Service, build_tag, is_own_tag, release_tags
from tests.unit.conftest import COMMIT, DIGEST, HEART, SETTINGS


def registration(**said: Any) -> str:
    """The document a service's stack writes, as JSON, with other values where said."""
    document = HEART.model_dump(mode="json", exclude_defaults=True)
    return json.dumps(document | said)


def test_a_registration_needs_only_where_things_are() -> None:
    """All that has a default may be left out; what comes back is the same service."""
    assert Service.model_validate_json(registration()) == HEART
    assert (HEART.branch, HEART.port, HEART.health_path, HEART.last.name) == ("main", 0, "", "production")


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"brunch": "main"}, "brunch"),
        ({"name": "Heart"}, "name"),
        ({"name": "heart#1"}, "name"),
        ({"repository": ""}, "repository"),
        ({"stages": []}, "stages"),
        ({"stages": [{"group": "a"}, {"group": "b"}]}, "stages"),
        ({"stages": [{"name": "Prod", "group": "a"}]}, "stages.0.name"),
        ({"port": -1}, "port"),
        ({"health_path": "ping"}, "health_path"),
        ({"accepted_tags": [""]}, "accepted_tags.0"),
        ({"deadlines": {"build_minutes": 0}}, "deadlines.build_minutes"),
        ({"deadlines": {"deploy_minutes": 721}}, "deadlines.deploy_minutes"),
        ({"guard": {"alow": []}}, "guard.alow"),
        ({"startup_seconds": 1501}, "startup_seconds"),
        ({"validation_seconds": 0}, "validation_seconds"),
        ({"memory_mb": -1}, "memory_mb"),
        ({"when_memory_is_short": "stop"}, "when_memory_is_short"),
        ({"environment": {"A B": "x"}}, "environment.A B.[key]"),
        ({"parameters": {"TOKEN": "/heart token"}}, "parameters.TOKEN"),
        ({"environment": {"TOKEN": "x"}, "parameters": {"TOKEN": "/heart/token"}}, ""),
    ],
)
def test_a_wrong_registration_is_refused_with_the_field_it_is_wrong_in(said: dict[str, Any], field: str) -> None:
    """A key that is not known is a mistake worth naming, as is a value out of bounds."""
    with pytest.raises(ValidationError) as refused:
        Service.model_validate_json(registration(**said))
    # The first error is the one a person is told; a tuple may also count its wrong item as missing.
    assert ".".join(map(str, refused.value.errors()[0]["loc"])) == field


@pytest.mark.parametrize(
    ("tag", "taken"),
    [
        ("v1", True),
        ("v1.2.3", True),
        ("release-2026", True),
        ("latest", False),
        ("V1", False),
        (build_tag(COMMIT, "owner", "heart/v1/build/1"), False),
        (release_tags(1, DIGEST)[0], False),
        ("live-production", False),
        ("previous-production", False),
    ],
)
def test_an_image_becomes_a_release_by_its_tag(tag: str, taken: bool) -> None:
    """v* and release-*, unless configured otherwise."""
    assert HEART.accepts_tag(tag) == taken


@pytest.mark.parametrize(
    "tag",
    [
        build_tag(COMMIT, "owner", "heart/v1/build/1"),
        *release_tags(7, DIGEST),
        "live-production",
        "previous-production",
        "live-staging",
    ],
)
def test_its_own_tags_never_start_a_release_whatever_is_accepted(tag: str) -> None:
    """Or each deployment would start the next one."""
    greedy = HEART.model_copy(update={"accepted_tags": ("*", "live-*", "esteira-*", "git-*")})
    assert is_own_tag(tag)
    assert not greedy.accepts_tag(tag)
    assert greedy.accepts_tag("latest")


def test_nobody_can_know_the_tag_of_a_build_but_who_claimed_it() -> None:
    """It holds the commit for people and 128 bits of the claim's owner; each attempt has its own."""
    tag = build_tag(COMMIT, "owner", "heart/v1/build/1")
    assert re.fullmatch(rf"git-{COMMIT}-[0-9a-f]{{32}}", tag)
    assert tag == build_tag(COMMIT, "owner", "heart/v1/build/1")
    others = (("another", "heart/v1/build/1"), ("owner", "heart/v1/build/2"), ("owner", "heart/v2/build/1"))
    assert tag not in {build_tag(COMMIT, owner, claim) for owner, claim in others}


def test_a_label_that_is_taken_has_another_that_the_registry_keeps_as_well() -> None:
    """Both fall under the lifecycle policy's esteira-v*; the second has the digest in it, so nobody takes it before."""
    label, other = release_tags(17, DIGEST)
    assert (label, other) == ("esteira-v17", f"esteira-v17-{DIGEST[7:19]}")


@pytest.mark.parametrize(
    ("what", "minutes"), [("start", 30), ("build", 30), ("accept", 15), ("deploy", 60), ("stop", 15)]
)
def test_every_wait_has_its_deadline(what: str, minutes: int) -> None:
    """By default, and as the registration says."""
    longer = Service.model_validate_json(registration(deadlines={f"{what}_minutes": 7}))
    assert HEART.minutes(what) == timedelta(minutes=minutes)
    assert longer.minutes(what) == timedelta(minutes=7)


def test_a_claims_lease_outlives_a_function() -> None:
    """A function lives 60 seconds at most; a claim must not run out under its hands."""
    assert SETTINGS.lease > timedelta(seconds=60)


NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True)
COUNTS = st.integers(1, 9_999)


@given(NAMES, COUNTS, COUNTS)
@settings(max_examples=20)
def test_a_builds_claim_reads_back(service: str, release: int, attempt: int) -> None:
    """What is written into the build's environment is found again, and is no deployment's claim of a stage."""
    claim = BuildClaim(service, release, attempt)
    assert build_claim(str(claim)) == claim
    assert build_claim(f"{claim} more") is None


@given(NAMES, COUNTS, NAMES, COUNTS, st.text(max_size=20))
@settings(max_examples=20)
def test_a_turns_claim_reads_back_from_a_description(
    service: str, release: int, stage: str, rollout: int, why: str
) -> None:
    """The first word of a deployment's description is its claim, whatever sentence follows."""
    claim = RolloutClaim(service, release, stage, rollout)
    assert rollout_claim(f"{claim} {why}") == rollout_claim(str(claim)) == claim


@pytest.mark.parametrize(
    "text", ["", " ", "heart", "heart/v0/production/1", "heart/1/production/1", "a b", "Heart/v1/p/1"]
)
def test_a_description_of_somebody_elses_is_no_claim(text: str) -> None:
    """Deployments made by hand are not the controller's."""
    assert rollout_claim(text) is None
    assert build_claim(text) is None
