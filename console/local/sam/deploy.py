"""``make deploy-local``: the built template deployed by ``sam deploy`` to an emulator on this machine, looked at, put
to work, updated and deleted. Ends with 0 only if all of that was as it should be.

The emulator is ministack, which expands SAM's template, creates the resources, runs the functions with their roles'
policies enforced, and has the table, the bus and the topics. What it does not know by type is left out by
``deploy_template``'s rule and named. The services it lacks are played by the local AWS, on which the functions find
their repository, builds, images and deployments; nothing there ends until it is told to.

An event of AWS itself can be put on no bus but by AWS. So it is held against the deployed rules by the emulator's own
matcher and handed to the deployed targets; the controller's own events go the whole way.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from console.local.account import arn
from console.local.aws.aws_server import AwsServer
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws.functions import Functions, LocalFunction
from console.local.aws.resources import create_resources
from console.local.aws.stack import LocalAws
from console.local.paths import ROOT, TEMPLATE
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from console.local.rules import EventRule
from console.local.sam.artifact import HERE, Interpreter, ReleaseError, compiled, runtime, services, trim, version_of
from console.local.sam.deploy_template import Document, fitted, nested, run_by, types
from console.local.sam.deployed import LOOK_UPS, Found, absent, differences, found, is_there, retained
from console.local.sam.ministack import CREDENTIALS, TOOLS, Ministack, MinistackError, find
from console.local.sam.sam_cli import SamError, artifact_of, last_words, sam
from console.local.template import Loader, Stack, TemplateError, read
from esteira.store import Store

STACK, SERVICE, SECOND, STAGE = "esteira", "heart", "lungs", "production"
PARAMETERS = {"Architecture": HERE, "ServiceArchitecture": HERE}
CHANGE = {"SweepMinutes": "10", "LogRetentionDays": "7"}  # neither is its default
CHANGED = ("RetentionInDays", "ScheduleExpression")  # the properties they are seen in
CAPABILITIES = ("CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
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
UNSEEN = {"ssm:GetParametersByPath": "the path", "events:PutEvents": "the source"}
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
        """Return the template that is deployed, with its parameters."""
        return read(self.built / "template.yaml", STACK, {**PARAMETERS, **changed})

    # --- deployment

    def deploy(self, **changed: str) -> None:
        """Deploy the template by ``sam deploy``. Raises DeployError where the stack does not stand after it."""
        given = [f"{name}={value}" for name, value in {**PARAMETERS, **changed}.items()]
        command = ["deploy", "--template-file", str(self.built / "template.yaml"), "--stack-name", STACK]
        command += ["--resolve-s3", "--no-confirm-changeset", "--no-progressbar", "--region", "us-east-1"]
        begin = time.monotonic()
        came = sam([*command, "--capabilities", *CAPABILITIES, "--parameter-overrides", *given], self._variables())
        if came.returncode:
            raise DeployError(f"sam deploy failed. {self._reasons() or last_words(came)}")
        self.say("sam deploy", f"{STACK} is {self.status()}, in {time.monotonic() - begin:.0f} s {' '.join(given)}")

    def status(self) -> str:
        """Return the status of the stack."""
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

    def _variables(self) -> Mapping[str, str]:
        return {**CREDENTIALS, "AWS_ENDPOINT_URL": self.emulator.url, "SAM_CLI_TELEMETRY": "0"}

    def _reasons(self, stack: str = STACK) -> str:
        """Return why the resources of a stack failed that failed, with their types."""
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
        self._play()
        store = Store(self.client("dynamodb"), table)
        view = next(iter(store.views(SERVICE)), None)
        if view is None or view.phase != "live":
            raise DeployError(f"the push should be live, and the table says: {view}.")
        self.say("a push", f"v{view.number} is {view.phase}: {view.why}")
        for service in (SERVICE, SECOND):
            self._invoke(f"{STACK}-operate", _hold(service))
            hold = store.stage(service, STAGE).hold
            if hold is None or hold.by != "ana":
                raise DeployError(f"the stage of {service} should be held by ana, and the table says: {hold}")
            self.say("operate", f"{STAGE} of {service} is held by {hold.by}: {hold.reason}")
        looked = self._invoke(f"{STACK}-sweep", {"detail-type": "Scheduled Event", "source": "aws.events"})
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

    def _play(self) -> None:
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
            pattern = rule.get("EventPattern")
            if not pattern or not events.test_event_pattern(EventPattern=pattern, Event=text)["Result"]:
                continue
            targets = events.list_targets_by_rule(EventRule=rule["Name"])["Targets"]
            answers += [self._invoke(target["Arn"], event) for target in targets]
        return answers

    def _invoke(self, function: str, event: Mapping[str, Any]) -> Any:
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
        """Return what is in a function's log group: its own words, and Lambda's about its runs."""
        rows = self.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{STACK}-{name}")["events"]
        return [row["message"].strip() for row in rows]

    def second_service(self) -> Stack:
        """Deploy service.yaml as a stack of its own and let the same controller work for it; return the stack."""
        (place,) = nested(self.stack().document).values()
        path = self.built / place
        given = {"ControllerStack": STACK, "ServiceName": SECOND, "Architecture": HERE}
        create_resources(read(TEMPLATE.with_name("service.yaml"), SECOND, given), self.beside_client)
        self.client("cloudformation").create_stack(
            StackName=SECOND,
            TemplateBody=path.read_text(),
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()],
            Capabilities=list(CAPABILITIES),
        )
        self._await("stack_create_complete", SECOND)
        self.say("add", f"service.yaml as the stack {SECOND}, a second service of the same controller")
        stack = read(path, SECOND, given)
        self.look(stack)
        return stack

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
        self.say("update", f"{' and '.join(CHANGED)} are the new ones; the table is the one it was")

    def delete(self, stack: Stack) -> None:
        """Delete a stack and name what is left. Raises DeployError where it is not what the template retains."""
        there = [one for one in found(stack, self.client) if one.type in LOOK_UPS]
        cloudformation = self.client("cloudformation")
        cloudformation.delete_stack(StackName=stack.name)
        self._await("stack_delete_complete", stack.name)
        left = [one for one in there if is_there(one, self.client)]
        # Known of this emulator: of a nested stack it deletes all, whatever the DeletionPolicy.
        nested_ones = {id_ for one in stack.nested.values() for id_ in retained(one)}
        if {one.logical_id for one in left} - nested_ones != retained(stack):
            names = ", ".join(map(str, left)) or "nothing"
            raise DeployError(f"deletion should leave {', '.join(sorted(retained(stack)))}, and left {names}")
        kept = ", ".join(f"{one.physical_id} ({one.type})" for one in left)
        self.say("delete", f"{len(there) - len(left)} resources of {stack.name} are gone; left as it says: {kept}")
        if lost := nested_ones - {one.logical_id for one in left}:
            names = ", ".join(sorted(lost))
            self.say("", f"known of this emulator: the nested stack's {names} went, though the template retains them")

    def _await(self, state: str, name: str) -> None:
        """Wait for a stack. Raises DeployError where it gets elsewhere, with the reasons."""
        patience = {"Delay": 1, "MaxAttempts": int(PATIENCE)}
        try:
            self.client("cloudformation").get_waiter(state).wait(StackName=name, WaiterConfig=patience)
        except WaiterError as error:
            raise DeployError(f"{name} did not get to {state}: {self._reasons(name) or error}") from None


@contextmanager
def rehearsal(folder: Path, say: Say, tools: Path = TOOLS) -> Iterator[DeployRehearsal]:
    """Start the emulator and the local AWS beside it, build for them, and yield what can be rehearsed. Raises
    MinistackError, SamError, ReleaseError or DeployError."""
    python = find(tools)
    engine = ScriptedEngine(manual=True)
    with ExitStack() as open_:
        made: list[DeployRehearsal] = []

        def forward(event: Any, _context: Any) -> list[Any]:
            return made[0].forward(event)

        every = EventRule("every", {"source": [{"prefix": "aws."}]}, ("forward",))
        functions = Functions([LocalFunction("forward", forward, "forward")])
        bus = Bus((every,), functions, Clock(), retry_delays=(), keep=False)
        beside = open_.enter_context(LocalAws(folder / "beside", engine, bus, keep=False))
        server = open_.enter_context(AwsServer(beside))
        client = cache(partial(_client, server.url))
        create_resources(read(TEMPLATE, STACK, PARAMETERS), client)
        emulator = open_.enter_context(Ministack(folder / "emulator", enforced=True, tools=tools))
        say(
            "ministack",
            f"{emulator.url}, Python {version_of(str(python))}; what it lacks is the local AWS at {server.url}",
        )
        endpoints = {"AWS_ENDPOINT_URL": emulator.url, **{f"AWS_ENDPOINT_URL_{name}": server.url for name in LACKED}}
        build(folder, python, say)
        fit(folder / "build", emulator, endpoints, say)
        made.append(DeployRehearsal(emulator, beside, client, engine, folder / "build", say))
        yield made[0]


def build(folder: Path, python: Path, say: Say) -> None:
    """Build the template into ``folder``/build as ``make build`` does, for the Python the emulator has."""
    wanted, has = runtime(read(TEMPLATE)), version_of(str(python))
    source = folder / "source"
    source.mkdir()
    document = _document(TEMPLATE)
    for place in nested(document).values():
        shutil.copy(TEMPLATE.with_name(place), source / place)
    (source / TEMPLATE.name).write_text(json.dumps(run_by(document, f"python{has}", {})))
    command = ["build", "--template-file", str(source / TEMPLATE.name), "--base-dir", str(ROOT), "--cached"]
    command += ["--build-dir", str(folder / "build"), "--beta-features"]
    with _alone():
        came = sam([*command, "--parameter-overrides", f"Architecture={HERE}"])
    if came.returncode:
        raise SamError(f"sam build failed. {last_words(came)} Next: correct that, then make deploy-local")
    artifact = artifact_of(folder / "build")
    trim(artifact, services())
    compiled(artifact, Interpreter(program=str(python)))
    other = "" if wanted == has else f", not the template's {wanted}, which the emulator's environment has not"
    say("sam build", f"for Python {has} on {HERE}{other}")


def fit(built: Path, emulator: Ministack, endpoints: Mapping[str, str], say: Say) -> None:
    """Leave out of the built templates what the emulator does not know, and let the functions call it.

    Raises DeployError where it does not know what is needed.
    """
    top = built / "template.yaml"
    for path in (top, *(built / place for place in nested(_document(top)).values())):
        document = _document(path)
        unknown = unknown_types(emulator.client("cloudformation"), types(document))
        if unknown & NEEDED:
            raise DeployError(
                f"the emulator refuses {', '.join(sorted(unknown & NEEDED))}, without which there is nothing to "
                f"rehearse. Next: the version that the Makefile names: rm -r {TOOLS.name} && make ministack"
            )
        made = fitted(document, unknown)
        document = made.document
        if "Globals" in document:
            document = run_by(made.document, document["Globals"]["Function"]["Runtime"], endpoints)
            say("changed", f"the functions' environment, for where they call: {', '.join(endpoints)}")
        path.write_text(json.dumps(document))
        for id_, kind in made.left_out.items():
            say("left out", f"{id_} of {path.relative_to(built)}: the emulator knows no {kind}")


def unknown_types(cloudformation: Any, kinds: tuple[str, ...]) -> frozenset[str]:
    """Return which types CloudFormation refuses: it names them all when it is shown a template of one of each."""
    probe = {"Resources": {re.sub(r"\W", "", kind): {"Type": kind} for kind in kinds}}
    try:
        cloudformation.validate_template(TemplateBody=json.dumps(probe))
    except ClientError as error:
        named = re.search(r"Unrecognized resource types: \[(.*)\]", str(error))
        if named is None:
            raise DeployError(
                f"the emulator refuses the types {', '.join(kinds)} in words not known: {error}"
            ) from None
        return frozenset(named[1].split(", "))
    return frozenset()


def run(folder: Path, say: Say) -> None:
    """Rehearse a deployment in ``folder``. Raises DeployError and what ``rehearsal`` raises."""
    with rehearsal(folder, say) as here:
        here.deploy()
        there = here.look(here.stack())
        second = here.second_service()
        with granted(here, there):
            here.work(there)
        here.update()
        here.delete(second)
        here.delete(here.stack(**CHANGE))


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


def main() -> int:
    """Rehearse and tell of it. Return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    begin = time.monotonic()

    def say(what: str, told: str) -> None:
        print(f"{what:<12}{told}", flush=True)

    try:
        with tempfile.TemporaryDirectory(prefix="esteira-deploy-", ignore_cleanup_errors=True) as name:
            try:
                run(Path(name), say)
            except (DeployError, BotoCoreError, ClientError) as error:
                shutil.copy(Path(name) / "emulator" / "ministack.log", ROOT / LOG)
                told = str(error) if isinstance(error, DeployError) else f"the emulator did not do its part: {error}"
                step = "" if "Next: " in told else f" Next: read {LOG}, the emulator's, or correct the template"
                raise DeployError(f"{told}{step}") from None
    except (DeployError, MinistackError, ReleaseError, SamError, TemplateError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted, so nothing is shown; the emulator and its folder are gone", file=sys.stderr)
        return 128 + signal.SIGINT
    say("all so", f"in {time.monotonic() - begin:.0f} s; nothing of it is left here. Next: sam deploy --guided")
    return 0


@contextmanager
def _alone() -> Iterator[None]:
    """Build while nobody else does: builds share SAM's folder of dependencies."""
    (ROOT / ".aws-sam").mkdir(exist_ok=True)
    with (ROOT / ".aws-sam" / "deploy-local.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _document(path: Path) -> Document:
    document: Document = yaml.load(path.read_text(), Loader)
    return document


def _client(url: str, service: str) -> Any:
    import boto3

    make: Any = boto3.client
    keys = {name.lower(): value for name, value in CREDENTIALS.items() if name != "AWS_DEFAULT_REGION"}
    return make(service, endpoint_url=url, region_name=CREDENTIALS["AWS_DEFAULT_REGION"], **keys)


def _hold(service: str) -> Mapping[str, Any]:
    words = {"by": "ana", "reason": "a rehearsal", "request": f"rehearsal-{service}-00000001"}
    return {"action": "hold", "service": service, "stage": STAGE, "minutes": 5, **words}


def _physical(there: list[Found], logical_id: str) -> str:
    return next(one.physical_id for one in there if one.logical_id == logical_id)


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))


if __name__ == "__main__":
    sys.exit(main())
