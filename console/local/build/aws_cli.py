"""The ``aws`` that builds and hosts meet where the AWS CLI is not installed on this machine.

Three commands that every release needs it does itself, as the CLI takes a second to start: ECR's password for ``docker
login``, the SSM parameters of a release's environment, and the reports of a host's watcher. Anything else is done by
the AWS CLI. It is version 1, the one that is a Python package; it is installed when it is first needed, and speaks to
the local AWS by AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import argparse
import base64
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from console.local.process.packages import LABEL, Install, PackageError, Packages

CLI = "awscli>=1.40,<2"
_ONLY_IN_2 = ("--no-cli-pager", "--no-cli-auto-prompt")  # CodeBuild's images have version 2


class _OtherError(Exception):
    """A command that is the CLI's."""


class _AwsParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _OtherError(message)


def main(argv: Sequence[str], packages: Path) -> int:
    """Do one aws command; its exit status. ``packages`` is where the CLI is installed."""
    parser = _AwsParser(prog="aws", add_help=False, allow_abbrev=False)
    parser.add_argument("service")
    parser.add_argument("command")
    parser.add_argument("--region")
    parser.add_argument("--output", choices=["json"])
    parser.add_argument("--names", nargs="+", default=[])
    parser.add_argument("--with-decryption", action="store_true")
    parser.add_argument("--entries", type=json.loads)
    commands: dict[tuple[str, str], Callable[[Any, argparse.Namespace], str]] = {
        ("ecr", "get-login-password"): _password,
        ("ssm", "get-parameters"): _parameters,
        ("events", "put-events"): _events,
    }
    words = [word for word in argv if word not in _ONLY_IN_2]
    try:
        given = parser.parse_args(words)
        do = commands[given.service, given.command]
    except (_OtherError, KeyError):
        return _installed(words, Packages(packages))
    import boto3  # here, because it costs more than a refusal
    from botocore.exceptions import BotoCoreError, ClientError

    make: Any = boto3.client
    try:
        print(do(make(given.service, region_name=given.region), given))
    except (BotoCoreError, ClientError) as error:
        print(f"aws: {error}", file=sys.stderr)
        return 1
    return 0


def _installed(words: Sequence[str], packages: Packages) -> int:
    """Do the command by the AWS CLI; its exit status."""
    try:
        key = packages.install(Install((CLI,)), {}, "/", lambda _: None)
    except PackageError as error:
        print(f"aws: the AWS CLI is not on this machine and cannot be installed: {error}", file=sys.stderr)
        return 1
    sites = [str(site) for site in packages.of({LABEL: key})]
    start = "sys.argv[0] = 'aws'; from awscli.clidriver import main; sys.exit(main())"
    code = f"import sys; sys.path[:0] = {sites!r}; {start}"
    return subprocess.run([sys.executable, "-I", "-c", code, *words], check=False).returncode


def _password(ecr: Any, _: argparse.Namespace) -> str:
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return base64.b64decode(token).decode().partition(":")[2]


def _parameters(ssm: Any, given: argparse.Namespace) -> str:
    answer = ssm.get_parameters(Names=given.names, WithDecryption=given.with_decryption)
    told = {name: answer.get(name, []) for name in ("Parameters", "InvalidParameters")}
    return json.dumps(told, indent=4, default=str)


def _events(events: Any, given: argparse.Namespace) -> str:
    told = events.put_events(Entries=given.entries)
    return json.dumps({name: told[name] for name in ("FailedEntryCount", "Entries")}, indent=4)


def program(packages: Path) -> str:
    """The script that calls this ``aws`` with the console's interpreter. ``-I`` shuts out the caller's PYTHONPATH and
    directory: both may hold a module with the same name as ours."""
    here = Path(__file__).resolve().parents[3]
    code = (
        f"import sys; sys.path[:0] = {[str(here), str(here / 'functions')]!r}; from pathlib import Path; "
        f"from {__name__} import main; sys.exit(main(sys.argv[1:], Path({str(packages.absolute())!r})))"
    )
    return f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -c {shlex.quote(code)} "$@"\n'
