"""Trains the heart model: ``python train.py`` reads data/raw/heart.csv and writes models/model.json.

The same data gives the same bytes: nothing random is left open, the solver runs to convergence, and the numbers are
rounded past what matters. The file holds plain coefficients, so the service that reads it needs no scikit-learn.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DATA = HERE / "data" / "raw" / "heart.csv"
MODELS = HERE / "models"
TARGET = "target"

# The model's inputs, in the order of the data. A measure: unit, lowest and highest value the service accepts (what a
# living adult can have, wider than the data). A choice: UCI's codes, explained in data/README.md.
MEASURES: dict[str, tuple[str, float, float]] = {
    "age": ("years", 18, 110),
    "trestbps": ("mm Hg", 60, 260),
    "chol": ("mg/dl", 80, 700),
    "thalach": ("beats per minute", 50, 240),
    "oldpeak": ("mm", 0, 10),
}
CHOICES: dict[str, tuple[int, ...]] = {
    "sex": (0, 1),
    "cp": (1, 2, 3, 4),
    "fbs": (0, 1),
    "restecg": (0, 1, 2),
    "exang": (0, 1),
    "slope": (1, 2, 3),
    "ca": (0, 1, 2, 3),
    "thal": (3, 6, 7),
}
NAMES = ["age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal"]

REGULARISATION = 1.0  # scikit-learn's C: smaller holds the coefficients closer to zero
FOLDS = 10
SEED = 1989  # the year of the data's paper; it only deals the rows to the folds
DIGITS = 10  # kept of a coefficient: enough for the prediction, too few for a library's last bits to show

Rows = list[list[float]]


class UnusableData(Exception):  # noqa: N818 - it is said as a sentence
    """The training data cannot be used; the message names line, column and value."""


def read(path: Path) -> tuple[Rows, list[int]]:
    """The inputs in the order of NAMES, a missing one as NaN, and the target (0 or 1) of every row."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file)
            if table.fieldnames != [*NAMES, TARGET]:
                raise UnusableData(f"{path}: the first line must be {','.join([*NAMES, TARGET])}")
            rows = list(table)
    except OSError as error:
        raise UnusableData(f"{path}: {error.strerror}. Name the file with --data FILE") from error
    numbered = list(enumerate(rows, start=2))
    inputs = [[_cell(path, line, row, name) for name in NAMES] for line, row in numbered]
    return inputs, [_target(path, line, row) for line, row in numbered]


def _cell(path: Path, line: int, row: dict[str, str], name: str) -> float:
    text = row[name]
    if text == "":
        return float("nan")
    try:
        value = float(text)
    except (TypeError, ValueError):  # TypeError: the line ended early
        value = float("inf")
    if name in CHOICES:
        fits, allowed = value in CHOICES[name], f"one of {CHOICES[name]}"
    else:
        unit, low, high = MEASURES[name]
        fits, allowed = low <= value <= high, f"{low:g} to {high:g} {unit}"
    if not fits:
        raise UnusableData(
            f"{path} line {line}: {name} is {text!r}, allowed is {allowed}. "
            "Correct the row, empty the cell, or widen what train.py allows"
        )
    return value


def _target(path: Path, line: int, row: dict[str, str]) -> int:
    if row[TARGET] not in ("0", "1"):
        raise UnusableData(f"{path} line {line}: {TARGET} is {row[TARGET]!r}, allowed is 0 or 1. Correct the row")
    return int(row[TARGET])


def pipeline() -> Any:
    """The untrained scikit-learn pipeline: imputation, scaling, one-hot, logistic regression."""
    from sklearn.compose import ColumnTransformer  # type: ignore[import-untyped]
    from sklearn.impute import SimpleImputer  # type: ignore[import-untyped]
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
    from sklearn.preprocessing import OneHotEncoder, StandardScaler  # type: ignore[import-untyped]

    codes = [list(map(float, CHOICES[name])) for name in CHOICES]
    prepare = ColumnTransformer(
        [
            ("measures", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), _columns(MEASURES)),
            (
                "choices",
                make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(categories=codes)),
                _columns(CHOICES),
            ),
        ],
        sparse_threshold=0,
    )
    # newton-cholesky ends at the optimum itself and not somewhere near it, which keeps the file the same everywhere
    return make_pipeline(prepare, LogisticRegression(C=REGULARISATION, solver="newton-cholesky", tol=1e-10))


