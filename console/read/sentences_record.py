"""Sentences about what the controller wrote down for the audit, and the short forms of names. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from esteira.fact import Fact, Unknown
from esteira.trail import (
    Checkpoint,
    Configured,
    Decided,
    FoundBySweep,
    Requested,
    Round,
    Seen,
)


def of_the_record(fact: Fact) -> str | None:
    match fact:
        case Decided(action=action, why=why):
            return f"decided to {_spoken(action)}" + (f": {why}" if why else "")
        case Seen(sha256=digest, rows=rows):
            return f"what was decided was made from {len(rows)} rows, {digest}"
        case Configured(sha256=digest):
            return f"the registration reads as {digest[:12]} says"
        case FoundBySweep(kind=kind, release=number):
            return f"the sweep found by itself what no event had told: {kind}" + (f" of v{number}" if number else "")
        case Checkpoint(rollout=rollout, stage=stage, release=number, rows=rows, sha256=checkpoint):
            return f"rollout {rollout} on {stage} of v{number} is checkpointed: {len(rows)} rows, {checkpoint[:12]}"
        case Round(rows=rows, seen=digest):
            return f"a round of {len(rows)} decisions is sealed, made from {digest}"
        case Requested(number=number, request=request, rows=rows):
            return f"request {number} of operators is sealed: {len(rows)} words of {request}"
        case Unknown(sort_key=key):
            return f"another version of esteira recorded {key}, which this version does not know"
        case _:
            return None


def _spoken(name: str) -> str:
    """An action's name as words: ``StartBuild`` is "start build"."""
    if name == "Project":
        return "write down where it stands"
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).replace("-", " ").lower()


def minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def short(name: str) -> str:
    """A commit or a digest as people read it: ``8f3b6c1d``, ``sha256:09f16fd5c5d2``."""
    kind, colon, rest = name.partition(":")
    return f"{kind}:{rest[:12]}" if colon else name[:8]
