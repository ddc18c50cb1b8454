"""The one place that text from outside passes before a person sees it: logs of containers, names, reasons, messages.

A terminal obeys control characters; others turn the reading direction of a line, or cannot be seen at all. They are
written by their number instead, in a form that is valid inside a JSON string too.
"""

from __future__ import annotations

KEPT = (
    "\t\n\u00a0\u3000"  # not printable to Python, and harmless: line ends, tabs, blanks that do not break or are wide
)


def visible(text: str) -> str:
    """The text with what cannot be seen written out; line ends and tabs stay, CRLF is a line end."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in KEPT else _number(c) for c in text.replace("\r\n", "\n"))


def first_invisible(text: str) -> str:
    """The first character of a single line that cannot be seen, by its number; "" if there is none."""
    return next((_number(c) for c in text if not c.isprintable() and c not in KEPT[2:]), "")


def _number(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))