def _columns(names: dict[str, Any]) -> list[int]:
    return [NAMES.index(name) for name in names]


def measure(inputs: Rows, targets: list[int]) -> dict[str, float]:
    """The means over FOLDS held-out folds: area under the ROC curve, log loss (nats)."""
    from sklearn.model_selection import StratifiedKFold, cross_validate  # type: ignore[import-untyped]

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    scores = cross_validate(pipeline(), inputs, targets, cv=folds, scoring=["roc_auc", "neg_log_loss"])
    return {
        "roc_auc": round(float(scores["test_roc_auc"].mean()), 4),
        "log_loss": round(-float(scores["test_neg_log_loss"].mean()), 4),
    }


def plain(fitted: Any, inputs: Rows) -> tuple[float, list[dict[str, Any]]]:
    """The fitted pipeline as plain numbers: the intercept, and one entry per feature as heart/model.py reads it.

    The scaling is folded in: a measure's slope is per unit, and what its mean takes away goes to the intercept.
    """
    prepare, regression = fitted.named_steps["columntransformer"], fitted.named_steps["logisticregression"]
    measures, choices = prepare.named_transformers_["measures"], prepare.named_transformers_["choices"]
    scaler = measures.named_steps["standardscaler"]
    coefficients = iter(map(float, regression.coef_[0]))
    intercept = float(regression.intercept_[0])
    features: dict[str, dict[str, Any]] = {}
    for (name, (unit, low, high)), fill, mean, scale in zip(
        MEASURES.items(), _fills(measures), scaler.mean_, scaler.scale_, strict=True
    ):
        slope = next(coefficients) / float(scale)
        intercept -= slope * float(mean)
        features[name] = {
            "name": name, "kind": "measure", "unit": unit, "low": low, "high": high,
            "seen": _seen(inputs, name), "fill": fill, "slope": round(slope, DIGITS),
        }  # fmt: skip
    for (name, codes), fill in zip(CHOICES.items(), _fills(choices), strict=True):
        weights = {str(code): round(next(coefficients), DIGITS) for code in codes}
        features[name] = {"name": name, "kind": "choice", "fill": fill, "weights": weights}
    return round(intercept, DIGITS), [features[name] for name in NAMES]


def _fills(transformer: Any) -> list[float]:
    return [float(value) for value in transformer.named_steps["simpleimputer"].statistics_]


def _seen(inputs: Rows, name: str) -> list[float]:
    values = [row[NAMES.index(name)] for row in inputs]
    present = [value for value in values if value == value]  # NaN is not equal to itself
    return [min(present), max(present)]


def train(data: Path, out: Path) -> dict[str, Any]:
    """Reads ``data``, writes ``out``/model.json and ``out``/metrics.env, and returns what model.json holds."""
    inputs, targets = read(data)
    intercept, features = plain(pipeline().fit(inputs, targets), inputs)
    metrics = measure(inputs, targets)
    model = {
        "format": 1,
        "kind": "logistic regression",
        "target": "heart disease: a major vessel narrowed by more than 50 %",
        "intercept": intercept,
        "features": features,
        "metrics": metrics,
        "rows": len(targets),
        "data_sha256": hashlib.sha256(data.read_bytes()).hexdigest(),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "model.json").write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8", newline="\n")
    (out / "metrics.env").write_text(
        "".join(f"{name.upper()}={value}\n" for name, value in metrics.items()), encoding="utf-8"
    )
    return model


def main() -> None:
    options = argparse.ArgumentParser(description="Train the heart model and write models/model.json.")
    options.add_argument("--data", type=Path, default=DATA, metavar="FILE", help="the CSV to learn from")
    options.add_argument("--out", type=Path, default=MODELS, metavar="DIR", help="where model.json goes")
    chosen = options.parse_args()
    try:
        model = train(chosen.data, chosen.out)
    except UnusableData as error:
        sys.exit(f"train.py: {error}")
    except ModuleNotFoundError as error:
        sys.exit(f"train.py: {error.name} is not installed. Type: pip install -r requirements-build.txt")
    metrics = model["metrics"]
    print(f"{chosen.out / 'model.json'}: {model['rows']} rows, data sha256 {model['data_sha256'][:12]}")
    print(f"cross-validated, {FOLDS} folds: ROC AUC {metrics['roc_auc']}, log loss {metrics['log_loss']}")


if __name__ == "__main__":
    main()
