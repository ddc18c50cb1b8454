from __future__ import annotations

import csv

import train


def test_the_data_are_the_cleveland_data() -> None:
    """303 patients, 164 without and 139 with disease, 6 with something missing: the counts UCI publishes."""
    with train.DATA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 303
    assert [sum(row["target"] == code for row in rows) for code in "01"] == [164, 139]
    assert sum("" in row.values() for row in rows) == 6
    assert sum(row["ca"] == "" for row in rows) == 4
    assert sum(row["thal"] == "" for row in rows) == 2
