"""The secrets of a service, as SSM lists them: names, versions and times, never a value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from console.read.session import Session
from esteira.aws.registrations import Registrations
from esteira.config import Service
from settings.model import restored
from settings.secrets import folder, parameter_of


@dataclass(frozen=True)
class StoredSecret:
    """A secret that is set. ``stage`` is "" for all stages; ``build``: builds get it, and no container."""

    name: str
    stage: str
    build: bool
    version: int
    changed_at: datetime


def place(session: Session, service: Service, name: str, stage: str, *, build: bool) -> str:
    """The SSM parameter of a secret."""
    below = folder(f"/{session.stack}/services/", service.name, build=build)
    return parameter_of(below, name, stage)


def stored_secrets(session: Session, service: Service) -> tuple[StoredSecret, ...]:
    """Every secret of the service that is set: those of containers first, by name and stage."""
    found = (secret for build in (False, True) for secret in _below(session, service, build=build))
    return tuple(sorted(found, key=lambda each: (each.build, each.name, each.stage)))


def _below(session: Session, service: Service, *, build: bool) -> Iterator[StoredSecret]:
    below = folder(f"/{session.stack}/services/", service.name, build=build)
    for row in Registrations(session.controller.client).parameters_below(below):
        stage, _, name = str(row["Name"]).removeprefix(below).rpartition("/")
        yield StoredSecret(name, stage, build, int(row["Version"]), row["LastModifiedDate"])


def live_with(session: Session, service: Service, name: str, stage: str) -> tuple[str, ...]:
    """The stages whose live release names the secret; only ``stage`` is looked at where it is given."""
    stages = {s.name: s.live for s in session.store.stages(service) if stage in ("", s.name)}
    births = {at: session.store.pushed(service.name, number) for at, number in stages.items() if number}
    return tuple(at for at, pushed in births.items() if pushed and name in (restored(pushed.settings).secrets or ()))
