"""Where a proof is walked: an account, or the local AWS in its place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from esteira.store.projections import View


class ProofSite(Protocol):
    """A controller and one service under names of their own. ``real`` is whether AWS itself answers."""

    real: bool
    stack: str
    service: str
    commits: dict[str, str]  # what was pushed, by the word it is known by in the walk

    def client(self, service: str) -> Any:
        """A boto3 client."""

    def now(self) -> datetime:
        """The time, aware, in UTC."""

    def pause(self, seconds: float) -> None:
        """Wait a little while things happen."""

    def deploy(self) -> None:
        """Make the controller's stack. Raises TroubleError."""

    def add_service(self, *, adopt: bool = False) -> None:
        """Make the service's stack. Raises TroubleError."""

    def remove_service(self) -> None:
        """Delete the service's stack; what holds data stays."""

    def remove_controller(self) -> None:
        """Delete the controller's stack; what holds data stays."""

    def stands(self, of: str) -> str:
        """What is evidence that the stack of the ``controller`` or the ``service`` stands, "" for nothing."""

    def attended(self) -> list[str]:
        """What `esteira doctor` finds to attend to."""

    def push(self, word: str, files: Mapping[str, bytes]) -> None:
        """Commit ``files`` to the watched branch; the commit is known as ``word`` from then on."""

    def hear_pushes(self, heard: bool) -> None:
        """Let the rule for pushes work, or be switched off, so that a push is lost as an event."""

    def release_of(self, word: str) -> View | None:
        """The release of a commit, None where there is none yet."""
