"""One rehearsal of a deployment: the stack is deployed, looked at, put to work, updated and deleted.

An event of AWS itself can only be put on a bus by AWS. It is matched against the deployed rules by the emulator's own
matcher, and handed to the deployed targets; the controller's own events go the whole way.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from console.local.aws.resources import create_resources
from console.local.aws.stack import LocalAws
from console.local.aws_account import arn
from console.local.paths import TEMPLATE
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from console.local.sam.artifact import HERE
from console.local.sam.deployed import LOOK_UPS, Found, absent, differences, found, is_there, retained
from console.local.sam.ministack import CREDENTIALS, Ministack
from console.local.sam.sam_cli import last_words, sam
from console.local.template import Stack, read
from esteira.store import Store
from policy.document import restored

STACK, SERVICE, SECOND, STAGE = "esteira", "heart", "lungs", "production"
PARAMETERS = {"Architecture": HERE}
CHANGE = {"SweepMinutes": "10", "LogRetentionDays": "7"}  # neither is its default
CHANGED = ("RetentionInDays", "ScheduleExpression")  # the properties they are seen in
CAPABILITIES = ("CAPABILITY_NAMED_IAM",)
# What the functions ask the local AWS for: these belong together, and the first three the emulator has not.
LACKED = ("CODECOMMIT", "CODEBUILD", "CODEDEPLOY", "ECR", "S3")
# Without these there is nothing to rehearse, so an emulator that refuses one of them is an error.
NEEDED = {"AWS::DynamoDB::Table", "AWS::IAM::ManagedPolicy", "AWS::IAM::Role", "AWS::Logs::LogGroup", "AWS::SNS::Topic"}
# Known of this emulator: it takes the property and does nothing about it. Anything else that differs is an error.
NOT_APPLIED = {
    ("AWS::DynamoDB::Table", "PointInTimeRecoverySpecification"),
    ("AWS::DynamoDB::Table", "TimeToLiveSpecification"),
    ("AWS::SNS::Topic", "KmsMasterKeyId"),
}
# What the emulator does not see of a call, so that no policy that names it allows anything.
UNSEEN = {"ssm:GetParametersByPath": "the path", "ssm:GetParameters": "the names", "events:PutEvents": "the source"}
VOTES = 2  # of the policy that is set before the update
LOG = "deploy-local.log"
GRANT = "esteira-rehearsal"
HEARD = "rehearsal-heard"  # the queue that hears what the topic says
PATIENCE = 60.0  # seconds for what an asynchronous function does


Say = Callable[[str, str], None]


class DeployError(Exception):
    """The rehearsal saw what it should not; the sentence says what and what to do."""


@dataclass
class DeployRehearsal:
    """One rehearsal: the running emulator, the local AWS beside it, the folder of the build, and who hears of it."""

    emulator: Ministack
    beside: LocalAws
    beside_client: Callable[[str], Any]
    engine: ScriptedEngine
    built: Path
    say: Say

    def __post_init__(self) -> None:
        self.client = cache(self.emulator.client)

    def stack(self, **changed: str) -> Stack:
        """The template that is deployed, with its parameters."""
        return read(self.built / "template.yaml", STACK, {**PARAMETERS, **changed})

    # --- deployment

    def deploy(self, **changed: str) -> None:
        """Deploy the template by ``sam deploy``. Raises DeployError where the stack does not stand after it."""
        given = [f"{name}={value}" for name, value in {**PARAMETERS, **changed}.items()]
        command = ["deploy", "--template-file", str(self.built / "template.yaml"), "--stack-name", STACK]
        command += ["--resolve-s3", "--no-confirm-changeset", "--no-progressbar", "--region", "us-east-1"]
        begin = time.monotonic()
        came = sam([*command, "--capabilities", *CAPABILITIES, "--parameter-overrides", *given], self.variables())
        if came.returncode:
            raise DeployError(f"sam deploy failed. {self._reasons() or last_words(came)}")
        self.say("sam deploy", f"{STACK} is {self.status()}, in {time.monotonic() - begin:.0f} s {' '.join(given)}")

    def status(self) -> str:
        """The status of the stack."""
        return str(self.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"])

    def look(self, stack: Stack) -> list[Found]:
        """Look up every resource and return them. Raises DeployError where one is not there, or not as declared."""
        there = list(found(stack, self.client))
        known = [one for one in there if one.type in LOOK_UPS]
        seen = [difference for one in known for difference in differences(one, self.client)]
        faults = [str(one) for one in seen if (one.resource.type, one.property) not in NOT_APPLIED]
        faults += [f"{id_} is declared, and no stack lists it" for id_ in absent(stack, there)]
        if faults:
            raise DeployError(f"{len(faults)} of {len(there)} resources are not as declared: {'; '.join(faults)}")
        kinds = Counter(one.type.removeprefix("AWS::") for one in known)
        self.say("looked up", f"{len(known)} of {len(there)} resources: {_counted(kinds)}")
        for one in there:
            if one.type not in LOOK_UPS:
                self.say("", f"not looked up, for want of a way: {one}")
        for difference in seen:
            self.say("", f"known of this emulator: {difference}")
        return there

    def variables(self) -> Mapping[str, str]:
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.emulator.url, "SAM_CLI_TELEMETRY": "0"}

    def _reasons(self, stack: str = STACK) -> str:
        """Why the resources of a stack failed that failed, with their types."""
        try:
            events = self.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
        except ClientError:
            return ""
        rows = [row for row in events if row["ResourceStatus"].endswith("FAILED")]
        return "; ".join(
            f"{row['LogicalResourceId']} ({row['ResourceType']}): {row.get('ResourceStatusReason', 'no reason')}"
            for row in rows
        )

    # --- at work

    def work(self, there: list[Found]) -> None:
        """Bring a push to life by the deployed functions, hold the stage, and hear it all announced. Raises
        DeployError where one of it does not come about."""
        table = _physical(there, "Table")
        heard = self._listen(_physical(there, "Announcements"))
        self.beside.codecommit.commit(SERVICE, "main", {"app.py": b"one"}, "change")
        self.play()
        store = Store(self.client("dynamodb"), table)
        view = next(iter(store.views(SERVICE)), None)
        if view is None or view.phase != "live":
            raise DeployError(f"the push should be live, and the table says: {view}.")
        self.say("a push", f"v{view.number} is {view.phase}: {view.why}")
        for service in (SERVICE, SECOND):
            self.invoke(f"{STACK}-operate", _hold(service))
            hold = store.stage(service, STAGE).hold
            if hold is None or hold.by != "ana":
                raise DeployError(f"the stage of {service} should be held by ana, and the table says: {hold}")
            self.say("operate", f"{STAGE} of {service} is held by {hold.by}: {hold.reason}")
        self.invoke(f"{STACK}-operate", _policy(SERVICE))
        self.say("policy", f"version {self._votes(store)[0]} asks for {self._votes(store)[1]} votes on {STAGE}")
        looked = self.invoke(f"{STACK}-sweep", {"detail-type": "Scheduled Event", "source": "aws.events"})
        services = sorted(row["service"] for row in looked)
        if services != [SERVICE, SECOND]:
            raise DeployError(f"the sweep should look at {SERVICE} and {SECOND}, and looked at {services or 'nothing'}")
        self.say("sweep", f"looked at {' and '.join(services)}")
        self._announced(heard)
        self._written()

    def _listen(self, topic: str) -> str:
        """Subscribe a queue to the topic, let the topic send to it, and return its URL."""
        queue = arn("sqs", HEARD)
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        made = self.client("sqs").create_queue(QueueName=HEARD, Attributes={"Policy": policy})
        self.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
        return str(made["QueueUrl"])

    def play(self) -> None:
        """Deliver every event and end every build and deployment, until nothing moves."""
        moving = True
        while moving:
            for delivered in self.beside.bus.deliver_all():
                if delivered.answer.error:
                    raise DeployError(delivered.answer.said)
            moving = self.engine.finish_next()

    def forward(self, event: Any) -> list[Any]:
        """Hand an event of AWS to the targets of the deployed rules that match it; what they answered."""
        events, text = self.client("events"), json.dumps(event)
        answers = []
        for rule in events.list_rules(NamePrefix=f"{STACK}-")["Rules"]:
            pattern = rule.get("EventPattern") if rule["State"] == "ENABLED" else None
            if not pattern or not events.test_event_pattern(EventPattern=pattern, Event=text)["Result"]:
                continue
            targets = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
            answers += [self.invoke(target["Arn"], event) for target in targets]
        return answers

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer or (isinstance(payload, dict) and "refused" in payload):
            raise DeployError(f"{function} failed: {payload}")
        return payload

    def _announced(self, queue: str) -> None:
        """Wait until ``live`` was heard on the topic."""
        end, said = time.monotonic() + PATIENCE, ""
        while " is live on " not in said:
            if time.monotonic() > end:
                own = [text for text in self._log("announce") if not text.startswith(("START ", "END ", "REPORT "))]
                raise DeployError(
                    f"the topic should have said what is live in {PATIENCE:.0f} s, and said: {said or 'nothing'}. "
                    f"The function's last words: {' '.join(own[-1:]) or 'none'}."
                )
            rows = self.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", [])
            said = " ".join([said, *(json.loads(row["Body"])["Message"] for row in rows)]).strip()
        if not self.beside.codecommit.comments:
            raise DeployError("the commit should bear a comment, and bears none")
        self.say("announce", f"its rule fired; the topic said: {said}; the commit bears a comment")

    def _written(self) -> None:
        """See that every function wrote into its own log."""
        for name in ("intake", "operate", "sweep", "announce"):
            if not self._log(name):
                raise DeployError(f"{STACK}-{name} ran, and its log group has no line of it")
        self.say("logs", "the runs of each function are in the log group that the template gives it")

    def _log(self, name: str) -> list[str]:
        """What is in a function's log group: its own words, and Lambda's about its runs."""
        rows = self.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{STACK}-{name}")["events"]
        return [row["message"].strip() for row in rows]

    def add_service(self, name: str) -> Stack:
        """Deploy service.yaml as a stack of its own and let the controller work for it; return the stack."""
        stack = self._create(f"{STACK}-{name}", name)
        create_resources(read(TEMPLATE.with_name("service.yaml"), stack.name, stack.parameters), self.beside_client)
        self._await("stack_create_complete", stack.name)
        self.say("add", f"service.yaml as the stack {stack.name}, a service of {STACK}")
        self.look(stack)
        return stack

    def fail_to_add(self, taken: str) -> None:
        """Let the creation of a service fail, by a name that is taken, and see the controller and the services stand.
        Raises DeployError where one does not."""
        stack = self._create(f"{STACK}-failing", taken)
        cloudformation = self.client("cloudformation")
        try:
            cloudformation.get_waiter("stack_create_complete").wait(
                StackName=stack.name, WaiterConfig={"Delay": 1, "MaxAttempts": int(PATIENCE)}
            )
        except WaiterError:
            rows = cloudformation.describe_stacks()["Stacks"]
        else:
            raise DeployError(f"a second stack of {taken} should fail, as its names are taken, and it stands")
        status = {row["StackName"]: row["StackStatus"] for row in rows}
        failed = status.pop(stack.name, "gone")
        standing = {name for name in status if name == STACK or name.startswith(f"{STACK}-")}
        if any(status[name] != "CREATE_COMPLETE" for name in standing) or len(standing) != 3:
            raise DeployError(f"after a service that failed the other stacks should stand, and they are {status}")
        cloudformation.delete_stack(StackName=stack.name)
        self.say("a failure", f"a service that could not be made is {failed}; {', '.join(sorted(standing))} stand")

    def _create(self, stack: str, service: str) -> Stack:
        path = self.built / "service.yaml"
        given = {"ControllerStack": STACK, "ServiceName": service, "Architecture": HERE}
        self.client("cloudformation").create_stack(
            StackName=stack,
            TemplateBody=path.read_text(),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
            Capabilities=list(CAPABILITIES),
        )
        return read(path, stack, given)

    # --- change and end

    def update(self) -> None:
        """Change two parameters and see the change. Raises DeployError where it does not show, or the table is new."""
        before = {one.logical_id: one.physical_id for one in found(self.stack(), self.client)}
        changed = self.stack(**CHANGE)
        known = [one for one in found(changed, self.client) if one.type in LOOK_UPS]
        to_come = {d.property for one in known for d in differences(one, self.client)}
        if not to_come >= set(CHANGED):
            raise DeployError(f"before the update its change is there already; what differs: {to_come or 'nothing'}")
        self.deploy(**CHANGE)
        there = self.look(changed)
        if _physical(there, "Table") != before["Table"]:
            raise DeployError(f"the update put a new table in the place of {before['Table']}")
        kept = self._votes(Store(self.client("dynamodb"), before["Table"]))
        if kept != (1, VOTES):
            raise DeployError(f"the update should leave policy version 1 with {VOTES} votes, and left {kept}")
        self.say("update", f"{' and '.join(CHANGED)} are the new ones; the table is the one it was, with its policy")

    def _votes(self, store: Store) -> tuple[int, int]:
        """The version of the service's policy, and the votes it asks for on the stage; 0 where it is not there."""
        said = store.policy(SERVICE)
        rule = restored(said.document).stages[STAGE].approvals if said else None
        return (said.version if said else 0, rule.votes if rule else 0)

    def delete(self, stack: Stack) -> None:
        """Delete a stack and name what is left. Raises DeployError where it is not what the template retains."""
        there = [one for one in found(stack, self.client) if one.type in LOOK_UPS]
        cloudformation = self.client("cloudformation")
        cloudformation.delete_stack(StackName=stack.name)
        self._await("stack_delete_complete", stack.name)
        left = [one for one in there if is_there(one, self.client)]
        if {one.logical_id for one in left} != retained(stack):
            names = ", ".join(map(str, left)) or "nothing"
            raise DeployError(f"deletion should leave {', '.join(sorted(retained(stack)))}, and left {names}")
        kept = ", ".join(f"{one.physical_id} ({one.type})" for one in left)
        self.say("delete", f"{len(there) - len(left)} resources of {stack.name} are gone; left as it says: {kept}")

    def _await(self, state: str, name: str) -> None:
        """Wait for a stack. Raises DeployError where it gets elsewhere, with the reasons."""
        patience = {"Delay": 1, "MaxAttempts": int(PATIENCE)}
        try:
            self.client("cloudformation").get_waiter(state).wait(StackName=name, WaiterConfig=patience)
        except WaiterError as error:
            raise DeployError(f"{name} did not get to {state}: {self._reasons(name) or error}") from None


