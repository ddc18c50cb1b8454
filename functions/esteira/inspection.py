"""What a push changed, and what must not be built: paths classed, ignored paths skipped, secrets refused.

Pure: whoever calls hands over the files' contents. Patterns are shell globs: one without a slash matches a file's name
in any folder, one with a slash the whole path from the service's folder, where ``*`` also crosses folders.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from esteira.config import Classes, Service

SUBMODULE = "160000"  # git's mode of one
NAMED = 20  # of the files that were not searched, so many are named


@dataclass(frozen=True)
class Change:
    """One changed path; ``blob`` is the id of its new content, "" where it was deleted; ``mode`` is git's."""

    path: str
    blob: str
    mode: str = ""


@dataclass(frozen=True)
class Search:
    """What came of searching the first ``through`` files of a push: a secret, or what could not be searched."""

    through: int = 0
    secret: str = ""
    unread: int = 0
    named: tuple[str, ...] = ()  # the first of those, with the reason
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inspection:
    """What came of looking at a push: reasons not to build it, or ""."""

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    skipped: str
    rejected: str
    note: str


def to_search(service: Service, changes: Sequence[Change]) -> tuple[Change, ...]:
    """The files to search, in their order: where secrets are likely first, what is large or binary last."""
    from guard.reading import rank  # not while a function starts

    there = (c for c in changes if c.blob and not matches(c.path, service.guard.allow))
    return tuple(sorted(there, key=lambda c: (rank(c.path), c.path)))


def searched(search: Search, change: Change, content: bytes | str) -> Search:
    """The search with one more file; ``content`` is a sentence where the file could not be read."""
    from guard.reading import Looked, is_key_name, look

    if is_key_name(change.path):
        looked = Looked("looks like a private key or credential by its name")
    else:
        looked = Looked(unread=content) if isinstance(content, str) else look(change.path, content)
    named = f"{change.path} ({looked.unread})"
    note = looked.note or (f"the name of {change.path} is not UTF-8" if "\ufffd" in change.path else "")
    return replace(
        search,
        through=search.through + 1,
        secret=_refusal(change.path, looked.secret) if looked.secret else "",
        unread=search.unread + bool(looked.unread),
        named=(*search.named, named)[:NAMED] if looked.unread else search.named,
        notes=(*search.notes, note)[:NAMED] if note else search.notes,
    )


def inspect(service: Service, changes: Sequence[Change], first: bool, search: Search) -> Inspection:
    """What came of a push that was searched. ``first`` says that ``changes`` is the whole tree, never skipped."""
    paths = tuple(sorted(c.path for c in changes))
    return Inspection(
        classes=tuple(sorted({class_of(p, service.path_classes) for p in own_paths(service.folder, paths)})),
        paths=paths,
        skipped="" if search.secret else uncounted(service, paths, first=first),
        rejected=search.secret,
        note="; ".join([*search.notes, *_unread(search)]) if not search.secret else "",
    )


def own_paths(folder: str, paths: Iterable[str]) -> tuple[str, ...]:
    """The paths in a service's folder, as they are seen from there; all of them where it stands at the root."""
    prefix = f"{folder}/" if folder else ""
    return tuple(path.removeprefix(prefix) for path in paths if path.startswith(prefix))


def uncounted(service: Service, paths: Sequence[str], *, first: bool = False) -> str:
    """Why a push that changed these paths starts no release of the service, "" where it starts one."""
    own = own_paths(service.folder, paths)
    if paths and not own:
        return f"nothing in its folder {service.folder} changed: {_few(paths)}"
    ignored = not first and bool(own) and all(matches(path, service.ignored_paths) for path in own)
    return f"only ignored paths changed: {_few(paths)}" if ignored else ""


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


def _unread(search: Search) -> Iterable[str]:
    if search.unread:
        files = "1 file was" if search.unread == 1 else f"{search.unread} files were"
        more = f" and {search.unread - len(search.named)} more" if search.unread > len(search.named) else ""
        yield f"{files} not searched in full for secrets: {', '.join(search.named)}{more}"


def _refusal(path: str, found: str) -> str:
    return (
        f"{path} {found}; remove it from the tree, rotate the secret, and push again "
        f"(if it is none, add its path to guard.allow in the service's configuration)"
    )


def _few(paths: Sequence[str]) -> str:
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
