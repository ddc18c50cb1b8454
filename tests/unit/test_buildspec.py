"""What a buildspec.yml means, and what is said of one that means nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.local.build.buildspec import BuildspecError, PhaseCommands, parse

pytestmark = pytest.mark.unit

WHOLE = """
version: 0.2
env:
  shell: bash
  variables:
    IMAGE: heart
    PADDED: 007
    ANSWER: yes
    EMPTY:
  exported-variables: [IMAGE, IMAGE_TAG]
phases:
  install:
    runtime-versions: {python: 3.13}
    commands:
      - pip install -r requirements.txt
  pre_build:
  build:
    on-failure: ABORT
    commands:
      - |
        docker build \\
          -t heart .
    finally:
      - 'echo "state: $?"'
artifacts:
  files: ['**/*']
"""


def test_a_whole_buildspec_is_read_field_by_field() -> None:
    """Phases, finally, on-failure, shell, variables and exports come out as they were written."""
    spec = parse(WHOLE)
    assert spec.shell == "bash"
    assert spec.variables == {"IMAGE": "heart", "PADDED": "007", "ANSWER": "yes", "EMPTY": ""}
    assert spec.exported == ("IMAGE", "IMAGE_TAG")
    assert set(spec.phases) == {"install", "pre_build", "build"}
    assert spec.phases["pre_build"] == PhaseCommands()
    assert spec.phases["build"] == PhaseCommands(
        ("docker build \\\n  -t heart .\n",), ('echo "state: $?"',), on_failure="ABORT"
    )


def test_what_is_ignored_is_said() -> None:
    """Nothing in the buildspec is passed over in silence."""
    said = " ".join(parse(WHOLE).notes)
    assert "artifacts: ignored" in said
    assert "phases.install.runtime-versions: ignored (python 3.13)" in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("phases: {build: {commands: [ls]}}", 'add "version: 0.2"'),
        ("version: 0.1\nphases: {}", "version: 0.1 runs every command in a shell of its own"),
        ("version: 3\nphases: {}", "version: '3' is not one CodeBuild knows"),
        ("version: 0.2", "phases: it is missing"),
        ("version: 0.2\nphases:", "phases: it must be a block of keys, and is empty"),
        ("version: 0.2\nphases: {postbuild: {commands: [ls]}}", "phases.postbuild: there is no such phase"),
        ("version: 0.2\nphases: {build: {commands: ls}}", "phases.build.commands: it must be a list"),
        (
            "version: 0.2\nphases:\n  build:\n    commands:\n      - echo a: b",
            "phases.build.commands.0: a command must",
        ),
        ("version: 0.2\nphases: {build: {on-failure: RETRY}}", "phases.build.on-failure: 'RETRY'"),
        ("version: 0.2\nenv: {shell: fish}\nphases: {}", "env.shell: 'fish'"),
        ("version: 0.2\nenv: {variables: {A-B: c}}\nphases: {}", "env.variables.A-B: 'A-B' is not a variable's name"),
        ("version: 0.2\nenv: {parameter-store: {A B: /a}}\nphases: {}", "'A B' is not a variable's name"),
        ("version: 0.2\nenv: {secrets-manager: [a]}\nphases: {}", "env.secrets-manager: it must be a block of keys"),
        ("version: [", "The buildspec is not YAML at line 1"),
        ("", "The buildspec holds no keys"),
    ],
)
def test_a_wrong_buildspec_is_refused_with_the_fields_name(text: str, sentence: str) -> None:
    """The sentence begins with the field that is wrong, and says what to write."""
    with pytest.raises(BuildspecError) as refusal:
        parse(text)
    assert sentence in str(refusal.value)


@given(st.text(max_size=80), st.sampled_from(["", "version: 0.2\nphases: ", "version: 0.2\nphases: {}\nenv: "]))
def test_garbage_is_refused_and_never_raises_another_error(garbage: str, before: str) -> None:
    """Whatever the text, the answer is a buildspec or a sentence."""
    said = "a buildspec"
    try:
        parse(before + garbage)
    except BuildspecError as refusal:
        said = str(refusal)
    assert said
