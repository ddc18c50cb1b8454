"""The templates as the local mode needs them: read, their parameters and intrinsics resolved. It
creates nothing (``aws/resources.py`` does) and decides nothing.

Only what is asked for is resolved, so that a dashboard or an instance may use whatever CloudFormation offers; what is
asked for and not understood is refused with its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from console.local.aws_account import ACCOUNT, REGION, arn
from console.local.rules import EventRule, Schedule

NOTHING = object()  # AWS::NoValue
SERVICE = "heart"  # what the one service of the local mode is called
NAMES = {  # the property that names a resource of a type
    "AWS::CodeBuild::Project": "Name",
    "AWS::CodeCommit::Repository": "RepositoryName",
    "AWS::CodeDeploy::Application": "ApplicationName",
    "AWS::CodeDeploy::DeploymentGroup": "DeploymentGroupName",
    "AWS::DynamoDB::Table": "TableName",
    "AWS::ECR::Repository": "RepositoryName",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::SSM::Parameter": "Name",
    "AWS::Serverless::Function": "FunctionName",
}
ARNS: dict[str, Callable[[str], str]] = {
    "AWS::CodeBuild::Project": lambda name: arn("codebuild", f"project/{name}"),
    "AWS::CodeCommit::Repository": lambda name: arn("codecommit", name),
    "AWS::DynamoDB::Table": lambda name: arn("dynamodb", f"table/{name}"),
    "AWS::ECR::Repository": lambda name: arn("ecr", f"repository/{name}"),
    "AWS::Events::Rule": lambda name: arn("events", f"rule/{name}"),
    "AWS::IAM::Role": lambda name: arn("iam", f"role/{name}", region=""),
    "AWS::Lambda::Function": lambda name: arn("lambda", f"function:{name}"),
    "AWS::Logs::LogGroup": lambda name: arn("logs", f"log-group:{name}:*"),
    "AWS::S3::Bucket": lambda name: arn("s3", name, region="", account=""),
    "AWS::SNS::Topic": lambda name: arn("sns", name),
    "AWS::SQS::Queue": lambda name: arn("sqs", name),
    "AWS::Serverless::Function": lambda name: arn("lambda", f"function:{name}"),
}


PURE: dict[str, Callable[[Any], Any]] = {  # the intrinsics that need nothing but their arguments
    "Fn::And": all,
    "Fn::Base64": lambda given: given,
    "Fn::GetAZs": lambda _: [f"{REGION}a"],
    "Fn::Equals": lambda given: str(given[0]) == str(given[1]),
    "Fn::Join": lambda given: str(given[0]).join(str(part) for part in given[1]),
    "Fn::Not": lambda given: not given[0],
    "Fn::Or": any,
    "Fn::Select": lambda given: given[1][int(given[0])],
    "Fn::Split": lambda given: given[1].split(given[0]),
}


class TemplateError(Exception):
    """The template holds something the local mode cannot read; the message says where and what to do."""


@dataclass(frozen=True)
class FunctionSpec:
    """A function as the template declares it."""

    logical_id: str
    name: str
    handler: str
    code: str  # CodeUri, as written
    environment: Mapping[str, str]
    timeout: float  # seconds
    memory: int  # MB
    dead_letters: str = ""  # name of the queue failed asynchronous invocations go to
    destination: bool = False  # it is an OnFailure destination, not a dead-letter queue


@dataclass(frozen=True)
class Resource:
    """A resource with its properties resolved; ``name`` is its physical name."""

    stack: str
    logical_id: str
    type: str
    name: str
    properties: Mapping[str, Any]


# libyaml reads a template in a tenth of the time, and PyYAML has it on every usual machine.
SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(SafeLoader):  # type: ignore[misc]
    """YAML with CloudFormation's short tags, each read as its long form."""


