"""Facts from which nothing is decided: what the controller decided, from what, the seals over that; scans and hosts'
states."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime

from esteira.core.facts import DeploymentFact
from esteira.fact import Fact


def about_decisions(number: int) -> str:
    """The partition of what was decided about release ``v<number>``, apart from what decisions are made from."""
    return f"decisions/{number:08d}"


class Checkpoint(Fact, about="checkpoints/{stage}", key="checkpoint#{rollout:08d}"):
    """The rows of a finished rollout, each with its hash, chained to the rollout before: an altered row can be named.

    They are the release's own rows, the rounds of decisions since the checkpoint before, and the newest ``Requested``.
    ``rows`` are ``ABOUT KEY SHA256``; ``sha256`` is the hash of this whole row (``esteira.audit``), ``before`` that of
    the previous rollout on the stage, "" for the first.
    """

    stage: str
    rollout: int
    release: int
    rows: tuple[str, ...]
    before: str
    sha256: str


class Decided(Fact, about="decisions/{release:08d}", key="decided#{at}#{round:02d}#{seen}#{place:03d}", kept_days=400):
    """The controller decided this about the release, in that round of a call and at that place of the plan.

    ``seen`` is the hash of everything the decision was made from, ``configuration`` that of the registration then
    (``esteira.audit``), so the decision can be made again from the recorded facts and compared.
    """

    release: int
    action: str
    why: str = field(compare=False)
    round: int
    place: int
    seen: str
    configuration: str


class Round(Fact, about="rounds", key="round#{at}#{round:02d}#{seen}"):
    """The decisions of one round, each as ``ABOUT KEY SHA256``: a decision that was altered, deleted or inserted can be
    named. The next checkpoint lists the round; ``seen`` leads on to every row the decisions were made from."""

    round: int
    seen: str
    rows: tuple[str, ...]


class Requested(Fact, about="requested", key="requested#{number:08d}"):
    """An operator's request: its words, each as ``ABOUT KEY SHA256``, and the hash of the request ``before``.

    It is written in the transaction that writes the words, so a word without such a row was put there by somebody else.
    """

    number: int
    request: str
    rows: tuple[str, ...]
    before: str


class Seen(Fact, about="seen", key="seen#{sha256}", kept_days=400):
    """What the plan of one moment was made from, under its hash; a ``Decided`` names it.

    ``rows`` are ``ABOUT<tab>KEY<tab>SHA256`` (the first 32 digits). ``newest`` is the newest release's number, read
    before the open ones. ``tip`` is the branch's newest commit where it was asked for. ``written`` is each open
    release's listed status as JSON:
    ``[NUMBER, PHASE, SUMMARY, DETAIL, NEXT, CAUSE, STAGE]``.
    """

    sha256: str
    rows: tuple[str, ...]
    newest: int
    tip: str
    written: tuple[str, ...]


class Configured(Fact, about="configurations", key="configuration#{sha256}"):
    """The service's registration, with the rules of its policy, as JSON under its hash."""

    sha256: str
    document: str


class FoundBySweep(Fact, about="found", key="found#{at}#{kind}#{release:08d}", kept_days=400):
    """The sweep found a fact of that kind by itself; no event had told it. ``release`` is 0 for none."""

    kind: str
    release: int


class ImageScanned(Fact, about="image/{digest}", key="scanned#{scanned_at}#{findings}", kept_days=400):
    """ECR scanned an image. ``findings`` is such as "CRITICAL 1, HIGH 3", "none", or "failed" for a failed scan."""

    digest: str
    scanned_at: datetime
    findings: str


class HostReported(DeploymentFact, key="host#{host}#{status}", kept_days=400):
    """One host's state in a deployment, in the API's words."""

    host: str
    status: str
