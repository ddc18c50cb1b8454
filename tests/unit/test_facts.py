"""A fact is the same however often it is said, and a row tells it whole."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from esteira import fact as rows
from esteira.audit import row_hash
from esteira.core import facts
from esteira.core.facts import DeploymentReported
from esteira.core.state import Release, StageState
from esteira.core.status import assess
from esteira.fact import Fact, Unknown, from_row, stamp, to_row, unstamp
from tests.unit.conftest import NOON, born, deployed, live_on

TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
TEXTS = st.text(alphabet="ab-._/: é\n", max_size=8)
NUMBERS = st.integers(0, 9_999)

# The fields that a kind's key and partition are made of. Of two facts under one key, the first stays.
IDENTITY: dict[str, set[str]] = {
    "Pushed": {"number"},
    "Searched": {"commit", "base", "through"},
    "ImageArrived": {"tag", "digest"},
    "ImageTaken": {"tag", "digest", "missing"},
    "ImageScanned": {"digest", "scanned_at", "findings"},
    "CommitPushed": {"commit", "by", "before"},
    "ImageBuilt": {"commit", "release", "attempt"},
    "ImageMissed": {"at", "release"},
    "Claimed": {"release", "action", "attempt", "take", "stage"},
    "Declined": {"release", "action", "attempt", "take", "stage"},
    "BuildStarted": {"release", "attempt", "build"},
    "BuildEnded": {"release", "attempt", "build"},
    "Accepted": {"release", "attempt"},
    "Gated": {"release", "attempt"},
    "FindingsRead": {"release", "attempt", "number"},
    "Superseded": {"release"},
    "GivenUp": {"release", "what", "number", "stage"},
    "StopAsked": {"release", "thing"},
    "Rollout": {"stage", "number"},
    "RolloutFinished": {"stage", "rollout"},
    "HostObserved": {"stage", "host", "since"},
    "HostLeft": {"stage", "host", "since"},
    "HostLaunched": {"stage", "ended", "deployment"},
    "HostsReplaced": {"stage", "at", "request"},
    "Deviated": {"stage", "ended", "deployment"},
    "Bundled": {"release", "stage", "rollout", "sha256"},
    "DeploymentStarted": {"release", "stage", "rollout", "deployment"},
    "DeploymentReported": {"deployment"},  # and whether it began or ended, which has a test of its own
    "HostReported": {"deployment", "host", "status"},
    "Diagnosed": {"deployment"},
    "Replaced": {"release", "stage", "rollout"},
    "AlarmRang": {"alarm", "since"},
    "Retried": {"release", "attempt"},
    "Aborted": {"release", "attempt"},
    # The latest word of an operator counts, so the time is part of the key.
    "Held": {"stage", "at", "request"},
    "RollbackOrdered": {"stage", "at", "request"},
    "Quarantined": {"subject", "at", "request"},
    "PolicySet": {"version"},
    "Approved": {"release", "stage", "at", "request"},
    "Rejected": {"release", "stage", "attempt", "digest"},
    "Promoted": {"release", "stage", "at", "request"},
    "Bypassed": {"release", "stage", "at", "request"},
    "Notified": {"subject", "topic", "channel"},
    "Checkpoint": {"stage", "rollout"},
    "Decided": {"release", "at", "round", "seen", "place"},
    "Round": {"at", "round", "seen"},
    "Requested": {"number"},
    "Seen": {"sha256"},
    "Configured": {"sha256"},
    "FoundBySweep": {"at", "kind", "release"},
}


def leaves(kind: type[Fact]) -> list[type[Fact]]:
    """The classes below ``kind`` that facts are made of."""
    below = kind.__subclasses__()
    return [leaf for sub in below for leaf in leaves(sub)] if below else [kind]


KINDS = sorted(set(leaves(Fact)) - {Unknown}, key=lambda kind: kind.__name__)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])


def values(hint: Any) -> st.SearchStrategy[Any]:
    """A strategy for a value of a fact's field."""
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=3).map(tuple)
    if get_origin(hint) is UnionType:
        return st.none() | values(get_args(hint)[0])
    return {datetime: TIMES, str: TEXTS, int: NUMBERS, bool: st.booleans()}[hint]


