"""The build's gate: which figures pass in comparison with the live release, and the messages."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SETTINGS

import gate
from serving.card import Card
from training.settings import Tolerance

FIGURES = {"roc_auc": 0.91, "log_loss": 0.37, "brier": 0.11, "ece": 0.04}
Run = Callable[..., int]
ALLOWED = {"roc_auc": Tolerance(max_drop=0.01), "log_loss": Tolerance(max_rise=0.02)}


@pytest.fixture(scope="module")
def card(model_folder: Path) -> Card:
    """The trained model's card, with round figures."""
    content = json.loads((model_folder / "model-card.json").read_bytes())
    content["metrics"] = {name: {"value": value, "low": 0, "high": 1} for name, value in FIGURES.items()}
    return Card.model_validate_json(json.dumps(content))


def live(**figures: object) -> gate.Live:
    return gate.live_from({"ESTEIRA_LIVE_RELEASE": "v16", **{f"ESTEIRA_LIVE_{n}": str(v) for n, v in figures.items()}})


@pytest.mark.parametrize(
    ("figures", "status"),
    [
        ({"ROC_AUC": 0.91, "LOG_LOSS": 0.37}, 0),
        ({"ROC_AUC": 0.92, "LOG_LOSS": 0.35}, 0),  # worse by exactly what is allowed
        ({"ROC_AUC": 0.9201, "LOG_LOSS": 0.37}, 1),
        ({"ROC_AUC": 0.91, "LOG_LOSS": 0.3499}, 1),
        ({"ROC_AUC": 0.5, "LOG_LOSS": 0.7}, 0),  # better
        ({"BRIER": 0.01, "ECE": 0.001}, 0),  # worse, and not judged
        ({"ROC_AUC": "", "LOG_LOSS": 0.37}, 0),  # the live one has no such figure
        ({"BRIER": "none", "MODEL_SHA256": "c0ffee"}, 0),
        ({}, 0),
    ],
)
def test_only_what_is_worse_by_more_than_allowed_stays_out(
    card: Card, capsys: pytest.CaptureFixture[str], figures: dict[str, object], status: int
) -> None:
    """A drop of a figure that should be high or a rise of one that should be low, beyond model.toml's limit."""
    assert gate.judged(card, live(**figures), ALLOWED) == status
    said = capsys.readouterr()
    assert ("TOO MUCH WORSE" in said.out) == (status == 1)
    assert ("the live release stays. Next:" in said.err) == (status == 1)


def test_both_figures_stand_side_by_side(card: Card, capsys: pytest.CaptureFixture[str]) -> None:
    """In any case the table has each figure of both models, the difference and the limit."""
    gate.judged(card, live(ROC_AUC=0.9347, LOG_LOSS=0.36), ALLOWED)
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = [[cell.strip() for cell in line if cell] for line in lines]
    assert cells[:4] == [
        ["Live is v16."],
        ["figure", "live", "this one", "difference", "allowed"],
        ["roc_auc", "0.9347", "0.9100", "-0.0247", "0.0100 lower", "TOO MUCH WORSE"],
        ["log_loss", "0.3600", "0.3700", "+0.0100", "0.0200 higher"],
    ]
    assert cells[4] == ["brier", "-", "0.1100", "-", "not judged"]


def test_without_a_live_release_the_gate_passes_and_says_so(card: Card, capsys: pytest.CaptureFixture[str]) -> None:
    """The first release has no live one to be compared with."""
    assert gate.judged(card, gate.live_from({"PATH": "/bin"}), ALLOWED) == 0
    assert "nothing is live to compare with" in capsys.readouterr().out


def test_a_figure_that_the_live_release_lacks_passes(card: Card, capsys: pytest.CaptureFixture[str]) -> None:
    """An older release that exported fewer figures does not block the next one."""
    assert gate.judged(card, live(ROC_AUC=0.91), ALLOWED) == 0
    assert "It lacks log_loss, brier, ece" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["good", "nan", "inf", "0,91"])
def test_a_figure_that_is_no_number_is_not_passed_over(card: Card, value: str) -> None:
    """A figure that has a limit but is not a number ends the build with the value and the next step."""
    with pytest.raises(gate.Incomparable, match=f"roc_auc of v16 is '{value}', which is not a number. Next: "):
        gate.judged(card, live(ROC_AUC=value), ALLOWED)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs the command and gives its exit status."""

    def called(*words: str, **environment: str) -> int:
        for name in [name for name in os.environ if name.startswith(gate.PREFIX)]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["gate.py", "--settings", str(SETTINGS), *words])
        return gate.main()

    return called


def test_the_command_compares_with_what_the_controller_says(run: Run, model_folder: Path) -> None:
    """It passes if nothing is live, fails if the live one is better, and cannot compare a word."""
    this = ("--card", str(model_folder / "model-card.json"))
    assert run(*this) == 0
    assert run(*this, ESTEIRA_LIVE_RELEASE="v16", ESTEIRA_LIVE_ROC_AUC="0.99") == 1
    assert run(*this, ESTEIRA_LIVE_RELEASE="v16", ESTEIRA_LIVE_ROC_AUC="high") == 2


def test_the_command_compares_two_cards(run: Run, model_folder: Path, tmp_path: Path, card: Card) -> None:
    """By hand a card replaces the live release, whatever the controller's variables are."""
    this, better = str(model_folder / "model-card.json"), tmp_path / "card.json"
    content = json.loads(card.model_dump_json())
    content["metrics"]["roc_auc"]["value"] = 0.99
    better.write_text(json.dumps(content), encoding="utf-8")
    assert run("--card", this, "--live", this, ESTEIRA_LIVE_RELEASE="v16", ESTEIRA_LIVE_ROC_AUC="0.99") == 0
    assert run("--card", this, "--live", str(better)) == 1
    assert run("--card", str(better), "--live", this) == 0


def test_what_is_no_card_is_named(
    run: Run, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No card, a file that is not a card, and no settings each have a message with the file and the next step."""
    this = ("--card", str(model_folder / "model-card.json"))
    wrong = {
        "Make it with: python train.py": ("--card", str(tmp_path / "none.json")),
        "Name another with --live": (*this, "--live", str(model_folder / "golden.json")),
        "name another with --settings": (*this, "--settings", str(tmp_path / "none.toml")),
    }
    for sentence, words in wrong.items():
        assert run(*words) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"gate.py: {'no card at ' if 'train.py' in sentence else ''}{words[-1]}"), said
        assert sentence in said
