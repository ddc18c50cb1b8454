"""The rights a function needs, read from its code (``reach``), and those the templates grant.

An action is written as IAM writes it, ``codebuild:StartBuild``. What AWS itself says of an action, the kinds of
resource it takes and whether their tags may stand in a condition, is in AWS's service authorization reference, which
cfn-lint ships.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from botocore import xform_name

from console.local.template import Loader
from tests.unit.reach import Reached, Source, model

ROOT = Path(__file__).parents[2]
FUNCTIONS = ROOT / "functions"
HOOKS = FUNCTIONS / "host" / "hooks"

# DynamoDB has no right of that name: a transaction needs the rights of its parts.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
TRANSACTION = "dynamodb:TransactWriteItems"
PARTS = {
    "Put": "dynamodb:PutItem",
    "Update": "dynamodb:UpdateItem",
    "Delete": "dynamodb:DeleteItem",
    "ConditionCheck": "dynamodb:ConditionCheckItem",
}
# Rights that are not called as their call is.
# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
OTHERWISE = {"lambda:Invoke": "lambda:InvokeFunction"}
# Rights that a call needs besides its own, each with where AWS says so.
IMPLIED = {
    # A revision that CodeDeploy has not seen is registered, then looked at, under the caller's rights.
    # https://docs.aws.amazon.com/codedeploy/latest/userguide/auth-and-access-control-permissions-reference.html
    "codedeploy:CreateDeployment": {
        "codedeploy:GetApplicationRevision",
        "codedeploy:GetDeploymentConfig",
        "codedeploy:RegisterApplicationRevision",
    },
}

# Rights that AWS's reference calls limitable to a resource, and the operation's own page does not.
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html: composite alarms are only
# told to whom has the right "scoped to *".
UNLIMITED = {"cloudwatch:DescribeAlarms"}

# https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html: the log group is there already
LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html: by the kind of destination
BURY = {"SQS": {"sqs:SendMessage"}, "SNS": {"sns:Publish"}}

# https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
PUSH = {
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
}
# AWS's own AmazonEC2ContainerRegistryPullOnly, without what a pull-through cache needs
PULL = {"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
# https://docs.aws.amazon.com/systems-manager/latest/userguide/getting-started-create-iam-instance-profile.html
SESSIONS = {
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}
# The agent asks S3 for the bundle, and for a version of it only where the bucket keeps versions.
AGENT = {"s3:GetObject"}
# What CloudWatch's agent sends the files of containers and nginx with; the group is there.
SENDER = {"logs:CreateLogStream", "logs:PutLogEvents"}
# Of AWS's AWSCodeDeployRole what deploys to the hosts of an Auto Scaling group; no code of ours shows it.
FIND_HOSTS = {
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeLifecycleHooks",
    "ec2:DescribeInstances",
    "ec2:DescribeInstanceStatus",
    "tag:GetResources",
}
HOLD_NEW_HOSTS = {
    "autoscaling:CompleteLifecycleAction",
    "autoscaling:DeleteLifecycleHook",
    "autoscaling:PutLifecycleHook",
    "autoscaling:RecordLifecycleActionHeartbeat",
}


# --- what the code needs ---------------------------------------------------------------------------------------------


def shipped() -> dict[str, str]:
    """The sources that run in Lambda, by module."""
    paths = (p for p in FUNCTIONS.rglob("*.py") if FUNCTIONS / "host" not in p.parents)
    names = {".".join(p.relative_to(FUNCTIONS).with_suffix("").parts): p for p in paths}
    return {name.removesuffix(".__init__"): path.read_text(encoding="utf-8") for name, path in names.items()}


@cache
def source() -> Source:
    return Source(shipped())


@cache
def called(handler: str) -> Mapping[str, str]:
    """The actions the shipped code needs from a handler on, each with the names that lead there."""
    return needed(source().reached(handler))


def needed(reached: Reached) -> dict[str, str]:
    """The actions that what is within reach needs, each with the names that lead there."""
    found: dict[str, str] = {}
    for operation in sorted(reached.operations, key=lambda o: (o.service, o.name)):
        action = f"{_prefix(operation.service)}:{operation.name}"
        texts = reached.texts.get(operation.chain[-1].rsplit(".", 2)[0], frozenset())
        for each in _actions(action, texts):
            found[each] = " → ".join(operation.chain)
    return found


def asked(service: str, operation: str, parameters: Mapping[str, Any]) -> set[str]:
    """The actions that one call which was made needed."""
    parts = {part for item in parameters.get("TransactItems", ()) for part in item}
    return _actions(f"{_prefix(service)}:{operation}", parts)


def _actions(action: str, texts: Iterable[str]) -> set[str]:
    if action == TRANSACTION:
        parts = {PARTS[text] for text in texts if text in PARTS}
        if not parts:
            raise LookupError(f"{action} stands where no part of a transaction does: which rights does it need?")
        return parts
    action = OTHERWISE.get(action, action)
    _authorization(action)
    return {action, *IMPLIED.get(action, ())}


def _prefix(service: str) -> str:
    """What a service is called in a policy: as in its signatures, but for one."""
    name = str(model(service).signing_name)
    return {"monitoring": "cloudwatch"}.get(name, name)


def running(function: Mapping[str, Any]) -> set[str]:
    """The rights that a function's own settings need: its log, and where its failures go."""
    found = set(LOG) if "LoggingConfig" in function else set()
    failure = function.get("EventInvokeConfig", {}).get("DestinationConfig", {}).get("OnFailure")
    return found | (BURY[failure["Type"]] if failure else set())


