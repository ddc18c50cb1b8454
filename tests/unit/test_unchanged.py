"""What a deployment would change: equal image, settings and files are one content, whatever the release is called."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from esteira.bundle import Bundle, default
from esteira.core.actions import Finish, StartDeployment
from esteira.core.facts import Bundled, DeploymentStarted
from esteira.core.state import Release, Snapshot, StageState
from esteira.core.status import Phase
from esteira.fact import Fact
from esteira.perform.effects import Effects
from esteira.perform.rollout import _running, content_hash, start
from tests.unit.conftest import (
    HEART,
    NOON,
    accepted,
    after,
    born,
    deployed,
    deployment_ended,
    deployment_of,
    deployment_started,
    diagnosed,
    digest_of,
    finished,
    live_on,
    planned_from,
    quiet,
    release,
    rollout_of,
    status_on,
)

DOCUMENT: dict[str, Any] = {
    "service": "heart",
    "release": "v1",
    "number": 1,
    "commit": "8f3b6c1d",
    "stage": "production",
    "digest": "sha256:1",
    "environment": {"THREADS": "2"},
    "memory_mb": 512,
}


def test_the_name_of_a_release_is_no_part_of_its_content() -> None:
    """The number and the commit change with every push; nothing has to restart for them."""
    other = DOCUMENT | {"release": "v3", "number": 3, "commit": "c4e1f7a2"}
    assert content_hash(default(), other) == content_hash(default(), DOCUMENT)


@pytest.mark.parametrize(
    "said", [{"digest": "sha256:2"}, {"environment": {"THREADS": "4"}}, {"memory_mb": 1024}, {"stage": "staging"}]
)
def test_another_image_or_setting_is_another_content(said: dict[str, Any]) -> None:
    """The container has to be started anew for it."""
    assert content_hash(default(), DOCUMENT | said) != content_hash(default(), DOCUMENT)


def test_every_file_of_the_bundle_counts_with_its_name_its_bytes_and_its_mode() -> None:
    """The hosts run these files."""
    files = dict(default().files)
    path, file = next(iter(files.items()))
    others = [
        {p: f for p, f in files.items() if p != path},
        {f"{p}.old" if p == path else p: f for p, f in files.items()},
        files | {path: replace(file, content=file.content + b"\n")},
        files | {path: replace(file, executable=not file.executable)},
    ]
    hashes = [content_hash(Bundle(of), DOCUMENT) for of in (files, *others)]
    assert len(set(hashes)) == len(hashes)
    assert content_hash(Bundle(dict(reversed(files.items()))), DOCUMENT) == hashes[0]


# --- v3 comes with the content that v1 is live with ------------------------------------------------------------------

STAGE = live_on(1)


def found(
    kind: Any = "deploy", *, content: str = "same", stage: Any = STAGE, parameters: Any = (), more: Any = ()
) -> Any:
    """The deployment that v3's rollout need not make again, None where it has to deploy."""
    document = {"parameters": dict.fromkeys(parameters, "/heart/key")}
    bundled = Bundled(at=NOON, release=1, stage="production", rollout=1, name_in_bucket="b", sha256="1", content="same")
    live = release(1, *deployed(), bundled, *more)
    s = Snapshot(HEART, (stage,), releases=(live, release(3, accepted(3))))
    rollout = rollout_of(3, 2, kind=kind, live=1)
    return _running(rollout, document, content, Effects(s, None))  # type: ignore[arg-type]


def test_what_runs_with_the_same_content_is_not_deployed_again() -> None:
    """The rollout takes the deployment that made it live."""
    deployment, bundled = found()
    assert (deployment, bundled.content) == (deployment_of(1), "same")
    assert found(content="other") is None


def test_a_rollback_and_a_restore_always_deploy() -> None:
    """They are ordered because what the hosts run is in doubt."""
    assert found("rollback") is None
    assert found("restore") is None


def test_nothing_is_taken_for_unchanged_where_the_hosts_may_run_something_else() -> None:
    """The latest rollout failed, some host is without it, or a secret may have changed behind its name."""
    latest = rollout_of(2, 2, live=1)
    failed = quiet(rollout=latest, finished=finished(latest, succeeded=False))
    assert found(stage=failed) is None
    assert found(more=(diagnosed(),)) is None
    assert found(parameters=("KEY",)) is None


def deployed_by(number: int, stage: StageState, *live: Release) -> list[Fact]:
    """The facts that starting image release ``number``'s deployment records."""
    facts: list[Fact] = []
    store = SimpleNamespace(
        claim_rollout=lambda *_, **__: True, checkpoint=lambda *_: None, record=lambda _, fact: facts.append(fact)
    )
    aws = SimpleNamespace(
        put_bundle=lambda *_: ("sha256", "etag"),
        create_deployment=lambda *_: deployment_of(number),
        missing=lambda *_: "",
    )
    context: Any = SimpleNamespace(store=store, aws=aws, clock=lambda: NOON)
    s = Snapshot(HEART, (stage,), releases=(*live, image_release(number)))
    rollout = rollout_of(number, number, digest=digest_of(1), live=stage.live)
    start(StartDeployment(number, "it is ready", rollout, 1), Effects(s, context))
    return facts


def image_release(number: int, *facts: Fact) -> Release:
    return Release(born(number, source="image", commit="", tag=f"v{number}", digest=digest_of(1)), frozenset(facts))


def test_any_number_of_releases_with_one_content_share_one_deployment() -> None:
    """Each of them is known to run that content, so the next one is compared with it."""
    stage, live = quiet(), ()
    for number in (1, 2, 3, 4):
        facts = deployed_by(number, stage, *live)
        (began,) = (f for f in facts if isinstance(f, DeploymentStarted))
        assert (began.deployment, began.unchanged) == (deployment_of(1), number > 1)
        stage, live = live_on(number, number), (image_release(number, *facts, deployment_ended(1)),)


def test_a_rollout_that_shares_a_deployment_has_as_long_to_finish_as_any_other() -> None:
    """The deployment ended a day ago. The rollout began now, and its tags are moved."""
    now = after(24 * 60)
    rollout = rollout_of(3, 2, live=1, deadline=now + timedelta(hours=1))
    shared = replace(deployment_started(3, 2), deployment=deployment_of(1), unchanged=True, at=now)
    s = Snapshot(HEART, (quiet(rollout=rollout),), releases=(release(3, accepted(3), shared, deployment_ended(1)),))
    (finish,) = (a for a in planned_from(s, now) if isinstance(a, Finish))
    assert (finish.succeeded, finish.tags, finish.why) == (True, True, "rollout 2 succeeded")


def test_a_release_that_changes_nothing_is_live_from_its_own_rollout_on_and_says_so() -> None:
    """Its bake counts from then, not from the day of the deployment it shares."""
    started = replace(deployment_started(3, 2), deployment=deployment_of(1), unchanged=True, at=after(60))
    facts: tuple[Fact, ...] = (accepted(3), started, deployment_ended(1))
    stage = live_on(3, 2, live=1)
    status = status_on(release(3, *facts), stage, after(61))
    assert status.phase is Phase.LIVE
    assert "production already ran this image with these settings" in status.summary
    assert "nothing was restarted" in status.summary
    assert release(3, *facts).on(stage).live_since == after(60)
