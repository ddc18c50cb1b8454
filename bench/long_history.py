"""A long history in the controller's table, without waiting for it.

Two periods of twenty releases are played for real, good and bad ones in a fixed order, a rollback among them. Since a
period repeats the one before it, the second one moves to the end of the history, and its facts are written again and
again under the numbers, turns, times and identities of the releases in between. So what AWS itself has seen (git,
images, deployments) fits the newest releases. Facts are renumbered as facts: their keys are the controller's own, and
each rollout is checkpointed anew. What a decision was made from has another hash then, and that stays as it was.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from bench.meter import BenchError
from console.local.engine import BuildJob, DeployJob
from console.local.paths import TEMPLATE
from console.local.rehearse.rehearsal import Rehearsal
from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome, ScriptedEngine
from console.local.template import read
from console.record.alterations import broken
from esteira.audit import checkpoint_of
from esteira.context import Context
from esteira.core.facts import (
    Bundled,
    Claimed,
    Declined,
    DeploymentStarted,
    Gated,
    GivenUp,
    Pushed,
    Quarantined,
    ReleaseFact,
    Replaced,
    RollbackOrdered,
    Rollout,
    RolloutFinished,
    Superseded,
    about_stage,
)
from esteira.core.state import StageState
from esteira.core.status import Phase, assess
from esteira.fact import (
    Fact,
    from_row,
    stamp,
    to_row,
    unstamp,
)
from esteira.store.releases import BIRTH
from esteira.store.rows import latest_rows
from esteira.trail import Checkpoint, Decided, FoundBySweep

PERIOD = 20  # releases; enough for ten that were live, which is as far back as a rollout remembers
# In a longer history the releases in between have no decisions: most of its rows, which no function ever reads.
WITH_DECISIONS = 1_000
PAUSE = 600.0  # seconds of the stage's own clock between two releases
KEY = "credentials/mlops.pem"
PRETENDED_KEY = b"-----BEGIN RSA PRIVATE KEY-----\nnot one, but the guard cannot know\n"
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
IDENTITY = re.compile(r"\b(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|d-[A-Z0-9]{9})\b")
VERSION = re.compile(r"\bv(\d+)\b")
Row = Mapping[str, Any]
Name = tuple[str, str]  # of a fact: what it is about, and its key


class HistoryStage(Rehearsal):
    """The rehearsal stage with the announcements' topic, as template.yaml gives it to the function that announces."""

    def __init__(self, folder: Path) -> None:
        self.script = HistoryScript()
        super().__init__(folder, ScriptedEngine(self.script.build, self.script.deploy, manual=True))
        self.local_aws.lists.most = None  # what is counted are AWS's own pages

    @cached_property
    def context(self) -> Context:
        """The context, with the topic."""
        context = super().context
        topic = next(f.environment["ESTEIRA_TOPIC_ARN"] for f in read(TEMPLATE).functions if "announce" in f.handler)
        return replace(context, settings=context.settings.model_copy(update={"topic_arn": topic}))


@dataclass
class HistoryScript:
    """How the next build and the next deployment end."""

    build_fails: bool = False
    deployment_fails: bool = False

    def build(self, _: BuildJob) -> BuildOutcome:
        """End a build."""
        return BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: pytest") if self.build_fails else BuildOutcome()

    def deploy(self, _: DeployJob) -> DeployOutcome:
        """End a deployment."""
        return DeployOutcome(succeeds=not self.deployment_fails, log_tail="FileNotFoundError: models/model.json")


@dataclass(frozen=True)
class Mark:
    """Where a period ended: its last release and turn, and when the next one began."""

    release: int
    rollout: int
    at: datetime


def play(stage: HistoryStage, releases: int) -> Mark:
    """Bring ``releases`` more releases to their ends for real, in the order of a period; what it ends at."""
    last = stage.newest() + releases
    while stage.newest() < last:
        _play_one(stage, stage.newest() % PERIOD + 1)
        stage.clock.advance(PAUSE)
    return _mark(stage)


def push_one(stage: HistoryStage) -> int:
    """Push one changed model and see it live; its number. Raises BenchError if it did not get there."""
    number = stage.newest() + 1
    _push(stage, {"train.py": f"release = {number}\n".encode()})
    view = stage.store.views(stage.service.name, 1)[0]
    if (view.number, view.phase) != (number, Phase.LIVE):
        raise BenchError(f"v{number} should be live; v{view.number} is {view.phase}: {view.why}. Next: make test")
    return number


