"""The chaos run keeps its promises, and would notice if they were broken."""

from __future__ import annotations

import pytest

from console.local.rehearse.chaos import Trouble, run
from esteira.core.facts import Claimed
from esteira.fact import Fact
from esteira.store import Store

TROUBLE = Trouble(lose=0.25, duplicate=0.25, shuffle=True, crash=0.1, throttle=0.1, lose_answers=0.02)


@pytest.mark.parametrize(
    ("releases", "seed", "stages"),
    [(8, 13, 2), pytest.param(25, 11, 1, marks=pytest.mark.slow), pytest.param(25, 12, 2, marks=pytest.mark.slow)],
)
def test_every_release_ends_once_among_chaos(releases: int, seed: int, stages: int) -> None:
    """Whatever event or answer is lost, whatever is doubled, shuffled or dies: every release ends, built once, deployed
    once to each stage, never backward, never two at a time, never without the votes."""
    report = run(releases, TROUBLE, seed, stages=stages)
    assert report.releases >= releases
    assert report.ended == report.releases
    assert (report.double_builds, report.double_deployments, report.went_backward) == (0, 0, 0)
    assert (report.unapproved, report.at_once) == (0, 0)
    assert report.good
    assert min(report.rollouts.values()) > 0
    assert report.crashes > 0
    assert report.throttles > 0
    assert report.lost_answers > 0


@pytest.mark.slow
def test_a_controller_without_claims_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """If claims did not hold, the run would count builds or deployments made twice: the zero above is earned."""
    record = Store.record

    def no_claims(self: Store, service: str, fact: Fact) -> bool:
        return record(self, service, fact) or isinstance(fact, Claimed)

    monkeypatch.setattr(Store, "record", no_claims)
    monkeypatch.setattr("esteira.aws.Aws.find_build", lambda *_: None)
    monkeypatch.setattr("console.local.aws.codebuild.CodeBuild._known", lambda *_: None)
    assert any(run(25, TROUBLE, seed).double_builds for seed in range(11, 17))  # the first that shows it is enough


@pytest.mark.slow
def test_a_controller_that_asks_for_no_votes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """If votes were not waited for, the run would count rollouts without them: the zero above is earned."""
    monkeypatch.setattr("esteira.core.admission._approval", lambda *_: ())
    report = run(10, TROUBLE, 12, stages=2)
    assert report.unapproved > 0
    assert not report.good
