"""``esteira.yaml`` is read strictly: what is wrong is named with its line, its value and what is allowed."""

from __future__ import annotations

import pytest

from settings.difference import difference
from settings.file import LARGEST, SettingsError, read
from settings.model import ReleaseSettings, in_effect, restored, stored
from tests.unit.conftest import HEART


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
        ("colour: red", "line 1: colour is not a setting; the known ones are port, health, startup_seconds"),
        ("health_path: /ping", "line 1: health_path is not a setting"),
        ("startup_seconds: 0", "line 1: startup_seconds is 0, expected a whole number from 1 to 1500"),
        ("drain_seconds: 1.5", "line 1: drain_seconds is 1.5, expected a whole number from 0 to 1500"),
        ("memory_mb: 2GB", "line 1: memory_mb is 2GB, expected a whole number from 0 to 16777216"),
        ("environment:\n  A: b\n  1A: c", "line 3: 1A is no name of a variable; expected up to 100 variables"),
        ("environment:\n  A: b\n  B:", "line 3: environment.B is empty, expected up to 100 variables"),
        ("environment:\n  A: [b]", "line 2: environment.A is a sequence, expected up to 100 variables"),
        ("environment:\n  A: b\n  A: c", "line 3: environment.A stands in line 2 already; keep one of them"),
        ("environment: [A]", "line 1: environment is a sequence, expected up to 100 variables"),
        ("environment:\n  ? [a]\n  : b", "line 2: a sequence is no name of a variable"),
        ("parameters:\n\n  A: a b", "line 3: parameters.A is a b, expected up to 50 variables with the name of an SSM"),
        ("secrets:\n  - A\n  - B-C", "line 3: secrets.2 is B-C, expected up to 50 different variables"),
        ("secrets: A", "line 1: secrets is A, expected up to 50"),
        ("secrets: [A, A]", "line 1: A is in secrets and in secrets (line 1): keep it in one of them"),
        ("parameters:\n  A: /a\nenvironment:\n  A: a", "line 4: A is in environment and in parameters (line 2)"),
        ("environment:\n  A: a\nsecrets: [A]", "line 3: A is in secrets and in environment (line 2): keep it in one"),
        ("ignored_paths:\n  - ''", "line 2: ignored_paths.1 is empty, expected up to 100 globs"),
        ("ignored_paths: &a [*a]", "line 1: ignored_paths.1 is a sequence, expected up to 100 globs"),
        ("secrets: [" + "A," * 201 + "]", "line 1: secrets has more than 200 entries; keep fewer"),
        ("environment:\n" + "".join(f"  A{n}: {'x' * 4000}\n" for n in range(5)), "more than 16384 bytes of settings"),
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


def test_every_kind_of_setting_is_read() -> None:
    """A variable's text is taken as it is written, whatever YAML would make of it."""
    text = (
        "environment: {A: 1.10, B: yes, C: '', D: 0o17}\nparameters: {T: /a/t}\nsecrets: [S]\nbuild_secrets: [S, T]\n"
    )
    settings = read(f"{text}ignored_paths: [docs/**]\nstartup_seconds: 900\ndrain_seconds: 0\nmemory_mb: 512".encode())
    assert settings.environment == {"A": "1.10", "B": "yes", "C": "", "D": "0o17"}
    assert (settings.parameters, settings.secrets, settings.build_secrets) == ({"T": "/a/t"}, ("S",), ("S", "T"))
    assert (settings.ignored_paths, settings.startup_seconds, settings.drain_seconds) == (("docs/**",), 900, 0)
    assert restored(stored(settings)) == settings


def test_the_registration_s_values_are_the_defaults() -> None:
    """What the file is silent about stays; a variable that it names is the file's alone."""
    service = HEART.model_copy(
        update={"memory_mb": 99, "environment": {"A": "1", "B": "2"}, "parameters": {"C": "/c", "D": "/d", "E": "/e"}}
    )
    assert in_effect(service, ReleaseSettings()) == service
    own = read(b"health: /up\ndrain_seconds: 0\nenvironment: {B: x, C: y}\nparameters: {A: /a}\nsecrets: [D]\n")
    changed = in_effect(service, own)
    assert (changed.health_path, changed.drain_seconds, changed.memory_mb) == ("/up", 0, 99)
    assert changed.environment == {"B": "x", "C": "y"}
    assert changed.parameters == {"A": "/a", "E": "/e"}


def test_what_a_newer_version_kept_is_left_out() -> None:
    """A controller that was taken back reads what it knows."""
    assert restored('{"port": 5000, "colour": "red"}') == ReleaseSettings(port=5000)


def test_a_difference_names_what_was_and_what_is() -> None:
    """A variable is a line of its own; what is equal is not told; a long or empty text stays one readable line."""
    live = read(b"port: 80\nenvironment: {A: '1', B: '2'}\nsecrets: [S]\nignored_paths: ['docs/**']\n")
    own = read(f"port: 81\nenvironment: {{A: '1', B: '', C: {'x' * 99}}}\nignored_paths: []\nsecrets: [S]".encode())
    assert difference(stored(live), stored(own)) == (
        "port: 80 → 81",
        'environment.B: 2 → ""',
        "ignored_paths: docs/** → none",
        f"environment.C: not set → {'x' * 59}…",
    )
    assert difference(stored(own), stored(own)) == difference("", "") == ()
