"""AWS's signature (version 4) as the local AWS checks it: every request is signed with the secret key of this run.

The access key says who calls, and may be any name, so that several people can be played on one machine; the secret
key proves that the caller can read the run's credentials file.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from console.local.aws.api import AwsError

OLDEST = timedelta(minutes=15)  # AWS's own limit
CONTENT = "x-amz-content-sha256"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/,\s]+)/(?P<day>\d{8})/(?P<region>[^/,\s]+)/(?P<service>[^/,\s]+)"
    r"/aws4_request,\s*SignedHeaders=(?P<names>[^,\s]+),\s*Signature=(?P<signature>[0-9a-f]{64})"
)


def new_secret() -> str:
    """A secret key for one run."""
    return secrets.token_hex(20)


def check(secret: str, method: str, target: str, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Raise AWS's error where a request is not signed with ``secret``. ``target`` is its path and query as they came,
    the names of ``headers`` are in lower case."""
    found = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
    if found is None:
        raise AwsError("MissingAuthenticationTokenException", "The request is not signed.")
    at = _time(headers.get("x-amz-date", ""))
    if at is None or at.strftime("%Y%m%d") != found["day"] or abs(now - at) > OLDEST:
        raise AwsError("InvalidSignatureException", "The request was signed more than 15 minutes ago, or ahead.")
    names = found["names"].split(";")
    if not {"host", "x-amz-date"} <= set(names) or not headers.keys() >= set(names) or not _is_of(body, headers):
        raise AwsError("InvalidSignatureException", "The signature does not cover the request.")
    request = AWSRequest(method, f"http://{headers['host']}{target}", {name: headers[name] for name in names}, body)
    request.context["timestamp"] = headers["x-amz-date"]
    # S3 alone takes a path as it is
    maker = S3SigV4Auth if found["service"] == "s3" else SigV4Auth
    auth = maker(Credentials(found["key"], secret), found["service"], found["region"])
    right = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    if not hmac.compare_digest(right, found["signature"]):
        raise AwsError("InvalidSignatureException", "The request is not signed with the secret key of this run.")


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _is_of(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether the hash that a request names, where it names one, is its body's."""
    return headers.get(CONTENT, digest := hashlib.sha256(body).hexdigest()) == digest