@contextmanager
def granted(here: DeployRehearsal, there: list[Found]) -> Iterator[None]:
    """Let the functions' roles do what the emulator cannot tell apart, while inside."""
    iam = here.client("iam")
    roles = {one.logical_id: one.physical_id for one in there if one.type == "AWS::IAM::Role"}
    names = [roles[id_.replace("Function", "Role")] for id_ in (f.logical_id for f in here.stack().functions)]
    statement = {"Effect": "Allow", "Action": list(UNSEEN), "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    for name in names:
        iam.put_role_policy(RoleName=name, PolicyName=GRANT, PolicyDocument=document)
    told = ", ".join(f"{action} whatever {unseen} is" for action, unseen in UNSEEN.items())
    here.say("granted", f"{told}, to {len(names)} roles: the emulator does not look at it")
    yield
    for name in names:
        iam.delete_role_policy(RoleName=name, PolicyName=GRANT)


def _hold(service: str) -> Mapping[str, Any]:
    words = {"by": "ana", "reason": "a rehearsal", "request": f"rehearsal-{service}-00000001"}
    return {"action": "hold", "service": service, "stage": STAGE, "minutes": 5, **words}


def _policy(service: str) -> Mapping[str, Any]:
    words = {"by": "ana", "reason": "a rehearsal", "request": f"rehearsal-{service}-00000002"}
    document = f"stages: {{{STAGE}: {{approvals: {{votes: {VOTES}}}}}}}"
    return {"action": "policy", "service": service, "document": document, **words}


def _physical(there: list[Found], logical_id: str) -> str:
    return next(one.physical_id for one in there if one.logical_id == logical_id)


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
