"""The controller's one movement: gather what is known, decide what to do, apply it; again until nothing is left to do.

``advance`` never sees the event that called it. It reads the facts and asks CodeCommit for the branch's tip, makes a
``Situation`` of them, lets ``plan`` decide, and performs the plan's actions through ``store`` and ``cloud``. Several
functions may do so at once, die between any two calls, or be called for nothing:

- What may be done only once is claimed first, by a conditional put. A claim lasts longer than any function lives.
  Whoever finds one that ran out looks in AWS for what its maker did, and only then does it again.
- The table is read before the world: a tip read first could be older than the newest release, and become a newer one.
- An action that fails hinders no other; what failed is raised at the end, so that AWS calls again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from esteira.cloud import BusyError
from esteira.config import Service
from esteira.desk import NEW, REOPENED, Decision, Desk
from esteira.perform import perform
from esteira.phase import Phase, phase_of
from esteira.plan import Action, OpenCommit, OpenImage, Project, plan
from esteira.situation import Release, Situation

# A push to live takes four rounds in one call where nothing has to be waited for; past this something turns in circles.
ROUNDS = 25


@dataclass(frozen=True)
class Outcome:
    """What a call to ``advance`` came to: where the release it was about stands, and what was done."""

    service: str
    release: str
    phase: str
    why: str
    actions: tuple[str, ...]


def advance(service: Service, desk: Desk) -> Outcome:
    """Do all that can be done for ``service`` now. Raises the first error an action met, after doing the rest."""
    done: list[str] = []
    errors: list[Exception] = []
    last, look, stillborn = 0, True, False
    for _ in range(ROUNDS):
        situation = gather(service, desk, look)
        if stillborn:  # what could not be born hinders nothing else
            situation = replace(situation, tip=None, arrived=())
        actions = plan(situation, desk.clock(), desk.settings.lease)
        look, failed = False, len(errors)
        for action in actions:
            decision = _decided(situation, action, desk)
            desk.tell(decision)
            try:
                with desk.follow(decision):
                    look = perform(action, situation, desk) is False or look
            except BusyError:
                pass  # written down as declined, and the phase says so: a wait, not an error
            except Exception as error:  # noqa: BLE001 - raised below, when everything else is done
                desk.tell(replace(decision, error=f"{type(error).__name__}: {error}"))
                errors.append(error)
            done.append(type(action).__name__)
            last = action.release
        if not actions or (len(errors) > failed and (stillborn or not isinstance(actions[0], OpenCommit | OpenImage))):
            break
        stillborn = stillborn or len(errors) > failed
    if errors:
        raise errors[0]
    return _outcome(situation, desk, last, done)


def gather(service: Service, desk: Desk, look: bool) -> Situation:
    """Return what is known about ``service``; ask CodeCommit for the tip only if told to ``look``."""
    store, name = desk.store, service.name
    newest = store.newest(name)
    stage = store.stage(name, service.stage.name)
    rows, arrived = store.open(name)
    numbers = {*rows, stage.live, stage.ordered.to if stage.ordered else 0}
    if stage.busy and stage.turn:
        numbers.add(stage.turn.release)
    found = (store.release(name, n) for n in sorted(numbers - {0}))
    releases = []
    for release in filter(None, found):
        turn = stage.turn if stage.turn and stage.turn.release == release.number else None
        release = Release(release.pushed, release.facts, turn)
        if release.turn_attempt != release.attempt and release.pushed.effective and not release.running_builds:
            quarantine = store.quarantine(name, (release.pushed.commit, release.digest))
            release = Release(release.pushed, release.facts, turn, quarantine)
        releases.append(release)
    return Situation(
        service=service,
        stage=stage,
        newest=newest,
        releases=tuple(releases),
        arrived=arrived,
        tip=desk.cloud.tip(service) if look else None,
        written={n: (row.phase, row.why) for n, row in rows.items()},
    )


def _decided(s: Situation, action: Action, desk: Desk) -> Decision:
    release = s.release(action.release)
    phase = phase_of(release, s.stage, desk.clock()).phase if release else Phase.PUSHED
    decision = Decision(s.service.name, f"v{action.release}", phase.value, type(action).__name__, action.why)
    if not isinstance(action, Project) or action.phase.value == action.before:
        return decision
    opened = REOPENED if release and (release.attempt > 1 or release.last_turn) else NEW
    return replace(
        decision,
        phase=action.phase.value,
        before=action.before or opened,
        cause=action.cause,
        seconds_to_live=action.seconds_to_live,
    )


def _outcome(s: Situation, desk: Desk, last: int, done: list[str]) -> Outcome:
    # An action may have been about a release that came to nothing, such as an image that was gone again.
    numbers = [n for n in (last, s.newest.number if s.newest else 0) if n]
    found = (s.release(n) or desk.store.release(s.service.name, n) for n in numbers)
    release = next(filter(None, found), None)
    if release is None:
        return Outcome(s.service.name, "", "", "nothing was pushed yet", tuple(done))
    phase, why, _ = phase_of(release, s.stage, desk.clock())
    return Outcome(s.service.name, release.label, phase.value, why, tuple(done))
