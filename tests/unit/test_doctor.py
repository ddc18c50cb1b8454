"""What `esteira doctor` makes of what was seen: every line's good case and its bad one."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import botocore
import botocore.session
import pytest

from console.doctor.checks import judge
from console.doctor.dead_letters import unread
from console.doctor.observed import (
    Alarm,
    Code,
    Hearers,
    Here,
    Identity,
    Instance,
    LastDeployment,
    Letters,
    Observed,
    PolicyState,
    Silence,
    StackFunction,
    StackRule,
    StackStatus,
    Tended,
    Use,
    WebPage,
)

HEART = Tended(
    name="heart",
    branch="main",
    code=Code(branches=2, watched=True),
    parts={"build project heart-build": True, "bucket b": True},
    hosts=(Instance("i-1", "running", "Online"),),
    last=LastDeployment("d-7", "Succeeded", {"i-1": True}),
    live="v3",
    pages=(WebPage("http://h/ping", 200, ("10.0.0.0/8",)),),
    push="codecommit::us-east-1://heart",
)
WELL = Observed(
    named="AWS",
    stack="esteira",
    here=Here("us-east-1", (), "git-remote-codecommit", sam=True),
    identity=Identity("123456789012", "arn:aws:iam::123456789012:user/ana"),
    skew=timedelta(seconds=2),
    repositories=3,
    concurrency=Use(1000),
    vcpus=Use(32, 4),
    builds={"arm64": 1, "x86_64": 1},
    default_vpc=True,
    stack_status=StackStatus("UPDATE_COMPLETE"),
    functions=(StackFunction("esteira-intake", "Active"), StackFunction("esteira-sweep", "Active")),
    rules=(
        StackRule("r-push", True, ("esteira-intake",)),
        StackRule("r-clock", True, ("esteira-sweep",), "rate(5 minutes)"),
    ),
    letters=Letters(0),
    alarms=(Alarm("a", "OK"), Alarm("b", "INSUFFICIENT_DATA")),
    hearers=Hearers(1),
    table="ACTIVE",
    services=(HEART,),
)
DENIED = Silence("you may not ask: that wants the right x:Y", "AccessDenied")


def said(seen: Observed, verdict: str) -> list[str]:
    return [f"{line.check}: {line.says}" for line in judge(seen) if line.verdict == verdict]


def of_heart(**changed: Any) -> Observed:
    return replace(WELL, services=(replace(HEART, **changed),))


def test_where_all_is_well_nothing_is_to_be_done_and_nothing_is_left_out() -> None:
    """A healthy stack gets a line for each thing, and all of them are ok."""
    lines = judge(WELL)
    assert {line.verdict for line in lines} == {"ok"}
    assert {line.check for line in lines} == {
        "credentials", "Region", "clock", "git push", "SAM CLI", "CodeCommit", "Lambda's concurrency", "EC2's vCPUs",
        "CodeBuild's builds", "default VPC", "stack", "functions", "rules", "dead letters", "alarms",
        "who hears alarms", "table", "heart",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (replace(WELL, here=replace(WELL.here, region=Silence("no AWS region is chosen"))), "Region: no AWS region"),
        (replace(WELL, here=replace(WELL.here, lacking=("codecommit",))), "Region: boto3 knows of no codecommit in us"),
        (replace(WELL, skew=timedelta(minutes=-3)), "clock: this machine's clock is 3 min behind AWS's"),
        (replace(WELL, skew=timedelta(minutes=1)), "clock: this machine's clock is 1 min ahead of AWS's"),
        (replace(WELL, here=replace(WELL.here, pushes_by="")), "git push: git knows no way"),
        (replace(WELL, here=replace(WELL.here, sam=False)), "SAM CLI: not here"),
        (replace(WELL, repositories=Silence("no", "OperationNotAllowedException")), "CodeCommit: this account may not"),
        (replace(WELL, concurrency=Use(4)), "Lambda's concurrency: 4 at once"),
        (replace(WELL, vcpus=Use(5, 4), stack_status=None), "EC2's vCPUs: 1 of 5 left"),
        (replace(WELL, builds={"arm64": 0, "x86_64": 0}), "CodeBuild's builds: 0 at once on arm64"),
        (replace(WELL, default_vpc=False, stack_status=None), "default VPC: there is none. Next: deploy with VpcId"),
        (replace(WELL, stack_status=StackStatus("ROLLBACK_COMPLETE", "no")), "stack: esteira is ROLLBACK_COMPLETE: no"),
        (replace(WELL, stack_status=StackStatus("UPDATE_ROLLBACK_FAILED")), "stack: esteira is UPDATE_ROLLBACK_FAILED"),
        (
            replace(WELL, stack_status=StackStatus("UPDATE_ROLLBACK_COMPLETE")),
            "stack: esteira is UPDATE_ROLLBACK_COMPLETE",
        ),
        (
            replace(WELL, stack_status=StackStatus("CREATE_IN_PROGRESS")),
            "stack: esteira is CREATE_IN_PROGRESS. Next: ask",
        ),
        (replace(WELL, stack_status=StackStatus("DELETE_COMPLETE")), "stack: esteira is DELETE_COMPLETE"),
        (replace(WELL, functions=()), "functions: the stack has none"),
        (
            replace(
                WELL,
                functions=(
                    StackFunction("esteira-intake", "Active"),
                    StackFunction("esteira-sweep", "Failed", "no role"),
                ),
            ),
            "functions: esteira-sweep is Failed: no",
        ),
        (
            replace(WELL, rules=(StackRule("r", False, ("esteira-intake",)), WELL.rules[1])),
            "rules: r is disabled. Next: aws",
        ),  # type: ignore[index]
        (replace(WELL, rules=(StackRule("r", True, ()), WELL.rules[1])), "rules: r wakes nothing"),  # type: ignore[index]
        (replace(WELL, rules=(StackRule("r", True, ("other",)), WELL.rules[1])), "rules: r wakes other, which is no"),  # type: ignore[index]
        (
            replace(WELL, rules=(StackRule("c", False, ("esteira-sweep",), "rate(5 minutes)"),)),
            "sweep's clock: c is disabled",
        ),
        (
            replace(WELL, rules=(StackRule("r", True, ("esteira-intake",)),)),
            "sweep's clock: no rule of the stack has a sched",
        ),
        (
            replace(WELL, letters=Letters(2, "intake failed", "Q")),
            "dead letters: 2 messages could not be handled; of the",
        ),
        (replace(WELL, alarms=(Alarm("a", "ALARM", "Read the log."),)), "alarms: a rings: Read the log."),
        (replace(WELL, hearers=Hearers(0)), "who hears alarms: nobody. Next"),
        (replace(WELL, hearers=Hearers(0, 1)), "who hears alarms: nobody yet: 1 did not confirm"),
        (replace(WELL, table="DELETING"), "table: it is DELETING"),
        (replace(WELL, table=Silence("no", "ResourceNotFoundException")), "table: the facts' table is gone"),
        (replace(WELL, faults=("the registration /x is refused",)), "registration: the registration /x is refused"),
        (replace(WELL, services=()), "services: none is registered. Next: esteira add-service NAME --stack esteira"),
        (of_heart(code=None), "heart: its repository is gone"),
        (of_heart(code=Code(1, False)), "heart: its repository has 1 other branch and no main"),
        (of_heart(parts={"bucket b": False}), "heart: its bucket b is gone"),
        (of_heart(hosts=()), "heart: no instance bears its tags"),
        (
            of_heart(hosts=(Instance("i-1", "stopped", ""),)),
            "heart: host i-1 is stopped. Next: aws ec2 start-instances",
        ),
        (
            of_heart(hosts=(Instance("i-1", "running", ""),)),
            "heart: host i-1 is running, and Systems Manager never heard",
        ),
        (
            of_heart(hosts=(Instance("i-1", "running", "ConnectionLost"),)),
            "heart: host i-1 is running, and Systems Manager says",
        ),
        (
            of_heart(hosts=(Instance("i-1", "running", "Online", "inactive"),)),
            "heart: the CodeDeploy agent of i-1 is inactive",
        ),
        (
            of_heart(last=LastDeployment("d-8", "Failed", {"i-1": False})),
            "heart: the CodeDeploy agent of i-1 took up nothing",
        ),
        (
            of_heart(pages=(WebPage("http://h/ping", 502),)),
            "heart: its page http://h/ping answers 502. Next: esteira why v3",
        ),
        (
            of_heart(pages=(WebPage("http://h/ping", 0, ("0.0.0.0/0",)),)),
            "heart: its page http://h/ping does not answer",
        ),
    ],
)
def test_what_is_wrong_is_one_line_that_says_what_to_do(seen: Observed, told: str) -> None:
    """One fault is one line to attend to, about that thing, with what to do; everything else is judged as before."""
    lines = said(seen, "attend")
    assert len(lines) == 1
    assert lines[0].startswith(told)
    assert "Next: " in lines[0] or "Read the log." in lines[0] or told.startswith("Region: no AWS")


@pytest.mark.parametrize(
    "field",
    [
        "repositories", "concurrency", "vcpus", "builds", "default_vpc", "stack_status", "functions", "rules",
        "letters", "alarms", "hearers", "table", "services",
    ],
)  # fmt: skip
def test_what_could_not_be_asked_is_skipped_with_its_reason_and_blames_nobody(field: str) -> None:
    """AWS's silence on one thing is a line that says why, and nothing is made up in its place."""
    changed: dict[str, Any] = {field: DENIED}
    seen = replace(WELL, **changed)
    assert said(seen, "attend") == []
    assert [line for line in said(seen, "skip") if DENIED.why in line]


