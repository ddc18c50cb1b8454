"""Lists come as AWS may give them: every row once, in no order unless AWS documents one, and in pages of two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from botocore.exceptions import ClientError

from console.local.aws.aws_server import AwsServer
from console.local.aws.strict.lists import Lists
from esteira.claims import BuildClaim
from tests.walk.stand import Stand, standing

pytestmark = pytest.mark.integration
NUMBERS = list(range(7))


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """One stand for all."""
    with standing(tmp_path_factory.mktemp("walk")) as stand:
        yield stand


def listed(lists: Lists, call: str, token: str, rows: str, there: list[Any]) -> list[list[Any]]:
    """The pages of a list that its service gives in one."""
    service, _, operation = call.partition(":")
    pages: list[list[Any]] = []
    params: dict[str, Any] = {}
    while True:
        answer = lists.answer(service, operation, params, lambda _: {rows: list(there)})
        pages.append(answer[rows])
        if token not in answer:
            return pages
        params = {token: answer[token]}


def test_a_list_is_cut_and_shuffled_and_every_row_comes_once() -> None:
    """Nobody can take the first row for the newest, nor the first page for all."""
    pages = listed(Lists(), "codedeploy:ListDeployments", "nextToken", "deployments", NUMBERS)
    assert [len(page) for page in pages] == [2, 2, 2, 1]
    rows = [row for page in pages for row in page]
    assert sorted(rows) == NUMBERS
    assert rows not in (NUMBERS, NUMBERS[::-1])


def test_a_documented_order_is_kept() -> None:
    """CodeBuild documents the order of builds."""
    pages = listed(Lists(), "codebuild:ListBuildsForProject", "nextToken", "ids", NUMBERS)
    assert [row for page in pages for row in page] == NUMBERS
    assert len(pages) == 4


def test_a_row_that_comes_meanwhile_shifts_nothing() -> None:
    """A token says after which row to go on, so what was there comes once all the same."""
    there, lists = list(NUMBERS), Lists()
    first = lists.answer("codedeploy", "ListDeployments", {}, lambda _: {"deployments": list(there)})
    there += [100, 101, 102]
    rows, answer = list(first["deployments"]), first
    while "nextToken" in answer:
        token = {"nextToken": answer["nextToken"]}
        answer = lists.answer("codedeploy", "ListDeployments", token, lambda _: {"deployments": list(there)})
        rows += answer["deployments"]
    assert set(NUMBERS) <= set(rows)
    assert len(rows) == len(set(rows))


def test_rows_under_several_names_are_paged_together() -> None:
    """DescribeAlarms has three lists in one answer."""
    there = {"MetricAlarms": [1, 2], "CompositeAlarms": [3], "LogAlarms": [4]}
    lists, params, found = Lists(), dict[str, Any](), list[int]()
    while True:
        answer = lists.answer("cloudwatch", "DescribeAlarms", params, lambda _: dict(there))
        page = [row for name in there for row in answer[name]]
        assert len(page) <= 2
        found += page
        if "NextToken" not in answer:
            break
        params = {"NextToken": answer["NextToken"]}
    assert sorted(found) == [1, 2, 3, 4]


def test_a_token_of_nobodys_is_the_services_to_refuse(stand: Stand) -> None:
    """It is no token of ours, so CodeDeploy answers as it does."""
    with pytest.raises(ClientError, match="InvalidNextToken"):
        stand.client("codedeploy").list_deployments(nextToken="nobody's")


def test_motos_lists_are_cut_too(stand: Stand) -> None:
    """Parameters are moto's; in this process they come in pages of two."""
    ssm = stand.client("ssm")
    for n in NUMBERS:
        ssm.put_parameter(Name=f"/many/{n}", Value=str(n), Type="String")
    pages = list(ssm.get_paginator("get_parameters_by_path").paginate(Path="/many/"))
    assert {len(page["Parameters"]) for page in pages} == {1, 2}
    assert sorted(row["Value"] for page in pages for row in page["Parameters"]) == [str(n) for n in NUMBERS]


def over_http(
    server: AwsServer, target: str, body: dict[str, Any], service: str = "codecommit"
) -> tuple[int, dict[str, Any]]:
    """A request as the AWS CLI sends it, past the clients of this process."""
    scope = f"Credential=local/20260101/us-east-1/{service}/aws4_request"
    headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
    headers["Authorization"] = f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=local"
    request = Request(server.url, json.dumps(body).encode(), headers)
    try:
        with urlopen(request) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def test_requests_over_http_are_judged_and_lists_are_cut(stand: Stand) -> None:
    """The command line, and anybody's client, meet the same AWS."""
    for n in range(5):
        stand.local_aws.codecommit.move(stand.service.repository, f"refs/heads/b{n}", stand.commit)
    with AwsServer(stand.local_aws, signed=False) as server:
        repository = {"repositoryName": stand.service.repository}
        status, page = over_http(server, "CodeCommit_20150413.ListBranches", repository)
        refused = over_http(server, "CodeCommit_20150413.GetBranch", {"repositoryName": "a b", "branchName": "main"})
    assert (status, len(page["branches"]), "nextToken" in page) == (200, 2, True)
    assert refused[0] == 400
    assert "must satisfy the pattern" in str(refused[1])


def test_a_claim_is_found_behind_many_others(stand: Stand) -> None:
    """Deployments and builds are looked up on every page."""
    codebuild = stand.client("codebuild")
    for _ in range(5):
        codebuild.start_build(projectName=stand.service.project)
    assert stand.aws.find_build(stand.service, BuildClaim("heart", 1, 1)) == stand.build
    stand.local_aws.engine.finish_all()  # type: ignore[attr-defined]


def test_every_ringing_alarm_is_heard(stand: Stand) -> None:
    """Ten alarms do not fit a page."""
    cloudwatch = stand.client("cloudwatch")
    names = [f"alarm-{n}" for n in range(10)]
    for name in names:
        cloudwatch.put_metric_alarm(
            AlarmName=name, EvaluationPeriods=1, ComparisonOperator="GreaterThanThreshold", Threshold=1.0
        )
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    assert sorted(name for name, _, _ in stand.aws.alarms(names)) == names


def test_a_comment_longer_than_codecommit_takes_is_cut(stand: Stand) -> None:
    """A release's story may be long; its beginning is told."""
    stand.aws.comment(stand.service, stand.commit, "x" * 20_000, "a-long-one")
    longest = max(len(row["comment"]["content"]) for row in stand.local_aws.codecommit.comments)
    assert longest == 10_240


def test_a_subject_longer_than_sns_takes_is_cut(stand: Stand) -> None:
    """SNS takes less than a hundred characters."""
    stand.aws.publish(stand.topic, "x" * 200, "a text")
