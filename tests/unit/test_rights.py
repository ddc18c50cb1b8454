"""Least privilege: each function may do what its code can come to do, and nothing else; so may each other role."""

from __future__ import annotations

import json
import re
from textwrap import dedent

import pytest

from tests.unit import rights
from tests.unit.reach import Source, UnfollowableError
from tests.unit.rights import Grant, Template, called, kinds, missing_and_extra, needed, short, template

TEMPLATES = ("template.yaml", "service.yaml")
HANDLERS = {f"{name}Function": f"{name.lower()}.handler" for name in ("Intake", "Sweep", "Operate", "Announce")}
GUIDE = (rights.ROOT / "docs" / "aws.md").read_text(encoding="utf-8")


def every_grant() -> list[Grant]:
    return [grant for name in TEMPLATES for grant in template(name).grants()]


# --- each function has what its code can call ------------------------------------------------------------------------


def test_every_function_of_the_template_is_looked_at() -> None:
    """A fifth function has its rights compared as well, as soon as it is named here."""
    functions = template("template.yaml").of_type("AWS::Serverless::Function")
    assert {name: f["Handler"] for name, f in functions.items()} == HANDLERS


@pytest.mark.parametrize("function", HANDLERS)
def test_a_function_may_do_what_its_code_can_call_and_nothing_else(function: str) -> None:
    """No right is missing, and none is there for nothing; a missing one is told with the way to the call."""
    missing, extra = missing_and_extra(template("template.yaml"), function, called(HANDLERS[function]))
    assert (missing, extra) == ([], [])


def test_announce_can_change_nothing_but_its_own_memory() -> None:
    """The function that may fail without hurting a release can call nothing by which it could hurt one."""
    assert set(called("announce.handler")) == {
        "codecommit:GetCommit",
        "codecommit:PostCommentForComparedCommit",
        "dynamodb:BatchGetItem",
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "sns:Publish",
        "ssm:GetParameter",
        "ssm:GetParameters",
        "ssm:GetParametersByPath",
        "xray:PutTraceSegments",
    }


def test_those_who_advance_share_their_rights_because_they_use_the_same() -> None:
    """Were one of them to need less than AdvancePolicy grants, the policy would have to be split. What the sweep asks
    besides, it alone may: the alarms, of which the others hear by an event, and what others deployed. It alone calls
    itself. A failed build's log is read by those who hear of it."""
    assert set(called("intake.handler")) - set(called("operate.handler")) == {"logs:GetLogEvents"}
    replacing = {"autoscaling:SetInstanceHealth", "autoscaling:StartInstanceRefresh"}
    groups = {"autoscaling:DescribeAutoScalingGroups", "codedeploy:GetDeploymentGroup"}
    assert set(called("operate.handler")) - set(called("intake.handler")) == groups | replacing
    assert set(called("sweep.handler")) - set(called("intake.handler")) == {
        "cloudwatch:DescribeAlarms",
        "autoscaling:DescribeAutoScalingGroups",
        "codedeploy:GetDeploymentGroup",
        "lambda:InvokeFunction",
    }
    assert set(called("intake.handler")) - set(called("sweep.handler")) == set()


def test_no_role_has_rights_that_stand_elsewhere() -> None:
    """What AWS's own policies grant can change, and cannot be read here."""
    assert {name: found for name in TEMPLATES if (found := template(name).foreign())} == {}


def test_each_function_has_its_own_role_which_lambda_alone_may_take() -> None:
    """No two functions share a role; and each role may be taken by one service alone, or by GitHub's workflows."""
    assert len({template("template.yaml").role_of(function) for function in HANDLERS}) == len(HANDLERS)
    trusted = {
        role: [list(s["Principal"].items()) for s in properties["AssumeRolePolicyDocument"]["Statement"]]
        for name in TEMPLATES
        for role, properties in template(name).of_type("AWS::IAM::Role").items()
        if role != "GitHubRole"  # its trust has a test of its own
    }
    services = {role: [f"{principal[0][1]}".removesuffix(".amazonaws.com")] for role, [principal] in trusted.items()}
    lambdas = {template("template.yaml").role_of(function): ["lambda"] for function in HANDLERS}
    others = {"BuildRole": ["codebuild"], "DeployRole": ["codedeploy"], "HostRole": ["ec2"]}
    assert services == lambdas | others


