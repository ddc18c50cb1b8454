"""``make demo``: five things a team does with a model, on a real local stack, under constant requests.

Pushes the model service (live), a changed model (live), an image that crashes at start (failed), a tree with a private
key (rejected), and rolls back. The exit status is 0 only if all of that came so and no request failed.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from console.local.up.demo_report import DemoOutcome, Watched, faults, history_table, report
from console.local.up.demo_team import DemoError, Team
from console.local.up.laptop import Laptop
from console.local.up.load import Load, Tally
from console.local.up.standstill import STANDSTILL, Logs, Standstill
from esteira.core.status import Phase
from esteira.store import Store, View
from esteira.visible import visible

SERVICE = "heart"
LOOK = 0.2  # seconds between two looks at a release
INDENT = 13
STAMP = re.compile(r"^\[Container\] [\d/]+ [\d:]+ ")  # before CodeBuild's own lines
NO_CONTEXT = "Phase context status code:  Message:"


class Demo:
    """The story, told on ``console`` while it happens."""

    def __init__(self, laptop: Laptop, folder: Path, console: Console) -> None:
        self._laptop, self._console = laptop, console
        where = laptop.whereabouts
        self._team = Team(folder / SERVICE, where.remotes[SERVICE])
        self._store = Store(laptop.client("dynamodb"), laptop.table)
        self._logs = Logs(Path(where.logs))
        self._watched: list[Watched] = []

    def first_push(self) -> None:
        """v1 goes live."""
        view = self._step("1. git push: the heart model", "the model service")
        if view.phase != Phase.LIVE:
            raise DemoError(f"v1 is {view.phase}, and the rest of the demo needs a live model")

    def rest(self) -> None:
        """v2 goes live, v3 fails, v4 is rejected, v1 comes back."""
        self._team.regularise()
        self._step("2. git push: a changed model, under constant requests", "a stronger prior")
        self._team.forget_model()
        self._step("3. git push: an image that crashes at start", "forget the model")
        self._team.add_key()
        self._step("4. git push: a private key in the tree", "add the credentials")
        self._console.rule("5. esteira rollback --to v1 --reason …", align="left")
        answer = self._operate({"action": "rollback", "to": "v1", "reason": "the demo goes back"})
        if "refused" in answer:
            raise DemoError(f"the rollback was refused: {answer['refused']}")
        self._follow("v1", lambda view: view.phase == Phase.LIVE, "live again")

    def outcome(self, tally: Tally) -> DemoOutcome:
        """Everything that is known now."""
        history = sorted(self._store.views(SERVICE, 50), key=lambda view: view.number)
        releases = {view.number: self._store.release(SERVICE, view.number) for view in history}
        return DemoOutcome(self._watched, history, {n: r for n, r in releases.items() if r}, tally)

    def _step(self, title: str, message: str) -> View:
        self._console.rule(title, align="left")
        began = time.monotonic()
        version = f"v{len(self._watched) + 1}"
        self._team.push(message)
        view = self._follow(version, lambda v: v.phase == Phase.LIVE or Phase(v.phase).ended, "its end")
        self._watched.append(Watched(version, view, round(time.monotonic() - began, 2)))
        return view

    def _follow(self, version: str, done: Callable[[View], bool], wanted: str) -> View:
        """Print every phase of a release and the lines of its build until ``done``."""
        number, said, began, standstill = int(version[1:]), "", time.monotonic(), Standstill()
        while True:
            view = next((v for v in self._store.views(SERVICE, 10) if v.number == number), None)
            self._say_build()
            if view and view.phase != said:
                said = view.phase
                self._say(view, time.monotonic() - began)
            if view and done(view):
                return view
            if standstill.reached((view, self._logs.sizes())):
                what = f"it is {said}" if said else "there is no such release"
                raise DemoError(f"{version} did not reach {wanted}; {what}, and nothing changed for {STANDSTILL:.0f} s")
            time.sleep(LOOK)

    def _say(self, view: View, seconds: float) -> None:
        self._console.print(
            f"  {seconds:5.1f} s  v{view.number} [bold]{view.phase}[/]  {escape(visible(view.why))}",
            highlight=False,
            soft_wrap=True,
        )
        self._say_dim(list(view.detail), soft_wrap=True)

    def _say_build(self) -> None:
        lines = [STAMP.sub("", line).rstrip() for line in self._logs.build_lines()]
        wanted = [line for line in lines if line and line != NO_CONTEXT]
        self._say_dim(wanted, no_wrap=True, overflow="ellipsis")

    def _say_dim(self, lines: list[str], **more: Any) -> None:
        for line in lines:
            self._console.print(" " * INDENT + visible(line), style="dim", highlight=False, markup=False, **more)

    def _operate(self, request: dict[str, Any]) -> dict[str, Any]:
        full = {"service": SERVICE, "by": "demo", "request": f"demo-{time.time_ns()}", **request}
        answer = self._laptop.client("lambda").invoke(
            FunctionName=f"{self._laptop.whereabouts.stack}-operate", Payload=json.dumps(full)
        )
        payload: dict[str, Any] = json.loads(answer["Payload"].read())
        return payload


def told(laptop: Laptop, folder: Path, console: Console) -> DemoOutcome:
    """Tell the whole story on a running stack; its outcome. Raises DemoError."""
    page = laptop.whereabouts.pages[SERVICE]
    console.print(f"a local stack is up: AWS at {laptop.whereabouts.endpoint}, the model at {page}", soft_wrap=True)
    demo = Demo(laptop, folder, console)
    demo.first_push()
    with Load(page) as load:
        demo.rest()
        time.sleep(1)  # let the requests see v1 again
    return demo.outcome(load.tally)


def conclude(outcome: DemoOutcome, console: Console) -> int:
    """Print the outcome; the exit status."""
    console.print(history_table(outcome.history))
    tally = outcome.tally
    answered = ", ".join(f"{n} by {version}" for version, n in sorted(tally.versions.items()))
    console.print(f"{tally.sent} requests while releases came and went, {tally.failed} failed; answered: {answered}")
    found = faults(outcome)
    for fault in found:
        console.print(f"[red]not as promised: {escape(visible(fault))}[/]")
    if not found:
        console.print("[green]all as promised[/]; next: make test, or esteira local up and push to it yourself")
    return 1 if found else 0


@click.command()
@click.option(
    "--report",
    "report_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the outcome to this file, as JSON.",
)
def main(report_file: Path | None) -> None:
    """See a git push become a live model, and a bad one not."""
    console = Console(highlight=False)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="esteira-demo-") as name,
            Laptop(Path(name) / "state", sweep_every=10) as laptop,
        ):
            outcome = told(laptop, Path(name), console)
            if report_file is not None:
                report_file.write_text(json.dumps(report(outcome), indent=1) + "\n")
    except DemoError as error:
        console.print(f"[red]the demo broke: {escape(visible(str(error)))}[/]")
        sys.exit(1)
    sys.exit(conclude(outcome, console))


if __name__ == "__main__":
    main()
