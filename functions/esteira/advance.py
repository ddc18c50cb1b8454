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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from esteira.audit import configuration_of, seen
from esteira.aws import BusyError
from esteira.config import Service
from esteira.context import NEW, REOPENED, Context, Decision
from esteira.core.facts import Decided
from esteira.core.plan import Action, OpenCommit, OpenImage, Project, plan
from esteira.core.state import Release, Snapshot, StageState, Written
from esteira.core.status import Phase, status_of
from esteira.perform import perform

# A push to live takes four rounds in one call where nothing has to be waited for; past this something turns in circles.
ROUNDS = 25
# So long after a release was watched it is still asked for an alarm of that time: its event may be late.
LATE = timedelta(hours=1)


@dataclass(frozen=True)
class Outcome:
    """What a call to ``advance`` came to: where the release it was about stands, and what was done."""

    service: str
    release: str
    phase: str
    why: str
    actions: tuple[str, ...]


def advance(service: Service, context: Context) -> Outcome:
    """Do all that can be done for ``service`` now. Raises the first error an action met, after doing the rest."""
    done: list[str] = []
    errors: list[Exception] = []
    last, look, stillborn = 0, True, False
    for number in range(ROUNDS):
        snapshot = gather(service, context, look)
        if stillborn:  # what could not be born hinders nothing else
            snapshot = replace(snapshot, tip=None, arrived=())
        now = context.clock()
        actions = plan(snapshot, now, context.settings.lease)
        _write_down(snapshot, number, actions, now, context)
        look, failed = False, len(errors)
        for action in actions:
            decision = _decided(snapshot, action, context)
            context.tell(decision)
            try:
                with context.follow(decision):
                    look = perform(action, snapshot, context) is False or look
            except BusyError:
                pass  # written down as declined, and the phase says so: a wait, not an error
            except Exception as error:  # noqa: BLE001 - raised below, when everything else is done
                context.tell(replace(decision, error=f"{type(error).__name__}: {error}"))
                errors.append(error)
            done.append(type(action).__name__)
            last = action.release
        if not actions or (len(errors) > failed and (stillborn or not isinstance(actions[0], OpenCommit | OpenImage))):
            break
        stillborn = stillborn or len(errors) > failed
    if errors:
        raise errors[0]
    return _outcome(snapshot, context, last, done)


def gather(service: Service, context: Context, look: bool) -> Snapshot:
    """Return what is known about ``service``; ask CodeCommit for the tip only if told to ``look``."""
    store, name = context.store, service.name
    newest = store.newest(name)
    stages = tuple(store.stages(service))
    rows, arrived = store.open(name)
    numbers = {*rows}
    for stage in stages:
        numbers |= {stage.live, stage.ordered.to if stage.ordered else 0}
        if stage.busy and stage.rollout:
            numbers.add(stage.rollout.release)
    found = (store.release(name, n) for n in sorted(numbers - {0}))
    releases = tuple(_with_what_is_said_elsewhere(r, service, stages, context) for r in found if r is not None)
    return Snapshot(
        service=service,
        stages=tuple(_with_alarms(stage, releases, service, context) for stage in stages),
        newest=newest,
        releases=releases,
        arrived=arrived,
        tip=context.aws.tip(service) if look else None,
        written={n: Written(row.phase, row.why, row.cause) for n, row in rows.items()},
    )


def _with_what_is_said_elsewhere(
    release: Release, service: Service, stages: tuple[StageState, ...], context: Context
) -> Release:
    """Return the release with the quarantine of its commit or image, and with who pushed it, where that counts: while
    there is a stage it has not come to."""
    ahead = [stage for stage in stages if not release.on(stage).begun]
    if not ahead or not release.pushed.effective or release.running_builds:
        return release
    quarantine = context.store.quarantine(service.name, (release.pushed.commit, release.digest))
    asked = release.pushed.commit and any(
        stage.rules and stage.rules.approvals and stage.rules.approvals.not_by_pusher for stage in ahead
    )
    pushers = context.store.pushers(service.name, release.pushed.commit) if asked else ()
    return replace(release, quarantine=quarantine, pushers=pushers)


def _with_alarms(stage: StageState, releases: tuple[Release, ...], service: Service, context: Context) -> StageState:
    """Return the stage with what its alarms said last, while somebody listens."""
    live = next((r for r in releases if r.number == stage.live), None)
    names = stage.alarms_heard(live, context.clock(), LATE)
    return replace(stage, alarms=context.store.alarms(service.name, names)) if names else stage


def _write_down(s: Snapshot, number: int, actions: Sequence[Action], now: datetime, context: Context) -> None:
    """Write down what was decided, and from what, before it is done."""
    if not actions:
        return
    configuration = configuration_of(s.service, now)
    if configuration.sha256 not in context.configured:
        context.store.record(s.service.name, configuration)
        context.configured.add(configuration.sha256)
    grounds = seen(s, now)
    context.store.write_decisions(
        s.service.name,
        [
            grounds,
            *(
                Decided(
                    at=now,
                    release=action.release,
                    action=type(action).__name__,
                    why=action.why[:500],
                    round=number,
                    place=place,
                    seen=grounds.sha256,
                    configuration=configuration.sha256,
                )
                for place, action in enumerate(actions)
            ),
        ],
    )


def _decided(s: Snapshot, action: Action, context: Context) -> Decision:
    release = s.release(action.release)
    phase = status_of(release, s.stages, context.clock()).phase if release else Phase.PUSHED
    decision = Decision(
        s.service.name, f"v{action.release}" if action.release else "", phase.value, type(action).__name__, action.why
    )
    if not isinstance(action, Project) or action.phase.value == action.before:
        return decision
    opened = REOPENED if release and (release.attempt > 1 or release.last_rollout) else NEW
    return replace(
        decision,
        phase=action.phase.value,
        before=action.before or opened,
        cause=action.status.cause if action.phase.ended else "",
        seconds_to_live=action.seconds_to_live,
    )


def _outcome(s: Snapshot, context: Context, last: int, done: list[str]) -> Outcome:
    # An action may have been about a release that came to nothing, such as an image that was gone again.
    numbers = [n for n in (last, s.newest.number if s.newest else 0) if n]
    found = (s.release(n) or context.store.release(s.service.name, n) for n in numbers)
    release = next(filter(None, found), None)
    if release is None:
        return Outcome(s.service.name, "", "", "nothing was pushed yet", tuple(done))
    status = status_of(release, s.stages, context.clock())
    return Outcome(s.service.name, release.label, status.phase.value, status.why, tuple(done))