def lengthen(stage: HistoryStage, releases: int) -> None:
    """Make a fresh stage one with a history of ``releases``: a multiple of PERIOD, or few enough to be played.

    Raises BenchError if the table is then not one the controller could have written.
    """
    if releases > PERIOD and releases % PERIOD:
        raise BenchError(f"{releases} releases are no whole number of periods. Next: take a multiple of {PERIOD}")
    if releases <= PERIOD:
        play(stage, releases)
    else:
        began = Mark(0, 0, stage.clock.now())
        _multiply(stage, began, play(stage, PERIOD), play(stage, PERIOD), releases)
    _check(stage, releases)


# --- playing


def _play_one(stage: HistoryStage, place: int) -> None:
    """Play the release at ``place`` (1 to PERIOD) of a period. Of a push that is superseded two come, in one go."""
    change: dict[str, bytes | None] = {"train.py": f"release = {stage.newest() + 1}\n".encode()}
    match place:
        case 3:
            _push(stage, {"README.md": f"{stage.newest()}\n".encode()})  # skipped
        case 5:
            _push(stage, change | {KEY: PRETENDED_KEY})  # rejected
        case 6:
            _push(stage, change | {KEY: None})
        case 7:
            stage.script.build_fails = True
            _push(stage, change)
            stage.script.build_fails = False
        case 8:
            stage.script.deployment_fails = True
            _push(stage, change)
            stage.script.deployment_fails = False
        case 11:
            stage.commit(change)
            stage.bus.deliver_all()  # its build runs, and the next push comes
            _push(stage, {"train.py": f"release = {stage.newest() + 1}\n".encode()})
        case 13:
            _push(stage, change)
            stage.operate("rollback")
            stage.play()
        case _:
            _push(stage, change)


def _push(stage: HistoryStage, files: Mapping[str, bytes | None]) -> None:
    stage.commit(files)
    stage.play()


def _mark(stage: HistoryStage) -> Mark:
    rollout = stage.store.stage(stage.service.name, stage.service.last.name).rollout
    return Mark(stage.newest(), rollout.number if rollout else 0, stage.clock.now())


# --- writing it again


@dataclass(frozen=True)
class Move:
    """How far a fact is moved: releases and turns ahead, time back, and, unless "", what makes its identities new."""

    releases: int = 0
    rollouts: int = 0
    back: timedelta = timedelta()
    salt: str = ""

    def fact(self, fact: Fact) -> Fact:
        """The fact, moved."""
        values = {f.name: self.value(getattr(fact, f.name)) for f in fields(fact)}
        rows = {"rows": fact.rows} if isinstance(fact, Checkpoint) else {}  # they name facts as they were: see _sealed
        return replace(fact, **(values | self._numbers(fact) | rows))

    def value(self, value: Any) -> Any:
        """A value with the times, identities and release names in it moved; plain numbers stay."""
        if isinstance(value, datetime):
            return value - self.back
        if isinstance(value, list | tuple):
            return type(value)(self.value(one) for one in value)
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text: str) -> str:
        text = STAMP.sub(lambda found: stamp(unstamp(found[0]) - self.back), text)
        text = VERSION.sub(lambda found: f"v{int(found[1]) + self.releases}", text)
        return IDENTITY.sub(lambda found: _another(found[0], self.salt), text) if self.salt else text

    def _numbers(self, fact: Fact) -> dict[str, Any]:  # noqa: C901 - one flat match over all facts
        """The release and turn numbers in a fact, moved. 0 says "none" and stays."""
        release: Callable[[int], int] = lambda n: n and n + self.releases  # noqa: E731 - two words for one table
        rollout: Callable[[int], int] = lambda n: n and n + self.rollouts  # noqa: E731
        moved: dict[str, Any] = {"release": release(fact.release)} if isinstance(fact, ReleaseFact) else {}
        match fact:
            case Pushed():
                moved |= {"number": release(fact.number)}
            case Rollout():
                moved |= {"number": rollout(fact.number), "release": release(fact.release), "live": release(fact.live)}
                moved |= {"healthy": tuple(map(release, fact.healthy))}
            case RolloutFinished():
                moved |= {"rollout": rollout(fact.rollout), "release": release(fact.release)}
            case Replaced():
                moved |= {"rollout": rollout(fact.rollout), "by": release(fact.by)}
            case DeploymentStarted() | Bundled():
                moved |= {"rollout": rollout(fact.rollout)}
            case Checkpoint():
                moved |= {"rollout": rollout(fact.rollout), "release": release(fact.release)}
            case Gated():
                moved |= {"against": release(fact.against)}
            case Superseded():
                moved |= {"by": release(fact.by)}
            case RollbackOrdered():
                moved |= {"away": release(fact.away), "to": release(fact.to)}
            case Quarantined() | Decided() | FoundBySweep():
                moved |= {"release": release(fact.release)}
            case Claimed() | Declined() if fact.action in ("deploy", "finish"):
                moved |= {"attempt": rollout(fact.attempt)}
            case GivenUp() if fact.what in ("deadline", "deployment", "alarm"):
                moved |= {"number": rollout(fact.number)}
            case _:
                pass
        return moved


