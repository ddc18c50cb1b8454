"""Training: the same bytes each time, the promised figures, the best candidate, and the right content of each file.

Tests marked ``thorough`` train other models. The build leaves them out; the others use the model that it has trained.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from conftest import DATA, SAMPLED, SETTINGS
from sklearn.dummy import DummyClassifier

import train
from serving.card import Card, UnusableModel, read_card
from serving.model import Model, load
from training import candidates, evaluation, figures
from training.data import Table, UnusableData, completed, read
from training.export import export
from training.marginal import Marginal
from training.settings import Settings, read_settings

FILES = ("model.onnx", "model-card.json", "golden.json", "metrics.env")
NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings() -> Settings:
    return read_settings(SETTINGS)


@pytest.fixture(scope="module")
def table(settings: Settings) -> Table:
    return read(DATA, settings)


@pytest.fixture
def card(model: Model) -> Card:
    return model.card


def trained(out: Path, monkeypatch: pytest.MonkeyPatch, **chosen: candidates.Candidate) -> Card:
    """A training with only these candidates and one repeat instead of three."""
    named = {name.replace("_", " "): made for name, made in chosen.items()}
    monkeypatch.setattr(candidates, "candidates", lambda _: named)
    monkeypatch.setattr(evaluation, "REPEATS", 1)
    return train.train(DATA, SETTINGS, out, "0123abc", NOW)


def a_constant(settings: Settings) -> Any:
    """The share of ill patients as the answer for everyone."""
    return candidates.make_pipeline(candidates._prepared(settings, "passthrough"), DummyClassifier(strategy="prior"))


def with_holes(table: Table, settings: Settings, seed: int) -> np.ndarray:
    """Every patient, each with a random number of unknown values, from none to all."""
    random = np.random.default_rng(seed)
    rows = completed(table.inputs, settings)
    left_out = random.integers(0, rows.shape[1] + 1, len(rows))
    places = random.random(rows.shape).argsort(axis=1)
    return np.where(places < left_out[:, None], np.nan, rows)


def records(rows: np.ndarray, settings: Settings) -> list[dict[str, float | None]]:
    return [
        {name: None if math.isnan(value) else value for name, value in zip(settings.names, row, strict=True)}
        for row in rows.tolist()
    ]


@pytest.mark.thorough
def test_training_again_writes_the_same_bytes(model_folder: Path, card: Card, tmp_path: Path) -> None:
    """Another process with another hash seed writes the same four files for the same commit and time."""
    same = {"COMMIT": card.commit, "SOURCE_DATE_EPOCH": str(int(card.trained_at.timestamp())), "PYTHONHASHSEED": "1989"}
    same["ESTEIRA_MODEL_CACHE"] = ""
    command = [sys.executable, "train.py", *SAMPLED, "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=train.HERE, env=os.environ | same, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"kept: {card.kind}" in done.stdout
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (model_folder / name).read_bytes(), name


def test_the_figures_are_what_was_promised(card: Card) -> None:
    """On held-out patients the answers are well ordered, close to the truth, and calibrated."""
    assert card.metrics["roc_auc"].value >= 0.905
    assert card.metrics["log_loss"].value <= 0.38
    assert card.metrics["brier"].value <= 0.12
    assert card.metrics["ece"].value <= 0.05


def test_few_known_values_give_more_than_the_share_of_the_ill(card: Card) -> None:
    """With age, sex and blood pressure alone the answers beat the share of the ill (0.69 nats) and are calibrated."""
    share = card.data.counts[1] / card.data.rows
    constant = -(share * math.log(share) + (1 - share) * math.log(1 - share))
    at_home = next(part for part in card.partial if part.name == "at home")
    assert at_home.metrics["log_loss"].high < constant
    assert at_home.metrics["ece"].value < 0.1


def test_the_best_by_log_loss_is_kept_and_all_are_written_down(card: Card, settings: Settings) -> None:
    """The card has every candidate, and the kept one has the lowest log loss."""
    assert {candidate.name for candidate in card.candidates} == set(candidates.candidates(settings))
    best = min(card.candidates, key=lambda candidate: candidate.metrics["log_loss"].value)
    assert [candidate.name for candidate in card.candidates if candidate.kept] == [best.name] == [card.kind]
    assert best.metrics == card.metrics


def test_an_interval_holds_its_figure(card: Card) -> None:
    """Every figure, of every candidate and of every set of known features, lies within its interval."""
    judged = [card.metrics, *(c.metrics for c in card.candidates), *(part.metrics for part in card.partial)]
    for metrics in judged:
        for found in (metrics["roc_auc"], metrics["log_loss"], metrics["brier"], metrics["ece"]):
            assert 0 <= found.low <= found.value <= found.high


def test_filling_holes_with_usual_values_is_worse_than_telling_everyone_the_same(
    card: Card, table: Table, settings: Settings
) -> None:
    """With age, sex and blood pressure: 0.81 nats that way, 0.69 for the share of the ill, 0.62 by averaging."""
    known = np.array([name in settings.known["at home"] for name in settings.names])
    inputs = completed(table.inputs, settings)
    filled, constant = np.empty(len(inputs)), np.empty(len(inputs))
    for seen, asked in evaluation._folds(table, settings, 1):
        fitted = candidates.logistic_regression(settings).fit(inputs[seen], table.targets[seen])
        usual = completed(np.vstack([inputs[seen], np.full(len(known), np.nan)]), settings)[-1]
        filled[asked] = fitted.predict_proba(np.where(known, inputs[asked], usual))[:, 1]
        constant[asked] = table.targets[seen].mean()
    at_home = next(part for part in card.partial if part.name == "at home").metrics["log_loss"].value
    losses = [figures.loss("binary", answers[:, None], table.targets) for answers in (filled, constant)]
    assert losses[0] > losses[1] > at_home


@pytest.mark.slow
@pytest.mark.thorough
def test_another_kind_that_wins_is_kept_and_answers_as_it_was_trained(
    table: Table, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If boosting is best, the file contains boosting, with scikit-learn's answers, and the card says so."""
    kept = trained(tmp_path, monkeypatch, a_constant=a_constant, gradient_boosting=candidates.gradient_boosting)
    assert kept.kind == "gradient boosting"
    assert [candidate.kept for candidate in kept.candidates] == [False, True]
    inputs = completed(table.inputs, settings)
    fitted = candidates.gradient_boosting(settings).fit(inputs, table.targets)
    answers = [prediction.value for prediction in load(tmp_path).predict(records(inputs, settings))]
    assert answers == pytest.approx(fitted.predict_proba(inputs)[:, 1], abs=1e-5)


