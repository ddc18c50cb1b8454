"""What bench/cold_start.py makes of what it measured, and what its probe measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from bench.cold_start import EVENTS, MEASURES, SUBJECTS, _figures, missed, table

NAMES = ("nothing", "one boto3 client", *(f"{name}{more}" for name in EVENTS for more in ("", ", sam build alone")))


def rounds(**init_cpu_ms: float) -> list[dict[str, dict[str, float]]]:
    """Three rounds in which everything takes 100 ms, what sam build alone makes 300, and what is told so long;
    in one of them others were at work."""
    usual = {name: 300.0 if name.endswith("alone") else 100.0 for name in NAMES} | init_cpu_ms
    return [{name: dict.fromkeys(MEASURES, ms * slow) for name, ms in usual.items()} for slow in (1, 9, 1)]


def test_one_slow_round_moves_no_figure() -> None:
    """Medians of rounds in turns: others at work for a while are not seen in them."""
    result: dict[str, Any] = _figures(rounds())
    assert result["median_ms"]["intake"]["init_ms"] == 100
    assert result["ratios"]["intake"] == {"plain": 0.333, "client": 1.0}
    assert missed(result) == []


def test_a_function_that_grew_heavy_is_named_with_both_figures() -> None:
    """Each promise is held for each function."""
    result = _figures(rounds(sweep=200.0))
    assert missed(result) == [
        "sweep's init takes 0.67 x the processor time of what sam build alone makes, more than 0.6 x",
        "sweep's init takes 2.00 x the processor time of one boto3 client, more than 1.5 x",
    ]
    assert "MISSED" in "\n".join(table(result))


def test_the_table_has_a_row_for_everything_that_was_started() -> None:
    """With the medians as they were."""
    lines = table(_figures(rounds()))
    assert [line for line in lines if line.startswith("| intake")] == [
        "| intake | 100 | 100 | 100 | 100 | 100 |",
        "| intake, sam build alone | 300 | 300 | 300 | 300 | 300 |",
    ]
    assert len([line for line in lines if line.startswith("| ")]) == len(NAMES) + 1


@pytest.mark.skipif(sys.platform != "linux", reason="the probe reads /proc, as it is in the container")
def test_the_probe_counts_from_the_beginning_of_its_process() -> None:
    """Init holds the import and what came before it; the handler's answer is passed on."""
    program = "import json, time; time.sleep(0.2); import probe; print(json.dumps(probe.handler({}, None)))"
    environment = {**os.environ, "PROBED": "nothing.handler", "PYTHONPATH": str(SUBJECTS)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["answer"] == {"ok": True}
    assert told["init_ms"] > 190  # it slept 200, and the kernel counts in tens
    assert 0 < told["init_cpu_ms"] < told["init_ms"]
    assert 0 < told["import_ms"] < told["init_ms"]
