"""Chaos: the controller among lost, doubled and shuffled events, lost answers, dying functions and a throttling AWS, in
real threads.

Everything is real but the work itself: the controller, the rules of template.yaml, git, the registry, AWS's answers.
Builds and deployments end at once, well or badly by the dice (``aws.rehearsal``). Time is the stack's own and moves
only while nothing runs, since a claim's lease is longer than any function lives. What came of it is counted from AWS's
own records where it can be, not from the controller's.

On several stages a release is watched on the first ones and voted for before the last; the user votes, promotes and
bypasses as the dice say, holds any stage, and rings its alarms. A vote that nobody gives ends a release in time.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from console.local.aws.bus import Chaos
from console.local.aws.faults import Call, at_random, lost_at_random
from console.local.engine import BuildJob, DeployJob
from console.local.rehearse.rehearsal import Rehearsal
from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome, ScriptedEngine, manifest_for
from console.local.stages import Rules
from esteira.claims import rollout_claim
from esteira.config import Stage
from esteira.core.facts import (
    Approved,
    Bypassed,
    Promoted,
    Rejected,
    Retried,
    Rollout,
    RolloutFinished,
    about_stage,
)
from esteira.core.state import Release
from esteira.core.status import Phase, assess
from esteira.snapshot import snapshot

# Longer than a lease and than any back-off: whatever was begun by a dead function may be taken over.
STEP_SECONDS = 150
# How many calm sweeps everything has to end within. Deadlines and the wait for a vote are at most an hour, so this is
# more than enough.
CALM_SWEEPS = 60
BEFORE_PRODUCTION = ("staging", "canary", "pilot")
PEOPLE = ("ana", "bea", "carl")


@dataclass(frozen=True)
class Trouble:
    """How bad it is: probabilities per delivery (lose, duplicate) and per AWS call (crash, throttle, lose_answers)."""

    lose: float = 0.25
    duplicate: float = 0.25
    shuffle: bool = True
    crash: float = 0.1
    throttle: float = 0.1
    lose_answers: float = 0.0


@dataclass(frozen=True)
class Report:
    """What a chaos run came to. ``ended`` of ``releases`` reached an end or are live; the next five must be 0.

    ``unapproved`` counts the rollouts without votes or a bypass on a stage that wants votes; ``at_once`` those that
    began before the one before them on their stage was over. ``rollouts`` is the number of rollouts by stage,
    ``taken_back`` of those that an alarm asked for.
    """

    releases: int
    ended: int
    double_builds: int
    double_deployments: int
    went_backward: int
    unapproved: int
    at_once: int
    rollouts: dict[str, int]
    taken_back: int
    phases: dict[str, int]
    calls: int
    crashes: int
    throttles: int
    lost_answers: int
    seed: int
    seconds: float

    @property
    def good(self) -> bool:
        """Whether every promise held."""
        broken = self.double_builds + self.double_deployments + self.went_backward + self.unapproved + self.at_once
        return self.ended == self.releases and not broken


def run(
    releases: int,
    trouble: Trouble,
    seed: int,
    workers: int = 3,
    progress: Callable[[int], None] = lambda _: None,
    stages: int = 1,
) -> Report:
    """Bring ``releases`` releases to their ends among ``trouble``, on so many ``stages``; ``progress`` hears how many
    were born."""
    dice = random.Random(seed)
    started = time.monotonic()
    outcomes = _Outcomes(random.Random(dice.random()))
    engine = ScriptedEngine(outcomes.build, outcomes.deploy)
    chaos = Chaos(trouble.lose, trouble.duplicate, trouble.shuffle, dice=random.Random(dice.random()))
    troubled = _Troubled(random.Random(dice.random()), trouble)
    with (
        tempfile.TemporaryDirectory(prefix="esteira-chaos-") as folder,
        Rehearsal(Path(folder), engine, chaos=chaos, hook=troubled.hook, stages=rules(stages)) as stage,
    ):
        stage.faults.lose = troubled.loses
        user = _User(stage, dice)
        stage.bus.start(workers)
        while (born := stage.newest()) < releases:
            for _ in range(min(dice.randint(1, 4), releases - born)):
                user.act(releases - born)
            _breathe(stage)
            user.decide()
            progress(min(born, releases))
        troubled.calm()
        for _ in range(CALM_SWEEPS):
            _breathe(stage)
        stage.bus.stop()
        return _report(stage, troubled, seed, time.monotonic() - started)


def rules(stages: int) -> list[Rules]:
    """That many stages: those before production watch a release, and production wants a vote. One stage is the
    template's, which asks for nothing."""
    if stages == 1:
        return []
    # Shorter than a step, or every release would be superseded while it is watched.
    first: list[Rules] = [
        {"name": name, "bake_minutes": 2, "alarms": [f"{name}-errors"]} for name in BEFORE_PRODUCTION[: stages - 1]
    ]
    votes = {"votes": 1, "valid_hours": 1, "wait_hours": 1}
    return [*first, {"name": "production", "bake_minutes": 10, "alarms": ["production-errors"], "approvals": votes}]


