"""A policy as people write it, in YAML, read strictly: an error names the line, the value and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from esteira.config import Approvals, Gate, Guard, Service, StageRules
from esteira.written import NotYamlError, Written, as_written, composed, line_of
from policy.document import Policy
from scans import Exempted, ScanRule
from windows import Window

LARGEST = 32 * 1024  # characters
MOST = 1_000  # values
# What is allowed where pydantic would show a regular expression.
_ALLOWED = {
    "words": "ARNs such as arn:aws:iam::123456789012:user/ana or arn:aws:sts::123456789012:assumed-role/oncall/*",
    "gates": "a name that a build exports, such as roc_auc",
    "stages": "a stage's name, in small letters, digits and dashes",
}
# The settings at each place, by the place's last name; "" is the document.
_KNOWN: dict[str, type[BaseModel]] = {
    "": Policy,
    "stages": StageRules,
    "approvals": Approvals,
    "windows": Window,
    "gates": Gate,
    "guard": Guard,
    "scan": ScanRule,
    "exceptions": Exempted,
}


class PolicyError(ValueError):
    """The document cannot be a policy: one sentence with the line, the value and what is allowed."""


_Place = tuple[str | int, ...]


def read(text: str, service: Service) -> Policy:
    """The policy that a document describes for the service. Raises PolicyError."""
    if len(text) > LARGEST:
        raise PolicyError(f"it has more than {LARGEST:,} characters; keep only rules in it")
    written: dict[_Place, Written] = {}
    values = _values(_composed(text), (), written)
    if not isinstance(values, dict):
        raise PolicyError("line 1: expected rules such as stages: {production: {approvals: {votes: 1}}}")
    try:
        policy = Policy.model_validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise PolicyError(_sentence(error.errors(include_url=False)[0], written)) from error
    _require_stages(policy, service, written)
    return policy


def _require_stages(policy: Policy, service: Service, written: Mapping[_Place, Written]) -> None:
    """Every registered stage is named, and no other: a stage that is left out by mistake would have no rules."""
    known = [stage.name for stage in service.stages]
    for name in policy.stages:
        if name not in known:
            line = written["stages", name].line
            raise PolicyError(f"line {line}: {service.name} has no stage {name}; its stages are {', '.join(known)}")
    for name in known:
        if name not in policy.stages:
            line = written.get(("stages",), Written(1, "")).line
            raise PolicyError(f"line {line}: stages does not name {name}; add {name}: {{}} if it is to have no rules")


def _composed(text: str) -> Any:
    try:
        return composed(text)
    except NotYamlError as error:
        raise PolicyError(f"line {error.line}: it is not YAML ({error.problem})") from error


def _values(node: Any, place: _Place, written: dict[_Place, Written]) -> Any:
    """The node's value; where each value in it stands is noted. Raises PolicyError."""
    import yaml

    if node is None:
        return None
    if len(written) > MOST or len(place) > 10:
        raise PolicyError(f"line {line_of(node)}: it has more than {MOST:,} values, or is nested too deep")
    written.setdefault(place, as_written(node, line_of(node)))
    if node.id == "sequence":
        return [_values(child, (*place, n), written) for n, child in enumerate(node.value)]
    if node.id == "mapping":
        return _mapping(node, place, written)
    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        raise PolicyError(f"line {line_of(node)}: {node.value[:60]} cannot be read ({error})") from error


def _mapping(node: Any, place: _Place, written: dict[_Place, Written]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, child in node.value:
        if key.id != "scalar":
            raise PolicyError(f"line {line_of(key)}: expected the name of a rule, got a {key.id}")
        name = key.value
        if name in found:
            first = written[*place, name].line
            raise PolicyError(f"line {line_of(key)}: {name} stands in line {first} already; keep one of them")
        written[*place, name] = as_written(child, line_of(key))
        found[name] = _values(child, (*place, name), written)
    return found


def _sentence(found: Mapping[str, Any], written: Mapping[_Place, Written]) -> str:
    place = tuple(part for part in found["loc"] if part != "[key]")
    known = next((place[:n] for n in range(len(place), 0, -1) if place[:n] in written), ())
    line, text = written.get(known, Written(1, ""))
    name = ".".join(map(str, place)) or "the document"
    if found["type"] == "extra_forbidden":
        return f"line {line}: {name} is no rule; {_meant(place)}"
    allowed = _ALLOWED.get(str(place[0])) if found["type"] == "string_pattern_mismatch" and place else None
    said = str(found["msg"]).removeprefix("Value error, ")
    return f"line {line}: {name} is {text[:60] or 'empty'}; allowed: {allowed or said[:200]}"


def _meant(place: _Place) -> str:
    """The rule that was probably meant, or all that there are at that place."""
    above = [part for part in place[:-1] if isinstance(part, str) and part in _KNOWN]
    known = _KNOWN[above[-1] if above else ""].model_fields
    near = get_close_matches(str(place[-1]), known, 1, 0.7)
    return f"did you mean {near[0]}?" if near else f"the known ones are {', '.join(known)}"
