"""DynamoDB as the store needs it: capacity, ranges, transactions and their tokens. By the local AWS behind both its
doors, and by ministack: where two that know nothing of each other answer alike, it is what DynamoDB's own pages say.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.httpsession import URLLib3Session

from console.local.aws.aws_server import AwsServer
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws.stack import LocalAws
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from console.local.sam.ministack import Ministack
from esteira.core.facts import Rollout
from esteira.store import Store

pytestmark = pytest.mark.integration
AT = datetime(2026, 11, 23, 15, 4, 5, tzinfo=UTC)
OURS = ("in process", "over HTTP")
ACCOUNTS = itertools.count(200_000_000_000)  # ministack keeps what each has apart


@pytest.fixture(params=[*OURS, "ministack"])
def dynamodb(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A client of one DynamoDB, with an empty table."""
    if request.param == "ministack":
        second: Ministack = request.getfixturevalue("ministack")
        yield with_table(client(second.url, str(next(ACCOUNTS))))
        return
    with LocalAws(
        tmp_path / "state", ScriptedEngine(manual=True), Bus(clock=Clock.stopped(AT)), keep=False
    ) as local_aws:
        if request.param == "in process":
            with local_aws.in_process():
                yield with_table(client(None))
        else:
            with AwsServer(local_aws, "local") as server:
                yield with_table(client(server.url))


def client(url: str | None, account: str = "local") -> Any:
    """A client of whoever is at ``url``."""
    make: Any = boto3.client
    keys = {"aws_access_key_id": account, "aws_secret_access_key": "local", "region_name": "us-east-1"}
    return make("dynamodb", endpoint_url=url, **keys)


def with_table(client: Any) -> Any:
    """Create the table, with the keys of the controller's own."""
    keys = (("pk", "HASH"), ("sk", "RANGE"))
    client.create_table(
        TableName="facts",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name, _ in keys],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys],
    )
    return client


def put(client: Any, sort: str, **more: Any) -> Any:
    """Put one small fact."""
    return client.put_item(TableName="facts", Item={"pk": {"S": "heart"}, "sk": {"S": sort}}, **more)


def code_of(refused: pytest.ExceptionInfo[ClientError]) -> str:
    """AWS's name of the error."""
    return str(refused.value.response["Error"]["Code"])


TOTAL = {"ReturnConsumedCapacity": "TOTAL"}
KEY = {"pk": {"S": "heart"}, "sk": {"S": "big"}}
BIG = {**KEY, "x": {"S": "x" * 4100}}


def units(answer: Any) -> float:
    """The capacity a call consumed."""
    return float(answer["ConsumedCapacity"]["CapacityUnits"])


def test_the_capacity_of_writes_is_computed_from_item_sizes(dynamodb: Any) -> None:
    """One unit for each KB of the larger of the item before and after; twice that in a transaction."""
    assert units(put(dynamodb, "small", **TOTAL)) == 1
    assert units(dynamodb.put_item(TableName="facts", Item=BIG, **TOTAL)) == 5
    steps = [
        {"Put": {"TableName": "facts", "Item": BIG}},
        {"Delete": {"TableName": "facts", "Key": {**KEY, "sk": {"S": "small"}}}},
    ]
    told = dynamodb.transact_write_items(TransactItems=steps, **TOTAL)["ConsumedCapacity"]
    assert [(row["TableName"], row["CapacityUnits"]) for row in told] == [("facts", 12.0)]
    assert units(dynamodb.delete_item(TableName="facts", Key=KEY, **TOTAL)) == 5


