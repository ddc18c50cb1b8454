"""How callers reach the local AWS: operations put onto moto's response classes (so that HTTP finds them), and the same
operations behind boto3 clients of this process, without a socket. Both hold the stack's one lock while moto works.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from botocore.client import BaseClient as BotocoreClient
from botocore.compat import HTTPHeaders
from botocore.endpoint import convert_to_response_dict
from botocore.exceptions import ConnectionClosedError, ParamValidationError
from botocore.hooks import first_non_none_response
from botocore.validate import ParamValidator
from moto.cloudwatch.responses import CloudWatchResponse
from moto.codebuild.responses import CodeBuildResponse
from moto.codecommit.responses import CodeCommitResponse
from moto.codedeploy.responses import CodeDeployResponse
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse
from moto.core.exceptions import JsonRESTError, ServiceException
from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import camelcase_to_underscores
from moto.dynamodb.models.utilities import dynamo_json_dump
from moto.dynamodb.responses import DynamoHandler
from moto.ecr.responses import ECRResponse
from moto.events.responses import EventsHandler
from moto.logs.responses import LogsResponse

from console.local.aws.api import AwsError, Operation
from console.local.aws.faults import Call, Faults
from console.local.aws.strict.judge import judge
from console.local.aws.strict.lists import Lists
from console.local.aws_account import REGION

RESPONSES: dict[str, type] = {
    "cloudwatch": CloudWatchResponse,
    "codebuild": CodeBuildResponse,
    "codecommit": CodeCommitResponse,
    "codedeploy": CodeDeployResponse,
    "dynamodb": DynamoHandler,
    "ecr": ECRResponse,
    "events": EventsHandler,
    "logs": LogsResponse,
}
QUERY_PROTOCOL = {"autoscaling", "cloudwatch"}  # the others of RESPONSES speak AWS's JSON protocol
BaseClient: Any = BotocoreClient  # its private doors are what in_process opens
UNLOCKED = {("lambda", "Invoke")}  # a handler calls AWS itself
STUBBER = BotocoreStubber()


class LocalStack(Protocol):
    """What the doors need of the stack. ``lists`` cuts the lists that it answers."""

    lists: Lists

    @property
    def lock(self) -> Any:
        """The one lock."""
        ...

    def operation(self, service: str, operation: str) -> Operation | None:
        """The stack's own operation, None when moto has it."""
        ...

    def performed(self, service: str, operation: str, request: Mapping[str, Any]) -> None:
        """Told of every request that moto answered without an error."""
        ...


# onto moto


def install(operations: Mapping[str, Mapping[str, Operation]], lists: Lists) -> Callable[[], None]:
    """Put ``operations`` (by service and AWS's operation name) onto moto's response classes; the returned call takes
    them off.
    """
    replaced: list[tuple[type, str, Any]] = []
    for service, group in operations.items():
        for name, operation in group.items():
            if (place := RESPONSES.get(service)) is None:
                continue
            method = _method_name(name)
            replaced.append((place, method, place.__dict__.get(method)))
            cut = _cut(lists, service, name, operation)
            setattr(place, method, _method(cut) if service in QUERY_PROTOCOL else _json_method(cut))

    def uninstall() -> None:
        for place, method, original in reversed(replaced):
            if original is None:
                delattr(place, method)
            else:
                setattr(place, method, original)

    return uninstall


def know_autoscaling() -> None:
    """Know moto's Auto Scaling: importing it takes longer than the rest, so only who asks for it waits."""
    from moto.autoscaling.responses import AutoScalingResponse

    RESPONSES["autoscaling"] = AutoScalingResponse


def _cut(lists: Lists, service: str, name: str, operation: Operation) -> Operation:
    return lambda params: lists.answer(service, name, params, operation)


def strictly() -> Callable[[], None]:
    """Let moto judge every request that comes over HTTP before it performs it; the returned call ends that.

    S3 and Lambda have responses of another kind there.
    """
    original = BaseResponse.call_action

    def call_action(response: Any) -> Any:
        try:
            response.parse_parameters(response.normalized_request)
            judge(response.boto3_service_name, response._get_action(), response.params)
        except AwsError as error:
            status, headers, body = response.serialized(ActionResult(_Refused(error.code, error.message)))
            return status, headers, body
        return original(response)

    BaseResponse.call_action = call_action

    def leniently() -> None:
        BaseResponse.call_action = original

    return leniently


class _Refused(ServiceException):  # type: ignore[misc, unused-ignore]
    """What AWS answers to a request that is not well-formed."""


def _method_name(operation: str) -> str:
    return str(camelcase_to_underscores(operation))


def _method(operation: Operation) -> Callable[[Any], Any]:
    def method(response: Any) -> Any:
        return ActionResult(deepcopy(_performed(operation, response)))

    return method