@pytest.mark.slow
@pytest.mark.thorough
def test_training_twice_in_one_process_writes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first training leaves no state: trees, which are random, come out the same."""
    for out in ("first", "second"):
        trained(tmp_path / out, monkeypatch, gradient_boosting=candidates.gradient_boosting)
    for name in FILES:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


@pytest.mark.parametrize(
    "candidate",
    [candidates.logistic_regression, pytest.param(candidates.gradient_boosting, marks=pytest.mark.thorough)],
)
@pytest.mark.parametrize("closeness", [0.1, pytest.param(1.5, marks=pytest.mark.thorough)])
def test_the_file_computes_what_marginal_defines(
    table: Table, settings: Settings, candidate: candidates.Candidate, closeness: float
) -> None:
    """For no, some and all values unknown, probability, low and high are those of numpy."""
    inputs = completed(table.inputs, settings)
    marginal = Marginal(candidate(settings).fit(inputs, table.targets), inputs, settings, closeness)
    session = ort.InferenceSession(export(marginal), providers=["CPUExecutionProvider"])
    for rows in (inputs[::10], with_holes(table, settings, 1)[::4], with_holes(table, settings, 2)[::7]):
        found = session.run(["mean", "low", "high"], {"features": rows.astype(np.float32)})
        for output, defined in zip(found, marginal.predict(rows), strict=True):
            np.testing.assert_allclose(output, defined, atol=2e-5)
        some = rows[::4]  # each alone instead of in a batch
        alone = [session.run(["mean"], {"features": row[None].astype(np.float32)})[0][0] for row in some]
        np.testing.assert_allclose(alone, found[0][::4], atol=1e-6)


def test_with_all_known_the_answer_is_the_models_own(model: Model, table: Table, settings: Settings) -> None:
    """Then nothing is averaged, and the interval for unknown values is empty."""
    inputs = completed(table.inputs, settings)
    fitted = candidates.candidates(settings)[model.card.kind](settings).fit(inputs, table.targets)
    wanted = fitted.predict_proba(inputs)[:, 1]
    for prediction, probability in zip(model.predict(records(inputs, settings)), wanted, strict=True):
        assert prediction.value == pytest.approx(probability, abs=1e-5)
        assert prediction.if_known_low == pytest.approx(prediction.value, abs=1e-5)
        assert prediction.if_known_high == pytest.approx(prediction.value, abs=1e-5)
        assert prediction.unknown == ()


def test_the_golden_questions_are_the_models_answers(model: Model, model_folder: Path) -> None:
    """A few dozen questions in the host's format, whole and partial; the served model gives each answer."""
    content = json.loads((model_folder / "golden.json").read_bytes())
    assert (content["format"], content["path"], content["content_type"]) == (1, "/invocations", "application/json")
    assert 24 <= len(content["questions"]) <= 60
    holes = {len(question["body"]) for question in content["questions"]}
    assert {1, 3, 13} <= holes
    for question in content["questions"]:
        [expected] = question["expected"]["predictions"]
        [prediction] = model.predict([question["body"]])
        assert prediction.value == pytest.approx(expected["probability"], abs=1e-6)
        assert list(prediction.unknown) == expected["unknown"]


