"""The whole local AWS: one lock, one clock, one bus, the services, and what of it survives a stop.

What a run leaves behind in ``folder``: the repositories themselves; ``journal.jsonl``, the requests that created
tables, topics, parameters, buckets and objects, replayed at the next start; and ``state.json``, a snapshot of items,
images, builds and deployments.
"""

from __future__ import annotations

import base64
import io
import json
import random
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from botocore.response import StreamingBody
from moto.core.base_backend import BackendDict

from console.local.aws import doors, sts
from console.local.aws.api import AwsError, Operation, Params, required
from console.local.aws.autoscaling import AutoScaling
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws.cloudwatch import CloudWatch
from console.local.aws.codebuild import CodeBuild
from console.local.aws.codecommit import CodeCommit
from console.local.aws.codedeploy import CodeDeploy
from console.local.aws.dynamodb import DynamoDb
from console.local.aws.ecr import Ecr
from console.local.aws.faults import Faults
from console.local.aws.functions import UnknownFunctionError
from console.local.aws.logs import BuildLogs
from console.local.aws.strict.lists import Lists
from console.local.aws.work import Runner, Threads
from console.local.aws_account import arn
from console.local.engine import Engine
from console.read.writing import write_whole

KEPT = {
    "codebuild": {"CreateProject", "UpdateProject", "DeleteProject"},
    "codedeploy": {"CreateApplication", "DeleteApplication", "CreateDeploymentGroup", "UpdateDeploymentGroup"},
    "dynamodb": {"CreateTable", "DeleteTable", "UpdateTable", "UpdateTimeToLive", "UpdateContinuousBackups"},
    "ecr": {"CreateRepository", "DeleteRepository", "PutLifecyclePolicy", "PutImageTagMutability"},
    "sns": {"CreateTopic", "DeleteTopic", "Subscribe", "Unsubscribe", "SetTopicAttributes"},
    "sqs": {"CreateQueue", "DeleteQueue", "SetQueueAttributes"},
    "ssm": {"PutParameter", "DeleteParameter", "DeleteParameters"},
}


