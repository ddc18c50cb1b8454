"""The account and Region of the local AWS, the keys that clients use there, and the names of resources in it."""

from __future__ import annotations

ACCOUNT = "123456789012"
REGION = "us-east-1"
ACCESS_KEY = "local"  # the name of who signs with it


def credentials(secret: str) -> dict[str, str]:
    """The variables of a program that speaks to the local AWS whose secret key this is."""
    return {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": REGION}


def arn(service: str, resource: str, *, region: str = REGION, account: str = ACCOUNT) -> str:
    """``arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE``."""
    return f"arn:aws:{service}:{region}:{account}:{resource}"
