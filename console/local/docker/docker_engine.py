"""The Docker engine: builds with the real ``docker build`` and ``push``, hosts that run the bundle under CodeDeploy's
lifecycle, with real containers behind a real nginx.

What is still this machine's: a buildspec's commands run in a shell here and not in CodeBuild's image, and several hosts
share one Docker engine, each seeing its own containers only (``docker_programs``).
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from console.local.build.builder import run_build
from console.local.build.workspace import SYSTEM_PATH
from console.local.docker.docker_host import DockerHost
from console.local.docker.docker_programs import Docker
from console.local.docker.registry_server import RegistryServer
from console.local.engine import HOST, BuildJob, BuildResult, DeployJob, DeployResult, host_ids

if TYPE_CHECKING:
    from console.local.aws.stack import LocalAws

# By program, the Debian package that has it.
TOOLS = {"docker": "docker.io", "nginx": "nginx", "docker-registry": "docker-registry", "curl": "curl",
         "bash": "bash", "flock": "util-linux", "iconv": "libc-bin"}  # fmt: skip
KEPT_IMAGES = 3  # of each repository, as they were built: the next build's cache


def why_not(folder: Path) -> str:
    """Why the Docker engine cannot work with ``folder``, and what to do; "" where it can."""
    missing = [name for name in TOOLS if not shutil.which(name, path=SYSTEM_PATH)]
    if missing:
        packages = " ".join(TOOLS[name] for name in missing)
        return f"{', '.join(missing)} not installed (apt-get install {packages})"
    if not re.fullmatch(r"[\w/.+-]+", str(folder.absolute())):
        return f"nginx cannot be given a folder such as {folder} (use --state with letters, digits, . _ - only)"
    try:
        Docker.found().run("version", "--format", "{{.Server.Version}}")
    except OSError as error:
        return f"no Docker engine answers ({error})"
    return ""


class DockerEngine:
    """Builds push to a registry under ``folder``/registry-docker; ``hosts`` hosts for each deployment group.

    ``ports`` says on which port of 127.0.0.1 a group's first host answers (0: a free one); ``environment`` gives what
    builds and hosts need to reach the local AWS, once it is known.
    """

    name = "docker"

    def __init__(
        self,
        folder: Path,
        ports: Mapping[str, int],
        environment: Callable[[], Mapping[str, str]] = dict,
        hosts: int = 1,
    ) -> None:
        self._folder = folder.resolve()
        self._ports = ports
        self._environment = environment
        self._ids = host_ids(hosts)
        self._docker = Docker.found()
        self._hosts: dict[tuple[str, str], DockerHost] = {}
        self._lock = threading.RLock()
        self._local_aws: LocalAws | None = None
        self._server: RegistryServer | None = None

    def attach(self, local_aws: LocalAws) -> None:
        """Told by the stack whose ECR the registry plays."""
        self._local_aws = local_aws

    @property
    def registry(self) -> RegistryServer:
        """The registry, which answers from the first use on."""
        with self._lock:
            if self._server is None:
                if self._local_aws is None:
                    raise RuntimeError("the Docker engine belongs to no stack: call attach() first")
                self._server = RegistryServer(self._folder / "registry-docker", self._local_aws.ecr)
            return self._server

    @property
    def login(self) -> str:
        """What logs a person's docker in to the registry."""
        return self.registry.login

    def build(self, job: BuildJob) -> BuildResult:
        """Run the build to its end."""
        job = replace(job, environment={**job.environment, **self._environment()})
        programs = self._docker.programs(self.registry.address, self._folder / "packages")
        try:
            kept = self._folder / "build-cache" / job.project
            return run_build(job, lambda _: programs, Path(sys.executable), kept=kept)
        finally:
            self._prune()

    def deploy(self, job: DeployJob) -> DeployResult:
        """Run the bundle on the job's host."""
        return self.host(job.group, job.host).deploy(job)

    def hosts(self, group: str) -> Sequence[str]:  # noqa: ARG002 - every group has as many
        """The ids of the deployment group's hosts."""
        return self._ids

    def host(self, group: str, host: str = HOST) -> DockerHost:
        """A host of the deployment group, which answers from the first call on. Raises OSError."""
        with self._lock:
            if (group, host) not in self._hosts:
                folder = self._folder / "hosts-docker" / group / host
                port = self._ports.get(group, 0) if host == self._ids[0] else 0
                label = f"{group}.{host}.{self._mark}"
                address, environment = self.registry.address, self._environment()
                self._hosts[group, host] = DockerHost(folder, label, port, self._docker, address, environment, host)
            return self._hosts[group, host]

    def close(self) -> None:
        """Stop every container, nginx and the registry that this engine started."""
        with self._lock:
            hosts, self._hosts = list(self._hosts.values()), {}
            server, self._server = self._server, None
        with ThreadPoolExecutor(max(1, len(hosts))) as pool:  # each container may take its ten seconds to stop
            list(pool.map(DockerHost.close, hosts))
        if server is not None:
            server.close()

    @property
    def _mark(self) -> str:
        """What tells this state folder's containers from another's in the same engine."""
        return hashlib.sha256(str(self._folder).encode()).hexdigest()[:8]

    def _prune(self) -> None:
        """Of what was built here the newest few stay, by their tags; a container's image stays in any case."""
        built: dict[str, list[str]] = defaultdict(list)
        asked = (
            "image",
            "ls",
            "--filter",
            f"reference={self.registry.address}/*",
            "--format",
            "{{.Repository}} {{.Tag}}",
        )
        try:
            for line in self._docker.run(*asked).splitlines():  # newest first
                repository, tag = line.split(" ")
                if tag != "<none>":
                    built[repository].append(f"{repository}:{tag}")
            stale = [name for names in built.values() for name in names[KEPT_IMAGES:]]
            if stale:
                self._docker.run("image", "rm", *stale)
        except OSError:
            return  # the disk has to wait; the next build tries again
