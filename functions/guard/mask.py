"""A text without its secrets: what a host, the controller and the console do before they show or store one.

``python3 mask.py RELEASE ENVIRONMENT`` masks standard input on a host: by the rules, by the values of the parameters
that RELEASE (``release.json``) names, and by what else in the container's environment is a secret. ENVIRONMENT is a
file with that environment as JSON, as ``docker inspect`` prints it, so that no value is on a command line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Iterable
from pathlib import Path

if __name__ == "__main__":  # on a host this folder lies in the bundle, beside the hooks
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from guard.search import secrets

MASKED = "[masked]"
LEAST = 4  # a shorter value would be found in any word
MOST = 65_536  # characters of a text, from its end


def masked(text: str, values: Iterable[str] = ()) -> str:
    """The text with every secret of a known form or name, and every one of ``values``, replaced."""
    text = text[-MOST:]
    spans = [(secret.start, secret.end) for secret in secrets(text)]
    for value in sorted(set(_written(values)), key=len, reverse=True):
        at = text.find(value)
        while at >= 0:
            spans.append((at, at + len(value)))
            at = text.find(value, at + len(value))
    parts, end = [], 0
    for start, stop in sorted(spans):
        if start >= end:
            parts += [text[end:start], MASKED]
        end = max(end, stop)
    return "".join([*parts, text[end:]])


def _written(values: Iterable[str]) -> Iterable[str]:
    """Each value as it is, by its lines, and as JSON, Python and an address write it."""
    from urllib.parse import quote

    for value in values:
        forms = (value, *value.splitlines(), json.dumps(value)[1:-1], repr(value)[1:-1], quote(value, safe=""))
        yield from (form for form in forms if len(form) >= LEAST)


def secret_values(environment: Iterable[str], parameters: Container[str] = ()) -> list[str]:
    """The values of a container's environment (``NAME=value`` each) that are secrets: those behind ``parameters``, and
    those that the rules find."""
    pairs = (each.partition("=") for each in environment)
    return [value for name, _, value in pairs if name in parameters or any(secrets(f"{name}='{value}'"))]


def main(release: str, environment: str) -> int:
    """Mask standard input; return the exit status. Nothing is printed where it cannot be done."""
    parameters = json.loads(Path(release).read_text(encoding="utf-8")).get("parameters") or {}
    values = secret_values(json.loads(Path(environment).read_text(encoding="utf-8")) or (), parameters)
    text = sys.stdin.buffer.read().decode("utf-8", "replace")
    sys.stdout.buffer.write(masked(text, values).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
