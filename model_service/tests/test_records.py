from __future__ import annotations

import json
import random
from typing import Any

import pytest

from serving.card import Card
from serving.model import Model
from serving.openapi import describe
from serving.records import MOST_PROBLEMS, MOST_RECORDS, Intake, Refused

PATIENT = {
    "age": 63, "sex": 1, "cp": 1, "trestbps": 145, "chol": 233, "fbs": 1, "restecg": 2, "thalach": 150, "exang": 0,
    "oldpeak": 2.3, "slope": 3, "ca": 0, "thal": 6,
}  # fmt: skip
LINE = "63,1,1,145,233,1,2,150,0,2.3,3,0,6"


@pytest.fixture(scope="module")
def intake(model: Model) -> Intake:
    return Intake(model.card.features)


def refused(intake: Intake, body: bytes | Any, csv: bool = False) -> Refused:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Refused) as caught:
        (intake.from_csv if csv else intake.from_json)(sent)
    return caught.value


@pytest.mark.parametrize(
    ("content", "number"),
    [
        (PATIENT, 1),
        ([PATIENT], 1),
        ([PATIENT, {"age": 50, "ca": None}], 2),
        ({"instances": PATIENT}, 1),
        ({"instances": [PATIENT] * MOST_RECORDS}, MOST_RECORDS),
    ],
)
def test_json_comes_as_one_record_or_many(intake: Intake, content: Any, number: int) -> None:
    """In every format the records arrive in their order and unchanged."""
    records = intake.from_json(json.dumps(content).encode())
    assert len(records) == number
    assert records[0] == PATIENT


def test_a_byte_order_mark_is_no_mistake(intake: Intake) -> None:
    """Windows writes one before UTF-8; it is ignored in JSON and in CSV."""
    assert intake.from_json(b'\xef\xbb\xbf{"age": 63}') == [{"age": 63}]
    assert intake.from_csv(b"\xef\xbb\xbfage,sex\r\n63,1\r\n") == ([{"age": 63, "sex": 1}], True)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("300", "300"),
        ("17.999", "17.999"),
        ("-1", "-1"),
        ('"54"', '"54"'),
        ('""', '""'),
        ("true", "true"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e400", "Infinity"),
        ("1" + "0" * 400, "a number of more than 60 digits"),
        ("-" + "9" * 5000, "-Infinity"),
        ("[54]", "a list"),
        ("[]", "an empty list"),
        ('{"years": 54}', "an object"),
        ('"' + "x" * 100 + '"', '"' + "x" * 55 + '..."'),
        ('"\\ud800"', '"\\ud800"'),
    ],
)
def test_a_value_that_is_no_allowed_number_is_named(intake: Intake, value: str, shown: str) -> None:
    """422 with the field, the value as it was sent and the allowed values; it is neither clipped nor converted."""
    refusal = refused(intake, f'{{"sex": 1, "age": {value}}}'.encode())
    [problem] = refusal.problems
    assert (refusal.status, problem.record, problem.field) == (422, 0, "age")
    assert problem.value == shown
    assert problem.allowed == "18 to 110 years"
    assert problem.message.startswith(f"age is {shown}, allowed is 18 to 110 years.")
    assert refusal.message == problem.message


@pytest.mark.parametrize("value", [True, False, 2, 0.5, "1", float("nan")])
def test_a_code_is_one_of_the_codes(intake: Intake, value: object) -> None:
    """true is not 1, and a number between two codes is not a code."""
    [problem] = refused(intake, {"sex": value}).problems
    assert (problem.field, problem.allowed) == ("sex", "one of 0, 1")


def test_the_limits_themselves_are_allowed(intake: Intake, model: Model) -> None:
    """The lowest and the highest value, and each code, are accepted."""
    for feature in model.card.features:
        ends = feature.codes if feature.kind == "choice" else (feature.low, feature.high)
        for value in ends:
            assert intake.checked([{feature.name: value}]) == [{feature.name: value}]


def test_a_name_that_is_no_feature_is_named(intake: Intake, model: Model) -> None:
    """A misspelt feature is refused, because ignoring it would give another answer."""
    [problem] = refused(intake, {"age": 54, "colesterol": 200}).problems
    assert (problem.field, problem.value) == ("colesterol", "200")
    assert all(name in problem.message for name in model.names)


