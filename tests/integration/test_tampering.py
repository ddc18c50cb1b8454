"""The tampering table: for every kind of fact, a row altered, deleted, inserted and backdated, and what notices it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from console.local.rehearse.rehearsal_engine import BuildOutcome
from console.record.alterations import _with_another, fields_beside_the_key
from console.record.as_of import Rows
from console.record.receipt import receipt
from esteira.core.facts import CommitPushed
from esteira.fact import _KINDS, Fact, from_row
from esteira.store.rows import packed, row_of, unpacked
from tests.world.story import ACCESS_KEY_ID, Story
from tests.world.test_stages import vote

STAGES = (
    {"name": "production", "approvals": {"votes": 1, "valid_hours": 24, "wait_hours": 48, "not_by_pusher": True}},
)
# Kinds from which nothing is decided: what was heard beside the decisions, and what is told. Each has its reason.
DECIDES_NOTHING = {
    "searched": "how far a push was searched; searched again where it is gone",
    "found-by-sweep": "a count for the metrics",
    "image-scanned": "shown, and no rule asks for it",
    "image-built": "where to look for a commit's image; the release's own rows, which are sealed, have to say the same",
    "host-reported": "shown while a deployment runs; what decided is diagnosed",
    "notified": "who was told",
    "hosts-replaced": "who had hosts replaced and why; the group was told at once, and nothing is planned from it",
    "configured": "named by its own hash; replay-decision checks it",
}


# What no seal notices, with the reason why it decided nothing.
UNNOTICED = {
    "seen backdated": "its key is the hash of all that decided; the time is not part of that",
    "seen inserted": "no decision names it",
}
# Kinds that this story has no row of; they stand in a release's partition or among its words, as others that are tried.
AS_OTHERS = {
    "deviated",
    "host-launched",
    "host-left",
    "host-observed",
    "image-missed",
    "promoted",
    "declined",
    "alarm-rang",
    "superseded",
    "image-arrived",
    "given-up",
    "findings-read",
}


@pytest.fixture(scope="module")
def story() -> Iterator[Story]:
    """A policy, votes, a failed build, a retry, a rejection, an abort, a hold, a bypass, a rollback, a leak."""
    with Story(stages=STAGES) as story:
        gates = {"roc_auc": {"min": 0.5}}
        stages = {"production": {"approvals": STAGES[0]["approvals"]}}
        rules = json.dumps({"stages": stages, "gates": gates, "gates_dry_run": True})
        assert "refused" not in story.operate("policy", document=rules, reason="the audit")
        for text in ("one", "two"):
            story.push(text)
            story.play()
            vote(story, "approve", f"v{story.newest()}")
            story.clock.advance(3600)
        story.operate("hold", reason="an exam", minutes=60)
        story.operate("resume")
        story.builds = BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: pytest")
        story.push("three")
        story.play()
        story.builds = BuildOutcome()
        story.operate("retry", release="v3")
        story.play()
        vote(story, "reject", "v3")
        story.push("four")
        story.play()
        vote(story, "bypass", "v4")
        story.operate("rollback", reason="it answers nonsense")
        story.play()
        story.push("five")
        story.deliver()
        story.operate("abort", release="v5")
        story.play()
        story.push_image("from elsewhere", "v9.1")
        story.play()
        vote(story, "reject", "v6")
        story.clock.advance(3600)
        story.push(leak=ACCESS_KEY_ID)
        story.play()
        story.pass_time(3600)
        yield story


def faults(story: Story, number: int) -> set[str]:
    rows = Rows(story.context.aws.client("dynamodb"), story.context.settings.table)
    now = story.clock.now()
    told = receipt(rows, story.service, number, "production", whole=True, aws=None, now=now)
    return {f"{fault.row}: {fault.says}" for fault in told.faults}


def everywhere(story: Story) -> set[str]:
    return {says for number in range(1, story.newest() + 1) for says in faults(story, number)}


class Table:
    """The table's rows, in the hand of somebody who may write it."""

    def __init__(self, story: Story) -> None:
        self.story, self.name = story, story.context.settings.table
        self.client = story.aws_client("dynamodb")

    def items(self) -> list[dict[str, Any]]:
        return [dict(item) for item in self.story.local_aws.dynamodb.dump()]

    def facts(self) -> Iterator[Fact]:
        for item in self.items():
            row = unpacked(item)
            if "fact" in row and "fact_key" not in row:
                yield from_row(row)

    def put(self, fact: Fact) -> None:
        self.client.put_item(TableName=self.name, Item=packed(row_of(self.story.service.name, fact)))

    def delete(self, fact: Fact) -> None:
        row = packed(row_of(self.story.service.name, fact))
        self.client.delete_item(TableName=self.name, Key={"pk": row["pk"], "sk": row["sk"]})

    def noticed(self, gone: Fact | None, there: Fact | None) -> str:
        """What the receipts say when one row is exchanged for another; the table is as before afterwards."""
        if gone:
            self.delete(gone)
        if there:
            self.put(there)
        try:
            found = sorted(everywhere(self.story))
        finally:
            if there:
                self.delete(there)
            if gone:
                self.put(gone)
        return found[0] if found else ""


