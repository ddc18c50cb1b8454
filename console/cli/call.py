"""What every command shares: the options common to all, the controller they lead to, and words for what goes wrong.

``Shell`` is what a command touches of the outside; a test brings its own. Nothing a person can cause ends in a
traceback: it ends in a sentence on stderr, and an exit status that ``esteira --help`` explains.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from console.cli import completion
from console.read.remote import FAILED, REFUSED, UNDER_WAY, Controller, TroubleError, Where, explained, find

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from console.read.history import Progress
    from esteira.config import Service
    from esteira.store import Store

# How often the table is asked for what somebody waits for. Builds and deployments take minutes.
POLL_SECONDS = 2.0


@dataclass(frozen=True)
class Shell:
    """The outside of a command: the way to the controller, the clock (aware, UTC), and a way to wait (seconds)."""

    connect: Callable[[Where], Controller] = Controller
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Call:
    """One command that was typed."""

    controller: Controller
    shell: Shell
    wanted: str | None  # the service that was named
    json: bool
    complaints: set[str] = field(default_factory=set)

    @cached_property
    def out(self) -> Console:
        """Where answers go."""
        return console(sys.stdout)

    @cached_property
    def err(self) -> Console:
        """Where everything else goes."""
        return console(sys.stderr)

    @property
    def store(self) -> Store:
        """The table."""
        return self.controller.store

    @property
    def stack(self) -> str:
        """The controller's stack."""
        return self.controller.where.stack

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        return self.shell.now()

    def services(self) -> tuple[Service, ...]:
        """Return the service that was named, or all that are registered. Raises TroubleError where there is none."""
        found, faults = self.controller.services()
        for fault in faults:
            self.complain(fault)
        chosen = tuple(s for s in found if self.wanted in (None, s.name))
        if chosen:
            return chosen
        if self.wanted and found:
            known = ", ".join(s.name for s in found)
            raise TroubleError(f"no service is called {self.wanted!r}. Next: --service with one of: {known}", REFUSED)
        raise TroubleError(
            f"no service is registered with the stack {self.stack} at {self.controller.where.named}. "
            f"Next: esteira add-service NAME, or name another stack: --stack NAME; esteira doctor tells what is there"
        )

    def service(self) -> Service:
        """Return the one service that is meant. Raises TroubleError where there are several and none was named."""
        found = self.services()
        if len(found) > 1:
            known = ", ".join(s.name for s in found)
            raise TroubleError(f"there are several services. Next: --service with one of: {known}", REFUSED)
        return found[0]

    def tell(self, value: Any, render: Callable[[Console], None]) -> None:
        """Answer: ``value`` as one JSON document, or what ``render`` prints."""
        from console.cli.render import document

        if self.json:
            click.echo(document(value))
        else:
            render(self.out)

    def tell_one(self, value: Any, render: Callable[[Console], None]) -> None:
        """Answer with one of many things, as it comes: ``value`` as one line of JSON, or what ``render`` prints."""
        from console.cli.render import document

        if self.json:
            click.echo(document(value, indent=None))
        else:
            render(self.out)

    def complain(self, sentence: str) -> None:
        """Say on stderr, once, what is wrong."""
        from rich.text import Text

        if sentence not in self.complaints:
            self.complaints.add(sentence)
            self.err.print(Text(sentence, style="red"))

    def follow(self, look: Callable[[], Progress], timeout: timedelta) -> Progress:
        """Look until what is waited for is over; show meanwhile where it stands. Raises TroubleError at the timeout."""
        end = self.now() + timeout
        with self.spinner() as say:
            while True:
                told = look()
                say(f"{told.line.release} is {told.line.phase}: {told.line.why}")
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
    def progress(self) -> Iterator[Callable[[Text], None]]:
        """Yield what shows a line below the answers for as long as they come: on a terminal, where nobody parses it."""
        if self.json or not self.out.is_terminal:
            yield lambda _: None
            return
        with self.out.status("") as below:
            yield below.update

    @contextmanager
    def spinner(self) -> Iterator[Callable[[str], None]]:
        """Yield what says how far it is: beside a spinner on a terminal, else a line for each change, on stderr."""
        from rich.text import Text

        last = [""]
        if self.err.is_terminal:
            with self.err.status("") as spinner:
                yield lambda text: spinner.update(Text(text))
            return

        def say(text: str) -> None:
            if text != last[0]:
                last[0] = text
                self.err.print(Text(text))

        yield say


def console(file: Any) -> Console:
    """Return a console on ``file`` that reads no markup in what it prints, and leaves long lines to the terminal."""
    from rich.console import Console

    return Console(file=file, markup=False, highlight=False, emoji=False, soft_wrap=True)


def command(body: Callable[..., None]) -> Callable[..., None]:
    """Give a command its ``Call`` as first argument, in place of the options common to all; put errors into words."""

    @click.option(
        "--service",
        envvar="ESTEIRA_SERVICE",
        shell_complete=completion.services,
        help="Which service. Default: the only one there is.",
    )
    @click.option("--stack", envvar="ESTEIRA_STACK", help="The controller's stack. Default: esteira.")
    @click.option(
        "--endpoint",
        "endpoints",
        metavar="[lambda=]URL",
        multiple=True,
        callback=_urls,
        help="What to speak to in place of AWS; lambda=URL: what runs the functions, if that is another (sam local "
        "start-lambda). Default: $AWS_ENDPOINT_URL, $AWS_ENDPOINT_URL_LAMBDA.",
    )
    @click.option(
        "--state",
        envvar="ESTEIRA_STATE",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(".esteira"),
        show_default=True,
        help="Folder of the local stack; while that runs, it is spoken to.",
    )
    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, and nothing else.")
    @click.pass_context
    def typed(
        context: click.Context,
        /,
        *,
        service: str | None,
        stack: str | None,
        endpoints: tuple[str | None, str | None],
        state: Path,
        as_json: bool,
        **rest: Any,
    ) -> None:
        shell = context.find_object(Shell) or Shell()
        try:
            where = find(endpoints[0], stack, state, endpoints[1])
        except TroubleError as trouble:
            raise SystemExit(_told(trouble, as_json)) from None
        try:
            body(Call(shell.connect(where), shell, service, as_json), **rest)
        except TroubleError as trouble:
            raise SystemExit(_told(trouble, as_json)) from None
        except Exception as error:
            sentence = explained(error, where)
            if sentence is None:
                raise
            raise SystemExit(_told(TroubleError(sentence), as_json)) from None

    functools.update_wrapper(typed, body)
    return typed


def _urls(context: click.Context, option: click.Parameter, words: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Return what the words call the endpoint of everything, and that of the functions. Raises BadParameter."""
    told: dict[bool, str] = {}
    for word in words:
        url = word.removeprefix("lambda=")
        if not url.startswith(("http://", "https://")):
            raise click.BadParameter(f"{word!r} is neither URL nor lambda=URL", context, option)
        told[url != word] = url
    return told.get(False), told.get(True)


def _told(trouble: TroubleError, as_json: bool) -> int:
    """Say what went wrong, on stderr, and in the JSON document if one is wanted; return the exit status."""
    from rich.text import Text

    console(sys.stderr).print(Text(str(trouble), style="red"))
    if as_json:
        from console.cli.render import document

        key = {FAILED: "error", REFUSED: "refused", UNDER_WAY: "under_way"}[trouble.status]
        click.echo(document({key: str(trouble)}, indent=None))
    return trouble.status
