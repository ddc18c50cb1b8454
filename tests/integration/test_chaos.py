"""The chaos run keeps its promises, and would notice if they were broken."""

from __future__ import annotations

import pytest

from console.local.rehearse.chaos import Trouble, run
from esteira.core.facts import Claimed
from esteira.fact import Fact
from esteira.store import Store

TROUBLE = Trouble(lose=0.25, duplicate=0.25, shuffle=True, crash=0.1, throttle=0.1)


@pytest.mark.parametrize(("seed", "stages"), [(11, 1), (12, 2)])
def test_every_release_ends_once_among_chaos(seed: int, stages: int) -> None:
    """Whatever is lost, doubled, shuffled or dies: every release ends, built once, deployed once to each stage, never
    backward, never two at a time, never without the votes."""
    report = run(25, TROUBLE, seed, stages=stages)
    assert report.releases >= 25
    assert report.ended == report.releases
    assert (report.double_builds, report.double_deployments, report.went_backward) == (0, 0, 0)
    assert (report.unapproved, report.at_once) == (0, 0)
    assert report.good
    assert min(report.rollouts.values()) > 0
    assert report.crashes > 0
    assert report.throttles > 0


def test_a_controller_without_claims_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """If claims did not hold, the run would count builds or deployments made twice: the zero above is earned."""
    record = Store.record

    def no_claims(self: Store, service: str, fact: Fact) -> bool:
        return record(self, service, fact) or isinstance(fact, Claimed)

    monkeypatch.setattr(Store, "record", no_claims)
    monkeypatch.setattr("esteira.aws.Cloud.find_build", lambda *_: None)
    monkeypatch.setattr("console.local.aws.codebuild.CodeBuild._known", lambda *_: None)
    assert any(run(25, TROUBLE, seed).double_builds for seed in range(11, 17))  # the first that shows it is enough


def test_a_controller_that_asks_for_no_votes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """If votes were not waited for, the run would count turns without them: the zero above is earned."""
    monkeypatch.setattr("esteira.core.admission._approval", lambda *_: ())
    report = run(10, TROUBLE, 12, stages=2)
    assert report.unapproved > 0
    assert not report.good