class LocalAws:
    """The local AWS as a context: inside it moto is this stack's, and ``in_process()`` or ``AwsServer`` opens
    its doors.

    moto's backends belong to the process, so there is one stack at a time. ``keep=False`` neither reads nor writes the
    state (tests); ``snapshot_every`` is in seconds; ``dice`` makes ids repeatable. ``lists.most`` is how many rows a
    page has, None for AWS's own numbers (a benchmark counts calls).
    """

    def __init__(
        self,
        folder: Path,
        engine: Engine,
        bus: Bus | None = None,
        clock: Clock | None = None,
        *,
        keep: bool = True,
        snapshot_every: float = 5.0,
        dice: random.Random | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self.engine = engine
        self.clock = clock or (bus.clock if bus else Clock())
        self.bus = bus or Bus(clock=self.clock)
        self.lock = threading.RLock()
        self.lists = Lists()
        self._keep = keep
        self._snapshot_every = snapshot_every
        self._replaying = False
        self._closing = threading.Event()
        self._saver: threading.Thread | None = None
        self._saved = ""
        self._uninstall: list[Callable[[], None]] = []
        self._runner: Runner = getattr(engine, "runner", None) or Threads()
        self.endpoint_file = self.folder / "endpoint"
        common = (self.bus, self.clock, self.lock)
        chance = dice or random.SystemRandom()
        logs = self.folder / "logs"
        self.codecommit = CodeCommit(self.folder / "repositories", self.endpoint_file, *common)
        self.ecr = Ecr(*common)
        self.codebuild = CodeBuild(engine.build, self._runner, self.codecommit, logs / "builds", *common, chance)
        hosts = {"hosts": engine.hosts} if hasattr(engine, "hosts") else {}
        self.codedeploy = CodeDeploy(engine.deploy, self._runner, logs / "deployments", *common, chance, **hosts)
        self.autoscaling = AutoScaling(engine, self.codedeploy, *common)
        self.cloudwatch = CloudWatch(*common)
        self.logs = BuildLogs(logs / "builds")
        self.dynamodb = DynamoDb(self.clock)
        self._operations = self._all_operations()

    def __enter__(self) -> Self:
        BackendDict.reset()
        self.folder.mkdir(parents=True, exist_ok=True)
        operations = {s: g for s, g in self._operations.items() if s in doors.RESPONSES}
        self._uninstall = [doors.install(operations, self.lists), sts.install()]
        if hasattr(self.engine, "attach"):
            self.engine.attach(self)
        if self._keep:
            self._restore()
        self._uninstall.append(doors.strictly())  # after the journal, which may be of a time when it was lenient
        if self._keep:
            self._saver = threading.Thread(target=self._save_often, name="snapshot", daemon=True)
            self._saver.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._runner.close()
        self.engine.close()
        self.bus.stop()
        if self._saver is not None:
            self._saver.join()
            self.save()
        for uninstall in self._uninstall:
            uninstall()

    def in_process(
        self, faults: Faults | None = None, elsewhere: Mapping[str, str] = MappingProxyType({})
    ) -> AbstractContextManager[Faults]:
        """While inside, every boto3 client of this process speaks to this stack without a socket, but for the services
        that are ``elsewhere``, at an address."""
        return doors.in_process(self, faults, elsewhere)

    def open_autoscaling(self) -> None:
        """Answer for Auto Scaling over HTTP as well, from the first request on."""
        if "autoscaling" not in doors.RESPONSES:
            doors.know_autoscaling()
            self._uninstall.append(doors.install({"autoscaling": self.autoscaling.operations}, self.lists))

    # for the doors

    def operation(self, service: str, operation: str) -> Operation | None:
        """The stack's own operation, None when moto has it."""
        return self._operations.get(service, {}).get(operation)

    def performed(self, service: str, operation: str, request: Mapping[str, Any]) -> None:
        """Write a request that created or changed a resource into the journal; Parameter Store tells of its own."""
        if service == "ssm" and operation in KEPT["ssm"] and not self._replaying:
            self._parameters_changed(operation, json.loads(request["body"]))
        changes = request["method"] in ("PUT", "DELETE") if service == "s3" else operation in KEPT.get(service, ())
        if not self._keep or self._replaying or not changes:
            return
        body = request["body"] or b""
        raw = body.encode() if isinstance(body, str) else bytes(body)
        row = {"method": request["method"], "url": request["url"], "headers": dict(request["headers"])}
        journal_file = self.folder / "journal.jsonl"
        journal_file.touch()
        journal_file.chmod(0o600)  # a secret that was put is in it
        with journal_file.open("a") as journal:
            journal.write(json.dumps(row | {"body": base64.b64encode(raw).decode()}) + "\n")

    def put_events(self, params: Params) -> dict[str, Any]:
        """events:PutEvents. ``Source`` may be ``aws.*`` here, which AWS refuses, so that any event can be replayed."""
        entries = required(params, "Entries", code="ValidationException")
        if len(entries) > 10:
            raise AwsError("ValidationException", "Entries takes at most 10.")
        answers = [self._put_event(entry) for entry in entries]
        return {"FailedEntryCount": sum("ErrorCode" in row for row in answers), "Entries": answers}

    def invoke(self, params: Params) -> dict[str, Any]:
        """lambda:Invoke: ``RequestResponse`` in this thread, ``Event`` by the bus, ``DryRun`` not at all."""
        raw = params.get("Payload") or b"{}"
        raw = raw.read() if hasattr(raw, "read") else raw
        kind = params.get("InvocationType") or "RequestResponse"
        status, error, body = self.invoked(str(params["FunctionName"]), kind, raw)
        answer: dict[str, Any] = {"StatusCode": status, "Payload": StreamingBody(io.BytesIO(body), len(body))}
        if error:
            answer["FunctionError"] = error
        return answer | ({"ExecutedVersion": "$LATEST"} if status == 200 else {})

    def invoked(self, function: str, kind: str, payload: bytes | str) -> tuple[int, str, bytes]:
        """Invoke a function: status, ``X-Amz-Function-Error`` ("" for none), body. Raises AWS's errors."""
        try:
            event = json.loads(payload or b"{}")
        except ValueError as error:
            text = f"Could not parse request body into json: {error}"
            raise AwsError("InvalidRequestContentException", text, Type="User") from error
        try:
            if kind == "Event":
                self.bus.invoke_later(function, event)
                return 202, "", b""
            if kind == "DryRun":
                self.bus.functions.named(function)
                return 204, "", b""
            answer = self.bus.functions.call(function, event)
        except UnknownFunctionError as error:
            raise AwsError("ResourceNotFoundException", str(error), Type="User") from error
        return 200, answer.error, json.dumps(answer.payload).encode()

    def save(self) -> None:
        """Write the snapshot now, whole or not at all."""
        with self.lock:
            text = json.dumps(
                {
                    "cloudwatch": self.cloudwatch.dump(),
                    "dynamodb": self.dynamodb.dump(),
                    "ecr": self.ecr.dump(),
                    "codebuild": self.codebuild.dump(),
                    "codedeploy": self.codedeploy.dump(),
                    "comments": self.codecommit.comments,
                },
                default=_encode,
            )
        if text != self._saved:
            write_whole(self.folder / "state.json", text)
            self._saved = text

    # helpers, in order of use

    def _all_operations(self) -> dict[str, Mapping[str, Operation]]:
        """The stack's own operations by service and name; moto has the others."""
        return {
            "autoscaling": self.autoscaling.operations,
            "cloudwatch": self.cloudwatch.operations,
            "codebuild": self.codebuild.operations,
            "codecommit": self.codecommit.operations,
            "codedeploy": self.codedeploy.operations,
            "dynamodb": self.dynamodb.operations,
            "ecr": self.ecr.operations,
            "events": {"PutEvents": self.put_events},
            "lambda": {"Invoke": self.invoke},
            "logs": self.logs.operations,
        }

    def _restore(self) -> None:
        self._replaying = True
        journal = self.folder / "journal.jsonl"
        for line in journal.read_text().splitlines() if journal.exists() else ():
            _replay(json.loads(line))
        self._replaying = False
        state = self.folder / "state.json"
        if state.exists():
            kept = json.loads(state.read_text(), object_hook=_decode)
            self.cloudwatch.load(kept.get("cloudwatch", {}))  # a state of before had no alarms
            self.dynamodb.load(kept["dynamodb"])
            self.ecr.load(kept["ecr"])
            self.codebuild.load(kept["codebuild"])
            self.codedeploy.load(kept["codedeploy"])
            self.codecommit.comments = kept["comments"]
        self.codecommit.refresh_hooks()
        self.codebuild.end_orphans()
        self.codedeploy.end_orphans()

    def _save_often(self) -> None:
        while not self._closing.wait(self._snapshot_every):
            self.save()

    def _parameters_changed(self, operation: str, said: Mapping[str, Any]) -> None:
        done = "Update" if operation == "PutParameter" else "Delete"
        for name in said.get("Names") or [said["Name"]]:
            detail = {"operation": done, "name": name, "type": said.get("Type", "String"), "description": ""}
            self.bus.emit("aws.ssm", "Parameter Store Change", [arn("ssm", f"parameter{name}")], detail)

    def _put_event(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        for name in ("Source", "DetailType", "Detail"):
            if not entry.get(name):
                text = f"Parameter {name} is not valid. Reason: {name} is a required argument."
                return {"ErrorCode": "InvalidArgument", "ErrorMessage": text}
        try:
            detail = json.loads(entry["Detail"])
        except ValueError:
            return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        if not isinstance(detail, dict):
            return {"ErrorCode": "MalformedDetail", "ErrorMessage": "Detail is malformed."}
        at = entry.get("Time")
        when = at if isinstance(at, datetime) else None
        resources = list(entry.get("Resources") or [])
        event = self.bus.emit(str(entry["Source"]), str(entry["DetailType"]), resources, detail, when)
        return {"EventId": event["id"]}


def _replay(row: Mapping[str, Any]) -> None:
    headers = HTTPHeaders()
    for name, value in row["headers"].items():
        headers[name] = value
    body = base64.b64decode(row["body"])
    doors.answer(AWSPreparedRequest(row["method"], row["url"], headers, body, stream_output=False))


def _encode(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"$time": value.isoformat()}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} cannot be kept in state.json")


def _decode(value: dict[str, Any]) -> Any:
    if value.keys() == {"$time"}:
        return datetime.fromisoformat(value["$time"])
    if value.keys() == {"$bytes"}:
        return base64.b64decode(value["$bytes"])
    return value