def test_what_the_build_exports_is_what_the_card_says(card: Card, model_folder: Path) -> None:
    """metrics.env has the four figures and the model's hash, each on a line that a shell can export."""
    lines = (model_folder / "metrics.env").read_text(encoding="utf-8").splitlines()
    figures = {name.upper(): str(found.value) for name, found in card.metrics.items()}
    assert dict(line.split("=", 1) for line in lines) == {**figures, "MODEL_SHA256": card.sha256}
    assert list(figures) == ["ROC_AUC", "LOG_LOSS", "BRIER", "ECE"]


def test_unusable_data_write_nothing(tmp_path: Path) -> None:
    """A training that cannot begin leaves no files."""
    data = tmp_path / "heart.csv"
    data.write_text(DATA.read_text(encoding="utf-8").replace("63,1,1,145", "163,1,1,145", 1), encoding="utf-8")
    with pytest.raises(UnusableData, match="line 2: age is '163'"):
        train.train(data, SETTINGS, tmp_path / "out", "0123abc", NOW)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [("--data", "none.csv"), ("--settings", "none.toml")])
def test_the_command_ends_in_a_sentence(
    words: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing file is named, together with the option for another file."""
    monkeypatch.setattr(sys, "argv", ["train.py", *words, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        train.main()
    assert str(ended.value.code).startswith(f"train.py: {words[1]}: ")
    assert words[0] in str(ended.value.code)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}'])
def test_an_unreadable_card_says_how_to_make_one(tmp_path: Path, content: str) -> None:
    """An unreadable card gives a message with the command that makes one."""
    (tmp_path / "model-card.json").write_text(content, encoding="utf-8")
    with pytest.raises(UnusableModel, match=r"python train\.py"):
        read_card(tmp_path)


def test_a_card_and_a_model_of_two_trainings_are_refused(model_folder: Path, tmp_path: Path) -> None:
    """A model file that does not belong to the card is not served."""
    (tmp_path / "model-card.json").write_bytes((model_folder / "model-card.json").read_bytes())
    (tmp_path / "model.onnx").write_bytes((model_folder / "model.onnx").read_bytes() + b"\0")
    with pytest.raises(UnusableModel, match="they were not made together"):
        load(tmp_path)
