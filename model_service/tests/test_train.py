from __future__ import annotations

import math
from pathlib import Path

import pytest

import train
from heart.model import Model, UnusableModel, load


def test_the_same_data_give_the_same_bytes(model_file: Path, tmp_path: Path) -> None:
    """Training twice writes the same file, byte for byte."""
    train.train(train.DATA, tmp_path)
    assert (tmp_path / "model.json").read_bytes() == model_file.read_bytes()


def test_the_served_model_is_the_trained_one(model: Model) -> None:
    """The plain arithmetic gives scikit-learn's probability for every patient, those with missing values too."""
    inputs, targets = train.read(train.DATA)
    wanted = train.pipeline().fit(inputs, targets).predict_proba(inputs)[:, 1]
    for row, probability in zip(inputs, wanted, strict=True):
        record = {name: None if math.isnan(value) else value for name, value in zip(train.NAMES, row, strict=True)}
        assert model.refuses(record) == []
        assert model.predict(record).probability == pytest.approx(probability, abs=1e-6)


def test_the_model_has_learned_something(model: Model) -> None:
    """Held-out patients are ordered well and their probabilities beat the share of the diseased, 0.69 nats."""
    assert model.metrics["roc_auc"] > 0.85
    assert model.metrics["log_loss"] < 0.5


def test_the_exported_figures_are_the_models(model: Model, model_file: Path) -> None:
    """metrics.env, which the build exports, says what model.json says."""
    lines = (model_file.parent / "metrics.env").read_text().splitlines()
    assert lines == [f"ROC_AUC={model.metrics['roc_auc']}", f"LOG_LOSS={model.metrics['log_loss']}"]


@pytest.mark.parametrize(
    ("found", "replacement", "sentence"),
    [
        ("63,1,1,145", "163,1,1,145", "line 2: age is '163', allowed is 18 to 110 years"),
        ("63,1,1,145", "63,1,5,145", "line 2: cp is '5', allowed is one of"),
        ("63,1,1,145", "63,1,1,high", "line 2: trestbps is 'high'"),
        (",6,0\n", ",6,4\n", "line 2: target is '4', allowed is 0 or 1"),
        ("age,sex", "sex,age", "the first line must be age,sex"),
    ],
)
def test_bad_data_are_refused(tmp_path: Path, found: str, replacement: str, sentence: str) -> None:
    """A value that cannot be stops the training and is named with its line."""
    data = tmp_path / "heart.csv"
    data.write_text(train.DATA.read_text().replace(found, replacement, 1))
    with pytest.raises(train.UnusableData, match=sentence):
        train.train(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}'])
def test_an_unreadable_model_says_how_to_make_one(tmp_path: Path, content: str) -> None:
    """A model file that is none ends in a sentence with the command that makes one."""
    path = tmp_path / "model.json"
    path.write_text(content)
    with pytest.raises(UnusableModel, match=r"python train\.py"):
        load(path)
