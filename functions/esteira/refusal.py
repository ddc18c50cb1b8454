"""What people and AWS say to the controller, read as a model; malformed, it is refused in one sentence."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

M = TypeVar("M", bound=BaseModel)


class Refused(ValueError):  # noqa: N818 - it is what happened to the input, not a fault of ours
    """An input of ours that is malformed: one sentence naming the field. Nothing was recorded."""


def validated(model: type[M], value: object, what: str) -> M:
    """``value`` read as ``model``; raise Refused with one sentence naming the first field that is wrong."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise refusal(error, what) from None


def refusal(error: ValidationError, what: str) -> Refused:
    """The Refused that says in one sentence what is wrong with ``what``, and in which field."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the document"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    # A field's name may be anybody's text: one line, and not a long one.
    return Refused(" ".join(f"the {what} is refused: {where[:120]}: {first['msg'][:300]}{more}".split()))
