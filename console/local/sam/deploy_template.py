"""What of a template an emulator is given, by one rule: a resource whose type it does not know is left out, and what
refers to it gets a stand-in that says so. Nothing here knows an emulator; a document in, a document out.

The stand-in of a name is the name the resource would have had, so that a registration still reads as it should; of an
ARN an ARN of the service ``left-out``, which allows nothing; of anything else ``left-out-RESOURCE-ATTRIBUTE``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from console.local.template import NAMES

SERVERLESS = "AWS::Serverless::"  # expanded by SAM's own translator before an emulator looks at types
REFERENCE = re.compile(r"\$\{([A-Za-z0-9]+)(?:\.([A-Za-z0-9.]+))?\}")

Document = dict[str, Any]
StandIn = Callable[[str, str], Any]  # of a resource's logical id and the attribute asked for, "" for a Ref


@dataclass(frozen=True)
class Fitted:
    """A template as an emulator takes it, and what was done to it: ``left_out`` is logical id → type."""

    document: Document
    left_out: Mapping[str, str]


def types(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The types of a template's resources that CloudFormation itself must know, each once, in order."""
    found = {str(row["Type"]) for row in document["Resources"].values()}
    return tuple(sorted(kind for kind in found if not kind.startswith(SERVERLESS)))


def fitted(document: Mapping[str, Any], unknown: frozenset[str]) -> Fitted:
    """The template without the resources of ``unknown`` types, and which these were."""
    resources = document["Resources"]
    left_out = {id_: str(row["Type"]) for id_, row in resources.items() if row["Type"] in unknown}
    kept = {id_: _independent(row, left_out) for id_, row in resources.items() if id_ not in left_out}

    def stand_in(id_: str, attribute: str) -> Any:
        return _stand_in(id_, resources[id_], attribute) if id_ in left_out else None

    return Fitted(_replaced({**document, "Resources": kept}, stand_in), left_out)


def run_by(document: Mapping[str, Any], runtime: str, variables: Mapping[str, str]) -> Document:
    """The template with functions of that ``runtime`` and with ``variables`` over their environment.

    An empty AWS_ENDPOINT_URL, as the template declares it, would send them to AWS itself.
    """
    shared = document.get("Globals", {}).get("Function", {})
    declared = shared.get("Environment", {}).get("Variables", {})
    function = {**shared, "Runtime": runtime, "Environment": {"Variables": {**declared, **variables}}}
    return {**document, "Globals": {**document.get("Globals", {}), "Function": function}}


def _independent(row: Mapping[str, Any], left_out: Mapping[str, str]) -> Document:
    """A resource that waits for none that is left out."""
    waits = row.get("DependsOn", [])
    waits = [id_ for id_ in ([waits] if isinstance(waits, str) else waits) if id_ not in left_out]
    rest = {key: value for key, value in row.items() if key != "DependsOn"}
    return rest | ({"DependsOn": waits} if waits else {})


def _stand_in(id_: str, row: Mapping[str, Any], attribute: str) -> Any:
    if attribute == "Arn":
        return {"Fn::Sub": "arn:${AWS::Partition}:left-out:${AWS::Region}:${AWS::AccountId}:" + id_}
    if attribute and not attribute.endswith("Name"):
        return f"left-out-{id_}-{attribute.replace('.', '-')}"
    return row.get("Properties", {}).get(NAMES.get(row["Type"], ""), f"left-out-{id_}")


def _replaced(value: Any, stand_in: StandIn) -> Any:
    """A part of a template with every reference for which there is a stand-in replaced by it."""
    if isinstance(value, list):
        return [_replaced(one, stand_in) for one in value]
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1:
        name, argument = next(iter(value.items()))
        if name == "Ref" and (found := stand_in(argument, "")) is not None:
            return found
        if name == "Fn::GetAtt":
            id_, attribute = argument if isinstance(argument, list) else argument.split(".", 1)
            if isinstance(attribute, str) and (found := stand_in(id_, attribute)) is not None:
                return found
        if name == "Fn::Sub":
            return {"Fn::Sub": _substituted(argument, stand_in)}
    return {key: _replaced(inner, stand_in) for key, inner in value.items()}


def _substituted(argument: Any, stand_in: StandIn) -> Any:
    """The argument of Fn::Sub with stand-ins as variables of its own."""
    text, given = (argument, {}) if isinstance(argument, str) else argument
    variables = {name: _replaced(value, stand_in) for name, value in given.items()}

    def variable(match: re.Match[str]) -> str:
        id_, attribute = match[1], match[2] or ""
        found = None if id_ in given else stand_in(id_, attribute)
        if found is None:
            return match[0]
        name = f"LeftOut{id_}{attribute.replace('.', '')}"
        variables[name] = found
        return f"${{{name}}}"

    text = REFERENCE.sub(variable, text)
    return [text, variables] if variables else text
