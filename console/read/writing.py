"""Files that are written whole or not at all: whoever had one open keeps the old one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` for its owner alone."""
    number, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    with os.fdopen(number, "w") as file:
        file.write(text)
    Path(name).replace(path)


def write_whole(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, by way of a draft beside it. One process at a time may."""
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