# --- and the comparison can fail -------------------------------------------------------------------------------------


def changed(module: str, old: str, new: str) -> dict[str, str]:
    """The actions each handler needs when a piece of the code were otherwise."""
    texts = rights.shipped()
    assert texts[module].count(old) == 1, f"{module} has changed: name another piece of it here"
    source = Source({**texts, module: texts[module].replace(old, new)})
    return {name: needed(source.reached(handler)) for name, handler in HANDLERS.items()}


def test_a_call_that_nobody_granted_is_told_with_the_way_to_it() -> None:
    """A new call deep in the store is missing for those who come there, and for no other."""
    old = '"""Read a release no more, unless it was reopened for another attempt meanwhile."""\n'
    code = changed("esteira.store.releases", old, f"{old}        self._client.scan(TableName=self._table)\n")
    found = {name: missing_and_extra(template("template.yaml"), name, code[name]) for name in HANDLERS}
    assert found.pop("AnnounceFunction") == ([], [])
    for missing, extra in found.values():
        [(action, way)] = [line.split(", called by ") for line in missing]
        assert (action, extra) == ("dynamodb:Scan", [])
        assert " → esteira.perform.perform → " in way
        assert way.endswith(" → esteira.store.releases.Releases.close")


def test_a_call_of_one_function_is_missing_for_that_one_alone() -> None:
    """What only the sweep calls is no reason to widen what intake may do."""
    old = "    s = snapshot(context.store, service, context.clock())\n"
    code = changed("esteira.observe", old, f'{old}    context.aws.client("codebuild").list_projects()\n')
    found = {name: missing_and_extra(template("template.yaml"), name, code[name])[0] for name in HANDLERS}
    assert found.pop("SweepFunction") == [
        "codebuild:ListProjects, called by sweep.handler → sweep._look_after → esteira.observe.observe"
    ]
    assert set(map(tuple, found.values())) == {()}


def test_a_call_that_is_made_no_more_leaves_a_right_too_many() -> None:
    """Without the comments, announce has no use for the right to write them."""
    told = "context.aws.comment(service, each.commit, text, each.token)"
    code = changed("notify.announce", told, "text")
    assert missing_and_extra(template("template.yaml"), "AnnounceFunction", code["AnnounceFunction"]) == (
        [],
        ["codecommit:GetCommit", "codecommit:PostCommentForComparedCommit"],
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Action: sns:Publish", "Action: [sns:Publish, sns:Subscribe]", {"AnnounceFunction": ([], ["sns:Subscribe"])}),
        ("Action: [logs:CreateLogStream, logs:PutLogEvents]\n                Resource: !GetAtt SweepLog",
         "Action: [logs:PutLogEvents]\n                Resource: !GetAtt SweepLog",
         {"SweepFunction": (["logs:CreateLogStream, called by Lambda itself"], [])}),
        ("Action: xray:PutTraceSegments", "Action: xray:PutTelemetryRecords",
         {f: (["xray:PutTraceSegments, called by "], ["xray:PutTelemetryRecords"]) for f in HANDLERS}),
        ("codebuild:StopBuild", "codebuild:StopBuildBatch",
         {f: (["codebuild:StopBuild, called by "], ["codebuild:StopBuildBatch"]) for f in list(HANDLERS)[:3]}),
    ],
)  # fmt: skip
def test_a_change_of_the_template_is_told(old: str, new: str, expected: dict[str, tuple[list[str], list[str]]]) -> None:
    """A right added, taken away or exchanged, or a setting that needs one, shows for the functions it concerns."""
    text = (rights.ROOT / "template.yaml").read_text(encoding="utf-8")
    assert old in text
    altered = Template(text.replace(old, new))
    for function, handler in HANDLERS.items():
        missing, extra = missing_and_extra(altered, function, called(handler))
        wanted, too_many = expected.get(function, ([], []))
        assert len(missing) == len(wanted)
        assert all(line.startswith(start) for line, start in zip(missing, wanted, strict=True))
        assert extra == too_many


# --- how the code is read --------------------------------------------------------------------------------------------

