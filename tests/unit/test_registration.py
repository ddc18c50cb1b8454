"""A wrong setting holds back what it is about; the service stays, unless nobody can tell what it is made of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from esteira.config import Service
from esteira.core.state import Snapshot
from esteira.perform.effects import Effects
from esteira.perform.rollout import release_document
from esteira.registration import RELEASE, registered
from tests.unit.conftest import HEART, release, rollout_of

pytestmark = pytest.mark.unit
DOCUMENT = HEART.model_dump(mode="json", exclude_defaults=True)
STAGES = [{"name": "staging", "group": "heart-staging"}, {"name": "production", "group": "heart-production"}]


def read(**said: Any) -> tuple[Any, str]:
    """A registration with two stages and other values where said."""
    return registered("/x", json.dumps(DOCUMENT | {"stages": STAGES} | said))


def with_stage(place: int, **said: Any) -> list[dict[str, Any]]:
    return [stage | (said if n == place else {}) for n, stage in enumerate(STAGES)]


def test_a_registration_without_a_fault_is_the_service() -> None:
    """Nothing is held back."""
    service, fault = read()
    assert fault == ""
    assert [stage.fault for stage in service.stages] == ["", ""]
    assert not service.is_stopped


@pytest.mark.parametrize(
    ("said", "held", "stopped"),
    [
        ({"brunch": "main"}, ["staging", "production"], False),
        ({"gates": {"auc": {}}}, ["staging", "production"], False),
        ({"deadlines": {"build_minutes": 0}}, ["staging", "production"], False),
        ({"stages": with_stage(1, windows=[{"day": 9}])}, ["production"], False),
        ({"stages": with_stage(0, votes=2)}, ["staging"], False),
        ({"stages": with_stage(0, alarms=["errors"])}, ["staging"], False),
        ({"webhook": {"parameter": "no name"}}, [], False),
        ({"port": 70_000}, ["staging", "production"], True),
        ({"capabilities": ["SYS_ADMIN"]}, ["staging", "production"], True),
        ({"is_stopped": True}, ["staging", "production"], False),
        ({"stages": with_stage(1, fault="no releases today")}, ["production"], False),
        ({"environment": {"A B": "x"}}, ["staging", "production"], True),
        ({"environment": {"A": "x"}, "parameters": {"A": "/a"}}, ["staging", "production"], True),
    ],
)
def test_a_wrong_setting_holds_back_what_it_is_about(said: dict[str, Any], held: list[str], stopped: bool) -> None:
    """Rules hold releases back from their stages; what a host gets stops every deployment; a chat stops nothing."""
    service, fault = read(**said)
    assert fault.startswith("the registration /x is refused: ")
    assert [stage.name for stage in service.stages if stage.fault] == held
    assert {stage.fault for stage in service.stages} <= {fault, ""}
    assert service.is_stopped is stopped
    assert (service.name, service.repository) == (HEART.name, HEART.repository)


def test_what_the_hosts_get_is_known() -> None:
    """A setting that a host gets stops every deployment while it is wrong: RELEASE names them all."""
    document = release_document(release(), rollout_of(), {}, Effects(Snapshot(HEART, ()), None))  # type: ignore[arg-type]
    assert Service.model_fields.keys() & document.keys() == RELEASE


@pytest.mark.parametrize(
    "said",
    [
        {"name": "Heart"},
        {"repository": ""},
        {"stages": []},
        {"stages": 7},
        {"stages": with_stage(0, name="Prod")},
        {"stages": with_stage(1, group="")},
        {"stages": with_stage(0, name="production")},
    ],
)
def test_without_its_names_there_is_no_service(said: dict[str, Any]) -> None:
    """Nobody could tell whose an event is."""
    service, fault = read(**said)
    assert service is None
    assert fault


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"name": "heart"}', '{"stages": [1]}'])
def test_what_is_no_registration_is_a_fault(text: str) -> None:
    """Any text at all: a sentence, and no exception."""
    service, fault = registered("/x", text)
    assert service is None
    assert fault.startswith("the registration /x is refused: ")
