"""DynamoDB, SSM and Lambda as far as a reading command needs them: signed JSON requests, without boto3's clients.

A boto3 client takes half a second of processor before its first request: importing boto3, loading a service's model
and its endpoint rules. These three services speak JSON, so botocore's signer, credentials and HTTP session are enough.
Only requests that read are sent here, so each may be sent again when it fails. What changes something goes through a
client.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from botocore.httpsession import URLLib3Session
    from botocore.session import Session

ATTEMPTS = 3
TIMEOUT_SECONDS = (3, 15)  # to connect, to read
# By service, what stands before an operation's name, and the version of JSON.
_TARGETS = {"dynamodb": ("DynamoDB_20120810", "1.0"), "ssm": ("AmazonSSM", "1.1")}
_AGAIN = {"ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"}


class Key(NamedTuple):
    """The credentials that a request is signed with, by botocore's names."""

    access_key: str
    secret_key: str
    token: str | None = None


@dataclass(frozen=True)
class Wire:
    """The way to AWS, or to ``endpoint`` in its place. ``key`` and ``region`` are this machine's own unless given.
    ``functions`` is the endpoint of Lambda, if that is another; ``session`` makes botocore's session."""

    endpoint: str | None = None
    functions: str | None = None
    key: Key | None = None
    region: str = ""
    session: Callable[[], Session] | None = None

    def __call__(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        """What AWS answers to a request that reads. Raises botocore's errors."""
        url = self._url(service)
        if service == "lambda":  # GetFunctionConfiguration, the one operation that is asked for
            return self._ask("GET", f"{url}/2015-03-31/functions/{request['FunctionName']}/configuration", {}, "",
                             service, operation)  # fmt: skip
        target, version = _TARGETS[service]
        headers = {"Content-Type": f"application/x-amz-json-{version}", "X-Amz-Target": f"{target}.{operation}"}
        return self._ask("POST", f"{url}/", headers, json.dumps(request), service, operation)

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: str, service: str, operation: str
    ) -> dict[str, Any]:
        from botocore.exceptions import ClientError, HTTPClientError
        from botocore.exceptions import ConnectionError as NotReachedError

        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._once(self._signed(method, url, headers, body, service), operation)
            except (NotReachedError, HTTPClientError):
                if attempt == ATTEMPTS:
                    raise
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if attempt == ATTEMPTS or (status < 500 and error.response["Error"]["Code"] not in _AGAIN):
                    raise
            time.sleep(0.1 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _once(self, request: AWSPreparedRequest, operation: str) -> dict[str, Any]:
        from botocore.exceptions import ClientError

        answer = self._http.send(request)
        try:
            told = json.loads(answer.content or b"{}")
        except ValueError:
            told = {"message": answer.text[:200]}
        if answer.status_code < 300:
            return dict(told)
        code = str(told.get("__type") or answer.headers.get("x-amzn-errortype") or answer.status_code)
        error = {
            "Code": code.rpartition("#")[2].partition(":")[0],
            "Message": str(told.get("message") or told.get("Message") or ""),
        }
        metadata = {"HTTPStatusCode": answer.status_code, "HTTPHeaders": dict(answer.headers)}
        response: Any = {"Error": error, "ResponseMetadata": metadata}
        raise ClientError(response, operation)

    def _signed(self, method: str, url: str, headers: Mapping[str, str], body: str, service: str) -> AWSPreparedRequest:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.exceptions import NoCredentialsError

        key: Any = self.key or self._session.get_credentials()
        if key is None:
            raise NoCredentialsError
        request = AWSRequest(method, url, dict(headers), body.encode())
        SigV4Auth(key, service, self._region).add_auth(request)
        return request.prepare()

    def _url(self, service: str) -> str:
        """The service's endpoint: the one that was named, the one that is configured, or AWS's own."""
        named = (self.functions if service == "lambda" else None) or self.endpoint
        if named:
            return named.rstrip("/")
        from botocore.configprovider import ConfiguredEndpointProvider
        from botocore.regions import EndpointResolver

        session = self._session
        full, scoped = session.full_config, session.get_scoped_config()
        configured = ConfiguredEndpointProvider(full, scoped, service).provide()
        if configured and not session.get_config_variable("ignore_configured_endpoint_urls"):
            return str(configured).rstrip("/")
        endpoints = EndpointResolver(session.get_component("data_loader").load_data("endpoints"))
        found: Any = endpoints.construct_endpoint(
            service,
            self._region,
            use_dualstack_endpoint=bool(session.get_config_variable("use_dualstack_endpoint")),
            use_fips_endpoint=bool(session.get_config_variable("use_fips_endpoint")),
        )
        return f"https://{found['hostname']}"

    @cached_property
    def _region(self) -> str:
        from botocore.exceptions import NoRegionError

        region = self.region or self._session.get_config_variable("region")
        if not region:
            raise NoRegionError
        return str(region)

    @cached_property
    def _session(self) -> Session:
        from botocore.session import get_session

        return (self.session or get_session)()

    @cached_property
    def _http(self) -> URLLib3Session:
        from botocore.httpsession import URLLib3Session
        from botocore.utils import get_environ_proxies

        bundle = None if self.key else self._session.get_config_variable("ca_bundle")
        proxies = get_environ_proxies(self._url("dynamodb"))
        timeout: Any = TIMEOUT_SECONDS  # its stub knows no pair
        return URLLib3Session(verify=bundle or True, proxies=proxies, timeout=timeout)


def through(client: Callable[[str], Any]) -> Callable[..., dict[str, Any]]:
    """What asks the same of boto3's clients, for whoever brings their own."""
    from botocore import xform_name

    def ask(service: str, operation: str, **request: Any) -> dict[str, Any]:
        return dict(getattr(client(service), xform_name(operation))(**request))

    return ask
