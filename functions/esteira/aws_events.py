"""AWS's words turned into facts: an event of EventBridge, and what the API answers about the same thing.

The two halves stand side by side because they must agree: for every state, the fact from the event equals the fact
from the observation, though AWS spells the states differently (``SUCCESS``, ``Succeeded``, ``SUCCEEDED``). Only the
fields used are validated, the rest is ignored. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, ValidationError

from esteira.claims import CLAIM_VARIABLE, build_claim
from esteira.config import Service, Settings
from esteira.core.facts import (
    AlarmRang,
    BuildEnded,
    BuildStarted,
    CommitPushed,
    DeploymentReported,
    HostReported,
    ImageArrived,
    ImageScanned,
)
from esteira.fact import Fact

M = TypeVar("M", bound=BaseModel)

# What a build exports is told to later builds, whose environment holds only so much: 20 names of at most 64
# characters with values of at most 256, and 4,000 characters of them in all. What does not fit is left out.
EXPORTED_NAMES = 20
EXPORTED_VALUE = 256
EXPORTED_IN_ALL = 4_000
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True)
class Heard:
    """An event of ours: the service it is about and the facts it tells. No facts: it only says "look".

    ``others`` are further services that it tells the same: several may listen to one alarm.
    """

    service: Service
    facts: tuple[Fact, ...]
    others: tuple[Service, ...] = ()


@dataclass(frozen=True)
class NotOurs:
    """An event that is none of the controller's business, and why: no error."""

    why: str


class Refused(ValueError):  # noqa: N818 - it is what happened to the input, not a fault of ours
    """An input of ours that is malformed: one sentence naming the field. Nothing was recorded."""


Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Severity = Annotated[str, Field(pattern=r"^[A-Z_]{1,20}$")]
Counts = Annotated[dict[Severity, int], Field(max_length=20)]
# Before EventBridge there was no event; a year of three digits would not sort as text does.
Timestamp = Annotated[AwareDatetime, Field(ge=datetime(2016, 1, 1, tzinfo=UTC))]
# A bound on an optional value goes on the value: on the union, pydantic would measure None.
Tag = Annotated[str, Field(max_length=300)]
Blank = BeforeValidator(lambda v: None if v == "" else v)


class Envelope(BaseModel):
    """What every EventBridge event has; ``detail`` is read by the model of its kind."""

    source: str
    detail_type: Annotated[str, Field(alias="detail-type")]
    account: str = ""
    region: str = ""
    time: Timestamp | None = None
    detail: dict[str, Any]


class ReferenceChange(BaseModel):
    """CodeCommit Repository State Change."""

    event: str
    repositoryName: str  # noqa: N815 - AWS's spelling, which the sentences of refusals then show
    referenceType: str | None = None  # noqa: N815
    referenceName: str | None = None  # noqa: N815
    commitId: Commit | None = None  # noqa: N815
    callerUserArn: Annotated[str, Field(max_length=2048)] | None = None  # noqa: N815


class _Variable(BaseModel):
    name: str
    value: str = ""


class _Environment(BaseModel):
    variables: Annotated[tuple[_Variable, ...], Field(alias="environment-variables")] = ()


class _BuildPhase(BaseModel):
    kind: Annotated[str, Field(alias="phase-type")]
    status: Annotated[str | None, Field(alias="phase-status")] = None
    context: Annotated[tuple[str, ...] | None, Field(alias="phase-context")] = None


class _Information(BaseModel):
    environment: _Environment = _Environment()
    phases: tuple[_BuildPhase, ...] = ()
    began: Annotated[str, Field(alias="build-start-time")] = ""


class BuildChange(BaseModel):
    """CodeBuild Build State Change. ``build-id`` is an ARN, the API's id the part after ``build/``."""

    project: Annotated[str, Field(alias="project-name")]
    build: Annotated[str, Field(alias="build-id", pattern=r"^arn:[^\s]*:build/[^\s]+:[^\s]+$", max_length=500)]
    status: Annotated[str, Field(alias="build-status", pattern=r"^[A-Z_]{1,40}$")]
    information: Annotated[_Information, Field(alias="additional-information")] = _Information()


