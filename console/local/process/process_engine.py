"""The process engine: builds by the repository's own buildspec, hosts on which a release is a process. No Docker.

What a newcomer meets. It is smaller than Docker, never fake: a real image with a real digest, a real swap under real
requests. What it cannot do: run a Dockerfile's RUN, isolate a process, or be another machine (README, "Local mode").
"""

from __future__ import annotations

import secrets
import shlex
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from console.local.build.aws_cli import program
from console.local.build.builder import run_build
from console.local.build.workspace import SYSTEM_PATH, Programs
from console.local.engine import HOST, BuildJob, BuildResult, DeployJob, DeployResult, host_ids
from console.local.process.host import ProcessHost
from console.local.process.oci import Registry
from console.local.process.packages import Packages
from console.read.writing import write_whole


class ProcessEngine:
    """Builds into ``folder``/registry, runs each deployment group on ``hosts`` hosts of its own under ``folder``/hosts.

    ``ports`` says on which port of 127.0.0.1 a group's first host answers (0: a free one); ``environment`` gives what
    builds and hosts need to reach the local AWS, once it is known.
    """

    name = "process"
    login = ""  # no registry listens: a build pushes into a folder

    def __init__(
        self,
        folder: Path,
        ports: Mapping[str, int],
        environment: Callable[[], Mapping[str, str]] = dict,
        hosts: int = 1,
    ) -> None:
        self._folder = folder
        self._ports = ports
        self._environment = environment
        self._registry = Registry(folder / "registry")
        self._interpreter = Path(sys.executable)
        self._ids = host_ids(hosts)
        self._hosts: dict[tuple[str, str], ProcessHost] = {}
        self._lock = threading.Lock()

    def build(self, job: BuildJob) -> BuildResult:
        """Run the build to its end."""
        job = replace(job, environment={**job.environment, **self._environment()})
        kept = self._folder / "build-cache" / job.project
        return run_build(job, small_docker(self._registry), self._interpreter, kept=kept)

    def deploy(self, job: DeployJob) -> DeployResult:
        """Swap the release in on the job's host, or leave the live one untouched and say why."""
        return self.host(job.group, job.host).deploy(job)

    def hosts(self, group: str) -> Sequence[str]:
        """The ids of the deployment group's hosts, first the one at the group's port."""
        kept = self._kept(group)
        return kept.read_text().split() if kept.exists() else self._ids

    def launch(self, group: str) -> str:
        """Start a host that is not one of the group's yet, on a port of its own; its id."""
        id_ = f"i-{secrets.token_hex(9)[:17]}"
        self.host(group, id_)
        return id_

    def join(self, group: str, host: str) -> None:
        """Make it one of the group's hosts, which answers at the group's port from now on."""
        there = self.hosts(group)
        self.host(group, host).take_address(self.host(group, there[0]))
        write_whole(self._kept(group), "\n".join((host, *there)))

    def leave(self, group: str, host: str) -> None:
        """End a host when it has answered its requests."""
        there = self.hosts(group)
        if host in there:
            write_whole(self._kept(group), "\n".join(each for each in there if each != host))
        self.host(group, host).leave()
        with self._lock:
            del self._hosts[group, host]

    def _kept(self, group: str) -> Path:
        """Where the group's hosts are written down once they are others than at first."""
        return self._folder / "hosts" / f"{group}.ids"

    def host(self, group: str, host: str = HOST) -> ProcessHost:
        """A host of the deployment group, which answers from the first call on."""
        with self._lock:
            if (group, host) not in self._hosts:
                folder = self._folder / "hosts" / (group if host == self._ids[0] else f"{group}-{host}")
                port = self._ports.get(group, 0) if host == self.hosts(group)[0] else 0
                self._hosts[group, host] = ProcessHost(
                    folder, port, self._registry, self._interpreter, host=host, environment=self._environment
                )
            return self._hosts[group, host]

    def close(self) -> None:
        """End every process this engine started."""
        with self._lock:
            hosts, self._hosts = list(self._hosts.values()), {}
        for host in hosts:
            host.close()


def small_docker(registry: Registry) -> Programs:
    """The ``docker`` of a build without a Docker engine, whose pushes end in ``registry``."""
    own = {} if shutil.which("aws", path=SYSTEM_PATH) else {"aws": program(Packages.beside(registry).folder)}
    return lambda workspace: {"docker": _small_docker(workspace / "images", registry.directory), **own}


def _small_docker(images: Path, registry: Path) -> str:
    """The line that calls the small docker with the console's interpreter. ``-I`` shuts out the build's PYTHONPATH and
    directory: both may hold a module with the same name as ours."""
    here = Path(__file__).resolve().parents[3]
    code = (
        f"import sys; sys.path.insert(0, {str(here)!r}); from pathlib import Path; "
        "from console.local.process.docker_cli import main; "
        f"sys.exit(main(images=Path({str(images)!r}), registry=Path({str(registry.resolve())!r})))"
    )
    return f'exec {shlex.quote(sys.executable)} -I -c {shlex.quote(code)} "$@"'
