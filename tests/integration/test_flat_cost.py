"""A release costs the same with ten releases behind it and with a thousand: counts of calls and units, no times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench import flat_cost
from bench.long_history import PERIOD, HistoryStage, lengthen, push_one
from bench.meter import BenchError, Meter, Reading, refused_units
from console.local.aws.faults import Call
from esteira.core.status import Phase


@pytest.fixture(scope="module")
def thousand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HistoryStage, dict[str, Any]]]:
    """A stage with a thousand releases behind it and two more, and what they and a sweep cost there and with ten."""
    measured = {"10": _figures(flat_cost.measure(10, releases=2))}
    with HistoryStage(tmp_path_factory.mktemp("thousand")) as stage:
        lengthen(stage, 1_000)
        measured["1000"] = _figures(flat_cost.measure_on(stage, releases=2))
        yield stage, {"releases_measured": 2, "histories": measured, "ratios": flat_cost.ratios(measured)}


@pytest.fixture
def measured(thousand: tuple[HistoryStage, dict[str, Any]]) -> dict[str, Any]:
    """What it cost."""
    return thousand[1]


@pytest.mark.slow
def test_a_release_and_a_sweep_cost_the_same_with_a_thousand_releases_behind_them(measured: dict[str, Any]) -> None:
    """Every figure with a thousand is within five per cent of what it is with ten."""
    assert flat_cost.missed(measured) == []
    assert set(measured["histories"]) == {"10", "1000"}
    for figures in measured["histories"].values():
        assert figures["release"]["by_call"]["codebuild:StartBuild"] == 1
        assert figures["release"]["by_call"]["codedeploy:CreateDeployment"] == 1
        assert figures["release"]["write_units"] > 0
        assert figures["idle_sweep"]["read_units"] > 0


@pytest.mark.slow
def test_an_idle_sweep_writes_nothing(measured: dict[str, Any]) -> None:
    """Where nothing happened the sweep leaves no row behind, however long the history."""
    assert [f["idle_sweep"]["write_units"] for f in measured["histories"].values()] == [0, 0]


@pytest.mark.slow
def test_the_lengthened_history_goes_on_as_a_played_one(thousand: tuple[HistoryStage, dict[str, Any]]) -> None:
    """On a history that was multiplied a rollback goes back to the release before, and a push gets the next number."""
    stage, _ = thousand
    stage.operate("rollback")
    stage.play()
    assert push_one(stage) == 1_003
    phases = {v.number: v.phase for v in stage.store.views(stage.service.name, 3)}
    assert phases == {1_003: Phase.LIVE, 1_002: Phase.ROLLED_BACK, 1_001: Phase.SUPERSEDED}


@pytest.mark.slow
def test_a_history_that_is_no_whole_number_of_periods_is_refused(tmp_path: Any) -> None:
    """What cannot be made of periods is refused with a sentence, not made nearly."""
    with HistoryStage(tmp_path) as stage, pytest.raises(BenchError, match="45 releases are no whole number"):
        lengthen(stage, 45)


def test_a_refused_write_is_billed_by_its_size() -> None:
    """A write whose condition failed costs what it would have cost, twice that in a transaction."""
    small, large = {"pk": {"S": "x"}}, {"pk": {"S": "x" * 2_000}}
    put = {"TableName": "t", "Item": small}
    assert refused_units(Call("dynamodb", "PutItem", put)) == 1
    assert refused_units(Call("dynamodb", "PutItem", put | {"Item": large})) == 2
    check = {"ConditionCheck": {"TableName": "t", "Key": small}}
    assert refused_units(Call("dynamodb", "TransactWriteItems", {"TransactItems": [{"Put": put}, check]})) == 4


def test_the_meter_counts_what_was_refused_too(tmp_path: Any) -> None:
    """A conditional put that finds its row there is one call and one unit."""
    with HistoryStage(tmp_path) as stage:
        table = stage.context.settings.table
        row = {"pk": {"S": "meter"}, "sk": {"S": "row"}}
        client = stage.context.aws.client("dynamodb")
        client.put_item(TableName=table, Item=row)
        meter = Meter(stage)
        with pytest.raises(client.exceptions.ConditionalCheckFailedException):
            client.put_item(TableName=table, Item=row, ConditionExpression="attribute_not_exists(pk)")
        reading = meter.read()
    assert (reading.calls["dynamodb:PutItem"], reading.write_units, reading.read_units) == (1, 1, 0)


@pytest.mark.slow
def test_a_cost_that_grows_with_the_history_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that read its whole history at each step would not pass for flat."""
    from esteira.store import Store

    bounded: Callable[..., Any] = Store.snapshot_rows

    def unbounded(self: Store, service: Any, also: Any = ()) -> Any:
        self.views(service.name, 10_000)
        return bounded(self, service, also)

    monkeypatch.setattr(Store, "snapshot_rows", unbounded)
    result = flat_cost.run(lambda _: None, histories=(4, PERIOD), releases=1)
    assert any("release read_units" in fault for fault in flat_cost.missed(result))


def _figures(readings: tuple[Reading, Reading]) -> dict[str, Any]:
    release, sweep = readings
    return {"release": release.figures(), "idle_sweep": sweep.figures()}
