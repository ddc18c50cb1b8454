"""Whether a value that stands where a secret would is one: not an example, not a reference, not a word of code."""

from __future__ import annotations

import math
import re
from collections import Counter

# Examples of documentation, and what people write where the reader is to put a secret.
_HOLES = (
    r"example|sample|placeholder|dummy|your[-_ ]|[-_ ]your|yours?[A-Z]|redacted|xxxx|\*\*\*|\.\.\.|…|0{8}|1{6}|12345678"
    r"|abcdefgh|deadbeef|replace[-_ ]?(?:me|this|with)|goes[-_ ]?here|insert[-_ ]"
)
_HOLE = re.compile(_HOLES, re.IGNORECASE)
_EXAMPLE = re.compile(
    rf"{_HOLES}|change[-_ ]?(?:me|this|it)|chang[ei]t|fake|masked|hidden|todo|fixme|none|null|undefined|password|passwd"
    r"|passwort|secret|token|api[-_]?key|(?<![a-z])test|foobar|lorem|hunter2|localhost",
    re.IGNORECASE,
)
_KNOWN = (
    "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c", # jwt.io's own
    "IkpvaG4gRG9l", # its John Doe
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq", # the Azure storage emulator's
)  # fmt: skip
# $NAME, ${NAME}, $(command), {{ name }}, {name}, <name>, %NAME%, %(name)s, !Ref, and what vaults write.
_REFERENCE = re.compile(
    r"^\$[A-Za-z_]\w*$|\$[A-Z_]{3,}|\$[{(]|\{[\w.\s'\"|!:-]*\}|\{\{|^<|<[\w\s.-]+>|^%\w+%|%\(\w+\)|(?:^|[\s:=])%[sdv](?!\w)"
    r"|^!\w|^@\w+\.|^ENC\[|^vault:|^\$ANSIBLE_VAULT|^arn:|^AQICAH|#\{|^resolve:|^op://|^projects/|^secretsmanager:"
    r"|^ssm:|^keyvault:|^Ag[A-D][A-Za-z0-9+/]{200}"
)
_CALL = re.compile(r"[\w.\]]\s*[(\[]|^[(\[]|::|->")
_NAME = re.compile(r"[A-Za-z_][A-Za-z_]*[0-9]?(?:[.][A-Za-z_]\w*)*")
_PATH = re.compile(
    r"\w+(?:::\w+)+|(?:\.{0,2}|~)/[\w.@/-]*|[\w.-]+(?:/[\w.-]+)+|[\w-]+(?:/[\w-]+)*:[\w-]+|\w+://\S*|[A-Za-z]:\\.*"
)
_NUMBER = re.compile(r"[-+]?[\d.,_]+(?:e[-+]?\d+)?[a-z%]{0,2}|0x[0-9a-f]{1,8}|\d{4}-\d\d-\d\d\S*", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_hole(value: str) -> bool:
    """Whether what has a secret's form is the example of a documentation, or a hole to be filled in."""
    return bool(_HOLE.search(value)) or len(set(value)) < 8 or any(known in value for known in _KNOWN)


def is_example(value: str) -> bool:
    """Whether the value is an example, a hole to be filled in, or a reference to where the secret is kept."""
    if _REFERENCE.search(value) or any(known in value for known in _KNOWN):
        return True
    return bool(_EXAMPLE.search(value)) or len(set(value)) <= 3


def is_password(value: str, least: int = 6) -> bool:
    """Whether somebody may have chosen, or drawn, the value as a password. A word of letters is none: it is a caption,
    a field's name or a default."""
    if not least <= len(value) <= 200 or re.search(r"\s", value) or is_example(value):
        return False
    if _NUMBER.fullmatch(value) or value.endswith(":") or (_PATH.fullmatch(value) and not is_drawn(value, 24)):
        return False
    kinds = (r"[a-z]", r"[A-Z]", r"\d", r"[^\w.:/-]")
    found = [bool(re.search(kind, value)) for kind in kinds]
    return (
        (value.isalpha() and _is_scrambled(value))
        or (found[2] and (found[0] or found[1]))
        or (found[3] and sum(found) > 1 and not re.search("=|[!?]$", value))
    )


def is_mixed(value: str) -> bool:
    """A password under the name of a secret or a key, such as SECRET_KEY: of three kinds of characters at least."""
    kinds = sum(bool(re.search(kind, value)) for kind in (r"[a-z]", r"[A-Z]", r"\d", r"[^\w./:-]"))
    return kinds > 2 and is_password(value, 8) and not re.search(r"[/.]", value)


def is_drawn(value: str, least: int = 16) -> bool:
    """Whether the value looks drawn at random, as keys and tokens are."""
    if not least <= len(value) <= 4000 or re.search(r"\s|\*$", value) or is_example(value):
        return False
    if _UUID.fullmatch(value):
        return True
    letters, digits = re.findall("[A-Za-z]", value), re.findall(r"\d", value)
    if not letters or (re.fullmatch("[0-9a-f]+", value) and len(value) < 20):
        return False
    joined = "".join(letters)
    if _PATH.fullmatch(value) and not (digits and joined != joined.lower() and joined != joined.upper()):
        return False
    mixed = len(digits) >= max(2, len(value) * 0.04) or _is_scrambled(joined)
    return mixed and not _is_wordy(value, letters) and entropy(value[:200]) > 3.0


def _is_scrambled(letters: str) -> bool:
    """Letters in an order of cases that nobody writes."""
    changes = sum(letters[n].isupper() != letters[n - 1].isupper() for n in range(1, len(letters)))
    capitals = sum(letter.isupper() for letter in letters)
    return len(letters) >= 10 and changes > len(letters) * 0.3 and capitals > len(letters) * 0.25


def _is_wordy(value: str, letters: list[str]) -> bool:
    """Words with a number or two among them, such as the name of a class or a host."""
    words = sum(map(len, re.findall("[A-Z]?[a-z]{3,}", value)))
    vowels = sum(letter in "aeiouAEIOU" for letter in letters)
    return words > len(value) * 0.55 and vowels > len(letters) * 0.27


def is_call(value: str) -> bool:
    """Whether an unquoted value is an expression of a program."""
    return bool(_CALL.search(value))


def is_name(value: str) -> bool:
    """Whether an unquoted value may be a name of a program."""
    return bool(_NAME.fullmatch(value))


def entropy(value: str) -> float:
    """Shannon's entropy in bits per character."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values()) if total else 0.0