def _breathe(stage: Rehearsal) -> None:
    """Let everything that runs end; only then let time pass, and sweep, twice at once."""
    stage.bus.wait_idle()
    stage.clock.advance(STEP_SECONDS)
    stage.sweep()
    stage.sweep()
    stage.bus.wait_idle()


class _Troubled:
    """The faults of the run, which can be ended, and a count of them."""

    def __init__(self, dice: random.Random, trouble: Trouble) -> None:
        # A call is in trouble with a probability far below that of a function: it makes some thirty calls.
        self._hook = at_random(dice, crash=trouble.crash / 10, throttle=trouble.throttle / 10)
        self._loses = lost_at_random(random.Random(dice.random()), trouble.lose_answers)
        self._on = True
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def hook(self, when: object, call: object) -> None:
        """Stand between a function and AWS."""
        if not self._here():
            return
        try:
            self._hook(when, call)  # type: ignore[arg-type]
        except BaseException as error:
            with self._lock:
                self.counts[type(error).__name__] += 1
            raise

    def loses(self, call: Call) -> bool:
        """Whether the answer to a function's call is lost."""
        lost = self._here() and self._loses(call)
        if lost:
            with self._lock:
                self.counts["lost answer"] += 1
        return lost

    def _here(self) -> bool:
        """Whether this thread is in trouble: the functions are, the user and the engine are not."""
        return self._on and threading.current_thread().name.startswith("bus-")

    def calm(self) -> None:
        """End the trouble."""
        self._on = False


class _Outcomes:
    """How builds and deployments end, by the dice; the same commit may fail once and succeed later."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._lock = threading.Lock()

    def build(self, _job: BuildJob) -> BuildOutcome:
        with self._lock:
            roll = self._dice.random()
        if roll < 0.10:
            return BuildOutcome(
                "FAILED", "COMMAND_EXECUTION_ERROR: Error while executing command: pytest. Reason: exit status 1"
            )
        return BuildOutcome(push=roll > 0.15)

    def deploy(self, _job: DeployJob) -> DeployOutcome:
        with self._lock:
            roll = self._dice.random()
        return DeployOutcome(roll > 0.15, "GET /ping answered 500", log_tail="Traceback\nValueError")


class _User:
    """Somebody who pushes commits and images, goes back, and calls the operator's verbs, all by the dice."""

    def __init__(self, stage: Rehearsal, dice: random.Random) -> None:
        self._stage, self._dice = stage, dice
        self._commits: list[str] = []
        self._pushes = 0
        self._stages = [s.name for s in stage.service.stages]

    def act(self, left: int) -> None:
        """Do one thing; only push while releases are wanted."""
        roll = self._dice.random()
        if left > 0 and (roll < 0.70 or not self._commits):
            self._push()
        elif left > 0 and roll < 0.78:
            self._push_image()
        elif left > 0 and roll < 0.82:
            self._stage.force_push(self._dice.choice(self._commits))
        else:
            self._operate()

    def decide(self) -> None:
        """Where there are several stages: vote for what may wait for it, before the next pushes or among them, and ring
        an alarm now and then."""
        if len(self._stages) == 1:
            return
        for _ in range(2):
            verb = self._dice.choice(["approve", "approve", "approve", "approve", "reject", "promote", "bypass"])
            self._say(verb)
        if self._dice.random() < 0.2:
            self._stage.ring(f"{self._dice.choice(self._stages)}-errors")
        if self._dice.random() < 0.7:
            self._stage.bus.wait_idle()

    def _push(self) -> None:
        self._pushes += 1
        roll = self._dice.random()
        path = "README.md" if roll < 0.06 else "key.ppk" if roll < 0.09 else "app.py"
        # A key that was pushed is gone again with the next push.
        files = {"key.ppk": None, path: str(self._pushes).encode()}
        self._commits.append(self._stage.commit(files, f"push {self._pushes}"))

    def _push_image(self) -> None:
        self._pushes += 1
        manifest = manifest_for(f"elsewhere {self._pushes}")
        self._stage.local_aws.ecr.push(self._stage.service.images, manifest, f"v{self._pushes}.0")

    def _operate(self) -> None:
        self._say(self._dice.choice(["rollback", "hold", "resume", "retry", "abort"]))

    def _say(self, verb: str) -> None:
        more: dict[str, object] = {"minutes": 5} if verb in ("hold", "bypass") else {}
        if verb in ("rollback", "hold", "resume"):
            more["stage"] = self._dice.choice(self._stages)
        else:
            more["release"] = f"v{max(1, self._stage.newest() - self._dice.randrange(3))}"
        self._stage.operate_later(verb, by=self._dice.choice(PEOPLE), **more)


