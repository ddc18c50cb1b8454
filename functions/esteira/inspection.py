"""What a push changed, and what must not be built: paths classed, ignored paths skipped, secrets refused.

Pure but for ``read``, by which the caller hands over a file's bytes. Patterns are shell globs: one without a slash
matches a file's name in any folder, one with a slash the whole path, where ``*`` also crosses folders.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from esteira.config import Classes, Service

# A push of more text files than this has the rest checked by name only: the function has a minute in all.
READ_AT_MOST = 300

_SECRET_NAMES = (
    "*.pem", "*.p12", "*.pfx", "*.ppk", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".aws/credentials",
    "*/.aws/credentials",
)  # fmt: skip
_BINARY = (
    ".bin", ".bmp", ".gif", ".gz", ".h5", ".ico", ".jpeg", ".jpg", ".mp4", ".npy", ".npz", ".onnx", ".parquet", ".pdf",
    ".png", ".pt", ".pth", ".rds", ".safetensors", ".so", ".tar", ".webp", ".whl", ".woff", ".woff2", ".xz", ".zip",
)  # fmt: skip
_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
# The four-letter prefixes of long-lived and temporary access keys; AWS's documentation's own end in EXAMPLE.
_ACCESS_KEY = re.compile(rb"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])")


@dataclass(frozen=True)
class Change:
    """One changed path; ``blob`` is the id of its new content, "" where it was deleted."""

    path: str
    blob: str


@dataclass(frozen=True)
class Inspection:
    """What came of looking at a push: reasons not to build it, or ""."""

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    skipped: str
    rejected: str
    note: str


def inspect(
    service: Service, changes: Sequence[Change], first: bool, read: Callable[[str], bytes | None]
) -> Inspection:
    """Look at what a push changed.

    ``first`` says that ``changes`` is the whole tree, which is never skipped. ``read`` returns a blob's bytes, or None
    where it is too large to be had.
    """
    paths = tuple(sorted(c.path for c in changes))
    rejected, unread = _secrets(service, changes, read)
    ignored = not first and bool(paths) and all(matches(p, service.ignored_paths) for p in paths)
    return Inspection(
        classes=tuple(sorted({class_of(p, service.path_classes) for p in paths})),
        paths=paths,
        skipped=f"only ignored paths changed: {_few(paths)}" if ignored and not rejected else "",
        rejected=rejected,
        note=f"{unread} files were checked by name only" if unread else "",
    )


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether one of the globs matches ``path``."""
    name = path.rsplit("/", 1)[-1]
    return any(fnmatchcase(path if "/" in pattern else name, pattern) for pattern in patterns)


def class_of(path: str, classes: Classes) -> str:
    """What a path is: infrastructure, data, model or application."""
    for name in ("infrastructure", "data", "model"):
        if matches(path, getattr(classes, name)):
            return name
    return "application"


def _secrets(service: Service, changes: Sequence[Change], read: Callable[[str], bytes | None]) -> tuple[str, int]:
    """The sentence that names the first secret found, or "", and how many files were not read."""
    there = [c for c in changes if c.blob and not matches(c.path, service.guard.allow)]
    for change in there:
        if matches(change.path.lower(), _SECRET_NAMES):
            return _refusal(change.path, "looks like a private key or credential by its name"), 0
    texts = [c for c in there if not c.path.lower().endswith(_BINARY)]
    unread = max(0, len(texts) - READ_AT_MOST)
    for change in texts[:READ_AT_MOST]:
        content = read(change.blob)
        if content is None:
            unread += 1
        elif found := _secret_in(content):
            return _refusal(change.path, found), 0
    return "", unread


def _secret_in(content: bytes) -> str:
    if b"\0" in content[:8000]:
        return ""
    if _PRIVATE_KEY.search(content):
        return "holds a private key"
    if any(not m[0].endswith(b"EXAMPLE") for m in _ACCESS_KEY.finditer(content)):
        return "holds an AWS access key id"
    return ""


def _refusal(path: str, found: str) -> str:
    return (
        f"{path} {found}; remove it from the tree, rotate the secret, and push again "
        f"(if it is none, add its path to guard.allow in the service's configuration)"
    )


def _few(paths: Sequence[str]) -> str:
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