def _another(identity: str, salt: str) -> str:
    """Another identity of the same form, always the same one for the same salt."""
    digits = hashlib.sha256(f"{identity}/{salt}".encode()).hexdigest()
    if identity.startswith("d-"):
        return f"d-{digits[:9].upper()}"
    if "-" in identity:
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))
    return digits[: len(identity)]


def _multiply(stage: HistoryStage, began: Mark, first: Mark, second: Mark, releases: int) -> None:
    steps = [(b.release - a.release, b.rollout - a.rollout, b.at - a.at) for a, b in ((began, first), (first, second))]
    if steps[0] != steps[1]:
        raise BenchError(
            f"the periods differ, so one cannot stand for another: {steps}. Next: see bench/long_history.py"
        )
    _, rollouts, time = steps[1]
    table, last = stage.context.settings.table, releases // PERIOD - 2
    rows = [row for row in _drained(stage, table) if "fact_key" not in row]  # the latest rows are made anew
    early = [row for row in rows if not _is_late(row, first)]
    late = [row for row in rows if _is_late(row, first)]
    left = _left(early, late, Move(PERIOD, rollouts, -time))
    if releases > WITH_DECISIONS:
        left = [row for row in left if row.get("fact") not in ("decided", "seen", "round")]
    checkpoints: dict[str, str] = {}
    stage.local_aws.dynamodb.load({table: _moved(early, Move(back=last * time), checkpoints)})
    for n in range(last):
        stage.local_aws.dynamodb.load(
            {table: _moved(left, Move(n * PERIOD, n * rollouts, (last - n) * time, str(n)), checkpoints)}
        )
    stage.local_aws.dynamodb.load({table: _moved(late, Move(last * PERIOD, last * rollouts), checkpoints)})


def _drained(stage: HistoryStage, table: str) -> Iterator[Row]:
    """Every row of the table, and take it out."""
    unpack = TypeDeserializer().deserialize
    client = stage.context.aws.client("dynamodb")
    for item in stage.local_aws.dynamodb.dump()[table]:
        client.delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})
        yield {name: unpack(value) for name, value in item.items()}


def _is_late(row: Row, first: Mark) -> bool:
    """Whether a row is of the second period: a fact by when it was said, a projection by its release."""
    return unstamp(row["at"]) >= first.at if "fact" in row else int(row.get("number", 0)) > first.release


def _left(early: list[Row], late: list[Row], onward: Move) -> list[Row]:
    """What the second period leaves behind when the next has begun: nothing is open, and the release that was
    live at its end is told of as the first period's is by now."""
    view = "view#{:08d}".format
    told = next(_moved_row(row, onward) for row in early if row["sk"] == view(PERIOD))
    now = {
        name: told[name] for name in ("phase", "summary", "detail", "next", "cause", "stage", "stages", "changed_at")
    }
    rows = [row for row in late if "fact" in row or str(row["sk"]).startswith("view#")]
    return [{**row, **now} if row["sk"] == view(2 * PERIOD) else row for row in rows]


