from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import DATA, ORIGIN, Answer, Ask, asking
from prometheus_client.parser import text_string_to_metric_families

from serving import app as service
from serving.app import create_app
from serving.card import Card
from serving.model import Model
from serving.openapi import Error, Healthy, Refusal, Version, predictions_model

PATIENT = {
    "age": 63, "sex": 1, "cp": 1, "trestbps": 145, "chol": 233, "fbs": 1, "restecg": 2, "thalach": 150, "exang": 0,
    "oldpeak": 2.3, "slope": 3, "ca": 0, "thal": 6,
}  # fmt: skip
LINE = b"63,1,1,145,233,1,2,150,0,2.3,3,0,6"
JSON = {"content_type": "application/json"}
CSV = {"content_type": "text/csv"}


def body(content: Any) -> bytes:
    return json.dumps(content).encode()


def predicted(ask: Ask, content: Any) -> list[dict[str, Any]]:
    answer = ask("POST", "/invocations", body(content), **JSON)
    assert answer.status == 200, answer.text
    return list(answer.json["predictions"])


def test_every_golden_question_is_answered_as_expected(ask: Ask, model_folder: Path) -> None:
    """The host asks them before a release takes traffic: each probability and the unknown features are right."""
    golden = json.loads((model_folder / "golden.json").read_text())
    assert golden["path"] == "/invocations"
    for question in golden["questions"]:
        [told], [wanted] = predicted(ask, question["body"]), question["expected"]["predictions"]
        assert told["probability"] == pytest.approx(wanted["probability"], abs=question["tolerance"])
        assert told["unknown"] == wanted["unknown"]


def test_an_answer_is_the_models(ask: Ask, model: Model) -> None:
    """Each figure has six digits, and the target is 1 from the card's threshold upwards."""
    record = {"age": 54, "sex": 1, "cp": 4}
    [told], [wanted] = predicted(ask, record), model.predict([record])
    assert told == {
        "probability": round(wanted.value, 6),
        "target": int(wanted.value >= model.card.threshold),
        "low": round(wanted.low, 6),
        "high": round(wanted.high, 6),
        "if_known": [round(wanted.if_known_low, 6), round(wanted.if_known_high, 6)],
        "unknown": [name for name in model.names if name not in record],
    }
    predictions_model(model.card).model_validate({"predictions": [told]})


def test_null_and_absent_are_the_same(ask: Ask) -> None:
    """Both are unknown and listed."""
    absent = {name: value for name, value in PATIENT.items() if name != "ca"}
    [told], [with_null] = predicted(ask, absent), predicted(ask, PATIENT | {"ca": None})
    assert told == with_null
    assert told["unknown"] == ["ca"]


@pytest.mark.parametrize("number", [1, 2, 100, 1000])
def test_a_batch_is_answered_in_its_order(ask: Ask, number: int) -> None:
    """Each answer is the same as alone, whether the batch is answered at once or in the thread."""
    records = [{"age": 30 + n % 50, "sex": n % 2, "cp": 1 + n % 4} for n in range(number)]
    together = predicted(ask, {"instances": records})
    assert len(together) == number
    for at in {0, number // 3, number - 1}:
        [alone] = predicted(ask, records[at])
        assert together[at]["probability"] == pytest.approx(alone["probability"], abs=2e-6)
        assert together[at]["unknown"] == alone["unknown"]


def test_csv_is_answered_in_json(ask: Ask) -> None:
    """Lines of values in the features' order give the same answers as JSON records."""
    answer = ask("POST", "/invocations", LINE + b"\n63,1,,,,,,,,,,,\n", content_type="text/csv; charset=utf-8")
    assert answer.json["predictions"] == predicted(ask, [PATIENT, {"age": 63, "sex": 1}])


def test_csv_is_answered_in_csv_when_asked_for(ask: Ask) -> None:
    """Each line has an answer line, and a request with a header gets an answer with a header."""
    [told] = predicted(ask, {"age": 63, "sex": 1})
    figures = [told["probability"], told["target"], told["low"], told["high"], *told["if_known"]]
    line = ",".join([*map(str, figures), " ".join(told["unknown"])])
    header = "probability,target,low,high,if_known_low,if_known_high,unknown"
    answer = ask("POST", "/invocations", b"sex,age\n1,63\n", accept="text/csv", **CSV)
    assert (answer.headers["content-type"], answer.text) == ("text/csv; charset=utf-8", f"{header}\n{line}\n")
    answer = ask("POST", "/invocations", b"63,1,,,,,,,,,,,\n", accept="text/csv", **CSV)
    assert answer.text == f"{line}\n"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "json"), ("*/*", "json"), ("application/json", "json"), ("image/png", "json"), ("text/csv", "csv"),
        ("TEXT/CSV", "csv"), ("text/csv;q=0", "json"), ("text/csv;q=x", "json"), ("text/csv, */*;q=0.1", "csv"),
        ("application/json;q=0.5, text/csv", "csv"), ("text/csv;q=0.5, application/json", "json"),
        ("application/json, text/csv", "json"), (",;q=,,", "json"),
    ],
)  # fmt: skip
def test_the_answer_comes_as_it_is_accepted(ask: Ask, accept: str, kind: str) -> None:
    """CSV if the header prefers it to JSON, else JSON."""
    answer = ask("POST", "/invocations", body(PATIENT), accept=accept, **JSON)
    assert answer.status == 200
    assert kind in answer.headers["content-type"]


