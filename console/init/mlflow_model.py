"""A model directory that MLflow wrote: served by MLflow's own scoring server, with the packages that it lists."""

from __future__ import annotations

from pathlib import Path

from console.init.recognized import Recognized

_COMMAND = ("mlflow", "models", "serve", "--model-uri", "model", "--host", "0.0.0.0", "--port", "8080")  # noqa: S104


def look(folder: Path) -> Recognized | None:
    """The MLflow model in a folder or one below it, None if there is none."""
    marks = sorted((*folder.glob("MLmodel"), *folder.glob("*/MLmodel")))
    if not marks:
        return None
    where = marks[0].parent.relative_to(folder).as_posix()
    command = ", ".join(f'"{word}"' for word in (*_COMMAND, "--env-manager", "local"))
    dockerfile = (
        f"FROM python:3.12-slim\nWORKDIR /app\nCOPY {where} model/\n"
        "RUN pip install --no-cache-dir mlflow && pip install --no-cache-dir -r model/requirements.txt\n"
        f"EXPOSE 8080\nCMD [{command}]\n"
    )
    return Recognized("MLflow model", marks[0].relative_to(folder).as_posix(), 8080, "/ping", dockerfile)