@pytest.mark.parametrize("field", ["code", "hosts", "pages"])
def test_what_could_not_be_asked_of_a_service_is_skipped_too(field: str) -> None:
    """The same for the parts of a service."""
    changed: dict[str, Any] = {field: DENIED}
    seen = of_heart(**changed)
    assert said(seen, "attend") == []
    assert [line for line in said(seen, "skip") if DENIED.why in line]


def test_without_credentials_nothing_is_asked_but_the_clock_is_judged() -> None:
    """A clock that is off is why AWS does not know a caller; so it is told beside that, and the rest is not asked."""
    seen = Observed("AWS", "esteira", WELL.here, Silence("AWS does not know these credentials"), timedelta(minutes=7))
    assert [line.split(":")[0] for line in said(seen, "attend")] == ["credentials", "clock"]
    assert said(seen, "skip") == ["account and stack: not asked, since AWS does not know who asks"]


def test_before_the_first_deployment_there_is_nothing_to_attend_to() -> None:
    """A sound account without the stack passes: the stack's half says how to deploy it."""
    seen = replace(WELL, stack_status=None, services=Silence("there is no stack yet"))
    assert said(seen, "attend") == []
    assert said(seen, "skip") == [
        "stack: no stack esteira yet. Next: make build, then .venv-sam/bin/sam deploy --guided"
    ]


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED"])
def test_a_stack_whose_creation_failed_is_told_with_the_two_commands(status: str) -> None:
    """`sam deploy` takes it for a stack to update, and CloudFormation updates none: it has to go first."""
    told = said(replace(WELL, stack_status=StackStatus(status, "Host failed")), "attend")
    [line] = [text for text in told if text.startswith("stack: ")]
    assert f"esteira is {status}: Host failed: its creation failed" in line
    assert "aws cloudformation delete-stack --stack-name esteira" in line
    assert line.endswith("sam deploy --stack-name esteira")