def commands(text: str) -> set[str]:
    """The rights that the AWS and docker commands of a script, a buildspec or a hook need."""
    found: set[str] = set()
    # At a command's place; a hint that a person may type "aws ssm put-parameter" is none.
    calls = re.findall(r"(?:^(?:\s*-)?|\$\(|[|;&]|\bthen|\bdo)\s*aws ([a-z0-9]+) ([a-z-]+)", text, re.MULTILINE)
    calls += re.findall(r"\[aws, \"([a-z0-9]+)\", \"([a-z-]+)\"", text)
    for service, command in calls:
        name = "GetAuthorizationToken" if command == "get-login-password" else _named(service, command)
        found |= _actions(f"{_prefix(service)}:{name}", ())
    found |= PUSH if re.search(r"\bdocker push\b", text) else set()
    found |= PULL if re.search(r"\bdocker pull\b|--cache-from", text) else set()
    return found


def _named(service: str, command: str) -> str:
    return next(name for name in model(service).operation_names if xform_name(name, "-") == command)


# --- what the templates grant ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Grant:
    """One action on one resource: ``owner`` is the logical id of the role or policy it stands in, ``resource`` an ARN
    with the names of things in <>. ``condition`` is JSON, "" for none."""

    owner: str
    allow: bool
    action: str
    resource: str
    condition: str


class Template:
    """A template of ours, read."""

    def __init__(self, text: str) -> None:
        document: dict[str, Any] = yaml.load(text, Loader)
        self.document = document
        self.resources: dict[str, dict[str, Any]] = document["Resources"]

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of the resources of a type, by logical id; Globals count for functions."""
        shared = self.document.get("Globals", {}).get("Function", {}) if kind == "AWS::Serverless::Function" else {}
        return {k: shared | r["Properties"] for k, r in self.resources.items() if r["Type"] == kind}

    def role_of(self, function: str) -> str:
        """The logical id of a function's role."""
        role = self.of_type("AWS::Serverless::Function")[function]["Role"]
        return str(role["Fn::GetAtt"][0])

    def foreign(self) -> dict[str, list[Any]]:
        """The policies that roles have from elsewhere, whose rights nobody here can read."""
        attached = {k: r.get("ManagedPolicyArns", []) for k, r in self.of_type("AWS::IAM::Role").items()}
        return {k: found for k, arns in attached.items() if (found := [a for a in arns if not self._is_ours(a)])}

    def held_by(self, role: str) -> list[Grant]:
        """What a role grants, with the managed policies of this template that it has."""
        attached = self.of_type("AWS::IAM::Role")[role].get("ManagedPolicyArns", [])
        owners = {role, *(arn["Ref"] for arn in attached if self._is_ours(arn))}
        return [grant for grant in self.grants() if grant.owner in owners]

    def grants(self) -> list[Grant]:
        """Everything that any policy document of the template grants or denies."""
        return [grant for owner, resource in self.resources.items() for grant in self._within(owner, resource)]

    def _is_ours(self, arn: Any) -> bool:
        return isinstance(arn, dict) and arn.get("Ref") in self.of_type("AWS::IAM::ManagedPolicy")

    def _within(self, owner: str, node: Any) -> Iterator[Grant]:
        if isinstance(node, list):
            for each in node:
                yield from self._within(owner, each)
        elif isinstance(node, dict):
            for statement in _listed(node.get("Statement", [])):
                if "Resource" in statement or "NotResource" in statement or "NotAction" in statement:
                    yield from self._granted(owner, statement)
            for each in node.values():
                yield from self._within(owner, each)

    def _granted(self, owner: str, statement: Mapping[str, Any]) -> Iterator[Grant]:
        condition = json.dumps(statement["Condition"], sort_keys=True) if "Condition" in statement else ""
        for action in _listed(statement["Action"]):  # NotAction is nothing we write: a KeyError is right
            for resource in _listed(statement["Resource"]):
                yield Grant(owner, statement["Effect"] == "Allow", action, self.written(resource), condition)

    def written(self, value: Any) -> str:
        """A resource of a policy as an ARN, with the names of things in <>."""
        match value:
            case str():
                return value
            case {"Ref": name} | {"Fn::GetAtt": [name, "Arn"]}:
                return self._arn(name)
            case {"Fn::If": ["OwnRepository", own, _]}:
                return self.written(own)
            case {"Fn::Sub": str() as text}:
                return re.sub(r"\$\{([A-Za-z0-9:.]+)\}", lambda found: self._put(found[1]), text)
        raise LookupError(f"{value} stands as a resource of a policy and is not understood")

    def _put(self, name: str) -> str:
        known = {"AWS::Partition": "aws", "AWS::Region": "REGION", "AWS::AccountId": "ACCOUNT"}
        known |= {"AWS::StackName": "<stack>", "ControllerStack": "<stack>", "ServiceName": "<service>"}
        return self._arn(name.removesuffix(".Arn")) if name.endswith(".Arn") else known.get(name, f"<{name}>")

    def _arn(self, name: str) -> str:
        form = {
            "AWS::CodeCommit::Repository": "codecommit:REGION:ACCOUNT:{}",
            "AWS::DynamoDB::Table": "dynamodb:REGION:ACCOUNT:table/{}",
            "AWS::ECR::Repository": "ecr:REGION:ACCOUNT:repository/{}",
            "AWS::Logs::LogGroup": "logs:REGION:ACCOUNT:log-group:{}:*",  # CloudFormation's .Arn has the :*
            "AWS::S3::Bucket": "s3:::{}",
            "AWS::SNS::Topic": "sns:REGION:ACCOUNT:{}",
            "AWS::SQS::Queue": "sqs:REGION:ACCOUNT:{}",
        }[self.resources[name]["Type"]]
        return "arn:aws:" + form.format(f"<{name}>")


