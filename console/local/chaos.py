"""Chaos: the controller among lost, doubled and shuffled events, dying functions and a throttling AWS, in real threads.

Everything is real but the work itself: the controller, the rules of template.yaml, git, the registry, AWS's answers.
Builds and deployments end at once, well or badly by the dice (``aws.rehearsal``). Time is the stack's own and moves
only while nothing runs, since a claim's lease is longer than any function lives. What came of it is counted from AWS's
own records where it can be, not from the controller's.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from console.local.aws.bus import Chaos
from console.local.aws.faults import at_random
from console.local.aws.rehearsal import BuildOutcome, DeployOutcome, ScriptedEngine, manifest_for
from console.local.engine import BuildJob, DeployJob
from console.local.rehearsal import Rehearsal
from esteira.claims import turn_claim
from esteira.facts import Retried, Turn, about_stage
from esteira.phase import Phase, phase_of
from esteira.situation import Release

# Longer than a lease and than any back-off: whatever was begun by a dead function may be taken over.
STEP_SECONDS = 150
# How many calm sweeps everything has to end within. Deadlines are at most an hour, so this is more than enough.
CALM_SWEEPS = 60


@dataclass(frozen=True)
class Trouble:
    """How bad it is: probabilities per delivery (lose, duplicate) and per AWS call (crash, throttle)."""

    lose: float = 0.25
    duplicate: float = 0.25
    shuffle: bool = True
    crash: float = 0.1
    throttle: float = 0.1


@dataclass(frozen=True)
class Report:
    """What a chaos run came to. ``ended`` of ``releases`` reached an end or are live; the next three must be 0."""

    releases: int
    ended: int
    double_builds: int
    double_deployments: int
    went_backward: int
    phases: dict[str, int]
    calls: int
    crashes: int
    throttles: int
    seed: int
    seconds: float

    @property
    def good(self) -> bool:
        """Return whether every promise held."""
        return self.ended == self.releases and not (self.double_builds or self.double_deployments or self.went_backward)


def run(
    releases: int, trouble: Trouble, seed: int, workers: int = 3, progress: Callable[[int], None] = lambda _: None
) -> Report:
    """Bring ``releases`` releases to their ends among ``trouble``; ``progress`` hears how many were born."""
    dice = random.Random(seed)
    started = time.monotonic()
    outcomes = _Outcomes(random.Random(dice.random()))
    engine = ScriptedEngine(outcomes.build, outcomes.deploy)
    chaos = Chaos(trouble.lose, trouble.duplicate, trouble.shuffle, dice=random.Random(dice.random()))
    troubled = _Troubled(random.Random(dice.random()), trouble)
    with (
        tempfile.TemporaryDirectory(prefix="esteira-chaos-") as folder,
        Rehearsal(Path(folder), engine, chaos=chaos, hook=troubled.hook) as stage,
    ):
        user = _User(stage, dice)
        stage.bus.start(workers)
        while (born := stage.newest()) < releases:
            for _ in range(min(dice.randint(1, 4), releases - born)):
                user.act(releases - born)
            _breathe(stage)
            progress(min(born, releases))
        troubled.calm()
        for _ in range(CALM_SWEEPS):
            _breathe(stage)
        stage.bus.stop()
        return _report(stage, troubled, seed, time.monotonic() - started)


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
        self._on = True
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def hook(self, when: object, call: object) -> None:
        """Stand between a function and AWS."""
        if not (self._on and threading.current_thread().name.startswith("bus-")):
            return  # the user and the engine are not in trouble, the functions are
        try:
            self._hook(when, call)  # type: ignore[arg-type]
        except BaseException as error:
            with self._lock:
                self.counts[type(error).__name__] += 1
            raise

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

    def _push(self) -> None:
        self._pushes += 1
        roll = self._dice.random()
        path = "README.md" if roll < 0.06 else "key.pem" if roll < 0.09 else "app.py"
        # A key that was pushed is gone again with the next push.
        files = {"key.pem": None, path: str(self._pushes).encode()}
        self._commits.append(self._stage.commit(files, f"push {self._pushes}"))

    def _push_image(self) -> None:
        self._pushes += 1
        manifest = manifest_for(f"elsewhere {self._pushes}")
        self._stage.aws.ecr.push(self._stage.service.images, manifest, f"v{self._pushes}.0")

    def _operate(self) -> None:
        verb = self._dice.choice(["rollback", "hold", "resume", "retry", "abort"])
        more: dict[str, object] = {"minutes": 5} if verb == "hold" else {}
        if verb in ("retry", "abort"):
            more["release"] = f"v{max(1, self._stage.newest() - self._dice.randrange(3))}"
        self._stage.operate_later(verb, **more)


def _report(stage: Rehearsal, troubled: _Troubled, seed: int, seconds: float) -> Report:
    number, store, service = stage.newest(), stage.store, stage.service
    state = store.stage(service.name, service.last.name)
    phases: Counter[str] = Counter()
    stuck = 0
    retried: set[int] = set()
    for n in range(1, number + 1):
        release = store.release(service.name, n)
        if release is None:
            stuck += 1
            continue
        turn = state.turn if state.turn and state.turn.release == n else None
        picture = Release(
            release.pushed, release.facts, turn, store.quarantine(service.name, (release.pushed.commit, release.digest))
        )
        phase = phase_of(picture, state, stage.clock.now()).phase
        phases[phase.value] += 1
        stuck += not (phase.ended or phase is Phase.LIVE)
        if any(release.all(Retried)):
            retried.add(n)
    return Report(
        releases=number,
        ended=number - stuck,
        double_builds=_doubles(stage.build_claims()),
        double_deployments=_doubles(stage.deployment_claims()),
        went_backward=_backward(stage, retried),
        phases=dict(sorted(phases.items())),
        calls=sum(stage.faults.counts.values()),
        crashes=troubled.counts["Crash"],
        throttles=troubled.counts["Throttle"],
        seed=seed,
        seconds=round(seconds, 1),
    )


def _doubles(claims: list[str]) -> int:
    return sum(n - 1 for n in Counter(claims).values())


def _backward(stage: Rehearsal, retried: set[int]) -> int:
    """Count the deployments that put an older release over a newer one, though nobody had asked for it."""
    turns = {
        f.number: f
        for f in stage.store.facts(stage.service.name, about_stage(stage.service.last.name), "turn#")
        if isinstance(f, Turn)
    }
    highest = backward = 0
    for description in stage.succeeded_deployments():
        claim = turn_claim(description)
        if claim is None:
            continue
        asked_for = turns[claim.turn].kind != "deploy" or claim.release in retried
        backward += claim.release < highest and not asked_for
        highest = max(highest, claim.release)
    return backward
