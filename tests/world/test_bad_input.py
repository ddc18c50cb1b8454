"""Rubbish, and real events a little wrong, to every handler: a sentence, nothing recorded, no other exception."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.local.paths import ROOT
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from tests.world.world import World

HANDLERS = ("IntakeFunction", "OperateFunction", "AnnounceFunction")
REAL = {path.name: json.loads(path.read_text()) for path in sorted((ROOT / "events").glob("*.json"))}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
# The same stage serves all examples: each must leave it as it was.
relaxed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def stage() -> Iterator[World]:
    """A stage with two releases of history."""
    with World(ScriptedEngine(manual=True), retries=0) as stage:
        for content in (b"1", b"2"):
            stage.commit({"app.py": content})
            stage.play()
        yield stage


@relaxed
@given(garbage=json_values, handler=st.sampled_from(HANDLERS))
def test_garbage_is_refused_with_a_sentence_and_leaves_nothing(stage: World, garbage: Any, handler: str) -> None:
    """Whatever JSON comes, a function answers or says in a sentence what is wrong, and writes nothing."""
    before = _rows(stage)
    _refused_or_not_ours(stage, handler, garbage)
    assert _rows(stage) == before


@relaxed
@given(data=st.data(), name=st.sampled_from(sorted(REAL)))
def test_a_real_event_with_one_field_wrong_breaks_nothing(stage: World, data: st.DataObject, name: str) -> None:
    """A real event with a value replaced or taken away is understood, not ours, or refused: never another error."""
    event = copy.deepcopy(REAL[name])
    path = data.draw(st.sampled_from(list(_paths(event))))
    _replace(event, path, data.draw(json_values))
    handler = "OperateFunction" if name.startswith("operate_") else "IntakeFunction"
    before = _rows(stage)
    refused = _refused_or_not_ours(stage, handler, event)
    if refused:
        assert _rows(stage) == before


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("nothing", [None, {}, [], "", 0, {"detail": "{}"}, {"source": "aws.codebuild", "detail": {}}])
def test_nothing_is_refused_too(stage: World, handler: str, nothing: object) -> None:
    """An empty event is as malformed as any. To intake, an event that does not say whose it is is somebody else's."""
    nobodys = handler == "IntakeFunction" and isinstance(nothing, dict)
    assert _refused_or_not_ours(stage, handler, nothing) is not nobodys


def test_a_refused_event_ends_in_the_dead_letter_queue(stage: World) -> None:
    """A malformed event of ours is called again as Lambda does, and then kept where somebody will look."""
    event = copy.deepcopy(REAL["codebuild_succeeded.json"])
    del event["detail"]["build-status"]
    stage.bus.put(event)
    stage.bus.deliver_all()
    letter = stage.bus.letters[-1]
    assert "build-status" in json.dumps(letter)
    assert "Refused" in json.dumps(letter)


def _refused_or_not_ours(stage: World, handler: str, event: object) -> bool:
    """Call the handler; assert that it answered or refused with one sentence; return whether it refused."""
    answer = stage.bus.functions.call(handler, event)
    if answer.error:
        assert answer.payload["errorType"] == "Refused", answer.payload
        said = answer.payload["errorMessage"]
    else:
        assert isinstance(answer.payload, dict)
        said = answer.payload.get("refused", "")
        if not said:
            return False
    assert said
    assert "\n" not in said
    return True


def _rows(stage: World) -> Any:
    return stage.local_aws.dynamodb.dump()


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from _paths(item, (*path, key))


def _replace(value: Any, path: tuple[Any, ...], new: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    if new is None and isinstance(value, dict):
        del value[path[-1]]
    else:
        value[path[-1]] = new
