"""Files that only the user of this machine who wrote them can read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` for its owner alone, in one step: whoever had the file open keeps the old one."""
    number, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
    with os.fdopen(number, "w") as file:
        file.write(text)
    Path(name).replace(path)
