"""The small ``aws`` that builds and hosts meet where the AWS CLI is not installed.

It can do what the buildspecs and the default bundle of this project ask of it: fetch ECR's password for ``docker
login``, and the SSM parameters of a release's environment. Everything else ends with exit status 1 and a sentence.
"""

from __future__ import annotations

import argparse
import base64
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

CAN = "aws ecr get-login-password, and aws ssm get-parameters --names …"


class _AwsParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        print(
            f"aws: {message}. The small aws of esteira's local mode can only: {CAN}. Install the AWS CLI for the rest: "
            "it reaches the local AWS by AWS_ENDPOINT_URL.",
            file=sys.stderr,
        )
        sys.exit(1)


def main(argv: Sequence[str] | None = None) -> int:
    """Do one aws command; its exit status."""
    parser = _AwsParser(prog="aws", add_help=False, allow_abbrev=False)
    parser.add_argument("service")
    parser.add_argument("command")
    parser.add_argument("--region")
    parser.add_argument("--output", choices=["json"])
    parser.add_argument("--names", nargs="+", default=[])
    parser.add_argument("--with-decryption", action="store_true")
    given = parser.parse_args(argv)
    commands: dict[tuple[str, str], Callable[[Any, argparse.Namespace], str]] = {
        ("ecr", "get-login-password"): _password,
        ("ssm", "get-parameters"): _parameters,
    }
    do = commands.get((given.service, given.command))
    if do is None:
        parser.error(f"it does not know {given.service} {given.command}")
    import boto3  # here, because it costs more than a refusal
    from botocore.exceptions import BotoCoreError, ClientError

    make: Any = boto3.client
    try:
        print(do(make(given.service, region_name=given.region), given))
    except (BotoCoreError, ClientError) as error:
        print(f"aws: {error}", file=sys.stderr)
        return 1
    return 0


def _password(ecr: Any, _: argparse.Namespace) -> str:
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return base64.b64decode(token).decode().partition(":")[2]


def _parameters(ssm: Any, given: argparse.Namespace) -> str:
    answer = ssm.get_parameters(Names=given.names, WithDecryption=given.with_decryption)
    told = {name: answer.get(name, []) for name in ("Parameters", "InvalidParameters")}
    return json.dumps(told, indent=4, default=str)


def program() -> str:
    """The script that calls the small ``aws`` with the console's interpreter. ``-I`` shuts out the caller's
    PYTHONPATH and directory: both may hold a module with the same name as ours."""
    here = Path(__file__).resolve().parents[3]
    code = f"import sys; sys.path.insert(0, {str(here)!r}); from {__name__} import main; sys.exit(main())"
    return f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -c {shlex.quote(code)} "$@"\n'


if __name__ == "__main__":
    sys.exit(main())