TOY = {
    "esteira.aws": """
        from collections.abc import Callable
        from typing import Any

        def client(name: str) -> Any:
            import boto3
            make: Any = boto3.client
            return make(name)

        class Aws:
            client: Callable[[str], Any] = client

            def publish(self, text: str) -> None:
                self.client("sns").publish(Message=text)

            def tip(self) -> str:
                return str(self.client("codecommit").get_branch()["branch"])
    """,
    "esteira.context": """
        from dataclasses import dataclass
        from esteira.aws import Aws

        @dataclass(frozen=True)
        class Context:
            aws: Aws
            name: str = ""
    """,
    "esteira.telling": """
        from esteira.context import Context

        def tell(context: Context) -> None:
            context.aws.publish("")

        def ask(context: Context) -> str:
            return context.aws.tip()
    """,
}


def read(code: str) -> set[str]:
    """The actions of a toy whose module ``toy`` is ``code``."""
    texts = {name: dedent(text) for name, text in {**TOY, "toy": code}.items()}
    return set(needed(Source(texts).reached("toy.handler")))


HEAD = """
from typing import Any, Protocol
from esteira.context import Context
from esteira.telling import ask, tell
"""
# Ways for a handler to come to Aws.publish.
WAYS = {
    "a call": "def handler(context: Context): context.aws.publish('')",
    "a function": "def handler(context: Context): tell(context)",
    "another name": "speak = tell\ndef handler(context: Context): speak(context)",
    "a module": "from esteira import telling\ndef handler(context: Context): telling.tell(context)",
    "a method handed on": "def handler(context: Context): list(map(context.aws.publish, ['']))",
    "a method kept": "def handler(context: Context):\n    say = context.aws.publish\n    say('')",
    "a lambda": "def handler(context: Context): return lambda text: context.aws.publish(text)",
    "a lambda's argument": "def handler(context: Context): return (lambda d: d.aws.publish(''))(context)",
    "a nested function": "def handler(context: Context):\n    def say(): context.aws.publish('')\n    say()",
    "a table of functions": "VERBS = {'tell': tell}\ndef handler(context: Context): VERBS['tell'](context)",
    "a loop over functions": "def handler(context: Context):\n    for step in (ask, tell): step(context)",
    "a loop": "def handler(contexts: list[Context]):\n    for context in contexts: context.aws.publish('')",
    "a comprehension": "def handler(contexts: list[Context]): return [d.aws.publish('') for d in contexts if d]",
    "an unpacking": "def handler(context: Context):\n    _, aws = 1, context.aws\n    aws.publish('')",
    "an unpacking of a tuple": "def handler(context: Context):\n"
    "    both = (1, context.aws)\n    _, aws = both\n    aws.publish('')",
    "an unpacking with a star": "def handler(context: Context):\n"
    "    *rest, last = 1, context.aws, 2\n    rest[1].publish('')",
    "a list": "def handler(context: Context):\n    doors = []\n    doors.append(context.aws)\n    doors[0].publish('')",
    "a dictionary": "def handler(context: Context):\n"
    "    doors = {}\n    doors['x'] = context.aws\n    doors['x'].publish('')",
    "a walrus": "def handler(context: Context):\n    if aws := context.aws: aws.publish('')",
    "a match": "def handler(context: Context):\n    match context:\n        case Context(aws=aws): aws.publish('')",
    "a with": "def handler(context: Context):\n    with context.aws as aws: aws.publish('')",
    "a default": "def handler(context: Context, say=tell): say(context)",
    "an Any": "def say(x: Any): x.publish('')\ndef handler(context: Context): say(context.aws)",
    "no annotation": "def say(x): x.publish('')\ndef handler(context: Context): say(context.aws)",
    "a union": "def handler(context: Context | None): context and context.aws.publish('')",
    "an alias of a type": "Table = Context | None\ndef handler(context: Table): context.aws.publish('')",
    "a text for a type": "def handler(context: 'Context'): context.aws.publish('')",
    "getattr": "def handler(context: Context): getattr(context.aws, 'publish')('')",
    "a foreign function": "from copy import copy\ndef handler(context: Context): copy([context])[0].aws.publish('')",
    "a foreign function that takes it apart": "from dataclasses import asdict\n"
    "def handler(context: Context): asdict(context)['aws'].publish('')",
    "a property": "class Box:\n    context: Context\n    @property\n    def said(self): self.context.aws.publish('')\n"
    "def handler(box: Box): return box.said",
    "a field": "class Box:\n    def __init__(self, context: Context) -> None: self.aws = context.aws\n"
    "    def say(self) -> None: self.aws.publish('')\n"
    "def handler(context: Context): Box(context).say()",
    "a special method": "class Box:\n    context: Context\n    def __enter__(self): self.context.aws.publish('')\n"
    "def handler():\n    with Box(): pass",
    "a framework's method": "from pydantic import model_validator\nclass Box:\n    context: Context\n"
    "    @model_validator(mode='after')\n    def _check(self): self.context.aws.publish('')\n"
    "def handler(x): return Box.model_validate(x)",
    "a field's class": "class Inner:\n    context: Context\n    def __post_init__(self): tell(self.context)\n"
    "class Outer:\n    inner: Inner\ndef handler(x): return Outer.model_validate(x)",
    "a base": "class Base:\n    def say(self, context: Context): tell(context)\nclass Box(Base): pass\n"
    "def handler(box: Box, context: Context): box.say(context)",
    "a subclass": "class Base:\n    def say(self, context: Context): ask(context)\n"
    "class Box(Base):\n    def say(self, context: Context): tell(context)\n"
    "def handler(box: Base, context: Context): box.say(context)",
    "super": "class Base:\n    def say(self, context: Context): tell(context)\n"
    "class Box(Base):\n    def say(self, context: Context): super().say(context)\n"
    "def handler(context: Context): Box().say(context)",
    "a generic": "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass Box(Generic[T]):\n    inside: T\n"
    "def handler(box: Box[Context]): box.inside.aws.publish('')",
    "a function that gives back what it gets": "from typing import TypeVar\nT = TypeVar('T')\n"
    "def same(x: T) -> T: return x\ndef handler(context: Context): same(context).aws.publish('')",
    "a whole name": "import esteira.telling\ndef handler(context: Context): esteira.telling.tell(context)",
    "a short name": "import esteira.telling as t\ndef handler(context: Context): t.tell(context)",
    "an import inside": "def handler(context: Context):\n    from esteira.telling import tell as say\n    say(context)",
    "a register": "VERBS: dict[str, Any] = {}\ndef verb(f):\n    VERBS[f.__name__] = f\n    return f\n"
    "@verb\ndef say(context: Context): tell(context)\ndef handler(context: Context): VERBS['say'](context)",
    "a table filled later": "VERBS: dict[str, Any] = {}\nVERBS['tell'] = tell\n"
    "def handler(context: Context): VERBS['tell'](context)",
    "a protocol": "class Door(Protocol):\n    def publish(self, text: str) -> None: ...\n"
    "def say(door: Door): door.publish('')\ndef handler(context: Context): say(context.aws)",
    "a decorator": "def told(f):\n    def call(context: Context):\n"
    "        tell(context)\n        f(context)\n    return call\n"
    "@told\ndef handler(context: Context): pass",
    "an import": "from esteira.aws import Aws\nAws().publish('')\ndef handler(): pass",
    "a value made at import": "from esteira.aws import Aws\nSAID = Aws().publish('')\ndef handler(): pass",
    "a client": "def handler(context: Context): context.aws.client('sns').publish(Message='')",
    "a client of its own": "import boto3\ndef handler(): boto3.client('sns').publish(Message='')",
    "a client kept": "def handler(context: Context):\n    sns = context.aws.client('sns')\n    sns.publish(Message='')",
    "a client handed on": "def say(sns: Any): sns.publish(Message='')\n"
    "def handler(context: Context): say(context.aws.client('sns'))",
    "a client by its type": "from types_boto3_sns import SNSClient\ndef handler(sns: SNSClient): sns.publish()",
    "a client's method": "def handler(context: Context):\n    say = context.aws.client('sns').publish\n    say()",
    "a circle": "class Box:\n    def one(self, context: Context):\n        self.a = context\n        x = self.b\n"
    "    def two(self):\n        self.b = self.a\n        y = self.b\n        y.aws.publish('')\n"
    "def handler(box: Box):\n    box.one(None)\n    box.two()",
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_whatever_way_leads_to_a_call_it_is_found(way: str) -> None:
    """Of a toy that comes to one call in some way, the right it needs is told."""
    assert "sns:Publish" in read(HEAD + WAYS[way])


def test_what_does_not_lead_to_a_call_is_not_taken_for_one() -> None:
    """A handler that never comes there has no use for the right: the reading is not simply all there is."""
    assert read(f"{HEAD}\ndef handler(context: Context): return ask(context), context.name.publish") == {
        "codecommit:GetBranch"
    }


UNFOLLOWABLE = {
    "a name made at run time": "def handler(context: Context, name: str): getattr(context.aws, name)('')",
    "a service's name": "def handler(context: Context, name: str): context.aws.client(name).publish()",
    "boto3's own": "import boto3\ndef handler(name: str): boto3.client(name).publish()",
    "the factory handed on": "def handler(context: Context): return context.aws.client",
    "a session": "import boto3\ndef handler(): return boto3.Session().client('sns')",
    "a page's name": "def handler(context: Context, name: str): context.aws.client('sns').get_paginator(name)",
    "no operation": "def handler(context: Context): context.aws.client('sns').generate_presigned_url()",
    "botocore's own door": "def handler(context: Context): context.aws.client('sns')._make_api_call('Publish', {})",
    "eval": "def handler(text: str): eval(text)",
    "vars": "def handler(context: Context): vars(context)['aws'].publish('')",
    "a dictionary of attributes": "def handler(context: Context): context.__dict__['aws'].publish('')",
    "a global": "DOOR: Any = None\ndef handler(context: Context):\n    global DOOR\n    DOOR = context",
    "an operator": "from operator import methodcaller\n"
    "def handler(context: Context): methodcaller('publish')(context.aws)",
    "a foreign place": "import logging\ndef handler(context: Context): logging.door = context.aws",
}


@pytest.mark.parametrize("trick", UNFOLLOWABLE)
def test_what_cannot_be_followed_is_refused(trick: str) -> None:
    """Where the reading would have to guess, it says so and where, instead of finding too little."""
    code = UNFOLLOWABLE[trick]
    if trick == "a name made at run time":  # on a known class every method counts, so it is followed
        assert "sns:Publish" in read(HEAD + code)
        code = code.replace("context: Context", "context: Any")
    with pytest.raises(UnfollowableError, match=r"toy\.handler, line \d+: "):
        read(HEAD + code)


@pytest.mark.parametrize(
    "line", ["from esteira.telling import *", "from .telling import tell", "from . import telling"]
)
def test_an_import_that_does_not_say_what_it_brings_is_refused(line: str) -> None:
    """Every name must have a place it comes from."""
    with pytest.raises(UnfollowableError, match="toy, line 2: import by whole names"):
        read(f"\n{line}\ndef handler(): pass")


def test_an_operation_that_has_no_right_of_its_name_must_be_explained() -> None:
    """S3's ListObjectsV2 asks for s3:ListBucket: until rights.py says so, the comparison stops."""
    with pytest.raises(LookupError, match="s3:ListObjectsV2"):
        read("import boto3\ndef handler(): boto3.client('s3').list_objects_v2()")


def test_a_page_and_a_transaction_need_the_rights_behind_them() -> None:
    """A paginator asks for its operation, a transaction for its parts, a deployment for the revision it registers."""
    assert read("import boto3\ndef handler(): boto3.client('sns').get_paginator('list_topics').paginate()") == {
        "sns:ListTopics"
    }
    transaction = "boto3.client('dynamodb').transact_write_items(TransactItems=[{'Put': {}}, {'ConditionCheck': {}}])"
    assert read(f"import boto3\ndef handler(): {transaction}") == {"dynamodb:PutItem", "dynamodb:ConditionCheckItem"}
    assert read("import boto3\ndef handler(): boto3.client('codedeploy').create_deployment()") == {
        "codedeploy:CreateDeployment",
        "codedeploy:GetApplicationRevision",
        "codedeploy:GetDeploymentConfig",
        "codedeploy:RegisterApplicationRevision",
    }


# --- the service's roles ---------------------------------------------------------------------------------------------


# The condition that both of a service's tags make.
OF_THE_SERVICE = {
    "StringEquals": {
        "aws:ResourceTag/esteira": {"Ref": "ControllerStack"},
        "aws:ResourceTag/esteira-service": {"Ref": "ServiceName"},
    }
}


def held(role: str) -> set[str]:
    return {grant.action for grant in template("service.yaml").held_by(role) if grant.allow}


def test_the_host_may_do_what_its_hooks_its_agent_and_session_manager_ask_for() -> None:
    """Its hooks log in, pull and fetch parameters, its watcher reports, the agent fetches the bundle, CloudWatch's
    agent sends logs, Session Manager stands in for SSH."""
    scripts = [path for path in sorted(rights.HOOKS.parent.glob("*/*.*")) if path.is_file()]
    hooks = set().union(*(rights.commands(path.read_text(encoding="utf-8")) for path in scripts))
    said = {"ecr:GetAuthorizationToken", "ssm:GetParameters", "events:PutEvents", "ec2:AssociateAddress"}
    assert hooks == said | rights.PULL
    assert held("HostRole") == hooks | rights.AGENT | rights.SENDER | rights.SESSIONS


def test_a_host_may_put_events_of_its_own_source_only() -> None:
    """Who is root on a host can say what the watcher says, and nothing in another's name."""
    (right,) = (g for g in template("service.yaml").held_by("HostRole") if g.action == "events:PutEvents")
    assert json.loads(right.condition) == {"StringEquals": {"events:source": "esteira.host"}}


def test_a_build_may_do_what_the_buildspecs_here_ask_for_and_pull_what_it_pushed() -> None:
    """It fetches its source and the service's parameters, writes its log, logs in and pushes; a buildspec may also use
    its last image as a cache."""
    paths = (
        rights.ROOT / "model_service" / "buildspec.yml",
        rights.ROOT / "examples" / "heart-r" / "buildspec.yml",
        rights.ROOT / "functions" / "esteira" / "buildspec.yml",
    )
    asked = [rights.commands(path.read_text(encoding="utf-8")) for path in paths]
    assert [each == {"ecr:GetAuthorizationToken"} | rights.PUSH for each in asked] == [True, True, True]
    [project] = template("service.yaml").of_type("AWS::CodeBuild::Project").values()
    assert (project["Source"]["Type"], project["LogsConfig"]["CloudWatchLogs"]["Status"]) == ("CODECOMMIT", "ENABLED")
    assert held("BuildRole") == asked[0] | rights.PULL | rights.LOG | {"codecommit:GitPull", "ssm:GetParameters"}


def test_github_may_push_one_branch_and_images_for_one_repository() -> None:
    """The role of a workflow trusts the branch and the tags of one repository, no pull request and no fork."""
    role = template("service.yaml").of_type("AWS::IAM::Role")["GitHubRole"]
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    issuer = "token.actions.githubusercontent.com"
    assert trust["Principal"]["Federated"]["Fn::Sub"].endswith(f":oidc-provider/{issuer}")
    assert trust["Condition"]["StringEquals"] == {f"{issuer}:aud": "sts.amazonaws.com"}
    subjects = [each["Fn::Sub"] for each in trust["Condition"]["StringLike"][f"{issuer}:sub"]]
    assert subjects == [
        "repo:${GitHubRepository}:ref:refs/heads/${Branch}",
        "repo:${GitHubRepository}:ref:refs/tags/*",
    ]
    workflows = [rights.ROOT / "examples" / "github" / name for name in ("mirror.yml", "image.yml")]
    asked = set().union(*(rights.commands(path.read_text(encoding="utf-8")) for path in workflows))
    git = {"codecommit:GitPull", "codecommit:GitPush"}
    assert held("GitHubRole") == asked | rights.PULL | git
    pushes = [g for g in template("service.yaml").held_by("GitHubRole") if g.action == "codecommit:GitPush"]
    assert ["refs/heads/${Branch}" in push.condition for push in pushes] == [True]


def test_codedeploy_may_look_for_hosts_and_hold_the_service_s_own_until_they_answer() -> None:
    """By a lifecycle hook in the groups of this service; it touches no other group, and no load balancer."""
    assert held("DeployRole") == rights.FIND_HOSTS | rights.HOLD_NEW_HOSTS
    narrowed = [g for g in template("service.yaml").held_by("DeployRole") if g.resource != "*"]
    assert {g.action for g in narrowed} == rights.HOLD_NEW_HOSTS
    assert all(json.loads(g.condition) == OF_THE_SERVICE for g in narrowed)


def test_a_host_may_take_the_address_of_its_own_service_only() -> None:
    """Neither another service's address, nor for another service's host."""
    rights_of = template("service.yaml").held_by("HostRole")
    assert {json.dumps(OF_THE_SERVICE)} == {g.condition for g in rights_of if g.action == "ec2:AssociateAddress"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aws s3 cp a b", None),
        ('  x=$(aws ssm get-parameter --name "$1")', {"ssm:GetParameter"}),
        ("aws ecr get-login-password | docker login", {"ecr:GetAuthorizationToken"}),
        ('fail "no" "create it (type aws ssm put-parameter)"', set()),
        ("docker build --cache-from x .", rights.PULL),
    ],
)
def test_a_script_s_commands_need_their_rights(text: str, expected: set[str] | None) -> None:
    """A command of AWS's is told by its right; a hint to a person is none; what is no API call stops the comparison."""
    if expected is None:
        with pytest.raises(StopIteration):
            rights.commands(text)
    else:
        assert rights.commands(text) == expected


