"""Fetch what ``release.json`` names under ``parameters`` from SSM and print it as bash assignments.

``python3 parameters.py PATH AWS [REGION]`` exits 0 with PARAMETER_VERSIONS, ENV_FILE and ENV_OTHERS on standard output
(the whole environment, the plain part of it included), or 1 with one sentence there that names the parameter. It asks
by the ``aws`` command, whose path is AWS, as the host's own role; values pass through memory only. Runs under the
host's own Python (3.9 on Amazon Linux 2023), so nothing newer is used and nothing is imported from outside the standard
library.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from release import environment_assignments, field, read

AT_ONCE = 10  # names in one GetParameters
SECONDS = 30


class FetchError(Exception):
    """A parameter that cannot be had; the one sentence why."""


def fetched(names: list[str], aws: str, region: str) -> dict[str, dict[str, Any]]:
    """SSM's word on each parameter, by name. Raises FetchError."""
    found: dict[str, dict[str, Any]] = {}
    for first in range(0, len(names), AT_ONCE):
        answer = asked(names[first : first + AT_ONCE], aws, region)
        if answer.get("InvalidParameters"):
            raise FetchError(f"there is no SSM parameter {answer['InvalidParameters'][0]} in this region")
        found.update({each["Name"]: each for each in answer["Parameters"]})
    return found


def asked(names: list[str], aws: str, region: str) -> dict[str, Any]:
    """The answer to one GetParameters. Raises FetchError with the last line of what aws said."""
    command = [aws, "ssm", "get-parameters", "--with-decryption", "--output", "json", "--names", *names]
    command += ["--region", region] if region else []
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603
        said = done.stderr.decode("ascii", "replace").strip() or "it said nothing"
        if done.returncode == 0:
            return dict(json.loads(done.stdout))
    except (subprocess.TimeoutExpired, ValueError) as error:
        said = "no answer in time" if isinstance(error, subprocess.TimeoutExpired) else "no JSON came"
    raise FetchError(f"the SSM parameters {', '.join(names)} cannot be read: {said.splitlines()[-1][:200]}")


def main(path: Path, aws: str, region: str) -> int:
    """Print the assignments, or the sentence why not; return the exit status."""
    try:
        release = read(path)
        parameters: dict[str, str] = field(release, "parameters")
        found = fetched(sorted(set(parameters.values())), aws, region)
        secret = {name: str(found[at]["Value"]) for name, at in parameters.items()}
        versions = ",".join(f"{name}={each['Version']}" for name, each in sorted(found.items()))
    except (OSError, ValueError, FetchError) as error:
        print(error)
        return 1
    print(f"PARAMETER_VERSIONS={shlex.quote(versions)}")
    print(environment_assignments({**field(release, "environment"), **secret}))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else ""))
