"""A model's figures against floors and against the live release's."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from esteira.config import Gate
from esteira.gates import refusals

ROC = {"roc_auc": Gate(min=0.85, max_drop=0.01)}


@pytest.mark.parametrize(
    ("mine", "live", "words"),
    [
        ({"ROC_AUC": "0.90"}, {}, []),
        ({"ROC_AUC": "0.85"}, {}, []),
        ({"ROC_AUC": "0.84"}, {}, ["roc_auc is 0.84, below 0.85"]),
        ({"ROC_AUC": "0.90"}, {"ROC_AUC": "0.91"}, []),  # a hundredth below is as far as it may
        ({"ROC_AUC": "0.90"}, {"ROC_AUC": "0.92"}, ["more than 0.01 below the live 0.92"]),
        ({"roc_auc": "0.80"}, {"ROC_AUC": "0.92"}, ["below 0.85", "below the live 0.92"]),
        ({"ROC_AUC": "0.90"}, {"ROC_AUC": "unknown"}, []),  # nothing to compare with
        ({"ROC_AUC": "nan"}, {}, ["which is no number"]),
        ({"ROC_AUC": "good"}, {}, ["exported roc_auc=good, which is no number"]),
        ({"ACCURACY": "0.9"}, {}, ["exported no roc_auc"]),
        ({}, {"ROC_AUC": "0.9"}, ["exported no roc_auc"]),
    ],
)
def test_a_figure_passes_or_says_why_not(mine: dict[str, str], live: dict[str, str], words: list[str]) -> None:
    found = refusals(ROC, mine, live)
    assert len(found) == len(words)
    assert all(word in said for word, said in zip(words, found, strict=True))


def test_what_should_be_small_has_a_ceiling_and_may_not_rise() -> None:
    gates = {"log_loss": Gate(max=0.5, max_rise=0.02)}
    assert refusals(gates, {"LOG_LOSS": "0.42"}, {"LOG_LOSS": "0.40"}) == ()
    assert len(refusals(gates, {"LOG_LOSS": "0.55"}, {"LOG_LOSS": "0.40"})) == 2


@pytest.mark.parametrize("said", [{}, {"max_drop": -1}, {"minimum": 1}])
def test_a_gate_that_asks_for_nothing_or_nonsense_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Gate(**said)
