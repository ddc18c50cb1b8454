"""model_service/new.py: what it refuses, and what it writes for a table. The e2e tests train and push what it makes."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
SERVICE = Path(__file__).parents[2] / "model_service"


def new(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "new.py", *map(str, words)]
    return subprocess.run(command, cwd=SERVICE, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("a,b\n1,2\n", "has no column rent; its columns are a, b"),
        ("a,rent\n", "has no rows below a header line"),
        ("a,rent\n1\n", "row 2 has 1 cells, not 2. Correct it"),
        ("a,rent\nnorth,1\nsouth,0\n", "column a has the values north, south. Write a number for each of them"),
        ("a,rent\n1,1\nx,0\n", "column a has the values 1, x. Write a number for each of them"),
        ("a,rent\n,1\n,0\n", "column a is empty. Remove it"),
    ],
)
def test_a_table_that_cannot_be_described_is_refused(tmp_path: Path, table: str, sentence: str) -> None:
    """The message names the column and what to do, and nothing is written."""
    (tmp_path / "t.csv").write_text(table, encoding="utf-8")
    done = new("--data", tmp_path / "t.csv", "--target", "rent", "--name", "rents", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.startswith("new.py: ")
    assert sentence in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_and_a_command_without_a_table_are_refused(tmp_path: Path) -> None:
    """Nothing is overwritten, and the message says what to type."""
    assert "is there already. Name a folder that is not" in new("--like", "../examples/wine", tmp_path).stderr
    assert "Type --data FILE --target COLUMN --name NAME, or --like FOLDER" in new(tmp_path / "out").stderr


def test_the_columns_are_described_by_their_values(tmp_path: Path) -> None:
    """Few whole numbers are a choice, others a measure with room around them, long words a text; the target is last."""
    rows = [f"{index % 3},{index * 0.5},some words and number {index},{index % 2}" for index in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["y,weight,note,kind", *rows]), encoding="utf-8")
    done = new("--data", tmp_path / "t.csv", "--target", "y", "--name", "things", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    settings = tomllib.loads((tmp_path / "out/model.toml").read_text(encoding="utf-8"))
    assert (settings["model"]["task"], settings["model"]["classes"]) == ("multiclass", ["0", "1", "2"])
    assert settings["features"] == {
        "weight": {"unit": "TODO", "low": 0, "high": 30},
        "note": {"longest": 48},
        "kind": {"codes": [0, 1]},
    }
    assert (tmp_path / "out/data/raw/things.csv").read_text().splitlines()[0] == "weight,note,kind,y"
    assert "- MACRO_F1\n" in (tmp_path / "out/buildspec.yml").read_text(encoding="utf-8")
    assert not (tmp_path / "out/new.py").exists()


def test_the_templates_tests_train_on_what_the_template_trains_on() -> None:
    """While both are the same, a build finds the tests' model in the cache and trains once."""
    for name, own in (("heart.csv", "data/raw/heart.csv"), ("model.toml", "model.toml"), ("words.toml", "words.toml")):
        assert (SERVICE / "tests/heart" / name).read_bytes() == (SERVICE / own).read_bytes(), name
