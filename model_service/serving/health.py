"""The page /health for the operators of the service: its health, its release, and the drift of its requests.

It is plain HTML without scripts or other files, so that it can be read when everything else is broken.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape

from serving.card import Card
from serving.drift import DRIFTED, ENOUGH, WATCH, Drift, Word
from serving.words import DEFAULT


@dataclass(frozen=True)
class Origin:
    """The running release, its commit and image, and its start time (UTC). A value that is unknown is ""."""

    release: str
    commit: str
    digest: str
    since: datetime


@dataclass(frozen=True)
class State:
    """The content of the page. ``predictions`` counts from the start; the drift is of the last ``looked_at``."""

    well: bool
    origin: Origin
    card: Card
    now: datetime
    predictions: int
    looked_at: int
    drift: Sequence[Drift]


@dataclass(frozen=True)
class _Words:
    tag: str
    other: tuple[str, str, str]  # the other language: its code, tag and name
    title: str
    well: str
    ill: str
    facts: tuple[str, ...]
    none: str
    running: str
    of_training: str
    drift: str
    caption: str
    columns: tuple[str, ...]
    word: dict[Word, str]
    explained: str
    more: str
    home: str
    point: str


_EN = _Words(
    tag="en",
    other=("pt", "pt-BR", "Português"),
    title="{name}: health of the service",
    well="Well: the model answers.",
    ill="Not well: the model does not answer. Its log says why.",
    facts=("Release", "Commit", "Image", "Model", "Trained", "Running since", "Predictions since then"),
    none="not known",
    running="{since} UTC ({for_})",
    of_training="{kind}, {sha}",
    drift="Are the requests like the training data?",
    caption="The last {looked_at} predictions, compared with the {rows} rows of the training data",
    columns=("Feature", "Verdict", "Index (PSI)", "Values", "Missing now", "Missing in training"),
    word={"too few": "too few to tell", "ok": "ok", "watch": "watch", "drifted": "drifted"},
    explained=(
        "The population-stability index compares the values of the last predictions with those of the training data: "
        "below {watch} is ok, from {watch} watch, from {drifted} drifted, unless so few values could give as much by "
        "chance. With fewer than {enough} values of a feature there are too few to tell."
    ),
    more="The same for machines",
    home="To the model's page",
    point=".",
)
_PT = _Words(
    tag="pt-BR",
    other=("en", "en", "English"),
    title="{name}: saúde do serviço",
    well="Bem: o modelo responde.",
    ill="Mal: o modelo não responde. O registro do serviço diz por quê.",
    facts=("Versão", "Commit", "Imagem", "Modelo", "Treinado em", "No ar desde", "Previsões desde então"),
    none="desconhecido",
    running="{since} UTC ({for_})",
    of_training="{kind}, {sha}",
    drift="As perguntas são como os dados de treino?",
    caption="As últimas {looked_at} previsões, comparadas com as {rows} linhas dos dados de treino",
    columns=("Variável", "Parecer", "Índice (PSI)", "Valores", "Faltam agora", "Faltavam no treino"),
    word={"too few": "poucos para dizer", "ok": "ok", "watch": "observar", "drifted": "mudou"},
    explained=(
        "O índice de estabilidade populacional compara os valores das últimas previsões com os dos dados de treino: "
        "abaixo de {watch}, ok; a partir de {watch}, observar; a partir de {drifted}, mudou, salvo se tão poucos "
        "valores pudessem dar tanto por acaso. Com menos de {enough} valores de uma variável são poucos para dizer."
    ),
    more="O mesmo para máquinas",
    home="À página do modelo",
    point=",",
)
NOT_KNOWN = ("", "unknown")  # training writes the second if it is not told the commit
NO_FIGURE = "\N{EN DASH}"
_WORDS = {"en": _EN, "pt": _PT}
_MARKS: dict[Word, str] = {
    "too few": "…",
    "ok": "✓",
    "watch": "!",
    "drifted": "✗",
}  # the verdict is readable without colours

STYLE = """
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; --ink: #1b1f24; --paper: #fff; --quiet: #57606a;
  --line: #d0d7de; --link: #0550ae; --good: #116329; --mind: #7a4b00; --bad: #a40e26 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --quiet: #9aa4af; --line: #30363d;
  --link: #79c0ff; --good: #56d364; --mind: #e3b341; --bad: #ff8f87 } }
