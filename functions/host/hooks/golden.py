"""Ask a release its golden questions: inputs whose answers its own training wrote down, with how far off is fine.

``python3 golden.py BASE_URL FILE`` exits 0 with one line on standard output where every answer is as expected, or 1
with one sentence there: which question, where in its answer, expected and got; or what is wrong with the file. They
are asked one after another over one connection, and the first wrong answer is the last. Runs under the host's own
Python (3.9 on Amazon Linux 2023), so nothing newer is used and nothing is imported from outside the standard library.

The file: {"format": 1, "path": "/invocations", "content_type": "application/json", "questions": [{"body": JSON,
"expected": JSON, "tolerance": 0.0001}, …]}. An answer must be 200 and JSON, and have whatever ``expected`` has: numbers
within the tolerance (absolute; none: 0), lists of the same length, everything else equal. What it has besides does
not matter.
"""

from __future__ import annotations

import http.client
import json
import re
import signal
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

FILE_BYTES = 1024 * 1024
QUESTIONS = 1000
ANSWER_BYTES = 1024 * 1024
ANSWER_SECONDS = 10
ALL_SECONDS = 300  # appspec.yml's timeout for ApplicationStart has room for this
MOST = 80  # characters of a body, a place or a value in a sentence
TEXTS = {
    "path": (r"/[!-~]*", "a path that begins with / and holds no space"),
    "content_type": (r"[!-~][ -~]*", "a type such as application/json"),
}


class WrongError(Exception):
    """The file cannot be used, or an answer is not as expected; the one sentence why."""


def ask_all(base_url: str, file: Path) -> str:
    """Ask every question of the file and return the line that all is well. Raises WrongError."""
    golden = read(file)
    connection, path = opened(base_url), golden["path"]
    questions, begun = golden["questions"], time.monotonic()
    for number, question in enumerate(questions, 1):
        if time.monotonic() - begun > ALL_SECONDS:
            late = f"only {number - 1} of {len(questions)} golden questions were answered within {ALL_SECONDS} s"
            raise WrongError(f"{late}; ask fewer, or answer quicker")
        problem = problem_of_answer(connection, path, golden["content_type"], question)
        if problem:
            raise WrongError(f"golden question {number} of {len(questions)}, {short(question['body'])}: {problem}")
    connection.close()
    return f"{len(questions)} golden question{'' if len(questions) == 1 else 's'}, all as expected"


def opened(base_url: str) -> http.client.HTTPConnection:
    """The connection over which all is asked, to be made with the first question."""
    try:
        address = urllib.parse.urlsplit(base_url)
        host, port = address.hostname, address.port
    except ValueError:
        host, port = None, None
    if not host or not port:
        raise WrongError(f"the address to ask is {short(base_url)}, expected http://HOST:PORT")
    return http.client.HTTPConnection(host, port)


# --- the file -------------------------------------------------------------------------------------------------------


def read(file: Path) -> dict[str, Any]:
    """The file's content, checked. Raises WrongError where it is not there or not in the format above."""
    try:
        golden: dict[str, Any] = json.loads(text_of(file), parse_constant=refuse)
        problem = problem_of_file(golden)
    except (OSError, ValueError) as error:
        problem = one_line(error)
    if problem:
        raise WrongError(f"the golden questions cannot be used: {problem}")
    return golden


def text_of(file: Path) -> str:
    """The file's text. Raises OSError or ValueError."""
    with file.open("rb") as content:
        text = content.read(FILE_BYTES + 1)
    if len(text) > FILE_BYTES:
        raise ValueError(f"the file is larger than {FILE_BYTES} bytes")
    return text.decode("utf-8")


def refuse(constant: str) -> NoReturn:
    """Python's JSON has NaN and Infinity, which nobody else's has."""
    raise ValueError(f"{constant} is not JSON")


def problem_of_file(golden: Any) -> str:
    """Return "" for content in the format above, or what is wrong with which field."""
    if not isinstance(golden, dict):
        return "the file is not a JSON object"
    if type(golden.get("format")) is not int or golden["format"] != 1:
        return f"format is {short(golden.get('format'))}, expected 1"
    for name, (pattern, wanted) in TEXTS.items():
        if not isinstance(golden.get(name), str) or not re.fullmatch(pattern, golden[name]):
            return f"{name} is {short(golden.get(name))}, expected {wanted}"
    questions = golden.get("questions")
    if not isinstance(questions, list) or not 1 <= len(questions) <= QUESTIONS:
        return f"questions is not a list of 1 to {QUESTIONS}"
    for number, question in enumerate(questions, 1):
        problem = problem_of_question(question)
        if problem:
            return f"question {number} {problem}"
    return ""


