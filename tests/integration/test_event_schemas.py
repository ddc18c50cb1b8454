"""The events that esteira itself sends are what their schemas in docs/ say, all of them, and the schemas are no wider
than they must be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from console.local.paths import ROOT
from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome
from esteira.config import Service, Stage
from esteira.core.status import Phase
from notify import news
from tests.world.story import Story, told

FILES = {"Release Phase Changed": "release-phase-changed", "Hold Ends Soon": "hold-ends-soon"}
EXAMPLES = {"Release Phase Changed": "release_phase_changed", "Hold Ends Soon": "hold_ends_soon"}


def schema(kind: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "docs" / f"{FILES[kind]}.schema.json").read_text(encoding="utf-8"))
    return document


def faults(event: dict[str, Any]) -> list[str]:
    validator = Draft202012Validator(schema(event["detail-type"]), format_checker=FormatChecker())
    return [error.message for error in validator.iter_errors(event)]


def example(kind: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{EXAMPLES[kind]}.json").read_text(encoding="utf-8"))
    return event


@pytest.fixture
def story() -> Iterator[Story]:
    """A story in memory."""
    with Story() as story:
        yield from told(story)


def test_every_event_of_a_story_is_as_its_schema_says(story: Story) -> None:
    """Of pushes that go live, fail, wait, are superseded, skipped, rejected, aborted and rolled back; and of a hold."""
    story.bus.keep = True
    story.live("one")
    story.push_image("two", "v1.0")
    story.play()
    story.change({"README.md": "words"})
    story.play()
    story.change({"id_rsa": "anything"})
    story.play()
    story.change({"id_rsa": None})
    story.builds = BuildOutcome("FAILED", "exit 1")
    story.play()
    story.builds = BuildOutcome()
    story.operate("retry", release=f"v{story.newest()}")
    story.play()
    log = "\n".join(f"line {n} {'x' * 400}" for n in range(30))
    story.deploys = DeployOutcome(False, "GET /ping answered 500", hook="ApplicationStart", log_tail=log)
    story.push("six")
    story.play()
    story.deploys = DeployOutcome()
    story.operate("rollback", to="v1")
    story.play()
    story.operate("hold", minutes=90)
    story.push("seven")
    story.deliver()
    story.push("eight")
    story.play()
    story.operate("abort", release=f"v{story.newest()}")
    story.wait(82)
    own = [event for event in story.bus.events if event["source"] == "esteira"]
    assert [(event["detail"], found) for event in own if (found := faults(event))] == []
    phases = {event["detail"].get("phase") for event in own}
    assert phases >= {phase.value for phase in Phase} - {"pushed", "built"}
    assert {event["detail-type"] for event in own} == set(FILES)


@pytest.mark.parametrize("kind", FILES)
def test_a_schema_is_one_and_the_example_is_of_it(kind: str) -> None:
    """By JSON Schema's own, 2020-12; and everything it speaks of is in the example."""
    document = schema(kind)
    Draft202012Validator.check_schema(document)
    event = example(kind)
    assert faults(event) == []
    detail = document["$defs"]["detail"]
    assert set(detail["properties"]) == set(detail["required"]) == set(event["detail"])


@pytest.mark.parametrize("kind", FILES)
def test_a_schema_refuses_what_is_otherwise(kind: str) -> None:
    """Each property taken away, of another type, or one more: that would be another event."""
    for name in example(kind)["detail"]:
        for change in ("without", "otherwise"):
            event = example(kind)
            if change == "without":
                del event["detail"][name]
            else:
                event["detail"][name] = [["not this"]]
            assert faults(event), f"{name} {change}"
    event = example(kind)
    event["detail"]["more"] = 1
    assert faults(event)


def test_the_schemas_know_the_phases_and_what_announce_reads() -> None:
    """A phase that is added, or a field that announce begins to read, is told to the others who listen, too."""
    document = schema("Release Phase Changed")
    assert document["$defs"]["phase"]["enum"] == [phase.value for phase in Phase]
    assert set(news.PhaseChange.model_fields) <= set(document["$defs"]["detail"]["required"])
    assert set(news.HoldEnds.model_fields) == set(schema("Hold Ends Soon")["$defs"]["detail"]["required"])
    for kind in FILES:
        detail = schema(kind)["$defs"]["detail"]["properties"]
        for model, field, name in ((Service, "name", "service"), (Stage, "name", "stage")):
            (bound,) = (m.pattern for m in _metadata(model, field))
            assert detail[name]["pattern"] == bound


def _metadata(model: type, field: str) -> list[Any]:
    annotated = get_args(get_type_hints(model, include_extras=True)[field])
    return [m for info in annotated[1:] for m in getattr(info, "metadata", [info]) if getattr(m, "pattern", None)]
