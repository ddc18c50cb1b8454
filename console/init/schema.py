"""The JSON schema of ``esteira.yaml`` for editors, made from the settings' model: ``make schema`` writes it."""

from __future__ import annotations

import json
from typing import Any

from settings.model import ReleaseSettings


def schema() -> dict[str, Any]:
    """The schema. It refuses what ``settings.file`` refuses, but for rules that concern several settings."""
    made = ReleaseSettings.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": made["title"],
        "description": "What a release says about itself. Each setting may be left out. Made by: make schema",
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _setting(name, each) for name, each in made["properties"].items()},
    }


def _setting(name: str, made: dict[str, Any]) -> dict[str, Any]:
    """One setting: what it takes where it is there, since a key without a value is refused."""
    given: dict[str, Any] = next(each for each in made["anyOf"] if each["type"] != "null")
    if given["type"] == "object":
        given["additionalProperties"] = False
    if name == "environment":  # a text is taken as it is written, also where YAML reads a number
        (text,) = given["patternProperties"].values()
        text["type"] = ["string", "number", "boolean"]
    return {"description": made["description"], **given}


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
