"""Trains the model: ``python train.py`` reads data/raw/heart.csv and model.toml and writes models/.

It compares the candidates (training/candidates.py) on held-out patients, keeps the one with the lowest log loss, and
writes

    models/model.onnx        the model; the same commit gives the same bytes
    models/model-card.json   everything that is known about it (serving/card.py)
    models/golden.json       questions with their answers; the host asks them before a release takes traffic
    models/metrics.env       the main figures and the model's hash, for the build to export

With a cache folder (``--cache`` or ESTEIRA_MODEL_CACHE) it does not train again what it has trained before.
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
    import numpy as np

    from serving.card import Card, Metrics, Partial
    from training.candidates import Candidate
    from training.data import Table
    from training.settings import Settings

HERE = Path(__file__).parent


def train(
    data: Path, settings_file: Path, out: Path, commit: str, trained_at: datetime, cache: Path | None = None
) -> Card:
    """Train the model, or take it from ``cache``, and write the four files into ``out``. The result is the card.

    Raises UnusableData or UnusableSettings before anything is written.
    """
    from serving.card import CARD, Card
    from training.cache import keep, kept, key
    from training.data import read
    from training.settings import read_settings

    settings = read_settings(settings_file)
    table = read(data, settings)
    name = key(data, settings_file) if cache else ""
    files = kept(cache, name) if cache else None
    if files is None:
        files = trained(table, settings)
        if cache:
            try:
                keep(cache, name, files)
            except OSError as error:
                print(f"train.py: cannot write to the cache {cache} ({error.strerror}); name another with --cache DIR")
    else:
        print(f"train.py: nothing that the model depends on has changed, so it is taken from {cache}")
    card = Card.model_validate_json(files[CARD]).model_copy(update={"commit": commit, "trained_at": trained_at})
    out.mkdir(parents=True, exist_ok=True)
    for file, content in {**files, CARD: _text(card.model_dump_json(indent=1))}.items():
        (out / file).write_bytes(content)
    return card


def trained(table: Table, settings: Settings) -> dict[str, bytes]:
    """The four files of a new training. The card has no commit and no time yet."""
    from serving.card import CARD, MODEL
    from serving.model import Model, session
    from training.candidates import CANDIDATES
    from training.data import completed
    from training.evaluation import held_out, metrics
    from training.export import export
    from training.golden import golden
    from training.marginal import Marginal

    answers = {name: held_out(candidate, table, settings) for name, candidate in CANDIDATES.items()}
    figures = {name: metrics(found, table.targets) for name, found in answers.items()}
    kind = min(figures, key=lambda name: figures[name].log_loss.value)
    closeness, partial = _partly_known(CANDIDATES[kind], table, settings)
    inputs = completed(table.inputs, settings)
    fitted = CANDIDATES[kind](settings).fit(inputs, table.targets)
    model = export(Marginal(fitted, inputs, settings, closeness))
    card = _card(model, kind, figures, answers[kind], partial, table, settings)
    exported = {name.upper(): estimate["value"] for name, estimate in card.metrics.model_dump().items()}
    exported["MODEL_SHA256"] = card.sha256
    return {
        MODEL: model,
        CARD: _text(card.model_dump_json()),
        "golden.json": _text(golden(Model(card, session(model)), table, settings)),
        "metrics.env": _text("\n".join(f"{name}={value}" for name, value in exported.items())),
    }


def _partly_known(candidate: Candidate, table: Table, settings: Settings) -> tuple[float, tuple[Partial, ...]]:
    """The closeness with the lowest log loss over all sets of known features, and the figures for each set."""
    from serving.card import Partial
    from training.evaluation import held_out_partly, log_loss, metrics
    from training.marginal import CLOSENESS

    answers = {
        label: held_out_partly(candidate, table, settings, known, CLOSENESS) for label, known in settings.known.items()
    }
    losses = [sum(log_loss(found[at], table.targets) for found in answers.values()) for at in range(len(CLOSENESS))]
    best = losses.index(min(losses))
    return CLOSENESS[best], tuple(
        Partial(name=label, known=settings.known[label], metrics=metrics(found[best : best + 1], table.targets))
        for label, found in answers.items()
    )


def _card(
    model: bytes,
    kind: str,
    figures: dict[str, Metrics],
    answers: np.ndarray,
    partial: tuple[Partial, ...],
    table: Table,
    settings: Settings,
) -> Card:
    from serving.card import Candidate, Card, Data
    from training.described import described
    from training.evaluation import calibration, patients

    return Card(
        name=settings.model.name,
        kind=kind,
        means=settings.model.means,
        threshold=settings.model.threshold,
        limits=settings.model.limits,
        commit="",
        trained_at=datetime.fromtimestamp(0, UTC),
        sha256=hashlib.sha256(model).hexdigest(),
        data=Data(rows=len(table.targets), ill=int(table.targets.sum()), sha256=table.sha256),
        features=described(table.inputs, settings),
        metrics=figures[kind],
        candidates=tuple(Candidate(name=name, kept=name == kind, metrics=figures[name]) for name in figures),
        partial=partial,
        calibration=calibration(answers, table.targets),
        patients=patients(answers, table.targets),
    )


def _text(content: str) -> bytes:
    return f"{content}\n".encode()


def main() -> None:
    """The command."""
    options = argparse.ArgumentParser(description="Train the model and write models/.")
    options.add_argument("--data", type=Path, default=HERE / "data/raw/heart.csv", metavar="FILE", help="the CSV")
    options.add_argument("--settings", type=Path, default=HERE / "model.toml", metavar="FILE", help="what it is about")
    options.add_argument("--out", type=Path, default=HERE / "models", metavar="DIR", help="where the model goes")
    options.add_argument(
        "--cache",
        type=Path,
        default=os.environ.get("ESTEIRA_MODEL_CACHE") or None,
        metavar="DIR",
        help="a folder that keeps results for the next training; default: ESTEIRA_MODEL_CACHE, else no cache",
    )
    chosen = options.parse_args()
    try:
        from training.data import UnusableData
        from training.settings import UnusableSettings
    except ModuleNotFoundError as error:
        sys.exit(f"train.py: {error.name} is not installed. Type: pip install -r requirements-build.txt")
    try:
        card = train(chosen.data, chosen.settings, chosen.out, _commit(), _now(), chosen.cache)
    except (UnusableData, UnusableSettings) as error:
        sys.exit(f"train.py: {error}")
    except ModuleNotFoundError as error:
        sys.exit(f"train.py: {error.name} is not installed. Type: pip install -r requirements-build.txt")
    _report(card, chosen.out)


def _commit() -> str:
    return os.environ.get("COMMIT") or os.environ.get("CODEBUILD_RESOLVED_SOURCE_VERSION") or "unknown"


def _now() -> datetime:
    """The current time, or the time of a reproducible build (reproducible-builds.org/specs/source-date-epoch)."""
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
