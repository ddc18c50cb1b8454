"""Makes wine.csv from scikit-learn's copy of UCI's wine data: six of the thirteen measurements, and the grower."""

from __future__ import annotations

import csv
from pathlib import Path

from sklearn.datasets import load_wine

KEPT = ("alcohol", "malic_acid", "flavanoids", "color_intensity", "hue", "proline")
GROWERS = ("first", "second", "third")  # the source does not name them


def main() -> None:
    """The command."""
    wine = load_wine()
    places = [wine.feature_names.index(name) for name in KEPT]
    with (Path(__file__).parent / "raw/wine.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow([*KEPT, "grower"])
        for row, target in zip(wine.data, wine.target, strict=True):
            out.writerow([*(f"{row[at]:g}" for at in places), GROWERS[target]])


if __name__ == "__main__":
    main()
