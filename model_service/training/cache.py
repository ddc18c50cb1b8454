"""The result of a training, kept in a cache folder under a hash of everything the result depends on.

The hash covers the data, model.toml, the training code, Python and every installed package. A change outside of that,
to the Dockerfile or to the page, finds the same hash, so the build takes the files from the cache instead of training
again. An entry is one zip file, which detects damage by its checksums; a damaged entry counts as missing.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path
from zipfile import BadZipFile, ZipFile

HERE = Path(__file__).parent.parent
# The code whose changes can change the result. Training imports these three modules of the service.
CODE = ("train.py", "training/**/*.py", "serving/card.py", "serving/model.py", "serving/text.py")


def key(data: Path, settings: Path, folder: Path = HERE) -> str:
    """The hash of everything the result depends on: two files, the code in ``folder``, Python and its packages."""
    code = [path for pattern in CODE for path in sorted(folder.glob(pattern))]
    digest = hashlib.sha256(repr((sys.version, platform.machine(), packages())).encode())
    for name, path in [("data", data), ("settings", settings), *((str(p.relative_to(folder)), p) for p in code)]:
        digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def packages() -> list[str]:
    """Every installed package with its version, as its folder of metadata is named: ``numpy-2.5.0.dist-info``."""
    return sorted({found.name for path in sys.path for found in Path(path).glob("*.dist-info")})


def keep(cache: Path, name: str, files: dict[str, bytes]) -> None:
    """Write an entry. Another build that reads at the same time finds the whole entry or no entry."""
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = cache / f"{name}.{os.getpid()}"
    with ZipFile(unfinished, "w") as entry:
        for file, content in files.items():
            entry.writestr(file, content)
    unfinished.replace(cache / f"{name}.zip")


def kept(cache: Path, name: str) -> dict[str, bytes] | None:
    """The files of an entry; None if there is no such entry or it is damaged."""
    try:
        with ZipFile(cache / f"{name}.zip") as entry:
            return {file: entry.read(file) for file in entry.namelist()}
    except (OSError, BadZipFile):
        return None
