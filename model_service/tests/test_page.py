"""The page on the server's side: its document, the reading of the form, and the answers of a session."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from conftest import ENGLISH, GROUPS, HERE, PORTUGUESE, WORDS

from serving import answer, form
from serving.model import Model, Prediction, Record
from serving.page import create_page

Told = list[tuple[Record, Prediction]]


def get(model: Model, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """The answer to a GET of the page, without a network."""
    sent: list[Mapping[str, Any]] = []
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    async def call() -> None:
        inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        inbox.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        await create_page(model, lambda *_: None, WORDS, GROUPS)(scope, inbox.get, send)  # type: ignore[arg-type]

    asyncio.run(call())
    text = b"".join(message.get("body", b"") for message in sent).decode()
    return sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}, text


OUTPUTS = ("said", "shown", "moved_list", "good_list")


def session(model: Model, told: Told, *messages: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a session for a browser's values: first all of them, then the changed ones."""
    sent: list[dict[str, Any]] = []
    scope = {
        "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "ws", "path": "/websocket/",
        "raw_path": b"/websocket/", "query_string": b"", "root_path": "", "headers": [], "subprotocols": [],
    }  # fmt: skip
    shown = {f".clientdata_output_{name}_hidden": False for name in OUTPUTS}

    async def call() -> None:
        inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        inbox.put_nowait({"type": "websocket.connect"})
        for at, values in enumerate(messages):
            first = {"method": "init", "data": {**shown, **values}}
            text = json.dumps({"method": "update", "data": values} if at else first)
            inbox.put_nowait({"type": "websocket.receive", "text": text})
        inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})

        async def send(message: Mapping[str, Any]) -> None:
            if "text" in message:
                sent.append(json.loads(message["text"]))

        await create_page(model, lambda *pair: told.append(pair), WORDS, GROUPS)(scope, inbox.get, send)  # type: ignore[arg-type]

    asyncio.run(call())
    return sent


def outputs(sent: list[dict[str, Any]]) -> dict[str, str]:
    """The last text of each output."""
    found: dict[str, str] = {}
    for message in sent:
        for name, value in message.get("values", {}).items():
            found[name] = value["html"] if value else ""
        assert not message.get("errors")
    return found


def custom(sent: list[dict[str, Any]], name: str) -> list[Any]:
    return [message["custom"][name] for message in sent if name in message.get("custom", {})]


# --- the page that everybody is sent ---


@pytest.mark.parametrize("lang", WORDS)
def test_the_page_asks_for_every_feature_with_a_label_and_help(lang: str, model: Model) -> None:
    """Each field has its label, its help, and a place for an error message."""
    text = str(form.document(model.card, WORDS, GROUPS, lang, "v"))
    for feature in model.card.features:
        assert f'id="{feature.name}-help"' in text
        assert f'id="{feature.name}-problem"' in text
        assert WORDS[lang].label(feature.name) in text
    assert f'<html lang="{WORDS[lang].tag}">' in text


def test_a_feature_that_no_group_names_is_asked_for_last(model: Model) -> None:
    """A team's own feature is on the page without a change of the page's code."""
    strange = model.card.features[0].model_copy(update={"name": "lead"})
    card = model.card.model_copy(update={"features": (strange, *model.card.features)})
    groups = dict(form.grouped(card, GROUPS))
    assert [feature.name for feature in groups[""]] == ["lead"]
    assert list(groups)[-1] == ""
    assert "lead" in str(form.document(card, WORDS, GROUPS, "pt", "v"))


def test_the_page_comes_in_the_browsers_language_or_the_one_asked_for(model: Model) -> None:
    """The header chooses, the switch has priority, and the answer varies by the header for caches."""
    assert '<html lang="pt-BR">' in get(model, "/", accept_language="pt-BR,pt;q=0.9")[2]
    status, headers, text = get(model, "/?lang=en", accept_language="pt-BR")
    assert status == 200
    assert '<html lang="en">' in text
    assert headers["content-language"] == "en"
    assert "accept-language" in headers["vary"].lower()


def test_the_page_is_not_stored_and_loads_nothing_from_other_hosts(model: Model) -> None:
    """The policy allows the page's own files and, by their hashes, the scripts in it; no form goes anywhere."""
    _, headers, text = get(model, "/")
    policy = headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in policy
    assert "form-action 'none'" in policy
    assert "unsafe" not in policy
    for script in re.findall(r"<script(?![^>]*src=)[^>]*>(.*?)</script>", text, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)
    assert "style=" not in text


def test_without_javascript_a_sentence_says_so(model: Model) -> None:
    """A person whose browser runs no scripts reads why the form does not work."""
    for lang, words in WORDS.items():
        assert words.no_script in get(model, f"/?lang={lang}")[2].split("<noscript>")[1].split("</noscript>")[0]


def test_the_pages_files_are_kept_by_the_browser_and_change_their_address(model: Model) -> None:
    """Shiny's 350 kB are fetched once; other files have other addresses."""
    address = re.findall(r'href="(static/page.css\?v=[0-9a-f]{12})"', get(model, "/")[2])[0]
    status, headers, _ = get(model, f"/{address}")
    assert (status, headers["cache-control"]) == (200, "public, max-age=86400")


