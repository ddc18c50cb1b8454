"""YAML that people write, as nodes that know their lines: for readers that name the line of a mistake. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from yaml import Node


class NotYamlError(ValueError):
    """A text is no YAML: what is wrong, and in which line, counted from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line, self.problem = line, problem


class Written(NamedTuple):
    """A value as it stands in a document."""

    line: int
    text: str


def composed(text: str) -> Any:
    """The document's node, None where it is empty. Raises NotYamlError."""
    import yaml  # takes 12 ms, and a function starts without it

    try:
        return yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise NotYamlError(mark.line + 1 if mark else 1, problem) from error


def line_of(node: Node) -> int:
    """The line that a node begins in, counted from 1."""
    return int(node.start_mark.line) + 1


def as_written(node: Any, line: int) -> Written:
    """A node's text at that line; of a list or a mapping only what it is."""
    return Written(line, node.value if node.id == "scalar" else f"a {node.id}")
