"""Everything the page says, in English and Brazilian Portuguese.

``words.toml`` has the words of this model; training checks it and puts it beside the model. ``texts/`` has the texts
for any model, some of them for one task only. ``Words`` is both together in one language. answer.py and form.py decide
which text is shown.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from serving.card import Card, Choice, Feature, Measure, Text, UnusableModel

WORDS = "words.toml"
TEXTS = Path(__file__).parent / "texts"
LANGUAGES = ("en", "pt")
DEFAULT = "en"
SIGNIFICANT = 3  # digits of a regression's answer on the page


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Said(_Part):
    """The texts of a feature. ``codes`` are its choices, each with a note that may be left out."""

    label: str
    help: str = ""
    codes: Mapping[int, str | tuple[str, str]] = {}


class Language(_Part):
    """The words of this model in one language. ``texts`` replaces texts of the page."""

    title: str
    intro: str
    caution: str
    notice: str = ""
    means: str
    limits: tuple[str, ...]
    groups: Mapping[str, tuple[str, str]] = {}
    features: Mapping[str, Said]
    units: Mapping[str, str] = {}
    known: Mapping[str, str] = {}
    classes: Mapping[str, str] = {}
    texts: Mapping[str, str] = {}


class Subject(_Part):
    """The file words.toml. ``about`` is the model's name, ``groups`` the form's groups with their features."""

    about: str
    groups: Mapping[str, tuple[str, ...]] = {}
    en: Language
    pt: Language


class Words(_Part):
    """One language. The texts are explained in texts/en.toml; those of other tasks are empty."""

    tag: str  # BCP 47, for the page's lang attribute
    name: str  # of the language, in the language
    decimal: str
    thousands: str
    months: tuple[str, ...]
    date: str
    of: Language
    kinds: Mapping[str, str]
    target_unit: str

    languages: str
    no_script: str
    away: str
    back: str
    other: str
    known: str
    unknown: str
    ask: str
    clear: str
    kept: str

    refused_text: str
    refused_number: str
    refused_choice: str
    refused_long: str
    refused_one: str
    refused_many: str

    answer: str
    inviting: str
    ready: str
    about_count: str = ""
    fewer: str = ""
    more: str = ""
    sentence: str
    uncertainty: str
    unknown_one: str
    unknown_many: str
    all_known: str
    beyond: str
    alt_hundred: str = ""
    key_hundred: str = ""
    shares: str = ""

    standing: str = ""
    here: str = ""
    positive: str = ""
    negative: str = ""
    sure: str
    if_known: str
    one_dot: str = ""
    many_dots: str = ""
    above: str = ""
    nearest: str = ""
    alt_standing: str = ""

    moved: str
    moved_intro: str
    moved_nothing: str
    raises: str
    lowers: str
    hardly: str
    point_one: str
    point_many: str
    from_to: str

    good: str
    good_intro: str
    chance: str
    everything: str
    times: str
    yours: str
    fewer_known: str
    off: str

    limits: str
    data_share: str

    made: str
    commit: str
    version: str
    health: str
    card: str

    def number(self, value: float, places: int = 6) -> str:
        """A number as this language writes it, with no more than ``places`` decimals."""
        return f"{round(value, places):.12g}".replace(".", self.decimal)

    def quantity(self, value: float) -> str:
        """A regression's number with its unit, rounded to three digits: ``312,000 EUR``."""
        rounded = float(f"{value:.{SIGNIFICANT}g}")
        whole, _, rest = f"{rounded:,.12g}".partition(".")
        return f"{whole.replace(',', self.thousands)}{self.decimal if rest else ''}{rest} {self.target_unit}"

    def percent(self, probability: float) -> str:
        """A probability in whole percent, but never 0 % or 100 %, because the model is not that certain."""
        whole = round(probability * 100)
        return "<1%" if whole < 1 else ">99%" if whole > 99 else f"{whole}%"

    def count(self, probability: float) -> str:
        """The number of hits among one hundred, in words."""
        whole = round(probability * 100)
        return self.fewer if whole < 1 else self.more if whole > 99 else self.about_count.format(count=whole)

    def points(self, change: float) -> str:
        """A difference of probabilities in percentage points, without its sign."""
        whole = round(abs(change) * 100)
        return (self.point_one if whole == 1 else self.point_many).format(points=whole)

    def day(self, at: datetime) -> str:
        """The date in this language's format."""
        return self.date.format(day=at.day, month=self.months[at.month - 1], year=at.year)

    def label(self, name: str) -> str:
        """The name of a feature."""
        return self.of.features[name].label if name in self.of.features else name

    def help(self, name: str) -> str:
        """The explanation of a feature; it may be empty."""
        return self.of.features[name].help if name in self.of.features else ""

    def unit(self, measure: Measure) -> str:
        """The unit of a measure."""
        return self.of.units.get(measure.unit, measure.unit)

    def code(self, choice: Choice, code: int) -> tuple[str, str]:
        """A choice's text and its note, which may be empty."""
        said = self.of.features.get(choice.name)
        text = said.codes.get(code, str(code)) if said else str(code)
        return (text, "") if isinstance(text, str) else text

    def value(self, feature: Feature, value: float | str) -> str:
        """A known value, with its unit; the beginning of a text."""
        if isinstance(feature, Text) or isinstance(value, str):
            text = str(value)
            return f"“{text[:37]}…”" if len(text) > 40 else f"“{text}”"
        if isinstance(feature, Choice):
            return self.code(feature, int(value))[0]
        return f"{self.number(value)} {self.unit(feature)}"

    def class_(self, name: str) -> str:
        """The name of a class."""
        return self.of.classes.get(name, name)

    def kind(self, name: str) -> str:
        """The name of a kind of model."""
        return self.kinds.get(name, name)


