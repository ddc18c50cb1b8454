"""Makes a virtual environment small and quick to load: ``python slim.py VENV``. The Dockerfile's first stage runs it.

It removes files that serving never loads and compiles the others, because the file system may be read-only when the
service starts. It keeps licences and the .dist-info folders, which image scanners read. Every file gets the same time,
so the same packages give the same layer, which is then neither pushed nor pulled again.
"""

from __future__ import annotations

import compileall
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

# Below site-packages. Measured with shiny 1.8, onnxruntime 1.32 and numpy 2.5; a missing one is skipped.
NEVER_LOADED = {
    "onnxruntime/capi/libonnxruntime.so*": "a second copy of the library, for programs in C",
    "onnxruntime/transformers": "optimises language models before they are served",
    "onnxruntime/quantization": "makes models smaller before they are served",
    "onnxruntime/tools": "converts models",
    "onnxruntime/backend": "for the tests of ONNX",
    "onnxruntime/datasets": "example models",
    "numpy/f2py": "makes Python modules from Fortran",
    "numpy/**/tests": "numpy's own tests",
    "**/*.pyi": "types, for editors",
    "shiny/.agents": "documentation for programmers",
    "shiny/playwright": "for the tests of pages",
    "shiny/pytest": "for the tests of pages",
    "shiny/testserver": "for the tests of pages",
    "shiny/templates": "`shiny create`",
    "shiny/www/shared/sass": "themes compiled at run time with libsass, which is not in the image",
    "shiny/www/**/*.map": "for browser debuggers",
}
TIME = 0  # the time of every file, in seconds since 1970


def main() -> None:
    """The command."""
    if len(sys.argv) != 2:
        sys.exit("Which environment? Type: python slim.py VENV")
    venv = Path(sys.argv[1])
    [site] = venv.glob("lib/python*/site-packages")
    before = size(venv)
    for pattern, what in NEVER_LOADED.items():
        print(f"slim.py: {removed(site, pattern) / 1e6:6.1f} MB  {pattern} ({what})")
    left = size(venv)
    # unchecked: Python need not compare each file with its source at every start, since an image does not change
    if not compileall.compile_dir(site, quiet=1, workers=0, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH):
        sys.exit("slim.py: a file above cannot be compiled. Next: remove its package from requirements.txt")
    print(f"slim.py: {before / 1e6:.1f} MB of packages, {left / 1e6:.1f} left, {size(venv) / 1e6:.1f} with bytecode")
    for path in (venv, *inside(venv)):
        os.utime(path, (TIME, TIME), follow_symlinks=False)


def removed(site: Path, pattern: str) -> int:
    """Remove the files that match ``pattern`` below ``site``. The result is their size in bytes."""
    freed = 0
    for path in list(site.glob(pattern)):
        freed += size(path)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return freed


def size(path: Path) -> int:
    """The size in bytes of a file, or of all files in a folder."""
    return path.lstat().st_size + sum(found.lstat().st_size for found in inside(path) if not found.is_dir())


def inside(folder: Path) -> Iterator[Path]:
    """Every file and folder below ``folder``, without following links."""
    for root, folders, files in os.walk(folder):
        yield from (Path(root, name) for name in (*folders, *files))


if __name__ == "__main__":
    main()
