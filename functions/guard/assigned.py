"""Secrets that are known by the name they are given: ``password = "…"``, ``API_TOKEN: …``, ``"authToken": "…"``.

The value decides: under the same names stand references, captions and code. What is quoted is a value everywhere; what
is not may be a name of a program, so for a file of code it must look like more than one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from guard.values import is_call, is_drawn, is_mixed, is_name, is_password

# A text in lower case is searched for these first, many times faster than for the names themselves.
_HINT = re.compile("pass|pwd?|psw|kennwort|senha|secret|token|key|auth|appid|credential")
_WHOLE = re.compile(
    "passwor[dt]|passwd|passphrase|pass(?![a-z])|pwd|pw(?![a-z])|pswd?(?![a-z])|kennwort|senha|secret|token|appid|credential"
)
_SHORT = ("pass", "pw", "psw", "pswd", "senha")  # parts of other words
# Tokens that are no secrets: of pages, of calls made once, of a text.
_PUBLIC_TOKENS = re.compile(
    "(?:next|page|pagination|continuation|client|request|change|idempotency|cancel|pad|eos|bos|sep|cls|mask|unk)[-_]?$"
)
_KEYS = re.compile(
    "(?:api|access|account|private|fernet|encryption|signing|license|storage|master|subscription|function|chimp|service"
    "|admin|team|dd|app|application|wandb|kaggle|ingest|auth|client|consumer)[-_ ]?$"
)
# What makes another thing of it: a password's policy, a token's address, how many tokens.
_OTHER = re.compile(
    r"s?[-_.]?(?:name|id|ids|file|path|dir|url|uri|endpoint|policy|field|label|arn|type|hint|length|len|size|count|hash"
    r"|expir\w*|ttl|max|min|index|version|regex|pattern|format|provider|manager|store|status|error|message|text|title"
    r"|column|input|prompt|placeholder|env|var|variable|algorithm|scope|scopes|audience|issuer|limit|budget|parameter"
    r"|enabled|required|reset|changed|rotation|reference|ref|class|func\w*|reader|getter)(?:[-_.\"'\]\s:=]|$)|s(?:[-_.]|$|\W)|iz",
    re.IGNORECASE,
)
_NAME = re.compile(r"[A-Za-z0-9_-]{0,40}")
_SEPARATOR = re.compile(
    r"""\\?["'`]?\)?\]{0,2}[ \t]{0,20}(?::[ \t]{0,2}(?:str|String|SecretStr|Optional\[str\])[ \t]{0,2}(?==))?"""
    r"""(?P<sign>=>|<<?-|:=|\?=|={1,2}|:|,|>(?=[^<>\s]{4,400}</))[ \t]{0,8}"""
    r"""(?:(?:SecretStr|SecretBytes|Secret|str|bytes|quote|paste0?)\()?"""
    r"""(?:["'][ \t]{0,3}[+.][ \t]{0,3}(?=["']))?|[ \t]{1,4}(?=\\?["'`])|(?<=\w)[ \t]{1,4}(?=[^\s=:{(])"""
)
_BEGINS = re.compile(r"""["'][\w.-]{0,40}\Z""")
_ENDS = re.compile(r"""[A-Za-z]{1,12}\\?["']""")  # a name and its quotation mark
_QUOTED = re.compile(r"""(?:\\?(["'`]))(?P<value>(?:(?!\\?\1)[^\n]){1,2000})\\?\1""")
_PLAIN = re.compile(r"""[^\s"'`,;&<>|\\]{1,2000}""")
_CODE = (
    ".c", ".cc", ".cpp", ".cs", ".go", ".h", ".java", ".jl", ".js", ".jsx", ".kt", ".lua", ".m", ".mjs", ".php", ".py",
    ".qmd", ".r", ".rb", ".rmd", ".rs", ".scala", ".swift", ".tf", ".ts", ".tsx",
)  # fmt: skip
_CALLED = dict.fromkeys(("pass", "pwd", "pw", "psw", "kennwort", "senha"), "password") | {
    name: name for name in ("token", "secret", "credential")
}
_JUDGED = 201  # characters of a value are enough to judge it by; no password is longer
_PAIRS = {")": "(", "]": "[", "}": "{"}
_OPTION = re.compile(r"(?:^|\s)--?[\w-]*$|^\s*(?:ENV|ARG)\s+\w*$|\blogin\s+\S+\s+$|^\s*$", re.MULTILINE)


