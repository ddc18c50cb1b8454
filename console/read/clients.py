"""The clients of AWS for where the controller is, and the wire to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from console.read.where import Where, local_credentials
from console.read.wire import Key, Wire

# A function may run for a minute; asked again because nobody listened, `operate` would still hear one request only.
ANSWER_SECONDS = 70


def clients(where: Where) -> Callable[[str], Any]:
    """A maker of botocore clients for ``where``; each is made once."""
    made: dict[str, Any] = {}

    def client(name: str) -> Any:
        from botocore.config import Config
        from botocore.session import get_session

        if name not in made:
            config = Config(
                retries={"mode": "standard", "max_attempts": 3}, connect_timeout=3, read_timeout=ANSWER_SECONDS
            )
            url = (where.functions if name == "lambda" else None) or where.endpoint
            make: Any = get_session().create_client
            made[name] = make(name, config=config, endpoint_url=url, **local_credentials(where))
        return made[name]

    return client


def wire(where: Where) -> Wire:
    """The wire to ``where``."""
    pretended = local_credentials(where)
    key = Key(pretended["aws_access_key_id"], pretended["aws_secret_access_key"]) if pretended else None
    return Wire(where.endpoint, where.functions, key, pretended.get("region_name", ""))
