"""The clients of AWS for where the controller is, and the wire to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from console.read.where import Where, local_credentials
from console.read.wire import Key, Wire

if TYPE_CHECKING:
    from botocore.session import Session

# A function may run for a minute; asked again because nobody listened, `operate` would still hear one request only.
ANSWER_SECONDS = 70


def session(where: Where) -> Session:
    """botocore's session for ``where``: the named profile and Region, else this machine's as the AWS CLI finds them.

    botocore itself does not read AWS_REGION, which the AWS CLI and Lambda do.
    """
    from botocore.session import Session

    made = Session(profile=where.profile or None)
    region = where.region or os.environ.get("AWS_REGION")
    if region:
        made.set_config_variable("region", region)
    return made


def clients(where: Where) -> Callable[[str], Any]:
    """A maker of botocore clients for ``where``; each is made once."""
    made: dict[str, Any] = {}

    def client(name: str) -> Any:
        from botocore.config import Config

        if name not in made:
            config = Config(
                retries={"mode": "standard", "max_attempts": 3}, connect_timeout=3, read_timeout=ANSWER_SECONDS
            )
            url = (where.functions if name == "lambda" else None) or where.endpoint
            make: Any = session(where).create_client
            made[name] = make(name, config=config, endpoint_url=url, **local_credentials(where))
        return made[name]

    return client


def wire(where: Where) -> Wire:
    """The wire to ``where``."""
    pretended = local_credentials(where)
    key = Key(pretended["aws_access_key_id"], pretended["aws_secret_access_key"]) if pretended else None
    return Wire(where.endpoint, where.functions, key, pretended.get("region_name", ""), lambda: session(where))
