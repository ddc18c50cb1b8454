"""What editors and readers are told of ``esteira.yaml`` is what the model says."""

from __future__ import annotations

import json

import pytest
import yaml
from jsonschema import Draft202012Validator

from console.init.schema import schema
from console.local.paths import ROOT
from settings.file import SettingsError, read
from settings.model import ReleaseSettings

FILE = ROOT / "docs" / "esteira.schema.json"


def accepted(text: str) -> tuple[bool, bool]:
    """Whether the schema, and the reader, take a file."""
    try:
        read(text.encode())
    except SettingsError:
        taken = False
    else:
        taken = True
    return Draft202012Validator(json.loads(FILE.read_text())).is_valid(yaml.safe_load(text)), taken


def test_the_schema_is_current() -> None:
    """After a change of the model: make schema."""
    Draft202012Validator.check_schema(schema())
    assert FILE.read_text() == json.dumps(schema(), indent=2) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "port: 1\nhealth: /\nstartup_seconds: 1500\ndrain_seconds: 0\nvalidation_seconds: 1\nmemory_mb: 0",
        "environment: {A: text, B: 1.5, C: true, D: ''}\nparameters: {E: /a/b}\nsecrets: [F]\nbuild_secrets: [F]",
        "ignored_paths: ['docs/**']",
    ],
)
def test_what_the_reader_takes_the_schema_takes(text: str) -> None:
    """An editor marks nothing that esteira would release."""
    assert accepted(text) == (True, True)


@pytest.mark.parametrize(
    "text",
    [
        "colour: red",
        "port: 0",
        "port: '80'",
        "port:",
        "startup_seconds: 1501",
        "drain_seconds: -1",
        "memory_mb: 1.5",
        "health: ping",
        "environment: {1A: b}",
        "environment: {A: [b]}",
        "environment: {A: }",
        "environment: [A]",
        "parameters: {A: a b}",
        "secrets: [A-B]",
        "secrets: [A, A]",
        "secrets: A",
        "build_secrets: [A, A]",
        "ignored_paths: ['']",
        "ignored_paths: a",
    ],
)
def test_what_the_reader_refuses_the_schema_refuses(text: str) -> None:
    """An editor marks it before it is pushed."""
    assert accepted(text) == (False, False)


def test_the_documentation_has_every_setting() -> None:
    """A row each, with the model's own sentence."""
    text = (ROOT / "docs" / "settings.md").read_text()
    rows = {name: f"| `{name}` | {field.description} |" for name, field in ReleaseSettings.model_fields.items()}
    assert [name for name, row in rows.items() if row not in text] == []
