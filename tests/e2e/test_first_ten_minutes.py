"""docs/first-ten-minutes.md: what it tells is run, and ends as it tells."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "first_ten_minutes.py"
DOCUMENTS = ("first-ten-minutes.md", "pt/primeiros-dez-minutos.md")


def commands(folder: Path, name: str) -> list[str]:
    """The commands of a document, in their order."""
    return re.findall(r"^\$ (.+)$", (folder / name).read_text(encoding="utf-8"), re.MULTILINE)


def test_both_languages_tell_of_the_same_commands() -> None:
    """What stands between them is prose; every fenced part is the same."""
    fences = [re.findall(r"```.*?```", (ROOT / "docs" / name).read_text(), re.DOTALL) for name in DOCUMENTS]
    assert fences[0] == fences[1]
    assert len(fences[0]) > 10


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_names_nothing_of_the_machine_it_was_made_on(name: str) -> None:
    """Its paths are those of a newcomer's home, its user is theirs."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert {path.split("/")[2] for path in re.findall(r"/(?:home|root|tmp|work|Users)/\S+", text)} == {"rui"}
    assert "root" not in re.sub(r"/root/app", "", text)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_first_ten_minutes_are_as_they_are_told(tmp_path: Path) -> None:
    """Every command ends with the exit status that is told, and the committed documents have the same commands in the
    same order."""
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in DOCUMENTS:
        assert commands(tmp_path, name) == commands(ROOT / "docs", name), "make first-ten-minutes writes it anew"
