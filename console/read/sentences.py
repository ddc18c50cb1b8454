"""Every kind of fact as one readable sentence. Pure."""

from __future__ import annotations

import re
from datetime import datetime

from esteira.core.facts import (
    Aborted,
    Accepted,
    AlarmRang,
    AlarmUnanswered,
    Announced,
    Approved,
    BuildEnded,
    BuildStarted,
    Bundled,
    Bypassed,
    Claimed,
    CommitPushed,
    Declined,
    DeploymentBegun,
    DeploymentEnded,
    DeploymentGivenUp,
    DeploymentStarted,
    Diagnosed,
    Disapproved,
    Gated,
    Held,
    HoldAnnounced,
    HoldReminded,
    HostsAnswered,
    ImageArrived,
    ImageMissed,
    ImageScanned,
    ImageTaken,
    InstanceReported,
    Lifted,
    Overdue,
    Promoted,
    Pushed,
    Quarantined,
    ReleaseWord,
    Replaced,
    Resumed,
    Retried,
    RollbackOrdered,
    RolledBack,
    Rollout,
    RolloutFinished,
    StopAsked,
    Superseded,
)
from esteira.fact import Fact
from esteira.trail import (
    Checkpoint,
    Configured,
    Decided,
    FoundBySweep,
    Seen,
)

_CLAIMS = {
    "build": "start its build",
    "accept": "accept its image",
    "deploy": "create its deployment",
    "finish": "settle its rollout",
}
# How many of a build's figures stand in a sentence, and how many characters of each.
_FIGURES, _FIGURE = 8, 24


def sentence(fact: Fact) -> str:
    """Return what ``fact`` says, in one sentence; of a failure, its log lines follow it on lines of their own.

    Raises TypeError for a kind of fact that has no sentence yet.
    """
    for told in (
        _of_birth,
        _of_claim,
        _of_build,
        _of_deployment,
        _of_stage,
        _of_alarm,
        _of_operator,
        _of_entry,
        _of_the_record,
    ):
        said = told(fact)
        if said is not None:
            return said
    raise TypeError(f"the fact {fact.name} has no sentence yet; add it to console/read/sentences.py")


def short(name: str) -> str:
    """Return a commit or a digest as people read it: ``8f3b6c1d``, ``sha256:09f16fd5c5d2``."""
    kind, colon, rest = name.partition(":")
    return f"{kind}:{rest[:12]}" if colon else name[:8]


def _of_birth(fact: Fact) -> str | None:
    match fact:
        case Pushed():
            return _born(fact)
        case ImageArrived(tag=tag, digest=digest):
            return f"image {tag} arrived, {short(digest)}; it is to become a release"
        case ImageTaken(tag=tag, release=0):
            return f"image {tag} was gone, or a release already, when it was looked at"
        case ImageTaken(tag=tag, release=number):
            return f"image {tag} became v{number}"
        case CommitPushed(commit=commit, by=by):
            return f"{by} made {short(commit)} the branch's tip"
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


def _of_claim(fact: Fact) -> str | None:
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
    return f"{fact.stage} turn" if fact.stage else "rollout"


def _of_build(fact: Fact) -> str | None:
    match fact:
        case BuildStarted(build=build, attempt=attempt):
            return f"build {build} started (attempt {attempt})"
        case BuildEnded(build=build, status=status, cause=cause):
            return f"build {build} ended {status.lower().replace('_', ' ')}" + (f": {cause}" if cause else "")
        case ImageMissed(tag=tag):
            return f"the build succeeded, and no image {tag} is in the registry"
        case Accepted(digest=digest, reused=True):
            return f"its image was there already and is accepted without a build, {short(digest)}{_exported(fact)}"
        case Accepted(digest=digest):
            return f"its image is accepted, {short(digest)}{_exported(fact)}"
        case Superseded(by=by):
            return f"v{by} came before it began to deploy"
        case Overdue(why=why):
            return f"a deadline passed: {why}"
        case _:
            return None