def instances(kind: type[Fact]) -> st.SearchStrategy[Fact]:
    """A strategy for facts of a kind from the types of its fields."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{f.name: values(hints[f.name]) for f in fields(kind)})


INSTANCES = {kind: instances(kind) for kind in KINDS}  # made once: it takes longer than to draw from it


def row_of(fact: Fact) -> tuple[str, str]:
    return fact.about, fact.key


def test_the_table_of_identities_names_every_kind_of_fact() -> None:
    """A new kind of fact must say here what tells one of it from another."""
    assert {kind.__name__ for kind in KINDS} == set(IDENTITY)


def test_no_two_kinds_of_fact_share_a_name() -> None:
    """A row's kind is found by its name."""
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@every_kind
@given(data=st.data())
@settings(max_examples=5)
def test_a_fact_comes_back_from_its_row_whole(kind: type[Fact], data: st.DataObject) -> None:
    """What to_row writes, from_row reads: every field, also those that take no part in equality."""
    fact = data.draw(INSTANCES[kind])
    assert vars(from_row(to_row(fact))) == vars(fact)
    assert type(from_row(to_row(fact))) is kind


@every_kind
@given(data=st.data())
@settings(max_examples=3)
def test_a_row_is_plain_and_newer_attributes_are_ignored(kind: type[Fact], data: st.DataObject) -> None:
    """A row holds texts, numbers, truths and lists of them, and may have grown since."""
    row = to_row(data.draw(INSTANCES[kind]))
    assert all(isinstance(v, str | int | list | None) for v in row.values())
    assert from_row(row | {"pk": "heart#releases", "added_later": "x"}) == from_row(row)


@every_kind
@given(data=st.data())
@settings(max_examples=3)
def test_each_field_of_the_identity_and_no_other_makes_another_row(kind: type[Fact], data: st.DataObject) -> None:
    """A fact about the same thing has the same row, and one about another thing never keeps it out."""
    one, hints = data.draw(INSTANCES[kind]), get_type_hints(kind)
    for field in fields(kind):
        said = getattr(one, field.name)
        if get_origin(hints[field.name]) is Literal and len(get_args(hints[field.name])) == 1:
            continue
        if (kind, field.name) == (DeploymentReported, "status"):
            continue
        another = data.draw(values(hints[field.name]))
        assume(another != said)
        other = replace(one, **{field.name: another})
        assert (row_of(one) != row_of(other)) == (field.name in IDENTITY[kind.__name__]), field.name


@every_kind
@given(data=st.data())
@settings(max_examples=5)
def test_equal_facts_share_a_row(kind: type[Fact], data: st.DataObject) -> None:
    """A fact twice is a fact once. (Of an operator's words the time is part of the row, as the latest counts; that the
    same request is heard once is seen to by its id.)"""
    one, other = data.draw(INSTANCES[kind]), data.draw(INSTANCES[kind])
    compared = {f.name: getattr(one, f.name) for f in fields(kind) if f.compare or "at" in IDENTITY[kind.__name__]}
    other = replace(other, **compared)
    assert other == one
    assert row_of(other) == row_of(one)


@every_kind
@given(data=st.data())
@settings(max_examples=3)
def test_when_a_fact_was_heard_takes_no_part_in_what_it_says(kind: type[Fact], data: st.DataObject) -> None:
    """The same fact from an event and from the sweep, minutes apart, is equal and stands once in a set."""
    fact = data.draw(INSTANCES[kind])
    later = replace(fact, at=fact.at + timedelta(minutes=5))
    assert later == fact
    assert len({fact, later}) == 1


@given(data=st.data())
@settings(max_examples=40)
def test_facts_of_different_kinds_never_meet_in_a_row(data: st.DataObject) -> None:
    """One kind's key is never another's, so no fact keeps another out."""
    one, other = (data.draw(INSTANCES[data.draw(st.sampled_from(KINDS))]) for _ in range(2))
    assert type(one) is type(other) or row_of(one) != row_of(other)