def test_what_an_earlier_stack_left_is_told_before_a_new_one_stops_at_it() -> None:
    """A repository that a deleted stack kept makes the next deployment fail halfway; it is known before, with the way
    to take it over."""
    seen = replace(WELL, stack_status=None, services=Silence("none yet"), taken=("heart", ("an ECR repository heart",)))
    [told] = said(seen, "attend")
    assert told.startswith("names: there is an ECR repository heart already")
    assert "esteira add-service heart --adopt" in told
    assert said(replace(seen, taken=("heart", ())), "attend") == []
    assert said(replace(seen, taken=DENIED), "skip")[1] == f"names: {DENIED.why}"


def test_a_service_nobody_pushed_to_is_no_fault() -> None:
    """After the first deployment the repository is empty, no deployment has come, and no page answers: all as it is
    to be, and the line says where to push."""
    seen = of_heart(code=Code(0, False), last=None, live="", pages=(WebPage("http://h/ping"),))
    assert said(seen, "attend") == []
    assert "heart: its repository is empty. Next: git push codecommit::us-east-1://heart HEAD:main" in said(seen, "ok")
    assert any("--ask-hosts" in line for line in said(seen, "skip"))


def test_a_model_with_nothing_at_its_address_answers_all_the_same() -> None:
    """An API has no page: 404 is its own answer, 502 is the proxy's."""
    seen = of_heart(pages=(WebPage("http://h/", 404),))
    assert said(seen, "attend") == []
    assert any(line.startswith("heart: its page http://h/ answers 404; v") for line in said(seen, "ok"))


def test_a_page_for_others_is_not_blamed_for_its_silence() -> None:
    """Who looks from outside the range that is let in hears nothing, and cannot tell whether others would."""
    seen = of_heart(pages=(WebPage("http://h/ping", 0, ("10.0.0.0/8",)),))
    assert said(seen, "attend") == []
    assert "10.0.0.0/8 may reach it" in said(seen, "skip")[0]


