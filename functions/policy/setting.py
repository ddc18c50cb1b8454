"""The word ``policy``: the next version, or why it cannot be one."""

from __future__ import annotations

from datetime import datetime
from fnmatch import fnmatchcase

from esteira.config import Service
from esteira.core.facts import PolicySet
from policy.document import Policy, seed, stored
from policy.reading import PolicyError, read


def next_policy(
    text: str, service: Service, before: PolicySet | None, at: datetime, *, request: str, by: str, reason: str, arn: str
) -> PolicySet:
    """The fact that sets the policy in ``text``; ``service`` is as its present rules have it. Raises PolicyError."""
    policy = read(text, service)
    if before is not None and policy == seed(service):
        raise PolicyError(f"nothing in it differs from version {before.version}, which is in force")
    _require_a_way_back(policy, arn)
    version = before.version + 1 if before else 1
    return PolicySet(at=at, request=request, by=by, reason=reason, arn=arn, version=version, document=stored(policy))


def _require_a_way_back(policy: Policy, arn: str) -> None:
    """Who sets a policy may set the next one, too: nobody else could mend a list that fits nobody."""
    allowed = policy.words.get("policy")
    if allowed is None or any(arn and fnmatchcase(arn, pattern) for pattern in allowed):
        return
    named = ", ".join(allowed) or "nobody"
    raise PolicyError(f"words.policy lets {named} set a policy, and not you ({arn or 'unproven'}); add yourself")
