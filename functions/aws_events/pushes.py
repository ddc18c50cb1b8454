"""A branch moved: CodeCommit's event. What the branch points at is asked of CodeCommit itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from aws_events.heard import Commit, Heard, NotOurs, service_with
from esteira.config import Service
from esteira.core.facts import CommitPushed
from esteira.refusal import Refused


class ReferenceChange(BaseModel, defer_build=True):
    """CodeCommit Repository State Change."""

    event: str
    repositoryName: str  # noqa: N815 - AWS's spelling, which the sentences of refusals then show
    referenceType: str | None = None  # noqa: N815
    referenceName: str | None = None  # noqa: N815
    commitId: Commit | None = None  # noqa: N815
    callerUserArn: Annotated[str, Field(max_length=2048)] | None = None  # noqa: N815


def read_push(change: ReferenceChange, services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    watching = [s for s in services if s.repository == change.repositoryName]
    if not watching:
        return NotOurs(f"no service has the repository {change.repositoryName}")
    if change.referenceType != "branch":
        return NotOurs(f"a {change.referenceType or 'commit without a reference'} starts no release")
    if change.referenceName is None:
        raise Refused("the CodeCommit event is refused: referenceName: Field required for a branch")
    service = service_with(watching, "branch", change.referenceName)
    if service is None:
        branches = ", ".join(f"{s.name} watches {s.branch}" for s in watching)
        return NotOurs(f"{branches}, not {change.referenceName}")
    if change.commitId is None or not change.callerUserArn:
        return Heard(service, ())
    return Heard(service, (CommitPushed(at=now, commit=change.commitId, by=change.callerUserArn),))
