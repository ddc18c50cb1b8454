"""What every command shares: the options common to all, the controller they lead to, and words for what goes wrong.

Nothing a person can cause ends in a traceback. It ends in a sentence on stderr, and in an exit status that
``esteira --help`` explains.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from console.cli.marks import stands
from console.cli.target_options import with_options
from console.read.out import Line, Out, plain
from console.read.printable import document
from console.read.session import Session, Shell
from console.read.target import Named, find
from console.read.where import FAILED, REFUSED, UNDER_WAY, TroubleError, Where

if TYPE_CHECKING:
    from console.read.views import Progress
    from esteira.config import Service

# How often the table is asked for what somebody waits for. Builds and deployments take minutes.
POLL_SECONDS = 2.0
# The options that name the controller.
_PLACE = ("state", "aws", "profile", "region", "stack", "endpoints")


@dataclass(frozen=True)
class TypedCommand(Session):
    """One command that was typed: its session, and where its answers go."""

    json: bool
    complaints: set[str] = field(default_factory=set)

    @cached_property
    def out(self) -> Out:
        """Where answers go."""
        return Out(sys.stdout)

    @cached_property
    def err(self) -> Out:
        """Where everything else goes."""
        return Out(sys.stderr)

    def tell(self, value: Any, render: Callable[[Out], None], indent: int | None = 2) -> None:
        """Answer with ``value`` as a JSON document, or with what ``render`` prints."""
        if self.json:
            click.echo(document(value, indent))
        else:
            render(self.out)

    def complain(self, sentence: str) -> None:
        """Say once, on stderr, what is wrong."""
        if sentence not in self.complaints:
            self.complaints.add(sentence)
            self.err.print((sentence, "red"))

    def name_target(self, target: str) -> None:
        """Say, before anything is changed, where."""
        self.err.print((f"on {target}", "dim"))

    def follow(self, look: Callable[[], Progress], timeout: timedelta) -> Progress:
        """Look until what is waited for is over, and show meanwhile how far it is. Raises TroubleError at the
        timeout."""
        end = self.now() + timeout
        with self.spinner() as say:
            while True:
                told = look()
                say(plain([told.line.release, *stands(told.line.phase), f": {told.line.why}"]))
                if told.over:
                    return told
                if self.now() >= end:
                    raise TroubleError(
                        f"{told.line.release} is still {told.line.phase} after {timeout}: {told.line.why}. "
                        f"Next: esteira why {told.line.release}",
                        UNDER_WAY,
                    )
                self.shell.sleep(POLL_SECONDS)

    @contextmanager
    def progress(self) -> Iterator[Callable[[Line], None]]:
        """What shows a line below the answers, on a terminal only."""
        if self.json or not self.out.is_terminal:
            yield lambda _: None
            return
        with self.out.below() as show:
            yield show

    @contextmanager
    def spinner(self) -> Iterator[Callable[[str], None]]:
        """What says how far it is: beside a spinner on a terminal, else a line for each change, on stderr."""
        last = [""]
        if self.err.is_terminal:
            with self.err.below() as show:
                yield lambda text: show([text])
            return

        def say(text: str) -> None:
            if text != last[0]:
                last[0] = text
                self.err.print(text)

        yield say


def stage_of(service: Service, name: str | None) -> str:
    """The stage that is meant: the one of that name, or the last. Raises TroubleError where there is none."""
    known = [stage.name for stage in service.stages]
    if name is not None and name not in known:
        text = f"{service.name} has no stage {name!r}. Next: --stage with one of: {', '.join(known)}"
        raise TroubleError(text, REFUSED)
    return service.last.name if name is None else name


def command(body: Callable[..., None]) -> Callable[..., None]:
    """A command whose first argument is its ``TypedCommand``, in place of the options common to all."""

    @click.pass_context
    def typed(
        context: click.Context,
        /,
        *,
        service: str | None,
        as_json: bool,
        **rest: Any,
    ) -> None:
        shell = context.find_object(Shell) or Shell()
        given = {name: rest.pop(name) for name in _PLACE}
        try:
            where = find(Named.by(given))
        except TroubleError as trouble:
            raise SystemExit(_told(trouble, as_json)) from None
        _run(lambda: body(TypedCommand(shell.connect(where), shell, service, as_json), **rest), where, as_json)

    functools.update_wrapper(typed, body)
    return with_options(typed)


def _run(body: Callable[[], None], where: Where, as_json: bool) -> None:
    """Run a command; put into words what a person can cause."""
    try:
        body()
    except TroubleError as trouble:
        raise SystemExit(_told(trouble, as_json)) from None
    except Exception as error:
        from console.read.trouble import explained

        sentence = explained(error, where)
        if sentence is None:
            raise
        raise SystemExit(_told(TroubleError(sentence), as_json)) from None


def _told(trouble: TroubleError, as_json: bool) -> int:
    """Say what went wrong, on stderr and in the JSON document if one is wanted. The exit status."""
    Out(sys.stderr).print((str(trouble), "red"))
    if as_json:
        key = {FAILED: "error", REFUSED: "refused", UNDER_WAY: "under_way"}[trouble.status]
        click.echo(document({key: str(trouble)}, indent=None))
    return trouble.status
