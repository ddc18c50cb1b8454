"""service.yaml's parameters: what they may be, and what a stack that stands was given."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from console.local.paths import SERVICE_TEMPLATE
from console.read.where import REFUSED, TroubleError

if TYPE_CHECKING:
    from console.local.template import Stack


def check_parameters(given: Mapping[str, str]) -> None:
    """Hold what is given against service.yaml's own parameters and rules. Raises TroubleError with its words."""
    described = _described_service(given)
    for name, value in given.items():
        fault = fault_of(described.document["Parameters"][name], value)
        if fault:
            raise TroubleError(f"{name} cannot be {value!r}: {fault}. Next: correct it; nothing was changed", REFUSED)
    for rule in described.document["Rules"].values():
        for assertion in rule["Assertions"]:
            if not described.resolve(assertion["Assert"]):
                raise TroubleError(f"{assertion['AssertDescription']} Nothing was changed", REFUSED)


def fault_of(row: Mapping[str, Any], value: str) -> str:
    """Why a parameter that is declared by ``row`` does not take ``value``, "" if it does."""
    words = str(row.get("ConstraintDescription", f"it must be a {row['Type']}"))
    if "AllowedValues" in row and value not in [str(allowed) for allowed in row["AllowedValues"]]:
        return words
    if "AllowedPattern" in row and not re.fullmatch(row["AllowedPattern"], value):
        return words
    if not int(row.get("MinLength", 0)) <= len(value) <= int(row.get("MaxLength", 4096)):
        return words
    if row["Type"] == "Number":
        if not re.fullmatch(r"\d+", value):
            return words
        if not int(row.get("MinValue", 0)) <= int(value) <= int(row.get("MaxValue", 2**31)):
            return words
    return ""


def _described_service(given: Mapping[str, str] | None = None) -> Stack:
    """Service.yaml, with its parameters as ``given``. Raises TroubleError where it cannot be read."""
    return replace(_template(), parameters=dict(given or {}))


@cache
def _template() -> Stack:
    from console.local.template import TemplateError, read

    try:
        return read(SERVICE_TEMPLATE)
    except TemplateError as error:
        raise TroubleError(str(error)) from error


def given_before(before: Any | None) -> dict[str, str]:
    """What a stack that stands was given, as far as service.yaml still knows it."""
    declared = _described_service().document["Parameters"]
    rows = () if before is None else before.get("Parameters", ())
    return {row["ParameterKey"]: row["ParameterValue"] for row in rows if row["ParameterKey"] in declared}


def stack_parameters(given: Mapping[str, str], before: Any | None) -> list[dict[str, Any]]:
    """The parameters as CloudFormation wants them: those that were given, and of a stack that stands the rest as
    it is."""
    rows: list[dict[str, Any]] = [{"ParameterKey": k, "ParameterValue": v} for k, v in sorted(given.items())]
    kept = sorted(given_before(before).keys() - given.keys())
    return rows + [{"ParameterKey": name, "UsePreviousValue": True} for name in kept]