# --- on what ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_right_is_granted_on_the_kind_of_resource_it_takes(name: str) -> None:
    """By AWS's own reference: the ARN is of a kind the action takes, and * stands only where it takes none."""
    for grant in (g for g in template(name).grants() if g.allow):
        takes = kinds(grant.action)
        fits = any(grant.resource.startswith(kind.begins) for kind in takes)
        assert fits if takes else grant.resource == "*", f"{grant.owner} grants {grant.action} on {grant.resource}"


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_tag_is_asked_for_only_where_aws_looks_at_it(name: str) -> None:
    """A condition on a key that the resource does not know is never true, and the right would not be there."""
    for grant in (g for g in template(name).grants() if "aws:ResourceTag/" in g.condition):
        known = [kind.tagged for kind in kinds(grant.action) if grant.resource.startswith(kind.begins)]
        assert known == [True], f"{grant.owner} grants {grant.action} by a tag"


def test_no_right_is_named_by_a_pattern() -> None:
    """An action is allowed by its whole name; only what forbids may say *, and it forbids without TLS."""
    patterns = [g for g in every_grant() if "*" in g.action]
    assert [g for g in patterns if g.allow] == []
    assert {g.condition for g in patterns} == {'{"Bool": {"aws:SecureTransport": "false"}}'}