class ImageAction(BaseModel):
    """ECR Image Action. A push may have no tag, or an empty one."""

    action: Annotated[str, Field(alias="action-type")]
    result: str
    repository: Annotated[str, Field(alias="repository-name")]
    tag: Annotated[Tag | None, Blank, Field(alias="image-tag")] = None
    digest: Annotated[Digest | None, Blank, Field(alias="image-digest")] = None


class ImageScan(BaseModel):
    """ECR Image Scan (basic). A missing count map means none only when the scan is complete."""

    status: Annotated[str, Field(alias="scan-status")]
    repository: Annotated[str, Field(alias="repository-name")]
    digest: Annotated[Digest, Field(alias="image-digest")]
    counts: Annotated[Counts | None, Field(alias="finding-severity-counts")] = None


class _AlarmState(BaseModel):
    value: Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
    reason: str = ""
    timestamp: Timestamp


class AlarmChange(BaseModel):
    """CloudWatch Alarm State Change."""

    alarm: Annotated[str, Field(alias="alarmName", min_length=1, max_length=255)]
    state: _AlarmState


class DeploymentChange(BaseModel):
    """CodeDeploy Deployment State-change Notification: no revision, no error, no release."""

    application: str
    deploymentGroup: str  # noqa: N815
    deploymentId: Annotated[str, Field(pattern=r"^d-[A-Za-z0-9]{1,20}$")]  # noqa: N815
    state: Literal["START", "SUCCESS", "FAILURE", "STOP", "READY"]


class InstanceChange(DeploymentChange):
    """CodeDeploy Instance State-change Notification."""

    instanceId: Annotated[str, Field(min_length=1, max_length=200)]  # noqa: N815


# The event's words for a deployment's and an instance's state, in the API's.
API_STATE = {"START": "InProgress", "READY": "Ready", "SUCCESS": "Succeeded", "FAILURE": "Failed", "STOP": "Stopped"}


def read(event: object, services: Sequence[Service], now: datetime, settings: Settings) -> Heard | NotOurs:
    """What ``event`` tells about one of ``services``, or why it is not ours.

    Raises Refused where it is of a kind that is ours and malformed.
    """
    envelope = _validated(Envelope, event, "event")
    known = _READERS.get((envelope.source, envelope.detail_type))
    if known is None:
        return NotOurs(f"{envelope.source} / {envelope.detail_type} is not read here")
    if elsewhere := foreign(envelope.account, envelope.region, settings):
        return elsewhere
    model, what, reader = known
    heard = reader(_validated(model, envelope.detail, f"{what} event"), services, now)
    if isinstance(heard, NotOurs) or envelope.time is None:
        return heard
    return replace(heard, facts=tuple(_dated(f, min(envelope.time, now)) for f in heard.facts))


def foreign(account: str, region: str, settings: Settings) -> NotOurs | None:
    """Why an event of that account and Region is not ours, None where it is.

    An account may forward its events to this one's default bus, and its resources may have the names of ours.
    """
    if (account, region) == (settings.account, settings.region):
        return None
    where = f"account {account or 'unknown'} in {region or 'no Region'}"
    return NotOurs(f"the event is from {where}, not from account {settings.account} in {settings.region}")


def _dated(fact: Fact, at: datetime) -> Fact:
    """An event may be a day late. Waits count from when it was heard; images and scans by when they happened."""
    if isinstance(fact, ImageArrived):
        return replace(fact, at=at)
    return replace(fact, scanned_at=at.replace(second=0, microsecond=0)) if isinstance(fact, ImageScanned) else fact


def _validated(model: type[M], value: object, what: str) -> M:
    """``value`` read as ``model``; raise Refused with one sentence naming the first field that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise refusal(error, what) from None


def refusal(error: ValidationError, what: str) -> Refused:
    """The Refused that says in one sentence what is wrong with ``what``, and in which field."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the document"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    # A field's name may be anybody's text: one line, and not a long one.
    return Refused(" ".join(f"the {what} is refused: {where[:120]}: {first['msg'][:300]}{more}".split()))


