"""The names by which a build or a deployment tells whose it is: written into AWS's own records, read back from there.

CodeDeploy's CreateDeployment has no idempotency token and CodeBuild's lasts five minutes, so whoever finds a claim
without an outcome looks for its name. Pure.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# The build's environment variable that carries its claim; a deployment carries it as its description's first word.
CLAIM_VARIABLE = "ESTEIRA_CLAIM"

_BUILD = re.compile(r"([a-z][a-z0-9-]{0,40})/v([1-9][0-9]{0,7})/build/([1-9][0-9]{0,3})")
_ROLLOUT = re.compile(r"([a-z][a-z0-9-]{0,40})/v([1-9][0-9]{0,7})/([a-z][a-z0-9-]{0,30})/([1-9][0-9]{0,7})")


class BuildClaim(NamedTuple):
    """The claim of one attempt's build."""

    service: str
    release: int
    attempt: int

    def __str__(self) -> str:
        return f"{self.service}/v{self.release}/build/{self.attempt}"


class RolloutClaim(NamedTuple):
    """The claim of one rollout's deployment on a stage."""

    service: str
    release: int
    stage: str
    rollout: int

    def __str__(self) -> str:
        return f"{self.service}/v{self.release}/{self.stage}/{self.rollout}"


def build_claim(text: str) -> BuildClaim | None:
    """The claim that ``text`` spells, or None."""
    match = _BUILD.fullmatch(text)
    return BuildClaim(match[1], int(match[2]), int(match[3])) if match else None


def rollout_claim(description: str) -> RolloutClaim | None:
    """The claim a deployment's description begins with, or None: not esteira's deployment."""
    match = _ROLLOUT.fullmatch(description.split(" ", 1)[0])
    return RolloutClaim(match[1], int(match[2]), match[3], int(match[4])) if match else None
