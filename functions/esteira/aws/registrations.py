"""The registered services and their secrets, in SSM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from esteira.config import Service
from esteira.registration import registered

AT_ONCE = 10  # names that GetParameters takes


@dataclass(frozen=True)
class Registrations:
    """SSM's parameters, as the controller needs them."""

    client: Callable[..., Any]

    def services(self, path: str) -> tuple[tuple[Service, ...], tuple[str, ...]]:
        """The services registered under the SSM path, by name, and a sentence for each registration that has something
        wrong."""
        services, faults = self.listed(path)
        return tuple(services.values()), faults

    def listed(self, path: str) -> tuple[dict[str, Service], tuple[str, ...]]:
        """The same by SSM parameter, ten in a call."""
        pages = self.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True)
        return _registered(parameter for page in pages for parameter in page["Parameters"])

    def registered(self, names: Sequence[str]) -> tuple[dict[str, Service], tuple[str, ...]]:
        """The same of those SSM parameters that are there, ten in a call."""
        batches = [list(names[start : start + AT_ONCE]) for start in range(0, len(names), AT_ONCE)]
        answers = [self.client("ssm").get_parameters(Names=batch) for batch in batches]
        return _registered(parameter for answer in answers for parameter in answer["Parameters"])

    def parameters_below(self, folder: str) -> Iterator[Mapping[str, Any]]:
        """The SSM parameters below a folder. DescribeParameters gives no value, so nobody needs a right to read one."""
        where = [{"Key": "Path", "Option": "Recursive", "Values": [folder.removesuffix("/")]}]
        pages = self.client("ssm").get_paginator("describe_parameters").paginate(ParameterFilters=where)
        return (parameter for page in pages for parameter in page["Parameters"])

    def parameter_names(self, folder: str) -> frozenset[str]:
        """Their names."""
        return frozenset(str(parameter["Name"]) for parameter in self.parameters_below(folder))

    def secret(self, parameter: str) -> str:
        """An SSM parameter's value, decrypted. It is used and never shown."""
        answer = self.client("ssm").get_parameter(Name=parameter, WithDecryption=True)
        return str(answer["Parameter"]["Value"])


def _registered(parameters: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Service], tuple[str, ...]]:
    """SSM lists in no order."""
    services: dict[str, Service] = {}
    faults: list[str] = []
    for parameter in sorted(parameters, key=lambda p: str(p["Name"])):
        service, fault = registered(parameter["Name"], parameter["Value"])
        if service:
            services[parameter["Name"]] = service
        faults += [fault] if fault else []
    return services, tuple(faults)
