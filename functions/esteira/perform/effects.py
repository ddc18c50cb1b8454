"""What every action works with: the snapshot it was decided from, the facts it records, its claims and its refusals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from esteira.aws import Aws
from esteira.config import Service
from esteira.context import Context
from esteira.core.facts import Claimed, Declined
from esteira.core.state import Release, Snapshot
from esteira.errors import DeclinedError, is_refusal
from esteira.fact import Fact
from esteira.store import Store

# What is claimed, or at least written down when AWS declines it.
Claimable = Literal["build", "deploy", "finish"]
Declinable = Literal["build", "accept", "deploy", "finish"]


@dataclass(frozen=True)
class Take:
    """One take of an action that is done once: which one, for which attempt or rollout."""

    action: Declinable
    release: int
    number: int
    take: int
    stage: str = ""


@dataclass(frozen=True)
class Effects:
    """The snapshot, and the effects of actions on the table. ``seen`` is the hash of what they were decided from."""

    s: Snapshot
    context: Context
    seen: str = ""

    @property
    def service(self) -> Service:
        return self.s.service

    @property
    def aws(self) -> Aws:
        return self.context.aws

    @property
    def store(self) -> Store:
        return self.context.store

    def now(self) -> datetime:
        return self.context.clock()

    def release(self, number: int) -> Release:
        """An open release. Raises LookupError: a plan names only releases of its snapshot."""
        release = self.s.release(number)
        if release is None:
            raise LookupError(f"v{number} of {self.service.name} is not in the snapshot")
        return release

    def record(self, fact: Fact) -> bool:
        """Write a fact; whether it was new."""
        return self.store.record(self.service.name, fact)

    def claim(self, action: Claimable, take: Take) -> bool:
        """Claim an action under its take; False if another invocation has it."""
        now = self.now()
        claimed = Claimed(
            at=now,
            release=take.release,
            action=action,
            attempt=take.number,
            take=take.take,
            lease=now + self.context.settings.lease,
            stage=take.stage,
            owner=self.context.owner,
        )
        return self.record(claimed)

    def declined(self, take: Take, error: str) -> None:
        """Record that a take did not happen."""
        self.record(
            Declined(
                at=self.now(),
                release=take.release,
                action=take.action,
                attempt=take.number,
                take=take.take,
                error=error[:500],
                stage=take.stage,
            )
        )

    @contextmanager
    def declining(self, take: Take, of: type[Exception] = DeclinedError) -> Iterator[None]:
        """Record an error of the kind ``of`` as a refusal of the take, and raise it.

        AWS's refusal of a request raises DeclinedError, which is no fault of the function: it is recorded, the status
        shows it, and the deadline ends it. Other errors are raised as they are, so that the call is made again.
        """
        try:
            yield
        except of as error:
            self.declined(take, str(error))
            if is_refusal(error) and not isinstance(error, DeclinedError):
                raise DeclinedError(str(error)) from error
            raise
