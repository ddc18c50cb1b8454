"""A service on more stages than its template declares: the registration says so, and each has a deployment group of its
own, made like the last one's. What a stage asks for (votes, windows, alarms …) may be given with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError
from pydantic import ValidationError

from esteira.config import Service

Client = Callable[[str], Any]
Rules = Mapping[str, Any]  # a stage of the registration; without a group it gets one of its own
LARGEST = 4_096  # bytes of a Standard parameter
# What a new group has from the one that is there.
LIKE = ("serviceRoleArn", "deploymentConfigName")


def registered(client: Client, services_path: str) -> dict[str, dict[str, Any]]:
    """The registrations under the path, by their parameters' names."""
    pages = client("ssm").get_paginator("get_parameters_by_path").paginate(Path=services_path, Recursive=True)
    return {row["Name"]: json.loads(row["Value"]) for page in pages for row in page["Parameters"]}


def give_stages(
    client: Client, services_path: str, stages: Sequence[Rules], *, but: Collection[str] = frozenset()
) -> None:
    """Give every service registered under the path these stages, in this order; what is there stays as it is. ``but``
    are parameters to leave alone.

    Raises ValueError, with a sentence, where a service cannot have them.
    """
    ssm = client("ssm")
    for name, service in registered(client, services_path).items():
        if name in but:
            continue
        wanted = stages_of(service, stages)
        try:
            Service.model_validate(service | {"stages": wanted})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{service['name']} cannot have these stages: {where}: {first['msg']}") from None
        for stage in wanted:
            _group(client("codedeploy"), service, stage["group"])
        if wanted != service["stages"]:
            value = json.dumps(service | {"stages": wanted}, separators=(",", ":"))
            if (size := len(value.encode())) > LARGEST:
                raise ValueError(
                    f"the registration of {service['name']} would have {size:,} bytes, and a parameter of SSM holds "
                    f"{LARGEST:,}. Next: give its stages shorter rules"
                )
            ssm.put_parameter(Name=name, Type="String", Value=value, Overwrite=True)


def stages_of(service: Mapping[str, Any], stages: Sequence[Rules]) -> list[dict[str, Any]]:
    """The registration's stages as they shall be: what it said of one before stays unless it is said anew."""
    before = {stage["name"]: stage for stage in service["stages"]}
    return [
        {"group": f"{service['name']}-{stage['name']}", **before.get(stage["name"], {}), **stage} for stage in stages
    ]


def _group(codedeploy: Any, service: Mapping[str, Any], group: str) -> None:
    application, last = service["application"], service["stages"][-1]["group"]
    found = codedeploy.get_deployment_group(applicationName=application, deploymentGroupName=last)
    like = {key: found["deploymentGroupInfo"][key] for key in LIKE if found["deploymentGroupInfo"].get(key)}
    try:
        codedeploy.create_deployment_group(applicationName=application, deploymentGroupName=group, **like)
    except ClientError as error:
        if error.response["Error"]["Code"] != "DeploymentGroupAlreadyExistsException":
            raise
