"""The page as it is first sent (a heading, the form, and empty places for the answer), and the reading of the form.

The page contains no person's values: everybody who uses a language gets the same page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from htmltools import Tag, TagChild, TagList
from shiny import ui

from serving.card import Card, Choice, Feature, Measure, Text
from serving.words import Words

NUMBER = re.compile(r"[+-]?([0-9]{1,9}([.,][0-9]{0,9})?|[.,][0-9]{1,9})")
LONGEST = 40  # characters of the input that an error message repeats

Groups = Mapping[str, tuple[str, ...]]

tags = ui.tags


@dataclass(frozen=True)
class Reading:
    """The form, read: the ``record`` of the known values, and a message for each value that is not allowed."""

    record: Mapping[str, float | str]
    problems: Mapping[str, str]


def read(card: Card, typed: Mapping[str, object], words: Words) -> Reading:
    """The form's texts, read by feature. An empty or absent text means that the value is unknown."""
    record: dict[str, float | str] = {}
    problems: dict[str, str] = {}
    for feature in card.features:
        text = str(typed.get(feature.name) or "").strip()
        if not text:
            continue
        value = text if isinstance(feature, Text) else _number(text)
        if value is not None and feature.accepts(value):
            record[feature.name] = value
        else:
            problems[feature.name] = _problem(feature, text[:LONGEST], value, words)
    return Reading(record, problems)


def document(card: Card, spoken: Mapping[str, Words], groups: Groups, lang: str, version: str) -> Tag:
    """The whole page in one language. ``version``, which changes with the content, is in the addresses of its files."""
    words = spoken[lang]
    return tags.html(
        tags.head(
            tags.meta(charset="utf-8"),
            tags.meta(name="viewport", content="width=device-width, initial-scale=1"),
            tags.meta(name="color-scheme", content="light dark"),
            tags.title(words.of.title),
            tags.link(rel="icon", href="static/icon.svg", type="image/svg+xml"),
            tags.link(rel="stylesheet", href=f"static/page.css?v={version}"),
        ),
        tags.body(
            _header(card, spoken, lang),
            tags.main(
                tags.h1(words.of.title),
                tags.p(words.of.intro.format(rows=card.data.rows), class_="intro"),
                tags.p(tags.strong(words.of.caution), " ", words.of.notice, class_="caution"),
                tags.noscript(tags.p(words.no_script, class_="noscript")),
                tags.div(_form(card, words, groups, lang), _answer(words), class_="work"),
                tags.div(
                    _section("moved", words.moved, ui.output_ui("moved_list")),
                    _section("good", words.good, ui.output_ui("good_list")),
                    _section("limits", words.limits, _limits(card, words)),
                    class_="more",
                ),
            ),
            _footer(card, words, lang),
            tags.div(id="away", role="status", data_away=words.away, data_back=words.back),
            tags.script(src=f"static/page.js?v={version}"),
            data_version=version,
        ),
        lang=words.tag,
    )


def grouped(card: Card, groups: Groups) -> Iterable[tuple[str, list[Feature]]]:
    """The features by group, in the card's order. The features without a group come last, in the group ""."""
    placed = {name: group for group, names in groups.items() for name in names}
    for group in (*groups, ""):
        members = [feature for feature in card.features if placed.get(feature.name, "") == group]
        if members:
            yield group, members


def _header(card: Card, spoken: Mapping[str, Words], lang: str) -> Tag:
    words = spoken[lang]
    return tags.header(
        tags.span(tags.img(src="static/icon.svg", alt="", width="28", height="28"), card.name, class_="brand"),
        tags.nav(
            *(
                tags.a(
                    other.name,
                    href=f"?lang={code}",
                    lang=other.tag,
                    hreflang=other.tag,
                    aria_current="true" if code == lang else None,
                )
                for code, other in spoken.items()
            ),
            aria_label=words.languages,
        ),
        class_="top",
    )


def _form(card: Card, words: Words, groups: Groups, lang: str) -> Tag:
    return tags.form(
        *(_group(group, members, words) for group, members in grouped(card, groups)),
        tags.div(
            tags.button(words.ask, id="ask", type="submit", class_="action-button primary"),
            tags.button(words.clear, id="clear", type="button", class_="quiet"),
            class_="buttons",
        ),
        tags.p(words.kept, class_="note"),
        # tells the session the language of the page
        tags.input(type="text", id="lang", value=lang, hidden=True),
        id="form",
        # not GET, which would put the values into the address; page.js prevents the submission altogether
        method="post",
        autocomplete="off",
        novalidate=True,
    )


def _group(group: str, members: Iterable[Feature], words: Words) -> Tag:
    alone = words.other if words.of.groups else words.known
    title, about = words.of.groups[group] if group else (alone, "")
    return tags.fieldset(
        tags.legend(tags.h2(title)),
        tags.p(about, class_="about", id=f"about-{group}") if about else None,
        tags.div(*(_field(feature, words) for feature in members), class_="fields"),
        aria_describedby=f"about-{group}" if about else None,
        class_="card group",
    )


