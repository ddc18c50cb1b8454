"""What the watcher of a host finds on a host of the process engine: the files that hooks and nginx keep on a real one,
and a ``docker`` that knows the live container.
"""

from __future__ import annotations

import json
import shlex
import shutil
import time
from pathlib import Path

from console.local.build.aws_cli import program
from console.local.build.workspace import SYSTEM_PATH
from console.local.host_watcher import HostWatchers
from console.local.process.container import Container, Lifeline
from console.local.process.health import Health
from console.local.process.host_parameters import Environment
from console.local.process.host_release import HostRelease
from console.read.writing import write_whole

# What the watcher asks: docker inspect, docker image inspect, docker events.
_DOCKER = """#!/bin/sh
case $1 in
    inspect) exec cat @FOLDER@/container.json ;;
    image) exec cat @FOLDER@/digests.json ;;
    events) exec cat @FOLDER@/events.json ;;
esac
echo "a host of the process engine has no docker $1" >&2
exit 1
"""


class HostWatch:
    """The live container as its watcher sees it. ``host`` is the host's id, "" where nobody watches; ``environment`` is
    what reaches the local AWS, ``packages`` where the AWS CLI is installed when it is needed."""

    def __init__(self, folder: Path, host: str, environment: Environment, packages: Path) -> None:
        self._folder, self._environment = folder.absolute(), environment
        self._watchers = HostWatchers(host, self._folder / "watcher.log")
        self._packages = packages
        self._live: tuple[HostRelease, Container] | None = None
        self._log = self._folder / "none"

    def live(self, release: HostRelease, container: Container, health: Health, lifeline: Lifeline) -> None:
        """This one is live from now on: what is written down of it, and a watcher over it."""
        self._make()
        self._live = (release, container)
        name = _name(release, container)
        link = self._conf / f"esteira-{release.service}"
        known = link.with_name(f"{link.name}={name}")
        known.write_text(f"{health.path} {health.status}\n")
        write_whole(self._folder / "digests.json", json.dumps([release.image]))
        self.ended()
        link.with_suffix(".new").unlink(missing_ok=True)
        link.with_suffix(".new").symlink_to(known.name)
        link.with_suffix(".new").replace(link)
        self._log = self._folder / f"esteira-{release.service}.log"
        started = self._watchers.watch(release.service, link, self._log, self._variables())
        if started is not None:
            lifeline.hold(started)

    def ended(self) -> None:
        """Write down how often the live container ended by itself."""
        if self._live is None:
            return
        release, container = self._live
        labels = {
            "esteira.stage": release.stage,
            "esteira.release": release.release,
            "esteira.port": f"{container.port}",
            "esteira.deployment": release.deployment,
        }
        told = {"Image": release.digest, "RestartCount": len(container.ends)}
        told |= {"Config": {"Image": release.image, "Labels": labels}}
        events = [{"Action": "die", "Actor": {"Attributes": {"exitCode": str(status)}}} for status in container.ends]
        write_whole(self._folder / "events.json", "".join(f"{json.dumps(event)}\n" for event in events))
        write_whole(self._folder / "container.json", json.dumps([told]))

    def answered(self, port: int, status: int, seconds: float) -> None:
        """One request was answered: a line as nginx writes it on a host."""
        if self._live is not None and self._live[1].port == port:
            with self._log.open("a") as log:
                log.write(f"{time.time():.3f} {_name(*self._live)} {status} {seconds:.3f}\n")

    def close(self) -> None:
        """End the watcher."""
        self._watchers.close()

    @property
    def _conf(self) -> Path:
        return self._folder / "conf.d"

    def _make(self) -> None:
        for part in ("bin", "conf.d"):
            (self._folder / part).mkdir(parents=True, exist_ok=True)
        programs = {"docker": _DOCKER.replace("@FOLDER@", shlex.quote(str(self._folder)))}
        if not shutil.which("aws", path=SYSTEM_PATH):
            programs["aws"] = program(self._packages)
        for name, text in programs.items():
            path = self._folder / "bin" / name
            path.write_text(text)
            path.chmod(0o755)

    def _variables(self) -> dict[str, str]:
        return {
            "PATH": f"{self._folder / 'bin'}:{SYSTEM_PATH}",
            "HOME": str(self._folder),
            "LANG": "C.UTF-8",
            **self._environment(),
            "ESTEIRA_LOCK": str(self._folder / "lock"),
        }


def _name(release: HostRelease, container: Container) -> str:
    return f"{release.service}-{release.release}-{container.port}"
