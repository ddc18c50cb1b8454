"""A site on this machine: the controller on the local AWS, where builds and deployments end as they are told to.

Nothing on it is ever proven; it shows that the walk itself works.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from console.local.aws_account import REGION
from console.local.rehearse.rehearsal import Rehearsal
from console.local.template import SERVICE
from console.read.where import TroubleError
from esteira.store.projections import View


class RehearsedSite:
    """A rehearsal that was entered, as a site. Its stack stands from the beginning."""

    real = False
    stack = "esteira"
    service = SERVICE

    def __init__(self, rehearsal: Rehearsal, commits: dict[str, str]) -> None:
        self.rehearsal = rehearsal
        self.commits = commits
        self.client = cache(self._client)
        self._heard = True

    def now(self) -> datetime:
        """The rehearsal's own time."""
        return self.rehearsal.clock.now()

    def pause(self, seconds: float) -> None:
        """Let what moves come to rest, and the sweep look."""
        self.rehearsal.pass_time(max(seconds, 60.0))

    def deploy(self) -> None:
        """It stands already."""

    def add_service(self, *, adopt: bool = False) -> None:
        """It stands already."""

    def remove_service(self) -> None:
        """What is not data goes with the rehearsal."""

    def remove_controller(self) -> None:
        """What is not data goes with the rehearsal."""

    def stands(self, of: str) -> str:
        """What a rehearsal begins with."""
        return f"the {of} is there from the beginning"

    def attended(self) -> list[str]:
        """The doctor needs a stack of CloudFormation. Raises TroubleError."""
        raise TroubleError("esteira doctor was not asked: here is no CloudFormation. Next: esteira doctor")

    def push(self, word: str, files: Mapping[str, bytes]) -> None:
        """Commit, and lose the event where pushes are not heard."""
        self.commits[word] = self.rehearsal.commit(dict(files), f"{word} of a proof")
        if not self._heard:
            self.rehearsal.bus.forget()
        else:
            self.rehearsal.play()

    def hear_pushes(self, heard: bool) -> None:
        """Whether the events of pushes arrive."""
        self._heard = heard

    def release_of(self, word: str) -> View | None:
        """From the controller's table."""
        number = self.rehearsal.store.find(self.service, self.commits[word])
        return None if number is None else self.rehearsal.store.announced(self.service, number, ())[0]

    def _client(self, service: str) -> Any:
        import boto3

        if service == "xray":
            raise TroubleError("the local AWS has no X-Ray. Next: read the traces of a real account")
        make: Any = boto3.client
        return make(service, region_name=REGION)
