"""Facts: what AWS, an operator or the controller said. Immutable rows with natural keys.

A fact is written once, by a conditional put under ``(about, key)``; the same fact twice is one row. The class line of
each kind declares the partition it is written to and its key. ``at`` is when the fact was first heard; it takes no
part in equality, so a fact from an event equals the fact from an observation. Pure: no I/O, no clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple, dataclass_transform

RELEASES = "releases"  # the partition of what concerns all releases of a service


def about_release(number: int) -> str:
    """The partition of release ``v<number>``."""
    return f"release/{number:08d}"


def about_stage(stage: str) -> str:
    """The partition of a stage's rollouts and of what operators said about the stage."""
    return f"stage/{stage}"


def about_deployment(deployment: str) -> str:
    """The partition of a deployment: CodeDeploy's events name no release."""
    return f"deployment/{deployment}"


def about_decisions(number: int) -> str:
    """The partition of what was decided about release ``v<number>``, apart from what decisions are made from."""
    return f"decisions/{number:08d}"


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
@dataclass(frozen=True, kw_only=True)
class Fact:
    """Base of all facts; a subclass is a frozen dataclass with keyword arguments.

    ``about`` and ``key`` in the class line are format strings over the fields; a time is written by ``stamp``.
    ``kept_days`` is how long the table keeps such a row (its TTL); None means for ever.
    """

    at: datetime = field(compare=False)
    name: ClassVar[str]
    kept_days: ClassVar[int | None] = None
    _about: ClassVar[str] = ""
    _key: ClassVar[str] = ""

    def __init_subclass__(cls, about: str = "", key: str = "", kept_days: int | None = None) -> None:
        dataclass(frozen=True, kw_only=True)(cls)
        cls._about, cls._key = about or cls._about, key or cls._key
        cls.kept_days = kept_days if kept_days is not None else cls.kept_days
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        if cls._key:
            _KINDS[cls.name] = cls

    @cached_property
    def about(self) -> str:
        """The partition of the row."""
        return self._about.format_map(_Fields(self))

    @cached_property
    def key(self) -> str:
        """The natural key of the row within its partition."""
        return self._key.format_map(_Fields(self))


_KINDS: dict[str, type[Fact]] = {}


class _Fields(dict[str, Any]):
    """A fact's fields as a key shows them."""

    def __init__(self, fact: Fact) -> None:
        self.fact = fact

    def __missing__(self, name: str) -> object:
        value = getattr(self.fact, name)
        return stamp(value) if isinstance(value, datetime) else value


class Unknown(Fact):
    """A row of a kind that this version does not know, kept whole as JSON. Newer versions write such rows."""

    partition: str
    sort_key: str
    document: str

    @cached_property
    def about(self) -> str:
        """The partition the row was read from."""
        return self.partition

    @cached_property
    def key(self) -> str:
        """The key the row was read under."""
        return self.sort_key


# --- a release is born ----------------------------------------------------------------------------------------------


class Pushed(Fact, about=RELEASES, key="release#{number:08d}"):
    """A release was born: a commit became the branch's tip, or an image was pushed under an accepted tag.

    ``tip``, ``base`` and ``mark`` are carried from release to release, so the newest release alone tells what the
    controller has seen: the branch's newest commit, the newest commit that was neither skipped nor rejected, and when
    the newest effective release came (``stamp``). A reason in ``rejected``, ``skipped`` or ``outdated`` means that the
    release ended at birth.
    """

    number: int
    source: Literal["commit", "image"]
    commit: str = ""
    tag: str = ""
    digest: str = ""
    tip: str = ""
    base: str = ""
    mark: str = ""
    classes: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()  # the first paths; the commit has all of them
    changed_count: int = 0
    rejected: str = ""
    skipped: str = ""
    outdated: str = ""
    note: str = ""

    @property
    def effective(self) -> bool:
        """Whether the release takes part at all: an effective release supersedes the ones before it."""
        return not (self.rejected or self.skipped or self.outdated)


class ImageArrived(Fact, about=RELEASES, key="open#image#{tag}#{digest}"):
    """An image was pushed under an accepted tag and is no release yet. The one kind of row that is deleted.

    ``at`` is when it was pushed, ``heard`` when the controller heard of it.
    """

    tag: str
    digest: str
    heard: datetime | None = field(default=None, compare=False)


class ImageTaken(Fact, about=RELEASES, key="image#{tag}#{digest}#{missing:d}"):
    """The image pushed under this tag became this release; 0 where its tag had moved on to another image.

    ``missing``: the image was not in the registry until the deadline, and the release says so. Pushed again, it can
    become a release of its own.
    """

    tag: str
    digest: str
    release: int
    missing: bool = False