def _moved(rows: Iterable[Row], move: Move, checkpoints: dict[str, str]) -> list[dict[str, Any]]:
    """The rows, moved and packed; ``checkpoints`` is each stage's newest checkpoint, before and after them."""
    pack, rows = TypeSerializer().serialize, list(rows)
    facts = {(fact.about, fact.key): move.fact(fact) for fact in (from_row(row) for row in rows if "fact" in row)}
    facts |= _sealed(facts, checkpoints)
    moved = [_moved_fact(row, facts, move) if "fact" in row else _moved_row(row, move) for row in rows]
    return [{name: pack(value) for name, value in row.items()} for row in (*moved, *latest_rows(moved))]


def _sealed(facts: Mapping[Name, Fact], checkpoints: dict[str, str]) -> dict[Name, Fact]:
    """The checkpoints among ``facts``, which are moved, made anew: of the rows each named, and of the one
    before."""
    found = [(name, fact) for name, fact in facts.items() if isinstance(fact, Checkpoint)]
    remade: dict[Name, Fact] = {}
    for name, fact in sorted(found, key=lambda row: row[1].rollout):
        names = [(row.partition(" ")[0], row.partition(" ")[2].rpartition(" ")[0]) for row in fact.rows]
        said = [facts[named] for named in names if named in facts]  # a round of the period before is not among them
        [rollout] = [f for f in said if isinstance(f, Rollout)]
        anew = checkpoint_of(rollout, said, checkpoints.get(fact.stage, ""), fact.at)
        checkpoints[fact.stage] = anew.sha256
        remade[name] = anew
    return remade


def _moved_fact(row: Row, facts: Mapping[Name, Fact], move: Move) -> Row:
    service, _, about = str(row["pk"]).partition("#")
    fact = facts[about, str(row["sk"])]
    left = {"expires": row["expires"] - int(move.back.total_seconds())} if "expires" in row else {}
    return {"pk": f"{service}#{fact.about}", "sk": fact.key, **to_row(fact), **left}


def _moved_row(row: Row, move: Move) -> Row:
    if "number" not in row:
        return row
    number = int(row["number"]) + move.releases
    moved = {name: value if name in ("pk", "sk") else move.value(value) for name, value in row.items()}
    if BIRTH in row:
        moved[BIRTH] = json.dumps(to_row(move.fact(from_row(json.loads(row[BIRTH])))))
    return moved | {"number": number, "sk": str(row["sk"]).replace(f"{int(row['number']):08d}", f"{number:08d}")}


# --- is it one the controller could have written?


def _check(stage: HistoryStage, releases: int) -> None:
    """Raise BenchError unless every rollout follows from the one before it, and every twentieth release, and each of
    the newest twenty, stands where its row in the history says."""
    name, found = stage.service.name, stage.newest()
    if found != releases:
        raise BenchError(f"the history should end at v{releases} and ends at v{found}. Next: see bench/long_history.py")
    _check_turns(stage.store.facts(name, about_stage(stage.service.last.name), "rollout#"), stage.service.last.name)
    _check_seals(stage.store.facts(name, f"checkpoints/{stage.service.last.name}"))
    stages = tuple(stage.store.stages(stage.service))
    views = {v.number: v for v in stage.store.views(name, releases)}
    for number in sorted({*range(1, releases + 1, 19), *range(max(1, releases - PERIOD), releases + 1)}):
        release = stage.store.release(name, number)
        phase = assess(release, stages, stage.clock.now()).overall.phase if release else None
        if phase is None or views[number].phase != phase:
            raise BenchError(
                f"v{number} is listed as {views[number].phase} and is {phase}. Next: see bench/long_history.py"
            )


def _check_turns(facts: Iterable[Fact], stage: str) -> None:
    facts = tuple(facts)
    finished = {f.rollout: f for f in facts if isinstance(f, RolloutFinished)}
    rollouts = sorted((f for f in facts if isinstance(f, Rollout)), key=lambda t: t.number)
    before = StageState(stage)
    for number, rollout in enumerate(rollouts, start=1):
        if (rollout.number, rollout.live, rollout.healthy) != (number, before.live, before.healthy):
            raise BenchError(
                f"rollout {number} does not follow from rollout {number - 1}. Next: see bench/long_history.py"
            )
        before = StageState(stage, rollout, finished.get(number))


def _check_seals(facts: Iterable[Fact]) -> None:
    wrong = next(broken(sorted((f for f in facts if isinstance(f, Checkpoint)), key=lambda f: f.rollout)), "")
    if wrong:
        raise BenchError(f"{wrong}. Next: see bench/long_history.py")