@pytest.mark.parametrize("dynamodb", OURS, indirect=True)
def test_the_capacity_of_reads_is_computed_from_item_sizes(dynamodb: Any) -> None:
    """One unit for each 4 KB, half of it where it need not be consistent. ministack says 1 for every read."""
    put(dynamodb, "small")
    dynamodb.put_item(TableName="facts", Item=BIG)
    assert units(dynamodb.get_item(TableName="facts", Key=KEY, ConsistentRead=True, **TOTAL)) == 2
    assert units(dynamodb.get_item(TableName="facts", Key=KEY, **TOTAL)) == 1
    ask = {"KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "heart"}}}
    assert units(dynamodb.query(TableName="facts", ConsistentRead=True, **ask, **TOTAL)) == 2
    assert units(dynamodb.query(TableName="facts", Limit=1, **ask, **TOTAL)) == 1


def test_a_query_reads_its_range_in_order_and_in_pages(dynamodb: Any) -> None:
    """Conditions on the sort key, both directions, filters, limits and start keys."""
    for n in (3, 1, 2, 10, 5):
        put(dynamodb, f"a#{n:02}")
    put(dynamodb, "b#01")

    def query(condition: str, **more: Any) -> Any:
        values = {":p": {"S": "heart"}, **more.pop("values", {})}
        return dynamodb.query(
            TableName="facts", KeyConditionExpression=condition, ExpressionAttributeValues=values, **more
        )

    def keys(answer: Any) -> list[str]:
        return [item["sk"]["S"] for item in answer["Items"]]

    begins = "pk = :p AND begins_with(sk, :s)"
    prefix = {"values": {":s": {"S": "a#"}}}
    assert keys(query(begins, **prefix)) == ["a#01", "a#02", "a#03", "a#05", "a#10"]
    assert keys(query(begins, ScanIndexForward=False, Limit=2, **prefix)) == ["a#10", "a#05"]
    first = query(begins, Limit=3, **prefix)
    rest = query(begins, Limit=3, ExclusiveStartKey=first["LastEvaluatedKey"], **prefix)
    assert (keys(first), keys(rest)) == (["a#01", "a#02", "a#03"], ["a#05", "a#10"])
    back = query(begins, ScanIndexForward=False, ExclusiveStartKey=first["LastEvaluatedKey"], **prefix)
    assert keys(back) == ["a#02", "a#01"]
    between = query("pk = :p AND sk BETWEEN :a AND :b", values={":a": {"S": "a#02"}, ":b": {"S": "a#05"}})
    assert keys(between) == ["a#02", "a#03", "a#05"]
    for sign, expected in (("<", ["a#01"]), ("<=", ["a#01", "a#02"]), (">", ["b#01"]), (">=", ["a#10", "b#01"])):
        bound = {"<": "a#02", "<=": "a#02", ">": "a#10", ">=": "a#10"}[sign]
        assert keys(query(f"pk = :p AND sk {sign} :s", values={":s": {"S": bound}})) == expected
    filtered = query("pk = :p", FilterExpression="sk = :s", values={":s": {"S": "b#01"}})
    assert (filtered["Count"], filtered["ScannedCount"]) == (1, 6)
    assert query("pk = :p", Select="COUNT")["Count"] == 6


def test_a_cancelled_transaction_changes_nothing_and_says_why(dynamodb: Any) -> None:
    """All or nothing, with a reason for each item."""
    put(dynamodb, "claimed")
    key = {"pk": {"S": "heart"}, "sk": {"S": "claimed"}}
    new = {"pk": {"S": "heart"}, "sk": {"S": "new"}}
    steps: list[dict[str, Any]] = [
        {"Put": {"TableName": "facts", "Item": new}},
        {
            "Update": {
                "TableName": "facts",
                "Key": {"pk": {"S": "heart"}, "sk": {"S": "counter"}},
                "UpdateExpression": "SET n = :n",
                "ExpressionAttributeValues": {":n": {"N": "1"}},
            }
        },
        {
            "Put": {
                "TableName": "facts",
                "Item": key,
                "ConditionExpression": "attribute_not_exists(pk)",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        },
    ]
    with pytest.raises(ClientError) as refused:
        dynamodb.transact_write_items(TransactItems=steps)
    assert code_of(refused) == "TransactionCanceledException"
    reasons = refused.value.response["CancellationReasons"]  # type: ignore[typeddict-item]
    assert [reason["Code"] for reason in reasons] == ["None", "None", "ConditionalCheckFailed"]
    assert reasons[2]["Item"] == key
    items = dynamodb.scan(TableName="facts")["Items"]
    assert items == [key]
    dynamodb.transact_write_items(TransactItems=steps[:2])
    assert len(dynamodb.scan(TableName="facts")["Items"]) == 3


def test_a_transactions_token_makes_it_happen_once(dynamodb: Any) -> None:
    """The same token again does nothing; with other items it is refused."""

    def add(token: str, step: str = ":n") -> None:
        update = {
            "TableName": "facts",
            "Key": {"pk": {"S": "heart"}, "sk": {"S": "counter"}},
            "UpdateExpression": f"ADD n {step}",
            "ExpressionAttributeValues": {step: {"N": "1"}},
        }
        dynamodb.transact_write_items(TransactItems=[{"Update": update}], ClientRequestToken=token)

    add("t")
    add("t")
    with pytest.raises(ClientError) as refused:
        add("t", ":m")
    assert code_of(refused) == "IdempotentParameterMismatchException"
    assert dynamodb.scan(TableName="facts")["Items"][0]["n"] == {"N": "1"}


def test_no_acknowledged_write_is_lost_among_threads(dynamodb: Any) -> None:
    """Eight writers at once: of each conditional put, one holds."""

    def write(_: int) -> int:
        won = 0
        for sort in range(40):
            try:
                put(dynamodb, f"{sort:03}", ConditionExpression="attribute_not_exists(sk)")
                won += 1
            except ClientError:
                pass
        return won

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(8))) == 40
    assert len(dynamodb.scan(TableName="facts")["Items"]) == 40


