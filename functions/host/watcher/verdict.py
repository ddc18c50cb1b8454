"""Whether a container is sick, from what was seen of it lately. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median

ENDS = 2  # a container that ended so many times within ENDS_SECONDS is in a crash loop: once may be bad luck
ENDS_SECONDS = 120.0
UNHEALTHY_SECONDS = 15.0
REQUESTS_SECONDS = 60.0
REQUESTS = 20  # fewer tell nothing of a share or a median
ERRORS = 0.1
SLOWER, SLOWER_MS = 5, 200  # than the release before, and by so much at least
DISK_PERCENT = 5
WELL_SECONDS = 60.0  # without a sign of it before a sick container is called well


@dataclass(frozen=True)
class Look:
    """One look at the live container. ``ends`` counts up, ``killed`` those for lack of memory; ``status`` is the last
    end's. ``answer`` is the health path's, "" for none; ``right`` what it answered when it was accepted."""

    at: float
    ends: int = 0
    killed: int = 0
    status: int = 0
    answer: str = "200"
    right: str = "200"
    disk_percent: int = 100


@dataclass(frozen=True)
class LoggedRequest:
    """One request in nginx's log: when it ended, which container answered, with what, after how long."""

    at: float
    container: str
    status: int
    seconds: float


@dataclass(frozen=True)
class Verdict:
    """Why a container is sick, in a word ("": it is well), and the figures that say so."""

    sick: str = ""
    figures: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Condition:
    """How a container has been since when; ``seen`` is when that was last seen to be so."""

    verdict: Verdict
    since: float
    seen: float


def verdict(looks: Sequence[Look], requests: Sequence[LoggedRequest], before: float | None) -> Verdict:
    """What the container's looks, oldest first, and its requests say; ``before`` is the median of the release before in
    seconds, None where that is not known."""
    now = looks[-1].at
    found = (
        _ended([look for look in looks if look.at >= now - ENDS_SECONDS]),
        _unhealthy(looks),
        _answers([r for r in requests if r.at >= now - REQUESTS_SECONDS], before),
        _disk(looks[-1]),
    )
    return next((each for each in found if each.sick), Verdict())


def following(condition: Condition, said: Verdict, at: float) -> Condition:
    """The condition after a verdict. A container that was sick is well when it has been so for a while."""
    if said.sick == condition.verdict.sick:
        return replace(condition, verdict=said, seen=at)
    if not said.sick and at - condition.seen < WELL_SECONDS:
        return condition
    return Condition(said, at, at)


def _ended(looks: Sequence[Look]) -> Verdict:
    first, last = looks[0], looks[-1]
    times, killed = last.ends - first.ends, last.killed - first.killed
    if max(times, killed) < ENDS:
        return Verdict()
    quiet = (look.at for look in looks if (look.ends, look.killed) == (first.ends, first.killed))
    seconds = int(last.at - max(quiet))
    if killed:
        return Verdict("out-of-memory", {"times": killed, "seconds": seconds})
    return Verdict("crash-loop", {"times": times, "seconds": seconds, "status": last.status})


def _unhealthy(looks: Sequence[Look]) -> Verdict:
    last, since = looks[-1], looks[-1].at
    for look in reversed(looks):
        if look.answer == look.right:
            break
        since = look.at
    if last.answer == last.right or last.at - since < UNHEALTHY_SECONDS:
        return Verdict()
    return Verdict("unhealthy", {"seconds": int(last.at - since), "status": int(last.answer or 0)})


def _answers(requests: Sequence[LoggedRequest], before: float | None) -> Verdict:
    if len(requests) < REQUESTS:
        return Verdict()
    errors = sum(request.status >= 500 for request in requests)
    seconds = {"requests": len(requests), "seconds": int(REQUESTS_SECONDS)}
    if errors >= ERRORS * len(requests):
        return Verdict("errors", {"times": errors, **seconds})
    took = median(request.seconds for request in requests)
    if before is None or took < before * SLOWER or took < before + SLOWER_MS / 1000:
        return Verdict()
    return Verdict("slow", {**seconds, "milliseconds": int(took * 1000), "before": int(before * 1000)})


def _disk(look: Look) -> Verdict:
    return Verdict("disk", {"percent": look.disk_percent}) if look.disk_percent < DISK_PERCENT else Verdict()
