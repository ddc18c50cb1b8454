"""Plain YAML scalars as Ruby's Psych 4 and 5 resolve them: ``0644`` is 420, ``1:30`` is 5400. Pure."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^0-9.:\-]?(?:[^\W\d_]|[\s_!@#$%^&*(){}<>|/\\~;=])+")
_WORDS = {"~": None, "null": None} | dict.fromkeys(("yes", "true", "on"), True)
_WORDS |= dict.fromkeys(("no", "false", "off"), False)
_TIME = re.compile(
    r"-?[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|\s+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?"
    r"(?:\s*(?:Z|[-+][0-9]{1,2}:?(?:[0-9]{2})?))?"
)
_DATE = re.compile(r"[0-9]{4}-(?:1[012]|0[0-9]|[0-9])-(?:[12][0-9]|3[01]|0[0-9]|[0-9])")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9]){1,2}(?:\.[0-9_]*)?")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_,]*)?\.[0-9]*(?:[eE][-+][0-9]+)?")
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0b(?P<two>[01_,]+)|0x(?P<sixteen>[0-9a-fA-F_,]+)|0(?P<eight>[0-7_,]+)"
    r"|(?P<ten>0|[1-9](?:[0-9]|,[0-9]|_[0-9])*))"
)
_BASES = {"two": 2, "eight": 8, "ten": 10, "sixteen": 16}


def scalar(text: str) -> bool | int | float | str | None:
    """The value of a plain (unquoted) scalar. Raises ValueError, with the reason, for one that Psych refuses."""
    if text == "":
        return None
    if _WORD.match(text) or "\n" in text:
        return _WORDS.get(text.lower(), text)
    if _TIME.fullmatch(text) or _DATE.fullmatch(text):
        raise ValueError(f"has the date {text}, which the agent refuses (DisallowedClass); put it in quotes")
    if re.fullmatch(r"[-+]?\.inf", text, re.IGNORECASE):
        return float(text.replace(".", ""))
    if text.lower() == ".nan":
        return float("nan")
    if re.match(r":.", text):
        raise ValueError(f"has {text[:40]}, which Ruby reads as a symbol and not as text; put it in quotes")
    try:
        return _number(text)
    except ValueError as error:
        raise ValueError(f"has {text[:40]}, which Ruby reads as an invalid number; put it in quotes") from error


def _number(text: str) -> int | float | str:
    if _SEXAGESIMAL.fullmatch(text):
        # Psych counts places from the left: in 1:30 the 1 is hours.
        parts = [float(p.replace("_", "")) * 60 ** abs(i - 2) for i, p in enumerate(text.split(":"))]
        return sum(parts) if "." in text else int(sum(parts))
    if _FLOAT.fullmatch(text):
        return text if re.fullmatch(r"[-+]?\.", text) else float(re.sub(r"[,_]", "", text))
    match = _INTEGER.fullmatch(text)
    if match is None or len(text) > 300:
        return text
    base = next(name for name in _BASES if match[name])
    return int(match["sign"] + (re.sub(r"[,_]", "", match[base]) or "0"), _BASES[base])
