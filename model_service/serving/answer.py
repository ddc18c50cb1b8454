"""The answer on the page as HTML: the sentence, the pictures, what moved the answer, and how good the model is.

Predictions and effects in, HTML out. Apart from rounding nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from htmltools import HTML, Tag, TagList
from shiny import ui

from serving import pictures
from serving.card import Card, Choice, Estimate, Measure
from serving.model import Effect, Model, Prediction
from serving.words import Words

tags = ui.tags


def refusal(problems: Iterable[str], words: Words) -> Tag:
    """Why there is no answer, with a link to each value that is not allowed."""
    names = list(problems)
    sentence = words.refused_one if len(names) == 1 else words.refused_many.format(count=len(names))
    items = (tags.li(tags.a(words.label(name), href=f"#{name}")) for name in names)
    return tags.div(tags.p(sentence), tags.ul(*items), class_="refusal")


def sentence(prediction: Prediction, words: Words) -> TagList:
    """The answer in one sentence, under its figure."""
    counted = words.sentence.format(
        count=words.count(prediction.probability), low=_hundredth(prediction.low), high=_hundredth(prediction.high)
    )
    return TagList(
        tags.p(words.percent(prediction.probability), class_="figure"), tags.p(HTML(counted), class_="sentence")
    )


def shown(model: Model, record: Mapping[str, float], prediction: Prediction, words: Words) -> TagList:
    """The explanation below the sentence: its uncertainty, one hundred people, and the place among the patients."""
    return TagList(
        _hundred(prediction, words),
        tags.p(words.uncertainty),
        tags.p(_unknown(prediction, len(model.names), words)),
        *(tags.p(text, class_="beyond") for text in _beyond(model.card, record, words)),
        _standing(model, prediction, words),
    )


def moved(effects: Sequence[Effect], card: Card, words: Words) -> TagList:
    """Each known value with what it did to the answer, the strongest first, in words and as a bar."""
    most = max(0.1, *(abs(effect.change) for effect in effects)) if effects else 0.1
    rows = (
        tags.li(
            tags.p(
                tags.span(words.label(effect.name), ": ", tags.b(words.value(card.feature(effect.name), effect.value))),
                tags.span(_said(effect, words), class_=_kind(effect)),
            ),
            HTML(pictures.change(effect.change, most)),
            tags.p(
                words.from_to.format(without=words.percent(effect.without), with_it=words.percent(effect.with_it)),
                class_="help",
            ),
        )
        for effect in effects
    )
    return TagList(tags.p(words.moved_intro, class_="about"), tags.ol(*rows, class_="rows"))


def good(card: Card, known: Iterable[str], words: Words) -> TagList:
    """How well the model tells ill from healthy, one row for each set of known features; the person's row is marked.

    The marked row is the largest set that is wholly in ``known``. If there is no such row, a sentence says so.
    """
    given = set(known)
    levels = [(words.levels.get(part.name, part.name), set(part.known), part.metrics.roc_auc) for part in card.partial]
    levels.append((words.everything, {feature.name for feature in card.features}, card.metrics.roc_auc))
    levels.sort(key=lambda level: len(level[1]))
    reached = [at for at, (_, needed, _) in enumerate(levels) if needed <= given]
    coin = Estimate(value=0.5, low=0.5, high=0.5)
    rows = [_level(words.chance, coin, "50", marked=None)]
    for at, (name, _, auc) in enumerate(levels):
        times = words.times.format(value=_hundredth(auc.value), low=_hundredth(auc.low), high=_hundredth(auc.high))
        rows.append(_level(name, auc, times, marked=words.yours if reached and at == reached[-1] else None))
    return TagList(
        tags.p(words.good_intro, class_="about"),
        tags.ol(*rows, class_="rows"),
        tags.p(words.fewer_known) if given and not reached else None,
        tags.p(words.off.format(points=words.points(card.metrics.ece.value))),
    )


def _hundred(prediction: Prediction, words: Words) -> Tag:
    alt = words.alt_hundred.format(
        ill=_hundredth(prediction.probability), low=_hundredth(prediction.low), high=_hundredth(prediction.high)
    )
    picture = pictures.hundred(prediction.probability, prediction.low, prediction.high, alt)
    return tags.figure(HTML(picture), tags.figcaption(words.key_hundred))


def _standing(model: Model, prediction: Prediction, words: Words) -> Tag:
    card, near = model.card, model.calibration(prediction.probability)
    rows = len(card.patients)
    above = words.above.format(count=round(model.rank(prediction.probability) * rows), rows=rows)
    nearest = words.nearest.format(patients=near.patients, ill=near.ill)
    percent = words.percent(prediction.probability)
    ill = sum(patient.ill for patient in card.patients)
    alt = words.alt_standing.format(
        rows=rows,
        ill=ill,
        well=rows - ill,
        percent=percent,
        low=words.percent(prediction.low),
        high=words.percent(prediction.high),
        above=above,
        nearest=nearest,
    )
    if_known = (prediction.if_known_low, prediction.if_known_high) if prediction.unknown else None
    picture = pictures.standing(
        card.patients,
        prediction.probability,
        (prediction.low, prediction.high),
        if_known,
        words.here.format(percent=percent),
        alt,
    )
    per = pictures.dots_per_patient(card.patients)
    keys = {"well": words.well, "ill": words.ill, "sure": words.sure}
    if if_known:
        keys["known"] = words.if_known
    return tags.figure(
        tags.h3(words.standing.format(rows=rows)),
        tags.ul(*(tags.li(text, class_=f"key {kind}") for kind, text in keys.items()), class_="keys"),
        HTML(picture),
        tags.figcaption(f"{above} {nearest} {words.one_dot if per == 1 else words.many_dots.format(per=per)}"),
    )


def _unknown(prediction: Prediction, of: int, words: Words) -> str:
    count = len(prediction.unknown)
    if not count:
        return words.all_known.format(count=of)
    return (words.unknown_one if count == 1 else words.unknown_many).format(
        count=count, low=words.percent(prediction.if_known_low), high=words.percent(prediction.if_known_high)
    )


def _beyond(card: Card, record: Mapping[str, float], words: Words) -> Iterable[str]:
    for feature in card.features:
        value = record.get(feature.name)
        if value is None or isinstance(feature, Choice) or _within(feature, value):
            continue
        low, high = (words.number(seen) for seen in feature.seen)
        yield words.beyond.format(
            label=words.label(feature.name), value=words.value(feature, value), low=low, high=high
        )


def _within(measure: Measure, value: float) -> bool:
    low, high = measure.seen
    return low <= value <= high


def _points(effect: Effect) -> int:
    # From the rounded percentages on the page, so that a person who subtracts them gets the same number.
    return round(effect.with_it * 100) - round(effect.without * 100)


def _said(effect: Effect, words: Words) -> str:
    points = _points(effect)
    if not points:
        return words.hardly
    return (words.raises if points > 0 else words.lowers).format(points=words.points(points / 100))


def _kind(effect: Effect) -> str:
    points = _points(effect)
    return "effect raises" if points > 0 else "effect lowers" if points < 0 else "effect hardly"


def _level(name: str, auc: Estimate, times: str, marked: str | None) -> Tag:
    return tags.li(
        tags.p(tags.span(name, tags.em(marked) if marked else None), tags.span(times)),
        HTML(pictures.whisker(auc.value, auc.low, auc.high)),
        class_="yours" if marked else None,
    )


def _hundredth(share: float) -> str:
    return str(round(share * 100))
