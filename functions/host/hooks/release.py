"""Read ``release.json`` and print it as bash assignments, every value quoted: ``release.sh`` evaluates them.

``python3 release.py PATH`` exits 0 with the assignments on standard output, or 1 with one sentence there that names
the file, the field and what it should hold. Runs under the host's own Python (3.9 on Amazon Linux 2023), so nothing
newer is used and nothing is imported from outside the standard library.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

# The upper bounds keep a wait, and ten minutes for the host's lock, inside the timeouts of appspec.yml.
NUMBERS = {
    "number": (1, 10**9),
    "port": (0, 65535),
    "startup_seconds": (1, 1500),
    "drain_seconds": (0, 1500),
    "validation_seconds": (1, 1500),
    "min_ready_seconds": (0, 600),
    "max_body_mb": (0, 2**20),
    "response_seconds": (1, 86400),
    "memory_mb": (0, 2**24),
}
TEXTS = {
    "service": (r"[a-z][a-z0-9-]{0,62}", "lower-case letters, digits and hyphens"),
    "release": (r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", "a name such as v17"),
    "commit": (r"[0-9a-f]{0,64}", "a commit in hexadecimal, or nothing"),
    "stage": (r"[a-z][a-z0-9-]{0,62}", "lower-case letters, digits and hyphens"),
    "digest": (r"sha256:[0-9a-f]{64}", "sha256: and 64 hexadecimal digits"),
    "image": (r"[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}", "REPOSITORY@sha256:…"),
    "health_path": (r"(/[!-~]*)?", "a path that begins with / and holds no space, or nothing"),
    "when_memory_is_short": (r"refuse|stop-first", "refuse or stop-first"),
}
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID", "SYS_CHROOT",
)  # fmt: skip
# What may be left out. port 0: what the image exposes, or where the container is found to listen. health_path "": the
# first of a short list that answers. validation_seconds: how long after the traffic turned the host waits for
# ValidateService before it puts the former release back by itself. min_ready_seconds: how long it is judged by what it
# answers, before the former one may go. max_body_mb 0: any size. memory_mb 0: nine tenths of what the host has.
# capabilities: what the container may do of what root may; Docker's other ones stay away from every container.
DEFAULTS: dict[str, Any] = {
    "commit": "",
    "port": 0,
    "health_path": "",
    "validation_seconds": 120,
    "min_ready_seconds": 10,
    "max_body_mb": 100,
    "response_seconds": 3600,
    "memory_mb": 0,
    "when_memory_is_short": "refuse",
    "capabilities": [],
    "environment": {},
    "parameters": {},
}


def problem_of(release: Any) -> str:
    """Return "" for a release the hooks can run, or what is wrong with which field."""
    if not isinstance(release, dict):
        return "it is not a JSON object"
    for name, (pattern, wanted) in TEXTS.items():
        value = field(release, name)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            return f"{name} is {value!r}, expected {wanted}"
    for name, (least, most) in NUMBERS.items():
        value = field(release, name)
        if type(value) is not int or not least <= value <= most:
            return f"{name} is {value!r}, expected a whole number from {least} to {most}"
    if not release["image"].endswith("@" + release["digest"]):
        return f"image is {release['image']!r}, expected it to end in @{release['digest']}"
    given = field(release, "capabilities")
    if not isinstance(given, list) or not all(isinstance(one, str) and one in CAPABILITIES for one in given):
        return f"capabilities is {given!r}, expected a list of some of {', '.join(CAPABILITIES)}"
    return problem_of_environment(field(release, "environment"), field(release, "parameters"))


def field(release: dict[str, Any], name: str) -> Any:
    """A field, or its default where it is null or absent: an image pushed from elsewhere has no commit."""
    value = release.get(name)
    return DEFAULTS.get(name) if value is None else value


def problem_of_environment(environment: Any, parameters: Any) -> str:
    """Return "" for two maps of variable names to texts, or what is wrong; no value is shown, it may be secret."""
    for kind, named in (("environment", environment), ("parameters", parameters)):
        if not isinstance(named, dict):
            return f"{kind} is not a JSON object"
        for name, value in named.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                return f"{kind} names {name!r}, expected letters, digits and underscores"
            if not isinstance(value, str) or "\0" in value:
                return f"{kind}'s {name} is not a text"
    for name, path in parameters.items():
        if name in environment:
            return f"{name} is in environment and in parameters, expected it in one of them"
        if not re.fullmatch(r"[A-Za-z0-9_./-]{1,1011}", path):
            return f"parameters' {name} is {path!r}, expected the name of an SSM parameter such as /heart/token"
    return ""


def assignments(release: dict[str, Any]) -> str:
    """The release as bash assignments, with IDENTITY and its environment added.

    IDENTITY is equal for two releases whose containers would be equal: a stopped container with the same one may be
    started again in place of a new one.
    """
    values = [field(release, name) for name in ("service", "release", "stage", "image", "port", "memory_mb")]
    capabilities = field(release, "capabilities")
    made_of = [*values, capabilities, field(release, "environment"), field(release, "parameters")]
    identity = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
    lines = [f"{name.upper()}={shlex.quote(str(field(release, name)))}" for name in (*TEXTS, *NUMBERS)]
    names = " ".join(shlex.quote(path) for path in field(release, "parameters").values())
    lines += [f"IDENTITY={identity}", f"PARAMETERS=({names})", "PARAMETER_VERSIONS="]
    lines += [f"CAPABILITIES=({' '.join(capabilities)})"]
    return "\n".join([*lines, environment_assignments(field(release, "environment"))])


def environment_assignments(environment: dict[str, str]) -> str:
    """ENV_FILE, what ``docker run --env-file`` is to read, and ENV_OTHERS, what such a file cannot hold."""
    others = {name: value for name, value in environment.items() if re.search(r"[\r\n]", value) or len(value) > 50_000}
    text = "\n".join(f"{name}={value}" for name, value in environment.items() if name not in others)
    options = " ".join(shlex.quote(f"{name}={value}") for name, value in others.items())
    return f"ENV_FILE={shlex.quote(text)}\nENV_OTHERS=({options})"


def read(path: Path) -> dict[str, Any]:
    """The release. Raises ValueError or OSError with what is wrong with it."""
    release: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    problem = problem_of(release)
    if problem:
        raise ValueError(problem)
    return release


def main(path: Path) -> int:
    """Print the assignments, or the sentence why not; return the exit status."""
    try:
        print(assignments(read(path)))
    except (OSError, ValueError) as error:
        print(f"release.json cannot be used: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
