"""What a policy says, and a service under it."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field, ValidationError

from esteira.config import Rules, Service, StageRules
from esteira.core.facts import PolicySet
from esteira.refusal import refusal

StageName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]


class Policy(Rules):
    """All rules of a service. What it leaves out is as if there were no such rule, whatever the registration says."""

    stages: dict[StageName, StageRules] = Field(default_factory=dict, max_length=8)


def stored(policy: Policy) -> str:
    """The policy as the text that a ``PolicySet`` keeps: what was written, without the defaults."""
    return policy.model_dump_json(exclude_unset=True)


@lru_cache(maxsize=64)
def restored(text: str) -> Policy:
    """The policy that ``stored`` wrote. Raises ValidationError where this version cannot read it."""
    return Policy.model_validate_json(text)


def seed(service: Service) -> Policy:
    """The rules that are in force now, as a policy: those of the registration where none was set."""
    said: dict[str, Any] = json.loads(service.model_dump_json(exclude_unset=True))
    stages = {
        stage["name"]: {key: value for key, value in stage.items() if key in StageRules.model_fields}
        for stage in said["stages"]
    }
    return Policy.model_validate({key: said[key] for key in Rules.model_fields if key in said} | {"stages": stages})


def in_force(service: Service, said: PolicySet | None) -> Service:
    """The service under its policy, which decides in place of the registration.

    A stage that the policy does not name was registered after it, and has the registration's rules. Under a policy that
    this version cannot read, releases wait.
    """
    if said is None:
        return service
    try:
        policy = restored(said.document)
    except ValidationError as error:
        fault = f"policy version {said.version} cannot be used: {refusal(error, 'policy')}"
        return service.model_copy(update={"stages": tuple(_changed(s, {"fault": fault}) for s in service.stages)})
    stages = tuple(_changed(s, dict(policy.stages.get(s.name, ()))) for s in service.stages)
    return service.model_copy(update={"stages": stages, **{key: getattr(policy, key) for key in Rules.model_fields}})


def _changed(stage: Any, values: dict[str, Any]) -> Any:
    return stage.model_copy(update=values)
