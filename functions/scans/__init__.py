"""The vulnerability gate: the rule that a stage has for what ECR or Inspector found in an image, what was found, and
whether the rule lets it pass. Pure."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, Field

# In ECR's and Inspector's words; the worst first.
Severity = Literal["critical", "high", "medium", "low", "informational", "untriaged", "undefined"]


class Exempted(BaseModel, extra="forbid", frozen=True):
    """A vulnerability that does not count through the day ``until``, and why."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{2,99}$")]
    until: date
    reason: Annotated[str, Field(min_length=3, max_length=300)]


class ScanRule(BaseModel, extra="forbid", frozen=True):
    """How many findings of each severity an image may have on its way onto the stage; a severity that ``at_most`` does
    not name is not counted.

    ``older_than_days``: a finding counts once it has been published for that long; one without a date counts at once.
    ``wait_minutes``: so long the scan is waited for; an image that is still unscanned then, or that cannot be scanned,
    is as ``when_unscanned`` says.
    """

    at_most: Annotated[dict[Severity, Annotated[int, Field(ge=0, le=100_000)]], Field(min_length=1)] = {"critical": 0}
    older_than_days: Annotated[int, Field(ge=0, le=365)] = 0
    wait_minutes: Annotated[int, Field(ge=1, le=1440)] = 30
    when_unscanned: Literal["refuse", "wait", "allow"] = "refuse"
    exceptions: Annotated[tuple[Exempted, ...], Field(max_length=200)] = ()
