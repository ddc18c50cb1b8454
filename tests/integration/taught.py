"""What moto's CloudFormation is taught for these tests: types that it does not know, each by a name and attributes.

One of these is nothing, unless ``make`` makes it: a stand-in, so that a template with such a type can stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import boto3
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel

TAUGHT: list[type] = []  # moto finds its types among those that are alive
CLONE = "https://git-codecommit.us-east-1.amazonaws.com/v1/repos/{}"


def teach(
    type_: str, name: str, make: Callable[[str, Mapping[str, Any]], object] = lambda *_: None, **attributes: str
) -> None:
    """Let moto's CloudFormation take resources of a type, whose property ``name`` names them ("" for none)."""

    class Named(CloudFormationModel):
        __module__ = "moto.taught"  # moto keeps its instances by the second word

        def __init__(self, called: str) -> None:
            self.physical_resource_id = called

        @staticmethod
        def cloudformation_name_type() -> str:
            return name

        @staticmethod
        def cloudformation_type() -> str:
            return type_

        @classmethod
        def has_cfn_attr(cls, attr: str) -> bool:
            return attr in attributes

        def get_cfn_attribute(self, attr: str) -> str:
            return attributes[attr].format(self.physical_resource_id)

        @classmethod
        def create_from_cloudformation_json(
            cls, resource_name: str, cloudformation_json: Mapping[str, Any], *rest: Any, **more: Any
        ) -> Named:
            make(resource_name, cloudformation_json["Properties"])
            return cls(resource_name)

        @classmethod
        def update_from_cloudformation_json(cls, original_resource: Named, **more: Any) -> Named:
            return original_resource

        @classmethod
        def delete_from_cloudformation_json(cls, *rest: Any) -> None:
            """Nothing was made."""

        def is_created(self) -> bool:
            return True

    TAUGHT.append(Named)


def remember() -> None:
    """Let moto look again which types there are."""
    for cached in (parsing.get_model_list, parsing.get_model_map, parsing.get_name_type_map):
        cached.cache_clear()


def _alarm(name: str, properties: Mapping[str, Any]) -> None:
    client: Any = boto3.client  # typed for literal names only
    wanted = {k: v for k, v in properties.items() if isinstance(v, str | int)}
    client("cloudwatch").put_metric_alarm(AlarmName=name, **{"EvaluationPeriods": 1, **wanted})


teach("AWS::CodeCommit::Repository", "RepositoryName", Name="{}", CloneUrlHttp=CLONE, Arn="arn:aws:codecommit:::{}")
teach("AWS::CodeBuild::Project", "Name", Arn="arn:aws:codebuild:::project/{}")
teach("AWS::CodeDeploy::Application", "ApplicationName")
teach("AWS::CodeDeploy::DeploymentGroup", "DeploymentGroupName")
teach("AWS::CloudWatch::Alarm", "AlarmName", _alarm, Arn="arn:aws:cloudwatch:us-east-1:123456789012:alarm:{}")
teach("AWS::AutoScaling::AutoScalingGroup", "AutoScalingGroupName")  # moto makes it anew at each update
