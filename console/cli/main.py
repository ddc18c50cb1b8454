"""``esteira``: the operator's command line.

Reading commands read the table. A command that changes something sends one request to the function ``operate``, which
records it as a fact or refuses it with a sentence. Nothing here decides anything. A command's module is imported when
the command is used, so that each one starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

HELP = """What is live, why, and since when; and the commands to change it.

\b
Exit status:
  0  done; of --wait and tail: it is live on the last stage
  1  it failed: AWS or a function gave an error, or what was waited for or followed did not go live; or doctor found
     something
  2  refused, or not understood; nothing was changed
  3  --wait reached its --timeout, or tail did; it is still under way

\b
Every command but completion takes --json: one document on stdout, of tail one line for each change.
"""


class Elsewhere(click.Command):
    """A command or group that is imported when it is used."""

    def __init__(self, name: str, module: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self._module = module

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Let the real one take over."""
        try:
            group: click.Command = getattr(import_module(self._module), self.name or "")
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"esteira {self.name} needs the package {error.name}, which is not installed. "
                f"Next: pipx reinstall esteira, or make setup in a checkout"
            ) from None
        return group.make_context(info_name, args, parent, **extra)


# By module, the commands it holds; a name's dash is an underscore there unless another name stands beside it.
_MODULES = {
    "read_commands": ("status", "releases", "show", "why", "tail", "windows"),
    "init_command": ("init",),
    "look_commands": ("doctor", "dora", "ui", "replay", "completion"),
    "operate_commands": (
        *("rollback", "redeploy", "hold", "resume", "approve", "reject"),
        *("promote", "bypass", "retry", "abort", "quarantine"),
    ),
    "service_commands": ("add-service", "remove-service", "remains"),
    "log_commands": ("logs",),
    "host_commands": ("hosts",),
    "secret_commands": ("secret",),
    "policy_commands": ("policy",),
    "use_commands": ("use",),
    "record_commands": ("receipt", "replay-decision", "backtest"),
}
_NAMED = {"completion": "completion_script", "remains": "what_remains"}
LOCAL = Elsewhere("local", "console.local.up.up_commands", "The AWS on your laptop: no account, no Docker.")
PROVE = Elsewhere("prove", "console.prove.command", "Prove in a real account what only one can tell, and clean up.")
ELSEWHERE = {command.name: command for command in (LOCAL, PROVE)}


class Commands(click.Group):
    """The commands by their names, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the same in every context
        """All names, in order."""
        return sorted([*(name or "" for name in ELSEWHERE), *(name for names in _MODULES.values() for name in names)])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, None if there is none."""
        if cmd_name in ELSEWHERE:
            return ELSEWHERE[cmd_name]
        module = next((module for module, names in _MODULES.items() if cmd_name in names), None)
        if module is None:
            return None
        attribute = _NAMED.get(cmd_name, cmd_name.replace("-", "_"))
        found: click.Command = getattr(import_module(f"console.cli.{module}"), attribute)
        return found


@click.group(cls=Commands, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="esteira")
def main() -> None:
    """Run one command."""


if __name__ == "__main__":
    main()