body { max-width: 60rem; margin: 0 auto; padding: 1rem; color: var(--ink); background: var(--paper) }
a { color: var(--link) } a:focus-visible, .wide:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
nav { display: flex; gap: 1rem; justify-content: space-between }
h1 { font-size: 1.5rem; line-height: 1.25 } h2 { font-size: 1.15rem; margin-top: 2rem }
.state { font-size: 1.15rem; font-weight: 600; padding: .6rem 1rem; border-left: .4rem solid }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem }
dd { margin: 0; overflow-wrap: anywhere }
dt, .explained, caption { color: var(--quiet) }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100% }
caption { text-align: left; padding: .3rem 0 }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); white-space: nowrap }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.ok { color: var(--good) } .watch { color: var(--mind); font-weight: 600 }
.drifted { color: var(--bad); font-weight: 700 }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .6rem } }
"""
_MORE = ", ".join(f'<a href="{path}">{path}</a>' for path in ("/version", "/card", "/metrics", "/openapi.json"))
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = (
    (b"content-security-policy", f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'".encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"vary", b"accept-language"),
)


def render(state: State, lang: str) -> str:
    """The whole page, in the language ``lang`` or else in English."""
    words = _WORDS.get(lang, _WORDS[DEFAULT])
    code, tag, name = words.other
    title = escape(words.title.format(name=state.card.name))
    return f"""<!doctype html>
<html lang="{words.tag}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<nav><a href="/">{words.home}</a> <a href="?lang={code}" hreflang="{tag}" lang="{tag}">{name}</a></nav>
</header>
<main>
<h1>{title}</h1>
{_said(state, words)}
<dl>
{_facts(state, words)}
</dl>
<h2>{words.drift}</h2>
<div class="wide" role="region" tabindex="0" aria-label="{words.drift}">
<table>
<caption>{words.caption.format(looked_at=state.looked_at, rows=state.card.data.rows)}</caption>
<thead><tr>{_head(words)}</tr></thead>
<tbody>
{"".join(_row(feature, words) for feature in state.drift)}</tbody>
</table>
</div>
<p class="explained">{_explained(words)}</p>
</main>
<footer>
<p>{words.more}: {_MORE}</p>
</footer>
</body>
</html>
"""


def _said(state: State, words: _Words) -> str:
    like: Word = "ok" if state.well else "drifted"
    said = words.well if state.well else words.ill
    return f'<p class="state {like}">{_MARKS[like]} {said}</p>'


def _facts(state: State, words: _Words) -> str:
    origin, card = state.origin, state.card
    since = words.running.format(since=f"{origin.since:%Y-%m-%d %H:%M}", for_=_lasting(state.now - origin.since))
    values = (
        origin.release,
        origin.commit,
        origin.digest,
        words.of_training.format(kind=card.kind, sha=card.sha256[:12]),
        f"{card.trained_at:%Y-%m-%d}",
        since,
        str(state.predictions),
    )
    return "\n".join(
        f"<dt>{name}</dt><dd>{words.none if value in NOT_KNOWN else escape(value)}</dd>"
        for name, value in zip(words.facts, values, strict=True)
    )


def _lasting(time: timedelta) -> str:
    minutes = max(0, int(time.total_seconds())) // 60
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    long = [f"{n} {unit}" for n, unit in ((days, "d"), (hours, "h")) if n]
    return " ".join([*long, f"{minutes} min"])


def _head(words: _Words) -> str:
    return "".join(
        f'<th scope="col"{"" if at < 2 else " class=n"}>{name}</th>' for at, name in enumerate(words.columns)
    )


def _row(feature: Drift, words: _Words) -> str:
    verdict = f"{_MARKS[feature.word]} {words.word[feature.word]}"
    kind = feature.word.replace(" ", "-")
    figures = (
        NO_FIGURE if feature.psi is None else f"{feature.psi:.3f}".replace(".", words.point),
        str(feature.known),
        _percent(feature.missing, words),
        _percent(feature.missing_then, words),
    )
    cells = "".join(f'<td class="n">{figure}</td>' for figure in figures)
    return f'<tr><th scope="row">{escape(feature.name)}</th><td class="{kind}">{verdict}</td>{cells}</tr>\n'


def _percent(share: float | None, words: _Words) -> str:
    return NO_FIGURE if share is None else f"{share:.1%}".replace(".", words.point).replace("%", " %")


def _explained(words: _Words) -> str:
    watch, drifted = (f"{limit:g}".replace(".", words.point) for limit in (WATCH, DRIFTED))
    return words.explained.format(watch=watch, drifted=drifted, enough=ENOUGH)
