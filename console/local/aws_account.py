"""The account and Region of the local AWS, the keys that clients use there, and the names of resources in it."""

from __future__ import annotations

ACCOUNT = "123456789012"
REGION = "us-east-1"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_DEFAULT_REGION": REGION}


def arn(service: str, resource: str, *, region: str = REGION, account: str = ACCOUNT) -> str:
    """``arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE``."""
    return f"arn:aws:{service}:{region}:{account}:{resource}"
