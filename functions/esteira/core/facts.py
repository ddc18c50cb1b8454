"""What AWS, an operator or the controller itself said: immutable, each under a natural key made of what it says.

A fact is written once, by a conditional put under ``(about, key)``; the same fact twice is one fact. ``at`` is when it
was first heard. It takes no part in equality, so that a fact from an event equals the fact from an observation.
This file knows no I/O and no clock; ``situation`` gathers facts into a picture, ``phase`` and ``plan`` read it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

# What is said about a service's releases as a whole stands under this partition.
RELEASES = "releases"
# What the keys of a release's accepted images begin with.
ACCEPTED = "accepted#"


def about_release(number: int) -> str:
    """Return the partition that holds everything said about release ``v<number>``."""
    return f"release/{number:08d}"


def about_stage(stage: str) -> str:
    """Return the partition that holds a stage's rollouts and what operators said about it."""
    return f"stage/{stage}"


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Base of all facts. ``about`` names the partition, ``key`` the row in it."""

    at: datetime = field(compare=False)
    name: ClassVar[str]
    kept_days: ClassVar[int | None] = None  # None: for ever; the table forgets the others by its TTL

    def __init_subclass__(cls) -> None:
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        _KINDS[cls.name] = cls

    @property
    def about(self) -> str:
        """Return the partition this fact belongs to."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """Return the natural key within the partition."""
        raise NotImplementedError


_KINDS: dict[str, type[Fact]] = {}


# --- a release comes into being ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Pushed(Fact):
    """A release was born: a commit became the branch's tip, or an image was pushed under an accepted tag.

    ``tip``, ``base`` and ``mark`` are carried from release to release, so that the newest one alone tells what the
    controller has seen: the branch's newest commit, the newest commit that was neither skipped nor rejected, and when
    the newest effective release came (``stamp``). A reason in ``rejected``, ``skipped`` or ``outdated`` means
    that it ended at birth.
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
    changed: tuple[str, ...] = ()  # the first paths; all of them are in the commit
    changed_count: int = 0
    rejected: str = ""
    skipped: str = ""
    outdated: str = ""
    note: str = ""

    @property
    def about(self) -> str:
        return RELEASES

    @property
    def key(self) -> str:
        return f"release#{self.number:08d}"

    @property
    def effective(self) -> bool:
        """Return whether it takes part at all: an effective release supersedes the ones before it."""
        return not (self.rejected or self.skipped or self.outdated)


@dataclass(frozen=True, kw_only=True)
class ImageArrived(Fact):
    """An image was pushed under an accepted tag and is not a release yet. The one row that is deleted: when it is."""

    tag: str
    digest: str

    @property
    def about(self) -> str:
        return RELEASES

    @property
    def key(self) -> str:
        return f"open#image#{self.tag}#{self.digest}"


@dataclass(frozen=True, kw_only=True)
class ImageTaken(Fact):
    """The image pushed under this tag became this release (0: it was gone or moved before it could)."""

    tag: str
    digest: str
    release: int

    @property
    def about(self) -> str:
        return RELEASES

    @property
    def key(self) -> str:
        return f"image#{self.tag}#{self.digest}"


@dataclass(frozen=True, kw_only=True)
class ImageScanned(Fact):
    """ECR scanned an image. ``findings`` is like "CRITICAL 1, HIGH 3", "none" or, where it failed, "failed"."""

    digest: str
    findings: str
    kept_days = 400

    @property
    def about(self) -> str:
        return f"image/{self.digest}"

    @property
    def key(self) -> str:
        return f"scanned#{self.findings}"


# --- a release on its way ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ReleaseFact(Fact):
    """A fact about one release."""

    release: int

    @property
    def about(self) -> str:
        return about_release(self.release)


