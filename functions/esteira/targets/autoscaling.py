"""The Auto Scaling group of a stage: which hosts are in it, and their replacement.

CodeDeploy holds a new host by a lifecycle hook, gives it the last revision that succeeded, and lets it into service
when its hooks succeeded there. So a host that is InService answered with a release of the stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from esteira.config import Service
from esteira.errors import code_of

# Who made a deployment, in CodeDeploy's words, where a group launched a host.
LAUNCHED = ("autoscaling", "CodeDeployAutoUpdate")
BOTH = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200}  # a new host serves before the old one goes


@dataclass(frozen=True)
class DeploymentGroups:
    """CodeDeploy's groups, one for each stage."""

    client: Callable[..., Any]

    def group_info(self, service: Service, stage: str) -> Mapping[str, Any]:
        """The stage's deployment group as CodeDeploy tells it; nothing where there is none, which ``doctor`` says."""
        try:
            told: Mapping[str, Any] = self.client("codedeploy").get_deployment_group(
                applicationName=service.application, deploymentGroupName=service.stage(stage).group
            )["deploymentGroupInfo"]
        except Exception as error:
            if code_of(error) in ("ApplicationDoesNotExistException", "DeploymentGroupDoesNotExistException"):
                return {}
            raise
        return told


@dataclass(frozen=True)
class HostGroups(DeploymentGroups):
    """Auto Scaling, as the controller needs it."""

    def group_of(self, service: Service, stage: str) -> str:
        """The name of the stage's Auto Scaling group, "" where its hosts are found by their tags."""
        groups: list[Mapping[str, str]] = self.group_info(service, stage).get("autoScalingGroups") or []
        return groups[0]["name"] if groups else ""

    def group_hosts(self, group: str) -> dict[str, str]:
        """By host, the state of its life in the group: InService, Pending:Wait, Terminating …"""
        told = self.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[group])
        return {i["InstanceId"]: i["LifecycleState"] for g in told["AutoScalingGroups"] for i in g["Instances"]}

    def replace_hosts(self, group: str, host: str) -> None:
        """Have a host of the group replaced, or all of them one after another where ``host`` is "".

        Of one, the group is told that it is not well: it starts another and ends this one when that is in service.
        TerminateInstanceInAutoScalingGroup would end it first. Said twice it is done once.
        """
        autoscaling = self.client("autoscaling")
        if host:
            autoscaling.set_instance_health(InstanceId=host, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
        else:
            try:
                autoscaling.start_instance_refresh(AutoScalingGroupName=group, Strategy="Rolling", Preferences=BOTH)
            except Exception as error:
                if not code_of(error).startswith("InstanceRefreshInProgress"):
                    raise