def _json_method(operation: Operation) -> Callable[[Any], str]:
    """The operation with its answer written as AWS's JSON protocol writes it, without moto's serializer: that one
    takes ten times as long as the operation."""

    def method(response: Any) -> str:
        return json.dumps(_performed(operation, response), default=_json_value)

    return method


def _performed(operation: Operation, response: Any) -> Any:
    response.automated_parameter_parsing = True
    response.parse_parameters(response.normalized_request)
    try:
        return operation(response.params)
    except AwsError as error:
        raise _json_error(error) from error


def _json_value(value: Any) -> Any:
    """A value of botocore's that JSON does not have: a time in seconds since 1970, bytes in base64."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} has no place in an answer of AWS's JSON protocol")


def _json_error(error: AwsError) -> JsonRESTError:
    told = JsonRESTError(error.code, error.message)
    told.description = dynamo_json_dump({"__type": error.code, "message": error.message, **error.fields})
    return told


def answer(request: AWSPreparedRequest) -> tuple[int, Any, Any]:
    """What moto answers a prepared request: status, headers, body. An action nobody has is a 501 with a sentence."""
    try:
        answered = STUBBER.process_request(request)
    except NotImplementedError as error:
        return 501, {"content-type": "application/json"}, not_there(str(error))
    if answered is None:
        return 501, {"content-type": "application/json"}, not_there(f"Nothing answers {urlsplit(request.url).netloc}")
    status, headers, body = answered
    return status, headers, body


def not_there(what: str) -> str:
    """The body of a 501."""
    text = (
        f"{what}: the local AWS does not have it. Use real AWS for this call, or add the action to console/local/aws."
    )
    return json.dumps({"__type": "NotImplementedException", "message": text})


# in process


@contextmanager
def in_process(
    stack: LocalStack, faults: Faults | None = None, elsewhere: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Faults]:
    """While inside, every boto3 client of this process, whenever it was made, is answered by ``stack``, in this
    process; but the services of ``elsewhere``, by the clients made inside, at the addresses it says.

    The calls pass ``faults``. Parameters are validated as botocore does; nothing is signed or sent. A throttle reaches
    the caller as it does after botocore gave up; a lost answer passes botocore's retry handler, without its pauses.
    """
    faults = faults or Faults()
    call, request = BaseClient._make_api_call, BaseClient._make_request
    addresses = {f"AWS_ENDPOINT_URL_{service.upper()}": url for service, url in elsewhere.items()}
    names = ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", *addresses)
    environment = {name: os.environ.get(name) for name in names}
    os.environ["AWS_DEFAULT_REGION"] = REGION
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "local")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "local")
    os.environ.update(addresses)
    BaseClient._make_api_call = _calls(stack, faults, call, frozenset(elsewhere))
    BaseClient._make_request = _requests(stack, faults, request, frozenset(elsewhere))
    try:
        yield faults
    finally:
        BaseClient._make_api_call, BaseClient._make_request = call, request
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _calls(stack: LocalStack, faults: Faults, original: Any, elsewhere: frozenset[str]) -> Any:
    def make_api_call(client: Any, operation_name: str, api_params: Any) -> Any:
        service = client.meta.service_model.service_name
        call = Call(service, operation_name, api_params)
        try:
            faults.before(call)
            judge(service, operation_name, api_params)
        except AwsError as error:
            raise _client_error(client, operation_name, error) from None
        operation = None if service in elsewhere else stack.operation(service, operation_name)
        if operation is None:
            result = stack.lists.answer(
                service, operation_name, api_params, lambda asked: original(client, operation_name, asked)
            )
        else:
            result = _perform(stack, faults, client, operation_name, api_params, operation)
        try:
            faults.after(call)
        except AwsError as error:
            raise _client_error(client, operation_name, error) from None
        return result

    return make_api_call


def _sent(faults: Faults, client: Any, model: Any, context: Any, send: Callable[[], Any]) -> Any:
    """What ``send`` gives, sent again while its answer is lost and botocore's retry handler wants it. Raises
    ConnectionClosedError where it does not."""
    call = Call(model.service_model.service_name, model.name, {})
    event = f"needs-retry.{model.service_model.service_id.hyphenize()}.{model.name}"
    for attempts in itertools.count(1):
        result, refused = None, None
        try:
            result = send()
        except AwsError as error:
            refused = error
        if not faults.loses(call):
            break
        lost = ConnectionClosedError(endpoint_url=client.meta.endpoint_url)
        told = {"operation": model, "attempts": attempts, "request_dict": {"context": context}}
        told |= {"response": None, "endpoint": None, "caught_exception": lost}
        if first_non_none_response(client.meta.events.emit(event, **told)) in (None, False):
            raise lost
    if refused is not None:
        raise refused
    return result


def _perform(stack: LocalStack, faults: Faults, client: Any, name: str, params: Any, operation: Operation) -> Any:
    """Our own operation, past serializing: botocore's parameter hooks and validation, the operation, botocore's answer
    hooks.
    """
    model = client.meta.service_model.operation_model(name)
    context: dict[str, Any] = {
        "client_region": REGION,
        "client_config": client.meta.config,
        "has_streaming_input": False,
    }
    params = client._emit_api_params(api_params=params, operation_model=model, context=context)
    if model.input_shape is not None:
        report = ParamValidator().validate(params, model.input_shape)
        if report.has_errors():
            raise ParamValidationError(report=report.generate_report())

    call = Call(model.service_model.service_name, name, params)

    def listed(asked: Any) -> dict[str, Any]:
        return stack.lists.answer(call.service, name, asked, operation)

    def send() -> Any:
        if (call.service, name) in UNLOCKED:
            return operation(params)
        with stack.lock:
            return deepcopy(
                faults.perform(call, lambda asked: stack.lists.answer(call.service, name, asked, operation))
            )

    try:
        result = _sent(faults, client, model, context, send)
    except AwsError as error:
        raise _client_error(client, name, error) from None
    result["ResponseMetadata"] = {"RequestId": "local", "HTTPStatusCode": 200, "HTTPHeaders": {}, "RetryAttempts": 0}
    event = f"after-call.{client.meta.service_model.service_id.hyphenize()}.{name}"
    response = AWSResponse("", 200, HTTPHeaders(), None)
    client.meta.events.emit(event, http_response=response, parsed=result, model=model, context=context)
    return result


def _client_error(client: Any, operation: str, error: AwsError) -> Exception:
    status = _status(client.meta.service_model.shape_for_error_code(error.code))
    told = {
        "Error": {"Code": error.code, "Message": error.message},
        "ResponseMetadata": {"RequestId": "local", "HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0},
        **error.fields,
    }
    raised: Exception = client.exceptions.from_code(error.code)(told, operation)
    return raised


def _status(shape: Any) -> int:
    """The HTTP status of an error. Some models do not say which errors are AWS's own fault; their names do."""
    if shape is None:
        return 400
    fault = shape.metadata.get("fault") or shape.name.startswith(("Internal", "ServiceUnavailable"))
    return int(shape.metadata.get("error", {}).get("httpStatusCode") or (500 if fault else 400))