@dataclass(frozen=True, kw_only=True)
class Claimed(ReleaseFact):
    """One function took it on itself to do ``action`` for the attempt (of a build) or turn (of a stage).

    Nobody else may before ``lease``, which is later than any function can live; whoever comes after looks in AWS for
    what the first may have done, under ``take + 1``.
    """

    action: Literal["build", "deploy", "finish"]
    attempt: int
    take: int
    lease: datetime = field(compare=False)
    stage: str = ""  # of a rollout

    @property
    def key(self) -> str:
        return f"claimed#{self.action}{_on(self.stage)}#{self.attempt:04d}#{self.take:04d}"


@dataclass(frozen=True, kw_only=True)
class Declined(ReleaseFact):
    """What was claimed did not happen: AWS refused the call, or it was never made. Nothing exists; try again later."""

    action: Literal["build", "accept", "deploy", "finish"]
    attempt: int
    take: int
    error: str = field(compare=False)
    stage: str = ""  # of a rollout

    @property
    def key(self) -> str:
        return f"declined#{self.action}{_on(self.stage)}#{self.attempt:04d}#{self.take:04d}"


@dataclass(frozen=True, kw_only=True)
class BuildStarted(ReleaseFact):
    """CodeBuild runs this build for the attempt. ``build`` is the API's id, ``PROJECT:UUID``."""

    attempt: int
    build: str

    @property
    def key(self) -> str:
        return f"build-started#{self.attempt:04d}#{self.build}"


@dataclass(frozen=True, kw_only=True)
class BuildEnded(ReleaseFact):
    """The build ended. ``status`` is CodeBuild's, upper case; ``cause`` is the first failed phase and its message."""

    attempt: int
    build: str
    status: str
    cause: str = ""

    @property
    def key(self) -> str:
        return f"build-ended#{self.attempt:04d}#{self.build}"


@dataclass(frozen=True, kw_only=True)
class ImageMissed(ReleaseFact):
    """The build succeeded and pushed no image under its tag."""

    attempt: int
    tag: str

    @property
    def key(self) -> str:
        return f"image-missed#{self.attempt:04d}"


@dataclass(frozen=True, kw_only=True)
class Accepted(ReleaseFact):
    """The release's image is known and carries the controller's own tag. ``reused``: it was there before, no build.

    ``exported`` is what the build that made the image exported, such as a model's figures, each as ``NAME=VALUE``.
    """

    attempt: int
    digest: str
    reused: bool
    exported: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{ACCEPTED}{self.attempt:04d}"

    @property
    def figures(self) -> dict[str, str]:
        """Return what was exported, by name."""
        return {name: value for name, _, value in (pair.partition("=") for pair in self.exported)}


@dataclass(frozen=True, kw_only=True)
class Superseded(ReleaseFact):
    """A newer release came before this one had begun to deploy."""

    by: int

    @property
    def key(self) -> str:
        return "superseded"


@dataclass(frozen=True, kw_only=True)
class Overdue(ReleaseFact):
    """A wait passed its deadline. ``number`` is the rollout of a deployment, else the attempt."""

    what: Literal["start", "build", "accept", "approval", "deploy"]
    number: int
    why: str = field(compare=False)
    stage: str = ""  # of an approval or a deployment

    @property
    def key(self) -> str:
        return f"overdue#{self.what}{_on(self.stage)}#{self.number:08d}"


@dataclass(frozen=True, kw_only=True)
class StopAsked(ReleaseFact):
    """AWS was asked to stop this build or deployment."""

    thing: str

    @property
    def key(self) -> str:
        return f"stop-asked#{self.thing}"


@dataclass(frozen=True, kw_only=True)
class Retried(ReleaseFact):
    """An operator asked for a fresh attempt; attempts count from 1, so the first retry is attempt 2."""

    attempt: int
    by: str
    reason: str

    @property
    def key(self) -> str:
        return f"retried#{self.attempt:04d}"


@dataclass(frozen=True, kw_only=True)
class Aborted(ReleaseFact):
    """An operator called this attempt off."""

    attempt: int
    by: str
    reason: str

    @property
    def key(self) -> str:
        return aborted_key(self.attempt)


