"""Lines for a person: in colour on a terminal, plain where they are piped.

rich is imported only where something is coloured or drawn, since importing it takes a tenth of a second.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, TextIO

from esteira.visible import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# A piece of a line: text, or text and its style.
Piece = str | tuple[str, str]
Line = Sequence[Piece]
# From this width on a table is drawn; below it the last column runs on into the next line.
WIDE = 100


class Out:
    """A stream that lines are printed on. ``terminal`` and ``width`` are the stream's own unless they are given."""

    def __init__(self, file: TextIO, *, terminal: bool | None = None, width: int | None = None) -> None:
        self._file, self._width = file, width
        self.is_terminal = _is_terminal(file) if terminal is None else terminal

    @property
    def is_wide(self) -> bool:
        """Whether a table is drawn."""
        return self.is_terminal and self._console.width >= WIDE

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        return Console(
            file=self._file, markup=False, highlight=False, emoji=False, soft_wrap=True,
            force_terminal=self.is_terminal, width=self._width,
        )  # fmt: skip

    def print(self, *line: Piece, hang: int = 2) -> None:
        """Print one line. On a terminal it is wrapped between words, and goes on below its column ``hang``; a word that
        is longer than the line stays whole, so that it can be copied."""
        if self.is_terminal:
            for part in _wrapped(_text(line), hang, self._console.width):
                self._console.print(part)
        else:
            self._file.write(plain(line) + "\n")
            self._file.flush()

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[Line]]) -> None:
        """Print a table: drawn on a wide terminal, in aligned columns elsewhere; a person is spared empty ones."""
        if self.is_terminal:
            used = [n for n in range(len(heads)) if any(plain(row[n]) != "-" for row in rows)]
            heads, rows = [heads[n] for n in used], [[row[n] for n in used] for row in rows]
        if self.is_wide:
            self._draw(heads, rows)
            return
        lines = [[(head,) for head in heads], *rows]
        widths = [max(len(plain(line[n])) for line in lines) for n in range(len(heads) - 1)]
        before = sum(width + 2 for width in widths)
        for line in lines:
            cells = [(*cell, " " * (w - len(plain(cell)) + 2)) for cell, w in zip(line, widths, strict=False)]
            self.print(*(piece for cell in cells for piece in cell), *line[-1], hang=before)

    @contextmanager
    def below(self) -> Iterator[Callable[[Line], None]]:
        """Show one line below the others while this lasts; only for a terminal."""
        with self._console.status("") as status:
            yield lambda line: status.update(_text(line))

    def _draw(self, heads: Sequence[str], rows: Sequence[Sequence[Line]]) -> None:
        """Draw a table, the last column as wide as can be."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
        for n, head in enumerate(heads):
            last = n == len(heads) - 1
            table.add_column(head, no_wrap=not last, overflow="fold", min_width=32 if last else None)
        for row in rows:
            table.add_row(*map(_text, row))
        self._console.print(table, soft_wrap=False)


def plain(line: Line) -> str:
    """A line's text without its styles, as it may be printed."""
    return visible("".join(piece if isinstance(piece, str) else piece[0] for piece in line))


def _text(line: Line) -> Text:
    from rich.text import Text

    pieces = ((piece, "") if isinstance(piece, str) else piece for piece in line)
    return Text.assemble(*((visible(text), style) for text, style in pieces))


def _wrapped(text: Text, hang: int, width: int) -> list[Text]:
    """The text in lines no wider than ``width``, each but the first indented to the column ``hang``."""
    from rich.cells import cell_len
    from rich.text import Text

    if text.cell_len <= width:
        return [text]
    hang = hang if hang < width - 30 else 4  # nothing can be read in a column that is narrower
    offsets, begin, room = list[int](), 0, width
    for word in re.finditer(r"\S+", text.plain):
        if word.start() > begin and cell_len(text.plain[begin : word.end()]) > room:
            begin, room = word.start(), width - hang
            offsets.append(begin)
    lines = list(text.divide(offsets))
    for line in lines[:-1]:
        line.rstrip()
    return [lines[0], *(Text.assemble(" " * hang, line) for line in lines[1:])]


def _is_terminal(file: TextIO) -> bool:
    return bool(os.environ.get("FORCE_COLOR")) or file.isatty()
