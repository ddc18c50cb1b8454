"""Traces by X-Ray's own API: what a traced call of a function sends, and that an error of X-Ray's fails no call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from esteira.aws import tracing
from esteira.aws.tracing import MOST, about, subsegment, traced

pytestmark = pytest.mark.unit

TRACE = "1-6b0d2ee8-0000000000000000000000ff"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The segments that reach X-Ray, which moto plays, of a function that is always traced."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # its clients are watched, and are of this test alone
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "esteira-sweep")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", f"Root={TRACE};Parent=0000000000000001;Sampled=0")
    monkeypatch.setenv("ESTEIRA_TRACE_SHARE", "1")
    segments: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        segments.extend(json.loads(text) for text in params["TraceSegmentDocuments"])

    with mock_aws():
        for made in (tracing.watch_calls, tracing.client_of_xray):
            made.cache_clear()
        tracing.client_of_xray().meta.events.register("provide-client-params.xray.PutTraceSegments", note)
        yield segments
        for made in (tracing.watch_calls, tracing.client_of_xray):
            made.cache_clear()


def test_a_refused_call_to_aws_is_an_error_in_the_trace(sent: list[dict[str, Any]]) -> None:
    """With the answer's status, and the release it was for."""

    @traced
    def handler() -> None:
        with subsegment("Deploy", "heart", "v1"), pytest.raises(Exception, match="ParameterNotFound"):
            boto3.client("ssm").get_parameter(Name="/none")

    handler()
    [segment] = sent
    [decision] = segment["subsegments"]
    [call] = decision["subsegments"]
    assert (segment["name"], segment["trace_id"]) == ("esteira-sweep", TRACE)
    assert (decision["name"], decision["annotations"]) == ("Deploy", {"service": "heart", "release": "heart v1"})
    assert (call["name"], call["aws"], call["error"]) == ("SSM", {"operation": "GetParameter"}, True)
    assert call["http"]["response"]["status"] == 400


def test_an_error_of_a_function_is_a_fault_and_still_an_error(sent: list[dict[str, Any]]) -> None:
    """The trace says what was raised, and Lambda hears of it as without a trace."""

    @traced
    def handler() -> None:
        about("heart", "v2")
        raise ValueError("no such commit")

    with pytest.raises(ValueError, match="no such commit"):
        handler()
    [segment] = sent
    assert segment["fault"] is True
    assert segment["cause"]["exceptions"][0]["message"] == "no such commit"
    assert segment["annotations"] == {"service": "heart", "release": "heart v2"}


def test_a_call_that_is_not_sampled_sends_nothing(sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A share of 0 is the default, and what is outside the share costs nothing."""

    @traced
    def handler() -> int:
        with subsegment("Deploy", "heart", "v1"):
            about("heart")
            return 7

    for share in ("0", "0.00000001"):
        monkeypatch.setenv("ESTEIRA_TRACE_SHARE", share)
        assert handler() == 7
    assert sent == []


def test_a_long_call_s_trace_stays_within_what_x_ray_takes(sent: list[dict[str, Any]]) -> None:
    """64 KB are a document: past so many parts they are counted and no longer sent."""

    @traced
    def handler() -> None:
        for number in range(MOST + 50):
            with subsegment("x" * 300, "heart", f"v{number % 40}"):
                pass

    handler()
    [segment] = sent
    assert len(segment["subsegments"]) == MOST
    assert segment["metadata"]["esteira"]["parts"] == MOST + 50
    assert len(json.dumps(segment)) < 64 * 1024


def test_an_error_of_x_ray_s_fails_no_call(sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """A trace may be lost; the release it is of must not be."""
    tracing.client_of_xray.cache_clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL_XRAY", "not an address")

    @traced
    def handler() -> int:
        return 7

    assert handler() == 7
    assert sent == []