def aborted_key(attempt: int) -> str:
    """Return the key under which an attempt's abort stands, which a rollout's claim must not find."""
    return f"aborted#{attempt:04d}"


@dataclass(frozen=True, kw_only=True)
class Gated(ReleaseFact):
    """The attempt's figures were held against the service's gates and the release ``against`` that was live (0: none).

    ``refused`` are the sentences why not; with ``dry_run`` they stop nothing.
    """

    attempt: int
    against: int
    refused: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def key(self) -> str:
        return f"gated#{self.attempt:04d}"


@dataclass(frozen=True, kw_only=True)
class CommitPushed(Fact):
    """CodeCommit said who made this commit the branch's tip: an IAM ARN, which no git client can choose."""

    commit: str
    by: str

    @property
    def about(self) -> str:
        return about_commit(self.commit)

    @property
    def key(self) -> str:
        return f"pushed-by#{self.by}"


def about_commit(commit: str) -> str:
    """Return the partition of what is said about a commit."""
    return f"commit/{commit}"


# --- deployments ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Rollout(Fact):
    """It is this release's rollout on the stage: turns count 1, 2, 3 … without a gap, so one at a time and in order.

    A turn is the claim of its deployment. It carries what stood before it, so that the latest rollout and how it ended
    are all that is needed: ``live`` (0: nothing), ``healthy`` (earlier live releases a rollback may return to, newest
    last) and ``served`` (the key of the last rollback order that got its rollout). A ``restore`` puts the live release
    back on hosts where the rollout before it left another one.
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

    @property
    def about(self) -> str:
        return about_stage(self.stage)

    @property
    def key(self) -> str:
        return f"rollout#{self.number:08d}"


@dataclass(frozen=True, kw_only=True)
class RolloutFinished(Fact):
    """A turn is over, its tags moved and its neighbours told; the next may begin.

    ``mixed``: it failed, and some hosts may run what it deployed all the same.
    """

    stage: str
    rollout: int
    release: int
    succeeded: bool
    mixed: bool = False

    @property
    def about(self) -> str:
        return about_stage(self.stage)

    @property
    def key(self) -> str:
        return f"rollout#{self.rollout:08d}#finished"


@dataclass(frozen=True, kw_only=True)
class Bundled(ReleaseFact):
    """What the hosts are to get in that rollout was written to the bucket, under that name; ``sha256`` is the zip's."""

    stage: str
    rollout: int
    name_in_bucket: str
    sha256: str

    @property
    def key(self) -> str:
        return f"bundled#{self.stage}#{self.rollout:08d}#{self.sha256}"


@dataclass(frozen=True, kw_only=True)
class DeploymentStarted(ReleaseFact):
    """CodeDeploy deploys this image for the rollout; ``attempt`` is the release's attempt which got the rollout."""

    stage: str
    rollout: int
    attempt: int
    deployment: str
    digest: str

    @property
    def key(self) -> str:
        return f"deployment-started#{self.stage}#{self.rollout:08d}#{self.deployment}"


@dataclass(frozen=True, kw_only=True)
class DeploymentGivenUp(ReleaseFact):
    """The turn ended without a deployment that succeeded: AWS never made it, or it never said how it ended.

    Or it was never asked for: the commit's own bundle is refused, and ``remedy`` says what would help, since a retry
    would not. ``why`` may have further lines below its sentence.
    """

    stage: str
    rollout: int
    attempt: int
    why: str = field(compare=False)
    remedy: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        return f"deployment-given-up#{self.stage}#{self.rollout:08d}"


@dataclass(frozen=True, kw_only=True)
class DeploymentFact(Fact):
    """A fact about one deployment: CodeDeploy's events name no release, so these stand under the deployment's id."""

    deployment: str

    @property
    def about(self) -> str:
        return f"deployment/{self.deployment}"


@dataclass(frozen=True, kw_only=True)
class DeploymentBegun(DeploymentFact):
    """CodeDeploy said START (InProgress), or READY."""

    @property
    def key(self) -> str:
        return "begun"


