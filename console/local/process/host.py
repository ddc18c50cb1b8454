"""The local host: what an EC2 instance with CodeDeploy's agent is on AWS, with processes for containers.

Its public socket stays open for as long as the host lives, while releases come and go behind it. It decides nothing
about releases: it does what the bundle says, or says why not.
"""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from console.local.engine import DeployJob, DeployResult
from console.local.process.health import Health
from console.local.process.host_deployment import HostDeployment, never_begun
from console.local.process.host_parameters import Environment
from console.local.process.host_release import RunningRelease, sentence_of
from console.local.process.host_state import HostState
from console.local.process.oci import Registry


class ProcessHost:
    """One host: the public port, at most one live release behind it, one deployment at a time.

    Answers on 127.0.0.1:``port`` (0: a free one) from the moment it is made. Keeps everything under ``directory``.
    ``interpreter`` is what images find as ``python``. A deployment waits up to ``wait_seconds`` for the one before it;
    an old container has ``stop_seconds`` between SIGTERM and SIGKILL. ``host`` is the id it reports itself by ("": it
    does not). ``environment`` gives the variables by which the local AWS is reached, which keeps the values of
    parameters. Raises OSError if the port cannot be had.
    """

    def __init__(
        self,
        directory: Path,
        port: int,
        registry: Registry,
        interpreter: Path,
        *,
        wait_seconds: float = 900.0,
        stop_seconds: float = 10.0,
        host: str = "",
        environment: Environment = dict,
    ) -> None:
        self._state = HostState(directory, port, registry, interpreter, stop_seconds, host, environment)
        self._wait_seconds = wait_seconds
        self._turn = threading.Lock()
        self._under_way = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The public port."""
        return self._state.front.port

    @property
    def live(self) -> RunningRelease | None:
        """The live release, or None."""
        return None if self._state.running is None else self._state.running.live

    @property
    def live_pid(self) -> int | None:
        """The process of the live release, or None."""
        return None if self._state.running is None else self._state.running.container.pid

    @property
    def releases(self) -> Path:
        """The folder of the unpacked releases, each with its ``container.log``: the live one and the previous one."""
        return self._state.releases

    def deploy(self, job: DeployJob) -> DeployResult:
        """Swap the bundle's release in, or leave the live one untouched and say why. Blocks until it is done.

        The answer comes once the old release has drained and ended. A release may be deployed again.
        """
        refusal = self._wait_for_turn(job)
        if refusal is not None:
            return refusal
        try:
            self._under_way = job.deployment_id
            return HostDeployment(self._state, job).run()
        finally:
            self._turn.release()

    def resume(self) -> str:
        """Start again what ``live.json`` says was live. "" if it is live, or nothing was; else the sentence why not."""
        state = self._state
        with self._turn:
            if state.running is not None or not state.memory.exists():
                return ""
            try:
                return self._resume(RunningRelease.model_validate_json(state.memory.read_bytes()))
            except (OSError, ValueError) as error:
                return f"what was live here cannot be started again: {sentence_of(error)}. Deploy a release anew"

    def take_address(self, other: ProcessHost) -> None:
        """Be reached where the other host is, from now on."""
        self._state.front.take_over(other._state.front)

    def leave(self) -> None:
        """Answer the requests that are here, and end; nothing of it is remembered."""
        self._state.closing.set()
        with self._turn:
            self._state.leave()
            shutil.rmtree(self._state.releases.parent, ignore_errors=True)

    def close(self) -> None:
        """End a deployment under way, every process and the front. ``live.json`` stays, for ``resume``."""
        self._state.closing.set()
        with self._turn:
            self._state.close()

    def _resume(self, live: RunningRelease) -> str:
        state = self._state
        directory = state.new_directory(live)
        container = state.container(live, directory, state.unpack(live, directory))
        container.start()
        found = container.await_health(live.health_path, live.startup_seconds, state.closing.is_set)
        why, health = (
            ("", found) if isinstance(found, Health) else (found, Health(live.health_path, live.health_status))
        )
        # Turned to even if it is not healthy: it was live, nothing else is, and its supervisor goes on trying.
        state.front.turn_to(container.port, live.limits)
        state.succeed(live, directory, container, health)
        shutil.rmtree(state.releases / live.directory, ignore_errors=True)
        state.prune()
        return why and f"{live.service} {live.release} was live and is not well: {why}. It is started again on and on"

    def _wait_for_turn(self, job: DeployJob) -> DeployResult | None:
        """None once it is this deployment's turn; the lock is held then. Otherwise how it ended without one."""
        deadline = time.monotonic() + self._wait_seconds
        while not self._turn.acquire(timeout=0.05):
            if self._state.is_stopped(job):
                return never_begun("Stopped", "MANUAL_STOP", "stopped while it waited for its turn on the host")
            if time.monotonic() > deadline:
                why = f"deployment {self._under_way} has held the host for more than {self._wait_seconds:g} s"
                return never_begun("Failed", "TIMEOUT", f"{why}: wait for its end or stop it, then retry")
        return None
