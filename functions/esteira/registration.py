"""A registration with a setting that is wrong: it holds back what the setting is about, and the service stays."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from esteira.config import WRITTEN, Service
from esteira.refusal import refusal

# The settings that a host gets with a release. With a wrong one nothing is deployed, not even what ran before.
RELEASE = {
    "port",
    "health_path",
    "startup_seconds",
    "drain_seconds",
    "validation_seconds",
    "min_ready_seconds",
    "max_body_mb",
    "response_seconds",
    "memory_mb",
    "when_memory_is_short",
    "capabilities",
    "environment",
    "parameters",
}
# These hold no release back.
ASIDE = {"webhook"}


def registered(name: str, text: str) -> tuple[Service | None, str]:
    """The service that a registration describes, and what is wrong with it in a sentence, "" for nothing.

    A wrong setting has its default, and releases wait that it may be about: on its stage, or on all of them. Where the
    names of the service's parts are wrong there is no service.
    """
    try:
        return Service.model_validate_json(text, context=WRITTEN), ""
    except ValidationError as error:
        fault = str(refusal(error, f"registration {name}"))
        wrong = [list(row["loc"]) for row in error.errors(include_url=False, include_input=False)]
    try:
        return _mended(json.loads(text), wrong, fault), fault
    except (LookupError, TypeError, ValueError):  # a ValidationError is a ValueError
        return None, fault


def _mended(document: dict[str, Any], wrong: list[list[Any]], fault: str) -> Service:
    """The service without its wrong settings. Raises where it cannot be one without them."""
    stages: list[dict[str, Any]] = document["stages"]
    held: set[int] = set()
    for place in wrong:
        match place:
            case ["stages", int(n)]:  # its settings contradict each other
                stages[n] = {key: stages[n][key] for key in ("name", "group") if key in stages[n]}
            case ["stages", int(n), str(key), *_] if key not in ("name", "group"):
                stages[n].pop(key, None)
            case [str(key), *_] if key != "stages" and not _is_needed(key):
                document.pop(key, None)
            case []:  # a variable is in both
                document |= {"environment": {}, "parameters": {}}
            case _:
                raise LookupError(place)
        held.update(_about(place, len(stages)))
    service: Service = Service.model_validate(document)
    kept = [s.model_copy(update={"fault": fault}) if n in held else s for n, s in enumerate(service.stages)]
    stopped = any(not place or place[0] in RELEASE for place in wrong)
    return service.model_copy(update={"stages": tuple(kept), "is_stopped": stopped})


def _about(place: list[Any], stages: int) -> Iterable[int]:
    """The stages that a setting may be about."""
    if place[:1] == ["stages"]:
        return (place[1],)
    return () if place and place[0] in ASIDE else range(stages)


def _is_needed(key: str) -> bool:
    field = Service.model_fields.get(key)
    return field is not None and field.is_required()