@dataclass(frozen=True, kw_only=True)
class DeploymentEnded(DeploymentFact):
    """The deployment ended: ``Succeeded``, ``Failed`` or ``Stopped``, in the API's words."""

    status: Literal["Succeeded", "Failed", "Stopped"]

    @property
    def key(self) -> str:
        return "ended"


@dataclass(frozen=True, kw_only=True)
class Diagnosed(DeploymentFact):
    """Why the deployment failed: the lifecycle event, its message and the last lines of its log.

    Of a deployment that CodeDeploy calls ``Succeeded`` this says that a host is without it all the same, so it failed.
    ``reached``: some host took it, or may have. ``event`` is the lifecycle event that failed, where a host says so.
    """

    cause: str = field(compare=False)
    reached: bool = field(default=False, compare=False)
    event: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        return "diagnosed"


@dataclass(frozen=True, kw_only=True)
class HostsAnswered(DeploymentFact):
    """What each host had answered when the deployment was over, each as ``HOST: Succeeded; EVENT Status, …``."""

    answers: tuple[str, ...]

    @property
    def key(self) -> str:
        return "answered"


@dataclass(frozen=True, kw_only=True)
class InstanceReported(DeploymentFact):
    """One host's state in a deployment, in the API's words."""

    instance: str
    status: str
    kept_days = 400

    @property
    def key(self) -> str:
        return f"instance#{self.instance}#{self.status}"


@dataclass(frozen=True, kw_only=True)
class Replaced(ReleaseFact):
    """Another release took this one's place on the stage, in that rollout."""

    stage: str
    rollout: int
    by: int

    @property
    def key(self) -> str:
        return f"replaced#{self.stage}#{self.rollout:08d}"


@dataclass(frozen=True, kw_only=True)
class RolledBack(ReleaseFact):
    """The stage went back from this release to an earlier one, in that rollout."""

    stage: str
    rollout: int
    to: int
    by: str
    reason: str

    @property
    def key(self) -> str:
        return f"rolled-back#{self.stage}#{self.rollout:08d}"


@dataclass(frozen=True, kw_only=True)
class AlarmRang(Fact):
    """A CloudWatch alarm went off at ``since``, by CloudWatch's clock."""

    alarm: str
    since: datetime
    reason: str = field(default="", compare=False)
    kept_days = 400

    @property
    def about(self) -> str:
        return about_alarm(self.alarm)

    @property
    def key(self) -> str:
        return f"rang#{stamp(self.since)}"


def about_alarm(alarm: str) -> str:
    """Return the partition of what an alarm said."""
    return f"alarm/{alarm}"


@dataclass(frozen=True, kw_only=True)
class AlarmUnanswered(ReleaseFact):
    """An alarm went off while the release of that rollout was watched, and there is nothing to go back to."""

    stage: str
    rollout: int
    alarm: str
    why: str = field(compare=False)

    @property
    def key(self) -> str:
        return f"alarm-unanswered#{self.stage}#{self.rollout:08d}"


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Fact):
    """The rows of a finished rollout, each with its hash, chained to the rollout before, so an altered row can be
    named.

    ``rows`` are ``ABOUT KEY SHA256``; ``sha256`` is the hash of this whole row (``esteira.audit``), ``before`` that of
    the previous rollout on the stage, "" for the first.
    """

    stage: str
    rollout: int
    release: int
    rows: tuple[str, ...]
    before: str
    sha256: str

    @property
    def about(self) -> str:
        return f"checkpoints/{self.stage}"

    @property
    def key(self) -> str:
        return f"checkpoint#{self.rollout:08d}"


# --- an operator's words -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Word(Fact):
    """What an operator said. ``request`` is the request's own id: said twice, it is one word. The latest counts."""

    request: str
    by: str
    reason: str
    series: ClassVar[str]

    @property
    def key(self) -> str:
        return f"{self.series}#{stamp(self.at)}#{self.request}"


