"""The controller's one movement: gather what is known, decide what to do, do it; again until nothing is left to do.

``advance`` never sees the event that called it. It reads the table and asks CodeCommit for the branch's tip, lets
``plan`` decide on that snapshot, and performs the plan's actions. Several functions may do so at once, die between any
two calls, or be called for nothing:

- What may be done only once is claimed first, by a conditional put. A claim lasts longer than any function lives.
  Whoever finds an expired claim looks in AWS for what its owner did, and only then does it again.
- The table is read before the world: a tip read first could be older than the newest release, and become a newer one.
- An action that fails keeps no other from being done; the first error is raised at the end, so that AWS calls again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from esteira.audit import configuration_of, round_of, seen
from esteira.config import Service
from esteira.context import NEW, REOPENED, Context, Decision
from esteira.core.actions import AcceptImage, Action, Close, OpenCommit, OpenImage, Project, ReadFindings
from esteira.core.plan import Moment, moment, plan
from esteira.core.status import Assessed, Phase, assess
from esteira.errors import BusyError, DeclinedError
from esteira.perform import perform
from esteira.snapshot import snapshot
from esteira.trail import Decided

# A push to live takes four rounds in one call where nothing has to be waited for; past this something turns in circles.
ROUNDS = 25


@dataclass(frozen=True)
class Outcome:
    """What a call to ``advance`` came to: where the release it was about stands, what was done, and what had failed for
    the service the last time."""

    service: str
    release: str
    phase: str
    why: str
    actions: tuple[str, ...]
    failing: tuple[str, ...] = ()


def advance(service: Service, context: Context) -> Outcome:
    """Do everything that can be done for ``service`` now.

    Raises the first error an action met, after doing the rest. A refusal by AWS that was recorded is no error.
    """
    run = _Run(service, context)
    for number in range(ROUNDS):
        if not run.round(number):
            break
    if run.errors:
        raise run.errors[0]
    return replace(run.outcome(), failing=run.failing)


class _Run:
    """One call of ``advance``: what it did, the errors it met, and what it leaves alone for the rest of the call."""

    def __init__(self, service: Service, context: Context) -> None:
        self.service, self.context = service, context
        self.done: list[str] = []
        self.errors: list[Exception] = []
        self.last = 0
        self._look, self._births = True, True
        self._waiting: set[str] = set()  # images that are not in the registry yet
        # Declined in this call without a claim: asked once more, then left to the next.
        self._refused: list[Action] = []
        self._newest = 0
        self.failing: tuple[str, ...] = ()
        self._known: dict[int, Assessed] = {}  # every release that a snapshot of this call had, as it was last

    def round(self, number: int) -> bool:
        """Gather, decide, do; whether there may be more to do."""
        m = self._gather()
        # By its place in the whole plan, which an auditor makes again.
        planned = {place: action for place, action in enumerate(plan(m)) if self._refused.count(action) < 2}
        actions = tuple(planned.values())
        grounds = _write_down(m, number, planned, self.context)
        self._look, failed = False, len(self.errors)
        for action in actions:
            self._do(action, m, grounds)
        failed_birth = len(self.errors) > failed and isinstance(actions[0], OpenCommit | OpenImage)
        # A release that could not be born keeps nothing else from being done; another failure ends the call.
        carry_on = len(self.errors) == failed or (failed_birth and self._births)
        self._births = self._births and not failed_birth
        return _lead_on(actions) and carry_on and not self.context.is_late()

    def _gather(self) -> Moment:
        now = self.context.clock()
        s = snapshot(self.context.store, self.service, now)
        if self._look:
            s = replace(s, tip=self.context.aws.tip(self.service))
        arrived = tuple(image for image in s.arrived if image.key not in self._waiting)
        s = replace(s, arrived=arrived) if self._births else replace(s, tip=None, arrived=())
        m = moment(s, now, self.context.settings.lease)
        self._newest = s.newest.number if s.newest else 0
        self.failing = tuple(f.what for f in s.failing)
        self._known |= m.assessed
        return m

    def _do(self, action: Action, m: Moment, grounds: str) -> None:
        decision = _decision(m, action)
        self.context.tell(decision)
        try:
            with self.context.follow(decision):
                came = perform(action, m.s, self.context, grounds)
        except BusyError:
            pass  # recorded, and the status says so: a wait
        except DeclinedError as refusal:  # recorded, too; calling the function again would not heal it
            self.context.tell(replace(decision, error=str(refusal)))
            self._refused += [action] if isinstance(action, AcceptImage | ReadFindings) else []
        except Exception as error:  # noqa: BLE001 - raised at the end, when everything else is done
            self.context.tell(replace(decision, error=f"{type(error).__name__}: {error}"))
            self.errors.append(error)
        else:
            self._look = self._look or came is False
            if isinstance(action, OpenImage) and came is None:
                self._waiting.add(action.image.key)
        self.done.append(type(action).__name__)
        self.last = action.release

    def outcome(self) -> Outcome:
        """Where the release stands that the last action, or else the newest push, was about."""
        # An action may have been about a release that came to nothing, such as an image that was gone again.
        for number in (self.last, self._newest):
            assessed = self._assessed(number) if number else None
            if assessed is not None:
                status = assessed.overall
                why, done = status.why, tuple(self.done)
                return Outcome(self.service.name, f"v{number}", status.phase.value, why, done)
        return Outcome(self.service.name, "", "", "nothing was pushed yet", tuple(self.done))

    def _assessed(self, number: int) -> Assessed | None:
        """A release's status in the last snapshot that had it, or in one that is made for it."""
        if number in self._known:
            return self._known[number]
        now = self.context.clock()
        s = snapshot(self.context.store, self.service, now, also=(number,))
        release = s.release(number)
        return assess(release, s.stages, now) if release else None


def _lead_on(actions: Sequence[Action]) -> bool:
    """Whether the actions may make others possible. To close a release, or to list one that is not over, does not."""
    listing = (a for a in actions if not isinstance(a, Close))
    return any(not isinstance(a, Project) or a.phase.ended for a in listing)


def _write_down(m: Moment, number: int, planned: Mapping[int, Action], context: Context) -> str:
    """Record what was decided, and from what, before it is done; the hash of what it was decided from."""
    if not planned:
        return ""
    configuration = configuration_of(m.s.service, m.now)
    if configuration.sha256 not in context.configured:
        context.store.record(m.s.service.name, configuration)
        context.configured.add(configuration.sha256)
    grounds = seen(m.s, m.now)
    decided = [
        Decided(
            at=m.now,
            release=action.release,
            action=type(action).__name__,
            why=action.why[:500],
            round=number,
            place=place,
            seen=grounds.sha256,
            configuration=configuration.sha256,
        )
        for place, action in planned.items()
    ]
    sealed = round_of(m.now, number, grounds, decided)
    context.store.write_decisions(m.s.service.name, [grounds, *decided, sealed])
    return grounds.sha256


def _decision(m: Moment, action: Action) -> Decision:
    assessed = m.assessed.get(action.release)
    phase = assessed.overall.phase if assessed else Phase.PUSHED
    label = f"v{action.release}" if action.release else ""
    decision = Decision(m.s.service.name, label, phase.value, type(action).__name__, action.why)
    if not isinstance(action, Project) or action.phase.value == action.before:
        return decision
    again = assessed and (assessed.release.attempt > 1 or assessed.release.deployed)
    return replace(
        decision,
        phase=action.phase.value,
        before=action.before or (REOPENED if again else NEW),
        cause=action.status.cause if action.phase.ended else "",
        seconds_to_live=action.seconds_to_live,
    )
