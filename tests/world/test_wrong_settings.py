"""A registration with a wrong setting: what is under way goes on, events are heard, and releases wait and say why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from console.read.stage_status import status

pytestmark = pytest.mark.world
UNKNOWN = "the registration /esteira/services/heart is refused: gatez: Extra inputs are not permitted"


def mend(story: Any) -> None:
    """Take the wrong keys out of the registration."""
    ssm, name = story.aws_client("ssm"), story.context.settings.services_path + "heart"
    document = json.loads(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    kept = {key: value for key, value in document.items() if key not in ("gatez", "port", "webhook")}
    ssm.put_parameter(Name=name, Value=json.dumps(kept), Type="String", Overwrite=True)
    story.__dict__.pop("service", None)


def test_a_push_is_built_and_waits_until_the_registration_is_mended(story: Any) -> None:
    """An unknown key made the whole service vanish from every event, and nobody said why."""
    story.live("one")
    story.register(gatez={})
    story.push("two")
    story.play()
    assert story.phases == ["live", "waiting"]
    assert story.why(2).startswith(UNKNOWN)
    mend(story)
    story.play()
    story.wait(5)
    story.play()
    assert story.phases == ["superseded", "live"]


def test_a_wrong_webhook_holds_nothing_back(story: Any) -> None:
    """It is about telling a chat; the model goes live."""
    story.register(webhook={"parameter": "no name"})
    story.push("one")
    story.play()
    assert story.phases == ["live"]


def test_nothing_is_deployed_with_a_wrong_port_not_even_a_rollback(story: Any) -> None:
    """What a host gets cannot be guessed. The rollback is carried out when the registration is right again."""
    story.live("one", "two")
    story.register(port=70_000)
    story.operate("rollback")
    story.play()
    assert story.live_on("production") == 2
    mend(story)
    story.wait(5)
    story.play()
    assert story.live_on("production") == 1


def test_status_tells_why_a_release_waits(story: Any) -> None:
    """Whoever asks reads the field that is wrong."""
    story.live("one")
    story.register(gatez={})
    story.push("two")
    story.play()
    services, faults = story.context.aws.services(story.context.settings.services_path)
    assert faults == (UNKNOWN,)
    [stage] = status(story.store, services, story.clock.now())
    assert UNKNOWN in repr(stage)
