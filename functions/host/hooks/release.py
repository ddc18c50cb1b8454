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
NUMBERS = {"number": (1, 10**9), "port": (1, 65535), "startup_seconds": (1, 1500), "drain_seconds": (0, 1500)}
TEXTS = {
    "service": (r"[a-z][a-z0-9-]{0,62}", "lower-case letters, digits and hyphens"),
    "release": (r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", "a name such as v17"),
    "commit": (r"[0-9a-f]{0,64}", "a commit in hexadecimal, or nothing"),
    "stage": (r"[a-z][a-z0-9-]{0,62}", "lower-case letters, digits and hyphens"),
    "digest": (r"sha256:[0-9a-f]{64}", "sha256: and 64 hexadecimal digits"),
    "image": (r"[a-z0-9][a-z0-9._:/-]*@sha256:[0-9a-f]{64}", "REPOSITORY@sha256:…"),
    "health_path": (r"/[!-~]*", "a path that begins with / and holds no space"),
}


def problem_of(release: Any) -> str:
    """Return "" for a release the hooks can run, or what is wrong with which field."""
    if not isinstance(release, dict):
        return "it is not a JSON object"
    for name, (pattern, wanted) in TEXTS.items():
        value = text_of(release, name)
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            return f"{name} is {value!r}, expected {wanted}"
    for name, (least, most) in NUMBERS.items():
        value = release.get(name)
        if type(value) is not int or not least <= value <= most:
            return f"{name} is {value!r}, expected a whole number from {least} to {most}"
    if not release["image"].endswith("@" + release["digest"]):
        return f"image is {release['image']!r}, expected it to end in @{release['digest']}"
    return problem_of_environment(release.get("environment", {}))


def text_of(release: dict[str, Any], name: str) -> Any:
    """Return a field; "" for a commit that is null or absent, as an image pushed from elsewhere has none."""
    value = release.get(name)
    return "" if name == "commit" and value is None else value


def problem_of_environment(environment: Any) -> str:
    """Return "" for a map of variable names to texts, or what is wrong; no value is shown, it may be secret."""
    if not isinstance(environment, dict):
        return "environment is not a JSON object"
    for name, value in environment.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            return f"environment names {name!r}, expected letters, digits and underscores"
        if not isinstance(value, str) or "\0" in value:
            return f"environment's {name} is not a text"
    return ""


def assignments(release: dict[str, Any]) -> str:
    """Return the release as bash assignments, with IDENTITY and ENVIRONMENT (``docker run``'s options) added.

    IDENTITY is equal for two releases whose containers would be equal: a stopped container with the same one may be
    started again in place of a new one.
    """
    environment = release.get("environment", {})
    made_of = [release[name] for name in ("service", "release", "stage", "image", "port")] + [environment]
    identity = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:16]
    lines = [f"{name.upper()}={shlex.quote(str(text_of(release, name)))}" for name in (*TEXTS, *NUMBERS)]
    options = " ".join(f"--env {shlex.quote(f'{name}={value}')}" for name, value in environment.items())
    return "\n".join([*lines, f"IDENTITY={identity}", f"ENVIRONMENT=({options})"])


def main(path: Path) -> int:
    """Print the assignments, or the sentence why not; return the exit status."""
    try:
        release = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problem = str(error)
    else:
        problem = problem_of(release)
    print(f"release.json cannot be used: {problem}" if problem else assignments(release))
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