class ImageScanned(Fact, about="image/{digest}", key="scanned#{scanned_at}#{findings}", kept_days=400):
    """ECR scanned an image. ``findings`` is such as "CRITICAL 1, HIGH 3", "none", or "failed" for a failed scan."""

    digest: str
    scanned_at: datetime
    findings: str


class CommitPushed(Fact, about="commit/{commit}", key="pushed-by#{by}"):
    """CodeCommit said who made this commit the branch's tip: an IAM ARN, which no git client can choose."""

    commit: str
    by: str


# --- a release on its way -------------------------------------------------------------------------------------------


class ReleaseFact(Fact, about="release/{release:08d}"):
    """A fact about one release."""

    release: int


class Claimed(ReleaseFact, key="claimed#{action}#{stage}#{attempt:04d}#{take:04d}"):
    """One invocation (``owner``) took on ``action`` for an attempt (of a build) or a rollout (on a stage).

    Nobody else may do it before ``lease``, which is later than any function can live. Whoever comes after that looks
    in AWS for what the owner may have done, under ``take + 1``.
    """

    action: Literal["build", "deploy", "finish"]
    attempt: int
    take: int
    lease: datetime = field(compare=False)
    stage: str = ""
    owner: str = field(default="", compare=False)


class Declined(ReleaseFact, key="declined#{action}#{stage}#{attempt:04d}#{take:04d}"):
    """What was claimed did not happen: AWS refused the call, or it was never made. It may be tried again later."""

    action: Literal["build", "accept", "deploy", "finish"]
    attempt: int
    take: int
    error: str = field(compare=False)
    stage: str = ""


class BuildStarted(ReleaseFact, key="build-started#{attempt:04d}#{build}"):
    """A build carries the claim of this attempt. ``build`` is the API's id, ``PROJECT:UUID``.

    ``began`` is CodeBuild's start time. A build that somebody copies in the console carries the same claim and began
    later; ``retry_of`` is the build that CodeBuild itself retries with this one.
    """

    attempt: int
    build: str
    began: datetime | None = field(default=None, compare=False)
    retry_of: str = field(default="", compare=False)


class BuildEnded(ReleaseFact, key="build-ended#{attempt:04d}#{build}"):
    """The build ended. ``status`` is CodeBuild's, in upper case; ``cause`` is the first failed phase's message."""

    attempt: int
    build: str
    status: str
    cause: str = ""


class Accepted(ReleaseFact, key="accepted#{attempt:04d}"):
    """The release's image is known and carries the controller's tag. ``reused``: it existed before, without a build.

    ``exported`` is what the image's build exported, such as a model's figures, each as ``NAME=VALUE``.
    """

    attempt: int
    digest: str
    reused: bool
    exported: tuple[str, ...] = ()

    @property
    def figures(self) -> dict[str, str]:
        """The exported values by name."""
        return {name: value for name, _, value in (pair.partition("=") for pair in self.exported)}


class Gated(ReleaseFact, key="gated#{attempt:04d}"):
    """The attempt's figures were compared with the service's gates and with release ``against`` (0: nothing was live).

    ``refused`` holds a sentence per gate that was not passed; with ``dry_run`` they stop nothing.
    """

    attempt: int
    against: int
    refused: tuple[str, ...] = ()
    dry_run: bool = False


class Superseded(ReleaseFact, key="superseded"):
    """A newer release came before this one had begun to deploy."""

    by: int


class GivenUp(ReleaseFact, key="given-up#{what}#{stage}#{number:08d}"):
    """A wait ended without what was waited for. ``number`` is the rollout's on ``stage``, or else the attempt.

    start, build, accept, approval: the deadline passed. image: the build pushed none. deadline: the deployment is to
    be stopped. deployment: the rollout ends without one that succeeded. alarm: there is no release to go back to.
    ``remedy`` is what would help where a retry would not; ``why`` may have log lines below its sentence.
    """

    what: Literal["start", "build", "image", "accept", "approval", "deadline", "deployment", "alarm"]
    number: int
    why: str = field(compare=False)
    stage: str = ""
    attempt: int = field(default=0, compare=False)
    remedy: str = field(default="", compare=False)


class StopAsked(ReleaseFact, key="stop-asked#{thing}"):
    """AWS was asked to stop this build or deployment."""

    thing: str


# --- rollouts and deployments ---------------------------------------------------------------------------------------


class RolloutId(NamedTuple):
    """What names one rollout: rollouts are counted on each stage."""

    stage: str
    number: int