def _requests(stack: LocalStack, faults: Faults, original: Any, elsewhere: frozenset[str]) -> Any:
    """In place of sending: the prepared request answered by moto, and botocore's own parser on the answer."""

    def make_request(client: Any, model: Any, request_dict: Mapping[str, Any], context: Any) -> Any:
        if client.meta.service_model.service_name in elsewhere:
            return original(client, model, request_dict, context)
        headers = HTTPHeaders()
        for key, value in request_dict["headers"].items():
            headers[key] = value.decode() if isinstance(value, bytes) else value
        service = client.meta.service_model.service_name
        # moto's S3 refuses what nobody signed; it does not look at the signature itself
        credential = f"local/20260101/{REGION}/{service}/aws4_request"
        headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=local"
        if "X-Amz-Trailer" in headers:  # what the signer would have added to a chunked body
            headers["X-Amz-Content-SHA256"] = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        body = request_dict["body"]
        if hasattr(body, "read"):
            body = body.read()
        if isinstance(body, dict):  # the query protocol's form
            body = urlencode(body)
        prepared = AWSPreparedRequest(
            request_dict["method"], _url(request_dict, service), headers, body, stream_output=False
        )

        def send() -> tuple[int, Any, Any]:
            with stack.lock:
                status, told, content = answer(prepared)
                if status < 300:
                    kept = {"method": prepared.method, "url": prepared.url, "headers": dict(headers), "body": body}
                    stack.performed(service, model.name, kept)
            return status, told, content

        status, told, content = _sent(faults, client, model, context, send)
        return _parsed(client, model, _response(prepared.url, int(status), told, content))

    return make_request


def _response(url: str, status: int, told: Mapping[str, Any], content: Any) -> AWSResponse:
    headers: Any = HeadersDict(told)  # what botocore's own session gives; its type stubs say another class
    return AWSResponse(url, status, headers, MockRawResponse(content))


def _url(request_dict: Mapping[str, Any], service: str) -> str:
    """The request's URL at AWS's own host, whatever AWS_ENDPOINT_URL the client was made under."""
    url, query = str(request_dict["url"]), request_dict.get("query_string")
    parts = urlsplit(url)
    if not parts.netloc.endswith(".amazonaws.com"):
        url = urlunsplit(("https", f"{service}.{REGION}.amazonaws.com", parts.path or "/", parts.query, ""))
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query, doseq=True)}"


def _parsed(client: Any, model: Any, response: Any) -> tuple[Any, Any]:
    told = convert_to_response_dict(response, model)
    parsed = client._response_parser.parse(told, model.output_shape)
    if response.status_code >= 300:
        code = parsed.get("Error", {}).get("Code")
        shape = model.service_model.shape_for_error_code(code) if code else None
        if shape is not None:
            parsed |= client._response_parser.parse(told, shape)
    return response, parsed
