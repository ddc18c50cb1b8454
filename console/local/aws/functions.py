"""Lambda in this process: each function's handler with a context, its answer as Lambda would put it, and where a failed
asynchronous invocation goes."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from console.local.aws.faults import Crash
from console.local.aws_account import REGION, arn

if TYPE_CHECKING:
    from console.local.template import FunctionSpec

Handler = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class LocalFunction:
    """One function. ``dead_letters`` is its queue's name ("" for none); ``destination`` says that the queue is an
    OnFailure destination, which gets Lambda's record, and not a dead-letter queue, which gets the bare event.
    """

    name: str
    handler: Handler
    logical_id: str = ""
    dead_letters: str = ""
    destination: bool = False
    timeout: float = 30.0  # seconds
    memory: int = 128  # MB


@dataclass(frozen=True)
class InvocationContext:
    """What a handler is told about its invocation."""

    function_name: str
    memory_limit_in_mb: int
    deadline: float  # time.monotonic(), seconds
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    function_version: str = "$LATEST"
    log_stream_name: str = "local"

    @property
    def invoked_function_arn(self) -> str:
        """The function's ARN."""
        return arn("lambda", f"function:{self.function_name}")

    @property
    def log_group_name(self) -> str:
        """The function's log group."""
        return f"/aws/lambda/{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the function's timeout (which nothing enforces here)."""
        return max(0, int((self.deadline - time.monotonic()) * 1000))


@dataclass(frozen=True)
class Invocation:
    """What an invocation gave: ``payload`` is the handler's return or the error body, ``error`` "" or ``Unhandled``."""

    payload: Any
    error: str = ""
    request_id: str = ""

    @property
    def said(self) -> str:
        """The error in one line, "" when there is none."""
        return f"{self.payload['errorType']}: {self.payload['errorMessage']}" if self.error else ""


class UnknownFunctionError(LookupError):
    """No function of that name is here."""


class Functions:
    """The functions by name, logical id or ARN."""

    def __init__(self, functions: Iterable[LocalFunction] = ()) -> None:
        self._functions = {function.name: function for function in functions}
        self._logical = {f.logical_id: f for f in self._functions.values() if f.logical_id}

    def __iter__(self) -> Any:
        return iter(self._functions.values())

    def named(self, name: str) -> LocalFunction:
        """The function of that name, ARN or logical id; raises :class:`UnknownFunctionError`."""
        short = name.rsplit(":function:", maxsplit=1)[-1].split(":", maxsplit=1)[0]
        found = self._functions.get(short) or self._logical.get(short)
        if found is None:
            known = ", ".join(sorted(self._functions)) or "none"
            raise UnknownFunctionError(
                f"Function not found: {arn('lambda', f'function:{short}')}. Known here: {known}."
            )
        return found

    def call(self, name: str, event: Any) -> Invocation:
        """Run the handler on ``event`` as JSON carries it. What it raises, and a :class:`Crash`, become the answer."""
        function = self.named(name)
        context = InvocationContext(function.name, function.memory, time.monotonic() + function.timeout)
        try:
            result = json.loads(json.dumps(function.handler(json.loads(json.dumps(event)), context)))
        except (Exception, Crash) as error:  # noqa: BLE001 - whatever a handler dies of is Lambda's answer
            return Invocation(_error_body(error), "Unhandled", context.aws_request_id)
        return Invocation(result, request_id=context.aws_request_id)


def from_specs(specs: Iterable[FunctionSpec], root: Path) -> Functions:
    """The functions a template declares, their code under ``root``; their environment is ``set_environment``'s."""
    return Functions(
        LocalFunction(
            name=spec.name,
            handler=load(root / spec.code, spec.handler),
            logical_id=spec.logical_id,
            dead_letters=spec.dead_letters,
            destination=spec.destination,
            timeout=spec.timeout,
            memory=spec.memory,
        )
        for spec in specs
    )


def load(folder: Path, handler: str, more: Callable[[], Mapping[str, Any]] = dict) -> Handler:
    """The handler ``module.function`` from ``folder``, imported at the first call; ``more`` gives it keywords."""
    module, _, name = handler.rpartition(".")
    if not module or not (folder / f"{module.replace('.', '/')}.py").exists():
        text = f"The handler {handler} is not in {folder.name}/: correct Handler or CodeUri in template.yaml."
        raise UnknownFunctionError(text)

    def call(event: Any, context: Any) -> Any:
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
        return getattr(importlib.import_module(module), name)(event, context, **more())

    return call


def set_environment(environments: Mapping[str, Mapping[str, str]], **more: str) -> None:
    """Put every function's variables, and ``more``, into this process's environment.

    In one process two functions cannot have one variable with two values, so that is refused with the names; only what
    Lambda or powertools label their output with may differ (the first one stays).
    """
    union: dict[str, tuple[str, str]] = {}
    for function, environment in environments.items():
        for name, value in environment.items():
            first, known = union.setdefault(name, (function, value))
            if known != value and not name.startswith(("POWERTOOLS_", "AWS_LAMBDA_")):
                raise ValueError(
                    f"{first} and {function} give {name} two values ({known!r}, {value!r}), and the local mode runs "
                    f"both in one process: give the variable one name per meaning in template.yaml."
                )
    os.environ.update({name: value for name, (_, value) in union.items()})
    os.environ.update({"AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION, **more})


def dead_letter(function: LocalFunction, event: Any, answer: Invocation, attempts: int, now: str) -> dict[str, Any]:
    """The SQS message an asynchronous invocation ends in after its last try: Lambda's record, or the bare event."""
    if function.destination:
        body: Any = {
            "version": "1.0",
            "timestamp": now,
            "requestContext": {
                "requestId": answer.request_id,
                "functionArn": arn("lambda", f"function:{function.name}:$LATEST"),
                "condition": "RetriesExhausted",
                "approximateInvokeCount": attempts,
            },
            "requestPayload": event,
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": answer.error},
            "responsePayload": answer.payload,
        }
        attributes = {}
    else:
        body = event
        attributes = {
            "RequestID": {"DataType": "String", "StringValue": answer.request_id},
            "ErrorCode": {"DataType": "Number", "StringValue": "200"},
            "ErrorMessage": {"DataType": "String", "StringValue": answer.said[:1024]},
        }
    return {
        "Queue": function.dead_letters,
        "MessageId": str(uuid.uuid4()),
        "Body": json.dumps(body),
        "MessageAttributes": attributes,
    }


def _error_body(error: BaseException) -> dict[str, Any]:
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "requestId": "",
        "stackTrace": traceback.format_tb(error.__traceback__),
    }
