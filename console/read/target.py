"""Which controller is meant. It is never guessed: AWS only where it was named, by an option, in the environment or by
``esteira use aws``; else the local stack of this folder or one above, running or not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from console.read import state_folder
from console.read.where import REFUSED, TroubleError, Where

NOWHERE = (
    "there is no local stack in this folder or above it, and no AWS account is named. Next: esteira local up starts a "
    "local stack here; for AWS: esteira use aws remembers it for this folder, or add --aws"
)


@dataclass(frozen=True)
class Named:
    """What a command names of the controller. ``endpoint`` stands for AWS, ``functions`` for Lambda alone."""

    endpoint: str | None = None
    functions: str | None = None
    stack: str | None = None
    state: Path | None = None
    aws: bool = False
    profile: str | None = None
    region: str | None = None

    @classmethod
    def by(cls, options: Mapping[str, Any]) -> Self:
        """What a command's options name, by their names."""
        endpoint, functions = options.get("endpoints") or (None, None)
        told = {name: options.get(name) for name in ("stack", "state", "profile", "region")}
        return cls(endpoint, functions, aws=bool(options.get("aws")), **told)


def find(named: Named, here: Path | None = None) -> Where:
    """The controller that is meant by a command typed in the folder ``here``. Options go before the environment.

    Raises TroubleError where none is named, or the local stack that is meant does not run.
    """
    environment = os.environ
    endpoint = named.endpoint or environment.get("AWS_ENDPOINT_URL") or None
    functions = named.functions or environment.get("AWS_ENDPOINT_URL_LAMBDA") or None
    stack = named.stack or environment.get("ESTEIRA_STACK") or None
    aws = named.aws or bool(named.profile) or bool(named.region)
    if endpoint:
        profile, region = named.profile or "", named.region or ""
        return Where(stack or "esteira", endpoint, functions=functions, profile=profile, region=region)
    if named.state is not None:
        if aws:
            raise TroubleError(
                f"--state names the local stack at {named.state}, and --aws, --profile or --region names AWS. "
                f"Next: leave one of them out",
                REFUSED,
            )
        return state_folder.running(named.state, stack, functions, _start(named.state))
    above = state_folder.found_above((here or Path.cwd()).absolute())
    chosen = state_folder.choice(above) if above else None
    state = environment.get("ESTEIRA_STATE")
    if aws or named.stack:
        return _aws(named, stack, functions, chosen)
    if state:
        return state_folder.running(Path(state), stack, functions, _start(Path(state)))
    if stack or chosen is not None:
        return _aws(named, stack, functions, chosen)
    if above is None:
        raise TroubleError(NOWHERE, REFUSED)
    return state_folder.running(above, None, functions, "esteira local up")


def _aws(named: Named, stack: str | None, functions: str | None, chosen: Mapping[str, str] | None) -> Where:
    """AWS as it was named; what was not named is as remembered."""
    chosen = {} if chosen is None or named.profile else chosen
    return Where(
        stack or chosen.get("stack") or "esteira",
        functions=functions,
        profile=named.profile or chosen.get("profile", ""),
        region=named.region or chosen.get("region", ""),
    )


def _start(state: Path) -> str:
    return f"esteira local up --state {state}"