def _of(services: Sequence[Service], attribute: str, value: str) -> Service | None:
    return next((s for s in services if getattr(s, attribute) == value), None)


def _reference_changed(change: ReferenceChange, services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    watching = [s for s in services if s.repository == change.repositoryName]
    if not watching:
        return NotOurs(f"no service has the repository {change.repositoryName}")
    if change.referenceType != "branch":
        return NotOurs(f"a {change.referenceType or 'commit without a reference'} starts no release")
    if change.referenceName is None:
        raise Refused("the CodeCommit event is refused: referenceName: Field required for a branch")
    service = _of(watching, "branch", change.referenceName)
    if service is None:
        branches = ", ".join(f"{s.name} watches {s.branch}" for s in watching)
        return NotOurs(f"{branches}, not {change.referenceName}")
    if change.commitId is None or not change.callerUserArn:
        return Heard(service, ())
    return Heard(service, (CommitPushed(at=now, commit=change.commitId, by=change.callerUserArn),))


def _build_changed(change: BuildChange, services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    sharing = [s for s in services if s.project == change.project]
    if not sharing:
        return NotOurs(f"no service has the build project {change.project}")
    variables = {v.name: v.value for v in change.information.environment.variables}
    cause = _cause((p.kind, p.status, p.context or ()) for p in change.information.phases)
    build = change.build.split(":build/", 1)[1]
    if not build.startswith(f"{change.project}:"):
        raise Refused(f"the CodeBuild event is refused: build-id: it is not a build of {change.project}")
    claim = variables.get(CLAIM_VARIABLE)
    service = _of(sharing, "name", (claim or "").split("/")[0]) or sharing[0]
    return _build_facts(service, build, change.status, claim, cause, now, _start_time(change.information.began))


def _cause(phases: Iterable[tuple[str, str | None, Iterable[str]]]) -> str:
    """The first phase of a build that did not succeed, with its first context that says something; "" without one.

    The context names the command that failed, which may hold a secret.
    """
    for kind, status, contexts in phases:
        if status not in (None, "SUCCEEDED"):
            from guard.mask import masked  # not while a function starts

            return masked(": ".join(filter(None, (kind, next((c for c in contexts if c.strip(": ")), "")))))
    return ""


def _start_time(text: str) -> datetime | None:
    """A build's start as its event writes it, ``Nov 23, 2026 10:00:10 AM`` in UTC; None for anything else."""
    try:
        return datetime.strptime(text, "%b %d, %Y %I:%M:%S %p").replace(tzinfo=UTC)
    except ValueError:
        return None


def _build_facts(
    service: Service,
    build: str,
    status: str,
    claim: str | None,
    cause: str,
    now: datetime,
    began: datetime | None,
    retry_of: str = "",
) -> Heard | NotOurs:
    """The facts of a build in some state, the same for the event and the API's answer."""
    if claim is None:
        return NotOurs(f"build {build} was not started by esteira")
    of = build_claim(claim)
    if of is None:
        raise Refused(f"the CodeBuild event is refused: {CLAIM_VARIABLE}: {claim[:80]!r} is not SERVICE/vN/build/N")
    if of.service != service.name:
        return NotOurs(f"build {build} belongs to {of.service}")
    started = BuildStarted(at=now, release=of.release, attempt=of.attempt, build=build, began=began, retry_of=retry_of)
    if status in ("IN_PROGRESS", "QUEUED"):
        return Heard(service, (started,))
    cause = "" if status == "SUCCEEDED" else cause[:2000]
    ended = BuildEnded(at=now, release=of.release, attempt=of.attempt, build=build, status=status, cause=cause)
    return Heard(service, (started, ended))


def _image_acted(action: ImageAction, services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    service = _of(services, "images", action.repository)
    if service is None:
        return NotOurs(f"no service has the image repository {action.repository}")
    if (action.action, action.result) != ("PUSH", "SUCCESS"):
        return NotOurs(f"{action.action} {action.result} of an image starts no release")
    if action.tag is None:
        return NotOurs("an image without a tag starts no release")
    if not service.accepts_tag(action.tag):
        return NotOurs(f"{service.name} accepts {', '.join(service.accepted_tags)}, not the tag {action.tag}")
    if action.digest is None:
        raise Refused("the ECR event is refused: image-digest: Field required for a push")
    return Heard(service, (ImageArrived(at=now, tag=action.tag, digest=action.digest, heard=now),))


def _image_scanned(scan: ImageScan, services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    service = _of(services, "images", scan.repository)
    if service is None:
        return NotOurs(f"no service has the image repository {scan.repository}")
    if scan.status not in ("COMPLETE", "FAILED"):
        return NotOurs(f"the scan of {scan.digest} is {scan.status}, not at an end")
    return Heard(service, (_scanned(scan.digest, scan.status, scan.counts, now, now),))


def _scanned(
    digest: str, status: str, counts: Mapping[str, int] | None, scanned_at: datetime, now: datetime
) -> ImageScanned:
    found = ", ".join(f"{name} {count}" for name, count in sorted((counts or {}).items()) if count)
    findings = (found or "none") if status == "COMPLETE" else status.lower()
    # To the minute: the event tells when it was sent, the API when the scan completed.
    return ImageScanned(
        at=now, digest=digest, scanned_at=scanned_at.replace(second=0, microsecond=0), findings=findings
    )


def _deployed(change: DeploymentChange, services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    of_application = (s for s in services if s.application == change.application)
    service = next((s for s in of_application if change.deploymentGroup in (st.group for st in s.stages)), None)
    if service is None:
        return NotOurs(f"no service has the deployment group {change.application}/{change.deploymentGroup}")
    status = API_STATE[change.state]
    if isinstance(change, InstanceChange):
        return Heard(service, observed_instance(change.deploymentId, change.instanceId, status, now))
    return Heard(service, observed_deployment(change.deploymentId, status, now))


def _alarm_changed(change: AlarmChange, services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    listening = [s for s in services if any(change.alarm in stage.alarms for stage in s.stages)]
    if not listening:
        return NotOurs(f"no service listens to the alarm {change.alarm}")
    if change.state.value != "ALARM":
        return NotOurs(f"the alarm {change.alarm} is {change.state.value}, which takes nothing back")
    rang = observed_alarm(change.alarm, change.state.timestamp, change.state.reason, now)
    return Heard(listening[0], rang, tuple(listening[1:]))


_Reader = Callable[[Any, Sequence[Service], datetime], Heard | NotOurs]
# By source and detail-type: what the detail is read as, what a refusal calls the event, and who reads it.
_READERS: dict[tuple[str, str], tuple[type[BaseModel], str, _Reader]] = {
    ("aws.codecommit", "CodeCommit Repository State Change"): (ReferenceChange, "CodeCommit", _reference_changed),
    ("aws.codebuild", "CodeBuild Build State Change"): (BuildChange, "CodeBuild", _build_changed),
    ("aws.ecr", "ECR Image Action"): (ImageAction, "ECR", _image_acted),
    ("aws.ecr", "ECR Image Scan"): (ImageScan, "ECR scan", _image_scanned),
    ("aws.codedeploy", "CodeDeploy Deployment State-change Notification"): (DeploymentChange, "CodeDeploy", _deployed),
    ("aws.codedeploy", "CodeDeploy Instance State-change Notification"): (InstanceChange, "CodeDeploy", _deployed),
    ("aws.cloudwatch", "CloudWatch Alarm State Change"): (AlarmChange, "CloudWatch", _alarm_changed),
}


# --- the same things, as the API tells them ------------------------------------------------------------------------


def observed_build(service: Service, build: Mapping[str, Any], now: datetime) -> tuple[Fact, ...]:
    """The facts that one of ``BatchGetBuilds``' builds tells; none for a build that is not esteira's."""
    variables = {v["name"]: v["value"] for v in build.get("environment", {}).get("environmentVariables", [])}
    phases = (p for p in build.get("phases", []) if p.get("phaseStatus") != "IN_PROGRESS")
    cause = _cause((p["phaseType"], p.get("phaseStatus"), map(_context, p.get("contexts", []))) for p in phases)
    retry_of = str(build.get("autoRetryConfig", {}).get("previousAutoRetry") or "").rpartition(":build/")[2]
    claim, began = variables.get(CLAIM_VARIABLE), build.get("startTime")
    try:
        heard = _build_facts(service, build["id"], build["buildStatus"], claim, cause, now, began, retry_of)
    except Refused:
        return ()
    return heard.facts if isinstance(heard, Heard) else ()


def _context(context: Mapping[str, Any]) -> str:
    """A phase's context as the event writes it."""
    return f"{context.get('statusCode', '')}: {context.get('message', '')}"


def exported_by(build: Mapping[str, Any]) -> tuple[str, ...]:
    """What one of ``BatchGetBuilds``' builds exported, each as ``NAME=VALUE``, in the order of its buildspec.

    No event carries this, so it is no part of the facts that ``observed_build`` gives. A name that is none, a value
    that is empty or too long, and whatever is too much in all is left out; an answer without the field is nothing.
    """
    found: dict[str, str] = {}
    for row in build.get("exportedEnvironmentVariables") or ():
        name, value = row.get("name"), row.get("value")
        if isinstance(name, str) and isinstance(value, str) and _VARIABLE.fullmatch(name):
            found.setdefault(name, value)
    kept: list[str] = []
    for name, value in found.items():
        pair = f"{name}={value}"
        fits = len(kept) < EXPORTED_NAMES and sum(map(len, kept)) + len(pair) <= EXPORTED_IN_ALL
        if fits and value.strip() and len(value) <= EXPORTED_VALUE:
            kept.append(pair)
    return tuple(kept)


def observed_deployment(deployment: str, status: str, now: datetime) -> tuple[Fact, ...]:
    """The facts that a deployment's ``status``, in the API's words, tells."""
    begun = DeploymentReported(at=now, deployment=deployment, status="InProgress")
    if status in ("Succeeded", "Failed", "Stopped"):
        return (begun, replace(begun, status=status))  # type: ignore[arg-type]
    return (begun,) if status in ("InProgress", "Ready", "Baking") else ()


def observed_instance(deployment: str, instance: str, status: str, now: datetime) -> tuple[Fact, ...]:
    """The fact that one host's ``status`` in a deployment, in the API's words, tells."""
    # The event names the host by its ARN or its bare id; the API's target id is bare.
    return (HostReported(at=now, deployment=deployment, host=instance.rsplit("/", 1)[-1], status=status),)


def observed_alarm(alarm: str, since: datetime, reason: str, now: datetime) -> tuple[Fact, ...]:
    """The fact that an alarm in ALARM since then tells; CloudWatch's event and its API know milliseconds."""
    since = since.astimezone(UTC).replace(microsecond=since.microsecond // 1000 * 1000)
    return (AlarmRang(at=now, alarm=alarm, since=since, reason=" ".join(reason.split())[:300]),)


def observed_image(service: Service, image: Mapping[str, Any], now: datetime) -> tuple[Fact, ...]:
    """The facts that one of ``DescribeImages``' imageDetails tells."""
    digest = image["imageDigest"]
    facts: list[Fact] = [
        ImageArrived(at=image.get("imagePushedAt", now), tag=tag, digest=digest, heard=now)
        for tag in image.get("imageTags", [])
        if service.accepts_tag(tag)
    ]
    status = image.get("imageScanStatus", {}).get("status", "")
    if status in ("COMPLETE", "FAILED"):
        summary = image.get("imageScanFindingsSummary", {})
        completed = summary.get("imageScanCompletedAt", now)
        facts.append(_scanned(digest, status, summary.get("findingSeverityCounts"), completed, now))
    return tuple(facts)
