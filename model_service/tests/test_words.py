"""The page's texts are complete in each language, fit the model, and have the language's formats."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import ENGLISH, PORTUGUESE, SETTINGS

from serving.card import FIGURES, Choice, Measure, Shares
from serving.words import LANGUAGES, TEXTS, WORDS, language, texts_of
from training.settings import read_settings
from wording import UnusableWords, checked

SHARES = Shares(shares=(1.0,), missing=0)


def places(text: object) -> set[str]:
    return set(re.findall(r"{(\w+)}", str(text)))


@pytest.mark.parametrize("task", FIGURES)
def test_every_language_has_the_same_texts_with_the_same_places_to_fill_in(task: str) -> None:
    """A translation without its number would be useless or break the page."""
    first, *others = (texts_of(code, task) for code in LANGUAGES)
    for other in others:
        assert first.keys() == other.keys()
        for name, text in first.items():
            assert places(text) == places(other[name]), name
            assert other[name]


def test_each_candidate_has_a_name_in_portuguese() -> None:
    """The footer says in the person's language what kind of model answers."""
    kinds = tomllib.loads((TEXTS / "pt.toml").read_text(encoding="utf-8"))["kinds"]
    assert {"logistic regression", "linear regression", "gradient boosting"} <= kinds.keys()


def words_with(folder: Path, found: str, replacement: str, settings: str = "") -> str:
    """The message of the check after a change of words.toml; ``settings`` is another model.toml."""
    (folder / "model.toml").write_text(settings or SETTINGS.read_text(encoding="utf-8"), encoding="utf-8")
    text = SETTINGS.with_name(WORDS).read_text(encoding="utf-8")
    assert found in text
    (folder / WORDS).write_text(text.replace(found, replacement, 1), encoding="utf-8")
    with pytest.raises(UnusableWords) as refused:
        checked(read_settings(folder / "model.toml"), folder / "model.toml")
    return str(refused.value).removeprefix(f"{folder}/")


@pytest.mark.parametrize(
    ("found", "replacement", "sentence"),
    [
        ('about = "heart"', 'about = "liver"', 'words.toml line 8: these words are about "liver", but model.toml is'),
        ('label = "Age"', 'label = "TODO"', "words.toml line 36: this is not written yet"),
        ("[en.features.chol]", "[en.features.lead]", "words.toml line 53: lead is not a feature in model.toml"),
        ('codes = { 0 = "Female", 1 = "Male" }', "", "words.toml line 39: the codes of sex in model.toml are 0, 1"),
        ('  "206 of the 303', '  # "206 of the 303', "words.toml line 23: en has 2 limits, but model.toml has 3"),
        ('"before the scans" = "All', '"before" = "All', 'words.toml line 97: "before" is no set under [known]'),
        ('nearest = "', 'nearer = "', "nearer is no text of a binary model"),
        (
            "Among the {rows} patients",
            "Among the {patients}",
            "{patients} is not filled in here; the places are: {rows}",
        ),
        ('title = "Prob', 'titel = "Prob', "words.toml: en.title: Field required. Correct that entry"),
        ('title = "Prob', "title = Prob", "words.toml: Invalid value"),
    ],
)
def test_words_that_do_not_fit_the_model_are_named_with_their_line(
    tmp_path: Path, found: str, replacement: str, sentence: str
) -> None:
    """The build stops with the file, the line and what to do."""
    assert sentence in words_with(tmp_path, found, replacement)


MELONS = """
[model]
name = "melons"
target = "sweet"
means = "a melon of more than 12 Brix"
limits = ["It is made up."]

[features]
weight = { unit = "kg", low = 0.2, high = 9 }
"""


def test_the_templates_words_do_not_stay_with_another_data_set(tmp_path: Path) -> None:
    """First the name is missed, then every line that still speaks of hearts, also in model.toml."""
    assert "line 8: these words are about" in words_with(tmp_path, "age", "age", MELONS)
    named = ('about = "heart"', 'about = "melons"')
    assert 'words.toml line 13: "doctor" is of the template\'s model' in words_with(tmp_path, *named, MELONS)
    kept = MELONS.replace("It is made up.", "Learned from 303 patients sent to one clinic.")
    assert "model.toml line 6: this is about the template's data" in words_with(tmp_path, *named, kept)


def test_a_word_of_the_template_may_stay_if_the_model_speaks_of_it(tmp_path: Path) -> None:
    """Another model about hearts and patients may say so."""
    about = "doctor, heart, Cleveland, patient, disease, ill"
    settings = MELONS.replace("a melon of more than 12 Brix", about)
    assert "is not a feature in model.toml" in words_with(tmp_path, 'about = "heart"', 'about = "melons"', settings)


def test_a_feature_without_words_goes_by_its_own_name() -> None:
    """The page does not fail on it."""
    measure = Measure(name="lead", unit="ppm", low=0, high=9, seen=(1, 2), spread=SHARES)
    choice = Choice(name="shape", codes=(1, 2), spread=SHARES)
    assert PORTUGUESE.label("lead") == "lead"
    assert PORTUGUESE.value(measure, 1.5) == "1,5 ppm"
    assert PORTUGUESE.code(choice, 2) == ("2", "")


def test_numbers_and_days_are_written_as_the_language_does() -> None:
    """A comma in Portuguese, a point in English."""
    day = datetime(2026, 11, 3, tzinfo=UTC)
    assert (ENGLISH.number(2.5), PORTUGUESE.number(2.5)) == ("2.5", "2,5")
    assert (ENGLISH.number(140.0), ENGLISH.number(0.1 + 0.2)) == ("140", "0.3")
    assert (ENGLISH.day(day), PORTUGUESE.day(day)) == ("3 November 2026", "3 de novembro de 2026")


@pytest.mark.parametrize(
    ("value", "english", "portuguese"),
    [(312_345.6, "312,000 EUR", "312.000 EUR"), (0.12345, "0.123 EUR", "0,123 EUR"), (-9.5, "-9.5 EUR", "-9,5 EUR")],
)
def test_a_number_has_three_digits_and_its_unit(value: float, english: str, portuguese: str) -> None:
    """More digits than the model can know would mislead."""
    said = [words.model_copy(update={"target_unit": "EUR"}).quantity(value) for words in (ENGLISH, PORTUGUESE)]
    assert said == [english, portuguese]


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
