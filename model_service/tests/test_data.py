"""The data and model.toml: their content, and the messages for wrong ones."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from conftest import DATA, SETTINGS

from training.data import LEAST, UnusableData, read
from training.evaluation import FOLDS
from training.settings import Settings, UnusableSettings, read_settings


@pytest.fixture(scope="module")
def settings() -> Settings:
    return read_settings(SETTINGS)


def test_the_data_are_the_cleveland_data() -> None:
    """303 patients, 164 without and 139 with disease, 6 with a missing value: the counts that UCI publishes."""
    with DATA.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 303
    assert [sum(row["target"] == code for row in rows) for code in "01"] == [164, 139]
    assert sum("" in row.values() for row in rows) == 6
    assert sum(row["ca"] == "" for row in rows) == 4
    assert sum(row["thal"] == "" for row in rows) == 2


def test_the_data_are_read_as_they_stand(settings: Settings) -> None:
    """Thirteen columns; an empty cell is unknown; the first patient's values are in place."""
    table = read(DATA, settings)
    assert table.inputs.shape == (303, 13)
    assert int((table.inputs != table.inputs).sum()) == 6
    assert dict(zip(settings.names, table.inputs[0], strict=True))["oldpeak"] == 2.3
    assert int(table.targets.sum()) == 139


def test_a_table_saved_by_a_spreadsheet_is_the_same_table(settings: Settings, tmp_path: Path) -> None:
    """A byte-order mark, other line ends and an empty last line change no value."""
    saved = tmp_path / "heart.csv"
    saved.write_bytes(b"\xef\xbb\xbf" + DATA.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert read(saved, settings).inputs.tobytes() == read(DATA, settings).inputs.tobytes()


@pytest.mark.parametrize(
    ("found", "replacement", "sentence"),
    [
        ("63,1,1,145", "163,1,1,145", "heart.csv line 2: age is '163', allowed is 18 to 110 years"),
        ("67,1,4,120", "67,1,5,120", "heart.csv line 4: cp is '5', allowed is one of (1, 2, 3, 4)"),
        ("63,1,1,145", "63,1,1,high", "line 2: trestbps is 'high', allowed is 60 to 260 mm Hg"),
        ("63,1,1,145", "nan,1,1,145", "line 2: age is 'nan'"),
        (",6,0\n", ",6,4\n", "line 2: target is '4', allowed is 0 or 1"),
        (",6,0\n", ",6\n", "line 2: 13 cells where there are 14 columns"),
        (",6,0\n", ",6,0,7\n", "line 2: 15 cells where there are 14 columns"),
        (",6,0\n", ",6,0\n\n1\n", "line 4: 1 cells where there are 14 columns"),
        ("age,sex", "sex,age", "the first line must be age,sex"),
    ],
)
def test_a_wrong_cell_is_named_with_its_line(
    settings: Settings, tmp_path: Path, found: str, replacement: str, sentence: str
) -> None:
    """A value that is not allowed is named with line, column, value and allowed values."""
    data = tmp_path / "heart.csv"
    text = DATA.read_text(encoding="utf-8")
    assert found in text
    data.write_text(text.replace(found, replacement, 1), encoding="utf-8")
    with pytest.raises(UnusableData) as refused:
        read(data, settings)
    assert sentence in str(refused.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "Name the file with --data FILE"),
        (b"", "the first line must be age,sex"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_table_is_refused(
    settings: Settings, tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    """A missing file, an empty one and one that is not text each have a message."""
    data = tmp_path / "heart.csv"
    if content is not None:
        data.write_bytes(content)
    with pytest.raises(UnusableData) as refused:
        read(data, settings)
    assert sentence in str(refused.value)


def test_too_little_to_learn_from_is_refused(settings: Settings, tmp_path: Path) -> None:
    """Fewer ill patients than folds, or an empty column, ends before the training with the count or the name."""
    head, *rows = DATA.read_text(encoding="utf-8").splitlines()
    data = tmp_path / "heart.csv"
    few = [row for row in rows if row.endswith(",0")] + [row for row in rows if row.endswith(",1")][: LEAST - 1]
    data.write_text("\n".join([head, *few]), encoding="utf-8")
    with pytest.raises(
        UnusableData, match=f"target is 1 in {LEAST - 1} rows, but cross-validation needs at least {LEAST}"
    ):
        read(data, settings)
    data.write_text("\n".join([head, *("," + row.split(",", 1)[1] for row in rows)]), encoding="utf-8")
    with pytest.raises(UnusableData, match="age is empty in every row"):
        read(data, settings)
    assert LEAST == FOLDS


@pytest.mark.parametrize(
    ("found", "replacement", "sentence"),
    [
        ('unit = "years", low = 18', 'unit = "years", low = 180', "features.age: Value error, low must be below high"),
        (
            "sex = { codes = [0, 1] }",
            'sex = { unit = "none" }',
            "features.sex: Value error, needs either codes, or unit",
        ),
        ("sex = { codes = [0, 1] }", "sex = { codes = [0, 1], low = 0 }", "features.sex: Value error, has codes and"),
        ("sex = { codes = [0, 1] }", "sex = { kind = 1 }", "features.sex.kind: Extra inputs are not permitted"),
        ("max_drop = 0.01", "max_drop = 0.01, max_rise = 1", "gate.roc_auc: Value error, needs one of max_drop"),
        (
            "roc_auc = {",
            "auc = {",
            "gate names auc, which is not a figure; the figures of task binary are roc_auc, log_loss, brier, ece",
        ),
        ('"age", "sex", "trestbps"]', '"age", "height"]', 'known "at home" names height, which is not a feature'),
        ("threshold = 0.5", "threshold = 5", "model.threshold: Input should be less than or equal to 1"),
        ("[model]", "[model", "is not TOML"),
        ('name = "heart"', "", "model.name: Field required"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, found: str, replacement: str, sentence: str) -> None:
    """A wrong entry of model.toml is named with its place and the error."""
    file = tmp_path / "model.toml"
    text = SETTINGS.read_text(encoding="utf-8")
    assert found in text
    file.write_text(text.replace(found, replacement, 1), encoding="utf-8")
    with pytest.raises(UnusableSettings) as refused:
        read_settings(file)
    assert str(refused.value).startswith(str(file))
    assert sentence in str(refused.value)


@pytest.mark.parametrize(("content", "sentence"), [(None, "--settings"), (b"\xff", "is not UTF-8 text")])
def test_unreadable_settings_are_refused(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    """A missing model.toml, and one that is not text, each have a message."""
    file = tmp_path / "model.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UnusableSettings, match=sentence):
        read_settings(file)
