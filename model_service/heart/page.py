"""The page a person meets: a form of the model's fields and the answer, as HTML text. No JavaScript, nothing loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from heart.model import Choice, Feature, Measure, Model, Prediction, Refusal
from heart.words import WORDS, Words

STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
body { max-width: 44rem; margin: 0 auto; padding: 1rem }
nav { text-align: right }
form { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: .8rem 1.5rem }
label { display: block }
input, select, button { font: inherit; width: 100%; padding: .35rem; box-sizing: border-box }
[aria-invalid=true] { outline: 2px solid #c00 }
button { grid-column: 1 / -1; padding: .6rem }
.answer { font-size: 1.4rem; margin: 1rem 0 0 }
"""


def render(
    model: Model,
    lang: str,
    typed: Mapping[str, str],
    outcome: Prediction | Sequence[Refusal] | None = None,
) -> str:
    """The whole page. ``typed`` is what the person wrote, by field; ``outcome`` what came of it, if they asked."""
    words = WORDS[lang]
    refused = {r.field for r in outcome} if isinstance(outcome, Sequence) else set()
    fields = "\n".join(_field(f, words, typed.get(f.name, ""), f.name in refused) for f in model.features)
    return f"""<!doctype html>
<html lang="{words.tag}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{words.title}</title>
<style>{STYLE}</style>
</head>
<body>
<nav>{_switch(lang)}</nav>
<main>
<h1>{words.title}</h1>
<p>{words.intro}</p>
{_outcome(outcome, words, typed)}
<form method="post" action="?lang={lang}">
{fields}
<button>{words.ask}</button>
</form>
<p><small>{words.caution}</small></p>
</main>
</body>
</html>
"""


def _switch(lang: str) -> str:
    others = {code: words for code, words in WORDS.items() if code != lang}
    return " ".join(
        f'<a href="?lang={code}" hreflang="{words.tag}" lang="{words.tag}">{words.name}</a>'
        for code, words in others.items()
    )


def _outcome(outcome: Prediction | Sequence[Refusal] | None, words: Words, typed: Mapping[str, str]) -> str:
    if outcome is None:
        return ""
    if isinstance(outcome, Prediction):
        percent = f"{outcome.probability * 100:.1f}".replace(".", words.decimal_point)
        fields = ", ".join(_label(name, words) for name in outcome.filled)
        filled = f"<p>{escape(words.filled.format(fields=fields))}</p>" if fields else ""
        return f'<div role="status"><p class="answer">{words.answer.format(percent=percent)}</p>{filled}</div>'
    items = "".join(f"<li>{escape(_refusal(refusal, words, typed[refusal.field]))}</li>" for refusal in outcome)
    return f'<div role="alert"><p>{words.problems}</p><ul>{items}</ul></div>'


def _refusal(refusal: Refusal, words: Words, typed: str) -> str:
    label, value = _label(refusal.field, words)[:40], typed[:40]
    match refusal.feature:
        case Measure() as measure:
            low, high = (f"{limit:g}" for limit in (measure.low, measure.high))
            unit = _unit(measure, words)
            return words.refused_number.format(label=label, value=value, low=low, high=high, unit=unit)
        case _:
            return words.refused_choice.format(label=label, value=value)


def _field(feature: Feature, words: Words, typed: str, refused: bool) -> str:
    invalid = ' aria-invalid="true"' if refused else ""
    name, label = escape(feature.name), escape(_label(feature.name, words))
    if isinstance(feature, Choice):
        return (
            f'<p><label for="{name}">{label}</label>'
            f'<select id="{name}" name="{name}"{invalid}>{_options(feature, words, typed)}</select></p>'
        )
    hint = escape(f"{feature.low:g} … {feature.high:g} {_unit(feature, words)}")
    # type=text with inputmode: type=number swallows a decimal comma without a word in some browsers
    return (
        f'<p><label for="{name}">{label} <small>({hint})</small></label>'
        f'<input id="{name}" name="{name}" inputmode="decimal" autocomplete="off" value="{escape(typed)}"{invalid}></p>'
    )


def _options(choice: Choice, words: Words, typed: str) -> str:
    options = [f'<option value="">{words.unknown}</option>']
    for code in choice.weights:
        value = f"{code:g}"
        text = words.codes.get(choice.name, {}).get(int(code), value)
        selected = " selected" if typed == value else ""
        options.append(f'<option value="{value}"{selected}>{escape(text)}</option>')
    return "".join(options)


def _label(name: str, words: Words) -> str:
    # a field these words do not know (another model) goes by its own name
    return words.labels.get(name, name)


def _unit(measure: Measure, words: Words) -> str:
    return words.units.get(measure.unit, measure.unit)
