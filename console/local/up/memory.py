"""What a local stack was asked for, kept in its state folder, so that nothing is dropped at its next start: the names
of its services, where they stand, their stages, and how many hosts a stage has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from console.local.paths import SERVICE_TEMPLATE
from console.local.template import read
from console.read.writing import write_whole

FILE = "stack.json"


@dataclass(frozen=True)
class Asked:
    """What was asked for. Without ``stages`` a service has those of its template. ``sources`` are service.yaml's
    parameters of a service that stands in a folder of a repository."""

    services: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()
    hosts: int = 1
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def with_service(self, name: str, folder: str = "") -> Asked:
        """The same with one more service; one with a ``folder`` stands in the first service's repository."""
        if name in self.services:
            return self
        source = {name: {"SourceRepository": self.services[0], "Folder": folder}} if folder else {}
        return replace(self, services=(*self.services, name), sources={**self.sources, **source})


def remembered(state: Path) -> Asked:
    """What the stack of this folder was asked for before; of one that has no memory yet, what its note tells."""
    if (state / FILE).exists():
        told = json.loads((state / FILE).read_text())
        return Asked(tuple(told["services"]), tuple(told["stages"]), int(told["hosts"]), told.get("sources", {}))
    for name in ("last.json", "local.json"):
        if (state / name).exists():
            return _by_note(json.loads((state / name).read_text()))
    return Asked()


def remember(state: Path, asked: Asked) -> None:
    """Keep what was asked for."""
    write_whole(state / FILE, json.dumps(asdict(asked), indent=1) + "\n")


def fault(value: str, parameter: str = "ServiceName") -> str:
    """Why a parameter of service.yaml cannot be this, in its words; "" if it can."""
    row = read(SERVICE_TEMPLATE).document["Parameters"][parameter]
    fits = re.fullmatch(row["AllowedPattern"], value) and len(value) <= row["MaxLength"]
    return "" if fits else str(row["ConstraintDescription"])


def service_name(folder: Path) -> str:
    """What a service is called after its folder: lower-case letters, digits and single hyphens, at most 24."""
    words = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")
    name = words if words[:1].isalpha() else f"model-{words}"
    return name[:24].strip("-")


def _by_note(note: dict[str, Any]) -> Asked:
    stages: dict[str, dict[str, Sequence[str]]] = note.get("stages", {})
    first = next(iter(stages.values()), {})
    names = tuple(first) if tuple(first) != ("production",) else ()
    hosts = max((len(there) for there in first.values()), default=1)
    return Asked(tuple(note.get("remotes", {})), names, hosts)