@given(TIMES, TIMES)
def test_stamps_sort_as_time_does(one: datetime, other: datetime) -> None:
    """Rows are read newest first by their keys, so a stamp's order is time's order, and it reads back exactly."""
    assert (stamp(one) < stamp(other)) == (one < other)
    assert unstamp(stamp(one)) == one


@pytest.mark.parametrize(
    ("kind", "aside"),
    [
        ("Claimed", {"at", "lease", "owner"}),
        ("Declined", {"at", "error"}),
        ("GivenUp", {"at", "why", "attempt", "remedy", "cause"}),
        ("Rollout", {"at", "lease", "deadline", "owner"}),
        ("Diagnosed", {"at", "cause", "reached", "event", "answers", "found"}),
        ("BuildStarted", {"at", "began", "retry_of"}),
        ("BuildEnded", {"at"}),
    ],
)
def test_times_and_texts_of_the_moment_take_no_part_in_equality(kind: str, aside: set[str]) -> None:
    """Two functions that conclude the same conclude it at other moments and in other words."""
    assert {f.name for f in fields(rows._KINDS[getattr(facts, kind).name]) if not f.compare} == aside


def test_the_module_keeps_no_kind_out_of_the_rows() -> None:
    """Every public class of facts that can be made is found again by its name."""
    assert all(rows._KINDS[kind.name] is kind for kind in KINDS)


def test_a_deployment_begins_once_and_ends_once() -> None:
    """A report of its begin and one of its end are two rows; of two ends, the first counts."""
    begun, ended, other = (
        DeploymentReported(at=NOON, deployment="d-1", status=status) for status in ("InProgress", "Succeeded", "Failed")
    )
    assert row_of(begun) != row_of(ended) == row_of(other)


# --- rows of kinds that this version does not know -------------------------------------------------------------------

NEWER = {
    "pk": "heart#release/00000001",
    "sk": "trial-ended#0001",
    "expires": 1,
    "fact": "trial-ended",
    "at": stamp(NOON),
    "verdict": "better",
    "hosts": ["i-1", "i-2"],
}


def test_a_row_of_an_unknown_kind_is_kept_whole_under_its_own_key() -> None:
    """A newer version wrote it. It is written back as it was read, and its hash covers every field."""
    newer = from_row(NEWER)
    assert isinstance(newer, Unknown)
    assert (newer.about, newer.key, newer.at) == ("release/00000001", "trial-ended#0001", NOON)
    row = to_row(newer)
    assert row == {name: value for name, value in NEWER.items() if name not in ("pk", "sk", "expires")}
    assert from_row(row | {"pk": NEWER["pk"], "sk": NEWER["sk"]}) == newer
    assert row_hash(newer) != row_hash(from_row(NEWER | {"verdict": "worse"}))


def test_the_numbers_of_an_unknown_kind_survive_the_table() -> None:
    """DynamoDB answers decimals where integers were written; the hash under a checkpoint must stay the same."""
    written, answered = from_row(NEWER | {"share": 5}), from_row(NEWER | {"share": Decimal(5)})
    assert row_hash(answered) == row_hash(written)
    assert to_row(answered)["share"] == 5


@pytest.mark.parametrize("at", [7, "yesterday", None])
def test_a_row_of_an_unknown_kind_may_have_any_time_or_none(at: object) -> None:
    """Nothing is known about its fields, so none of them can make it unreadable."""
    assert from_row(NEWER | {"at": at}).about == "release/00000001"


def test_a_fact_of_an_unknown_kind_changes_no_status() -> None:
    """It is passed over, wherever the release stands."""
    stages: tuple[StageState, ...] = (live_on(1),)
    facts_ = deployed()
    for count in range(len(facts_) + 1):
        known, more = (Release(born(), frozenset(f)) for f in (facts_[:count], (*facts_[:count], from_row(NEWER))))
        assert assess(more, stages, NOON).overall == assess(known, stages, NOON).overall