class Rollout(Fact, about="stage/{stage}", key="rollout#{number:08d}"):
    """One deployment of a release to a stage. Rollouts count 1, 2, 3 … without a gap: one at a time and in order.

    A rollout is the claim of its deployment. It carries what stood before it, so the latest rollout and how it ended
    are all that is needed: ``live`` (0: nothing), ``healthy`` (earlier live releases that a rollback may return to,
    newest last) and ``served`` (the key of the last rollback order that was carried out). A ``restore`` puts the live
    release back on hosts where the rollout before it left another one.
    """

    stage: str
    number: int
    release: int
    attempt: int
    digest: str
    kind: Literal["deploy", "rollback", "restore"]
    live: int
    healthy: tuple[int, ...]
    served: str
    lease: datetime = field(compare=False)
    deadline: datetime = field(compare=False)
    owner: str = field(default="", compare=False)


class RolloutFinished(Fact, about="stage/{stage}", key="rollout#{rollout:08d}#finished"):
    """A rollout is over, its tags are moved and the releases concerned are told; the next may begin.

    ``mixed``: it failed, and some hosts may still run what it deployed.
    """

    stage: str
    rollout: int
    release: int
    succeeded: bool
    mixed: bool = False


class Bundled(ReleaseFact, key="bundled#{stage}#{rollout:08d}#{sha256}"):
    """The rollout's bundle is in the bucket under ``name_in_bucket``; ``sha256`` is the zip's.

    ``content`` is the hash of everything the hosts get except the release's number and commit: two bundles with one
    content run the same container with the same settings.
    """

    stage: str
    rollout: int
    name_in_bucket: str
    sha256: str
    content: str = ""


class DeploymentStarted(ReleaseFact, key="deployment-started#{stage}#{rollout:08d}#{deployment}"):
    """CodeDeploy deploys this image for the rollout; ``attempt`` is the release's attempt that got the rollout.

    ``unchanged``: no deployment was made, because ``deployment`` already runs this image with these settings.
    """

    stage: str
    rollout: int
    attempt: int
    deployment: str
    digest: str
    unchanged: bool = False


class DeploymentFact(Fact, about="deployment/{deployment}"):
    """A fact about one deployment."""

    deployment: str


class DeploymentReported(DeploymentFact, key="{milestone}"):
    """CodeDeploy reported a deployment's status, in the API's words."""

    status: Literal["InProgress", "Succeeded", "Failed", "Stopped"]

    @property
    def milestone(self) -> str:
        """``begun`` or ``ended``: the first report of each counts."""
        return "begun" if self.status == "InProgress" else "ended"


class HostReported(DeploymentFact, key="host#{host}#{status}", kept_days=400):
    """One host's state in a deployment, in the API's words."""

    host: str
    status: str


class Diagnosed(DeploymentFact, key="diagnosed"):
    """What became of a deployment on its hosts, read once when it had ended.

    ``failed``: it did not succeed on every host, whatever CodeDeploy calls it; ``cause`` says why, log lines below its
    sentence, and ``event`` is the lifecycle event that failed. ``reached``: some host runs it, or may. ``answers``
    are the hosts' own, each as ``HOST: Succeeded; EVENT Status, …``.
    """

    failed: bool
    cause: str = field(default="", compare=False)
    reached: bool = field(default=False, compare=False)
    event: str = field(default="", compare=False)
    answers: tuple[str, ...] = field(default=(), compare=False)


class Replaced(ReleaseFact, key="replaced#{stage}#{rollout:08d}"):
    """Release ``by`` took this one's place on the stage in that rollout.

    ``ordered_by`` and ``reason`` are set where it was a rollback.
    """

    stage: str
    rollout: int
    by: int
    ordered_by: str = ""
    reason: str = ""


class AlarmRang(Fact, about="alarm/{alarm}", key="rang#{since}", kept_days=400):
    """A CloudWatch alarm went into ALARM at ``since``, by CloudWatch's clock."""

    alarm: str
    since: datetime
    reason: str = field(default="", compare=False)


# --- what operators say ---------------------------------------------------------------------------------------------


class Word(Fact):
    """What an operator said. ``request`` is the request's own id: said twice, it is one word. The latest counts."""

    request: str
    by: str
    reason: str


class Held(Word, about="stage/{stage}", key="hold#{at}#{request}"):
    """Nothing may begin to deploy on the stage until then; without ``until``, the hold is over."""

    stage: str
    until: datetime | None


class RollbackOrdered(Word, about="stage/{stage}", key="rollback#{at}#{request}"):
    """The stage is to go back from release ``away`` to release ``to``."""

    stage: str
    away: int
    to: int


class Quarantined(Word, about="quarantine/{subject}", key="quarantine#{at}#{request}"):
    """This commit or digest (``subject``) may not deploy by itself; ``lifted``: it may again."""

    subject: str
    release: int
    lifted: bool = False


class Retried(ReleaseFact, key="retried#{attempt:04d}"):
    """An operator asked for a fresh attempt. Attempts count from 1, so the first retry is attempt 2."""

    attempt: int
    by: str
    reason: str