def test_what_shiny_offers_and_the_page_does_not_use_is_shut(model: Model) -> None:
    """Nobody can send files here."""
    assert get(model, "/session/0/upload/0")[0] == 404


@pytest.mark.thorough
def test_the_page_imports_nothing_heavy() -> None:
    """A container that imports a table library starts late and needs more memory."""
    heavy = ("pandas", "polars", "matplotlib", "plotly", "sass", "shinywidgets", "sklearn")
    script = f"import sys, serving.page; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", script], cwd=HERE, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# --- how a form is read ---


@pytest.mark.parametrize(
    ("typed", "value"),
    [("140", 140), (" 140 ", 140), ("132,5", 132.5), ("132.5", 132.5), ("+140", 140), ("140.", 140)],
)
def test_a_number_may_have_a_decimal_comma(typed: str, value: float, model: Model) -> None:
    """Half of the world writes numbers like that."""
    assert form.read(model.card, {"trestbps": typed}, ENGLISH) == form.Reading({"trestbps": value}, {})


@pytest.mark.parametrize("typed", [None, "", "   "])
def test_what_is_empty_is_unknown(typed: object, model: Model) -> None:
    """No value is required, so an empty field is not an error."""
    assert form.read(model.card, {"trestbps": typed, "sex": typed}, ENGLISH) == form.Reading({}, {})


@pytest.mark.parametrize("typed", ["1200", "59,9", "-140", "260.01"])
def test_a_number_out_of_range_is_refused_with_what_is_allowed(typed: str, model: Model) -> None:
    """The message names the value and the range, and the value is not used."""
    reading = form.read(model.card, {"trestbps": typed, "age": "58"}, PORTUGUESE)
    assert reading.record == {"age": 58}
    sentence = reading.problems["trestbps"]
    assert sentence.startswith(f"{typed} está fora")
    assert "60 a 260 mm Hg" in sentence


@pytest.mark.parametrize(
    "typed",
    [
        "abc",
        "140/90",
        "1e2",
        "nan",
        "inf",
        "1.234,5",
        "0x1f",
        "١٤٠",
        "1_0",
        "--1",
        ",",
        "9" * 400,
        {"a": 1},
        ["1"],
        True,
    ],
)
def test_what_is_no_number_is_refused(typed: object, model: Model) -> None:
    """Whatever a client sends, and the message is short."""
    reading = form.read(model.card, {"trestbps": typed}, ENGLISH)
    assert reading.record == {}
    assert "from 60 to 260 mm Hg" in reading.problems["trestbps"]
    assert len(reading.problems["trestbps"]) < 200


@pytest.mark.parametrize("typed", ["2", "-1", "0.5", "x"])
def test_a_choice_that_is_not_on_the_list_is_refused(typed: str, model: Model) -> None:
    """The page does not offer one, but a client may send one."""
    assert "sex" in form.read(model.card, {"sex": typed}, ENGLISH).problems


# --- what a session answers ---


def test_without_known_values_there_is_no_number(model: Model) -> None:
    """The share of ill people in the data is not shown as a person's probability."""
    told: Told = []
    said = outputs(session(model, told, {"lang": "en", "ask:shiny.action": 1}))
    assert ENGLISH.inviting in said["said"]
    assert "%" not in said["said"]
    assert told == []


def test_no_answer_is_given_before_it_is_asked_for(model: Model) -> None:
    """Typing alone gives no answer, so half a form is not a prediction in the log."""
    told: Told = []
    said = outputs(session(model, told, {"lang": "en", "age": "58", "ask:shiny.action": 0}))
    assert "Show the answer" in said["said"]
    assert told == []


def test_the_answer_is_a_sentence_with_its_uncertainty(model: Model) -> None:
    """It has the model's own figures, and the service is told about it."""
    told: Told = []
    said = outputs(session(model, told, {"lang": "en", "age": "58", "sex": "1"}, {"ask:shiny.action": 1}))
    prediction = model.predict([{"age": 58, "sex": 1}])[0]
    percent = round(prediction.value * 100)
    low, high = round(prediction.low * 100), round(prediction.high * 100)
    assert f"about {percent} have the disease <span>(between {low} and {high})</span>" in said["said"]
    assert "11 values are not known" in said["shown"]
    assert said["shown"].count('role="img"') == 2
    assert "Age: <b>58 years</b>" in said["moved_list"]
    assert "less than the first of these" in said["good_list"]
    assert told == [({"age": 58, "sex": 1}, prediction)]


def test_once_asked_the_answer_follows_what_is_typed(model: Model) -> None:
    """Each new answer is told once, even if the same values arrive again."""
    told: Told = []
    first = {"lang": "pt", "age": "58", "ask:shiny.action": 1}
    said = outputs(session(model, told, first, {"age": "58"}, {"age": "70"}, {"age": "70", "sex": ""}))
    assert [record for record, _ in told] == [{"age": 58}, {"age": 70}]
    assert "De cada 100 pessoas" in said["said"]
    assert "Idade: <b>70 anos</b>" in said["moved_list"]


