"""What the page shows, read from the store: each view reads a bounded number of rows, however long the history is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from console.read import account, build_log, dora, release_lines, running, stage_status, tail
from console.read.session import Session
from console.read.views import Account, ReleaseLine
from esteira.config import Service
from esteira.core.status import Phase
from esteira.store import Store
from esteira.trail import FoundBySweep
from policy.document import in_force

PAGE = 50
SEARCHED = 500
LOG_LINES = 500
# What the sweep found is counted over so long, and up to so many.
FOUND_DAYS, FOUND = 30, 100


@dataclass(frozen=True)
class Links:
    """Where AWS's own console shows things: its Region, "" where there is none, as on a laptop."""

    region: str = ""

    def commit(self, service: Service, commit: str) -> str:
        """Where a commit and its diff are shown."""
        return self._codesuite(f"codecommit/repositories/{service.repository}/commit/{commit}") if commit else ""

    def build(self, service: Service, build: str) -> str:
        """Where a build's log is shown."""
        return self._codesuite(f"codebuild/projects/{service.project}/build/{build.replace(':', '%3A')}/log")

    def deployment(self, deployment: str) -> str:
        """Where a deployment is shown."""
        return self._codesuite(f"codedeploy/deployments/{deployment}")

    def _codesuite(self, path: str) -> str:
        if not self.region:
            return ""
        host = next((at for begin, at in _CONSOLES.items() if self.region.startswith(begin)), "console.aws.amazon.com")
        return f"https://{self.region}.{host}/codesuite/{path}?region={self.region}"


# Where the console of AWS's other partitions is.
_CONSOLES = {"cn-": "console.amazonaws.cn", "us-gov-": "console.amazonaws-us-gov.com"}


def overview(session: Session, usual: running.Usual) -> list[dict[str, Any]]:
    """Each service with its newest release and its stages as ``esteira status`` tells them, what runs, and what the
    sweep found of late. ``usual`` keeps how long builds and deployments take."""
    return [_shown(session, service, session.now(), usual) for service in session.services()]


def _shown(session: Session, service: Service, now: datetime, usual: running.Usual) -> dict[str, Any]:
    store, client = session.store, session.controller.client
    stages = stage_status.status(store, [service], now)
    (glance,) = stage_status.glance(store, [service], stages, session.controller.where.pages)
    lines = sorted((line for stage in stages for line in stage.under_way), key=lambda one: -int(one.release[1:]))
    runs = filter(None, (running.running(store, client, service, line, usual) for line in lines))
    remote = session.controller.where.remotes.get(service.name, "origin")
    return {
        **asdict(glance),
        "running": [asdict(one) for one in runs],
        "remote": remote,
        "branch": service.branch,
        "steps": tail.steps(glance.newest, service) if glance.newest else (),
        "stages": [asdict(stage) for stage in stages],
        "found": _found(store, service, now),
    }


def _found(store: Store, service: Service, now: datetime) -> dict[str, Any]:
    """How many transitions the sweep found by itself, of which kind: each is an event that was lost, or late."""
    rows = store.newest_facts(service.name, "found", "found#", FOUND)
    late = [f for f in rows if isinstance(f, FoundBySweep) and f.at >= now - timedelta(days=FOUND_DAYS)]
    return {"days": FOUND_DAYS, "count": len(late), "kinds": dict(Counter(f.kind for f in late)), "most": FOUND}


def past(store: Store, service: Service, before: int | None, now: datetime) -> dict[str, Any]:
    """One page of the history, newest first, of the releases below ``before``."""
    lines = release_lines.releases(store, service, PAGE, now, before)
    last = int(lines[-1].release[1:]) if lines else 1
    return {"service": service.name, "releases": [asdict(line) for line in lines], "next": last if last > 1 else None}


def search(store: Store, service: Service, text: str, now: datetime) -> dict[str, Any]:
    """The releases among the newest ``SEARCHED`` in which the text stands: in the label, the commit, its subject, its
    author, the tag, the phase or the sentence."""
    words = text.lower().split()
    lines = release_lines.releases(store, service, SEARCHED, now)
    found = [line for line in lines if all(word in _text(line) for word in words)][:PAGE]
    return {"service": service.name, "releases": [asdict(line) for line in found], "next": None}


def _text(line: ReleaseLine) -> str:
    told = (line.release, line.phase, line.commit, line.tag, line.subject, line.author, line.why)
    return " ".join(told).lower()


def log(client: Callable[[str], Any], store: Store, service: Service, number: int, now: datetime) -> dict[str, Any]:
    """What the release's last build wrote, its last ``LOG_LINES`` lines."""
    builds = account.account(store, service, number, now).builds
    lines = build_log.read_log(client, builds[-1].id).lines if builds else ()
    running = bool(builds) and builds[-1].status == "IN_PROGRESS"
    return {"lines": [line.says for line in lines[-LOG_LINES:]], "running": running}


def release(store: Store, service: Service, number: int, now: datetime, links: Links) -> dict[str, Any]:
    """One release: where it stands, its facts and decisions in order of time, and what may be said of it."""
    told = account.account(store, service, number, now)
    ruled = in_force(service, store.policy(service.name)) if told.rules else service
    said = [{**asdict(f), "decision": False} for f in told.facts]
    said += [{**asdict(d), "decision": True} for d in told.decisions]
    return {
        **{k: v for k, v in asdict(told).items() if k not in ("facts", "decisions", "builds", "deployments")},
        "builds": [{**asdict(b), "link": links.build(service, b.id)} for b in told.builds],
        "deployments": [{**asdict(d), "link": links.deployment(d.id)} for d in told.deployments],
        "commit_link": links.commit(service, told.line.commit),
        "said": sorted(said, key=lambda row: row["at"]),
        "words": words(told, ruled),
        "stages": [stage.name for stage in service.stages],
    }


def words(told: Account, service: Service) -> list[str]:
    """The words that may be of use for a release that stands there; ``operate`` has the last say."""
    phase = Phase(told.line.phase)
    several, last = len(service.stages) > 1, service.last.name
    was_live = any(d.stage == last and d.status == "Succeeded" for d in told.deployments)
    if phase is Phase.SKIPPED:
        return []
    if phase is Phase.LIVE:
        return [*(["rollback"] if told.line.stage == last else []), "quarantine"]
    if phase is Phase.SUPERSEDED:
        return [*(["promote"] if several and not was_live else []), *(["go-back"] if was_live else []), "quarantine"]
    if phase.ended:
        return ["retry", *(["bypass"] if phase is Phase.REJECTED else []), "quarantine"]
    voted = any(stage.approvals for stage in service.stages) and told.line.digest
    return [*(["approve", "reject"] if voted else []), *(["bypass"] if told.line.digest else []), "abort", "quarantine"]


def five_keys(store: Store, service: Service, stage: str, days: int, now: datetime) -> dict[str, Any]:
    """DORA's five keys of a stage."""
    keys = dora.measure(store, service, stage, days, now)
    return {**asdict(keys), "stages": [stage.name for stage in service.stages]}
