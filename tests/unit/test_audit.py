"""Hashes that make the record hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from console.record.alterations import altered, broken, fields_beside_the_key
from esteira.audit import (
    checkpoint_hash,
    checkpoint_of,
    configuration_hash,
    configuration_of,
    hash_of,
    row_hash,
    seen,
    seen_hash,
)
from esteira.core.facts import CommitPushed, Notified
from esteira.core.state import Listed, Snapshot, StageState
from esteira.fact import Fact, from_row, to_row
from esteira.trail import Checkpoint
from tests.unit.conftest import HEART, NOON, accepted, after, born, deployment_started, finished, release, rollout_of

ROLLOUT = rollout_of()


def checkpoint(number: int, before: str = "") -> Checkpoint:
    return checkpoint_of(rollout_of(number, number), [born(number), accepted(number)], before, after(number))


def chain(length: int) -> list[Checkpoint]:
    """The checkpoints of that many rollouts."""
    checkpoints: list[Checkpoint] = []
    for number in range(1, length + 1):
        checkpoints.append(checkpoint(number, checkpoints[-1].sha256 if checkpoints else ""))
    return checkpoints


def test_a_hash_is_the_same_whatever_the_order_of_the_keys() -> None:
    """One form of JSON, so that another program can make the same hash."""
    assert hash_of({"b": 1, "a": [2]}) == hash_of({"a": [2], "b": 1})
    assert hash_of("") == "12ae32cb1ec02d01eda3581b127c1fee3b0dc53572ed6baf239721a03d82e126"  # of two quotation marks


@pytest.mark.parametrize("fact", [born(), accepted(), ROLLOUT, deployment_started(), finished(ROLLOUT, succeeded=True)])
def test_a_rows_hash_survives_the_table_and_counts_every_field(fact: Fact) -> None:
    """Also when it was heard, and who holds the lease, which facts are not compared by."""
    assert row_hash(from_row(to_row(fact))) == row_hash(fact)
    assert row_hash(replace(fact, at=after(1))) != row_hash(fact)
    assert row_hash(replace(ROLLOUT, lease=after(9))) != row_hash(ROLLOUT)


def test_a_checkpoint_covers_what_the_table_keeps() -> None:
    """The rollout is in it; what is forgotten one day is not, or it would look taken."""
    told = Notified(at=NOON, subject="release/00000001", topic="live#1#1##", channel="topic")
    one = checkpoint_of(ROLLOUT, [born(), told], "", NOON)
    assert [row.rpartition(" ")[0] for row in one.rows] == [
        "releases release#00000001",
        "stage/production rollout#00000001",
    ]
    assert one == checkpoint_of(ROLLOUT, [told, born()], "", NOON)


def test_the_checkpoints_of_a_stage_hold_together() -> None:
    """In full, and any stretch of them."""
    checkpoints = chain(6)
    assert list(broken(checkpoints)) == []
    assert list(broken(checkpoints[2:])) == []
    assert list(broken([])) == []


@pytest.mark.parametrize("name", ["at", "release", "rows", "before", "stage", "rollout"])
def test_whatever_is_altered_in_a_checkpoint_is_named(name: str) -> None:
    """The checkpoint is the hash of all the rest of its row."""
    value: Any = {"at": after(99), "release": 9, "rows": (), "before": "f" * 64, "stage": "moon", "rollout": 9}[name]
    old = checkpoint(1)
    assert checkpoint_hash(replace(old, **{name: value})) != old.sha256
    assert "rollout" in next(broken([replace(old, **{name: value})]))


def test_a_checkpoint_that_is_missing_or_made_anew_is_named() -> None:
    """A gap, a chain that begins in the middle, one that follows from something else."""
    checkpoints = chain(6)
    assert list(broken([*checkpoints[:2], *checkpoints[3:]])) == [
        "the checkpoint of rollout 3 is missing: rollouts have no gap"
    ]
    assert list(broken([checkpoints[0], *checkpoints[4:]])) == [
        "the checkpoint of rollouts 2 to 4 is missing: rollouts have no gap"
    ]
    forged = replace(checkpoints[1], rows=())
    forged = replace(forged, sha256=checkpoint_hash(forged))
    (says,) = broken([checkpoints[0], forged, *checkpoints[2:]])
    assert says.startswith("the checkpoint of rollout 3 does not follow from the one of 2")
    first = replace(checkpoints[0], before=checkpoints[5].sha256)
    first = replace(first, sha256=checkpoint_hash(first))
    assert "and there is none before it" in next(broken([first]))


def test_an_altered_row_is_named_by_its_fields() -> None:
    """Where the key contradicts a field, it is among those of the key; else among the others."""
    fact = accepted()
    row, where = to_row(fact), (fact.about, fact.key, row_hash(fact))
    assert altered(row, *where) == ""
    assert "of at, digest, reused, exported, images, note, one is not what it was" in altered(
        {**row, "digest": "x"}, *where
    )
    says = altered({**row, "attempt": 7}, *where)
    assert says == "its fields make release/00000001 accepted#0007 of it: of release, attempt, one is not what it was"
    for broken_row in ({**row, "at": 7}, {**row, "attempt": "x"}, {"fact": "accepted"}):
        assert altered(broken_row, *where) == "it is no fact any more: a field is missing, or is of another kind"
    place = {"pk": f"heart#{fact.about}", "sk": fact.key}
    assert "is not what it was" in altered({**row, **place, "fact": "miracle"}, *where)


def test_an_untouched_row_of_an_unknown_kind_is_not_called_altered() -> None:
    """A newer version wrote and checkpointed it."""
    row = {**to_row(accepted()), "fact": "miracle", "pk": f"heart#{accepted().about}", "sk": accepted().key}
    assert altered(row, accepted().about, accepted().key, row_hash(from_row(row))) == ""


def test_the_fields_a_key_tells_are_known() -> None:
    """All others may be altered without the key's noticing."""
    assert fields_beside_the_key(accepted()) == ("at", "digest", "reused", "exported", "images", "note")
    assert set(fields_beside_the_key(ROLLOUT)) == {
        "at", "release", "attempt", "digest", "kind", "live", "healthy", "served", "lease", "deadline", "owner",
    }  # fmt: skip


def test_a_registration_stands_under_its_hash() -> None:
    """What is read back under it is what was registered."""
    configured = configuration_of(HEART, NOON)
    assert configuration_hash(configured.document) == configured.sha256
    assert type(HEART).model_validate_json(configured.document) == HEART


def test_what_was_seen_has_another_hash_when_anything_was() -> None:
    """A row, the tip, what listings had, which release was the newest."""
    base = Snapshot(HEART, (StageState("production", ROLLOUT),), born(), (release(1, accepted()),), tip="abc")
    others = [
        replace(base, tip=None),
        replace(base, releases=(release(1),)),
        replace(base, newest=born(2)),
        replace(base, stages=(StageState("production"),)),
        replace(base, written={1: Listed("live", "it is")}),
        replace(
            base, releases=(replace(release(1, accepted()), pushes=(CommitPushed(at=NOON, commit="c", by="arn:ana"),)),)
        ),
    ]
    hashes = [seen(s, NOON).sha256 for s in (base, *others)]
    assert len(set(hashes)) == len(hashes)
    assert seen(base, after(5)).sha256 == hashes[0]
    assert all(seen_hash(seen(s, NOON)) == told for s, told in zip((base, *others), hashes, strict=True))
