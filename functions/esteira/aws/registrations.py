"""The registered services and their secrets, in SSM."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from esteira.config import Service
from esteira.registration import registered


@dataclass(frozen=True)
class Registrations:
    """SSM's parameters, as the controller needs them."""

    client: Callable[..., Any]

    def services(self, path: str) -> tuple[tuple[Service, ...], tuple[str, ...]]:
        """The services registered under the SSM path, by name, and a sentence for each registration that has something
        wrong. SSM lists in no order."""
        services: list[Service] = []
        faults: list[str] = []
        pages = self.client("ssm").get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True)
        for parameter in sorted((p for page in pages for p in page["Parameters"]), key=lambda p: str(p["Name"])):
            service, fault = registered(parameter["Name"], parameter["Value"])
            services += [service] if service else []
            faults += [fault] if fault else []
        return tuple(services), tuple(faults)

    def parameter_names(self, below: str) -> frozenset[str]:
        """The names of the SSM parameters below a folder. DescribeParameters gives no value, so the controller needs no
        right to read one."""
        where = [{"Key": "Path", "Option": "Recursive", "Values": [below.removesuffix("/")]}]
        pages = self.client("ssm").get_paginator("describe_parameters").paginate(ParameterFilters=where)
        return frozenset(str(parameter["Name"]) for page in pages for parameter in page["Parameters"])

    def secret(self, parameter: str) -> str:
        """An SSM parameter's value, decrypted. It is used and never shown."""
        answer = self.client("ssm").get_parameter(Name=parameter, WithDecryption=True)
        return str(answer["Parameter"]["Value"])
