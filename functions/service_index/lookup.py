"""The services that bear a name: one read of the index, and one of the registrations it points at."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from esteira.config import Service
from esteira.context import Context
from esteira.telemetry import logger, metrics
from policy.document import in_force
from service_index.names import names_of

# A name that no registration has counts as nobody's for so long in this process, unless it comes into the index.
FORGET = timedelta(hours=1)


def listed(context: Context) -> dict[str, Service]:
    """Every registered service by its SSM parameter; what is wrong with a registration is logged."""
    return _told(*context.aws.listed(context.settings.services_path))


def at(parameters: tuple[str, ...], context: Context) -> dict[str, Service]:
    """The services that are registered under those SSM parameters now; a parameter that is gone is left out."""
    return _told(*context.aws.registered(parameters)) if parameters else {}


def ruled(services: Mapping[str, Service], context: Context) -> dict[str, Service]:
    """The services under their policies, which say whose an alarm is."""
    policies = context.store.policies(service.name for service in services.values())
    return {place: in_force(service, policies.get(service.name)) for place, service in services.items()}


def known(name: str, context: Context) -> tuple[Service, ...]:
    """The services that bear a name, by the index alone: two reads of registrations at any number of services."""
    return bearing(name, at(context.store.indexed(name), context), context)


def bearing(name: str, services: Mapping[str, Service], context: Context) -> tuple[Service, ...]:
    """Those of the services that bear a name, in the order of their parameters."""
    if name.startswith("alarm/"):
        services = ruled(services, context)
    return tuple(service for _, service in sorted(services.items()) if name in names_of(service))


def _told(services: dict[str, Service], faults: tuple[str, ...]) -> dict[str, Service]:
    for fault in faults:
        logger.error(fault)
        metrics.add_metric("RegistrationsRefused", "Count", 1)
    return services
