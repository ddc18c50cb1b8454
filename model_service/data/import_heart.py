"""Writes data/raw/heart.csv from the copy of the Cleveland data that the Orange data-mining package ships.

In: the path of ``Orange/datasets/heart_disease.tab``. Out: the CSV with UCI's column names and numeric codes; a missing
value is an empty cell. It was run once and is kept so that anybody can check the conversion.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

COLUMNS = [
    "age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal",
    "target",
]  # fmt: skip
UCI_CODES = {
    "sex": {"female": "0", "male": "1"},
    "cp": {"typical ang": "1", "atypical ang": "2", "non-anginal": "3", "asymptomatic": "4"},
    "restecg": {"normal": "0", "ST-T abnormal": "1", "left vent hypertrophy": "2"},
    "slope": {"upsloping": "1", "flat": "2", "downsloping": "3"},
    "thal": {"normal": "3", "fixed defect": "6", "reversable defect": "7"},
}
ORANGE_HEADER_LINES = 3  # names, types, roles


def uci(column: str, value: str) -> str:
    """One cell of Orange's table in UCI's format; ``?`` becomes empty. Raises KeyError for a word without a code."""
    if value == "?":
        return ""
    return UCI_CODES[column][value] if column in UCI_CODES else value


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("Which table? Type: python data/import_heart.py PATH/TO/heart_disease.tab")
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()[ORANGE_HEADER_LINES:]
    rows = [[uci(c, v) for c, v in zip(COLUMNS, line.split("\t"), strict=True)] for line in lines]
    target = Path(__file__).parent / "raw" / "heart.csv"
    with target.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    print(f"{target}: {len(rows)} rows, {sum(row[-1] == '1' for row in rows)} with disease")


if __name__ == "__main__":
    main()
