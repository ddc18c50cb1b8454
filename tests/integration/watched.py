"""A story as Lambda runs it, for what it leaves behind: ``python -m tests.integration.watched FOLDER`` plays it and
prints everything the functions wrote, and every segment that reached X-Ray, a JSON line for each.

In a process of its own, because Powertools reads the environment when it is imported: what template.yaml gives the
functions. Each invocation has a trace of its own, as one by an event of AWS's has. Builds and deployments end as the
story says; the controller, its telemetry and the calls to X-Ray are real, and moto plays X-Ray as it plays the rest.
"""

from __future__ import annotations

import io
import itertools
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from console.local.aws.bus import Chaos
from console.local.aws.functions import Invocation
from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome
from esteira import bootstrap, telemetry
from esteira.aws.tracing import client_of_xray, watch_calls
from tests.integration.conftest import Story, refusing

FAILED_BUILD = BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: Error while executing command: pytest. Reason: exit 1")
SICK = DeployOutcome(False, "GET /ping answered 500", hook="ApplicationStart", log_tail="ValueError: no model")


@dataclass(frozen=True)
class Written:
    """One line that a function wrote, or Lambda's runtime for it, and the trace it belongs to."""

    function: str
    trace: str
    text: str


def play(story: Story) -> None:
    """Let happen what an operator looks at: pushes that go live, each kind of failure, repairs, a rollback, errors."""
    push(story, "one")
    story.deploys = SICK
    push(story, "two")
    story.deploys = DeployOutcome()
    story.builds = FAILED_BUILD
    push(story, "three")
    story.builds = BuildOutcome()
    story.change({"id_rsa": "anything"})
    story.play()
    story.bus.chaos = Chaos(lose=1.0)
    story.change({"id_rsa": None, "app.py": "five"})
    story.pass_time(60, sweeps=4)
    story.bus.chaos = Chaos()
    story.operate("rollback", to="v1", reason="v5 answers 0.5 to everybody")
    story.play()
    story.push("six")
    story.faults.hook = refusing("codebuild:StartBuild")
    story.deliver()
    story.faults.hook = None
    story.pass_time(60)
    claim = {"environment-variables": [{"name": "ESTEIRA_CLAIM", "value": "heart/v1/build/1"}]}
    ours = {"project-name": story.service.project, "additional-information": {"environment": claim}}
    story.bus.emit("aws.codebuild", "CodeBuild Build State Change", [], ours)
    story.play()
    story.faults.hook = refusing("codecommit:GetBranch")
    story.pass_time(300)
    story.faults.hook = None
    story.aws_client("ssm").put_parameter(Name="/esteira/services/lungs", Value='{"name": "lungs"}', Type="String")
    story.pass_time(300)


def push(story: Story, text: str) -> None:
    """Push, and let the build take forty seconds and the deployment twenty."""
    story.push(text)
    story.deliver()
    for seconds in (40, 20):
        story.clock.advance(seconds)
        if story.engine.finish_next():
            story.deliver()


def listened_to(call: Callable[[str, Any], Invocation], name: Callable[[str], str], heard: list[Written]) -> Any:
    """Return ``call`` with a trace for each invocation, noting what it wrote and what the runtime says of an error."""

    numbers = itertools.count(1)

    def invoke(function: str, event: Any) -> Invocation:
        number = next(numbers)
        trace = f"1-{int(time.time()):08x}-{number:024x}"
        os.environ["_X_AMZN_TRACE_ID"] = f"Root={trace};Parent={number:016x};Sampled=1"
        out = io.StringIO()
        telemetry.logger.registered_handler.setStream(out)  # type: ignore[attr-defined]
        with redirect_stdout(out):
            answer = call(function, event)
        texts = out.getvalue().splitlines()
        if answer.error:  # as awslambdaric writes it where the log's format is JSON
            said = {name: answer.payload[name] for name in ("errorMessage", "errorType", "stackTrace")}
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            texts.append(json.dumps({"timestamp": at, "level": "ERROR", **said, "requestId": answer.request_id}))
        heard.extend(Written(name(function), trace, text) for text in texts)
        return answer

    return invoke


def listen(segments: list[dict[str, Any]]) -> None:
    """Note every segment that the functions' client sends to X-Ray; moto, which plays it, refuses an incomplete one."""

    def note(params: dict[str, Any], **_: Any) -> None:
        texts = params["TraceSegmentDocuments"]
        assert all(len(text.encode()) <= 64 * 1024 for text in texts)
        segments.extend(json.loads(text) for text in texts)

    client_of_xray().meta.events.register("provide-client-params.xray.PutTraceSegments", note)


def main(folder: Path) -> None:
    heard: list[Written] = []
    segments: list[dict[str, Any]] = []
    watch_calls()  # as the first call of a process does, before any client is made
    with Story(folder) as story:
        listen(segments)
        del os.environ["POWERTOOLS_METRICS_DISABLED"]
        os.environ["ESTEIRA_TRACE_SHARE"] = "1"
        logging.getLogger("esteira").setLevel("INFO")
        functions = story.bus.functions
        theirs = bootstrap.from_environment()  # what a function's desk tells and follows by
        story.context = replace(story.context, tell=theirs.tell, follow=theirs.follow)
        functions.call = listened_to(functions.call, lambda f: functions.named(f).name, heard)  # type: ignore[method-assign]
        play(story)
    for written in heard:
        print(json.dumps({"written": asdict(written)}))
    for segment in segments:
        print(json.dumps({"segment": segment}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
