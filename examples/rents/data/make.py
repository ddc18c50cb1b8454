"""Makes rents.csv: flats of a city that does not exist, with the rent that this file gives them, and some chance."""

from __future__ import annotations

import random
from pathlib import Path

ROWS = 400
PER_SQUARE_METRE = {1: 42, 2: 55, 3: 30, 4: 36}  # by district


def main() -> None:
    """The command."""
    chance = random.Random(7)  # noqa: S311 - no secret
    lines = ["area,rooms,district,floor,year,garage,rent"]
    for _ in range(ROWS):
        area = max(18, round(chance.lognormvariate(4.2, 0.4)))
        rooms = max(1, min(6, round(area / 24 + chance.gauss(0, 0.5))))
        district, garage = chance.choice([1, 1, 2, 3, 3, 4]), int(chance.random() < area / 160)
        floor, year = chance.randint(0, 18), chance.randint(1955, 2024)
        rent = area * PER_SQUARE_METRE[district] * (1 + (year - 1990) / 220) + 14 * floor + 280 * garage
        cells = [area, rooms, district, floor if chance.random() > 0.05 else "", year, garage]
        lines.append(",".join(map(str, [*cells, round(rent * chance.lognormvariate(0, 0.1), -1)])))
    (Path(__file__).parent / "raw/rents.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
