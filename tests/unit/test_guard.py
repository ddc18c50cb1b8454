"""The guard's rules on a corpus of secrets and innocents, beside a well-known library in the same run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from detect_secrets.core.scan import scan_file
from detect_secrets.settings import default_settings

from guard.reading import look
from guard.search import secrets
from tests.unit.leaks.corpus import Sample, samples

ROOT = Path(__file__).parents[2]
SEEDS = (1, 2, 3)  # other random values each time
Finds = Callable[[Sample], bool]


@dataclass(frozen=True)
class Score:
    """How many of the secrets were found, and how many of the innocents were taken for one."""

    hits: int
    secrets: int
    alarms: int
    innocents: int

    def __str__(self) -> str:
        return f"{self.hits:4} of {self.secrets:4} found, {self.alarms:3} of {self.innocents:4} false alarms"


def score(finds: Finds, *, held_out: bool) -> Score:
    """What finder makes of the corpus, or of the part of it that was held out while the rules were written."""
    bad, good = (
        [finds(s) for seed in SEEDS for s in samples(name, seed) if s.held_out == held_out]
        for name in ("secrets", "innocents")
    )
    return Score(sum(bad), len(bad), sum(good), len(good))


def guard_finds(sample: Sample) -> bool:
    """Ours, as a push is searched."""
    return bool(look(sample.path, sample.content.encode()).secret)


@pytest.fixture
def library_finds(tmp_path: Path) -> Finds:
    """detect-secrets with all its plugins and filters, as its command runs."""

    def finds(sample: Sample) -> bool:
        file = tmp_path / sample.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(sample.content)
        with default_settings():
            return any(True for _ in scan_file(str(file)))

    return finds


def test_the_corpus_is_large_enough_to_say_something() -> None:
    """At least 120 secrets of 40 kinds and 60 innocents; a third of each is held out."""
    bad, good = samples("secrets", 1), samples("innocents", 1)
    assert len(bad) >= 120
    assert len({s.kind for s in bad}) >= 40
    assert len(good) >= 60
    for part in (bad, good):
        assert sum(s.held_out for s in part) == len(part) // 3


def test_more_is_found_and_less_refused_than_by_a_well_known_library(library_finds: Finds) -> None:
    """In the part the rules were written on and, what counts, in the part that was held out. ``-s`` shows the table."""
    for held_out, part in ((False, "written on"), (True, "held out")):
        ours, theirs = score(guard_finds, held_out=held_out), score(library_finds, held_out=held_out)
        print(f"\n{part:10} guard          {ours}\n{'':10} detect-secrets {theirs}")
        assert ours.hits > theirs.hits
        assert ours.alarms < theirs.alarms
        assert ours.hits >= 0.95 * ours.secrets
        assert ours.alarms <= 0.02 * ours.innocents


def test_the_guard_does_not_refuse_its_own_repository() -> None:
    """Tests, templates and documentation that speak of secrets hold none."""
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = {f: look(f, (ROOT / f).read_bytes()).secret for f in files if (ROOT / f).is_file()}
    assert {f: said for f, said in found.items() if said} == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "sk-" * 200_000,
        "-----BEGIN RSA PRIVATE KEY-----\n" * 20_000,
        "://a:" * 150_000,
        "password=" * 100_000,
        "token: '" * 100_000,
        "eyJaaaaaaaaaaaa." * 50_000,
        "login('" * 100_000,
        "?sig=&" * 100_000,
        "key" * 250_000,
        "a" * 700_000,
        "xoxb-1" * 100_000,
        "Private-Lines: 1\n" * 40_000,
        "curl -u " * 80_000,
    ],
)
@pytest.mark.timeout(60)
def test_no_text_keeps_the_guard_busy(text: str) -> None:
    """Each is made to make a pattern go back and forth; a pattern that did would not come to an end here."""
    list(secrets(text))


def test_a_letter_whose_small_form_is_two_moves_no_place() -> None:
    """Names are searched in lower case, and the places found are those of the text."""
    value = "Tulipa4711!"
    text = f"İİİ password = '{value}'"
    assert [text[s.start : s.end] for s in secrets(text)] == [value]
