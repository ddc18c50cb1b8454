"""A registration, or a part of one, laid over the present registration."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from console.read.where import REFUSED, TroubleError
from esteira.config import Service
from esteira.refusal import refusal


def merged(present: Service, given: object) -> Service:
    """The registration ``given``: a whole document, or a part of one that is laid over the ``present``.

    Of a part, a member that is null is taken away, an object is laid over the one there, and a stage over the one of
    its name. Raises TroubleError, which names the field, where it is refused.
    """
    if not isinstance(given, dict):
        raise TroubleError("the registration is refused: it must be one JSON object. Next: see docs/", REFUSED)
    try:
        service = Service.model_validate(_laid_over(present.model_dump(mode="json"), given))
    except ValidationError as error:
        told = refusal(error, "registration")
        raise TroubleError(f"{told}. Next: correct it and try again", REFUSED) from None
    if service.name != present.name:
        raise TroubleError(
            f"the registration is refused: name: it is {service.name}'s, asked was {present.name}. "
            f"Next: --service {service.name}",
            REFUSED,
        )
    return service


def _laid_over(there: Any, given: Any) -> Any:
    """What is given over what is there, as the JSON merge patch has it; stages by their names."""
    if isinstance(there, dict) and isinstance(given, dict):
        kept = {k: v for k, v in there.items() if k not in given}
        return kept | {k: _laid_over(there.get(k), v) for k, v in given.items() if v is not None}
    if isinstance(there, dict) or not _named(there) or not _named(given):
        return given
    by_name = {entry["name"]: entry for entry in there}
    laid = {entry["name"]: _laid_over(by_name.get(entry["name"], {}), entry) for entry in given}
    return [*(laid.pop(name, entry) for name, entry in by_name.items()), *laid.values()]


def _named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(e, dict) and "name" in e for e in value)
