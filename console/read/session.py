"""One operator's session with a controller: which services are meant, and the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from console.read.remote import Controller
from console.read.where import REFUSED, TroubleError, Where

if TYPE_CHECKING:
    from esteira.config import Service
    from esteira.store import Store


@dataclass(frozen=True)
class Shell:
    """The outside of a session: the way to the controller, the clock (aware, UTC), and a way to wait (seconds)."""

    connect: Callable[[Where], Controller] = Controller
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Session:
    """A controller, and the service that was named. A malformed registration is complained of."""

    controller: Controller
    shell: Shell
    wanted: str | None  # the service that was named

    @property
    def store(self) -> Store:
        """The table."""
        return self.controller.store

    @property
    def stack(self) -> str:
        """The controller's stack."""
        return self.controller.where.stack

    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return self.shell.now()

    def complain(self, sentence: str) -> None:
        """Hear what is wrong with a registration; here it is of no interest."""

    def services(self) -> tuple[Service, ...]:
        """The service that was named, or all that are registered. Raises TroubleError where there is none."""
        found, faults = self.controller.services()
        for fault in faults:
            self.complain(fault)
        chosen = tuple(s for s in found if self.wanted in (None, s.name))
        if chosen:
            return chosen
        if self.wanted and found:
            known = ", ".join(s.name for s in found)
            raise TroubleError(f"no service is called {self.wanted!r}. Next: --service with one of: {known}", REFUSED)
        raise TroubleError(
            f"no service is registered with the stack {self.stack} at {self.controller.where.named}. "
            f"Next: esteira add-service NAME, or name another stack: --stack NAME; esteira doctor tells what is there"
        )

    def service(self) -> Service:
        """The one service that is meant. Raises TroubleError where there are several and no name was given."""
        found = self.services()
        if len(found) > 1:
            known = ", ".join(s.name for s in found)
            raise TroubleError(f"there are several services. Next: --service with one of: {known}", REFUSED)
        return found[0]
