"""Secrets that are known by where they stand: in an address, in a command's options, in a call that logs in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from guard.values import is_drawn, is_example, is_password

_QUOTE = r"""\\?["']"""
_TEXT = r"""[^"'\\\n]"""
# user:password@host after ://; a password may hold a colon and an at sign of its own only where it is encoded.
_ADDRESS = re.compile(
    r"""://(?P<user>[^\s:/@"'`<>]{0,80}):(?P<secret>[^\s:/@"'`<>]{3,200})@(?P<host>[^\s/"'`:<>?]{1,120})"""
)
_WORDS = re.compile(
    r"pass(?:word|wd|wort)?|secret|pwd?|token|postgres|root|admin|user(?:name)?|key|guest", re.IGNORECASE
)
_EXAMPLE_HOST = re.compile(r"example\.|\bhost(?:name)?$|^(?:HOST|SERVER)", re.IGNORECASE)

_ROWS: tuple[tuple[str, str, str, Callable[[str], bool]], ...] = (
    ("a password", "thin:", r"jdbc:oracle:thin:[\w$]+/(?P<secret>[^\s@\"']{4,100})@", is_password),
    ("a password", "curl", r"\bcurl\b[^\n|]{0,300}?\s(?:-u|--user)[ =]?[\"']?[\w.@+-]+:(?P<secret>[^\s\"'$]{4,100})", is_password),
    ("a password", "mysql", r"\bmysql\w*\b[^\n|]{0,300}?\s-p(?P<secret>[^\s\"'$-][^\s\"'$]{3,100})", is_password),
    ("a password", " login", r"\b(?:docker|podman|helm registry|buildah|skopeo|oras|az acr)\s+login\b[^\n|]{0,200}?\s-p[ =]?[\"']?(?P<secret>[^\s\"'$]{4,200})", is_password),
    ("a password", "sshpass", r"\bsshpass\s+-p[ ]?[\"']?(?P<secret>[^\s\"'$]{4,100})", is_password),
    ("a password", "IDENTIFIED", rf"IDENTIFIED\s+(?:WITH\s+\S+\s+)?BY\s+{_QUOTE}(?P<secret>{_TEXT}{{4,100}})", is_password),
    ("a password", "SecureString", rf"ConvertTo-SecureString\s+(?:-String\s+)?{_QUOTE}(?P<secret>{_TEXT}{{4,100}})", is_password),
    ("a password", "machine", r"\bmachine\s+\S{1,100}\s+login\s+\S{1,100}\s+password\s+(?P<secret>\S{4,200})", is_password),
    ("an Authorization header", "Basic ", r"[Aa]uthorization\\?[\"']?\s*[:=,]\s*\\?[\"']?Basic\s+(?P<secret>[A-Za-z0-9+/]{12,}={0,2})", lambda value: not is_example(value)),
    ("a bearer token", "earer ", r"[Bb]earer\s+(?P<secret>[\w.+/=~-]{16,2000})", is_drawn),
    ("a Kaggle key", "username", rf"{_QUOTE}username{_QUOTE}\s*:\s*{_QUOTE}[^\"'\\]{{1,80}}{_QUOTE}\s*,\s*{_QUOTE}key{_QUOTE}\s*:\s*{_QUOTE}(?P<secret>[a-f0-9]{{32}})", is_drawn),
    ("a key", "wandb", r"wandb\s*(?:\.login\(|login\s).{0,40}?(?P<secret>[a-f0-9]{40})", is_drawn),
)  # fmt: skip
# A text in lower case is searched for the names of calls first, many times faster than for the calls themselves.
_CALL = re.compile("auth|login|connect|credential|database|server|client|bot|updater|api|init|setup|register|session")
_WITH_USER = ("auth", "login", "connect", "credential", "database")
# login("user", "password"), auth=("user", "password"), database('name','user','password')
_PAIR = re.compile(
    rf"""\w{{0,30}}\s?=?\s?\(\s{{0,20}}"""
    rf"""(?:{_QUOTE}{_TEXT}{{1,100}}{_QUOTE}\s{{0,20}},\s{{0,20}}){{1,3}}{_QUOTE}(?P<secret>{_TEXT}{{6,100}}){_QUOTE}\s{{0,20}}[,)]"""
)
# Client("…"), login("…"): the one argument is drawn at random.
_ALONE = re.compile(rf"""\w{{0,30}}\s?\(\s{{0,20}}{_QUOTE}(?P<secret>[\w./+=~-]{{24,400}}){_QUOTE}\s{{0,20}}[,)]""")
# host:port:database:user:password, a line each
_PGPASS = re.compile(r"^[\w.*-]{1,120}:(?:\d{2,5}|\*):[\w.*-]{1,60}:[\w.@-]{1,60}:(?P<secret>\S{4,200})$", re.MULTILINE)
_compiled: list[tuple[str, str, re.Pattern[str], Callable[[str], bool]]] = []


def logins(text: str, lower: str) -> Iterator[tuple[int, int, str]]:
    """Where a secret begins and ends, and what it is called. ``lower`` is the text in lower case."""
    yield from _addresses(text)
    yield from _calls(text, lower)
    if not _compiled:
        _compiled.extend((kind, hint, re.compile(pattern), judge) for kind, hint, pattern, judge in _ROWS)
    for kind, hint, pattern, judge in _compiled:
        if hint in text:
            yield from _judged(pattern, text, kind, judge)
    if ":" in text:
        yield from _judged(_PGPASS, text, "a password", lambda value: is_password(value) and "/" not in value)


def _calls(text: str, lower: str) -> Iterator[tuple[int, int, str]]:
    for name in _CALL.finditer(lower):
        pair = _PAIR.match(text, name.end()) if name[0] in _WITH_USER else None
        if pair and is_password(pair["secret"]):
            yield pair.start("secret"), pair.end("secret"), "a password"
        alone = None if pair else _ALONE.match(text, name.end())
        if alone and is_drawn(alone["secret"]):
            yield alone.start("secret"), alone.end("secret"), "a key"


def _judged(
    pattern: re.Pattern[str], text: str, kind: str, judge: Callable[[str], bool]
) -> Iterator[tuple[int, int, str]]:
    for match in pattern.finditer(text):
        if judge(match["secret"]):
            yield match.start("secret"), match.end("secret"), kind


def _addresses(text: str) -> Iterator[tuple[int, int, str]]:
    at = text.find("://")
    while at >= 0:
        match = _ADDRESS.match(text, at)
        if match and not _is_public(match["user"], match["secret"], match["host"]):
            yield match.start("secret"), match.end("secret"), "a password in an address"
        at = text.find("://", at + 3)


def _is_public(user: str, secret: str, host: str) -> bool:
    plain = _WORDS.fullmatch(secret) or secret == user or is_example(secret) or is_example(host)
    return bool(plain or _EXAMPLE_HOST.search(host))
