"""The one service, the one noon and the few facts that the unit tests tell their stories with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from console.local.aws_account import ACCOUNT, REGION
from esteira.config import Service, Settings, Stage
from esteira.core.actions import Action
from esteira.core.facts import (
    Accepted,
    BuildEnded,
    BuildStarted,
    DeploymentReported,
    DeploymentStarted,
    Diagnosed,
    Held,
    Pushed,
    Quarantined,
    RollbackOrdered,
    Rollout,
    RolloutFinished,
)
from esteira.core.plan import moment, plan
from esteira.core.state import Release, Snapshot, StageState
from esteira.core.status import Status, assess
from esteira.fact import Fact

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=120)
COMMIT = "8f3b6c1de2a94705b1c6d3e8f7a0925b4c1d7e60"
DIGEST = "sha256:09f16fd5c5d20585a468b7da65b92aecb6f0359278734306745d3810cb89ac07"

HEART = Service(
    name="heart",
    repository="heart",
    images="heart",
    image_uri="123456789012.dkr.ecr.us-east-1.amazonaws.com/heart",
    project="heart-build",
    application="heart",
    stages=(Stage(group="heart-production"),),
    bundles="heart-bundles",
)

SETTINGS = Settings(table="t", services_path="/esteira/services/", account=ACCOUNT, region=REGION)


def after(minutes: float = 0, *, seconds: float = 0) -> datetime:
    """The time so long after noon."""
    return NOON + timedelta(minutes=minutes, seconds=seconds)


def digest_of(number: int) -> str:
    """An image digest that belongs to release ``number`` alone."""
    return f"sha256:{number:064x}"


def born(number: int = 1, **said: Any) -> Pushed:
    """The birth of a release from a commit."""
    commit = f"{number:040x}"
    values: dict[str, Any] = {"at": NOON, "number": number, "source": "commit", "commit": commit, "tip": commit}
    return Pushed(**values | {"base": commit} | said)


def release(number: int = 1, *facts: Fact, quarantine: Quarantined | None = None) -> Release:
    """A release born from a commit, with those facts."""
    return Release(born(number), frozenset(facts), quarantine)


def status_on(release: Release, stage: StageState, now: datetime = NOON) -> Status:
    """The release's status on one stage."""
    return assess(release, (stage,), now).on[stage.name]


def status_of(release: Release, stages: Sequence[StageState], now: datetime = NOON) -> Status:
    """The release's status in all."""
    return assess(release, stages, now).overall


def planned_from(s: Snapshot, now: datetime = NOON) -> tuple[Action, ...]:
    """The plan for a snapshot."""
    return plan(moment(s, now, LEASE))


def build_started(number: int = 1, attempt: int = 1, at: datetime = NOON) -> BuildStarted:
    return BuildStarted(at=at, release=number, attempt=attempt, build=f"heart-build:{number}-{attempt}")


def build_ended(number: int = 1, attempt: int = 1, status: str = "SUCCEEDED", cause: str = "") -> BuildEnded:
    build = build_started(number, attempt).build
    return BuildEnded(at=NOON, release=number, attempt=attempt, build=build, status=status, cause=cause)


def accepted(number: int = 1, attempt: int = 1, *, reused: bool = False) -> Accepted:
    return Accepted(at=NOON, release=number, attempt=attempt, digest=digest_of(number), reused=reused)


def rollout_of(release: int = 1, number: int = 1, **said: Any) -> Rollout:
    """The stage's rollout ``number``, given at noon to ``release``; nothing was live before unless said."""
    values: dict[str, Any] = {
        "at": NOON,
        "stage": "production",
        "number": number,
        "release": release,
        "attempt": 1,
        "digest": digest_of(release),
        "kind": "deploy",
        "live": 0,
        "healthy": (),
        "served": "",
        "lease": NOON + LEASE,
        "deadline": after(60),
    }
    return Rollout(**values | said)


def finished(rollout: Rollout, *, succeeded: bool, mixed: bool = False) -> RolloutFinished:
    return RolloutFinished(
        at=NOON, stage=rollout.stage, rollout=rollout.number, release=rollout.release, succeeded=succeeded, mixed=mixed
    )


def deployment_started(
    release: int = 1, rollout: int = 1, attempt: int = 1, stage: str = "production"
) -> DeploymentStarted:
    deployment = deployment_of(rollout)
    return DeploymentStarted(
        at=NOON,
        release=release,
        stage=stage,
        rollout=rollout,
        attempt=attempt,
        deployment=deployment,
        digest=digest_of(release),
    )


def deployment_of(rollout: int) -> str:
    return f"d-{rollout:09d}"


def deployment_ended(rollout: int = 1, status: Any = "Succeeded") -> DeploymentReported:
    return DeploymentReported(at=NOON, deployment=deployment_of(rollout), status=status)


def diagnosed(
    rollout: int = 1, cause: str = "ValidateService: /ping answered 500", *, reached: bool = False
) -> Diagnosed:
    return Diagnosed(at=NOON, deployment=deployment_of(rollout), failed=True, cause=cause, reached=reached)


def deployed(release: int = 1, rollout: int = 1) -> tuple[Fact, ...]:
    """The facts of a release that was built and whose deployment in that rollout succeeded."""
    return (
        build_started(release),
        build_ended(release),
        accepted(release),
        deployment_started(release, rollout),
        deployment_ended(rollout),
    )


def quiet(**said: Any) -> StageState:
    """A stage on which nothing ever happened, but for what is said."""
    return StageState("production", **said)


def live_on(release: int, rollout: int = 1, **said: Any) -> StageState:
    """A stage on which that release went live in that rollout."""
    latest = rollout_of(release, rollout, **said)
    return quiet(rollout=latest, finished=finished(latest, succeeded=True))


def held(until: datetime) -> Held:
    return Held(at=NOON, request="request-1", by="ana", reason="audit", stage="production", until=until)


def ordered(to: int, away: int = 2) -> RollbackOrdered:
    return RollbackOrdered(
        at=NOON, request="request-2", by="ana", reason="it answers 0.5", stage="production", away=away, to=to
    )


def recorded(facts: Iterable[Fact]) -> dict[tuple[str, str], Fact]:
    """The rows of a table after these facts were put one by one: the first under a key stays."""
    rows: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        rows.setdefault((fact.about, fact.key), fact)
    return rows