def test_a_name_given_twice_is_named(intake: Intake) -> None:
    """JSON allows it and uses the last; here it is refused as a contradiction."""
    [problem] = refused(intake, b'{"age": 54, "sex": 1, "age": 45}').problems
    assert (problem.field, problem.value) == ("age", "given twice")


@pytest.mark.parametrize("record", [{}, {"age": None}, dict.fromkeys(PATIENT)])
def test_a_record_in_which_nothing_is_known_is_refused(intake: Intake, record: object) -> None:
    """A prediction needs at least one value."""
    [problem] = refused(intake, [PATIENT, record]).problems
    assert (problem.record, problem.field) == (1, None)
    assert problem.message.startswith("Nothing is known in record 1. Send at least one of age, sex")


@pytest.mark.parametrize("record", [3, "x", None, True, [], [63, 1]])
def test_a_record_that_is_no_object_is_refused(intake: Intake, record: object) -> None:
    """The message has its number and its value, and shows a right record."""
    [problem] = refused(intake, [PATIENT, PATIENT, record]).problems
    assert problem.record == 2
    assert '{"age": 53, "sex": 0}' in problem.message


def test_a_batch_names_each_bad_record(intake: Intake) -> None:
    """It is named by its number, and no record of the batch is answered."""
    refusal = refused(intake, [PATIENT, {"age": 5}, PATIENT, {"sex": 7, "thal": 5}])
    assert [(problem.record, problem.field) for problem in refusal.problems] == [(1, "age"), (3, "sex"), (3, "thal")]
    assert refusal.message.startswith("2 of 4 records are refused, so no record is answered. The first: age is 5")


def test_the_number_of_named_problems_is_bounded(intake: Intake) -> None:
    """A thousand bad records give twenty messages and the number of the others."""
    refusal = refused(intake, [{"age": 5, "sex": 5}] * 1_000)
    assert (len(refusal.problems), refusal.more) == (MOST_PROBLEMS, 2_000 - MOST_PROBLEMS)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "empty"),
        (b" \n", 400, "empty"),
        (b"age=54", 400, "not JSON"),
        (b"{'age': 54}", 400, "not JSON"),
        (b'{"age": 54} {"age": 55}', 400, "not JSON"),
        (b"\xff\xfe{", 400, "not UTF-8"),
        ('{"age": 54}'.encode("utf-16-le"), 400, "not JSON"),
        (b"[" * 100_000, 400, "nested too deeply"),
        (b'{"age":' * 100_000, 400, "nested too deeply"),
        (b"[]", 422, "0 records"),
        (b'{"instances": []}', 422, "0 records"),
        (b'{"instances": [], "parameters": {}}', 422, "parameters"),
        (json.dumps([{"age": 54}] * (MOST_RECORDS + 1)).encode(), 422, "1001 records"),
    ],
)
def test_a_body_that_holds_no_records_is_refused(intake: Intake, body: bytes, status: int, says: str) -> None:
    """Whatever it is instead, a sentence says so."""
    refusal = refused(intake, body)
    assert (refusal.status, refusal.problems) == (status, ())
    assert says in refusal.message


@pytest.mark.parametrize(
    ("text", "records", "header"),
    [
        (LINE, [PATIENT], False),
        (f"{LINE}\n{LINE}\n", [PATIENT, PATIENT], False),
        (f"{LINE}\r\n{LINE}\r\n\r\n", [PATIENT, PATIENT], False),
        ("63,1,,,,,,,,,,,", [{**dict.fromkeys(PATIENT), "age": 63, "sex": 1}], False),
        ("sex,age\n1,63\n,50", [{"sex": 1, "age": 63}, {"sex": None, "age": 50}], True),
        ('"sex", age\n"1", 6.3e1', [{"sex": 1, "age": 63}], True),
        ("age\n63\n", [{"age": 63}], True),
    ],
)
def test_csv_comes_with_or_without_a_header(intake: Intake, text: str, records: object, header: bool) -> None:
    """Without a header values are in the features' order, with one in its order; an empty value is unknown."""
    assert intake.from_csv(text.encode()) == (records, header)


