"""The walk through the items: each provoked once, looked at until it is settled, and noted before the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

from botocore.exceptions import BotoCoreError, ClientError

from console.prove.item import ProofItem, ProofOutcome, not_seen, refuted
from console.prove.notes import ProofNotes
from console.prove.site import ProofSite
from console.read.where import TroubleError

POLL_SECONDS = 10.0
CANNOT_TELL = "the local AWS cannot tell"

Say = Callable[[str], None]


def walk(items: Iterable[ProofItem], site: ProofSite, notes: ProofNotes, say: Say) -> None:
    """Settle every item that is not settled yet. What was settled in an earlier run stays as it is."""
    blocked = ""
    for item in items:
        if item.name in notes.outcomes:
            blocked = blocked or _blocks(item, notes.outcomes[item.name], site)
            continue
        if blocked:
            outcome = not_seen(f"the walk ended at {blocked}")
        else:
            say(f"{item.name}: {item.provoked}")
            outcome = _as_told(settle(item, site, notes), site)
        notes.outcomes[item.name] = outcome
        notes.write()
        say(f"{item.name}: {outcome.verdict}: {outcome.evidence}")
        blocked = blocked or _blocks(item, outcome, site)


def settle(item: ProofItem, site: ProofSite, notes: ProofNotes) -> ProofOutcome:
    """Provoke an item once over all runs, and look at it until something is seen or its time is over."""
    try:
        if item.name not in notes.provoked:
            item.provoke(site)
            notes.provoked.append(item.name)
            notes.write()
        return _watched(item, site)
    except TroubleError as trouble:
        return refuted(str(trouble)) if item.needed else not_seen(str(trouble))
    except (BotoCoreError, ClientError) as error:
        return not_seen(f"it could not be asked: {error}")
    except (LookupError, TypeError, ValueError, StopIteration, NotImplementedError) as error:
        return not_seen(f"the answer was not as expected: {type(error).__name__}: {error}")


def _watched(item: ProofItem, site: ProofSite) -> ProofOutcome:
    end = site.now() + timedelta(minutes=item.minutes)
    while True:
        seen = item.look(site)
        if seen is not None:
            return seen
        if site.now() >= end:
            return not_seen(f"nothing was seen in {item.minutes:g} minutes")
        site.pause(POLL_SECONDS)


def _as_told(outcome: ProofOutcome, site: ProofSite) -> ProofOutcome:
    """Off AWS nothing is ever proven: what was seen there is only a rehearsal."""
    if site.real or outcome.verdict == "refuted":
        return outcome
    how = "rehearsed" if outcome.verdict == "proven" else "rehearsed in vain"
    return not_seen(f"{CANNOT_TELL}; {how}: {outcome.evidence}")


def _blocks(item: ProofItem, outcome: ProofOutcome, site: ProofSite) -> str:
    """The item's name where nothing can be seen after it, "" else."""
    stands = outcome.verdict == "proven" or (not site.real and "rehearsed: " in outcome.evidence)
    return item.name if item.needed and not stands else ""
