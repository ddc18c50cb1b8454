"""The check of words.toml against model.toml: the page must speak of the model that is trained, in every language.

A repository begins as a copy of the template, whose words are about hearts. This check stops the build at the first
line of words.toml that does not fit the model, and at a text that is still the template's.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from serving.words import LANGUAGES, WORDS, Language, Subject, parse, reason, texts_of
from training.settings import Settings

# Words of the template's subject. words.toml may only use them if model.toml does.
TEMPLATE = {
    "heart": "heart|cardiac|angina|angiogra|coração|cardíac",
    "Cleveland": "Cleveland",
    "patient": "patient|paciente",
    "disease": "disease|doença",
    "ill": r"ill\b|healthy|doentes?\b|saudáve(?:l|is)",
    "doctor": "doctor|médic[oa]",
}
# Lines of the template's model.toml; they may not stay when its columns are gone.
COLUMNS = {"thalach", "restecg", "oldpeak"}
LINES = ('name = "heart"', "a major vessel narrowed", "303 patients sent to one clinic", "206 of the 303 are men")
UNFINISHED = re.compile(r"\bTODO\b")


class UnusableWords(Exception):  # noqa: N818 - the message is a sentence
    """The words do not fit the model. The message names the file, the line and what to do."""


def checked(settings: Settings, settings_file: Path) -> dict[str, bytes]:
    """The file words.toml beside the settings, which it fits: its name and content. Raises UnusableWords."""
    path = settings_file.with_name(WORDS)
    settings_text = settings_file.read_text(encoding="utf-8-sig")
    if unfit := _unfit(settings_text.splitlines(), settings):
        raise UnusableWords(f"{settings_file} line {unfit[0]}: {unfit[1]}")
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
        subject = parse(content)
    except OSError as error:
        raise UnusableWords(f"{path}: {error.strerror}. Put it beside model.toml") from error
    except ValueError as error:
        raise UnusableWords(f"{path}: {reason(error)}. Correct that entry") from error
    lines = text.splitlines()
    for problem in (
        _about(subject, settings),
        _leftover(lines, settings, settings_text),
        *_languages(subject, settings),
    ):
        if problem:
            place, sentence = problem
            raise UnusableWords(f"{path} line {place if isinstance(place, int) else _line(lines, *place)}: {sentence}")
    return {WORDS: content}


def _unfit(lines: list[str], settings: Settings) -> tuple[int, str] | None:
    """The first line of model.toml that is not written yet, or is about the template's data."""
    known = LINES if not settings.features.keys() >= COLUMNS else ()
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line):
            return number, "this is not written yet. Write it, and remove the word TODO"
        if any(text in line for text in known):
            return number, "this is about the template's data. Write it for yours"
    return None


Problem = tuple[int | tuple[str, ...], str] | None


def _about(subject: Subject, settings: Settings) -> Problem:
    name = settings.model.name
    if subject.about == name:
        return None
    return ("about",), (
        f'these words are about "{subject.about}", but model.toml is about "{name}". Write the texts in this file for '
        f'{name}, in each language, and then about = "{name}"'
    )


def _leftover(lines: Iterable[str], settings: Settings, settings_text: str) -> Problem:
    subject: Mapping[str, str] = {} if settings.features.keys() >= COLUMNS else TEMPLATE
    for number, line in enumerate(lines, 1):
        text = line.split("#")[0] if line.startswith("#") else line
        if UNFINISHED.search(text):
            return number, "this is not written yet. Write it for your model, and remove the word TODO"
        for word, pattern in subject.items():
            found = re.search(rf"\b(?:{pattern})", text, re.IGNORECASE)
            if found and not re.search(rf"\b{word}", settings_text, re.IGNORECASE):
                return number, (
                    f'"{found[0]}" is of the template\'s model, and model.toml does not speak of it. '
                    f'Write this line for your model; if it is right, say "{word}" in model.toml under means or limits'
                )
    return None


def _languages(subject: Subject, settings: Settings) -> Iterator[Problem]:
    for code in LANGUAGES:
        said: Language = getattr(subject, code)
        yield from _features(code, said, settings)
        about = settings.model
        yield _same(f"{code}.classes", said.classes, about.classes, "class")
        yield _same(f"{code}.known", said.known, settings.known, "set under [known]")
        yield _same(f"{code}.groups", said.groups, subject.groups, "group under [groups]")
        if len(said.limits) != len(about.limits):
            yield (
                (code, "limits"),
                (f"{code} has {len(said.limits)} limits, but model.toml has {len(about.limits)}. Write one for each"),
            )
        yield from _texts(code, said, settings)
    for name in (name for names in subject.groups.values() for name in names):
        if name not in settings.features:
            yield ("groups", name), f"{name} is not a feature in model.toml. Remove it here or write the right name"


def _features(code: str, said: Language, settings: Settings) -> Iterator[Problem]:
    for name in said.features:
        if name not in settings.features:
            yield (
                (f"{code}.features.{name}",),
                f"{name} is not a feature in model.toml. Write the texts of your features",
            )
    for name, column in settings.features.items():
        if name not in said.features:
            yield (code,), f"[{code}.features.{name}] is missing. Write its label, and a help or none"
        elif set(said.features[name].codes) != set(column.codes or ()):
            codes = ", ".join(map(str, column.codes or ())) or "none"
            yield (f"{code}.features.{name}",), f"the codes of {name} in model.toml are {codes}. Name each"


def _same(table: str, here: Iterable[str], there: Iterable[str], what: str) -> Problem:
    for name in here:
        if name not in set(there):
            return (table, name), f'"{name}" is no {what} of this model. Remove it or write the right name'
    missing = [name for name in there if name not in set(here)]
    return ((table,), f'[{table}] has no words for "{missing[0]}", a {what}. Write them') if missing else None


def _texts(code: str, said: Language, settings: Settings) -> Iterator[Problem]:
    known: Mapping[str, object] = texts_of(code, settings.model.task)
    for name, text in said.texts.items():
        original = known.get(name)
        if not isinstance(original, str):
            yield (f"{code}.texts", name), f"{name} is no text of a {settings.model.task} model (serving/texts/)"
        elif strange := _places(text) - _places(original):
            allowed = ", ".join(f"{{{place}}}" for place in sorted(_places(original))) or "none"
            yield (f"{code}.texts", name), f"{{{min(strange)}}} is not filled in here; the places are: {allowed}"


def _places(text: str) -> set[str]:
    try:
        return {place for _, place, _, _ in string.Formatter().parse(text) if place is not None}
    except ValueError:
        return {text}


def _line(lines: list[str], *place: str) -> int:
    """The line of an entry, found from its table on; or of the table if the entry is inside another one."""
    at = 0
    for name in place:
        start = re.compile(rf"""\s*(\[{re.escape(name)}\]|["']?{re.escape(name)}["']?\s*=)""")
        at = next((number for number in range(at, len(lines)) if start.match(lines[number])), at)
    return at + 1
