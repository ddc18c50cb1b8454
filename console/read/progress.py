"""How something goes that was asked for: a release on its way, or a rollback."""

from __future__ import annotations

from datetime import datetime

from console.read.complete import complete
from console.read.release_lines import line, told
from console.read.views import Progress, ReleaseLine
from esteira.config import Service
from esteira.core.state import StageState
from esteira.core.status import Phase, assess
from esteira.store import Store


def way_progress(store: Store, service: Service, number: int, now: datetime) -> Progress:
    """The progress of a release towards the last stage."""
    return gone(service, line(store, service, number, now))


def gone(service: Service, line: ReleaseLine) -> Progress:
    """The progress of a release whose status is known."""
    phase = Phase(line.phase)
    arrived = phase is Phase.LIVE and line.stage == service.last.name
    return Progress(line, phase.ended or arrived, arrived)


def rollback_progress(store: Store, service: Service, name: str, to: int, now: datetime) -> Progress:
    """The progress of a stage's rollback to release ``to``. It is over when its rollout is finished."""
    release, s = complete(store, service, to, now)
    stage, status = s.stage(name), assess(release, s.stages, now).on[name]
    over = stage.ordered is None and not stage.busy
    return Progress(told(release, status, {name: status.phase.value}), over, over and stage.live == to)


def rollback_target(store: Store, service: Service, name: str, request: str) -> int | None:
    """The release that the rollback of this request goes to; None where another order came after it."""
    order = _stage(store, service, name).rollback
    return order.to if order is not None and order.request == request else None


def _stage(store: Store, service: Service, name: str) -> StageState:
    return next(stage for stage in store.stages(service) if stage.name == name)
