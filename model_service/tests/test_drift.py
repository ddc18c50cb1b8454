from __future__ import annotations

import math
import random

import pytest
from conftest import DATA

from serving.card import Card, Choice, Measure, Shares
from serving.drift import WINDOW, Window, by_chance, counts, drift, psi, word
from serving.model import Model, Record

AGE = Measure(name="age", unit="years", low=0, high=100, seen=(20, 80),
              spread=Shares(edges=(40, 60), shares=(0.25, 0.5, 0.25), missing=0))  # fmt: skip
SEX = Choice(name="sex", codes=(0, 1), spread=Shares(shares=(0.5, 0.5), missing=0.1))


@pytest.fixture
def card(model: Model) -> Card:
    """A card of two features and 100 rows, small enough to compute by hand."""
    return model.card.model_copy(
        update={"features": (AGE, SEX), "data": model.card.data.model_copy(update={"rows": 100})}
    )


def test_the_index_is_what_one_reckons_by_hand() -> None:
    """Two bins, 60 to 40 now and 30 to 70 then, with half a value added to each."""
    now, then = (60.5 / 101, 40.5 / 101), (30.5 / 101, 70.5 / 101)
    wanted = (now[0] - then[0]) * math.log(now[0] / then[0]) + (now[1] - then[1]) * math.log(now[1] / then[1])
    assert psi([60, 40], [30, 70]) == pytest.approx(wanted)
    assert psi([60, 40], [30, 70]) == pytest.approx(0.3681, abs=5e-5)


def test_the_same_shares_have_no_index() -> None:
    """Without a change the index is 0 at any size; an empty bin gives a finite index."""
    assert psi([10, 20, 30], [10, 20, 30]) == 0
    assert psi([100, 0], [0, 100]) == pytest.approx(2 * (100.5 - 0.5) / 101 * math.log(100.5 / 0.5))


def test_values_fall_into_the_bins_of_training() -> None:
    """The first and the last bin are open, and a value on an edge belongs to the bin above."""
    assert counts(AGE, [0, 39.9, 40, 59, 60, 100]) == [2, 2, 2]
    assert counts(SEX, [0, 1.0, 1]) == [1, 2]


def test_each_feature_has_its_verdict(card: Card) -> None:
    """Ages distributed as in training are ok; a sex that has nearly disappeared has drifted."""
    ages = [30] * 25 + [50] * 50 + [70] * 25
    records: list[Record] = [{"age": age, "sex": int(at > 4)} for at, age in enumerate(ages)]
    age, sex = drift(card, records)
    assert (age.name, age.word, age.known, age.psi) == ("age", "ok", 100, pytest.approx(0, abs=1e-12))
    assert (sex.name, sex.word, sex.psi) == ("sex", "drifted", pytest.approx(psi([5, 95], [45, 45])))


def test_the_share_that_is_missing_is_compared(card: Card) -> None:
    """In training a tenth had no sex, now half have none; absent and null both count as missing."""
    _, sex = drift(card, [{"age": 50, "sex": None}, {"age": 50}, {"sex": 1}, {"sex": 0}])
    assert (sex.missing, sex.missing_then, sex.missing_change) == (0.5, 0.1, 0.4)


def test_few_values_give_no_verdict(card: Card) -> None:
    """Below fifty known values there is no index and no verdict; without values there is no share either."""
    told = drift(card, [{"age": 95}] * 49 + [{"sex": 1}] * 50)
    assert [(d.word, d.psi is None) for d in told] == [("too few", True), ("drifted", False)]
    assert [(d.word, d.missing) for d in drift(card, [])] == [("too few", None)] * 2


@pytest.mark.parametrize(
    ("index", "chance", "wanted"),
    [
        (0.09, 0.01, "ok"), (0.1, 0.01, "watch"), (0.24, 0.01, "watch"), (0.25, 0.01, "drifted"),
        (0.2, 0.3, "ok"), (0.29, 0.3, "ok"), (0.31, 0.3, "drifted"), (0.15, 0.12, "watch"),
    ],
)  # fmt: skip
def test_an_index_that_chance_could_give_is_ok(index: float, chance: float, wanted: str) -> None:
    """The conventional limits apply, unless so few values could reach them without any change."""
    assert word(index, chance) == wanted


def test_chance_is_reckoned_by_the_chi_square() -> None:
    """The tables' 99th percentiles are 6.635, 9.210 and 21.666 for 1, 2 and 9 degrees of freedom."""
    for bins, percentile in ((2, 6.635), (3, 9.210), (10, 21.666)):
        assert by_chance(bins, 2, 2) == pytest.approx(percentile, rel=0.04 if bins == 2 else 0.01)


def test_people_of_the_training_data_are_no_drift(model: Model) -> None:
    """For samples from the training distribution at most three in a hundred verdicts are alarms."""
    chance = random.Random(7)
    alarms = verdicts = 0
    for size in (60, 100, 400):
        for _ in range(12):
            records = [drawn(model.card, chance) for _ in range(size)]
            words = [feature.word for feature in drift(model.card, records) if feature.word != "too few"]
            alarms += len(words) - words.count("ok")
            verdicts += len(words)
    assert verdicts > 400
    assert alarms <= 0.03 * verdicts


def drawn(card: Card, chance: random.Random) -> dict[str, float]:
    record: dict[str, float] = {}
    for feature in card.features:
        if chance.random() >= feature.spread.missing:
            [at] = chance.choices(range(len(feature.spread.shares)), feature.spread.shares)
            if feature.kind == "choice":
                record[feature.name] = feature.codes[at]
            else:
                record[feature.name] = (feature.low, *feature.spread.edges)[at]
    return record


def test_the_window_forgets_the_oldest(model: Model) -> None:
    """The drift is that of the last thousand records, and a new record changes it."""
    window = Window(model.card)
    for _ in range(WINDOW):
        window.add({"age": 100})
    assert window.drift()[0].word == "drifted"
    records = random.Random(1).choices([{"age": 30}, {"age": 55}, {"age": 63}], k=WINDOW)
    for record in records:
        window.add(record)
    assert len(window) == WINDOW
    assert window.drift() == drift(model.card, records)


def test_the_training_data_itself_is_ok(model: Model) -> None:
    """For the rows that the card was made from, every feature is ok, and the missing shares are the same."""
    lines = DATA.read_text().splitlines()
    names = lines[0].split(",")
    rows = [dict(zip(names, line.split(","), strict=True)) for line in lines[1:]]
    known = [{n: float(v) for n, v in row.items() if n in model.names and is_number(v)} for row in rows]
    told = drift(model.card, known)
    assert {feature.word for feature in told} == {"ok"}
    assert all(abs(feature.missing_change or 0) < 1e-4 for feature in told)
    assert all(feature.psi is not None and feature.psi < 1e-4 for feature in told)


def is_number(text: str) -> bool:
    return text.replace(".", "", 1).replace("-", "", 1).isdigit()
