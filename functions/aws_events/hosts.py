"""A host's report of itself: what its watcher (``functions/host/watcher``) sends by PutEvents.

EventBridge vouches for the account, not for the sender: whoever may put events there may send one. So a report has
names and numbers only, the sentence is made here, and ``watch`` compares it with what CodeDeploy knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from aws_events.heard import Digest, Heard, NotOurs, Timestamp, name_in, service_with
from esteira.config import Service
from esteira.core.facts import HostObserved
from esteira.refusal import validated

AHEAD = timedelta(minutes=1)  # so far a host's clock may be ahead of the controller's
Number = Annotated[int, Field(ge=0, le=10**9)]


class HostReport(BaseModel, defer_build=True):
    """Host Report. ``since`` is when the container began to be as it is, by the host's clock."""

    stage: Annotated[str, Field(max_length=31)]
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
    release: Annotated[str, Field(pattern=r"^v[1-9][0-9]{0,7}$")]
    digest: Digest
    deployment: Annotated[str, Field(pattern=r"^(d-[A-Za-z0-9]{1,20})?$")] = ""
    sick: Literal["", "crash-loop", "out-of-memory", "unhealthy", "errors", "slow", "disk"] = ""
    since: Timestamp
    times: Number = 0
    seconds: Number = 0
    status: Number = 0
    requests: Number = 0
    milliseconds: Number = 0
    before: Number = 0
    percent: Number = 0


def read_report(detail: Mapping[str, Any], services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    """What a host says of the container that is live on it."""
    service = service_with(services, "name", name_in(detail, "service"))
    stage = name_in(detail, "stage")
    if service is None or stage not in (each.name for each in service.stages):
        return NotOurs(f"no service has the stage {name_in(detail, 'service')}/{stage}")
    said = validated(HostReport, detail, "host's event")
    if said.since > now + AHEAD:
        return NotOurs(f"the clock of {said.host} is ahead: it reports what will be at {said.since:%H:%M:%S} UTC")
    fact = HostObserved(
        at=now,
        stage=said.stage,
        host=said.host,
        since=said.since.astimezone(UTC),
        release=int(said.release[1:]),
        digest=said.digest,
        deployment=said.deployment,
        sick=said.sick,
        why=_SENTENCES[said.sick].format_map(said.model_dump()),
    )
    return Heard(service, (fact,))


# Why a release is sick, by the word for it.
_SENTENCES = {
    "": "",
    "crash-loop": "its container ended {times} times in {seconds} s, the last time with status {status}",
    "out-of-memory": "its container ran out of memory {times} times in {seconds} s",
    "unhealthy": "its health path has answered otherwise than when it was accepted for {seconds} s, last with {status} "
    "(0: no answer)",
    "errors": "{times} of {requests} requests in {seconds} s were answered with 5xx",
    "slow": "half of {requests} requests took {milliseconds} ms or more, {before} ms with the release before",
    "disk": "{percent} % of its disk is free",
}
