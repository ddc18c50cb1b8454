"""Anything in any order: pushes, images, lost, doubled and late events, deaths and lost answers at any call, operators'
words and time. However it went, at the end nothing was built or deployed twice, no stage had two deployments at once or
went backwards unasked, every release has ended, and the sentence about it is the same wherever it is read,
also where a newer version has written rows of kinds that are not known."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import Phase as PhaseOfRun
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from console.local.aws.faults import Call, Crash, When
from console.local.rehearse import chaos
from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome
from esteira.core.status import Phase
from tests.world.door import LostAnswerError
from tests.world.story import Story, from_a_newer_version
from tests.world.test_hosts import report

# Short waits, so that every one has run out when the machine comes to rest.
STAGES = (
    {"name": "staging", "bake_minutes": 2, "alarms": ["staging-errors"]},
    {
        "name": "production",
        "bake_minutes": 10,
        "alarms": ["production-errors"],
        "approvals": {"votes": 1, "valid_hours": 1, "wait_hours": 1},
    },
)
NAMES = ("staging", "production")
VERBS = (
    "rollback", "redeploy", "hold", "resume", "quarantine", "retry", "abort", "approve", "approve", "reject", "promote",
    "bypass",
)  # fmt: skip
ON_A_STAGE = ("rollback", "redeploy", "hold", "resume")
# Longer than a lease and a back-off; then up to every deadline: building, deploying, stopping, a vote nobody gives.
REST = (150, 150, 150, *(600,) * 20)


class Anything(RuleBasedStateMachine):
    """A service on two stages, and what may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.story = Story(stages=STAGES)
        self.story.__enter__()
        self.commits: list[str] = []
        self.pushes = 0

    # --- people

    @rule(path=st.sampled_from(("app.py", "app.py", "app.py", "README.md", "key.ppk")))
    def push(self, path: str) -> None:
        """A commit of code, of documentation, or of a key; a key is gone again with the next one."""
        self.pushes += 1
        self.commits.append(self.story.change({"key.ppk": None, path: str(self.pushes)}))

    @precondition(lambda self: self.commits)
    @rule(data=st.data())
    def push_back(self, data: st.DataObject) -> None:
        """The branch points at an earlier commit again."""
        self.story.force_push(data.draw(st.sampled_from(self.commits)))

    @rule()
    def push_image(self) -> None:
        """An image from elsewhere."""
        self.pushes += 1
        self.story.push_image(f"elsewhere {self.pushes}", f"v{self.pushes}.0")

    @rule(verb=st.sampled_from(VERBS), stage=st.sampled_from(NAMES), back=st.integers(0, 2), by=st.sampled_from("ab"))
    def say(self, verb: str, stage: str, back: int, by: str) -> None:
        """An operator's word, whether or not it can be."""
        more: dict[str, object] = {"minutes": 5} if verb in ("hold", "bypass") else {}
        more |= {"stage": stage} if verb in ON_A_STAGE else {"release": f"v{max(1, self.story.newest() - back)}"}
        self.story.operate(verb, by=by, **more)

    @rule(back=st.integers(0, 2), by=st.sampled_from("ab"))
    def reject_meanwhile(self, back: int, by: str) -> None:
        """A rejection that is recorded while an approval by the same person is on its way to the table."""
        release = f"v{max(1, self.story.newest() - back)}"

        def hook(when: When, call: Call) -> None:
            if when == "before" and "approved#" in str(call.params.get("TransactItems")):
                self.story.faults.hook = None
                self.story.operate("reject", by=by, release=release)

        self.story.faults.hook = hook
        self.story.operate("approve", by=by, release=release)
        self.story.faults.hook = None

    # --- events

    @precondition(lambda self: self.story.bus.waiting())
    @rule(place=st.integers(0, 20), what=st.sampled_from(("deliver", "deliver", "lose", "double")))
    def event(self, place: int, what: str) -> None:
        """One of the events under way is delivered, lost or doubled; the others come later."""
        bus = self.story.bus
        entry = sorted(bus._queue)[place % len(bus._queue)]
        if what == "double":
            bus.invoke_later(entry[2].function, entry[2].event)
            return
        bus._queue.remove(entry)
        if what == "deliver":
            bus._deliver(entry[2])

    @rule()
    def deliver(self) -> None:
        """Every event arrives."""
        self.story.deliver()

    # --- AWS

    @precondition(lambda self: self.story.engine.in_flight())
    @rule(place=st.integers(0, 5), good=st.sampled_from((True, True, True, False)))
    def end(self, place: int, good: bool) -> None:
        """A build or a deployment ends, well or badly."""
        self.story.builds = BuildOutcome() if good else BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: exit 1")
        self.story.deploys = DeployOutcome(good, "" if good else "GET /ping answered 500")
        self.story.engine.finish_next(place % len(self.story.engine.in_flight()))

    @rule(stage=st.sampled_from(NAMES))
    def ring(self, stage: str) -> None:
        """An alarm goes off."""
        self.story.ring(f"{stage}-errors")

    @rule(stage=st.sampled_from(NAMES), sick=st.sampled_from(("", "crash-loop", "errors", "disk")))
    def report(self, stage: str, sick: str) -> None:
        """A host says how what is live on it is."""
        live = self.story.state_of(stage).live
        if live:
            report(self.story, live, stage=stage, sick=sick)

    @rule(calls=st.integers(1, 60), kind=st.sampled_from(("before", "after", "lost")))
    def trouble(self, calls: int, kind: str) -> None:
        """A function dies before or after one of its next calls, or hears no answer to it."""
        left = [calls]

        def hook(when: When, call: Call) -> None:
            if not self.story.in_function or when != ("before" if kind == "before" else "after"):
                return
            left[0] -= 1
            if left[0] == 0:
                self.story.faults.hook = None
                raise LostAnswerError(call) if kind == "lost" else Crash(f"died {kind} {call.name}")

        self.story.faults.hook = hook

    # --- time

    @rule(minutes=st.sampled_from((0, 1, 3, 5, 20, 70)))
    def wait(self, minutes: int) -> None:
        """Time passes, and the sweep comes by."""
        self.story.wait(minutes)

    # --- what holds at the end

    def teardown(self) -> None:
        """Let everything come to rest, and look."""
        story = self.story
        story.faults.hook = None
        story.builds, story.deploys = BuildOutcome(), DeployOutcome()
        for alarm in story.local_aws.cloudwatch._alarms:
            story.hush(alarm)
        for stage in NAMES:
            self.report(stage, "")
        for seconds in REST:
            story.pass_time(seconds)
            if not self._under_way():
                break
        story.pass_time(150)
        try:
            self.look()
            from_a_newer_version(story)
            story.pass_time(150)
            self.look()
        finally:
            story.__exit__(None, None, None)

    def _under_way(self) -> list[int]:
        phases = {n: self.story.stands(n).phase for n in self.story.open()}
        return [n for n, phase in phases.items() if not phase.ended and phase is not Phase.LIVE]

    def look(self) -> None:
        """See that every promise was kept."""
        story: Any = self.story
        report = chaos._report(story, SimpleNamespace(counts=Counter()), 0, 0)  # type: ignore[arg-type]
        broken = {
            "built twice": report.double_builds,
            "deployed twice": report.double_deployments,
            "went backwards unasked": report.went_backward,
            "unapproved on a stage": report.unapproved,
            "two at once on a stage": report.at_once,
            "never ended": report.releases - report.ended,
        }
        assert {what: times for what, times in broken.items() if times} == {}
        for view in story.store.views(story.service.name, 1000):
            said = story.said_everywhere(view.number)
            assert len(set(said.values())) == 1, f"v{view.number}: {said}"


class TestAnything(Anything.TestCase):  # type: ignore[name-defined, misc]
    """Thirty lives in the fast run, always the same ones; a life that fails is shortened in the longer run only."""

    settings = settings(max_examples=30, stateful_step_count=40, derandomize=True, phases=[PhaseOfRun.generate])


@pytest.mark.slow
@pytest.mark.timeout(900)
class TestAnythingLonger(Anything.TestCase):  # type: ignore[name-defined, misc]
    """Ten times as many, others each time."""

    settings = settings(max_examples=300, stateful_step_count=40)
