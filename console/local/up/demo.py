"""``make demo``: five things a team does with a model, on a real local stack, under constant requests.

Pushes the model service (live), a changed model (live), one that crashes at start (failed), one with a private key in
it (rejected), and rolls back. Exit status 0 only if all of that is so and no request failed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from console.local.paths import MODEL_SERVICE
from console.local.up.laptop import Laptop
from console.local.up.load import Load, Tally
from esteira.core.facts import BuildEnded, DeploymentEnded
from esteira.core.state import Release
from esteira.core.status import Phase
from esteira.store import Store, View

SERVICE = "heart"
PATIENCE = 300.0  # seconds for any one step; they take some ten
# Never a key: the demo makes its own pretended one.
PRETENDED_KEY = "-----BEGIN RSA PRIVATE KEY-----\nnot one, but a push should not get far enough to find out\n"


class DemoError(Exception):
    """The demo did not see what it was to see."""


@dataclass
class Watched:
    """One push, and how long it took from `git push` to its end, in seconds."""

    version: str
    view: View
    seconds: float


class Team:
    """A data-science team of one: a clone, commits, pushes."""

    def __init__(self, folder: Path, remote: str) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", "models")
        shutil.copytree(MODEL_SERVICE, folder, ignore=ignored)
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("remote", "add", "esteira", remote)

    def git(self, *words: str) -> None:
        """Run git here."""
        names = ("-c", "user.name=Demo", "-c", "user.email=demo@example.com", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *names, *words], cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DemoError(f"git {' '.join(words)} failed: {done.stderr.strip()}")

    def change(self, path: str, old: str, new: str) -> None:
        """Replace text in a file of the clone."""
        text = (self.folder / path).read_text()
        if old not in text:
            raise DemoError(
                f"{path} does not hold {old!r}, which the demo changes. Next: correct console/local/up/demo.py"
            )
        (self.folder / path).write_text(text.replace(old, new, 1))

    def push(self, message: str) -> None:
        """Commit everything and push it."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", "esteira", "main")


class Demo:
    """The story, told on ``console`` while it happens."""

    def __init__(self, laptop: Laptop, folder: Path, console: Console) -> None:
        self._laptop, self._console = laptop, console
        where = laptop.whereabouts
        self._team = Team(folder / SERVICE, where.remotes[SERVICE])
        self._store = Store(laptop.client("dynamodb"), laptop.table)
        self.watched: list[Watched] = []

    def first_push(self) -> None:
        """v1 goes live."""
        self._step("1. git push: the heart model", "the model service")

    def rest(self) -> None:
        """v2 goes live, v3 fails, v4 is rejected, v1 comes back."""
        self._team.change("training/candidates.py", "REGULARISATION = 1.0", "REGULARISATION = 0.3")
        self._step("2. git push: a changed model, under constant requests", "a stronger prior")
        line = "COPY models/ models/\n"
        self._team.change("Dockerfile", line, "")
        self._step("3. git push: an image that crashes at start", "forget the model")
        self._team.change("Dockerfile", "COPY serving/ serving/\n", f"COPY serving/ serving/\n{line}")
        key = self._team.folder / "credentials" / "mlops.pem"
        key.parent.mkdir()
        key.write_text(PRETENDED_KEY)
        self._step("4. git push: a private key in the tree", "add the credentials")
        self._console.rule("5. esteira rollback --to v1", align="left")
        answer = self._operate({"action": "rollback", "to": "v1", "reason": "the demo goes back"})
        if "refused" in answer:
            raise DemoError(f"the rollback was refused: {answer['refused']}")
        self._follow("v1", lambda v: v.phase == Phase.LIVE, "live again")

    def history(self) -> list[View]:
        """Return all releases, oldest first."""
        return sorted(self._store.views(SERVICE, 50), key=lambda v: v.number)

    def release(self, number: int) -> Release:
        """Return one release with its facts."""
        release = self._store.release(SERVICE, number)
        if release is None:
            raise DemoError(f"v{number} is not in the table")
        return release

    def _step(self, title: str, message: str) -> None:
        self._console.rule(title, align="left")
        began = time.monotonic()
        version = f"v{len(self.watched) + 1}"
        self._team.push(message)
        view = self._follow(version, lambda v: v.phase == Phase.LIVE or Phase(v.phase).ended, "its end")
        self.watched.append(Watched(version, view, round(time.monotonic() - began, 2)))

    def _follow(self, version: str, done: Callable[[View], bool], wanted: str) -> View:
        """Print every phase of a release until ``done``."""
        number, said, until = int(version[1:]), "", time.monotonic() + PATIENCE
        began = time.monotonic()
        with self._console.status(f"{version} …"):
            while time.monotonic() < until:
                view = next((v for v in self._store.views(SERVICE, 10) if v.number == number), None)
                if view and view.phase != said:
                    said = view.phase
                    self._say(view, time.monotonic() - began)
                if view and done(view):
                    return view
                time.sleep(0.1)
        raise DemoError(f"{version} did not reach {wanted} within {PATIENCE:.0f} s; it is {said or 'not there'}")

    def _say(self, view: View, seconds: float) -> None:
        head, *tail = view.why.splitlines() or [""]
        self._console.print(
            f"  {seconds:5.1f} s  v{view.number} [bold]{view.phase}[/]  {head}", highlight=False, soft_wrap=True
        )
        for line in tail:
            self._console.print(f"             {line}", style="dim", highlight=False, markup=False, soft_wrap=True)

    def _operate(self, request: dict[str, Any]) -> dict[str, Any]:
        full = {"service": SERVICE, "by": "demo", "request": f"demo-{time.time_ns()}", **request}
        answer = self._laptop.client("lambda").invoke(
            FunctionName=f"{self._laptop.whereabouts.stack}-operate", Payload=json.dumps(full)
        )
        payload: dict[str, Any] = json.loads(answer["Payload"].read())
        return payload


