"""The names of services and of events agree: each event of ours carries a name that its service bears."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aws_events import _READERS, Heard, read
from service_index.names import _NAMED, LONGEST, name_of, names_of
from tests.unit.conftest import HEART, NOON
from tests.unit.test_aws_events import SETTINGS

EVENTS = {
    path.stem: json.loads(path.read_text()) for path in sorted((Path(__file__).parents[2] / "events").glob("*.json"))
}
SENT = {name: event for name, event in EVENTS.items() if "detail-type" in event}


@pytest.mark.parametrize("name", SENT)
def test_an_event_that_is_heard_carries_a_name_of_its_service(name: str) -> None:
    """Else the index could not lead from the event to the service, whatever stands in it."""
    heard = read(SENT[name], [HEART], NOON, SETTINGS) if SENT[name]["source"] != "esteira" else None
    if isinstance(heard, Heard):
        assert name_of(SENT[name], SETTINGS) in names_of(heard.service)


def test_every_source_that_is_read_has_its_names() -> None:
    """A new kind of event that carried no name would be nobody's."""
    assert {source for source, _ in _READERS} == set(_NAMED)


def test_most_files_are_of_events_that_are_heard() -> None:
    """The test above would be content with none."""
    events = [event for event in SENT.values() if event["source"] != "esteira"]
    assert sum(isinstance(read(event, [HEART], NOON, SETTINGS), Heard) for event in events) > 15


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        {},
        {**SENT["codecommit_updated"], "source": ["aws.codecommit"]},
        {**SENT["codecommit_updated"], "detail": "main"},
        {**SENT["codecommit_updated"], "account": "210987654321"},
        {**SENT["codecommit_updated"], "region": "eu-west-1"},
        {**SENT["host_report"], "detail": {"service": "h" * LONGEST}},
        SENT["ssm_parameter_change"],
    ],
)
def test_what_can_be_nobodys_name_is_not_looked_up(event: Any) -> None:
    """It costs no read, and leaves no row."""
    assert name_of(event, SETTINGS) == ""
