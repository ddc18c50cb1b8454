"""A regression, several classes and texts are trained, served, logged, watched and shown like a binary target.

Each trains on data that generated.py makes up. The build leaves these tests out.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ORIGIN, Ask, asking
from generated import COLOURS, TASKS, generate
from prometheus_client.parser import text_string_to_metric_families

import gate
import train
from serving import answer, form
from serving.app import create_app
from serving.card import FIGURES
from serving.drift import drift
from serving.journal import Journal, said_by
from serving.model import Model, load
from serving.openapi import describe, predictions_model
from serving.words import WORDS, Words, read_words
from training import candidates, evaluation
from training.data import Table, completed, read
from training.export import export
from training.marginal import Marginal
from training.settings import Settings, read_settings

pytestmark = pytest.mark.thorough
NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Served:
    """One generated data set, with the model trained on it."""

    kind: str
    settings: Settings
    table: Table
    folder: Path
    model: Model
    ask: Ask
    words: dict[str, Words]

    @property
    def record(self) -> dict[str, Any]:
        """A record with everything known."""
        return (
            {"note": "a leaf on the grass", "stripes": 1}
            if self.kind == "text"
            else {"weight": 4, "ring": 200, "stripes": 2}
        )

    def predicted(self, content: Any) -> list[dict[str, Any]]:
        told = self.ask("POST", "/invocations", json.dumps(content).encode(), content_type="application/json")
        assert told.status == 200, told.text
        found: list[dict[str, Any]] = told.json["predictions"]
        return found


@pytest.fixture(scope="module", params=TASKS)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tmp_path_factory.mktemp(request.param)
    data, settings_file = generate(folder, request.param)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(evaluation, "REPEATS", 1)
        card = train.train(data, settings_file, folder / "models", "0123abc", NOW)
    settings = read_settings(settings_file)
    model = load(folder / "models")
    words, _ = read_words(folder / "models" / WORDS, card)
    return Served(
        request.param, settings, read(data, settings), folder, model, asking(create_app(model, ORIGIN)), words
    )


def test_the_card_has_the_figures_of_the_task_each_in_its_interval(served: Served) -> None:
    """And each candidate, and each set of known features, has the same ones."""
    card = served.model.card
    for metrics in (card.metrics, *(c.metrics for c in card.candidates), *(part.metrics for part in card.partial)):
        assert tuple(metrics) == FIGURES[card.task]
        for name, found in metrics.items():
            assert found.low <= found.value <= found.high, name
    assert sum(card.data.counts) == (0 if card.task == "regression" else card.data.rows)


def test_the_model_has_learned_what_the_data_say(served: Served) -> None:
    """On held-out rows it is far better than no model."""
    least = {"roc_auc": 0.9, "macro_f1": 0.75, "accuracy": 0.75, "r2": 0.8}
    for name, found in served.model.card.metrics.items():
        assert found.value >= least.get(name, 0)


def test_the_file_computes_what_marginal_defines(served: Served) -> None:
    """With everything and with some features unknown, mean, low and high are those of numpy."""
    settings, table = served.settings, served.table
    inputs = completed(table.inputs, settings)
    made = candidates.candidates(settings)[served.model.card.kind]
    marginal = Marginal(made(settings).fit(inputs, table.targets), inputs, settings, 0.5)
    session = served_session(export(marginal))
    scale = np.abs(marginal.predict(inputs[::20])[0]).max()
    for hidden in ((), served.settings.names[:1], served.settings.names[-1:]):
        rows = np.where([name in hidden for name in table.columns], np.nan, inputs)[::20]
        found = session.run(["mean", "low", "high"], {"features": rows.astype(np.float32)})
        for output, defined in zip(found, marginal.predict(rows), strict=True):
            np.testing.assert_allclose(output, defined, atol=3e-5 * max(1, scale))


def served_session(content: bytes) -> Any:
    from serving.model import session

    return session(content)


def test_its_golden_answers_are_given(served: Served) -> None:
    """Whole and partial rows; the served model gives each expected leaf."""
    content = json.loads((served.folder / "models/golden.json").read_bytes())
    assert {len(question["body"]) for question in content["questions"]} >= {1, len(served.model.names)}
    for question in content["questions"]:
        [wanted], [told] = question["expected"]["predictions"], served.predicted(question["body"])
        for name, value in wanted.items():
            assert told[name] == (value if name == "unknown" else pytest.approx(value, abs=question["tolerance"]))


def test_an_answer_has_the_form_that_the_description_names(served: Served) -> None:
    """The class with all probabilities, or the number, inside its interval; the same as CSV."""
    known, partly = served.predicted([served.record, {"stripes": 1}])
    main = {"binary": "probability", "regression": "value"}.get(served.kind, "probability")
    for told in (known, partly):
        predictions_model(served.model.card).model_validate({"predictions": [told]})
        assert told["low"] <= told[main] <= told["high"]
        assert told["if_known"][0] - 1e-3 <= told["if_known"][1]
    assert known["unknown"] == []
    assert partly["unknown"] == [name for name in served.model.names if name != "stripes"]
    if served.settings.model.classes:
        assert known["class"] == max(known["probabilities"], key=known["probabilities"].get)
        assert sum(known["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert list(known["probabilities"]) == list(COLOURS)
    body = "\n".join([",".join(served.record), ",".join(map(str, served.record.values()))]).encode()
    csv = served.ask("POST", "/invocations", body, content_type="text/csv", accept="text/csv").text.splitlines()
    told = dict(zip(csv[0].split(","), csv[1].split(","), strict=True))
    assert float(told[main]) == known[main]
    assert told.get("class") == known.get("class")
    assert describe(served.model.card, "v1")["paths"]["/invocations"]["post"]["responses"]["200"]


def test_a_wrong_value_is_refused_with_what_is_allowed(served: Served) -> None:
    """A number for a text, a text for a number, an empty text, and a long one."""
    if served.kind == "text":
        wrong: list[Any] = [5, "", "   ", "x" * 201, True]
        name, allowed = "note", "a text of 1 to 200 characters"
    else:
        wrong, name, allowed = ["heavy", 21, True], "weight", "0 to 20 kg"
    for value in wrong:
        told = served.ask("POST", "/invocations", json.dumps({name: value}).encode(), content_type="application/json")
        assert (told.status, told.json["problems"][0]["field"], told.json["problems"][0]["allowed"]) == (
            422,
            name,
            allowed,
        )


def test_what_is_answered_is_counted_and_logged(served: Served) -> None:
    """Prometheus has the distribution of the answers, and the log the answer of each request."""
    read_end, write_end = os.pipe()
    card = served.model.card
    journal = Journal(write_end, "v17", card.sha256, served.model.names, "plain", b"k", said_by(card))
    ask = asking(create_app(served.model, ORIGIN, journal))
    told = ask("POST", "/invocations", json.dumps(served.record).encode(), content_type="application/json")
    [answer_] = told.json["predictions"]
    journal.close()
    line = json.loads(os.read(read_end, 10_000))
    os.close(read_end)
    os.close(write_end)
    assert line["features"] == served.record
    main = "value" if card.task == "regression" else "probability"
    assert line[main] == pytest.approx(answer_[main], abs=1e-6 * max(1, abs(answer_[main])))
    assert line.get("class") == answer_.get("class")
    samples = {
        (sample.name, sample.labels.get("name")): sample.value
        for family in text_string_to_metric_families(ask("GET", "/metrics").text)
        for sample in family.samples
    }
    assert samples[f"model_{main}_count", None] == 1
    if card.classes:
        assert samples["model_classes_total", answer_["class"]] == 1


def test_drift_is_seen_and_the_training_data_have_none(served: Served) -> None:
    """Of texts the number of words is compared."""
    texts = served.table.texts
    rows: list[dict[str, Any]] = []
    for at, inputs in enumerate(served.table.inputs.tolist()):
        row = dict(zip(served.settings.plain, inputs, strict=False)) | {
            name: found[at] for name, found in texts.items()
        }
        rows.append({name: value for name, value in row.items() if value is not None and value == value})
    assert {feature.word for feature in drift(served.model.card, rows)} == {"ok"}
    first = served.model.names[0]
    longer = {"note": "one two three four five six seven eight nine ten"} if served.kind == "text" else {first: 19.5}
    moved = {feature.name: feature.word for feature in drift(served.model.card, [row | longer for row in rows])}
    assert moved[first] == "drifted"


@pytest.mark.parametrize("lang", ["en", "pt"])
def test_the_page_shows_the_answer_and_what_moved_it(served: Served, lang: str) -> None:
    """In each language; every brace of a text is filled in."""
    words, model = served.words[lang], served.model
    page = str(form.document(model.card, served.words, {}, lang, "v"))
    assert f"title ({lang})" in page
    assert f"invented ({lang})" in page
    partly = {name: value for name, value in served.record.items() if name != "ring"}
    for record in (served.record, partly):
        [prediction] = model.predict([record])
        texts = [
            str(answer.sentence(model.card, prediction, words)),
            str(answer.shown(model, record, prediction, words)),
            str(answer.moved(model.effects(record), model.card, words)),
            str(answer.good(model.card, record, words)),
        ]
        assert not [text for text in (*texts, page) if re.search(r"{\w+}", text)]
        assert len(re.findall("<li>", texts[2])) == len(record)
        assert ("EUR" in texts[0]) == (served.kind == "regression")
        if model.card.classes:
            assert f"{model.card.classes[prediction.best]} ({lang})" in texts[0]


def test_the_form_reads_what_a_person_types(served: Served) -> None:
    """Numbers with a comma, and a text as it stands."""
    typed = {name: str(value).replace(".", ",") for name, value in served.record.items()}
    assert form.read(served.model.card, typed, served.words["pt"]) == form.Reading(served.record, {})


def test_the_gate_compares_the_figures_of_the_task(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    """A release that is worse stays out."""
    from training.settings import Tolerance

    name = FIGURES[served.model.card.task][0]
    rises = served.model.card.task == "regression"
    allowed = Tolerance(max_rise=0.01) if rises else Tolerance(max_drop=0.01)
    value = served.model.card.metrics[name].value
    better = value / 2 if rises else value + 0.1
    assert gate.judged(served.model.card, gate.Live("v16", {name: str(better)}), {name: allowed}) == 1
    assert gate.judged(served.model.card, gate.Live("v16", {name: str(value)}), {name: allowed}) == 0
    capsys.readouterr()