def _report(stage: Rehearsal, troubled: _Troubled, seed: int, seconds: float) -> Report:
    number, store, service = stage.newest(), stage.store, stage.service
    seen = snapshot(store, service, stage.clock.now(), also=range(1, number + 1))
    releases = {release.number: release for release in seen.releases}
    ends = [assess(release, seen.stages, stage.clock.now()).overall.phase for release in seen.releases]
    ended = sum(phase.ended or phase is Phase.LIVE for phase in ends)
    phases = Counter(phase.value for phase in ends)
    said = {s.name: store.facts(service.name, about_stage(s.name), "rollout#") for s in seen.stages}
    rollouts = {name: [f for f in facts if isinstance(f, Rollout)] for name, facts in said.items()}
    over = {name: {f.rollout: f for f in facts if isinstance(f, RolloutFinished)} for name, facts in said.items()}
    return Report(
        releases=number,
        ended=ended,
        double_builds=_doubles(stage.build_claims()),
        double_deployments=_doubles(stage.deployment_claims()),
        went_backward=_backward(stage, rollouts, releases),
        unapproved=sum(_unapproved(s, rollouts[s.name], releases) for s in service.stages),
        at_once=sum(_at_once(rollouts[s.name], over[s.name]) for s in service.stages),
        rollouts={name: len(rows) for name, rows in rollouts.items()},
        taken_back=sum("alarm" in t.served.rpartition("#")[2] for rows in rollouts.values() for t in rows if _back(t)),
        phases=dict(sorted(phases.items())),
        calls=sum(stage.faults.counts.values()),
        crashes=troubled.counts["Crash"],
        throttles=troubled.counts["Throttle"],
        lost_answers=troubled.counts["lost answer"],
        seed=seed,
        seconds=round(seconds, 1),
    )


def _back(rollout: Rollout) -> bool:
    return rollout.kind == "rollback"


def _doubles(claims: list[str]) -> int:
    return sum(n - 1 for n in Counter(claims).values())


def _backward(stage: Rehearsal, rollouts: dict[str, list[Rollout]], releases: dict[int, Release]) -> int:
    """Count the deployments that put an older release over a newer one, though nobody had asked for it.

    On the first stage nothing may come that is older than anything before; on a later one, than what is live: where the
    stage before went back, what it went back to may go on.
    """
    by_number = {(name, rollout.number): rollout for name, rows in rollouts.items() for rollout in rows}
    first, highest, live = stage.service.stages[0].name, 0, Counter[str]()
    backward = 0
    for description in stage.succeeded_deployments():
        claim = rollout_claim(description)
        if claim is None:
            continue
        rollout, release = by_number[claim.stage, claim.rollout], releases[claim.release].facts
        asked_for = rollout.kind != "deploy" or any(isinstance(f, Retried | Promoted | Bypassed) for f in release)
        newest = highest if claim.stage == first else live[claim.stage]
        backward += claim.release < newest and not asked_for
        live[claim.stage] = claim.release
        highest = max(highest, claim.release) if claim.stage == first else highest
    return backward


def _unapproved(stage: Stage, rollouts: Sequence[Rollout], releases: dict[int, Release]) -> int:
    """Count the rollouts that began on the stage without the votes for that very image, or against a rejection, and
    without a bypass in force."""
    if stage.approvals is None:
        return 0
    return sum(t.kind == "deploy" and not _let_on(stage, t, releases[t.release]) for t in rollouts)


def _let_on(stage: Stage, rollout: Rollout, release: Release) -> bool:
    words = (f for f in release.facts if isinstance(f, Approved | Bypassed) and f.stage == stage.name)
    counts = [f for f in words if f.digest == rollout.digest and f.at <= rollout.at < f.until]
    said_no = (f for f in release.facts if isinstance(f, Rejected) and f.at < rollout.at)
    about = (stage.name, rollout.attempt, rollout.digest)
    rejected = any((f.stage, f.attempt, f.digest) == about for f in said_no)
    voters = {f.by for f in counts if isinstance(f, Approved) and f.attempt == rollout.attempt}
    wanted = stage.approvals.votes if stage.approvals else 0
    return (len(voters) >= wanted and not rejected) or any(isinstance(f, Bypassed) for f in counts)


def _at_once(rollouts: Sequence[Rollout], over: dict[int, RolloutFinished]) -> int:
    """Count the rollouts that began before the one before was over."""
    ends = [over.get(rollout.number - 1) for rollout in rollouts if rollout.number > 1]
    begun = [rollout for rollout in rollouts if rollout.number > 1]
    return sum(end is None or end.at > rollout.at for end, rollout in zip(ends, begun, strict=True))
