"""The readers of ``tests.unit.readers`` under atheris, which chooses its documents by the branches that they reach.

    pip install atheris
    python -m tests.unit.guided appspec -max_total_time=60 -timeout=2 -rss_limit_mb=1024

It ends with 77 and keeps the document where a reader raises what is no refusal, takes two seconds, or takes the memory.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import atheris  # type: ignore[import-not-found,unused-ignore]  # no dependency of the project

from tests.unit.readers import READERS, examples

OURS = ["appspec", "aws_events", "console", "esteira", "golden", "guard", "notify", "windows"]


def main(name: str, options: list[str]) -> None:
    """Read documents until an option ends it."""
    reader = READERS[name]
    with atheris.instrument_imports(include=OURS):
        read, refusals = reader.make()

    def once(document: bytes) -> None:
        with suppress(*refusals, UnicodeDecodeError, json.JSONDecodeError):
            read(document)

    with tempfile.TemporaryDirectory() as folder:
        for number, document in enumerate(examples(name)):
            (Path(folder) / str(number)).write_bytes(document)
        fuzz: Any = atheris
        fuzz.Setup([sys.argv[0], *options, f"-max_len={reader.largest}", folder], once)
        fuzz.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
