"""A running build's lines, printed as they come while its release is followed."""

from __future__ import annotations

from console.cli.call import TypedCommand
from console.cli.marks import log
from console.read.build_log import read_log
from console.read.log_text import telling
from console.read.trouble import explained
from console.read.views import Account


class BuildLines:
    """What was printed of the log of the release's newest build. An operator without the right to read it sees none."""

    def __init__(self, call: TypedCommand) -> None:
        self._call = call
        self._build, self._token = "", ""
        self._readable = not call.json

    def print_new(self, told: Account) -> None:
        """Print what its log has besides, without CodeBuild's steps that went well;
        nothing of a build that had ended when it was looked at first."""
        last = told.builds[-1] if told.builds else None
        if not self._readable or last is None or (last.id != self._build and last.status != "IN_PROGRESS"):
            return
        token = self._token if last.id == self._build else ""
        try:
            page = read_log(self._call.controller.client, last.id, token)
        except Exception as error:
            if explained(error, self._call.controller.where) is None:
                raise
            self._readable = False
            return
        log(self._call.out, telling(line.says for line in page.lines))
        self._build, self._token = last.id, page.token