def section(title: str) -> dict[str, str]:
    """A table of docs/aws.md: what stands in `` in its first column → its second."""
    [text] = re.findall(rf"^### {re.escape(title)}\n(.*?)(?=^##|\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {name: row[1] for row in rows for name in re.findall(r"`([^`]+)`", row[0])}


def patterns(of: Template) -> set[str]:
    """Every ARN with a * in it, of a resource or in a condition, as the guide writes it."""
    found = {g.resource for g in of.grants() if g.resource != "*"}
    for condition in (json.loads(g.condition) for g in of.grants() if "*" in g.condition):
        found |= {of.written(arn) for keys in condition.values() for arn in keys.values()}
    return {short(arn) for arn in found if "*" in arn}


def test_the_guide_lists_every_pattern_with_its_reason_and_no_other() -> None:
    """Whoever reads docs/aws.md finds every ARN with a * in it, why it is one, and none that is gone."""
    told = section("Patterns")
    assert set(told) == patterns(template("template.yaml")) | patterns(template("service.yaml"))
    assert min(len(reason.split()) for reason in told.values()) >= 4


def test_the_guide_lists_every_right_on_everything_with_its_reason_and_no_other() -> None:
    """The resource * is told of for each action, and AWS limits none of these to a resource."""
    granted = {g.action for g in every_grant() if g.resource == "*"}
    told = section("The resource `*`")
    assert set(told) == granted
    assert [action for action in told if kinds(action)] == []
    assert min(len(reason.split()) for reason in told.values()) >= 4


def test_the_guide_lists_every_action_that_is_forbidden_by_a_pattern() -> None:
    """What is denied by s3:* and the like is told, too."""
    assert set(section("Actions by a pattern")) == {g.action for g in every_grant() if "*" in g.action}


# --- what checkov is told to leave -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_exception_from_a_policy_gives_its_reason(name: str) -> None:
    """Each check that a resource is excused from is named once, with a sentence."""
    for logical, resource in template(name).resources.items():
        skipped = resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
        assert len({each["id"] for each in skipped}) == len(skipped)
        for each in skipped:
            assert re.fullmatch(r"CKV2?_AWS_\d+", each["id"])
            assert each["comment"].endswith("."), f"{logical}: {each['id']} wants a sentence"
