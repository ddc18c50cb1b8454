"""``esteira.yaml`` is read strictly: what is wrong is named with its line, its value and what is allowed."""

from __future__ import annotations

import pytest

from esteira.settings import LARGEST, ReleaseSettings, SettingsError, read, restored, stored


@pytest.mark.parametrize(
    ("text", "port", "health"),
    [
        ("", None, None),
        ("# nothing yet\n", None, None),
        ("port: 5000\n", 5000, None),
        ("health: /_stcore/health\nport: 8501\n", 8501, "/_stcore/health"),
        ("\ufeffport: 1 # a byte order mark, as some editors write it\n", 1, None),
        ("{port: 65535}", 65535, None),
    ],
)
def test_what_is_said_is_read_and_kept(text: str, port: int | None, health: str | None) -> None:
    """A file that says nothing is one that says nothing; what a release keeps of it gives it back."""
    settings = read(text.encode())
    assert settings == ReleaseSettings(port=port, health=health)
    assert restored(stored(settings)) == settings


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("\nprot: 5", "line 2: prot is not a setting; did you mean port?"),
        ("colour: red", "line 1: colour is not a setting; the known ones are port, health"),
        ("port: yes", "line 1: port is yes, expected a whole number from 1 to 65535"),
        ("port: '80'", "line 1: port is 80, expected a whole number from 1 to 65535"),
        ("health: /\nport: 70000", "line 2: port is 70000, expected a whole number from 1 to 65535"),
        ("port: 80.0", "line 1: port is 80.0, expected a whole number"),
        ("port: [80]", "line 1: port is a sequence, expected a whole number"),
        ("port:", "line 1: port is empty, expected a whole number"),
        ("health: ping", "line 1: health is ping, expected a path that begins with /"),
        ("health: /a b", "line 1: health is /a b, expected a path that begins with /"),
        ("port: 1\nport: 2", "line 2: port stands in line 1 already"),
        ("- port", "line 1: expected settings such as port: 8080, got a sequence"),
        ("port: 1\n\thealth: /", "line 2: it is not YAML"),
        ("port: !!python/object:os.system x", "line 1: port cannot be read"),
        ("port: &a 1\nhealth: *b", "it is not YAML"),
        ("port: 1\n" + "[" * 5000, "esteira.yaml line"),
        ("# " + "x" * LARGEST, f"is larger than {LARGEST} bytes"),
    ],
)
def test_what_is_wrong_is_named(text: str, sentence: str) -> None:
    """One sentence that begins with the file and, where it has one, the line."""
    with pytest.raises(SettingsError) as refused:
        read(text.encode())
    assert sentence in str(refused.value)
    assert str(refused.value).startswith("esteira.yaml ")
    assert "\n" not in str(refused.value)


def test_bytes_that_are_no_text_are_refused() -> None:
    """The line that is not UTF-8 is named."""
    with pytest.raises(SettingsError, match="line 2: it is not UTF-8"):
        read(b"port: 1\n# caf\xe9\n")


def test_what_a_newer_version_kept_is_left_out() -> None:
    """A controller that was taken back reads what it knows."""
    assert restored('{"port": 5000, "colour": "red"}') == ReleaseSettings(port=5000)