def test_an_account_that_is_full_is_no_fault_of_a_stack_that_stands() -> None:
    """No room for another host, and no default VPC, matter to who deploys next and not to what runs."""
    seen = replace(WELL, vcpus=Use(4, 4), default_vpc=False)
    assert said(seen, "attend") == []
    assert len(said(seen, "skip")) == 2


def test_what_the_host_itself_says_goes_before_what_a_deployment_let_conclude() -> None:
    """An agent that systemd calls active is alive although it took up nothing of the last deployment."""
    host = Instance("i-1", "running", "Online", "active")
    seen = of_heart(hosts=(host,), last=LastDeployment("d-8", "Failed", {"i-1": False}))
    assert said(seen, "attend") == []


# Where AWS's right is not called like the call.
RIGHTS = {"s3:HeadBucket": "s3:ListBucket", "sts:GetCallerIdentity": None}


def test_the_guide_names_every_right_that_looking_wants() -> None:
    """docs/aws.md lists what an operator needs for `esteira doctor`: each call that look.py makes, and those of
    the controller's doors that it uses."""
    root = Path(__file__).parents[2]
    looking = sorted((root / "console" / "doctor").glob("look*.py"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in looking)
    guide = (root / "docs" / "aws.md").read_text(encoding="utf-8")
    session = botocore.session.Session()
    wanted = {"codecommit:GetBranch", "codedeploy:ListDeploymentTargets", "codedeploy:BatchGetDeploymentTargets"}
    for service, call in re.findall(r'"([a-z0-9-]+)",\s+"([a-z]+_[a-z_]+)"', text):
        operations = session.get_service_model(service).operation_names
        [operation] = [name for name in operations if botocore.xform_name(name) == call]
        right = f"{service.replace('-', '')}:{operation}"
        if RIGHTS.get(right, right) is not None:
            wanted.add(str(RIGHTS.get(right, right)))
    assert len(wanted) > 25
    assert sorted(right for right in wanted if f"`{right}`" not in guide) == []


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        (
            {
                "Body": json.dumps(
                    {
                        "requestContext": {
                            "functionArn": "arn:aws:lambda:us-east-1:1:function:esteira-intake:$LATEST",
                            "condition": "RetriesExhausted",
                        },
                        "responsePayload": {"errorType": "Refused", "errorMessage": "detail.state is missing"},
                    }
                )
            },
            "esteira-intake failed: Refused: detail.state is missing",
        ),
        (
            {"Body": json.dumps({"requestContext": {"functionArn": "a:function:f", "condition": "EventAgeExceeded"}})},
            "f gave up: EventAgeExceeded",
        ),
        (
            {
                "Body": '{"source": "aws.ecr"}',
                "MessageAttributes": {
                    "RULE_ARN": {"StringValue": "arn:aws:events:us-east-1:1:rule/esteira-x"},
                    "ERROR_MESSAGE": {"StringValue": "no permission"},
                },
            },
            "the rule esteira-x could not deliver it: no permission",
        ),
        (
            {"Body": '{"source": "aws.ecr", "detail-type": "ECR Image Action"}'},
            "an event of aws.ecr ECR Image Action, ",
        ),
        ({"Body": "hello"}, "it is no JSON object"),
        ({"Body": "[1]"}, "it is no JSON object"),
    ],
)
def test_a_dead_letter_tells_its_cause(message: dict[str, Any], cause: str) -> None:
    """Lambda's record, EventBridge's attributes, and what is neither: each gives a sentence."""
    assert unread(message).startswith(cause)


@pytest.mark.parametrize(
    ("policy", "verdict", "says"),
    [
        (PolicyState(0), "ok", "no policy is set: its rules are the registration's"),
        (PolicyState(3), "ok", "its rules are policy version 3"),
        (
            PolicyState(3, ("gates.auc", "own_hooks")),
            "ok",
            "its rules are policy version 3; the registration differs in gates.auc, own_hooks, which decides nothing",
        ),
        (DENIED, "skip", f"its policy: {DENIED.why}"),
    ],
)
def test_where_the_rules_come_from_is_told(policy: PolicyState | Silence, verdict: str, says: str) -> None:
    """A registration that says something else than the policy is no fault; who reads it should know that it is idle."""
    assert f"heart: {says}" in said(of_heart(policy=policy), verdict)


def test_a_stage_that_the_policy_does_not_name_is_to_be_attended_to() -> None:
    """An update of the stack may change its rules."""
    [line] = said(of_heart(policy=PolicyState(2, unnamed=("staging",))), "attend")
    assert line.startswith(
        "heart: policy version 2 does not name the stage staging, which has the registration's rules."
    )