def test_a_session_that_begins_with_an_answer_goes_on_with_it(model: Model) -> None:
    """A new container gets all values at once and answers them without scrolling the page."""
    told: Told = []
    sent = session(model, told, {"lang": "en", "age": "58", "ask:shiny.action": 3})
    assert "Of 100 people" in outputs(sent)["said"]
    assert len(told) == 1
    assert custom(sent, "asked") == []


def test_a_wrong_value_takes_the_answer_away_until_it_is_corrected(model: Model) -> None:
    """The message is at the field, and the field gets the focus."""
    told: Told = []
    first = {"lang": "en", "age": "58", "trestbps": "140", "ask:shiny.action": 1}
    wrong = session(model, told, first, {"trestbps": "1200"}, {"ask:shiny.action": 2})
    said = outputs(wrong)
    assert 'href="#trestbps"' in said["said"]
    assert said["shown"] == ""
    assert "1200" in custom(wrong, "problems")[-1]["trestbps"]
    assert custom(wrong, "asked") == [{"wrong": "trestbps"}]
    assert "Of 100 people" in outputs(session(model, told, first, {"trestbps": "1200"}, {"trestbps": "120"}))["said"]


def test_a_message_repeats_the_input_as_text(model: Model) -> None:
    """It is in a message that the page inserts as text, and not in HTML."""
    sent = session(model, [], {"lang": "en", "age": "<img src=x onerror=alert(1)>", "ask:shiny.action": 1})
    assert "<img" in custom(sent, "problems")[-1]["age"]
    assert not any("<img" in text for text in outputs(sent).values())


@pytest.mark.parametrize("odd", [{"a": 1}, ["1", "2"], 10**300, True, "9" * 100_000])
def test_a_session_outlives_values_that_no_browser_sends(odd: object, model: Model, capfd: Any) -> None:
    """They are refused like other wrong values, and they are not logged."""
    sent = session(model, [], {"lang": odd, "age": odd, "sex": odd, "ask:shiny.action": 1})
    assert {"age", "sex"} & set(custom(sent, "problems")[-1])
    assert capfd.readouterr() == ("", "")


def test_a_page_gets_the_version_of_the_release_that_answers(model: Model) -> None:
    """It compares the version with its own and reloads itself."""
    version = re.findall(r'data-version="(\w+)"', get(model, "/")[2])[0]
    assert custom(session(model, [], {"lang": "en"}), "version") == [{"version": version}]


# --- what is said of the answer ---


def test_with_everything_known_nothing_is_shown_as_unknown(model: Model) -> None:
    """And the marked row is the one for all values known."""
    record = {feature.name: getattr(feature, "codes", (60,))[0] for feature in model.card.features} | {"oldpeak": 1.0}
    record |= {"chol": 240.0, "trestbps": 130.0, "thalach": 150.0}
    prediction = model.predict([record])[0]
    text = str(answer.shown(model, record, prediction, ENGLISH))
    assert "All 13 values are known" in text
    assert "if the rest were known" not in text
    marked = re.findall(r'<li class="yours">.*?</li>', str(answer.good(model.card, record, ENGLISH)), re.DOTALL)
    assert len(marked) == 1
    assert ENGLISH.everything in marked[0]


def test_how_good_the_model_is_follows_what_is_known(model: Model) -> None:
    """Age, sex and blood pressure are a level with its own figure."""
    at_home = next(part for part in model.card.partial if part.name == "at home")
    text = str(answer.good(model.card, at_home.known, ENGLISH))
    marked = re.findall(r'<li class="yours">.*?</li>', text, re.DOTALL)
    assert str(round(at_home.metrics["roc_auc"].value * 100)) in marked[0]


def test_a_value_outside_the_data_is_pointed_out(model: Model) -> None:
    """The service answers for a person of 90 and says that the data has no such person."""
    prediction = model.predict([{"age": 90}])[0]
    assert "Age 90 years: in the data it was only from 29 to 77" in str(
        answer.shown(model, {"age": 90}, prediction, ENGLISH)
    )
    assert "beyond" not in str(answer.shown(model, {"age": 60}, prediction, ENGLISH))


def test_what_moved_the_answer_most_comes_first_in_words(model: Model) -> None:
    """Raising and lowering are in words, not only in the picture."""
    record = {"cp": 4, "thal": 3, "age": 55}
    text = str(answer.moved(model.effects(record), model.card, ENGLISH))
    assert len(re.findall("<li>", text)) == 3
    assert "raises it by" in text
    assert "lowers it by" in text
    for points, without, with_it in re.findall(r"by (\d+) point.*?(\d+)% without, (\d+)% with", text, re.DOTALL):
        assert int(points) == abs(int(with_it) - int(without))
    first, *_, last = re.findall(r"by (\d+) point", text)
    assert int(first) >= int(last)
