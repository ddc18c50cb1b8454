"""Is a release well under real requests? Judged from the moment it gets them, as by the hooks of the default bundle.

It must not end, its health must stay, and its answers must not be errors where the former one's were not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from console.local.process.container import POLL_SECONDS, Container
from console.local.process.health import Health
from console.local.process.upstream import AnswerCounts

LOOK_SECONDS = 1.0
SICK_LOOKS = 3  # in a row: one request may take a server's whole attention
MIN_ERRORS = 5


def ready_seconds(given: float) -> float:
    """How long a release is judged: as it says, or as this machine's hosts are told, by the same name as the hooks."""
    return float(os.environ.get("ESTEIRA_MIN_READY_SECONDS") or given)


def judged(
    container: Container,
    health: Health,
    tally: Callable[[], AnswerCounts],
    before: AnswerCounts,
    is_over: Callable[[float], bool],
) -> str:
    """Look until ``is_over(seconds since the begin)``, and on while it is not well. "", or the sentence why not."""
    begun = looked = time.monotonic()
    sick, last = 0, ""
    while sick or not is_over(time.monotonic() - begun):
        time.sleep(POLL_SECONDS)
        now = time.monotonic()
        if not container.running:
            return f"the container {container.last_words()} {now - begun:.0f} s after it got the traffic"
        if now - looked < LOOK_SECONDS:
            continue
        looked, last = now, container.one_answer(health.path)
        sick = 0 if last == str(health.status) else sick + 1
        if sick >= SICK_LOOKS:
            asked = f"GET {health.path} since it has the traffic"
            return f"{asked}: expected {health.status}, got {last or 'no answer'}, {sick} times in a row"
        if why := errors_of(tally(), before):
            return why
    return errors_of(tally(), before)


def errors_of(now: AnswerCounts, before: AnswerCounts) -> str:
    """Why these answers are too many errors, "" where they are not, or where the former release had as many."""
    answers, errors = now
    if errors < MIN_ERRORS or errors * 10 <= answers or errors * before.answers < 2 * before.errors * answers:
        return ""
    return f"{errors} of its first {answers} answers were errors (status 500 and above), expected at most a tenth"
