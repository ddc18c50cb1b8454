"""The page's texts are complete in each language, with its formats for numbers and dates."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime

import pytest

from serving.card import Choice, Measure, Shares
from serving.model import Model
from serving.words import ENGLISH, GROUPS, PORTUGUESE, WORDS, Words, language

EACH = pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
SHARES = Shares(shares=(1.0,), missing=0)


@EACH
def test_every_feature_and_choice_of_the_model_has_words(words: Words, model: Model) -> None:
    """No feature of this model is shown by its column's name."""
    for feature in model.card.features:
        said = words.features[feature.name]
        assert said.label
        assert said.help
        if isinstance(feature, Choice):
            assert set(said.codes) == set(feature.codes)


@EACH
def test_every_group_has_a_title(words: Words) -> None:
    """Any group can be on the page."""
    assert all(words.groups[group][0] for group in GROUPS)


def test_what_the_card_says_is_translated(model: Model) -> None:
    """Above all the limits of use have to be in the person's language."""
    for text in (model.card.means, model.card.kind, *model.card.limits):
        assert PORTUGUESE.translation(text)[1] == "pt-BR"


def test_each_set_of_known_features_has_words(model: Model) -> None:
    """Each set of known features has a name in words."""
    for words in WORDS.values():
        assert {part.name for part in model.card.partial} <= set(words.levels)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Words) if f.type == "str"])
def test_a_sentence_has_the_same_places_to_fill_in_each_language(field: str) -> None:
    """A translation without its number would be useless or break the page."""
    places = [set(re.findall(r"{(\w+)}", getattr(words, field))) for words in WORDS.values()]
    assert places[0] == places[1], field
    assert all(getattr(words, field) for words in WORDS.values())


def test_a_feature_without_words_goes_by_its_own_name() -> None:
    """A team with its own model has a page before it has written any texts."""
    measure = Measure(name="lead", unit="ppm", low=0, high=9, seen=(1, 2), spread=SHARES)
    choice = Choice(name="shape", codes=(1, 2), spread=SHARES)
    assert PORTUGUESE.label("lead") == "lead"
    assert PORTUGUESE.value(measure, 1.5) == "1,5 ppm"
    assert PORTUGUESE.code(choice, 2) == ("2", "")
    assert PORTUGUESE.translation("Not of today.") == ("Not of today.", "en")


def test_numbers_and_days_are_written_as_the_language_does() -> None:
    """A comma in Portuguese, a point in English."""
    day = datetime(2026, 11, 3, tzinfo=UTC)
    assert (ENGLISH.number(2.5), PORTUGUESE.number(2.5)) == ("2.5", "2,5")
    assert (ENGLISH.number(140.0), ENGLISH.number(0.1 + 0.2)) == ("140", "0.3")
    assert (ENGLISH.day(day), PORTUGUESE.day(day)) == ("3 November 2026", "3 de novembro de 2026")


def test_nothing_is_shown_as_certain() -> None:
    """A probability is never rounded to 0 or 100."""
    assert [ENGLISH.percent(p) for p in (0.001, 0.534, 0.999)] == ["<1%", "53%", ">99%"]
    assert [ENGLISH.count(p) for p in (0.001, 0.534, 0.999)] == ["fewer than 1", "about 53", "more than 99"]
    assert [ENGLISH.points(p) for p in (-0.012, 0.18)] == ["1 point", "18 points"]


@pytest.mark.parametrize(
    ("asked", "header", "spoken"),
    [
        (None, "pt-BR,pt;q=0.9,en;q=0.8", "pt"),
        (None, "en-US,en;q=0.9,pt;q=0.8", "en"),
        (None, "de-DE,pt;q=0.4,en;q=0.3", "pt"),
        (None, "pt;q=0, en", "en"),
        (None, "fr", "en"),
        (None, "", "en"),
        (None, "pt;q=rubbish", "en"),
        ("pt", "en", "pt"),
        ("en", "pt", "en"),
        ("<script>", "pt", "pt"),
    ],
)
def test_the_language_is_the_one_asked_for_or_the_browsers(asked: str | None, header: str, spoken: str) -> None:
    """The switch has priority over the browser's language, and that over English."""
    assert language(asked, header) == spoken
