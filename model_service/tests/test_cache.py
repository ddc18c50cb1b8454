"""The cache of trainings: what it gives back is what training anew would write, and any change trains anew."""

from __future__ import annotations

import ast
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import DATA, SAMPLED, SETTINGS

import train
from training import cache, candidates, evaluation

EARLIER, LATER = datetime(2026, 11, 23, 8, 30, tzinfo=UTC), datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
Written = dict[str, bytes]

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of one candidate, judged once, for an earlier commit, and beside it a cache with its result."""
    run = tmp_path_factory.mktemp("earlier")
    with pytest.MonkeyPatch.context() as patched:
        quick(patched)
        train.train(DATA, SETTINGS, run / "models", "0123abc", EARLIER, run / "cache")
    return run / "models"


@pytest.fixture
def filled(earlier: Path, tmp_path: Path) -> Path:
    """A cache that holds the earlier training."""
    return Path(shutil.copytree(earlier.parent / "cache", tmp_path / "cache"))


def quick(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(candidates, "candidates", lambda _: {"logistic regression": candidates.logistic_regression})
    patched.setattr(evaluation, "REPEATS", 1)


def written(out: Path) -> Written:
    return {file.name: file.read_bytes() for file in out.iterdir()}


def test_the_cache_gives_the_bytes_of_a_new_training(
    earlier: Path, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All five files are those of training anew for the same commit and time; only these two differ between builds."""
    quick(monkeypatch)
    anew = train.train(DATA, SETTINGS, tmp_path / "anew", "4567def", LATER)
    monkeypatch.setattr(train, "trained", None)  # a call would fail
    reused = train.train(DATA, SETTINGS, tmp_path / "reused", "4567def", LATER, filled)
    assert written(tmp_path / "reused") == written(tmp_path / "anew")
    assert set(written(tmp_path / "reused")) == {
        "model.onnx",
        "model-card.json",
        "golden.json",
        "metrics.env",
        "words.toml",
    }
    assert reused == anew
    assert (reused.commit, reused.trained_at) == ("4567def", LATER)
    before, after = written(earlier), written(tmp_path / "anew")
    assert {name for name in before if before[name] != after[name]} == {"model-card.json"}


@pytest.mark.parametrize("damage", ["cut short", "changed", "empty"])
def test_a_damaged_entry_is_trained_anew_and_replaced(
    damage: str, earlier: Path, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build that was stopped while it wrote, or a faulty disk, costs one training and nothing else."""
    [entry] = filled.iterdir()
    whole = entry.read_bytes()
    at = len(whole) // 2
    damaged = {"cut short": whole[:at], "changed": whole[:at] + b"damage" + whole[at + 6 :], "empty": b""}
    entry.write_bytes(damaged[damage])
    monkeypatch.setattr(train, "trained", lambda *_: written(earlier))
    train.train(DATA, SETTINGS, tmp_path / "out", "0123abc", EARLIER, filled)
    assert written(tmp_path / "out") == written(earlier)
    assert cache.kept(filled, entry.stem) == written(earlier)


def test_a_cache_that_cannot_be_written_is_named_and_the_model_is_there(
    earlier: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cache only saves time, so a build does not fail without it."""
    (tmp_path / "cache").write_text("a file, not a folder")
    monkeypatch.setattr(train, "trained", lambda *_: written(earlier))
    train.train(DATA, SETTINGS, tmp_path / "out", "0123abc", EARLIER, tmp_path / "cache")
    assert written(tmp_path / "out") == written(earlier)
    assert f"cannot write to the cache {tmp_path / 'cache'} (File exists); name another" in capsys.readouterr().out


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of this repository that may be changed."""
    ignored = shutil.ignore_patterns("__pycache__", "models", "test_*.py", ".*")
    return Path(shutil.copytree(train.HERE, tmp_path / "copy", ignore=ignored))


def key(repository: Path) -> str:
    return cache.key(repository / "tests/heart/heart.csv", repository / "model.toml", repository)


@pytest.mark.parametrize(
    "path",
    ["tests/heart/heart.csv", "model.toml", "train.py", "training/candidates.py", "training/new/features.py",
     "serving/card.py", "serving/model.py", "serving/text.py"],
)  # fmt: skip
def test_a_change_of_what_training_reads_is_another_key(path: str, repository: Path) -> None:
    """Data, settings and code, new files of the code too."""
    before = key(repository)
    changed = repository / path
    changed.parent.mkdir(exist_ok=True)
    with changed.open("a") as file:
        file.write("\n")
    assert key(repository) != before


@pytest.mark.parametrize("path", ["Dockerfile", "README.md", "words.toml", "serving/words.py", "gate.py"])
def test_a_change_of_anything_else_is_the_same_key(path: str, repository: Path) -> None:
    """A build that only packs differently does not train."""
    before = key(repository)
    with (repository / path).open("a") as file:
        file.write("\n")
    assert key(repository) == before


def test_another_version_of_a_package_is_another_key(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another scikit-learn may fit another model."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    found = []
    for version in ("1.8.0", "1.9.0"):
        (tmp_path / "site" / f"a_package-{version}.dist-info").mkdir(parents=True)
        found.append(key(repository))
        (tmp_path / "site" / f"a_package-{version}.dist-info").rmdir()
    assert found[0] != found[1]
    assert any(name.startswith("scikit_learn-") for name in cache.packages())


def test_the_key_holds_every_module_that_training_imports(repository: Path) -> None:
    """train.py and training/ import nothing else of this repository, neither directly nor through those modules."""
    held = {path.relative_to(repository) for pattern in cache.CODE for path in repository.glob(pattern)}
    assert Path("training/evaluation.py") in held
    for path in held:
        for node in ast.walk(ast.parse((repository / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("serving", "training")):
                module = Path(*str(node.module).split(".")).with_suffix(".py")
                assert module in held, f"{path} imports {node.module}"


@pytest.mark.parametrize("by", ["--cache", "ESTEIRA_MODEL_CACHE"])
def test_the_command_takes_the_cache_from_its_option_or_the_environment(
    by: str,
    earlier: Path,
    filled: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Either way the model is written without a training, and a sentence says so."""
    words = ["--cache", str(filled)] if by == "--cache" else []
    monkeypatch.setenv("ESTEIRA_MODEL_CACHE", "" if words else str(filled))
    monkeypatch.setattr(train, "trained", None)  # a call would fail
    monkeypatch.setattr(sys, "argv", ["train.py", *SAMPLED, "--out", str(tmp_path / "out"), *words])
    train.main()
    assert f"so it is taken from {filled}" in capsys.readouterr().out
    assert written(tmp_path / "out")["model.onnx"] == written(earlier)["model.onnx"]
