"""What the functions call while stories run, beside what their code was found to call (tests/unit/rights.py)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome
from tests.integration.conftest import Story, dying
from tests.unit.rights import called
from tests.world.story import refusing

EVENTS = Path(__file__).parents[2] / "events"
ADVANCING = ("intake.handler", "sweep.handler", "operate.handler")
APPSPEC = "version: 0.0\nos: linux\nhooks:\n  AfterInstall:\n    - location: scripts/start.sh\n"
LEASE = 120  # seconds
# A handler's wrapper sends traces, and stories begin within it; tests/unit/test_tracing.py sends them.
TRACES = {"xray:PutTraceSegments"}


def with_a_topic_and_a_webhook(story: Story) -> None:
    """Let announce publish, for the rehearsal's desk has no topic of its own; and let it look for a webhook's address,
    where there is none to post to."""
    parameter = "/esteira/parameters/heart/webhook"
    story.aws_client("ssm").put_parameter(Name=parameter, Value="no address", Type="SecureString")
    story.register(webhook={"parameter": parameter})
    topic = story.aws_client("sns").list_topics()["Topics"][0]["TopicArn"]
    settings = story.context.settings.model_copy(update={"topic_arn": topic})
    story.__dict__["context"] = replace(story.context, settings=settings)


def tell_everything(story: Story) -> None:
    """Play a push with a secret, an image, a bundle of its own, a failed build, a failure that the topic refuses to
    tell, two aborts and two deaths: all that can be called for."""
    story.aws_client("ssm").put_parameter(Name="/esteira/secrets/heart/TOKEN", Value="a token", Type="SecureString")
    own = {"appspec_dot_yml": APPSPEC, "scripts__start_dot_sh": "#!/bin/bash\ntrue\n"}
    story.push("one", **own, esteira_dot_yaml="secrets: [TOKEN]")
    story.play()
    story.push_image("two", "v1.0")
    story.play()
    story.push("three")
    story.deliver()
    story.operate("abort", release="v3")
    story.play()
    story.push("four")
    story.deliver()
    story.end_build()
    story.operate("abort", release="v4")
    story.play()
    story.builds = BuildOutcome(
        "FAILED", "COMMAND_EXECUTION_ERROR: Error while executing command: pytest. Reason: exit 1"
    )
    story.push("a build that fails")
    story.play()
    story.builds = BuildOutcome()
    story.deploys = DeployOutcome(False, "GET /ping answered 500")
    story.faults.hook = refusing("sns:Publish")
    story.push("five")
    story.play()
    story.faults.hook = None
    story.deploys = DeployOutcome()
    story.lose_everything()
    story.push("six")
    story.faults.hook = dying("after", "codebuild:StartBuild")
    story.wait()
    story.wait(seconds=LEASE)
    story.faults.hook = dying("after", "codedeploy:CreateDeployment")
    story.engine.finish_all()
    story.wait()
    story.wait(seconds=LEASE)
    of_a_stranger = json.loads((EVENTS / "release_phase_changed.json").read_text(encoding="utf-8"))
    of_a_stranger["detail"]["service"] = "lungs"  # which the index does not know
    story.bus.functions.call("AnnounceFunction", of_a_stranger)


def test_what_is_called_while_stories_run_is_what_the_code_was_found_to_call(story: Story) -> None:
    """Together the stories make every call that was found and no other, so the reading finds neither too little nor
    much too much; announce makes all of its own."""
    with_a_topic_and_a_webhook(story)
    tell_everything(story)
    asked = {handler: set(calls) for handler, calls in story.asked.items()}
    assert set(called("intake.handler")) - set().union(*(asked[handler] for handler in ADVANCING)) == TRACES
    assert set(called("announce.handler")) - asked["announce.handler"] == TRACES


def test_a_call_that_was_not_found_is_noticed(story: Story) -> None:
    """The comparison at the end of every story can fail: here a function calls what no reading found."""
    story.faults.watch = None
    story.live("one")
    assert not story.asked
    story.faults.watch = story._watch
    story.__dict__["context"] = replace(story.context, tell=lambda _: story.aws_client("sns").list_topics() and None)
    story.live("two")
    assert "sns:ListTopics" in story.asked["intake.handler"]
    assert story.strayed() == {"intake.handler": {"sns:ListTopics"}}
    story.asked.clear()