def _field(feature: Feature, words: Words) -> Tag:
    help_ = tags.p(words.help(feature.name), class_="help", id=f"{feature.name}-help")
    problem = tags.p(class_="problem", id=f"{feature.name}-problem")
    if isinstance(feature, Choice):
        return _choice(feature, words, help_, problem)
    if isinstance(feature, Text):
        return _textarea(feature, words, help_, problem)
    return tags.div(
        tags.label(words.label(feature.name), " ", tags.span(words.unit(feature), class_="unit"), for_=feature.name),
        help_,
        # type=text with inputmode: with type=number some browsers drop a decimal comma silently
        tags.input(
            type="text",
            id=feature.name,
            class_="shiny-input-text",
            inputmode="decimal",
            autocomplete="off",
            spellcheck="false",
            maxlength="20",
            placeholder=words.unknown,
            aria_describedby=f"{feature.name}-help",
            data_update_on="blur",
        ),
        problem,
        class_="field",
    )


def _choice(choice: Choice, words: Words, help_: Tag, problem: Tag) -> Tag:
    options = [_option(choice.name, "", words.unknown, "", checked=True)]
    options += [_option(choice.name, str(code), *words.code(choice, code), checked=False) for code in choice.codes]
    noted = any(words.code(choice, code)[1] for code in choice.codes)
    return tags.fieldset(
        tags.legend(words.label(choice.name)),
        help_,
        tags.div(*options, class_="options"),
        problem,
        id=choice.name,
        aria_describedby=f"{choice.name}-help",
        class_="shiny-input-radiogroup field" + (" wide" if noted else ""),
    )


def _textarea(text: Text, words: Words, help_: Tag, problem: Tag) -> Tag:
    return tags.div(
        tags.label(words.label(text.name), for_=text.name),
        help_,
        tags.textarea(
            id=text.name,
            class_="shiny-input-textarea",
            rows="6",
            maxlength=str(text.longest),
            aria_describedby=f"{text.name}-help",
            data_update_on="blur",
        ),
        problem,
        class_="field wide",
    )


def _option(name: str, value: str, text: str, note: str, *, checked: bool) -> Tag:
    return tags.label(
        tags.input(type="radio", name=name, value=value, checked=checked),
        tags.span(text, tags.small(note) if note else None),
        class_="option",
    )


def _answer(words: Words) -> Tag:
    return tags.section(
        tags.h2(words.answer, id="answer-title"),
        # a screen reader announces the sentence when it changes, but not the pictures
        tags.div(
            tags.div(tags.p(words.inviting, class_="inviting"), id="said", class_="shiny-html-output"),
            role="status",
            aria_atomic="true",
        ),
        ui.output_ui("shown"),
        id="answer",
        aria_labelledby="answer-title",
        class_="card",
    )


def _section(name: str, title: str, content: TagChild) -> Tag:
    return tags.section(
        tags.h2(title, id=f"{name}-title"), content, id=name, aria_labelledby=f"{name}-title", class_="card"
    )


def _limits(card: Card, words: Words) -> TagList:
    rows, counts = card.data.rows, card.data.counts
    names = [words.class_(name) for name in card.classes]
    truths = sorted(row.truth for row in card.held_out)
    share = words.data_share.format(
        rows=rows,
        name=words.positive,
        positive=counts[1] if counts else 0,
        percent=words.percent(counts[1] / rows) if counts else "",
        each=", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=False)),
        low=words.quantity(truths[0]),
        high=words.quantity(truths[-1]),
    )
    return TagList(tags.ul(*(tags.li(text) for text in (words.of.means, *words.of.limits)), tags.li(share)))


def _footer(card: Card, words: Words, lang: str) -> Tag:
    made = words.made.format(model=card.sha256[:12], kind=words.kind(card.kind), day=words.day(card.trained_at))
    links = {
        "version": words.version,
        f"health?lang={lang}": words.health,
        "card": words.card,
        "openapi.json": "OpenAPI",
    }
    return tags.footer(
        tags.p(made, " · ", words.commit.format(commit=card.commit[:12])),
        tags.p(*(TagList(tags.a(text, href=href), " ") for href, text in links.items())),
    )


def _number(text: str) -> float | None:
    return float(text.replace(",", ".")) if NUMBER.fullmatch(text) else None


def _problem(feature: Feature, typed: str, value: float | str | None, words: Words) -> str:
    if isinstance(feature, Text):
        return words.refused_long.format(longest=feature.longest)
    if isinstance(feature, Choice):
        return words.refused_choice.format(typed=typed)
    sentence = words.refused_text if value is None else words.refused_number
    return sentence.format(typed=typed, **_limits_of(feature, words))


def _limits_of(measure: Measure, words: Words) -> dict[str, str]:
    return {"low": words.number(measure.low), "high": words.number(measure.high), "unit": words.unit(measure)}
