"""Sentences about how a release was born, what was claimed for it, and how its image was built. Pure."""

from __future__ import annotations

from collections import Counter

from console.read.sentences_record import short
from esteira.core.facts import (
    Accepted,
    BuildEnded,
    BuildStarted,
    Claimed,
    CommitPushed,
    Declined,
    FindingsRead,
    GivenUp,
    ImageArrived,
    ImageBuilt,
    ImageMissed,
    ImageTaken,
    Pushed,
    Searched,
    StopAsked,
    Superseded,
)
from esteira.fact import Fact
from esteira.trail import ImageScanned

_CLAIMS = {
    "build": "start its build",
    "accept": "accept its image",
    "deploy": "create its deployment",
    "finish": "finish its rollout",
}


# How many of a build's figures stand in a sentence, and how many characters of each.
_FIGURES, _FIGURE = 8, 24


def of_birth(fact: Fact) -> str | None:
    match fact:
        case Pushed():
            return _born(fact)
        case Searched(commit=commit, through=through):
            return f"no secret was found in {through} files of commit {short(commit)}; the search goes on"
        case ImageArrived(tag=tag, digest=digest):
            return f"image {tag} arrived, {short(digest)}; it is to become a release"
        case ImageTaken(tag=tag, release=0):
            return f"the tag {tag} was on another image by then, on none, or on one that was a release already"
        case ImageTaken(tag=tag, release=number, missing=True):
            return f"image {tag} was not in the registry, which v{number} says"
        case ImageTaken(tag=tag, release=number):
            return f"image {tag} became v{number}"
        case CommitPushed(commit=commit, by=by):
            return f"{by} made {short(commit)} the branch's tip"
        case ImageBuilt(commit=commit, release=number, digest=digest):
            return f"the build of v{number} made {short(digest)} of {short(commit)}"
        case ImageScanned(digest=digest, findings=findings):
            return f"ECR scanned {short(digest)}; findings: {findings}"
        case _:
            return None


def _born(pushed: Pushed) -> str:
    what = f"commit {short(pushed.commit)}" if pushed.source == "commit" else f"image {pushed.tag}"
    classes = f", classed {', '.join(pushed.classes)}" if pushed.classes else ""
    paths = {0: "", 1: ", one path changed"}.get(pushed.changed_count, f", {pushed.changed_count} paths changed")
    ends = ((pushed.rejected, "rejected"), (pushed.skipped, "skipped"), (pushed.outdated, "not deployed"))
    end = next((f"; {how} at once: {reason}" for reason, how in ends if reason), "")
    return f"{what} was pushed and became v{pushed.number}{classes}{paths}{end}"


def of_claim(fact: Fact) -> str | None:
    match fact:
        case Claimed(action=action, attempt=number):
            return f"a function took it on itself to {_CLAIMS[action]} ({_counted(fact)} {number}, take {fact.take})"
        case Declined(action=action, attempt=number, error=error):
            return f"nobody could {_CLAIMS[action]} ({_counted(fact)} {number}, take {fact.take}): {error}"
        case StopAsked(thing=thing):
            return f"AWS was asked to stop {thing}"
        case _:
            return None


def _counted(fact: Claimed | Declined) -> str:
    if fact.action in ("build", "accept"):
        return "attempt"
    return f"{fact.stage} rollout" if fact.stage else "rollout"


def of_build(fact: Fact) -> str | None:
    match fact:
        case BuildStarted(build=build, attempt=attempt):
            return f"build {build} started (attempt {attempt})"
        case BuildEnded(build=build, status=status, cause=cause):
            return f"build {build} ended {status.lower().replace('_', ' ')}" + (f": {cause}" if cause else "")
        case Accepted(digest=digest, reused=reused, note=note):
            how = "was there already and is accepted without a build" if reused else "is accepted"
            return f"its image {how}, {short(digest)}{f'; {note}' if note else ''}{_exported(fact)}"
        case ImageMissed(digest=digest, how=how):
            return f"its image {short(digest)} is {how}" if how else f"its image {short(digest)} is there again"
        case FindingsRead():
            return _findings(fact)
        case Superseded(by=by):
            return f"v{by} came before it was deployed"
        case GivenUp(what="image" | "quarantine" | "scan", why=why):
            return why
        case GivenUp(what="start" | "build" | "accept" | "approval" | "deadline", why=why):
            return f"a deadline passed: {why}"
        case _:
            return None


def _findings(read: FindingsRead) -> str:
    """What was read of the scan: how many findings of each severity."""
    images = ", ".join(short(digest) for digest in read.images)
    if read.status != "complete":
        return f"ECR was asked what was found in {images}: the scan is {read.status}"
    counts = Counter(line.partition("\t")[0] for line in read.found)
    counts.update({word: int(number) for word, number in (line.split() for line in read.unlisted)})
    return f"found in {images}: {', '.join(f'{n} {severity}' for severity, n in counts.items()) or 'nothing'}"


def _exported(accepted: Accepted) -> str:
    """What the image's build exported, as the end of a sentence; "" for nothing. The first few, none long."""
    told = [f"{name}={_cut(value)}" for name, value in accepted.figures.items()]
    more = len(told) - _FIGURES
    return f"; exported: {', '.join(told[:_FIGURES])}{f' and {more} more' if more > 0 else ''}" if told else ""


def _cut(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= _FIGURE else f"{line[: _FIGURE - 1]}…"
