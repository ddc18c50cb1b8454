"""What every function answers, as plain JSON."""

from __future__ import annotations

from typing import Any

from esteira.advance import Outcome

Answer = dict[str, Any]


def answer(outcome: Outcome | None = None, why: str = "") -> Answer:
    """``{service, release, phase, why, actions}``; with no outcome, nothing was done, and ``why`` says why."""
    outcome = outcome or Outcome("", "", "", why, ())
    return {
        "service": outcome.service,
        "release": outcome.release,
        "phase": outcome.phase,
        "why": outcome.why,
        "actions": list(outcome.actions),
    }