@pytest.mark.parametrize(
    ("text", "record", "field", "says"),
    [
        ("300" + LINE[2:], 0, "age", "age is 300, allowed"),
        (f"{LINE}\nNA{LINE[2:]}", 1, "age", 'age is "NA", allowed'),
        ("nan" + LINE[2:], 0, "age", 'age is "nan", allowed'),
        ("1e999" + LINE[2:], 0, "age", "age is Infinity, allowed"),
        ("6_3" + LINE[2:], 0, "age", 'age is "6_3", allowed'),
        (LINE + ",1", 0, None, "has 14 values and not 13"),
        (LINE.replace(",", ";"), 0, None, "has 1 values and not 13"),
        (f"{LINE}\n\n{LINE}", 1, None, "has 0 values and not 13"),
        ("," * 12, 0, None, "Nothing is known in record 0"),
        ("age,weight\n63,80", 0, "weight", "no feature"),
        ("age,sex\n63", 0, None, "has 1 values and not 2"),
    ],
)
def test_what_is_wrong_in_csv_is_named(intake: Intake, text: str, record: int, field: str | None, says: str) -> None:
    """With the number of the record, not counting the header."""
    refusal = refused(intake, text.encode(), csv=True)
    assert refusal.status == 422
    assert (refusal.problems[0].record, refusal.problems[0].field) == (record, field)
    assert says in refusal.problems[0].message


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "empty"),
        (b"\n\n", 400, "empty"),
        (b"age,sex\n", 422, "0 records"),
        (b"age,age\n1,2", 422, "twice"),
        (b'63,"1', 400, "not CSV"),
        (b'age\n"' + b"6" * 200_000 + b'"', 400, "not CSV"),
        (b"\xe9", 400, "not UTF-8"),
        (b"\n".join([LINE.encode()] * (MOST_RECORDS + 1)), 422, "1001 records"),
    ],
)
def test_a_body_that_is_no_csv_is_refused(intake: Intake, body: bytes, status: int, says: str) -> None:
    """Whatever it is instead, a sentence says so."""
    refusal = refused(intake, body, csv=True)
    assert refusal.status == status
    assert says in refusal.message


def test_the_description_allows_what_the_service_allows(intake: Intake, model: Model) -> None:
    """OpenAPI's schema and the check agree on thousands of right and wrong records."""
    schema, chance = describe(model.card, "v17")["components"]["schemas"]["Record"], random.Random(3)
    counts = [0, 0]
    for _ in range(3_000):
        record = some_record(model.card, chance)
        try:
            intake.checked([record])
            allowed = True
        except Refused:
            allowed = False
        assert allowed == valid(record, schema), record
        counts[allowed] += 1
    assert min(counts) > 500


def valid(record: dict[str, Any], schema: dict[str, Any]) -> bool:
    """The part of JSON Schema that the description uses, and that at least one value is known."""
    assert schema["additionalProperties"] is False
    known = [value for value in record.values() if value is not None]
    return bool(known) and all(
        name in schema["properties"] and any(fits(value, form) for form in schema["properties"][name]["anyOf"])
        for name, value in record.items()
    )


def fits(value: Any, form: dict[str, Any]) -> bool:
    if form.get("type") == "null":
        return value is None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return value in form["enum"] if "enum" in form else form["minimum"] <= value <= form["maximum"]


def some_record(card: Card, chance: random.Random) -> dict[str, Any]:
    names = chance.sample([feature.name for feature in card.features], chance.randint(0, 5))
    record: dict[str, Any] = {}
    for name in names:
        feature = card.feature(name)
        ends = (feature.low, feature.high) if feature.kind == "measure" else feature.codes
        record[name] = chance.choice([*ends, *ends, *map(float, ends), None])
        if chance.random() < 0.1:
            record[name] = chance.choice([ends[0] - 0.5, ends[-1] + 1, "1", True, [], float("nan"), 10**400, {"a": 1}])
    if chance.random() < 0.05:
        record["x"] = chance.choice([1, None])
    return record
