"""What a host is made of: its folder, its public port, its live container."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from console.local.engine import DeployJob
from console.local.ports import LOOPBACK
from console.local.process.container import Container, Lifeline, Supervisor, program_of, write_interpreter
from console.local.process.front import NO_LIMITS, Front
from console.local.process.health import Health
from console.local.process.host_parameters import Environment, fetched
from console.local.process.host_release import RELEASE_FILE, HostRelease, RunningRelease
from console.local.process.host_watch import HostWatch
from console.local.process.oci import ImageConfig, Registry
from console.local.process.packages import Packages
from console.local.process.port_of import ContainerPort
from console.local.process.upstream import Limits
from console.read.writing import write_whole

ROOT, LOG = "root", "container.log"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveContainer:
    """The live release and what runs it."""

    live: RunningRelease
    container: Container
    supervisor: Supervisor


class HostState:
    """What a host keeps under ``directory``, its public port, and the release that is live behind it."""

    def __init__(
        self,
        directory: Path,
        port: int,
        registry: Registry,
        interpreter: Path,
        stop_seconds: float,
        host: str = "",
        environment: Environment = dict,
    ) -> None:
        # Containers get another working directory, so every path they are given must be absolute.
        self._directory = directory.absolute()
        self._registry = registry
        self._interpreter = interpreter.absolute()
        self.stop_seconds = stop_seconds
        self._environment = environment
        self.closing = threading.Event()
        self.running: LiveContainer | None = None
        self.releases.mkdir(parents=True, exist_ok=True)
        write_interpreter(self._directory / "bin", self._interpreter)
        self.front = Front(LOOPBACK, port)
        self.front.start()
        self._lifeline = Lifeline()
        self._watch = HostWatch(self._directory / "watch", host, environment, Packages.beside(registry).folder)
        self.front.answered = self._watch.answered

    @property
    def releases(self) -> Path:
        """The folder of the unpacked releases, each with its ``container.log``: the live one and the previous one."""
        return self._directory / "releases"

    @property
    def memory(self) -> Path:
        """The file that remembers what is live."""
        return self._directory / "live.json"

    @property
    def limits(self) -> Limits:
        """Those of the live release."""
        return self.running.live.limits if self.running else NO_LIMITS

    def close(self) -> None:
        """End every process and the front."""
        running, self.running = self.running, None
        if running is not None:
            running.supervisor.stop()
            running.container.end(self.stop_seconds)
        self._watch.close()
        self.front.close()
        self._lifeline.close()

    def leave(self) -> None:
        """End what runs when its requests have been answered, then all else."""
        running, self.running = self.running, None
        if running is not None:
            self.front.emptied(running.live.drain_seconds)
        self._retire(running)
        self.close()

    def is_stopped(self, job: DeployJob) -> bool:
        """Whether a deployment should end early."""
        return job.stop.is_set() or self.closing.is_set()

    def new_directory(self, release: HostRelease) -> Path:
        """An empty directory for this attempt alone: the same release may be live in another."""
        directory = Path(tempfile.mkdtemp(prefix=f"{release.release}-", dir=self.releases))
        (directory / RELEASE_FILE).write_text(release.model_dump_json(indent=2))
        return directory

    def unpack(self, release: HostRelease, directory: Path) -> ImageConfig:
        """Lay the image's files out in the attempt's directory. Raises OSError or ValueError with a sentence."""
        return self._registry.unpack(release.digest, directory / ROOT)

    def container(self, release: HostRelease, directory: Path, image: ImageConfig) -> Container:
        """The container of an unpacked image, not started. Raises ValueError if the image names no command, or a
        parameter is not there."""
        sets = Packages.beside(self._registry).of(image.labels)
        path = ":".join(map(str, (*(each / "bin" for each in sets), self._directory / "bin", self._interpreter.parent)))
        values = {**release.environment, **fetched(release.parameters, self._environment)}
        environment = {**values, "ESTEIRA_RELEASE": release.release}
        program = program_of(image, directory / ROOT, path, environment, sets)
        return Container(program, directory / LOG, self._lifeline, ContainerPort.of(release.port, image))

    def succeed(
        self, release: HostRelease, directory: Path, container: Container, health: Health
    ) -> Callable[[], None]:
        """Remember the release as the live one and watch over it. Returns what ends the one before it."""
        found = {"health_path": health.path, "health_status": health.status}
        live = RunningRelease.model_validate(
            release.model_dump() | found | {"directory": directory.name, "since": datetime.now(UTC)}
        )
        self._remember(live)
        before = self.running
        supervisor = Supervisor(container, f"{live.service} {live.release}", self._watch.ended)
        self.running = LiveContainer(live, container, supervisor)
        self.running.supervisor.start()
        self._watch.live(live, container, health, self._lifeline)
        return lambda: self._retire(before)

    def prune(self) -> None:
        """Keep the live release's directory and that of the one before it."""
        live = self.running.live.directory if self.running else ""
        others = [path for path in self.releases.iterdir() if path.name != live]
        others.sort(key=_made_at, reverse=True)
        for stale in others[1:]:
            shutil.rmtree(stale, ignore_errors=True)

    def _remember(self, live: RunningRelease) -> None:
        """Written whole, so that a crash leaves the old memory or the new one."""
        write_whole(self.memory, live.model_dump_json(indent=2))

    def _retire(self, running: LiveContainer | None) -> None:
        if running is None:
            return
        running.supervisor.stop()
        if self.front.in_flight(running.container.port):  # it had its time while the new one was judged
            _log.info("%s is ended with requests in flight, at its drain deadline", running.live.release)
        running.container.end(self.stop_seconds)


def _made_at(directory: Path) -> int:
    try:
        return (directory / RELEASE_FILE).stat().st_mtime_ns
    except OSError:
        return 0
