"""Which past releases would have gone otherwise under another registration, and why.

Each release is taken back to the moments at which something was decided about it, with what was known then. The
controller's own rules are asked again under the other registration: what keeps a release from a stage
(``admission.waits``), and what its figures are compared with (``plan``). Each release is judged by itself, as if all
others had gone as they did; no branching history is made up. Votes that nobody was asked for
are not on record, so under a rule that asks for some, none is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from console.record.as_of import Rows, as_of
from console.record.backtest_values import Backtest, ChangedRelease, Otherwise
from console.record.decisions import Gone, configured, decisions, grounds
from console.record.scans import with_scan
from console.record.stage_times import MINUTE, deadline_change, length_in_words, lives_on, stage_fact
from esteira.config import Service
from esteira.core.actions import Record, StartDeployment
from esteira.core.admission import Wait, Waits, waits
from esteira.core.facts import (
    AlarmRang,
    BuildEnded,
    BuildStarted,
    Gated,
    Pushed,
    Rollout,
)
from esteira.core.plan import moment, plan
from esteira.core.state import OnStage, Release, Snapshot, StageState
from esteira.core.status import Cause, Phase, assess
from esteira.inspection import class_of, matches, own_paths
from esteira.trail import Decided
from settings.model import in_effect, restored

# What a rule makes a release wait for; its rollout and the stage before are none.
_RULES = (Waits.BAKE, Waits.APPROVAL, Waits.HOLD, Waits.WINDOW, Waits.SCAN, Waits.UNSCANNED)


def backtest(rows: Rows, present: Service, other: Service, limit: int, lease: timedelta) -> Backtest:
    """What ``other`` would have changed about the last ``limit`` releases of the service."""
    numbers = [view.number for view in rows.views(present.name, limit)]
    trial = _Trial(rows, other, lease)
    lines, unknown = [], {}
    for number in numbers:
        try:
            changes = tuple(trial.of(number))
        except Gone as gone:
            unknown[f"v{number}"] = str(gone)
            continue
        if changes:
            lines.append(ChangedRelease(f"v{number}", changes))
    same = len(numbers) - len(lines) - len(unknown)
    new = sorted({s.name for s in other.stages} - {s.name for s in present.stages})
    notes = tuple(f"stage {name} is new: nothing is on record of it" for name in new)
    return Backtest(present.name, len(numbers), same, tuple(lines), unknown, notes)


class _Decision(NamedTuple):
    """A decision about a release, and what was known then: as it was registered, and under the other rules."""

    decided: Decided
    then: Snapshot
    other: Snapshot


@dataclass(frozen=True)
class _Trial:
    """The other registration, tried on one release after the other."""

    rows: Rows
    other: Service
    lease: timedelta

    def of(self, number: int) -> Iterator[Otherwise]:
        """What would have changed about a release, one for each rule and stage. Raises Gone."""
        name = self.other.name
        release = self.rows.release(name, number)
        if release is None:
            raise Gone(f"the birth of v{number} is not on record")
        told: set[tuple[str, str]] = set()
        for change in (*self._birth(release), *self._on_its_way(release), *self._deadlines(release)):
            if (change.rule, change.stage) not in told:
                told.add((change.rule, change.stage))
                yield change
        for stage in self.other.stages:
            yield from self._alarm(release, stage.name)

    # --- its birth

    def _birth(self, release: Release) -> Iterator[Otherwise]:
        pushed = release.pushed
        if pushed.source == "image":
            if not self.other.accepts_tag(pushed.tag):
                yield Otherwise(
                    "accepted_tags", f"no accepted tag matches {pushed.tag}: it would be no release", pushed.at
                )
            return
        if pushed.rejected:
            path = re.split(r" (?:holds|looks like) ", pushed.rejected)[0]
            if matches(path, self.other.guard.allow):
                yield Otherwise("guard", f"{path} would be allowed, and the push not rejected for it", pushed.at)
            return
        yield from self._paths(pushed)

    def _paths(self, pushed: Pushed) -> Iterator[Otherwise]:
        complete = len(pushed.changed) == pushed.changed_count
        ignored = in_effect(self.other, restored(pushed.settings)).ignored_paths
        own = own_paths(self.other.folder, pushed.changed)
        counts = [path for path in own if not matches(path, ignored)]
        before = self.rows.pushed(self.other.name, pushed.number - 1)
        first = before is None or not before.base  # the whole tree, which is never skipped
        if pushed.skipped and counts:
            yield Otherwise("ignored_paths", f"{counts[0]} counts: it would not be skipped", pushed.at)
        if not pushed.skipped and complete and pushed.changed and not counts and not first:
            yield Otherwise("ignored_paths", "only ignored paths changed: it would be skipped", pushed.at)
        classes = tuple(sorted({class_of(path, self.other.path_classes) for path in own}))
        if complete and classes != pushed.classes:
            was, would = (", ".join(names) or "none" for names in (pushed.classes, classes))
            yield Otherwise("path_classes", f"its class would be {would} instead of {was}", pushed.at)

    # --- on its way to the stages

    def _on_its_way(self, release: Release) -> Iterator[Otherwise]:
        gated = False  # whether its figures were held against the gates
        for decided in decisions(self.rows, self.other.name, release.number):
            if decided.action not in ("Project", "Record", "StartDeployment"):
                continue
            decision = self._decision(decided)
            r = decision.other.release(release.number)
            if r is None or not r.accepted or not r.pushed.effective:
                continue
            if not gated:
                would = self._gated(decision, r)
                gated = would is not None or not self.other.gates
                yield from _of_gates(would, release.one(Gated, attempt=r.attempt), decided.at) if gated else ()
            waited = self._rollout if decided.action == "StartDeployment" else self._wait
            yield from waited(decision, r)

    def _decision(self, decided: Decided) -> _Decision:
        name = self.other.name
        service = configured(self.rows, name, decided.configuration)
        seen = grounds(self.rows, name, decided)
        known = [stage.name for stage in service.stages]
        # A stage that was not there then has seen nothing: what it would have waited for cannot be told.
        stages = tuple(stage for stage in self.other.stages if stage.name in known)
        if not stages:
            raise Gone(f"none of its stages was there on {decided.at:%Y-%m-%d %H:%M}")
        other = self.other.model_copy(update={"stages": stages})
        under = as_of(self.rows, other, seen, decided.at, without=("gated#", "policy#")).snapshot
        releases = tuple(with_scan(self.rows, name, release) for release in under.releases)
        then = as_of(self.rows, service, seen, decided.at).snapshot
        return _Decision(decided, then, replace(under, releases=releases))

    def _gated(self, decision: _Decision, r: Release) -> Gated | None:
        """How the figures would have stood against the gates, with what was live then; None where the plan of
        that moment did not come to it."""
        actions = plan(moment(decision.other, decision.decided.at, self.lease))
        facts = (a.fact for a in actions if isinstance(a, Record) and a.release == r.number)
        return next((f for f in facts if isinstance(f, Gated)), None)

    def _rollout(self, decision: _Decision, r: Release) -> Iterator[Otherwise]:
        """A rollout it was given: whether a rule would have been in its way at that moment."""
        decided = decision.decided
        actions = plan(moment(decision.then, decided.at, self.lease))
        action = actions[decided.place] if decided.place < len(actions) else None
        if not isinstance(action, StartDeployment) or action.rollout.kind != "deploy" or action.take > 1:
            return
        name = action.rollout.stage
        stage = _stage(decision.other, name)
        for wait in _rules(r.on(stage), decided.at) if stage else ():
            yield Otherwise(wait.what, f"its rollout on {name} would wait: {wait.why}", decided.at, name)

    def _wait(self, decision: _Decision, r: Release) -> Iterator[Otherwise]:
        """A wait for a rule: whether it would have had to."""
        then, at = decision.then.release(r.number), decision.decided.at
        status = assess(then, decision.then.stages, at).overall if then else None
        if then is None or status is None:
            return
        if status.cause != Cause.SCAN_REFUSED and (status.phase is not Phase.WAITING or status.cause not in _RULES):
            return
        stage, under = _stage(decision.other, status.stage), decision.then.stage(status.stage)
        if stage is not None and not _rules(r.on(stage), at):
            words = "; ".join(wait.why for wait in _rules(then.on(under), at))
            why = f"it would not wait for {stage.name}; then it did: {words}"
            yield Otherwise(Waits.SCAN if status.cause == Cause.SCAN_REFUSED else status.cause, why, at, stage.name)

    # --- deadlines and alarms

    def _deadlines(self, release: Release) -> Iterator[Otherwise]:
        limits = self.other.deadlines
        for started in release.all(BuildStarted):
            ended = release.one(BuildEnded, build=started.build)
            late = release.given_up("build", started.attempt)
            yield from deadline_change("build", limits.build_minutes, started.at, ended.at if ended else None, late)
        for deployed in release.deployed:
            if deployed.started is None:
                continue
            stage = deployed.stage
            rollout = stage_fact(self.rows, self.other.name, stage, f"rollout#{deployed.number:08d}")
            began = rollout.at if isinstance(rollout, Rollout) else deployed.started.at
            end = deployed.ended.at if deployed.ended else None
            yield from deadline_change("deploy", limits.deploy_minutes, began, end, deployed.overdue, stage)

    def _alarm(self, release: Release, name: str) -> Iterator[Otherwise]:
        """An alarm that went off while the release would have been watched, and one that would not have counted."""
        stage = self.other.stage(name)
        for life in lives_on(self.rows, self.other.name, name, release):
            rang = [a for alarm in stage.alarms for a in self._rang(alarm)]
            end = min(filter(None, (life.until, life.since + stage.bake_minutes * MINUTE)))
            watched = [a for a in rang if life.since < a.since <= end]
            would = min(watched, key=lambda a: a.since, default=None)
            if would is not None and not life.by_alarm:
                after = length_in_words(would.since - life.since)
                why = f"alarm {would.alarm} went off on {name} {after} after it came to life: "
                yield Otherwise("alarms", f"{why}it would be taken back", would.since, name)
            if life.by_alarm and would is None:
                yield Otherwise(
                    "alarms", f"no alarm would take it back from {name}; {life.by_alarm} did", life.since, name
                )

    def _rang(self, alarm: str) -> Sequence[AlarmRang]:
        found = self.rows.newest_facts(self.other.name, f"alarm/{alarm}", "rang#", 1000)
        return [f for f in found if isinstance(f, AlarmRang)]


def _of_gates(would: Gated | None, was: Gated | None, at: datetime) -> Iterator[Otherwise]:
    refused, was_refused = _refused(would), _refused(was)
    if refused and not was_refused:
        yield Otherwise("gates", f"it would be rejected: {'; '.join(refused)}", at)
    elif was_refused and not refused:
        yield Otherwise("gates", f"it would pass; then it was refused: {'; '.join(was_refused)}", at)


def _refused(gated: Gated | None) -> tuple[str, ...]:
    return gated.refused if gated is not None and not gated.dry_run else ()


def _stage(s: Snapshot, name: str) -> StageState | None:
    return next((stage for stage in s.stages if stage.name == name), None)


def _rules(here: OnStage, at: datetime) -> list[Wait]:
    return [wait for wait in waits(here, at) if wait.what in _RULES]