def _held_against(gated: Gated) -> str:
    return f" against v{gated.against}" if gated.against else ""


def _exported(accepted: Accepted) -> str:
    """Return what the image's build exported, as the end of a sentence; "" for nothing. The first few, none long."""
    told = [f"{name}={_cut(value)}" for name, value in accepted.figures.items()]
    more = len(told) - _FIGURES
    return f"; exported: {', '.join(told[:_FIGURES])}{f' and {more} more' if more > 0 else ''}" if told else ""


def _cut(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= _FIGURE else f"{line[: _FIGURE - 1]}…"


def _of_deployment(fact: Fact) -> str | None:
    match fact:
        case Bundled(stage=stage, rollout=rollout, name_in_bucket=name, sha256=digest):
            return f"the bundle {name} for rollout {rollout} on {stage} was written, {digest[:12]}"
        case HostsAnswered(deployment=deployment, answers=answers):
            return f"of deployment {deployment} {_answered(answers)}"
        case DeploymentStarted(deployment=deployment, stage=stage, rollout=rollout):
            return f"deployment {deployment} to {stage} was created (rollout {rollout})"
        case DeploymentGivenUp(stage=stage, rollout=rollout, why=why):
            return f"rollout {rollout} on {stage} was given up: {why}"
        case DeploymentBegun(deployment=deployment):
            return f"deployment {deployment} began"
        case DeploymentEnded(deployment=deployment, status=status):
            return f"deployment {deployment} {'was stopped' if status == 'Stopped' else status.lower()}"
        case Diagnosed(deployment=deployment, cause=cause):
            return f"deployment {deployment} went wrong: {cause}"
        case InstanceReported(deployment=deployment, instance=instance, status=status):
            return f"deployment {deployment} on host {instance.rpartition('/')[2]}: {status}"
        case Announced(phase=phase, channel=channel, stage=stage, told=told):
            what = "on its way" if phase == "started" else f"{phase}{f' on {stage}' if stage else ''}"
            return f"that it is {what} " + (f"was told on {channel}" if told else "was old news, and not told")
        case _:
            return None


def _answered(answers: tuple[str, ...]) -> str:
    hosts = "no host" if not answers else "its host" if len(answers) == 1 else f"its {len(answers)} hosts"
    return f"{hosts} had answered" + (f": {' | '.join(answers)}" if answers else " anything")


def _of_stage(fact: Fact) -> str | None:
    match fact:
        case Rollout(number=number, release=release, stage=stage, kind="restore"):
            return (
                f"rollout {number} on {stage} puts v{release} back on every host, since another release failed on some"
            )
        case Rollout(number=number, release=release, stage=stage, kind="rollback"):
            return f"rollout {number} on {stage} goes to v{release}, to roll back from {_label(fact.live)}"
        case Rollout(number=number, release=release, stage=stage):
            return f"rollout {number} on {stage} goes to v{release}, after {_label(fact.live)}"
        case RolloutFinished(rollout=rollout, release=release, stage=stage, succeeded=True):
            return f"rollout {rollout} on {stage} is finished: v{release} is live"
        case RolloutFinished(rollout=rollout, release=release, stage=stage):
            return f"rollout {rollout} on {stage} is finished: v{release} did not come to life"
        case Replaced(by=by, stage=stage):
            return f"v{by} took its place on {stage}"
        case RolledBack(by=by, to=to, stage=stage, reason=reason):
            return f"{by} rolled {stage} back to v{to}: {reason}"
        case _:
            return None


def _of_alarm(fact: Fact) -> str | None:
    match fact:
        case AlarmRang(alarm=alarm, since=since, reason=reason):
            return f"alarm {alarm} went off at {_minute(since)}" + (f": {_one_line(reason)}" if reason else "")
        case AlarmUnanswered(alarm=alarm, stage=stage, why=why):
            return f"alarm {alarm} went off while it was watched on {stage}, in vain: {why}"
        case _:
            return None


def _label(number: int) -> str:
    return f"v{number}" if number else "nothing"


def _of_operator(fact: Fact) -> str | None:
    match fact:
        case Retried(by=by, attempt=attempt, reason=reason):
            return f"{by} asked for attempt {attempt}" + (f": {reason}" if reason else "")
        case Aborted(by=by, reason=reason):
            return f"{by} aborted it: {reason}"
        case Held(by=by, stage=stage, until=until, reason=reason):
            return f"{by} held {stage} until {_minute(until)}: {reason}"
        case Resumed(by=by, stage=stage, reason=reason):
            return f"{by} resumed {stage}" + (f": {reason}" if reason else "")
        case RollbackOrdered(by=by, stage=stage, away=away, to=to, reason=reason):
            return f"{by} ordered {stage} back from v{away} to v{to}: {reason}"
        case HoldAnnounced(stage=stage, channel=channel):
            return f"that the hold of {stage} ends soon was told on {channel}"
        case HoldReminded(stage=stage):
            return f"people were reminded that the hold of {stage} ends soon"
        case Quarantined(by=by, subject=subject, reason=reason):
            return f"{by} quarantined {short(subject)}: {reason}"
        case Lifted(by=by, subject=subject, reason=reason):
            return f"{by} lifted the quarantine of {short(subject)}" + (f": {reason}" if reason else "")
        case _:
            return None


def _of_entry(fact: Fact) -> str | None:
    """What gates and people said about a release's way onto a stage."""
    match fact:
        case Gated(refused=()):
            return f"its figures passed every gate{_held_against(fact)}"
        case Gated(refused=refused, dry_run=True):
            return f"a gate would have refused it{_held_against(fact)}, and this is a dry run: {'; '.join(refused)}"
        case Gated(refused=refused):
            return f"its figures were refused{_held_against(fact)}: {'; '.join(refused)}"
        case Approved(stage=stage, reason=reason, until=until):
            said = f": {reason}" if reason else ""
            return f"{_who(fact)} approved it for {stage}, which counts until {_minute(until)}{said}"
        case Disapproved(stage=stage, reason=reason):
            return f"{_who(fact)} rejected it for {stage}: {reason}"
        case Promoted(stage=stage, reason=reason):
            return f"{_who(fact)} promoted it to {stage}" + (f": {reason}" if reason else "")
        case Bypassed(stage=stage, reason=reason, until=until):
            return f"{_who(fact)} bypassed every rule of {stage} for it until {_minute(until)}: {reason}"
        case _:
            return None


def _who(word: ReleaseWord) -> str:
    """Return who said it: by the name they gave, and by the one AWS knows them under, where that was proven."""
    return f"{word.by} ({word.arn})" if word.arn and word.arn != word.by else word.by


def _of_the_record(fact: Fact) -> str | None:
    match fact:
        case Decided(action=action, why=why):
            return f"decided to {_spoken(action)}" + (f": {why}" if why else "")
        case Seen(sha256=digest, rows=rows):
            return f"what was decided was made from {len(rows)} rows, {digest}"
        case Configured(sha256=digest):
            return f"the registration reads as {digest[:12]} says"
        case FoundBySweep(kind=kind, release=number):
            return f"the sweep found by itself what no event had told: {kind}" + (f" of v{number}" if number else "")
        case Checkpoint(rollout=rollout, stage=stage, release=number, rows=rows, sha256=checkpoint):
            return f"rollout {rollout} on {stage} of v{number} is checkpointed: {len(rows)} rows, {checkpoint[:12]}"
        case _:
            return None


def _spoken(name: str) -> str:
    """Return an action's name as words: ``StartBuild`` is "start build"."""
    if name == "Project":
        return "write down where it stands"
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).replace("-", " ").lower()


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _one_line(text: str) -> str:
    return " ".join(text.split())
