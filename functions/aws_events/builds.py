"""A build's state: CodeBuild's event and what its API answers about the same build."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from aws_events.heard import Heard, Nice, NotOurs, name_in, service_with
from esteira.claims import CLAIM_VARIABLE, build_claim
from esteira.config import Service
from esteira.core.facts import BuildEnded, BuildStarted
from esteira.fact import Fact
from esteira.refusal import Refused, validated

# What a build exports is told to later builds, whose environment holds only so much: 20 names of at most 64
# characters with values of at most 256, and 4,000 characters of them in all. What does not fit is left out.
EXPORTED_NAMES = 20
EXPORTED_VALUE = 256
EXPORTED_IN_ALL = 4_000
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


class _BuildPhase(BaseModel, defer_build=True):
    kind: Annotated[str, Field(alias="phase-type")]
    status: Annotated[str | None, Field(alias="phase-status")] = None
    context: Annotated[tuple[str, ...] | None, Nice, Field(alias="phase-context")] = None


class _Information(BaseModel, defer_build=True):
    phases: Annotated[tuple[Annotated[_BuildPhase | None, Nice], ...] | None, Nice] = None
    began: Annotated[str | None, Nice, Field(alias="build-start-time")] = None


class BuildChange(BaseModel, defer_build=True):
    """CodeBuild Build State Change. ``build-id`` is an ARN, the API's id the part after ``build/``."""

    build: Annotated[str, Field(alias="build-id", pattern=r"^arn:[^\s]*:build/[^\s]+:[^\s]+$", max_length=500)]
    status: Annotated[str, Field(alias="build-status", pattern=r"^[A-Z_]{1,40}$")]
    information: Annotated[_Information | None, Nice, Field(alias="additional-information")] = None


def read_build(detail: Mapping[str, Any], services: Sequence[Service], now: datetime) -> Heard | NotOurs:
    """What a build that was started under a claim of ours came to."""
    project = name_in(detail, "project-name")
    sharing = [s for s in services if s.project == project]
    if not sharing:
        return NotOurs(f"no service has the build project {project}")
    claim = _claim_in(detail)
    if claim is None:
        return NotOurs(f"a build of {project} was not started by esteira")
    change = validated(BuildChange, detail, "CodeBuild event")
    build = change.build.split(":build/", 1)[1]
    if not build.startswith(f"{project}:"):
        raise Refused(f"the CodeBuild event is refused: build-id: it is not a build of {project}")
    told = change.information or _Information()
    cause = _cause((p.kind, p.status, p.context or ()) for p in told.phases or () if p is not None)
    service = service_with(sharing, "name", claim.split("/")[0]) or sharing[0]
    return _build_facts(service, build, change.status, claim, cause, now, _start_time(told.began or ""))


def _claim_in(detail: Mapping[str, Any]) -> str | None:
    """The claim among a build's environment variables, None without one: then it is somebody else's build."""
    found: Any = detail
    for name in ("additional-information", "environment", "environment-variables"):
        found = found.get(name) if isinstance(found, Mapping) else None
    rows = [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []
    return next((name_in(row, "value") for row in rows if row.get("name") == CLAIM_VARIABLE), None)


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


def _context(context: Mapping[str, Any]) -> str:
    """A phase's context as the event writes it."""
    return f"{context.get('statusCode', '')}: {context.get('message', '')}"


def exported_digest(build: Mapping[str, Any]) -> str:
    """The digest that one of ``BatchGetBuilds``' builds exported as ``IMAGE_DIGEST``, such as the one of the image it
    pushed; "" where it exported none. Docker writes it behind the repository's name and an ``@``."""
    rows = build.get("exportedEnvironmentVariables") or ()
    value = next((str(row.get("value") or "") for row in rows if row.get("name") == "IMAGE_DIGEST"), "")
    digest = value.rpartition("@")[2].strip()
    return digest if _DIGEST.fullmatch(digest) else ""


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