def problem_of_question(question: Any) -> str:
    """Return "" for a question that can be asked, or what is wrong with it."""
    if not isinstance(question, dict) or "body" not in question or "expected" not in question:
        return "is not an object with a body and what is expected"
    tolerance = question.get("tolerance", 0)
    if not is_number(tolerance) or not 0 <= tolerance < float("inf"):
        return f"has the tolerance {short(tolerance)}, expected a number that is not negative"
    return ""


# --- an answer ------------------------------------------------------------------------------------------------------


def problem_of_answer(
    connection: http.client.HTTPConnection, path: str, content_type: str, question: dict[str, Any]
) -> str:
    """Ask one question; return "" for the answer that was expected, or what is wrong with it."""
    try:
        status, answer = answer_of(connection, path, content_type, json.dumps(question["body"]).encode())
    except (OSError, http.client.HTTPException) as error:
        return f"expected an answer from POST {cut(path)}, got none ({one_line(error)})"
    if status != 200:
        return f"expected 200 from POST {cut(path)}, got {status} ({short_text(answer)})"
    try:
        got = json.loads(answer.decode("utf-8"))
    except ValueError:
        return f"expected JSON from POST {cut(path)}, got {short_text(answer) or 'an empty answer'}"
    return difference(question["expected"], got, question.get("tolerance", 0), "")


def answer_of(connection: http.client.HTTPConnection, path: str, content_type: str, body: bytes) -> tuple[int, bytes]:
    """The status and the body of the answer. Raises OSError or HTTPException where none came in time."""
    # A socket's timeout counts anew with every byte; this one counts for the answer as a whole.
    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, ANSWER_SECONDS)
    try:
        connection.request("POST", path, body, {"Content-Type": content_type, "Accept": "application/json"})
        response = connection.getresponse()
        answer = response.read(ANSWER_BYTES + 1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if len(answer) > ANSWER_BYTES:
        raise OSError(f"it is larger than {ANSWER_BYTES} bytes")
    return response.status, answer


def give_up(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End the wait for an answer."""
    raise TimeoutError(f"it was not whole within {ANSWER_SECONDS} s")


def difference(expected: Any, got: Any, tolerance: float, where: str) -> str:
    """Return "" where ``got`` has all that is expected, or the first place where it has not, expected and got."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in expected:
            if key not in got:
                return f"{place(member(where, key))}: expected {short(expected[key])}, got nothing there"
        return first(difference(expected[key], got[key], tolerance, member(where, key)) for key in expected)
    if isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            return f"{place(where)}: expected {len(expected)} items, got {len(got)}"
        return first(difference(each, got[n], tolerance, f"{where}[{n}]") for n, each in enumerate(expected))
    if is_number(expected) and is_number(got):
        same, within = is_near(expected, got, tolerance), f" (tolerance {short(tolerance)})"
    else:
        same, within = type(expected) is type(got) and expected == got, ""
    return "" if same else f"{place(where)}: expected {short(expected)}, got {short(got)}{within}"


def first(problems: Iterator[str]) -> str:
    """The first problem that is one, "" if none is."""
    return next(filter(None, problems), "")


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; to Python, true is one too."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_near(expected: float, got: float, tolerance: float) -> bool:
    """Whether two numbers are no further apart than the tolerance."""
    try:
        return expected == got or abs(expected - got) <= tolerance
    except OverflowError:  # a whole number beyond what a float holds
        return False


# --- the words ------------------------------------------------------------------------------------------------------


def member(where: str, key: str) -> str:
    """The place of an object's member."""
    return f"{where}.{key}" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key) else f"{where}[{short(key)}]"


def place(where: str) -> str:
    """A place in an answer as people read it, such as "at predictions[0].probability"."""
    path = where.lstrip(".")
    return f"at {path if len(path) <= MOST else '...' + path[3 - MOST :]}" if path else "the answer"


def short(value: Any) -> str:
    """A JSON value on one line, in ASCII, cut where it is long."""
    return cut(json.dumps(value))


def short_text(answer: bytes) -> str:
    """The beginning of an answer on one line, in ASCII."""
    return cut(" ".join(re.sub(rb"[^!-~]", b" ", answer[: 4 * MOST]).decode("ascii").split()))


def one_line(error: Exception) -> str:
    """What an error says, on one line, in ASCII."""
    said = str(error) or type(error).__name__
    return cut(" ".join(said.encode("ascii", "backslashreplace").decode("ascii").split()))


def cut(text: str) -> str:
    """The text, or its beginning: a sentence has to fit into what the agent sends back."""
    return text if len(text) <= MOST else text[: MOST - 3] + "..."


def main(arguments: list[str]) -> int:
    """Print the line, or the sentence why not; return the exit status."""
    try:
        base_url, file = arguments
        print(ask_all(base_url, Path(file)))
    except WrongError as error:
        print(error)
    except RecursionError:
        print("the golden questions cannot be asked: one of them, or its answer, is nested too deeply")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