@pytest.mark.parametrize("dynamodb", ["over HTTP", "ministack"], indirect=True)
def test_a_claim_whose_answer_was_lost_is_made_again_and_is_ours(dynamodb: Any) -> None:
    """boto3 sends the transaction a second time under the same token, so it is no other function's claim."""
    lost: list[str] = []

    def lose(request: Any, **_: object) -> None:
        if not lost:
            lost.append(URLLib3Session().send(request).content.decode())
            raise ConnectionClosedError(endpoint_url=request.url)

    dynamodb.meta.events.register("before-send.dynamodb.TransactWriteItems", lose)
    store = Store(dynamodb, "facts")
    rollout = Rollout(
        at=AT,
        stage="production",
        number=1,
        release=1,
        attempt=1,
        digest="sha256:1",
        kind="deploy",
        live=0,
        healthy=(),
        served="",
        lease=AT,
        deadline=AT,
    )
    assert store.claim_rollout("heart", rollout)
    assert lost == ["{}"]
    assert not store.claim_rollout("heart", rollout)
    assert store.stage("heart", "production").rollout == rollout


def test_a_refused_put_shows_the_row_that_is_there(dynamodb: Any) -> None:
    """With ALL_OLD the error carries the row, without it it does not; so a put can tell its own row."""
    put(dynamodb, "claimed", ConditionExpression="attribute_not_exists(pk)")
    item = {"pk": {"S": "heart"}, "sk": {"S": "claimed"}}
    for shown, expected in (("ALL_OLD", item), ("NONE", None)):
        with pytest.raises(ClientError) as refused:
            put(
                dynamodb,
                "claimed",
                ConditionExpression="attribute_not_exists(pk)",
                ReturnValuesOnConditionCheckFailure=shown,
            )
        assert code_of(refused) == "ConditionalCheckFailedException"
        assert refused.value.response.get("Item") == expected


def test_a_batch_reads_the_rows_that_are_there(dynamodb: Any) -> None:
    """Up to a hundred keys in a call, in any order; a key without a row is left out, a key given twice is refused."""
    for n in range(3):
        put(dynamodb, f"{n}")

    def read(*sorts: str) -> Any:
        keys = [{"pk": {"S": "heart"}, "sk": {"S": sort}} for sort in sorts]
        return dynamodb.batch_get_item(RequestItems={"facts": {"Keys": keys, "ConsistentRead": True}})

    answer = read("0", "2", "none")
    assert sorted(item["sk"]["S"] for item in answer["Responses"]["facts"]) == ["0", "2"]
    assert answer["UnprocessedKeys"] == {}
    for refused_keys in (("0", "0"), tuple(str(n) for n in range(101))):
        with pytest.raises(ClientError) as refused:
            read(*refused_keys)
        assert code_of(refused) == "ValidationException"


@pytest.mark.parametrize("dynamodb", OURS, indirect=True)
def test_the_capacity_of_a_batch_is_that_of_its_reads(dynamodb: Any) -> None:
    """A row that is not there costs what a small one does."""
    put(dynamodb, "small")
    dynamodb.put_item(TableName="facts", Item=BIG)
    keys = [KEY, {**KEY, "sk": {"S": "small"}}, {**KEY, "sk": {"S": "none"}}]
    asked = {"facts": {"Keys": keys, "ConsistentRead": True}}
    [told] = dynamodb.batch_get_item(RequestItems=asked, **TOTAL)["ConsumedCapacity"]
    assert told["CapacityUnits"] == 4