def read_words(path: Path, card: Card) -> tuple[dict[str, Words], Mapping[str, tuple[str, ...]]]:
    """The words of a model by language, and the groups of its form. Raises UnusableModel."""
    try:
        subject = parse(path.read_bytes())
        return {code: _together(code, getattr(subject, code), card) for code in LANGUAGES}, subject.groups
    except OSError as error:
        raise UnusableModel(f"no words at {path} ({error.strerror}). Make them with: python train.py") from error
    except ValueError as error:
        raise UnusableModel(f"{path}: {reason(error)}. Correct words.toml and type: python train.py") from error


def parse(content: bytes) -> Subject:
    """The file's content. Raises ValueError."""
    return Subject.model_validate(tomllib.loads(content.decode("utf-8-sig")))


def reason(error: ValueError) -> str:
    """What is wrong, in one line that begins with the place."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def texts_of(code: str, task: str) -> dict[str, Any]:
    """The texts of one language for one task, which words.toml may replace."""
    content = _texts(code)
    common = {name: text for name, text in content.items() if not isinstance(text, dict)}
    return {**common, "kinds": content["kinds"], **content[task]}


@cache
def _texts(code: str) -> dict[str, Any]:
    return tomllib.loads((TEXTS / f"{code}.toml").read_text(encoding="utf-8"))


def _together(code: str, of: Language, card: Card) -> Words:
    unit = of.units.get(card.unit, card.unit)
    return Words.model_validate({**texts_of(code, card.task), **of.texts, "of": of, "target_unit": unit})


def language(asked: str | None, accept_language: str) -> str:
    """The language ``asked`` for, else the one with the highest weight in the header, else English."""
    if asked is not None and asked in LANGUAGES:
        return asked
    wanted = [(_weight(item), item.split(";")[0].strip().lower()[:2]) for item in accept_language.split(",")]
    known = [(weight, code) for weight, code in wanted if code in LANGUAGES and weight > 0]
    return max(known, key=lambda pair: pair[0])[1] if known else DEFAULT


def _weight(item: str) -> float:
    _, _, weight = item.replace(" ", "").partition(";q=")
    try:
        return float(weight) if weight else 1.0
    except ValueError:
        return 0.0
