"""The names by which events tell whose they are: of a service, and in an event. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aws_events.heard import name_in
from esteira.config import Service, Settings

Detail = Mapping[str, Any]
LONGEST = 300  # characters; an alarm's name has at most 255


def names_of(service: Service) -> frozenset[str]:
    """Every name by which an event may be about the service, as ``KIND/NAME``. Its policy says which alarms it has."""
    return frozenset(
        (
            by_name(service.name),
            f"repository/{service.repository}",
            f"project/{service.project}",
            f"images/{service.images}",
            *(f"group/{service.application}/{stage.group}" for stage in service.stages),
            *(f"alarm/{alarm}" for stage in service.stages for alarm in stage.alarms),
        )
    )


def by_name(service: str) -> str:
    """The name of a service by that name."""
    return f"service/{service}"


def name_of(event: object, settings: Settings) -> str:
    """The name that an event carries; "" where it can be no name of a service's, as in another account's event."""
    if not isinstance(event, Mapping) or (event.get("account"), event.get("region")) != (
        settings.account,
        settings.region,
    ):
        return ""
    source, detail = event.get("source"), event.get("detail")
    read = _NAMED.get(source) if isinstance(source, str) else None
    name = read(detail) if read is not None and isinstance(detail, Mapping) else ""
    return name if len(name) <= LONGEST else ""


def _scanned(detail: Detail) -> str:
    return f"images/{name_in(detail, 'repository-name').rpartition(':repository/')[2]}"


_NAMED: dict[str, Callable[[Detail], str]] = {
    "aws.codecommit": lambda detail: f"repository/{name_in(detail, 'repositoryName')}",
    "aws.codebuild": lambda detail: f"project/{name_in(detail, 'project-name')}",
    "aws.ecr": lambda detail: f"images/{name_in(detail, 'repository-name')}",
    "aws.inspector2": _scanned,
    "aws.codedeploy": lambda detail: f"group/{name_in(detail, 'application')}/{name_in(detail, 'deploymentGroup')}",
    "aws.cloudwatch": lambda detail: f"alarm/{name_in(detail, 'alarmName')}",
    "esteira.host": lambda detail: by_name(name_in(detail, "service")),
}
