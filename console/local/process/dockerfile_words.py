"""The words of an instruction: parted where no quote holds them together, and with their variables put in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate

LONGEST = 100_000  # characters of an instruction with its variables put in: a variable of variables grows by itself
DEEPEST = 100  # variables within variables


def parted(text: str, escape: str) -> list[str]:
    """``text`` parted at blanks, as BuildKit parts it: quotes and escapes stay in the words."""
    found: list[str] = []
    word, quote, at = "", "", 0
    while at < len(text):
        sign = text[at]
        if not quote and sign.isspace():
            found += [word] if word else []
            word = ""
        elif sign == escape and quote != "'":
            word += text[at : at + 2] if at + 1 < len(text) else ""
            at += 1
        else:
            quote = "" if sign == quote else sign if not quote and sign in "'\"" else quote
            word += sign
        at += 1
    return found + ([word] if word else [])


def expanded(word: str, variables: Mapping[str, str], escape: str = "\\", *, keep_unset: bool = False) -> str:
    """A word without its quotes, and with the variables put in. Raises ValueError with what is wrong."""
    return "".join(_Expansion(word, variables, escape, keep_unset=keep_unset).run())


def expanded_words(text: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """The words of ``text``, variables put in; one that holds blanks is several words, unless it is quoted."""
    return [word for word in map("".join, _Expansion(text, variables, escape).words()) if word]


class _Expansion:
    """Reads a text once, from start to end."""

    def __init__(self, text: str, variables: Mapping[str, str], escape: str, *, keep_unset: bool = False) -> None:
        self._text, self._variables, self._escape, self._keep_unset = text, variables, escape, keep_unset
        self._at = self._put_in = self._depth = 0

    def run(self) -> list[str]:
        return [text for text, _ in self._pieces()]

    def words(self) -> list[list[str]]:
        found: list[list[str]] = [[]]
        for text, held in self._pieces():
            if held:
                found[-1].append(text)
                continue
            first, *rest = re.split(r"\s+", text)
            found[-1].append(first)
            found += [[part] for part in rest]
        return found

    def _pieces(self, end: str = "") -> list[tuple[str, bool]]:
        """Each piece and whether quotes hold it together, up to ``end``."""
        pieces: list[tuple[str, bool]] = []
        while self._at < len(self._text) and self._text[self._at] != end:
            sign = self._text[self._at]
            self._at += 1
            if sign == "'":
                pieces.append((self._until("'"), True))
            elif sign == '"':
                pieces.append((self._double(), True))
            elif sign == "$":
                pieces.append((self._dollar(), False))
            elif sign == self._escape:
                pieces.append((self._text[self._at : self._at + 1], True))
                self._at += 1
            else:
                pieces.append((sign, False))
        return pieces

    def _until(self, sign: str) -> str:
        end = self._text.find(sign, self._at)
        if end < 0:
            raise ValueError("a quote is not closed; close it.")
        text, self._at = self._text[self._at : end], end + 1
        return text

    def _double(self) -> str:
        parts: list[str] = []
        while self._at < len(self._text):
            sign = self._text[self._at]
            self._at += 1
            if sign == '"':
                return "".join(parts)
            if sign == "$":
                parts.append(self._dollar())
            elif sign == self._escape:
                following = self._text[self._at : self._at + 1]
                parts.append(following if following in ('"', "$", self._escape) else sign + following)
                self._at += 1
            else:
                parts.append(sign)
        raise ValueError("a quote is not closed; close it.")

    def _dollar(self) -> str:
        """A variable's value. Raises ValueError where it is written wrongly, or all of them become too long."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(f"variables stand within each other more than {DEEPEST} deep; write it more simply.")
        value = self._variable()
        self._depth -= 1
        self._put_in += len(value)
        if self._put_in > LONGEST:
            raise ValueError(f"it has more than {LONGEST:,} characters with its variables put in; make it shorter.")
        return value

    def _variable(self) -> str:
        if self._text[self._at : self._at + 1] == "{":
            self._at += 1
            return self._braced()
        match = re.compile(r"[a-zA-Z_]\w*|[0-9@*#?!-]", re.ASCII).match(self._text, self._at)
        if not match:
            return "$"
        self._at = match.end()
        return self._value(match[0], f"${match[0]}")

    def _value(self, name: str, written: str) -> str:
        return self._variables.get(name, written if self._keep_unset else "")

    def _braced(self) -> str:
        match = re.compile(r"(\w+)(:?[-+?]|##?|%%?|//?|\}|$)", re.ASCII).match(self._text, self._at)
        if not match:
            raise ValueError("a ${ is not followed by a variable's name; correct it.")
        self._at = match.end()
        name, sign = match.groups()
        if sign == "}":
            return self._value(name, f"${{{name}}}")
        other = "".join(text for text, _ in self._pieces("}"))
        if self._text[self._at : self._at + 1] != "}":
            raise ValueError("a ${ is not closed; write }.")
        self._at += 1
        return _changed(name, sign, other, self._variables)


def _changed(name: str, sign: str, other: str, variables: Mapping[str, str]) -> str:
    """``${name…other}``, by the sign between them."""
    value = variables.get(name)
    there = value is not None and (bool(value) or sign[0] != ":")
    match sign[-1]:
        case "-":
            return (value or "") if there else other
        case "+":
            return other if there else ""
        case "?":
            if not there:
                raise ValueError(f"{name} is not set ({other or 'and has to be'}); give it by ARG or ENV.")
            return value or ""
        case "#" | "%":
            return _trimmed(value or "", other, front=sign[0] == "#", longest=len(sign) == 2)
    pattern, _, by = other.partition("/")
    return re.sub(_regex(pattern), lambda _: by, value or "", count=0 if sign == "//" else 1)


def _regex(pattern: str) -> str:
    return translate(pattern).removesuffix(r"\z").removesuffix(r"\Z")


def _trimmed(value: str, pattern: str, *, front: bool, longest: bool) -> str:
    """``value`` without the shortest or longest beginning (or end) that the pattern matches."""
    cuts = range(len(value) + 1)
    fits = [cut for cut in cuts if re.fullmatch(_regex(pattern), value[:cut] if front else value[cut:])]
    if not fits:
        return value
    cut = (max if longest == front else min)(fits)
    return value[cut:] if front else value[:cut]
