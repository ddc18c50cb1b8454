"""The model that this repository trains, whatever it is about. All other tests look at data of their own."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import HERE, ORIGIN, Ask, asking

import gate
import train
from serving.app import create_app
from serving.card import FIGURES
from serving.form import document
from serving.model import Model, load
from serving.words import WORDS, read_words


@pytest.fixture(scope="module")
def this_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the model's files. A build names it in MODEL_FOLDER, since it has trained the model already."""
    if folder := os.environ.get("MODEL_FOLDER"):
        return HERE / folder
    out = tmp_path_factory.mktemp("this") / "models"
    train.train(train._data(), HERE / "model.toml", out, "0123abc", datetime(2026, 11, 23, tzinfo=UTC))
    return out


@pytest.fixture(scope="module")
def this(this_folder: Path) -> Model:
    return load(this_folder)


@pytest.fixture
def asked(this: Model) -> Ask:
    return asking(create_app(this, ORIGIN))


def near(told: Any, wanted: Any, tolerance: float) -> bool:
    """Whether each leaf of ``wanted`` is in ``told``, as the host compares golden answers."""
    if isinstance(wanted, dict):
        return all(near(told[name], value, tolerance) for name, value in wanted.items())
    if isinstance(wanted, list):
        return len(told) == len(wanted) and all(map(near, told, wanted, [tolerance] * len(wanted)))
    return bool(told == wanted or abs(told - wanted) <= tolerance)


def test_it_gives_its_golden_answers(asked: Ask, this_folder: Path) -> None:
    """The host asks these questions before a release takes traffic."""
    questions = json.loads((this_folder / "golden.json").read_bytes())["questions"]
    assert len(questions) >= 10
    for question in questions:
        told = asked("POST", "/invocations", json.dumps(question["body"]).encode(), content_type="application/json")
        assert near(told.json, question["expected"], question["tolerance"]), question


def test_it_is_better_than_no_model(this: Model) -> None:
    """Tossing a coin, always the most frequent class, or the mean is worse on rows that it has not seen."""
    figures, counts = this.card.metrics, this.card.data.counts
    low = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "r2"}[this.card.task]
    floor = {"binary": 0.5, "multiclass": max(counts, default=0) / this.card.data.rows, "regression": 0.0}
    assert figures[low].low > floor[this.card.task]


def test_the_build_exports_its_figures(this: Model, this_folder: Path) -> None:
    """metrics.env has the figures of its task and the model's hash, for buildspec.yml and the next gate."""
    lines = dict(line.split("=", 1) for line in (this_folder / "metrics.env").read_text(encoding="utf-8").splitlines())
    assert lines.pop("MODEL_SHA256") == this.card.sha256
    assert tuple(lines) == tuple(name.upper() for name in FIGURES[this.card.task])
    buildspec = (HERE / "buildspec.yml").read_text(encoding="utf-8")
    assert [name for name in lines if f"- {name}\n" not in buildspec] == []


def test_its_own_figures_pass_its_gate(this: Model, this_folder: Path) -> None:
    """A push that changes nothing is not refused."""
    from training.settings import read_settings

    live = gate.live_card(this_folder / "model-card.json")
    assert gate.judged(this.card, live, read_settings(HERE / "model.toml").gate) == 0


def test_the_page_asks_for_its_features_in_each_language(this: Model, this_folder: Path) -> None:
    """Every feature has its label from words.toml, and the title is the model's."""
    spoken, groups = read_words(this_folder / WORDS, this.card)
    for lang, words in spoken.items():
        text = str(document(this.card, spoken, groups, lang, "v"))
        assert words.of.title in text
        for feature in this.card.features:
            assert f'id="{feature.name}-help"' in text
            assert words.label(feature.name) != "", feature.name
