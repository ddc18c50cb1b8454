"""What came of the demo: the differences to what it promises, the history as a table, and the report as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.markup import escape
from rich.table import Table

from console.local.up.load import Tally
from esteira.core.facts import BuildEnded, DeploymentReported
from esteira.core.state import Release
from esteira.core.status import Phase
from esteira.store import View
from esteira.visible import visible

WANTED = {1: Phase.LIVE, 2: Phase.ROLLED_BACK, 3: Phase.FAILED, 4: Phase.REJECTED}


@dataclass(frozen=True)
class Watched:
    """One push, and how long it took from `git push` to its end, in seconds."""

    version: str
    view: View
    seconds: float


@dataclass(frozen=True)
class DemoOutcome:
    """Everything that is known when the demo has ended. ``releases`` are by their number."""

    watched: Sequence[Watched]
    history: Sequence[View]
    releases: Mapping[int, Release]
    tally: Tally


def faults(outcome: DemoOutcome) -> list[str]:
    """The differences to what the demo promises."""
    views = {view.number: view for view in outcome.history}
    found = [
        f"v{number} is {views[number].phase if number in views else 'missing'}, not {phase}"
        for number, phase in WANTED.items()
        if number not in views or views[number].phase != phase
    ]
    if extra := sorted(set(views) - set(WANTED)):
        found.append(f"there are releases that nobody pushed: {extra}")
    if [w.view.phase for w in outcome.watched[:2]] != [Phase.LIVE, Phase.LIVE]:
        found.append("v1 and v2 did not both go live")
    if 3 in views and not any("model-card.json" in line for line in views[3].detail):
        found.append("v3's reason does not show its log, which names the missing model-card.json")
    if 4 in views and "credentials/mlops.pem" not in views[4].why:
        found.append("v4's reason does not name credentials/mlops.pem")
    return [*found, *_faults_of_work(outcome.releases), *_faults_of_requests(outcome.tally)]


def _faults_of_work(releases: Mapping[int, Release]) -> list[str]:
    found = []
    if 4 in releases and any(releases[4].all(BuildEnded)):
        found.append("v4 was built")
    if (
        1 in releases and sum(f.milestone == "ended" for f in releases[1].all(DeploymentReported)) != 2
    ):  # by its push, and by the rollback
        found.append("v1 was not deployed twice")
    return found


def _faults_of_requests(tally: Tally) -> list[str]:
    found = []
    if tally.failed:
        found.append(f"{tally.failed} of {tally.sent} requests failed, the first: {tally.errors[0]}")
    if not {"v1", "v2"} <= set(tally.versions):
        found.append(f"the requests were not answered by both v1 and v2, but by {sorted(tally.versions)}")
    return found


def history_table(history: Sequence[View]) -> Table:
    """The history as a table."""
    rows = Table("version", "commit", "phase", "why", title="esteira releases", title_justify="left")
    for view in history:
        rows.add_row(f"v{view.number}", view.commit[:8], view.phase, escape(visible(view.why.splitlines()[0])))
    return rows


def report(outcome: DemoOutcome) -> dict[str, Any]:
    """The report as JSON; times are in seconds from `git push` on."""
    live = {w.version: w.seconds for w in outcome.watched if w.view.phase == Phase.LIVE}
    tally = outcome.tally
    return {
        "releases": [
            {"version": f"v{v.number}", "commit": v.commit, "phase": v.phase, "why": v.why} for v in outcome.history
        ],
        "requests": {"sent": tally.sent, "failed": tally.failed, "answered_by": tally.versions},
        "seconds": {
            "push_to_live": max(live.values(), default=None),
            **{f"push_to_end_{w.version}": w.seconds for w in outcome.watched},
        },
    }
