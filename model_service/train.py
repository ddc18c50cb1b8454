"""Trains the model: ``python train.py`` reads data/raw/*.csv and model.toml and writes models/.

It compares the candidates (training/candidates.py) on held-out rows, keeps the one with the lowest log loss or, for a
regression, squared error, and writes

    models/model.onnx        the model; the same commit gives the same bytes
    models/model-card.json   everything that is known about it (serving/card.py)
    models/golden.json       questions with their answers; the host asks them before a release takes traffic
    models/words.toml        what the page says about it: words.toml, checked against model.toml (wording.py)
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
DECIDES = {"binary": "log_loss", "multiclass": "log_loss", "regression": "rmse"}  # between the candidates


def train(
    data: Path, settings_file: Path, out: Path, commit: str, trained_at: datetime, cache: Path | None = None
) -> Card:
    """Train the model, or take it from ``cache``, and write the five files into ``out``. The result is the card.

    Raises UnusableData, UnusableSettings or UnusableWords before anything is written. words.toml lies beside the
    settings.
    """
    from serving.card import CARD, Card
    from training.cache import keep, kept, key
    from training.data import read
    from training.settings import read_settings
    from wording import checked

    settings = read_settings(settings_file)
    words = checked(settings, settings_file)
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
    for file, content in {**files, **words, CARD: _text(card.model_dump_json(indent=1))}.items():
        (out / file).write_bytes(content)
    return card


def trained(table: Table, settings: Settings) -> dict[str, bytes]:
    """The four files of a new training. The card has no commit and no time yet."""
    from serving.card import CARD, MODEL
    from serving.model import Model, session
    from training.candidates import candidates
    from training.data import completed
    from training.evaluation import held_out
    from training.export import export
    from training.figures import metrics
    from training.golden import golden
    from training.marginal import Marginal, donors

    task, tried = settings.model.task, candidates(settings)
    answers = {name: held_out(candidate, table, settings) for name, candidate in tried.items()}
    figures = {name: metrics(task, found, table.targets) for name, found in answers.items()}
    kind = min(figures, key=lambda name: figures[name][DECIDES[task]].value)
    closeness, partial = _partly_known(tried[kind], table, settings)
    inputs = completed(table.inputs, settings)
    fitted = tried[kind](settings).fit(inputs, table.targets)
    model = export(Marginal(fitted, donors(inputs), settings, closeness))
    card = _card(model, kind, figures, answers[kind], partial, table, settings)
    exported: dict[str, object] = {name.upper(): estimate.value for name, estimate in card.metrics.items()}
    exported["MODEL_SHA256"] = card.sha256
    return {
        MODEL: model,
        CARD: _text(card.model_dump_json()),
        "golden.json": _text(golden(Model(card, session(model)), table, settings)),
        "metrics.env": _text("\n".join(f"{name}={value}" for name, value in exported.items())),
    }


def _partly_known(candidate: Candidate, table: Table, settings: Settings) -> tuple[float, tuple[Partial, ...]]:
    """The closeness with the lowest loss over all sets of known features, and the figures for each set."""
    from serving.card import Partial
    from training.evaluation import held_out_partly
    from training.figures import loss, metrics
    from training.marginal import CLOSENESS

    answers = {
        label: held_out_partly(candidate, table, settings, known, CLOSENESS) for label, known in settings.known.items()
    }
    task, targets = settings.model.task, table.targets
    losses = [sum(loss(task, found[at], targets) for found in answers.values()) for at in range(len(CLOSENESS))]
    best = losses.index(min(losses))
    return CLOSENESS[best], tuple(
        Partial(name=label, known=settings.known[label], metrics=metrics(task, found[best : best + 1], targets))
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
    from training.calibration import calibration, seen
    from training.described import described

    about = settings.model
    classes = () if about.task == "regression" else range(len(about.classes) or 2)
    return Card(
        name=about.name,
        task=about.task,
        kind=kind,
        means=about.means,
        unit=about.unit,
        classes=about.classes,
        threshold=about.threshold,
        limits=about.limits,
        commit="",
        trained_at=datetime.fromtimestamp(0, UTC),
        sha256=hashlib.sha256(model).hexdigest(),
        data=Data(
            rows=len(table.targets),
            counts=tuple(int((table.targets == one).sum()) for one in classes),
            sha256=table.sha256,
        ),
        features=described(table, settings),
        metrics=figures[kind],
        candidates=tuple(Candidate(name=name, kept=name == kind, metrics=figures[name]) for name in figures),
        partial=partial,
        calibration=calibration(about.task, answers, table.targets),
        held_out=seen(about.task, answers, table.targets),
    )


def _text(content: str) -> bytes:
    return f"{content}\n".encode()


def main() -> None:
    """The command."""
    options = argparse.ArgumentParser(description="Train the model and write models/.")
    options.add_argument(
        "--data", type=Path, default=None, metavar="FILE", help="the CSV; default: the one in data/raw/"
    )
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
        from wording import UnusableWords
    except ModuleNotFoundError as error:
        sys.exit(f"train.py: {error.name} is not installed. Type: pip install -r requirements-build.lock")
    try:
        card = train(chosen.data or _data(), chosen.settings, chosen.out, _commit(), _now(), chosen.cache)
    except (UnusableData, UnusableSettings, UnusableWords) as error:
        sys.exit(f"train.py: {error}")
    except ModuleNotFoundError as error:
        sys.exit(f"train.py: {error.name} is not installed. Type: pip install -r requirements-build.lock")
    _report(card, chosen.out)


def _data() -> Path:
    """The only CSV file in data/raw/. Raises UnusableData."""
    from training.data import UnusableData

    found = sorted((HERE / "data/raw").glob("*.csv"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "no CSV file"
        raise UnusableData(f"{HERE / 'data/raw'} has {names}. Leave one file there, or name one with --data FILE")
    return found[0]


def _commit() -> str:
    return os.environ.get("COMMIT") or os.environ.get("CODEBUILD_RESOLVED_SOURCE_VERSION") or "unknown"


def _now() -> datetime:
    """The current time, or the time of a reproducible build (reproducible-builds.org/specs/source-date-epoch)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC).replace(microsecond=0)


def _report(card: Card, out: Path) -> None:
    from serving.card import FIGURES

    of_each = ", ".join(map(str, card.data.counts))
    counted = f" ({of_each} of {', '.join(card.classes or ('0', '1'))})" if of_each else ""
    print(f"{card.data.rows} rows{counted}; data sha256 {card.data.sha256[:12]}")
    names = FIGURES[card.task]
    print(f"{'held-out figures':38}", *(f"{name.replace('_', ' '):>10}" for name in names))
    lines = [(f"{'* ' if c.kept else '  '}{c.name}", c.metrics) for c in card.candidates]
    lines += [(f"  only what is known {part.name}", part.metrics) for part in card.partial]
    for said, figures in lines:
        print(f"{said:38}", *(f"{figures[name].value:10.4f}" for name in names))
    print(f"kept: {card.kind}, in {out}, model sha256 {card.sha256[:12]}")


if __name__ == "__main__":
    main()
