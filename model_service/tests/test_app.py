from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import Ask

from heart.model import Choice, Model
from heart.words import WORDS, language

FIRST_PATIENT = {
    "age": 63, "sex": 1, "cp": 1, "trestbps": 145, "chol": 233, "fbs": 1, "restecg": 2, "thalach": 150, "exang": 0,
    "oldpeak": 2.3, "slope": 3, "ca": 0, "thal": 6,
}  # fmt: skip
JSON = {"content_type": "application/json"}


def body(content: Any) -> bytes:
    return json.dumps(content).encode()


def test_ping_is_healthy(ask: Ask) -> None:
    """A loaded model answers 200."""
    assert ask("GET", "/ping").status == 200


def test_version_says_where_the_model_is_from(ask: Ask, model: Model) -> None:
    """Release, commit and the data's hash, to be compared with the repository."""
    told = ask("GET", "/version").json
    assert (told["release"], told["commit"], told["data_sha256"]) == ("v17", "0123abc", model.data_sha256)


@pytest.mark.parametrize("path", ["/", "/ping", "/version", "/nowhere"])
def test_every_answer_is_signed(ask: Ask, path: str) -> None:
    """The header x-model-version tells which release answered, whatever it answered."""
    assert ask("GET", path).headers["x-model-version"] == "v17"


@pytest.mark.parametrize(
    ("content", "number"),
    [
        (FIRST_PATIENT, 1),
        ({"instances": FIRST_PATIENT}, 1),
        ({"instances": [FIRST_PATIENT, FIRST_PATIENT]}, 2),
        ([FIRST_PATIENT], 1),
    ],
)
def test_one_record_or_many_are_predicted(ask: Ask, model: Model, content: object, number: int) -> None:
    """However the records come, there is one prediction for each, and it is the model's."""
    answer = ask("POST", "/invocations", body(content), **JSON)
    probability = round(model.predict(FIRST_PATIENT).probability, 6)
    wanted = {"probability": probability, "target": int(probability >= 0.5), "filled": []}
    assert answer.json == {"predictions": [wanted] * number}


def test_missing_values_are_filled_and_named(ask: Ask) -> None:
    """A null and an absent field are the same, and the answer says which were filled."""
    absent = {name: value for name, value in FIRST_PATIENT.items() if name != "ca"}
    answers = [ask("POST", "/invocations", body(r), **JSON).json for r in (absent, FIRST_PATIENT | {"ca": None})]
    assert answers[0] == answers[1]
    assert answers[0]["predictions"][0]["filled"] == ["ca"]


@pytest.mark.parametrize(
    ("record", "field", "value", "allowed"),
    [
        ({"age": 300}, "age", "300", "a number from 18 to 110 years"),
        ({"age": "54"}, "age", '"54"', "a number from 18 to 110 years"),
        ({"sex": True}, "sex", "true", "one of 0, 1"),
        ({"cp": 9}, "cp", "9", "one of 1, 2, 3, 4"),
        ({"thal": [[]]}, "thal", "a list", "one of 3, 6, 7"),
    ],
)
def test_a_value_out_of_range_is_named(ask: Ask, record: object, field: str, value: str, allowed: str) -> None:
    """422, with the field, the value and what is allowed."""
    answer = ask("POST", "/invocations", body({"instances": [FIRST_PATIENT, record]}), **JSON)
    assert answer.status == 422
    [problem] = answer.json["problems"]
    assert problem == {
        "record": 1, "field": field, "value": value, "allowed": allowed, "message": answer.json["error"],
    }  # fmt: skip
    assert answer.json["error"].startswith(f"{field} is {value}, allowed is {allowed}.")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", 400),
        (b"age=54", 400),
        (b"\xff\xfe\xfd", 400),
        (b'{"age": NaN}', 400),
        (b"[" * 5_000, 400),
        (b'{"age": ' + b"[" * 900 + b"]" * 900 + b"}", 422),
        (b'{"age": 1e999}', 422),
        (b'{"\\ud800": "\\ud800"}', 422),
        (b"{}", 422),
        (b"3", 422),
        (b"[]", 422),
        (b'{"instances": [{}]}', 422),
        (b'{"instances": [], "parameters": 1}', 422),
        (body([FIRST_PATIENT] * 1_001), 422),
        (b" " * 1_000_001, 413),
    ],
)
def test_anything_else_is_refused_in_a_sentence(ask: Ask, sent: bytes, status: int) -> None:
    """Whatever bytes come, the answer is a refusal with an error sentence, never a failure."""
    answer = ask("POST", "/invocations", sent, **JSON)
    assert answer.status == status
    assert answer.json["error"].endswith((".", "}."))


def test_another_content_type_is_refused(ask: Ask) -> None:
    """415 names what came and what to send."""
    answer = ask("POST", "/invocations", b"54,1", content_type="text/csv")
    assert answer.status == 415
    assert "text/csv" in answer.json["error"]


def test_a_wrong_address_lists_the_right_ones(ask: Ask) -> None:
    """404 and 405 name the routes there are."""
    assert "POST /invocations" in ask("GET", "/predict").json["error"]
    assert ask("GET", "/invocations").status == 405


@pytest.mark.parametrize(
    ("asked", "header", "spoken"),
    [
        (None, "", "en"),
        (None, "pt-BR,pt;q=0.9,en;q=0.8", "pt"),
        (None, "en;q=0.5, pt;q=0.7", "pt"),
        (None, "fr,pt;q=0", "en"),
        (None, "pt;q=x,,;q=", "en"),
        ("pt", "en", "pt"),
        ("xx", "pt", "pt"),
    ],
)
def test_the_language_is_the_persons(asked: str | None, header: str, spoken: str) -> None:
    """The switch goes before the browser's wish, and the wish before English."""
    assert language(asked, header) == spoken


def test_the_page_asks_for_every_field_in_both_languages(ask: Ask, model: Model) -> None:
    """Every field of the model has its label, and every code its word, in every language."""
    for code, words in WORDS.items():
        page = ask("GET", f"/?lang={code}").text
        assert f'<html lang="{words.tag}">' in page
        for feature in model.features:
            assert f'<label for="{feature.name}">{words.labels[feature.name]}' in page
            if isinstance(feature, Choice) and feature.name != "ca":
                assert set(words.codes[feature.name]) == set(feature.weights)


def test_the_page_answers_a_person(ask: Ask, model: Model) -> None:
    """What is typed is predicted, a decimal comma is one, and what was left empty is said."""
    answer = ask("POST", "/?lang=pt", b"age=54%2C5&sex=1&chol=")
    percent = f"{model.predict({'age': 54.5, 'sex': 1}).probability * 100:.1f}".replace(".", ",")
    assert f"Probabilidade de doença cardíaca: {percent} %" in answer.text
    assert "Colesterol sérico, " in answer.text
    assert 'value="54,5"' in answer.text


def test_the_page_says_what_to_correct(ask: Ask) -> None:
    """A wrong value is shown back in a sentence, as text and not as HTML, and the field is marked."""
    answer = ask("POST", "/?lang=en", b"age=%3Cb%3E&sex=1")
    assert answer.status == 422
    assert "Age: “&lt;b&gt;” is not accepted. Type a number from 18 to 110 years" in answer.text
    assert 'value="&lt;b&gt;" aria-invalid="true"' in answer.text
    assert "<b>" not in answer.text
