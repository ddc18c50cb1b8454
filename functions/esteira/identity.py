"""Who an operator is, proven: Lambda does not tell a function who invoked it, so the caller brings a proof.

The proof is a request to STS, ``GetCallerIdentity``, that the caller signed and did not send. This sends it, and STS
answers with the ARN of whoever holds the key: nobody needs to trust what the caller says, and the key never leaves
its machine. Vault's AWS login and the Kubernetes authenticator of EKS do the same.

What makes it a proof for this one request, and safe to send: among the signed headers is the hash of the request, so it
fits no other; of all that is sent only the headers of a fixed list are the caller's, never the address; and STS refuses
a signature that is older than fifteen minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field

from esteira.config import Strict
from esteira.posting import post
from esteira.refusal import Refused

HEADER = "x-esteira-request"
# How addresses end in the partitions that do not end in amazonaws.com, by the Region's beginning.
SUFFIXES = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "us-iso-": "c2s.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
}
BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
# What a signature needs to be checked, and no header more: not the host, which is ours to say.
TAKEN = {"authorization", "content-type", "x-amz-date", "x-amz-security-token", HEADER}
_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=[^,\s]+, ?SignedHeaders=([a-z0-9;-]+), ?Signature=[0-9a-f]{64}")
_ARN = re.compile(rb"<Arn>(arn:[^<\s]{1,2000})</Arn>")

UNPROVEN = "AWS did not prove who says it now"  # in a refusal: the command line then sends a proof
AGAIN = "Next: the same command once more, which signs anew"


class UnaskedError(Exception):
    """STS could not be asked, so nothing is proven and nobody is at fault."""


class Proof(Strict):
    """The headers of a signed ``GetCallerIdentity``."""

    headers: Annotated[dict[str, Annotated[str, Field(max_length=8192)]], Field(max_length=len(TAKEN))]


def digest(request: Mapping[str, Any]) -> str:
    """The hash of a request without its proof: what a proof is signed for."""
    bare = {name: value for name, value in request.items() if name != "proof"}
    return hashlib.sha256(json.dumps(bare, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def address(region: str, endpoint: str = "") -> str:
    """Where STS is: the Region's own, or whatever stands for AWS (``AWS_ENDPOINT_URL``)."""
    suffix = next((suffix for begins, suffix in SUFFIXES.items() if region.startswith(begins)), "amazonaws.com")
    return endpoint or f"https://sts.{region}.{suffix}/"


def caller(proof: Proof, request: Mapping[str, Any]) -> str:
    """The ARN of who signed the proof. Raises Refused where it proves nothing about this request, UnaskedError
    where STS does not say."""
    headers = {name.lower(): value for name, value in proof.headers.items()}
    _check(headers, request)
    sts = urlsplit(address(os.environ.get("AWS_REGION", ""), os.environ.get("AWS_ENDPOINT_URL", "")))
    try:
        status, answer = post(sts, headers, BODY)
    except Exception as error:
        raise UnaskedError(f"STS could not be asked who signed a request ({type(error).__name__})") from error
    found = _ARN.search(answer)
    if status == 200 and found:
        return found[1].decode()
    if 400 <= status < 500:
        raise Refused(
            f"AWS does not know who signed this ({_code(answer)}). "
            f"Next: aws sts get-caller-identity, which must answer; then the same command once more"
        )
    raise UnaskedError(f"STS answered {status} when it was asked who signed a request")


def _check(headers: Mapping[str, str], request: Mapping[str, Any]) -> None:
    """Refuse what needs no STS to be refused."""
    foreign = sorted(set(headers) - TAKEN)
    signed = _SIGNED.fullmatch(headers.get("authorization", ""))
    if foreign:
        fault = f"the header {foreign[0][:40]!r} has no place in it"
    elif any(not value.isascii() or not value.isprintable() for value in headers.values()):
        fault = "a header of it is no line of text"
    elif signed is None:
        fault = "it bears no signature"
    elif not {HEADER, "host"} <= set(signed[1].split(";")):
        fault = f"{HEADER} is not among what was signed"
    elif headers.get(HEADER) != digest(request):
        fault = "it was signed for another request"
    else:
        return
    raise Refused(f"the proof of who you are is refused: {fault}. {AGAIN}")


def _code(answer: bytes) -> str:
    found = re.search(rb"<Code>([A-Za-z]{1,60})</Code>", answer)
    return found[1].decode() if found else "without saying why"
