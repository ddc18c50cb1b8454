"""A release that is followed, printed as it goes: what happens to it, and the lines of its running build."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from console.cli.build_lines import BuildLines
from console.cli.call import TypedCommand
from console.cli.render_release import change as print_change
from console.read.tail import ReleaseChange
from console.read.views import Account


class Followed:
    """What was printed of a release. A log that two sentences have is printed below the first."""

    def __init__(self, call: TypedCommand) -> None:
        self._call, self._build = call, BuildLines(call)
        self._log: tuple[str, ...] = ()

    def print(self, told: Account, changes: Iterable[ReleaseChange]) -> None:
        """Print the changes, and what the build wrote: above them once it has ended, as it was before."""
        runs = bool(told.builds) and told.builds[-1].status == "IN_PROGRESS"
        if not runs:
            self._build.print_new(told)
        for one in changes:
            shown = one if self._call.json or one.log != self._log else replace(one, log=())
            self._log = one.log or self._log
            self._call.tell(shown, lambda out, shown=shown: print_change(out, shown), None)  # type: ignore[misc]
        if runs:
            self._build.print_new(told)
