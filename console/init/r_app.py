"""R apps: Shiny and plumber. R and its packages come from Debian, which has them compiled and of one release."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from console.init.recognized import HEALTH_PATHS, Recognized, text_of

# Where a Shiny app may stand.
_SHINY = (".", "app", "shiny", "inst/app")
_USED = re.compile(
    r"(?:library|require|requireNamespace)\s*\(\s*[\"']?([A-Za-z][A-Za-z0-9.]*)|([A-Za-z][A-Za-z0-9.]*)::"
)
# They come with R itself: R's base packages, and the recommended ones (r-recommended in Debian).
_BASE = set(
    """
    base boot class cluster codetools compiler datasets foreign graphics grDevices grid KernSmooth lattice MASS Matrix
    methods mgcv nlme nnet parallel rpart spatial splines stats stats4 survival tcltk tools utils
    """.split()  # noqa: SIM905
)


def look(folder: Path) -> Recognized | None:
    """The R app in a folder, None if there is none."""
    for where in _SHINY:
        for name in ("app.R", "server.R"):
            if (folder / where / name).is_file():
                file = (Path(where) / name).as_posix()
                run = f"shiny::runApp('{where}', host = '0.0.0.0', port = 8080)"
                return Recognized("Shiny app", file, 8080, "/", _dockerfile(folder, "shiny", run))
    for path in sorted((*folder.glob("*.R"), *folder.glob("*/*.R"))):
        if re.search(r"^#\*\s*@(get|post)\b", text_of(path), re.MULTILINE | re.IGNORECASE):
            file = path.relative_to(folder).as_posix()
            run = f"plumber::pr_run(plumber::pr('{file}'), host = '0.0.0.0', port = 8080)"
            health = next((p for p in HEALTH_PATHS if f"@get {p}" in text_of(path)), "")
            return Recognized("plumber API", file, 8080, health, _dockerfile(folder, "plumber", run))
    return None


def _used(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.R"):
        if not {"renv", ".git"} & set(path.relative_to(folder).parts):
            yield from (one or other for one, other in _USED.findall(text_of(path)))


def _dockerfile(folder: Path, framework: str, run: str) -> str:
    packages = sorted({framework, *_used(folder)} - _BASE)
    names = " ".join(["r-base-core", "r-recommended", *(f"r-cran-{package.lower()}" for package in packages)])
    return (
        "FROM debian:trixie-slim\n"
        "# A package that Debian does not have needs r-base-dev here and RUN Rscript -e \"install.packages('NAME')\"\n"
        f"RUN apt-get update \\\n    && apt-get install -y --no-install-recommends {names} \\\n"
        "    && rm -rf /var/lib/apt/lists/*\n"
        f'WORKDIR /app\nCOPY . .\nENV LANG=C.UTF-8\nEXPOSE 8080\nCMD ["Rscript", "-e", "{run}"]\n'
    )
