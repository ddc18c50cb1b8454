"""Policies as people read them: as YAML, and as the rules in which two of them differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from console.read.where import REFUSED, TroubleError
from esteira.config import Service
from esteira.core.facts import POLICY, PolicySet
from esteira.store import Store
from policy.document import Policy, restored, seed
from policy.reading import PolicyError, read


@dataclass(frozen=True)
class ChangedRule:
    """A rule in which two policies differ, by its place such as ``stages.production.approvals.votes``; "" is none."""

    rule: str
    before: str
    after: str


@dataclass(frozen=True)
class PolicyVersion:
    """One version of a service's policy: who set it, why, and what it changed."""

    version: int
    at: datetime
    by: str
    arn: str
    reason: str
    changed: tuple[ChangedRule, ...]


def present(store: Store, service: Service) -> tuple[PolicySet | None, Policy]:
    """The policy that was set last, and the rules that are in force: without one they are the registration's."""
    said = store.policy(service.name)
    return said, _rules_of(said) if said else seed(service)


def from_file(file: Path, service: Service) -> Policy:
    """The policy that a file describes. Raises TroubleError."""
    try:
        return read(file.read_text(encoding="utf-8-sig"), service)
    except PolicyError as error:
        raise TroubleError(f"{file}: {error}. Next: esteira policy seed shows the rules of today", REFUSED) from None
    except OSError as error:
        raise TroubleError(f"{file} cannot be read: {error.strerror}. Next: name a policy's file", REFUSED) from None
    except UnicodeDecodeError:
        raise TroubleError(f"{file} is not UTF-8. Next: save it as UTF-8", REFUSED) from None


def history(store: Store, service: Service) -> tuple[PolicyVersion, ...]:
    """Every version of the policy, newest first. The first is compared with the registration as it is now."""
    told: list[PolicyVersion] = []
    before = seed(service)
    for said in store.facts(service.name, POLICY):
        if isinstance(said, PolicySet):
            after = _rules_of(said)
            changed = differences(before, after)
            told.append(PolicyVersion(said.version, said.at, said.by, said.arn, said.reason, changed))
            before = after
    return tuple(reversed(told))


def differences(before: Policy, after: Policy) -> tuple[ChangedRule, ...]:
    """The rules in which two policies differ, each default as if it were written."""
    was, will = (dict(_rules("", policy.model_dump(mode="json"))) for policy in (before, after))
    names = dict.fromkeys((*was, *will))
    return tuple(ChangedRule(n, was.get(n, ""), will.get(n, "")) for n in names if was.get(n, "") != will.get(n, ""))


def as_yaml(policy: Policy) -> str:
    """The policy as a file that ``esteira policy apply`` takes."""
    import yaml

    text: str = yaml.safe_dump(
        json.loads(policy.model_dump_json(exclude_unset=True)), sort_keys=False, allow_unicode=True, width=100
    )
    return text


def in_a_line(said: PolicySet | None) -> str:
    """Which policy it is, who set it, and why; "" where none was set."""
    return f"policy version {said.version}, set by {said.by}: {said.reason}" if said else ""


def _rules_of(said: PolicySet) -> Policy:
    """The rules of a version. Raises TroubleError where this esteira cannot read them."""
    try:
        return restored(said.document)
    except ValidationError:
        raise TroubleError(
            f"policy version {said.version} was set by a newer esteira than this one. Next: pipx upgrade esteira"
        ) from None


def _rules(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """Each rule with its value; a list is one rule, and what is empty is none."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _rules(f"{place}.{name}" if place else name, inner)
    elif value not in (None, []):
        yield place, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