def test_a_refusal_names_every_problem(ask: Ask) -> None:
    """422 with record, field, value, allowed values and a message, in the documented schema."""
    answer = ask("POST", "/invocations", body([PATIENT, {"age": 300, "sex": True}]), **JSON)
    assert answer.status == 422
    Refusal.model_validate(answer.json)
    assert answer.json["problems"][0] == {
        "record": 1,
        "field": "age",
        "value": "300",
        "allowed": "18 to 110 years",
        "message": "age is 300, allowed is 18 to 110 years. Send a number, or nothing when it is not known.",
    }
    assert answer.json["more"] == 0


@pytest.mark.parametrize(
    ("sent", "headers", "status", "says"),
    [
        (b"54,1", {"content_type": "text/plain"}, 415, "text/plain"),
        (b"{}", {"content_type": "application/json; charset=latin-1"}, 415, "latin-1"),
        (b"{}", {**JSON, "content_encoding": "gzip"}, 415, "gzip"),
        (b"\xff", JSON, 400, "UTF-8"),
        (b"{", JSON, 400, "JSON"),
        (b"{}", JSON, 422, "Nothing is known"),
        (b" " * 1_000_001, JSON, 413, "1000000 bytes"),
        (b"", {**JSON, "content_length": "99999999999"}, 413, "1000000 bytes"),
        (b"", {**JSON, "content_length": "1000001", "expect": "100-continue"}, 413, "1000000 bytes"),
    ],
)
def test_a_request_that_cannot_be_answered_gets_a_message(
    ask: Ask, sent: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    """The right status and a message, in JSON."""
    answer = ask("POST", "/invocations", sent, **headers)
    assert answer.status == status
    assert says in answer.json["error"]
    Error.model_validate({"error": answer.json["error"]})


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", "/invocations", "POST"), ("POST", "/ping", "GET, HEAD"), ("DELETE", "/card", "GET, HEAD")],
)
def test_a_wrong_method_gets_the_right_one_in_the_answer(ask: Ask, method: str, path: str, allow: str) -> None:
    """405 with the header ``allow`` and a message."""
    answer = ask(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allow)
    assert method in answer.json["error"]


def test_a_wrong_address_lists_the_right_ones(ask: Ask) -> None:
    """Without a page, 404 lists the routes."""
    answer = ask("GET", "/predict")
    assert answer.status == 404
    assert "POST /invocations" in answer.json["error"]


def test_ping_answers_when_the_model_does(ask: Ask, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 if the model predicts, 503 if it fails."""
    Healthy.model_validate(ask("GET", "/ping").json)

    def broken(_: object) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(model, "predict", broken)
    answer = ask("GET", "/ping")
    assert answer.status == 503
    assert "out of memory" in answer.json["error"]
    assert ask("GET", "/health").status == 503


def test_a_failure_is_answered_and_logged(
    ask: Ask, model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 in JSON without internals; the log has the whole error."""

    def broken(_: object) -> Any:
        raise RuntimeError("the inside")

    monkeypatch.setattr(model, "predict", broken)
    answer = ask("POST", "/invocations", body(PATIENT), **JSON)
    assert answer.status == 500
    assert "the inside" not in answer.text
    assert "the inside" in caplog.text


def test_version_says_where_the_model_is_from(ask: Ask, model: Model) -> None:
    """Release, commit, image, hashes, kind and figures, in the documented schema."""
    told = Version.model_validate(ask("GET", "/version").json)
    assert (told.release, told.commit, told.digest) == ("v17", "0123abc", "sha256:4567")
    assert (told.model_sha256, told.kind, told.trained_at) == (
        model.card.sha256,
        model.card.kind,
        model.card.trained_at,
    )
    assert told.metrics["roc_auc"] == model.card.metrics["roc_auc"].value


def test_card_is_the_whole_card(ask: Ask, model: Model) -> None:
    """It is the card that training wrote."""
    assert Card.model_validate_json(ask("GET", "/card").text) == model.card


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/ping"), ("GET", "/version"), ("GET", "/metrics"), ("GET", "/nowhere"), ("PUT", "/invocations"),
     ("POST", "/invocations"), ("GET", "/health"), ("GET", "/openapi.json"), ("HEAD", "/card")],
)  # fmt: skip
def test_every_answer_is_signed(ask: Ask, method: str, path: str) -> None:
    """Every status carries x-model-version with the release, and forbids caching."""
    headers = ask(method, path).headers
    assert headers["x-model-version"] == "v17"
    assert headers["cache-control"] == "no-store"


