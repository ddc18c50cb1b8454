"""Whose account and Region it is: asked of AWS, and held against what was named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from console.read.where import REFUSED, TroubleError

AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu")


def is_aws(client: Any) -> bool:
    """Whether AWS itself answers a client, and no stand-in."""
    return (urlsplit(client.meta.endpoint_url).hostname or "").endswith(AWS_HOSTS)


def require_account(client: Callable[[str], Any], account: str, region: str) -> str:
    """Who asks, as an ARN. Raises TroubleError where the account or the Region are not those that were named."""
    sts = client("sts")
    told = sts.get_caller_identity()
    if told["Account"] != account:
        raise TroubleError(
            f"the credentials are of account {told['Account']}, and {account} was named; nothing was made. "
            f"Next: --profile of {account}, or --account {told['Account']} if that is meant",
            REFUSED,
        )
    if sts.meta.region_name != region:
        raise TroubleError(
            f"the clients speak to {sts.meta.region_name}, and {region} was named; nothing was made. "
            f"Next: --region {sts.meta.region_name} if that is meant",
            REFUSED,
        )
    return str(told["Arn"])
