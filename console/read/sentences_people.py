"""Sentences about what people and gates said about a release. Pure."""

from __future__ import annotations

from datetime import datetime

from console.read.sentences_record import minute, short
from esteira.core.facts import (
    Aborted,
    Approved,
    Bypassed,
    Gated,
    Held,
    PolicySet,
    Promoted,
    Quarantined,
    Rejected,
    ReleaseWord,
    Retried,
    RollbackOrdered,
)
from esteira.fact import Fact


def of_operator(fact: Fact) -> str | None:
    match fact:
        case Retried(by=by, attempt=attempt, reason=reason):
            return f"{by} asked for attempt {attempt}" + (f": {reason}" if reason else "")
        case Aborted(by=by, reason=reason):
            return f"{by} aborted it: {reason}"
        case Held(by=by, stage=stage, until=None, reason=reason):
            return f"{by} resumed {stage}" + (f": {reason}" if reason else "")
        case Held(by=by, stage=stage, until=datetime() as until, reason=reason):
            return f"{by} held {stage} until {minute(until)}: {reason}"
        case RollbackOrdered(by=by, stage=stage, to=to, reason=reason, again=True):
            return f"{by} ordered v{to} to be deployed to {stage} again: {reason}"
        case RollbackOrdered(by=by, stage=stage, away=away, to=to, reason=reason):
            return f"{by} ordered {stage} back from v{away} to v{to}: {reason}"
        case Quarantined(by=by, subject=subject, reason=reason, lifted=True):
            return f"{by} lifted the quarantine of {short(subject)}" + (f": {reason}" if reason else "")
        case Quarantined(by=by, subject=subject, reason=reason):
            return f"{by} quarantined {short(subject)}: {reason}"
        case PolicySet(version=version, reason=reason):
            return f"{_who(fact)} set policy version {version}: {reason}"
        case _:
            return None


def of_entry(fact: Fact) -> str | None:
    """What gates and people said about a release's way onto a stage."""
    match fact:
        case Gated(refused=()):
            return f"its figures passed every gate{_held_against(fact)}"
        case Gated(refused=refused, dry_run=True):
            return f"a gate would have refused it{_held_against(fact)}, and this is a dry run: {'; '.join(refused)}"
        case Gated(refused=refused):
            return f"its figures were refused{_held_against(fact)}: {'; '.join(refused)}"
        case Approved(stage=stage, reason=reason, until=until):
            said = f": {reason}" if reason else ""
            return f"{_who(fact)} approved it for {stage}, which counts until {minute(until)}{said}"
        case Rejected(stage=stage, reason=reason):
            return f"{_who(fact)} rejected it for {stage}: {reason}"
        case Promoted(stage=stage, reason=reason):
            return f"{_who(fact)} promoted it to {stage}" + (f": {reason}" if reason else "")
        case Bypassed(stage=stage, reason=reason, until=until):
            return f"{_who(fact)} bypassed every rule of {stage} for it until {minute(until)}: {reason}"
        case _:
            return None


def _held_against(gated: Gated) -> str:
    return f" against v{gated.against}" if gated.against else ""


def _who(word: ReleaseWord | PolicySet) -> str:
    """Who said it: by the name they gave, and by the one AWS knows them under, where that was proven."""
    return f"{word.by} ({word.arn})" if word.arn and word.arn != word.by else word.by