@dataclass(frozen=True, kw_only=True)
class Held(Word):
    """Nothing may begin to deploy on the stage until then."""

    stage: str
    until: datetime
    series = "hold"

    @property
    def about(self) -> str:
        return about_stage(self.stage)


@dataclass(frozen=True, kw_only=True)
class Resumed(Word):
    """The hold on the stage is over."""

    stage: str
    series = "hold"

    @property
    def about(self) -> str:
        return about_stage(self.stage)


@dataclass(frozen=True, kw_only=True)
class HoldReminded(Fact):
    """People were reminded that a hold is in force and soon over. ``hold`` is its key."""

    stage: str
    hold: str

    @property
    def about(self) -> str:
        return about_stage(self.stage)

    @property
    def key(self) -> str:
        return f"reminded#{self.hold}"


@dataclass(frozen=True, kw_only=True)
class ReleaseWord(ReleaseFact):
    """What somebody said about a release and a stage: for the attempt, and, where it is known, for the image's digest.

    ``by`` is who they say they are; ``arn`` who AWS knows them as, "" where that was not proven.
    """

    request: str
    by: str
    reason: str
    stage: str
    attempt: int
    digest: str
    arn: str = ""
    series: ClassVar[str]

    @property
    def key(self) -> str:
        return f"{self.series}#{self.stage}#{stamp(self.at)}#{self.request}"


@dataclass(frozen=True, kw_only=True)
class Approved(ReleaseWord):
    """Somebody wants it on the stage; that counts until then."""

    until: datetime
    series = "vote"


@dataclass(frozen=True, kw_only=True)
class Disapproved(ReleaseWord):
    """Somebody does not want it on the stage: it ends there."""

    series = "vote"


@dataclass(frozen=True, kw_only=True)
class Promoted(ReleaseWord):
    """It is to come to the stage although the stage before has moved on to another release."""

    series = "promoted"


@dataclass(frozen=True, kw_only=True)
class Bypassed(ReleaseWord):
    """Until then no rule of the stage stands in its way: neither bake, approvals, windows, holds nor gates."""

    until: datetime
    series = "bypass"


@dataclass(frozen=True, kw_only=True)
class RollbackOrdered(Word):
    """The stage is to go back from release ``away`` to release ``to``."""

    stage: str
    away: int
    to: int
    series = "rollback"

    @property
    def about(self) -> str:
        return about_stage(self.stage)


@dataclass(frozen=True, kw_only=True)
class Quarantined(Word):
    """This commit or digest (``subject``) may not deploy by itself."""

    subject: str
    release: int
    series = "quarantine"

    @property
    def about(self) -> str:
        return f"quarantine/{self.subject}"


@dataclass(frozen=True, kw_only=True)
class Lifted(Word):
    """The quarantine of this commit or digest is over."""

    subject: str
    series = "quarantine"

    @property
    def about(self) -> str:
        return f"quarantine/{self.subject}"


@dataclass(frozen=True, kw_only=True)
class Announced(ReleaseFact):
    """A change of a release was told to the people who listen on a channel: its phase in that attempt (``number``),
    stage and turn, and the cause, of a wait what is waited for. ``started`` stands for the first news of an attempt.
    Not ``told``: it was old news by then, and is not to be told any more."""

    phase: str
    number: int
    rollout: int
    channel: str
    stage: str = ""
    cause: str = ""
    told: bool = field(default=True, compare=False)
    kept_days = 400

    @property
    def key(self) -> str:
        told = f"{self.phase}{_on(self.stage)}{_on(self.cause)}"
        return f"announced#{told}#{self.number:04d}#{self.rollout:08d}#{self.channel}"


@dataclass(frozen=True, kw_only=True)
class HoldAnnounced(Fact):
    """That a hold, in force ``since`` then, is soon over was told to the people who listen on a channel."""

    stage: str
    since: datetime
    channel: str
    kept_days = 400

    @property
    def about(self) -> str:
        return about_stage(self.stage)

    @property
    def key(self) -> str:
        return f"announced#{stamp(self.since)}#{self.channel}"