class Aborted(ReleaseFact, key="aborted#{attempt:04d}"):
    """An operator called this attempt off."""

    attempt: int
    by: str
    reason: str


class ReleaseWord(ReleaseFact):
    """What somebody said about a release and a stage: for the attempt and, where it is known, the image's digest.

    ``by`` is who they say they are; ``arn`` is who AWS knows them as, "" where that was not proven.
    """

    request: str
    by: str
    reason: str
    stage: str
    attempt: int
    digest: str
    arn: str = ""


class Voted(ReleaseWord, key="vote#{stage}#{at}#{request}"):
    """Somebody wants the release on the stage, which counts until then; or, ``approve`` False, ends its way there."""

    approve: bool
    until: datetime


class Promoted(ReleaseWord, key="promoted#{stage}#{at}#{request}"):
    """The release is to come to the stage although the stage before has moved on to another release."""


class Bypassed(ReleaseWord, key="bypass#{stage}#{at}#{request}"):
    """Until then no rule of the stage applies to the release: no bake, approvals, windows, holds or gates."""

    until: datetime


class Notified(Fact, about="{subject}", key="notified#{topic}#{channel}", kept_days=400):
    """A change (``topic``) of a release or stage (``subject``: its partition) was told on a channel.

    ``told`` is False for news that was old by then and is not to be told any more.
    """

    subject: str
    topic: str
    channel: str
    told: bool = field(default=True, compare=False)


# --- the record -----------------------------------------------------------------------------------------------------


class Checkpoint(Fact, about="checkpoints/{stage}", key="checkpoint#{rollout:08d}"):
    """The rows of a finished rollout, each with its hash, chained to the rollout before: an altered row can be named.

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


class Seen(Fact, about="seen", key="seen#{sha256}", kept_days=400):
    """What the plan of one moment was made from, under its hash; a ``Decided`` names it.

    ``rows`` are ``ABOUT<tab>KEY``. ``newest`` is the newest release's number, read before the open ones. ``tip`` is the
    branch's newest commit where it was asked for. ``written`` is each open release's listed status as JSON:
    ``[NUMBER, PHASE, SUMMARY, DETAIL, NEXT, CAUSE, STAGE]``.
    """

    sha256: str
    rows: tuple[str, ...]
    newest: int
    tip: str
    written: tuple[str, ...]


class Configured(Fact, about="configurations", key="configuration#{sha256}"):
    """The service's registration, as JSON, under its hash."""

    sha256: str
    document: str


class FoundBySweep(Fact, about="found", key="found#{at}#{kind}#{release:08d}", kept_days=400):
    """The sweep found a fact of that kind by itself; no event had told it. ``release`` is 0 for none."""

    kind: str
    release: int


# --- rows -----------------------------------------------------------------------------------------------------------


def stamp(at: datetime) -> str:
    """``at`` (aware) as a UTC text of fixed width, which sorts as time does."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unstamp(text: str) -> datetime:
    """The aware UTC time that ``stamp`` wrote."""
    return datetime.fromisoformat(text)


def to_row(fact: Fact) -> dict[str, Any]:
    """The fact as plain values (str, int, bool, None, list) with its kind under ``fact``, for a table."""
    if isinstance(fact, Unknown):
        document: dict[str, Any] = json.loads(fact.document)
        return document
    row: dict[str, Any] = {"fact": fact.name}
    for f in fields(fact):
        value = getattr(fact, f.name)
        if isinstance(value, datetime):
            value = stamp(value)
        elif isinstance(value, tuple):
            value = list(value)
        row[f.name] = value
    return row


def from_row(row: Mapping[str, Any]) -> Fact:
    """The fact that ``to_row`` wrote. Unknown attributes are ignored, and a row of an unknown kind is kept whole."""
    kind = _KINDS.get(row["fact"])
    if kind is None:
        return _unknown(row)
    values: dict[str, Any] = {}
    for f in fields(kind):
        if f.name in row:
            values[f.name] = _value(str(f.type), row[f.name])
    return kind(**values)


def _value(declared: str, value: Any) -> Any:
    if value is None:
        return None
    if "datetime" in declared:
        return unstamp(value)
    if declared == "int":
        return int(value)
    if declared == "tuple[int, ...]":
        return tuple(int(v) for v in value)
    return tuple(value) if isinstance(value, list) else value


def _unknown(row: Mapping[str, Any]) -> Unknown:
    partition, key = str(row.get("pk", "")).partition("#")[2], str(row.get("sk", ""))
    kept = {name: value for name, value in row.items() if name not in ("pk", "sk", "expires")}
    try:
        at = unstamp(str(row.get("at", "")))
    except ValueError:
        at = datetime.fromtimestamp(0, UTC)
    return Unknown(at=at, partition=partition, sort_key=key, document=json.dumps(kept, sort_keys=True, default=str))
