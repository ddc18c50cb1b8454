"""The lease on an action that is done once: when it may be claimed, and when AWS is to be asked first."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from esteira.core.facts import Claimed, Declined
from esteira.core.lease import Lease, LeaseState, back_off, lease_of
from tests.unit.conftest import LEASE, NOON, after


def claimed(take: int = 1, at: datetime = NOON) -> Claimed:
    return Claimed(at=at, release=1, action="build", attempt=1, take=take, lease=at + LEASE)


def declined(take: int = 1, at: datetime = NOON) -> Declined:
    return Declined(at=at, release=1, action="build", attempt=1, take=take, error="ThrottlingException")


ALMOST = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("lease", "now", "state"),
    [
        (lease_of([], []), NOON, LeaseState.FREE),
        (lease_of([claimed()], []), NOON, LeaseState.HELD),
        (lease_of([claimed()], []), NOON + LEASE - ALMOST, LeaseState.HELD),
        (lease_of([claimed()], []), NOON + LEASE, LeaseState.EXPIRED),
        (lease_of([claimed()], [declined()]), NOON + back_off(1) - ALMOST, LeaseState.BACKING_OFF),
        (lease_of([claimed()], [declined()]), NOON + back_off(1), LeaseState.RETRY),
        (lease_of([claimed()], [declined()]), after(24 * 60), LeaseState.RETRY),  # it never expires: nothing exists
        (lease_of([claimed(), claimed(2)], [declined()]), NOON, LeaseState.HELD),
        (lease_of([claimed(), claimed(2)], [declined(), declined(2)]), NOON + back_off(1), LeaseState.BACKING_OFF),
        (lease_of([claimed(), claimed(2)], [declined(), declined(2)]), NOON + back_off(2), LeaseState.RETRY),
        (lease_of([claimed()], [declined(2)]), NOON + LEASE, LeaseState.EXPIRED),
    ],
)
def test_a_lease_is_in_one_state_at_any_time(lease: Lease, now: datetime, state: LeaseState) -> None:
    """The latest take counts. A refusal of it frees the action after a back-off, a lease alone only when it is over."""
    assert lease.state(now) is state


def test_the_order_of_claims_and_refusals_does_not_matter() -> None:
    """Rows come in the order of their keys, events in any."""
    claims, refusals = [claimed(1), claimed(2), claimed(3)], [declined(1), declined(2)]
    forth, back = lease_of(claims, refusals), lease_of(claims[::-1], refusals[::-1])
    assert forth == back == Lease(3, NOON + LEASE, None)


def test_a_rollout_is_the_first_claim_of_its_deployment() -> None:
    """Its row holds the lease of take 1, and a refusal of take 1 is the deployment's."""
    assert lease_of([], [], NOON + LEASE).state(NOON) is LeaseState.HELD
    assert lease_of([], [], NOON + LEASE).state(NOON + LEASE) is LeaseState.EXPIRED
    assert lease_of([], [declined()], NOON + LEASE).state(NOON) is LeaseState.BACKING_OFF
    taken_over = lease_of([claimed(2, NOON + LEASE)], [declined()], NOON + LEASE)
    assert (taken_over.take, taken_over.state(NOON + LEASE)) == (2, LeaseState.HELD)


def test_only_a_claim_without_a_refusal_is_unanswered() -> None:
    """Such an action may have been done, so AWS is asked."""
    assert not lease_of([], []).unanswered
    assert lease_of([claimed()], []).unanswered
    assert lease_of([claimed(), claimed(2)], [declined()]).unanswered
    refused = lease_of([claimed()], [declined()])
    assert (refused.unanswered, refused.error) == (False, "ThrottlingException")
