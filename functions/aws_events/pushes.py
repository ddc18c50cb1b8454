"""A branch moved: CodeCommit's event. What the branch points at is asked of CodeCommit itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from aws_events.heard import Commit, Heard, Nice, NotOurs, name_in
from esteira.config import Service
from esteira.core.facts import CommitPushed
from esteira.refusal import validated


class ReferenceChange(BaseModel, defer_build=True):
    """CodeCommit Repository State Change."""

    referenceName: str  # noqa: N815 - AWS's spelling, which the sentences of refusals then show
    commitId: Annotated[Commit | None, Nice] = None  # noqa: N815
    oldCommitId: Annotated[Commit | None, Nice] = None  # noqa: N815
    callerUserArn: Annotated[Annotated[str, Field(max_length=2048)] | None, Nice] = None  # noqa: N815


def read_push(detail: Mapping[str, Any], services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    """Who pushed which commit to the watched branch, to all services of the repository; only "look", where one of both
    is not told."""
    repository, kind = name_in(detail, "repositoryName"), name_in(detail, "referenceType")
    watching = [s for s in services if s.repository == repository]
    if not watching:
        return NotOurs(f"no service has the repository {repository}")
    if kind != "branch":
        return NotOurs(f"a {kind or 'commit without a reference'} starts no release")
    change = validated(ReferenceChange, detail, "CodeCommit event")
    released = tuple(s for s in watching if s.branch == change.referenceName)
    if not released:
        branches = ", ".join(f"{s.name} watches {s.branch}" for s in watching)
        return NotOurs(f"{branches}, not {change.referenceName}")
    if change.commitId is None or not change.callerUserArn:
        return Heard(released[0], (), released[1:])
    pushed = CommitPushed(at=now, commit=change.commitId, by=change.callerUserArn, before=change.oldCommitId or "")
    return Heard(released[0], (pushed,), released[1:])
