"""Keeping the index: at every change of a registration or a policy, and against the whole list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from esteira.config import Service
from esteira.context import Context
from esteira.telemetry import logger
from service_index.lookup import FORGET, at, bearing, listed, ruled
from service_index.names import names_of

MOST = 10_000  # names that a process remembers as nobody's


def found(name: str, context: Context) -> tuple[Service, ...]:
    """The services that bear a name. What the index does not know is looked for in the whole list, which then mends
    the index; a name that is not there either is not looked for again for ``FORGET``."""
    if not name:
        return ()
    there = context.store.indexed(name)
    services = bearing(name, at(there, context), context)
    if services or (not there and context.nobodys.get(name, context.clock()) > context.clock()):
        return services
    everything = listed(context)
    try:
        compare(everything, context)
    except Exception:  # noqa: BLE001 - the list has told what was asked; the sweep compares again, and raises
        logger.exception("the index could not be mended")
    services = bearing(name, everything, context)
    if not services:
        if len(context.nobodys) >= MOST:
            context.nobodys.clear()
        context.nobodys[name] = context.clock() + FORGET
    return services


def compare(services: Mapping[str, Service], context: Context) -> None:
    """Make the index that of those services, which are all there are; where nothing differs, nothing is written."""
    there = context.store.index()
    wanted = {place: names_of(service) for place, service in ruled(services, context).items()}
    for place in there.keys() | wanted.keys():
        _write(place, wanted.get(place, frozenset()), there.get(place, frozenset()), context)


def follow(parameters: tuple[str, ...], context: Context) -> dict[str, Service]:
    """Index what stands in those SSM parameters now; the services that are registered there."""
    there = context.store.index_of(parameters)
    services = at(parameters, context)
    wanted = {place: names_of(service) for place, service in ruled(services, context).items()}
    for place in parameters:
        _write(place, wanted.get(place, frozenset()), there.get(place, frozenset()), context)
    return services


def registration_in(event: Any, context: Context) -> str:
    """The registration that an event of Parameter Store is about; "" for any other event."""
    if not isinstance(event, Mapping) or event.get("source") != "aws.ssm":
        return ""
    detail = event.get("detail")
    name = detail.get("name") if isinstance(detail, Mapping) else None
    return name if isinstance(name, str) and name.startswith(context.settings.services_path) else ""


def _write(place: str, wanted: frozenset[str], there: frozenset[str], context: Context) -> None:
    if wanted != there:
        context.store.write_index(place, wanted, there)