def _tag(loader: Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", _tag)
# a date in a policy stays the text it is
Loader.yaml_implicit_resolvers = {
    first: [(tag, expression) for tag, expression in rows if tag != "tag:yaml.org,2002:timestamp"]
    for first, rows in Loader.yaml_implicit_resolvers.items()
}


def with_service(controller: Stack, parameters: Mapping[str, Any] | None = None) -> Stack:
    """The controller with the stack of one service (service.yaml, ``heart`` unless told otherwise) beside it."""
    given = {"ServiceName": SERVICE, "ControllerStack": controller.name, **(parameters or {})}
    name = f"{controller.name}-{given['ServiceName']}"
    return replace(controller, services=(read(controller.path.with_name("service.yaml"), name, given),))


def read(path: Path, name: str = "esteira", parameters: Mapping[str, Any] | None = None) -> Stack:
    """The stack ``name`` that ``path`` describes with ``parameters`` over its defaults."""
    try:
        document = yaml.load(path.read_text(), Loader)
    except OSError as error:
        raise TemplateError(f"{path} cannot be read ({error.strerror}): run this from the project's folder.") from error
    except yaml.YAMLError as error:
        raise TemplateError(f"{path} is not YAML: {error}. Correct it, then run: make check") from error
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict):
        raise TemplateError(f"{path} has no Resources: give the project's template.yaml.")
    return Stack(path, document, name, dict(parameters or {}))


