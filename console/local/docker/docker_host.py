"""One EC2 host on this machine: CodeDeploy's agent, an nginx of its own, and the containers its label marks as its own.

It decides nothing about releases and knows no bundle: the bundle's scripts start containers and turn nginx, as on AWS,
and find by the ``ESTEIRA_…`` variables that this host's nginx, lock and ports lie elsewhere than on a machine that is
theirs alone. What it adds is a beginning and an end: ``close`` stops what runs, ``resume`` starts that again.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from console.local.agent.agent import Agent
from console.local.build.workspace import SYSTEM_PATH
from console.local.docker.docker_programs import HOST_LABEL, Docker
from console.local.engine import DeployJob, DeployResult
from console.local.host_watcher import HostWatchers
from console.local.ports import LOOPBACK, await_listener, kept_port
from console.local.process.container import Lifeline
from console.local.process.front import NOTHING_LIVE

FIRST_PORT = 20000  # of the containers' ports, below those that the kernel gives away by itself
PORTS = 100  # for one host, as the default bundle tries them
RESUME_SECONDS = 60.0

_log = logging.getLogger(__name__)


class DockerHost:
    """A host that answers on 127.0.0.1:``port`` (0: the one it had, or a free one) from the moment it is made.

    Keeps everything under ``folder``, absolute. ``name`` is its containers' label, ``registry`` the local registry's
    address, ``environment`` what its scripts need to reach the local AWS, ``host`` the id it reports itself by ("": it
    does not). Raises OSError where nginx does not start.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        port: int,
        docker: Docker,
        registry: str,
        environment: Mapping[str, str],
        host: str = "",
    ) -> None:
        self._folder = folder
        self.name = name
        self._docker = docker
        self._turn = threading.Lock()
        for part in ("bin", "conf.d", "home", "temp"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        self.port = kept_port(folder / "port", port)
        self._write_programs(registry)
        self._lifeline = Lifeline()
        self._nginx = self._start_nginx()
        self._watchers = HostWatchers(host, folder / "watcher.log")
        self._environment = self._variables(environment)
        self._agent = Agent(folder / "deployment-root", self._environment)

    def deploy(self, job: DeployJob) -> DeployResult:
        """Take the bundle through the lifecycle events; blocks, one at a time."""
        while not self._turn.acquire(timeout=0.05):
            if job.stop.is_set():
                return DeployResult("Stopped", (), "MANUAL_STOP", "stopped while it waited for its turn on the host")
        try:
            return self._agent.deploy(job)
        finally:
            self._watch()
            self._turn.release()

    def containers(self, *options: str) -> list[str]:
        """The names of this host's containers that run; with ``--all`` the stopped ones too. Raises OSError."""
        words = ("ps", *options, "--filter", f"label={HOST_LABEL}={self.name}", "--format", "{{.Names}}")
        return sorted(self._docker.run(*words).split())

    def resume(self) -> str:
        """Start again what ran when the host was closed. "" if all is well, else the sentence why not."""
        with self._turn:
            try:
                noted = json.loads(self._noted.read_text()) if self._noted.exists() else []
                there = self.containers("--all")
                gone = [name for name in noted if name not in there]
                here = [name for name in noted if name in there]
                if here:
                    self._docker.run("start", *here)
            except (OSError, ValueError) as error:
                return f"what ran on {self.name} cannot be started again: {error}. Deploy a release anew"
            if gone:
                return f"{', '.join(gone)} ran on {self.name} and is not in the engine any more. Deploy a release anew"
            self._watch()
            return self._await_answer() if here else ""

    def close(self) -> None:
        """End a deployment under way, stop this host's containers and its nginx. What ran is noted, for ``resume``."""
        self._agent.close()
        with self._turn:
            self._watchers.close()
            try:
                running = self.containers()
                self._noted.write_text(json.dumps(running))
                if running:
                    self._docker.run("stop", *running)
            except OSError as error:
                _log.warning("the containers of %s were not stopped: %s", self.name, error)
            for pid in _marked(f"ESTEIRA_LOCK={self._folder / 'lock'}"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
            self._nginx.terminate()
            self._nginx.wait()
            self._lifeline.release(self._nginx.pid)
            self._lifeline.close()

    def remove(self) -> None:
        """Take this host's containers out of the engine, stopped ones too. Raises OSError."""
        if names := self.containers("--all"):
            self._docker.run("rm", "--force", *names)

    def _watch(self) -> None:
        """Have each service watched that has a live release: what a unit of systemd does on AWS."""
        links = (path for path in (self._folder / "conf.d").glob("esteira-*") if path.is_symlink() and not path.suffix)
        for link in links:
            service = link.name.removeprefix("esteira-")
            log = self._folder / f"esteira-{service}.log"
            started = self._watchers.watch(service, link, log, self._environment)
            if started is not None:
                self._lifeline.hold(started)

    @property
    def _noted(self) -> Path:
        return self._folder / "running.json"

    def _write_programs(self, registry: str) -> None:
        python = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n'
        for name, text in {
            **self._docker.programs(registry, self._folder / "packages", self.name),
            "python3": python,
        }.items():
            path = self._folder / "bin" / name
            path.write_text(text)
            path.chmod(0o755)

    def _start_nginx(self) -> subprocess.Popen[bytes]:
        program = shutil.which("nginx", path=SYSTEM_PATH)
        if program is None:
            raise OSError("nginx is not installed; apt-get install nginx, or use --engine process")
        self._conf.write_text(_nginx_conf(self._folder, self.port))
        log = self._folder / "nginx.log"
        with log.open("ab") as said:
            process = subprocess.Popen(
                [program, "-c", str(self._conf), "-g", "daemon off;"],
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip
        self._lifeline.hold(process.pid)
        await_listener(process, self.port, "nginx", log)
        return process

    @property
    def _conf(self) -> Path:
        return self._folder / "nginx.conf"

    def _variables(self, given: Mapping[str, str]) -> dict[str, str]:
        first = int(hashlib.sha256(self.name.encode()).hexdigest(), 16) % 120
        return {
            "PATH": f"{self._folder / 'bin'}:{SYSTEM_PATH}",
            "HOME": str(self._folder / "home"),
            "LANG": "C.UTF-8",
            **given,
            "ESTEIRA_NGINX_CONF": str(self._conf),
            "ESTEIRA_NGINX_CONF_DIR": str(self._folder / "conf.d"),
            "ESTEIRA_LISTEN": f"{LOOPBACK}:{self.port}",
            "ESTEIRA_FIRST_PORT": str(FIRST_PORT + PORTS * first),
            "ESTEIRA_LOCK": str(self._folder / "lock"),
            "ESTEIRA_LOG": str(self._folder / "esteira.log"),
            **{name: os.environ[name] for name in ("ESTEIRA_MIN_READY_SECONDS",) if name in os.environ},
            "ESTEIRA_SYSTEMD": "no",  # the machine's is not this host's
        }

    def _await_answer(self) -> str:
        """Wait until what was started answers through nginx, whatever it says."""
        deadline = time.monotonic() + RESUME_SECONDS
        while time.monotonic() < deadline:
            connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=5)
            try:
                connection.request("GET", "/")
                if connection.getresponse().status not in (502, 503, 504):
                    return ""
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.1)
        return f"what ran on {self.name} was started again and does not answer; see its log with: docker logs"


def _marked(variable: str) -> list[int]:
    """The processes that have ``variable`` in their environment: what a script left behind in the background."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if variable.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue  # it has ended, or is not ours to look at
    return found


def _nginx_conf(folder: Path, port: int) -> str:
    """An nginx.conf of this host's own; until a release is live its port says so."""
    user = "user root;\n" if os.geteuid() == 0 else ""  # it must reach its folder, which may be one of root's
    temp = "".join(
        f"  {kind}_temp_path {folder}/temp/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    nothing = NOTHING_LIVE.strip().replace('"', "'")
    return (
        f"{user}worker_processes 2;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\n"
        f"events {{ worker_connections 4096; }}\n"
        f"http {{\n  access_log off;\n{temp}"
        f"  server {{\n    listen {LOOPBACK}:{port};\n    server_name nothing-live.invalid;\n"
        f'    default_type text/plain;\n    location / {{ return 503 "{nothing}\\n"; }}\n  }}\n'
        f"  include {folder}/conf.d/*.conf;\n}}\n"
    )