def test_the_page_is_at_every_other_address(model: Model) -> None:
    """It gets the model and a callback; its answers and WebSockets carry the release; its failure is a 500."""
    sent: list[Any] = []

    def create_page(given: Model, tell: Callable[..., None]) -> Callable[..., Awaitable[None]]:
        async def page(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.accept"})
                return
            if scope["path"] == "/broken":
                raise RuntimeError
            tell({"age": 50}, given.predict([{"age": 50}])[0])
            await send({"type": "http.response.start", "status": 418, "headers": [(b"x-own", b"1")]})
            await send({"type": "http.response.body", "body": scope["path"].encode()})

        return page

    app = create_app(model, ORIGIN, page=create_page)
    ask = asking(app)
    answer = ask("GET", "/lib/shiny.js")
    assert (answer.status, answer.text, answer.headers["x-model-version"]) == (418, "/lib/shiny.js", "v17")
    assert ask("GET", "/ping").status == 200
    assert ask("GET", "/broken").status == 500
    assert counted(ask("GET", "/metrics"), "model_predictions_total", source="page") == 1

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({"type": "websocket", "path": "/websocket/"}, None, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.accept", "headers": [(b"x-model-version", b"v17")]}]


def test_metrics_count_requests_answers_and_drift(model: Model) -> None:
    """Prometheus' own parser can read them."""
    ask = asking(create_app(model, ORIGIN))
    for _ in range(60):
        ask("POST", "/invocations", body({"age": 50}), **JSON)
    ask("POST", "/invocations", body([{"age": 50, "chol": 200}] * 40), **JSON)
    ask("POST", "/invocations", b"{", **JSON)
    told = ask("GET", "/metrics")
    assert counted(told, "model_requests_total", route="/invocations", status="200") == 61
    assert counted(told, "model_requests_total", route="/invocations", status="400") == 1
    assert counted(told, "model_request_seconds_count", route="/invocations") == 62
    assert counted(told, "model_predictions_total", source="api") == 100
    assert counted(told, "model_probability_count") == 100
    assert counted(told, "model_info", release="v17", sha256=model.card.sha256) == 1
    assert counted(told, "model_feature_psi", feature="age") > 1
    assert counted(told, "model_feature_psi", feature="chol") is None
    assert counted(told, "model_feature_missing_ratio", feature="chol") == pytest.approx(0.6)
    assert counted(told, "model_feature_missing_training_ratio", feature="chol") == 0
    assert counted(told, "model_log_lines_dropped_total") == 0


def counted(answer: Answer, name: str, **labels: str) -> Any:
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def test_the_description_describes_the_routes(ask: Ask, model: Model) -> None:
    """OpenAPI 3.1 with every JSON route, the features' limits, and no broken reference."""
    told = ask("GET", "/openapi.json").json
    assert told["openapi"] == "3.1.0"
    assert set(told["paths"]) == {"/ping", "/version", "/card", "/invocations"}
    schemas = told["components"]["schemas"]
    age, sex = (schemas["Record"]["properties"][name]["anyOf"][0] for name in ("age", "sex"))
    assert (age["type"], age["minimum"], age["maximum"], sex["enum"]) == ("number", 18, 110, [0, 1])
    assert list(schemas["Record"]["properties"]) == list(model.names)
    for reference in re.findall(r'"\$ref": "#/components/([^"]+)"', json.dumps(told)):
        kind, name = reference.split("/")
        assert name in told["components"][kind]
    example = told["paths"]["/invocations"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert len(predicted(ask, example)) == 1


def test_a_body_that_does_not_come_is_not_waited_for(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """408, and the connection is closed."""
    monkeypatch.setattr(service, "BODY_SECONDS", 0.01)

    async def nothing() -> Any:
        await asyncio.sleep(60)

    status, headers, told = streamed(create_app(model, ORIGIN), nothing)
    assert (status, headers["connection"]) == (408, "close")
    assert "Send it again" in json.loads(told)["error"]


def test_a_body_in_parts_is_one_body(model: Model) -> None:
    """A body sent byte by byte gives the same answer."""
    parts = [{"type": "http.request", "body": bytes([b]), "more_body": True} for b in body(PATIENT)]
    parts.append({"type": "http.request"})

    async def one_after_another() -> Any:
        return parts.pop(0)

    status, _, told = streamed(create_app(model, ORIGIN), one_after_another)
    assert status == 200
    assert json.loads(told)["predictions"][0]["unknown"] == []


def test_a_body_without_end_is_cut(model: Model) -> None:
    """A body that is a little too long is read to its end, so that its sender gets the 413; an endless one is not."""
    sent = 0

    async def more() -> Any:
        nonlocal sent
        sent += 1
        return {"type": "http.request", "body": b" " * 100_000, "more_body": sent != 20}

    status, headers, _ = streamed(create_app(model, ORIGIN), more)
    assert (status, sent, "connection" in headers) == (413, 20, False)

    async def always() -> Any:
        nonlocal sent
        sent += 1
        return {"type": "http.request", "body": b" " * 100_000, "more_body": True}

    status, headers, _ = streamed(create_app(model, ORIGIN), always)
    assert (status, headers["connection"]) == (413, "close")
    assert sent < 20 + 200


def test_a_client_that_leaves_is_not_answered(model: Model) -> None:
    """A connection that breaks within the body ends the request without an answer and without an error."""

    async def left() -> Any:
        return {"type": "http.disconnect"}

    assert streamed(create_app(model, ORIGIN), left) == (0, {}, "")


def streamed(app: Any, receive: Callable[[], Awaitable[Any]]) -> tuple[int, dict[str, str], str]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))
    if not sent:
        return 0, {}, ""
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"].decode()


@pytest.mark.thorough
def test_rubbish_is_refused_and_never_a_failure(ask: Ask) -> None:
    """Three thousand bodies, from noise to nearly right records: each gets an answer, and never a 500."""
    chance = random.Random(11)
    seen: dict[int, int] = {}
    for _ in range(3_000):
        sent, headers = rubbish(chance)
        answer = ask("POST", "/invocations", sent, **headers)
        seen[answer.status] = seen.get(answer.status, 0) + 1
        assert answer.status in (200, 400, 413, 415, 422), (sent, answer.text)
        if answer.status == 200:
            assert all(0 <= p["probability"] <= 1 for p in answer.json["predictions"])
        elif answer.status == 422:
            Refusal.model_validate(answer.json)
        else:
            Error.model_validate(answer.json)
    assert {200, 400, 415, 422} <= set(seen)


def rubbish(chance: random.Random) -> tuple[bytes, dict[str, str]]:
    kinds = ["application/json"] * 6 + ["text/csv"] * 3 + ["", "text/html", "application/json;charset", ";;=", "\x7f"]
    headers = {"content_type": chance.choice(kinds)}
    right = (DATA).read_bytes()[:400] if chance.random() < 0.1 else LINE + b"\n" + LINE
    text = right if "csv" in headers["content_type"] else json.dumps(nested(chance, 4)).encode()
    if chance.random() < 0.4:
        damaged = bytearray(text)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(damaged) + 1)
            damaged[at : at + chance.randint(0, 3)] = chance.choice(PIECES) or chance.randbytes(3)
        text = bytes(damaged)
    return chance.choice([text] * 9 + [chance.randbytes(chance.randint(0, 300))]), headers


PIECES = [
    b"", b"\x00", b'"', b",", b"\n", b"\r", b"{", b"[", b"]" * 9, b"1e999", b"-", b"NaN", b"nan", b"null", b"0x1",
    b"\\u0000", b"\\ud800", b"\xff", b"9" * 400, b"9" * 5000, b'"instances":', b"\xef\xbb\xbf", b"1_0", b"'",
]  # fmt: skip


def nested(chance: random.Random, depth: int) -> Any:
    roll = chance.random()
    if roll < 0.45:
        names = chance.sample(list(PATIENT), chance.randint(0, 13))
        record: dict[str, Any] = {name: PATIENT[name] for name in names}
        if chance.random() < 0.5:
            record[chance.choice([*PATIENT, "", "\ud800", "x" * 500])] = leaf(chance)
        return record
    if depth and roll < 0.6:
        return [nested(chance, depth - 1) for _ in range(chance.randint(0, 3))]
    if depth and roll < 0.8:
        return {"instances": nested(chance, depth - 1)} | ({"x": 1} if chance.random() < 0.2 else {})
    return leaf(chance)


def leaf(chance: random.Random) -> Any:
    return chance.choice(
        [None, True, 0, -1, 1.5, 10**400, -(10**60), 1e308, float("inf"), float("nan"), "", "54", "\u0000", "é" * 99,
         [], {}, [[[[[]]]]], {"age": {"age": 1}}]
    )  # fmt: skip
