"""On which port a container's server listens, and how a process is told to listen on another one.

In Docker the host publishes the container's port as one of its own. Here the process itself has to listen on the port
that the host chose. A Python server is led there by ``listening/sitecustomize.py``, whatever its code says. For any
other program the port is put in where its command or its environment names it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from console.local.process.oci import ImageConfig

LISTENING = Path(__file__).parent / "listening"
DEFAULT_PORT = 8080
ANYWHERE = ("0.0.0.0", "::", "")


@dataclass(frozen=True)
class ContainerPort:
    """The port a container is expected to listen on, 0 if nothing says it, and who says so."""

    number: int
    said_by: str = ""

    @classmethod
    def of(cls, registered: int, image: ImageConfig) -> ContainerPort:
        """The release's own port, else the first tcp port that the image exposes, else none."""
        if registered:
            return cls(registered)
        exposed = [int(port.partition("/")[0]) for port in image.exposed_ports if not port.endswith(("/udp", "/sctp"))]
        return cls(min(exposed), "which the image exposes") if exposed else cls(0)

    def command(self, argv: Sequence[str], given: int) -> tuple[str, ...]:
        """The command with ``given`` in place of the container's port."""
        alone = re.compile(rf"(?<![\w.]){self.number or DEFAULT_PORT}(?![\w.])")
        return (argv[0], *(alone.sub(str(given), word) for word in argv[1:]))

    def environment(self, variables: Mapping[str, str], given: int, notes: Path) -> dict[str, str]:
        """The environment with ``given`` where it names the container's port, and what leads a Python server there."""
        port = str(self.number or DEFAULT_PORT)
        moved = {
            name: value[: -len(port)] + str(given) if value == port or value.endswith(f":{port}") else value
            for name, value in variables.items()
        }
        path = ":".join(filter(None, (str(LISTENING), moved.get("PYTHONPATH"))))
        listen = f"{self.number}:{given}:{notes}"
        return {**moved, "PORT": str(given), "PYTHONPATH": path, "ESTEIRA_LISTEN": listen}


def noted(notes: Path) -> list[tuple[str, int]]:
    """The addresses that the container's Python servers asked for, first one first."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    return [(host, int(port)) for host, _, port in (line.rpartition(" ") for line in lines)]