# --- the record ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Decided(Fact):
    """The controller decided this about the release at that moment, in that round of a call, at that place of the plan.

    ``seen`` is the hash of everything the decision was made from, ``configuration`` that of the service's registration
    then (``esteira.audit``): so it can be made again from the recorded facts and compared.
    """

    release: int
    action: str
    why: str = field(compare=False)
    round: int
    place: int
    seen: str
    configuration: str
    kept_days = 400

    @property
    def about(self) -> str:
        return about_decisions(self.release)  # apart from what decisions are made from, which is read every time

    @property
    def key(self) -> str:
        return f"decided#{stamp(self.at)}#{self.round:02d}#{self.seen}#{self.place:03d}"


def about_decisions(number: int) -> str:
    """Return the partition of what was decided about release ``v<number>``."""
    return f"decisions/{number:08d}"


@dataclass(frozen=True, kw_only=True)
class Seen(Fact):
    """What the plan of one moment was made from, under its hash: by it a ``Decided`` names its grounds.

    ``rows`` are ``ABOUT<tab>KEY``; ``newest`` is the number of the newest release, which was read before the open ones
    and may be older than one of them; ``tip`` is the branch's newest commit where it was asked for; ``written`` is
    where listings had each open release, as JSON: ``[NUMBER, PHASE, WHY, CAUSE]``.
    """

    sha256: str
    rows: tuple[str, ...]
    newest: int
    tip: str
    written: tuple[str, ...]
    kept_days = 400

    @property
    def about(self) -> str:
        return "seen"

    @property
    def key(self) -> str:
        return seen_key(self.sha256)


def seen_key(sha256: str) -> str:
    """Return the key under which it stands what decisions with that hash were made from."""
    return f"seen#{sha256}"


@dataclass(frozen=True, kw_only=True)
class Configured(Fact):
    """The service's registration, as JSON, under its hash."""

    sha256: str
    document: str

    @property
    def about(self) -> str:
        return "configurations"

    @property
    def key(self) -> str:
        return configuration_key(self.sha256)


def configuration_key(sha256: str) -> str:
    """Return the key under which the registration of that hash stands."""
    return f"configuration#{sha256}"


@dataclass(frozen=True, kw_only=True)
class FoundBySweep(Fact):
    """The sweep found a fact of that kind by itself; no event had told it."""

    kind: str
    release: int  # 0: of none
    kept_days = 400

    @property
    def about(self) -> str:
        return "found"

    @property
    def key(self) -> str:
        return f"found#{stamp(self.at)}#{self.kind}#{self.release:08d}"


# --- rows ----------------------------------------------------------------------------------------------------------


def _on(stage: str) -> str:
    return f"#{stage}" if stage else ""


def stamp(at: datetime) -> str:
    """Return ``at`` (aware) as a UTC text of fixed width, which sorts as time does."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def unstamp(text: str) -> datetime:
    """Return the aware UTC time that ``stamp`` wrote."""
    return datetime.fromisoformat(text)


def to_row(fact: Fact) -> dict[str, Any]:
    """Return the fact as plain values (str, int, bool, list) with its kind under ``fact``, for a table."""
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
    """Return the fact that ``to_row`` wrote. Unknown attributes are ignored, so older code reads newer rows."""
    kind = _KINDS[row["fact"]]
    values: dict[str, Any] = {}
    for f in fields(kind):
        if f.name not in row:
            continue
        value = row[f.name]
        if "datetime" in str(f.type):
            value = unstamp(value)
        elif str(f.type) == "int":
            value = int(value)
        elif str(f.type) == "tuple[int, ...]":
            value = tuple(int(v) for v in value)
        elif isinstance(value, list):
            value = tuple(value)
        values[f.name] = value
    return kind(**values)
