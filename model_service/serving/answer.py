"""The answer on the page as HTML: the sentence, the pictures, what moved the answer, and how good the model is.

Predictions and effects in, HTML out. Apart from rounding nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from htmltools import HTML, Tag, TagList
from shiny import ui

from serving import pictures
from serving.card import Card, Estimate, Measure, Task
from serving.model import Effect, Model, Prediction, Record
from serving.words import Words

# The figure that the page explains, from 0 or from that of no model up to 1.
GOOD: Mapping[Task, str] = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "r2"}

tags = ui.tags


def refusal(problems: Iterable[str], words: Words) -> Tag:
    """Why there is no answer, with a link to each value that is not allowed."""
    names = list(problems)
    sentence = words.refused_one if len(names) == 1 else words.refused_many.format(count=len(names))
    items = (tags.li(tags.a(words.label(name), href=f"#{name}")) for name in names)
    return tags.div(tags.p(sentence), tags.ul(*items), class_="refusal")


def sentence(card: Card, prediction: Prediction, words: Words) -> TagList:
    """The answer in one sentence, under its figure: a percentage, a class or a number."""
    figure, low, high = words.percent(prediction.value), _hundredth(prediction.low), _hundredth(prediction.high)
    if card.task == "multiclass":
        figure = words.class_(card.classes[prediction.best])
    elif card.task == "regression":
        figure, low, high = (words.quantity(value) for value in (prediction.value, prediction.low, prediction.high))
    counted = words.sentence.format(
        count=words.count(prediction.value),
        percent=words.percent(prediction.value),
        positive=escape(words.positive),
        low=escape(low),
        high=escape(high),
    )
    return TagList(tags.p(figure, class_="figure"), tags.p(HTML(counted), class_="sentence"))


def shown(model: Model, record: Record, prediction: Prediction, words: Words) -> TagList:
    """The explanation below the sentence: its uncertainty, one hundred dots or the classes, and the data around it."""
    card = model.card
    return TagList(
        _hundred(prediction, words) if card.task == "binary" else None,
        _shares(card, prediction, words) if card.task == "multiclass" else None,
        tags.p(words.uncertainty),
        tags.p(_unknown(prediction, card, words)),
        *(tags.p(text, class_="beyond") for text in _beyond(card, record, words)),
        _standing(model, prediction, words) if card.task != "multiclass" else None,
    )


def moved(effects: Sequence[Effect], card: Card, words: Words) -> TagList:
    """Each known value with what it did to the answer, the strongest first, in words and as a bar."""
    least = 0.1 if card.task != "regression" else 1e-9
    most = max([least, *(abs(effect.change) for effect in effects)])
    rows = (
        tags.li(
            tags.p(
                tags.span(words.label(effect.name), ": ", tags.b(words.value(card.feature(effect.name), effect.value))),
                tags.span(_said(effect, card, words), class_=f"effect {_direction(effect, card)}"),
            ),
            HTML(pictures.change(effect.change, most)),
            tags.p(
                words.from_to.format(
                    without=_amount(effect.without, card, words), with_it=_amount(effect.with_it, card, words)
                ),
                class_="help",
            ),
        )
        for effect in effects
    )
    return TagList(tags.p(words.moved_intro, class_="about"), tags.ol(*rows, class_="rows"))


def good(card: Card, known: Iterable[str], words: Words) -> TagList:
    """How good the model is, one row for each set of known features; the person's row is marked.

    The marked row is the largest set that is wholly in ``known``. If there is no such row, a sentence says so.
    """
    given = set(known)
    figure = GOOD[card.task]
    levels = [
        (words.of.known.get(part.name, part.name), set(part.known), part.metrics[figure]) for part in card.partial
    ]
    levels.append((words.everything, {feature.name for feature in card.features}, card.metrics[figure]))
    levels.sort(key=lambda level: len(level[1]))
    reached = [at for at, (_, needed, _) in enumerate(levels) if needed <= given]
    floor = _floor(card)
    rows = [_level(words.chance, Estimate(value=floor, low=floor, high=floor), floor, _hundredth(floor), marked=None)]
    for at, (name, _, share) in enumerate(levels):
        times = words.times.format(
            value=_hundredth(share.value), low=_hundredth(share.low), high=_hundredth(share.high)
        )
        rows.append(_level(name, share, floor, times, marked=words.yours if reached and at == reached[-1] else None))
    error = {name: found.value for name, found in card.metrics.items()}
    return TagList(
        tags.p(words.good_intro, class_="about"),
        tags.ol(*rows, class_="rows"),
        tags.p(words.fewer_known) if given and card.partial and not reached else None,
        tags.p(words.off.format(points=words.points(error.get("ece", 0)), error=words.quantity(error.get("mae", 0)))),
    )


def _floor(card: Card) -> float:
    """The figure without a model: tossing a coin, the most frequent class, the mean."""
    if card.task == "multiclass":
        return max(card.data.counts) / card.data.rows
    return 0.5 if card.task == "binary" else 0.0


def _shares(card: Card, prediction: Prediction, words: Words) -> Tag:
    ranked = sorted(zip(prediction.shares, card.classes, strict=True), reverse=True)
    rows = (
        tags.li(
            tags.p(tags.span(words.class_(name)), tags.span(words.percent(share))),
            HTML(pictures.whisker(share, 0, share)),
        )
        for share, name in ranked
    )
    return tags.div(tags.h3(words.shares), tags.ol(*rows, class_="rows"), class_="shares")


def _hundred(prediction: Prediction, words: Words) -> Tag:
    alt = words.alt_hundred.format(
        positive=_hundredth(prediction.value), low=_hundredth(prediction.low), high=_hundredth(prediction.high)
    )
    picture = pictures.hundred(prediction.value, prediction.low, prediction.high, alt)
    return tags.figure(HTML(picture), tags.figcaption(words.key_hundred.format(positive=words.positive)))


def _standing(model: Model, prediction: Prediction, words: Words) -> Tag:
    card, near = model.card, model.calibration(prediction.value)
    rows, hits = len(card.held_out), sum(row.truth for row in card.held_out)
    above = words.above.format(count=round(model.rank(prediction.value) * rows), rows=rows)
    nearest = words.nearest.format(nearest=near.rows, positive=near.hits)
    percent = _amount(prediction.value, card, words)
    alt = words.alt_standing.format(
        rows=rows,
        positive=round(hits),
        negative=round(rows - hits),
        percent=percent,
        low=_amount(prediction.low, card, words),
        high=_amount(prediction.high, card, words),
        above=above,
        nearest=nearest,
    )
    if_known = (prediction.if_known_low, prediction.if_known_high) if prediction.unknown else None
    line = _line(card, words)
    sure = (prediction.low, prediction.high)
    picture = pictures.standing(line, prediction.value, sure, if_known, words.here.format(percent=percent), alt)
    per = line.per
    keys = {"well": words.negative, "ill": words.positive} if card.task == "binary" else {}
    keys["sure"] = words.sure
    if if_known:
        keys["known"] = words.if_known
    return tags.figure(
        tags.h3(words.standing.format(rows=rows)),
        tags.ul(*(tags.li(text, class_=f"key {kind}") for kind, text in keys.items()), class_="keys"),
        HTML(picture),
        tags.figcaption(f"{above} {nearest} {words.one_dot if per == 1 else words.many_dots.format(per=per)}"),
    )


def _line(card: Card, words: Words) -> pictures.Line:
    """The line of the picture: probabilities with the positive rows as rings, or numbers at their true values."""
    if card.task == "binary":
        dots = [(row.answer, row.truth == 1) for row in card.held_out]
        return pictures.Line(dots, 0, 1, ("0%", "50%", "100%"))
    truths = [row.truth for row in card.held_out]
    low, high = min(truths), max(truths)
    ticks = tuple(words.quantity(at) for at in (low, (low + high) / 2, high))
    return pictures.Line([(truth, False) for truth in truths], low, high, (ticks[0], ticks[1], ticks[2]))


def _unknown(prediction: Prediction, card: Card, words: Words) -> str:
    count = len(prediction.unknown)
    if not count:
        return words.all_known.format(count=len(card.features))
    return (words.unknown_one if count == 1 else words.unknown_many).format(
        count=count,
        low=_amount(prediction.if_known_low, card, words),
        high=_amount(prediction.if_known_high, card, words),
    )


def _beyond(card: Card, record: Record, words: Words) -> Iterable[str]:
    for feature in card.features:
        value = record.get(feature.name)
        if value is None or not isinstance(feature, Measure) or _within(feature, float(value)):
            continue
        low, high = (words.number(seen) for seen in feature.seen)
        yield words.beyond.format(
            label=words.label(feature.name), value=words.value(feature, value), low=low, high=high
        )


def _within(measure: Measure, value: float) -> bool:
    low, high = measure.seen
    return low <= value <= high


def _amount(value: float, card: Card, words: Words) -> str:
    return words.quantity(value) if card.task == "regression" else words.percent(value)


def _points(effect: Effect) -> int:
    # From the rounded percentages on the page, so that a person who subtracts them gets the same number.
    return round(effect.with_it * 100) - round(effect.without * 100)


def _said(effect: Effect, card: Card, words: Words) -> str:
    direction = _direction(effect, card)
    if direction == "hardly":
        return words.hardly
    amount = words.quantity(abs(effect.change)) if card.task == "regression" else words.points(_points(effect) / 100)
    return (words.raises if direction == "raises" else words.lowers).format(points=amount)


def _direction(effect: Effect, card: Card) -> str:
    change: float = _points(effect)
    if card.task == "regression":  # a hundredth of the usual error is nothing that a person should read about
        change = effect.change if abs(effect.change) > card.metrics["mae"].value / 100 else 0
    return "raises" if change > 0 else "lowers" if change < 0 else "hardly"


def _level(name: str, share: Estimate, floor: float, times: str, marked: str | None) -> Tag:
    return tags.li(
        tags.p(tags.span(name, tags.em(marked) if marked else None), tags.span(times)),
        HTML(pictures.whisker(share.value, share.low, share.high, floor)),
        class_="yours" if marked else None,
    )


def _hundredth(share: float) -> str:
    return str(round(max(share, 0) * 100))