@cache
def template(name: str) -> Template:
    return Template((ROOT / name).read_text(encoding="utf-8"))


def missing_and_extra(of: Template, function: str, code: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What a function's code or settings need and its role lacks, and what the role has for nothing."""
    settings = of.of_type("AWS::Serverless::Function")[function]
    granted = {g.action for g in of.held_by(of.role_of(function)) if g.allow}
    wanted = set(code) | running(settings)
    return (
        [f"{action}, called by {code.get(action, 'Lambda itself')}" for action in sorted(wanted - granted)],
        sorted(granted - wanted),
    )


def short(resource: str) -> str:
    """An ARN as docs/aws.md writes it: without partition, region and account; a log group is its owner's."""
    text = re.sub(r"^arn:aws:([a-z0-9-]+):(?:REGION)?:(?:ACCOUNT)?:", r"\1:", resource)
    return re.sub(r"^logs:log-group:<\w+>", "logs:log-group:<own>", text)


# --- what AWS says of an action --------------------------------------------------------------------------------------


@cache
def _reference() -> dict[str, Any]:
    found = find_spec("cfnlint")  # which is not loaded for it: that takes seconds
    assert found is not None
    assert found.origin is not None
    path = Path(found.origin).parent / "data" / "AdditionalSpecs" / "Policies.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def _authorization(action: str) -> tuple[str, Mapping[str, Any]]:
    service, _, name = action.partition(":")
    known = _reference().get(service, {}).get("Actions", {})
    if name.lower() not in known:
        raise LookupError(
            f"AWS knows no right called {action}; say in tests/unit/rights.py what the call needs instead"
        )
    return service, known[name.lower()]


@dataclass(frozen=True)
class Kind:
    """A kind of resource an action takes: how its ARN begins, and whether its tags may stand in a condition."""

    name: str
    begins: str
    tagged: bool


def kinds(action: str) -> list[Kind]:
    """The kinds of resource an action takes; none where AWS limits it to no resource."""
    service, authorization = _authorization(action)
    if action in UNLIMITED:
        return []
    known = _reference()[service]["Resources"]
    return [
        Kind(name, begins, "aws:ResourceTag/${TagKey}" in known[name].get("ConditionKeys", ()))
        for name in map(str.lower, authorization.get("Resources", ()))
        for begins in map(_beginning, known[name].get("ARNFormats", ()))
    ]


def _beginning(form: str) -> str:
    text = form.replace("${Partition}", "aws").replace("${Region}", "REGION").replace("${Account}", "ACCOUNT")
    return re.split(r"\.\*|\$\{", text, maxsplit=1)[0]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