def faults(demo: Demo, tally: Tally) -> list[str]:
    """Return what was not as the demo promises; nothing if all was."""
    wanted = {1: Phase.LIVE, 2: Phase.ROLLED_BACK, 3: Phase.FAILED, 4: Phase.REJECTED}
    views = {v.number: v for v in demo.history()}
    found = [
        f"v{n} is {views[n].phase if n in views else 'missing'}, not {phase}"
        for n, phase in wanted.items()
        if n not in views or views[n].phase != phase
    ]
    if [w.view.phase for w in demo.watched[:2]] != [Phase.LIVE, Phase.LIVE]:
        found.append("v1 and v2 did not both go live")
    if set(views) - set(wanted):
        found.append(f"there are releases nobody pushed: {sorted(set(views) - set(wanted))}")
    if 3 in views and "model-card.json" not in views[3].why:
        found.append("v3's reason does not hold its log, which names the missing model-card.json")
    if 4 in views and "credentials/mlops.pem" not in views[4].why:
        found.append("v4's reason does not name credentials/mlops.pem")
    if any(demo.release(4).all(BuildEnded)):
        found.append("v4 was built")
    if len(list(demo.release(1).all(DeploymentEnded))) != 2:  # by its push, and by the rollback
        found.append("v1 was not deployed twice")
    if tally.failed:
        found.append(f"{tally.failed} of {tally.sent} requests failed, the first: {tally.errors[0]}")
    if not {"v1", "v2"} <= set(tally.versions):
        found.append(f"the requests were not answered by both v1 and v2, but by {sorted(tally.versions)}")
    return found


def table(demo: Demo) -> Table:
    """Return the history as a table."""
    rows = Table("version", "commit", "phase", "why", title="esteira releases", title_justify="left")
    for view in demo.history():
        rows.add_row(f"v{view.number}", view.commit[:8], view.phase, view.why.splitlines()[0])
    return rows


def report(demo: Demo, tally: Tally) -> dict[str, Any]:
    """Return what ``--report`` writes; times are in seconds, from `git push` on."""
    live = {w.version: w.seconds for w in demo.watched if w.view.phase == Phase.LIVE}
    return {
        "releases": [
            {"version": f"v{v.number}", "commit": v.commit, "phase": v.phase, "why": v.why} for v in demo.history()
        ],
        "requests": {"sent": tally.sent, "failed": tally.failed, "answered_by": tally.versions},
        "seconds": {
            "push_to_live": max(live.values(), default=None),
            **{f"push_to_end_{w.version}": w.seconds for w in demo.watched},
        },
    }


@click.command()
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what came of it here, as JSON.",
)
def main(report_file: Path | None) -> None:
    """See a git push become a live model, and a bad one not."""
    console = Console(highlight=False)
    with (
        tempfile.TemporaryDirectory(prefix="esteira-demo-") as name,
        Laptop(Path(name) / "state", sweep_every=10) as laptop,
    ):
        where = laptop.whereabouts
        console.print(f"a local stack is up: AWS at {where.endpoint}, the model at {where.pages[SERVICE]}")
        demo = Demo(laptop, Path(name), console)
        try:
            demo.first_push()
            with Load(where.pages[SERVICE]) as load:
                demo.rest()
                time.sleep(1)  # let the requests see v1 again
        except DemoError as error:
            console.print(f"[red]the demo broke: {error}[/]")
            sys.exit(1)
        console.print(table(demo))
        tally = load.tally
        answered = ", ".join(f"{n} by {version}" for version, n in sorted(tally.versions.items()))
        console.print(
            f"{tally.sent} requests while releases came and went, {tally.failed} failed; answered: {answered}"
        )
        found = faults(demo, tally)
        if report_file is not None:
            report_file.write_text(json.dumps(report(demo, tally), indent=1) + "\n")
    for fault in found:
        console.print(f"[red]not as promised: {fault}[/]")
    if found:
        sys.exit(1)
    console.print("[green]all as promised[/]; next: make test, or esteira local up and push to it yourself")


if __name__ == "__main__":
    main()
