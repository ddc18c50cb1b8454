"""The ``docker`` and ``aws`` that builds and hosts of the Docker engine meet: the real ones, told where they are.

Everywhere in the project an image is called by its name in ECR, ``ACCOUNT.dkr.ecr.REGION.amazonaws.com/heart``, as on
AWS: in the build project, in the service's configuration, in a buildspec's own lines, in ``release.json``. The engine
would look for that name on the internet. So a few lines of bash in front of the real client turn the registry's part of
it into the local registry's address, which every engine takes without TLS because it is on 127.0.0.1; nothing else
knows. A name inside a Dockerfile (``FROM``) is the engine's to read, and is not turned: give it as a build argument.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from console.local.build.aws_cli import program
from console.local.build.workspace import SYSTEM_PATH
from console.local.docker.registry_server import NAME

HOST_LABEL = "esteira.host"

_DOCKER = """#!/usr/bin/env bash
# docker, for which ECR's name leads to the registry on this machine.
export DOCKER_HOST=@ENGINE@
words=()
for word in "$@"; do
    if [[ $word =~ ^(-t|[^[:space:]]*=)?@PATTERN@(/.*)?$ ]]; then word=${word/@NAME@/@ADDRESS@}; fi
    words+=("$word")
done
set -- "${words[@]}"
@SCOPE@exec @CLIENT@ "$@"
"""

# On AWS a host has an engine of its own. Here several share one, so each is shown its own containers only.
_SCOPE = """skip=1
if [[ ${1:-} == container ]]; then skip=2; fi
case ${*:1:skip} in
    run | create | "container run" | "container create") option=--label label=@LABEL@ ;;
    ps | "container ls" | "container list" | "container ps") option=--filter label=label=@LABEL@ ;;
    *) option= ;;
esac
if [[ $option ]]; then set -- "${@:1:skip}" "$option" "$label" "${@:skip+1}"; fi
"""


@dataclass(frozen=True)
class Docker:
    """The real client and the engine it speaks to, for the console's own calls."""

    client: str
    engine: str  # DOCKER_HOST

    @classmethod
    def found(cls) -> Docker:
        """The client on the PATH and the engine of its current context. Raises OSError where there is none."""
        client = shutil.which("docker")
        if client is None:
            raise OSError("docker is not installed")
        asked = subprocess.run(
            [client, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return cls(client, asked.stdout.strip() or "unix:///var/run/docker.sock")

    def run(self, *words: str) -> str:
        """Run a command to its end and return what it printed. Raises OSError with its reason."""
        command = [self.client, "--host", self.engine, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            said = [line for line in lines if line and not line.startswith(("Run 'docker", "See 'docker", "Usage:"))]
            raise OSError(f"docker {words[0]}: {said[-1] if said else 'it said nothing'}")
        return done.stdout.strip()

    def programs(self, address: str, packages: Path, host: str = "") -> Mapping[str, str]:
        """``docker``, and ``aws`` where it is not installed, by name: the text of each.

        ``address`` is the local registry's, ``packages`` where the AWS CLI is installed when it is needed, ``host`` the
        label of the host whose containers alone are to be seen ("": all).
        """
        scope = _SCOPE.replace("@LABEL@", shlex.quote(f"{HOST_LABEL}={host}")) if host else ""
        parts = {
            "@ENGINE@": shlex.quote(self.engine),
            "@PATTERN@": NAME.replace(".", "\\."),
            "@NAME@": NAME,
            "@ADDRESS@": address,
            "@SCOPE@": scope,
            "@CLIENT@": shlex.quote(self.client),
        }
        text = _DOCKER
        for mark, value in parts.items():
            text = text.replace(mark, value)
        local_aws = {} if shutil.which("aws", path=SYSTEM_PATH) else {"aws": program(packages)}
        return {"docker": text, **local_aws}
