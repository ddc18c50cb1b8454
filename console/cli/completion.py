"""What a shell may complete: the names of services and stages, and the labels of releases, asked of where they stand.

Whoever presses the tab key waits for it, so the answer comes soon or not at all, and whatever is wrong says nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

if TYPE_CHECKING:
    from console.read.remote import Controller
    from esteira.config import Service

SHELLS = ("bash", "zsh", "fish")
SECONDS = 1.5
# So many of the newest releases are offered.
OFFERED = 30

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def script(program: click.Command, name: str, shell: str) -> str:
    """What a shell must run once so that it completes ``name``, which runs ``program``."""
    kind = get_completion_class(shell)
    if kind is None:
        raise LookupError(f"no shell is called {shell}; there are: {', '.join(SHELLS)}")
    return kind(program, {}, name, f"_{name.upper()}_COMPLETE").source()


def services(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the registered services."""
    return _soon(lambda: [CompletionItem(s.name) for s in _controller(context).services()[0]], incomplete)


def stages(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the stages of the service that is meant."""
    return _soon(lambda: [CompletionItem(s.name) for s in _service(context).stages], incomplete)


def releases(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the newest releases of the service that is meant, newest first, each with its phase."""

    def ask() -> list[CompletionItem]:
        views = _controller(context).store.views(_service(context).name, OFFERED)
        return [CompletionItem(f"v{view.number}", help=view.phase) for view in views]

    return _soon(ask, incomplete)


def _soon(ask: Callable[[], Iterable[CompletionItem]], incomplete: str) -> list[CompletionItem]:
    found: list[CompletionItem] = []

    def work() -> None:
        with suppress(Exception):
            found.extend(ask())

    thread = Thread(target=work, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return [item for item in tuple(found) if str(item.value).startswith(incomplete)]


def _service(context: click.Context) -> Service:
    wanted = context.params.get("service") or os.environ.get("ESTEIRA_SERVICE")
    [service] = [s for s in _controller(context).services()[0] if wanted in (None, s.name)]
    return service


def _controller(context: click.Context) -> Controller:
    from console.read.session import Shell
    from console.read.target import Named, find

    shell = context.find_object(Shell) or Shell()
    return shell.connect(find(Named.by(context.params)))
