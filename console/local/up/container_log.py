"""The log of a container on a host of the local stack, whichever engine runs it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

LINES = 2000  # the last ones of a log that is longer


def container_lines(state: Path, group: str, release: str = "") -> list[str]:
    """The last lines of the container on a deployment group's first host: the live one's, or those of ``release``.
    None where there is no such container. Raises OSError where the Docker engine does not answer."""
    if (state / "hosts-docker" / group).is_dir():
        return _of_docker(state, group, release)
    logs = list(_process_logs(state / "hosts" / group, release))
    return logs[-1].read_text(errors="replace").splitlines()[-LINES:] if logs else []


def _process_logs(host: Path, release: str) -> Iterator[Path]:
    """The logs of a host's releases, oldest first: only the live one's unless a release is named."""
    live = host / "live.json"
    name = json.loads(live.read_text())["directory"] if live.exists() else ""
    for folder in sorted((host / "releases").glob("*"), key=lambda folder: folder.stat().st_mtime):
        wanted = folder.name.startswith(f"{release}-") if release else folder.name == name
        if wanted and (folder / "container.log").exists():
            yield folder / "container.log"


def _of_docker(state: Path, group: str, release: str) -> list[str]:
    from console.local.docker.docker_programs import HOST_LABEL, Docker

    docker = Docker.found()
    mark = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:8]  # as DockerEngine tells stacks apart
    named = ("--filter", f"label=esteira.release={release}") if release else ()
    form = f'{{{{.Names}}}} {{{{.Label "{HOST_LABEL}"}}}}'
    rows = [row.split(" ") for row in docker.run("ps", "--all", *named, "--format", form).splitlines()]
    names = [name for name, host in rows if host.startswith(f"{group}.") and host.endswith(f".{mark}")]
    if not names:  # the newest is first, and the live one is the newest that was not put away
        return []
    command = [docker.client, "--host", docker.engine, "logs", "--tail", str(LINES), names[0]]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.splitlines()