@dataclass
class Stack:
    """One stack of a template: ``parameters`` are the given ones, ``services`` the stacks that go with a controller."""

    path: Path
    document: Mapping[str, Any]
    name: str
    parameters: dict[str, Any]
    services: tuple[Stack, ...] = ()
    _resolving: list[str] = field(default_factory=list, repr=False)

    # what the local mode asks

    @cached_property
    def functions(self) -> tuple[FunctionSpec, ...]:
        """The functions of this stack."""
        kinds = ("AWS::Serverless::Function", "AWS::Lambda::Function")
        return tuple(self._function(id_) for id_, row in self._there() if row["Type"] in kinds)

    @cached_property
    def rules(self) -> tuple[EventRule, ...]:
        """The event rules: SAM's ``EventBridgeRule`` events and ``AWS::Events::Rule``."""
        found: list[EventRule] = []
        for id_, name, event in self._events("EventBridgeRule", "CloudWatchEvent"):
            found.append(EventRule(f"{self.name}-{id_}{name}", event["Pattern"], (id_,)))
        for id_, row in self._of("AWS::Events::Rule"):
            if "EventPattern" in row:
                found.append(EventRule(self.physical(id_), row["EventPattern"], tuple(self._targets(id_))))
        return tuple(found)

    @cached_property
    def schedules(self) -> tuple[Schedule, ...]:
        """The schedules: SAM's ``Schedule`` and ``ScheduleV2`` events and scheduled rules."""
        found: list[Schedule] = []
        for kind in ("Schedule", "ScheduleV2"):
            for id_, name, event in self._events(kind):
                where = f"{self.name}-{id_}{name}"
                found.append(
                    Schedule(
                        where,
                        id_,
                        event.get("Schedule") or event["ScheduleExpression"],
                        kind == "ScheduleV2",
                        event.get("Input"),
                    )
                )
        for id_, row in self._of("AWS::Events::Rule"):
            if "ScheduleExpression" in row:
                found += [
                    Schedule(self.physical(id_), target, row["ScheduleExpression"]) for target in self._targets(id_)
                ]
        return tuple(found)

    def resources(self, *types: str) -> Iterator[Resource]:
        """The resources of ``types`` in this stack and its services', resolved, in the templates' order."""
        for id_, row in self._there():
            if row["Type"] in types:
                properties = self.resolve(row.get("Properties", {}), f"Resources.{id_}")
                yield Resource(self.name, id_, row["Type"], self.physical(id_), properties)
        for stack in self.services:
            yield from stack.resources(*types)

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """The outputs whose condition holds, resolved."""
        rows = self.document.get("Outputs", {})
        return {n: self.resolve(r["Value"], f"Outputs.{n}") for n, r in rows.items() if self.holds(r.get("Condition"))}

    def holds(self, condition: str | None) -> bool:
        """Whether a condition by its name holds (no name: yes)."""
        if condition is None:
            return True
        try:
            return bool(self.resolve(self.document["Conditions"][condition], f"Conditions.{condition}"))
        except KeyError:
            raise self._error(f"Conditions.{condition}", "is not there; declare it or correct its name") from None

    def physical(self, id_: str) -> str:
        """The physical name of a resource: its own name, or STACK-LOGICALID as CloudFormation would begin it."""
        row = self.document["Resources"][id_]
        wanted = NAMES.get(row["Type"])
        given = row.get("Properties", {}).get(wanted) if wanted else None
        if given is not None:
            return str(self.resolve(given, f"Resources.{id_}.Properties.{wanted}"))
        made = f"{self.name}-{id_}"
        return made.lower() if row["Type"] in ("AWS::S3::Bucket", "AWS::ECR::Repository") else made

    def resolve(self, value: Any, where: str = "") -> Any:
        """``value`` with every intrinsic replaced by what it stands for; ``where`` is its place, for messages."""
        if isinstance(value, dict):
            if len(value) == 1:
                name, argument = next(iter(value.items()))
                if name in ("Ref", "Condition") or str(name).startswith("Fn::"):
                    return self._intrinsic(str(name), argument, where)
            resolved = {key: self.resolve(inner, f"{where}.{key}") for key, inner in value.items()}
            return {key: inner for key, inner in resolved.items() if inner is not NOTHING}
        if isinstance(value, list):
            return [inner for v in value if (inner := self.resolve(v, where)) is not NOTHING]
        return value

    # intrinsics

    def _intrinsic(self, name: str, argument: Any, where: str) -> Any:
        match name:
            case "Ref":
                return self._ref(argument, where)
            case "Condition":
                return self.holds(argument)
            case "Fn::GetAtt":
                id_, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
                return self._attribute(id_, self.resolve(attribute, where), where)
            case "Fn::Sub":
                return self._sub(argument, where)
            case "Fn::If":
                return self.resolve(argument[1 if self.holds(argument[0]) else 2], where)
        arguments = self.resolve(argument, where)
        if name == "Fn::FindInMap":
            table, first, second = arguments
            return self.resolve(self.document["Mappings"][table][first][str(second)], where)
        if name not in PURE:
            known = "write it with Ref, Sub, GetAtt, Join or If"
            raise self._error(where, f"uses {name}, which the local mode does not read; {known}")
        return PURE[name](arguments)

    def _ref(self, name: str, where: str) -> Any:
        pseudo = {
            "AWS::AccountId": ACCOUNT,
            "AWS::NoValue": NOTHING,
            "AWS::Partition": "aws",
            "AWS::Region": REGION,
            "AWS::StackId": arn("cloudformation", f"stack/{self.name}/local"),
            "AWS::StackName": self.name,
            "AWS::URLSuffix": "amazonaws.com",
        }
        if name in pseudo:
            return pseudo[name]
        if name in self.document.get("Parameters", {}):
            return self._parameter(name)
        if name not in self.document["Resources"]:
            raise self._error(where, f"refers to {name}, which is neither a parameter nor a resource; correct the name")
        kind, physical = self.document["Resources"][name]["Type"], self.physical(name)
        if kind == "AWS::SNS::Topic":
            return ARNS[kind](physical)
        return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{physical}" if kind == "AWS::SQS::Queue" else physical

    def _parameter(self, name: str) -> Any:
        declared = self.document["Parameters"][name]
        value = self.parameters.get(name, declared.get("Default"))
        if value is None:
            raise self._error(f"Parameters.{name}", "has no default and was not given; pass it")
        if declared.get("Type") == "Number":
            number = float(value)
            return int(number) if number.is_integer() else number
        return value.split(",") if "List" in declared.get("Type", "") and isinstance(value, str) else value

    def _attribute(self, id_: str, attribute: str, where: str) -> Any:
        if id_ not in self.document["Resources"]:
            raise self._error(where, f"asks for {id_}.{attribute}, and there is no {id_}; correct the name")
        kind = self.document["Resources"][id_]["Type"]
        name = self.physical(id_)
        known = {
            (
                "AWS::CodeCommit::Repository",
                "CloneUrlHttp",
            ): f"https://git-codecommit.{REGION}.amazonaws.com/v1/repos/{name}",
            ("AWS::ECR::Repository", "RepositoryUri"): f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{name}",
            ("AWS::SQS::Queue", "QueueUrl"): f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}",
        }
        if (kind, attribute) in known:
            return known[kind, attribute]
        if attribute in ("Arn", "TopicArn") and kind in ARNS:
            return ARNS[kind](name)
        if attribute in ("Name", "QueueName", "TopicName"):
            return name
        return f"{name}-{attribute}"  # of something the local mode does not create: a host, a network

    def _sub(self, argument: Any, where: str) -> str:
        text, given = (argument, {}) if isinstance(argument, str) else (argument[0], self.resolve(argument[1], where))

        def value(match: re.Match[str]) -> str:
            name = match.group(1).strip()
            if name.startswith("!"):
                return f"${{{name[1:]}}}"
            if name in given:
                return str(given[name])
            id_, dot, attribute = name.partition(".")
            return str(self._attribute(id_, attribute, where) if dot else self._ref(name, where))

        return re.sub(r"\$\{([^}]+)\}", value, text)

    # resources

    def _there(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """The resources whose condition holds."""
        return ((id_, row) for id_, row in self.document["Resources"].items() if self.holds(row.get("Condition")))

    def _of(self, kind: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for id_, row in self._there():
            if row["Type"] == kind:
                yield id_, self.resolve(row.get("Properties", {}), f"Resources.{id_}")

    def _function(self, id_: str) -> FunctionSpec:
        shared = self.document.get("Globals", {}).get("Function", {})
        own = self.document["Resources"][id_].get("Properties", {})
        row = {key: own.get(key, shared.get(key)) for key in ("Handler", "CodeUri", "Timeout", "MemorySize")}
        where = f"Resources.{id_}"
        row = self.resolve({key: value for key, value in row.items() if value is not None}, where)
        if "Handler" not in row:
            raise self._error(where, "has no Handler; give it one, such as intake.handler")
        variables = {
            **shared.get("Environment", {}).get("Variables", {}),
            **own.get("Environment", {}).get("Variables", {}),
        }
        failure = own.get("EventInvokeConfig", {}).get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
        letters = own.get("DeadLetterQueue", {}).get("TargetArn") or own.get("DeadLetterConfig", {}).get("TargetArn")
        queue = self.resolve(failure or letters or "", where)
        return FunctionSpec(
            logical_id=id_,
            name=self.physical(id_),
            handler=row["Handler"],
            code=row.get("CodeUri", "."),
            environment={name: str(value) for name, value in self.resolve(variables, where).items()},
            timeout=float(row.get("Timeout", 3)),
            memory=int(row.get("MemorySize", 128)),
            dead_letters=str(queue).rpartition(":")[2],
            destination=bool(failure),
        )

    def _events(self, *kinds: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        for id_, row in self._there():
            for name, event in row.get("Properties", {}).get("Events", {}).items():
                if row["Type"] == "AWS::Serverless::Function" and event["Type"] in kinds:
                    wanted = {"Pattern", "Schedule", "ScheduleExpression", "Input"}
                    kept = {key: value for key, value in event.get("Properties", {}).items() if key in wanted}
                    yield id_, name, self.resolve(kept, f"Resources.{id_}.Events.{name}")

    def _targets(self, rule: str) -> Iterator[str]:
        """The functions among a rule's targets, by name."""
        row = self.resolve(self.document["Resources"][rule]["Properties"].get("Targets", []), f"Resources.{rule}")
        return (target["Arn"].rpartition(":function:")[2] for target in row if ":function:" in target["Arn"])

    def _error(self, where: str, what: str) -> TemplateError:
        return TemplateError(f"{self.path.name}: {where} {what}.")
