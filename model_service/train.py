"""Trains the model: ``python train.py`` reads data/raw/heart.csv and model.toml and writes models/.

It compares the candidates (training/candidates.py) on held-out patients, keeps the best by log loss, and writes

    models/model.onnx        the model; the same commit gives the same bytes
    models/model-card.json   all that is known of it (serving/card.py)
    models/golden.json       questions with their answers, which the host asks before a release takes traffic
    models/metrics.env       the main figures and the model's hash, for the build to export
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.card import Card

HERE = Path(__file__).parent


def train(data: Path, settings_file: Path, out: Path, commit: str, trained_at: datetime) -> Card:
    """Train, write the four files into ``out``, and return the card.

    Raises UnusableData or UnusableSettings before anything is written.
    """
    from serving.card import CARD, MODEL, Candidate, Card, Data, Partial
    from serving.model import load
    from training.candidates import CANDIDATES
    from training.data import completed, read
    from training.described import described
    from training.evaluation import calibration, held_out, held_out_partly, log_loss, metrics, patients
    from training.export import export
    from training.golden import golden
    from training.marginal import CLOSENESS, Marginal
    from training.settings import read_settings

    settings = read_settings(settings_file)
    table = read(data, settings)
    answers = {name: held_out(candidate, table, settings) for name, candidate in CANDIDATES.items()}
    tried = {name: metrics(found, table.targets) for name, found in answers.items()}
    kept = min(tried, key=lambda name: tried[name].log_loss.value)

    partly = {
        label: held_out_partly(CANDIDATES[kept], table, settings, known, CLOSENESS)
        for label, known in settings.known.items()
    }
    losses = [sum(log_loss(found[at], table.targets) for found in partly.values()) for at in range(len(CLOSENESS))]
    best = losses.index(min(losses))

    inputs = completed(table.inputs, settings)
    fitted = CANDIDATES[kept](settings).fit(inputs, table.targets)
    model = export(Marginal(fitted, inputs, settings, CLOSENESS[best]))
    card = Card(
        name=settings.model.name,
        kind=kept,
        means=settings.model.means,
        threshold=settings.model.threshold,
        limits=settings.model.limits,
        commit=commit,
        trained_at=trained_at,
        sha256=hashlib.sha256(model).hexdigest(),
        data=Data(rows=len(table.targets), ill=int(table.targets.sum()), sha256=table.sha256),
        features=described(table.inputs, settings),
        metrics=tried[kept],
        candidates=tuple(Candidate(name=name, kept=name == kept, metrics=tried[name]) for name in tried),
        partial=tuple(
            Partial(name=label, known=settings.known[label], metrics=metrics(found[best : best + 1], table.targets))
            for label, found in partly.items()
        ),
        calibration=calibration(answers[kept], table.targets),
        patients=patients(answers[kept], table.targets),
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / MODEL).write_bytes(model)
    _write(out / CARD, card.model_dump_json(indent=1))
    _write(out / "golden.json", golden(load(out), table, settings))
    figures = {name.upper(): estimate["value"] for name, estimate in card.metrics.model_dump().items()}
    exported = {**figures, "MODEL_SHA256": card.sha256}
    _write(out / "metrics.env", "\n".join(f"{name}={value}" for name, value in exported.items()))
    return card


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def main() -> None:
    """The command."""
    options = argparse.ArgumentParser(description="Train the model and write models/.")
    options.add_argument("--data", type=Path, default=HERE / "data/raw/heart.csv", metavar="FILE", help="the CSV")
    options.add_argument("--settings", type=Path, default=HERE / "model.toml", metavar="FILE", help="what it is about")
    options.add_argument("--out", type=Path, default=HERE / "models", metavar="DIR", help="where the model goes")
    chosen = options.parse_args()
    try:
        from training.data import UnusableData
        from training.settings import UnusableSettings
    except ModuleNotFoundError as error:
        sys.exit(f"train.py: {error.name} is not installed. Type: pip install -r requirements-build.txt")
    try:
        card = train(chosen.data, chosen.settings, chosen.out, _commit(), _now())
    except (UnusableData, UnusableSettings) as error:
        sys.exit(f"train.py: {error}")
    except ModuleNotFoundError as error:
        sys.exit(f"train.py: {error.name} is not installed. Type: pip install -r requirements-build.txt")
    _report(card, chosen.out)


def _commit() -> str:
    return os.environ.get("COMMIT") or os.environ.get("CODEBUILD_RESOLVED_SOURCE_VERSION") or "unknown"


def _now() -> datetime:
    """Now, or the time a reproducible build names (reproducible-builds.org/specs/source-date-epoch)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC).replace(microsecond=0)


def _report(card: Card, out: Path) -> None:
    print(f"{card.data.rows} patients, {card.data.ill} ill; data sha256 {card.data.sha256[:12]}")
    print(f"{'held-out figures':38} {'ROC AUC':>8} {'log loss':>9} {'Brier':>7} {'ECE':>7}")
    lines = [(f"{'* ' if c.kept else '  '}{c.name}", c.metrics) for c in card.candidates]
    lines += [(f"  only what is known {part.name}", part.metrics) for part in card.partial]
    for name, m in lines:
        print(f"{name:38} {m.roc_auc.value:8.4f} {m.log_loss.value:9.4f} {m.brier.value:7.4f} {m.ece.value:7.4f}")
    print(f"kept: {card.kind}, in {out}, model sha256 {card.sha256[:12]}")


if __name__ == "__main__":
    main()
