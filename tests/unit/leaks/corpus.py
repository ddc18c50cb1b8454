"""Secrets and innocents as they lie about in data science repositories, made at test time.

A sample is a small file. What is secret in it is a placeholder such as ``{b64:40}`` in the text files beside this one,
filled with random characters when the corpus is made, so that nothing that looks like a secret stands in the
repository. Every third sample is held out: rules are written without looking at it.
"""

from __future__ import annotations

import base64
import random
import re
import string
import uuid
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
_HEADER = re.compile(r"^### (\S+) (\S+)\n", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{(\w+)(?::(\d+))?\}")
_ALPHABETS = {
    "upper": string.ascii_uppercase + "234567",
    "lower": string.ascii_lowercase + "234567",
    "alpha": string.ascii_letters,
    "alnum": string.ascii_letters + string.digits,
    "digits": string.digits,
    "hex": "0123456789abcdef",
    "hexupper": "0123456789ABCDEF",
    "b64": string.ascii_letters + string.digits + "+/",
    "secretchars": "abcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*(-_=+)",
}
_WORDS = ("Tulipa", "heart", "Kaffee", "winter", "Lisboa", "dragon", "Sommer", "pumpkin", "Otter", "zebra")


@dataclass(frozen=True)
class Sample:
    """One file of the corpus: what kind of thing is in it, and whether it is held out."""

    kind: str
    path: str
    content: str
    held_out: bool


def samples(name: str, seed: int) -> list[Sample]:
    """The samples of ``secrets.txt`` or ``innocents.txt``, with random values of that seed."""
    rng = random.Random(seed)
    _, *parts = _HEADER.split((HERE / f"{name}.txt").read_text())
    rows = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return [
        Sample(kind, path, _PLACEHOLDER.sub(lambda m: _value(m, rng), text), number % 3 == 2)
        for number, (kind, path, text) in enumerate(rows)
    ]


def _value(match: re.Match[str], rng: random.Random) -> str:
    name, length = match[1], int(match[2] or 0)
    if name in _ALPHABETS and length:
        return "".join(rng.choices(_ALPHABETS[name], k=length))
    if name == "uuid":
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))
    if name == "header":
        return base64.b64encode(b"-----BEGIN RSA PRIVATE " + b"KEY-----").decode()[:36]
    if name == "space":
        return " "
    if name in ("pw", "pwurl"):
        return _password(rng, "!%?#" if name == "pw" else "_-.~")
    return match[0]  # braces that stand in the file itself


def _password(rng: random.Random, signs: str) -> str:
    """As people make them: a word or two with digits and a sign, or from a password manager."""
    word, other, digits = rng.choice(_WORDS), rng.choice(_WORDS), rng.randrange(10, 9999)
    made = "".join(rng.choices(_ALPHABETS["alnum"], k=16))
    return rng.choice((f"{word}{digits}{rng.choice(signs)}", f"{word}{rng.choice(signs)}{other}{digits}", made))