def another_row(fact: Fact, there: set[tuple[str, str]]) -> Fact | None:
    """A row of the same kind and partition under another key; None where the partition has one such row."""
    names = [f.name for f in fields(fact) if f.name not in fields_beside_the_key(fact)]
    others = (other for name in names for other in _with_another(fact, name))
    return next((o for o in others if o.about == fact.about and (o.about, o.key) not in there), None)


def altered_row(fact: Fact) -> Fact:
    """The row with another value in a field beside its key: the last of them, and ``at`` where there is no other."""
    name = fields_beside_the_key(fact)[-1]
    return next(iter(_with_another(fact, name)))


@pytest.fixture(scope="module")
def tampered(story: Story) -> dict[str, dict[str, str]]:
    """By kind, then by what was done, what was said about it; "" where nothing was."""
    table, told = Table(story), {}
    by_kind: dict[str, Fact] = {}
    facts = sorted(table.facts(), key=lambda f: f.at)
    there = {(fact.about, fact.key) for fact in facts}
    for fact in facts:
        by_kind.setdefault(fact.name, fact)
    for kind, fact in sorted(by_kind.items()):
        if kind in DECIDES_NOTHING:
            continue
        other, early = another_row(fact, there), replace(fact, at=fact.at - timedelta(hours=1))
        told[kind] = {
            "deleted": table.noticed(fact, None),
            "backdated": table.noticed(fact, early),
            "inserted": table.noticed(None, other) if other else "there is one row",
        }
        if isinstance(fact, CommitPushed):
            del told[kind]["backdated"]  # who pushed is its key; when it was heard decides nothing
        elif fields_beside_the_key(fact):
            told[kind]["altered"] = table.noticed(fact, altered_row(fact))
    return told


def _by(says: str) -> str:
    """What notices it, in short."""
    return says.partition(": ")[2]


def test_an_untouched_record_holds(story: Story) -> None:
    """Also of releases without a rollout."""
    assert everywhere(story) == set()


@pytest.mark.slow
def test_nothing_that_decided_can_be_altered_deleted_or_backdated_unnoticed(
    tampered: dict[str, dict[str, str]],
) -> None:
    """Every kind that decides, from the registry of kinds; a new kind has to be tried or named as deciding nothing."""
    for kind, told in tampered.items():
        for what, says in told.items():
            print(f"| {kind} | {what} | {_by(says) or says or 'no: ' + UNNOTICED.get(f'{kind} {what}', '?')} |")
    unnoticed = [f"{kind} {what}" for kind, told in tampered.items() for what in told if not told[what]]
    assert sorted(unnoticed) == sorted(UNNOTICED)
    assert sorted(_KINDS.keys() - tampered.keys() - DECIDES_NOTHING.keys() - AS_OTHERS) == []