def assigned(text: str, lower: str, path: str = "") -> Iterator[tuple[int, int, str]]:
    """Where a value under a secret's name begins and ends, and what it is called.

    ``lower`` is the text in lower case.
    """
    code = path.lower().endswith(_CODE)
    end = 0
    for hint in _HINT.finditer(lower):
        named = _named(text, lower, hint.start(), hint[0]) if hint.start() >= end else 0
        if not named or _OTHER.match(lower, named):
            continue
        name = _NAME.match(text, named)
        after = name.end() if name else named
        found = _value(text, hint, after, code) if after - named <= 30 else None
        if found:
            end = found[1]
            yield found[0], found[1], f"a {_CALLED.get(hint[0], 'key')}"


def _named(text: str, lower: str, start: int, hint: str) -> int:
    """Where the name of a secret ends that a hint is part of; 0 where it is another word."""
    before = lower[max(0, start - 14) : start]
    if hint == "key":
        return start + 3 if _KEYS.search(before) or text.startswith("_KEY", start - 1) else 0
    if hint == "auth":
        whole = before.endswith(("_", '"')) and not lower[start + 4 : start + 5].isalpha()
        return start + 4 if whole else 0
    whole_word = _WHOLE.match(lower, start)
    if not whole_word or (whole_word[0] in _SHORT and before[-1:].isalpha()):
        return 0
    if hint == "token" and _PUBLIC_TOKENS.search(before):
        return 0
    return whole_word.end()


def _value(text: str, hint: re.Match[str], at: int, code: bool) -> tuple[int, int] | None:
    """Where the value after a name begins and ends, if it is a secret."""
    start = hint.start()
    separator = _SEPARATOR.match(text, at)
    if not separator:
        return None
    sign = separator["sign"]
    alone = _ENDS.match(text, start) and _BEGINS.search(text, max(0, start - 42), start)
    if (sign == "," and not alone) or (sign == ":" == text[start - 1 : start]):
        return None
    quoted = _QUOTED.match(text, separator.end())
    if quoted:
        begin, value = quoted.start("value"), quoted["value"].rstrip("\\")
    else:
        begin, value = separator.end(), _unquoted(text, separator.end())
        if sign == "," or (not sign and ("=" in value or not _is_option(text, start))):
            return None
        if value.startswith("=") or is_call(value[:_JUDGED]):
            return None
        if code and is_name(value) and text[start - 1 : start] not in (";", "?", "&"):  # those are in a text
            return None
    judged = value[:_JUDGED]
    if _CALLED.get(hint[0]) != "password":
        good = is_drawn(judged) or (bool(quoted) and is_mixed(judged))
    else:
        good = is_password(judged) and (bool(quoted) or not value.islower() or bool(re.search(r"\d", judged)))
    return (begin, begin + len(value)) if good else None


def _unquoted(text: str, at: int) -> str:
    plain = _PLAIN.match(text, at)
    value = plain[0] if plain else ""
    opening = _PAIRS.get(value[-1:])
    return value.rstrip(")]}") if opening and value.count(value[-1]) > value.count(opening) else value


def _is_option(text: str, start: int) -> bool:
    """Whether a name with nothing but a space after it is given a value: an option, ENV of a Dockerfile, netrc."""
    line = text.rfind("\n", 0, start) + 1
    return bool(_OPTION.search(text[max(line, start - 120) : start]))
