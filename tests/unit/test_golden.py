"""The host's golden questions, asked by its own script as the hooks run it, of a small server on this machine."""

from __future__ import annotations

import ast
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HOOKS = Path(__file__).parents[2] / "functions" / "host" / "hooks"
SCRIPT = HOOKS / "golden.py"
# The script with another number in it: nobody wants to wait ten seconds for a server that says nothing.
CHANGED = (
    f"import sys; sys.path.insert(0, {str(HOOKS)!r}); import golden; golden.{{}}; sys.exit(golden.main(sys.argv[1:]))"
)

Answer = Callable[[Any], tuple[int, bytes]]
Asked = list[tuple[str, str, Any, int]]  # path, content type, body, the client's port


def right(body: Any) -> tuple[int, bytes]:
    """Answer as the model of these tests should: a hundredth of the age, and more than anybody asked for."""
    rows = body if isinstance(body, list) else [body]
    predictions = [{"probability": row["age"] / 100, "label": "yes", "more": None} for row in rows]
    return 200, json.dumps({"predictions": predictions, "model": "m1"}).encode()


def saying(status: int, answer: bytes) -> Answer:
    """Answer the same to everything."""
    return lambda _: (status, answer)


@contextmanager
def serving(answer: Answer) -> Iterator[tuple[str, Asked]]:
    """Serve answers on a loopback port; its URL, and what was asked."""
    asked: Asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, self.headers["Content-Type"], body, self.client_address[1]))
            status, content = answer(body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


def question(age: float, probability: Any, **more: Any) -> dict[str, Any]:
    """A question as a model's training writes it."""
    expected = {"predictions": [{"probability": probability}]}
    return {"body": {"age": age}, "expected": expected, "tolerance": 0.0001, **more}


def golden(*questions: Any, **changes: Any) -> dict[str, Any]:
    """A file's content."""
    told = {"format": 1, "path": "/invocations", "content_type": "application/json", "questions": list(questions)}
    return {name: value for name, value in {**told, **changes}.items() if value != "absent"}


def ask(tmp_path: Path, content: object, url: str = "http://127.0.0.1:1", change: str = "") -> tuple[int, str]:
    """Run the script on a file of that content; its exit status and what it said, which is one line."""
    file = tmp_path / "golden.json"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        file.write_text(json.dumps(content))
    program = ["-c", CHANGED.format(change)] if change else [str(SCRIPT)]
    done = subprocess.run(
        [sys.executable, "-I", *program, url, str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    assert done.stdout.isascii()
    return done.returncode, done.stdout.rstrip("\n")


def asked_of(tmp_path: Path, answer: Answer, *questions: Any) -> tuple[int, str]:
    """Ask a server that answers so."""
    with serving(answer) as (url, _):
        return ask(tmp_path, golden(*questions), url)


def test_answers_as_expected_end_in_one_line(tmp_path: Path) -> None:
    """All are asked in their order, over one connection, as the file says; the line says how many."""
    questions = [question(n, n / 100) for n in range(36)]
    with serving(right) as (url, asked):
        assert ask(tmp_path, golden(*questions), url) == (0, "36 golden questions, all as expected")
    assert [(path, kind) for path, kind, *_ in asked] == [("/invocations", "application/json")] * 36
    assert [body for _, _, body, _ in asked] == [{"age": n} for n in range(36)]
    assert len({port for *_, port in asked}) == 1


def test_the_file_says_where_and_as_what_it_is_asked(tmp_path: Path) -> None:
    """Another path and another type reach the server as they stand in the file."""
    content = golden(question(5, 0.05), path="/v2/ask?x=1", content_type="application/vnd.heart+json")
    with serving(right) as (url, asked):
        assert ask(tmp_path, content, url) == (0, "1 golden question, all as expected")
    assert asked[0][:2] == ("/v2/ask?x=1", "application/vnd.heart+json")


def test_a_server_that_closes_after_each_answer_is_asked_again(tmp_path: Path) -> None:
    """One connection is a saving, not a demand: HTTP/1.0 servers are asked, too."""

    class Closing(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status, content = right(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Closing) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        said = ask(tmp_path, golden(question(1, 0.01), question(2, 0.02)), f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert said == (0, "2 golden questions, all as expected")


def test_a_wrong_figure_is_told_with_its_place(tmp_path: Path) -> None:
    """The question's number and body, where in the answer, expected, got, tolerance; what comes after is not asked."""
    questions = [question(1, 0.01), question(61, 0.53), question(2, "never asked")]
    with serving(right) as (url, asked):
        status, said = ask(tmp_path, golden(*questions), url)
    assert status == 1
    assert said == (
        'golden question 2 of 3, {"age": 61}: at predictions[0].probability: expected 0.53, got 0.61 (tolerance 0.0001)'
    )
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("expected", "got", "tolerance", "said"),
    [
        (0.5, 0.50005, 0.0001, ""),
        (0.5, 0.4999, 0.001, ""),
        (1, 1.0, 0, ""),
        (0.5, 0.5002, 0.0001, "the answer: expected 0.5, got 0.5002 (tolerance 0.0001)"),
        (0, 10**400, 1, "the answer: expected 0, got 1000"),
        (0.5, 10**400, 1, "the answer: expected 0.5, got 1000"),
        (1, True, 1, "the answer: expected 1, got true"),
        (True, 1, 1, "the answer: expected true, got 1"),
        (0.5, None, 1, "the answer: expected 0.5, got null"),
        (None, None, 0, ""),
        ("yes", "yes", 0, ""),
        ("yes", "no", 9, 'the answer: expected "yes", got "no"'),
        ({"a": {"b c": 1}}, {"a": {"b c": 1, "d": 2}, "e": 3}, 0, ""),
        ({"a": {"b c": 1}}, {"a": {"d": 2}}, 0, 'at a["b c"]: expected 1, got nothing there'),
        ({"a": None}, {}, 0, "at a: expected null, got nothing there"),
        ({}, [], 0, "the answer: expected {}, got []"),
        ([1, 2], [1, 2, 3], 9, "the answer: expected 2 items, got 3"),
        ({"p": [[1], [2, 3]]}, {"p": [[1], [2, 4]]}, 0.5, "at p[1][1]: expected 3, got 4 (tolerance 0.5)"),
        ({"p": [1]}, {"p": 1}, 9, "at p: expected [1], got 1"),
    ],
)
def test_every_leaf_that_is_expected_must_be_there(
    tmp_path: Path, expected: Any, got: Any, tolerance: float, said: str
) -> None:
    """Numbers within the tolerance, lists of one length, the rest equal and of one kind; what is more is ignored."""
    answer = saying(200, json.dumps(got).encode())
    asked = {"body": 1, "expected": expected, "tolerance": tolerance}
    status, line = asked_of(tmp_path, answer, asked)
    assert (status, said in line) == (1 if said else 0, True)


def test_a_question_without_a_tolerance_is_exact(tmp_path: Path) -> None:
    """None given is none granted."""
    asked = {"body": {"age": 50}, "expected": {"predictions": [{"probability": 0.5000001}]}}
    status, said = asked_of(tmp_path, right, asked)
    assert status == 1
    assert said.endswith("expected 0.5000001, got 0.5 (tolerance 0)")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            saying(500, b"Internal\nServer  Error"),
            "expected 200 from POST /invocations, got 500 (Internal Server Error)",
        ),
        (saying(404, b""), "expected 200 from POST /invocations, got 404 ()"),
        (saying(200, b"<html>\xff hello"), "expected JSON from POST /invocations, got <html> hello"),
        (saying(200, b""), "expected JSON from POST /invocations, got an empty answer"),
        (saying(200, b" " * (1024 * 1024 + 1)), "got none (it is larger than 1048576 bytes)"),
    ],
)
def test_an_answer_that_is_none_is_told_as_it_came(tmp_path: Path, answer: Answer, said: str) -> None:
    """Not 200, not JSON, too much: the beginning of it stands in the sentence, on one line."""
    status, line = asked_of(tmp_path, answer, question(7, 0.07))
    assert status == 1
    assert line.startswith('golden question 1 of 1, {"age": 7}: expected ')
    assert line.endswith(said)


def test_a_server_that_is_not_there_is_no_answer(tmp_path: Path) -> None:
    """Nobody listens: the sentence says so."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    status, said = ask(tmp_path, golden(question(7, 0.07)), f"http://127.0.0.1:{port}")
    assert status == 1
    assert "expected an answer from POST /invocations, got none (" in said
    assert "Connection refused" in said


@pytest.mark.parametrize("dripping", [False, True], ids=["silent", "one byte at a time"])
def test_a_server_that_never_ends_its_answer_is_given_up(tmp_path: Path, dripping: bool) -> None:
    """The time is for the whole answer, not from byte to byte."""
    over = threading.Event()

    def never(server: socket.socket) -> None:
        taken, _ = server.accept()
        with taken:
            while not over.wait(0.02):
                if dripping:
                    try:
                        taken.send(b"H" if dripping else b"")
                    except OSError:
                        return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=never, args=(server,))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        status, said = ask(tmp_path, golden(question(7, 0.07)), url, "ANSWER_SECONDS = 0.5")
        over.set()
        thread.join()
    assert status == 1
    assert said.endswith("got none (it was not whole within 0.5 s)")


def test_all_questions_together_have_their_time_too(tmp_path: Path) -> None:
    """A slow model is told to be asked less before the hook's timeout ends everything without a word."""

    def slow(body: Any) -> tuple[int, bytes]:
        time.sleep(0.05)
        return right(body)

    with serving(slow) as (url, asked):
        status, said = ask(tmp_path, golden(*[question(1, 0.01)] * 500), url, "ALL_SECONDS = 0.2")
    assert status == 1
    assert said.startswith(f"only {len(asked)} of 500 golden questions were answered within 0.2 s; ask fewer")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"\xff\xfe", "can't decode byte"),
        (b" " * (1024 * 1024 + 1), "the file is larger than 1048576 bytes"),
        (b'{"format": NaN}', "NaN is not JSON"),
        ([], "the file is not a JSON object"),
        (golden(question(1, 1), format=2), "format is 2, expected 1"),
        (golden(question(1, 1), format=True), "format is true, expected 1"),
        (golden(question(1, 1), path="absent"), "path is null, expected a path that begins with /"),
        (golden(question(1, 1), path="/a b"), 'path is "/a b", expected a path that begins with /'),
        (golden(question(1, 1), content_type="a\r\nb: c"), "expected a type such as application/json"),
        (golden(questions={}), "questions is not a list of 1 to 1000"),
        (golden(), "questions is not a list of 1 to 1000"),
        (golden(*[question(1, 1)] * 1001), "questions is not a list of 1 to 1000"),
        (golden(question(1, 1), {"body": 1}), "question 2 is not an object with a body and what is expected"),
        (golden(question(1, 1, tolerance=-1)), "question 1 has the tolerance -1, expected a number"),
        (golden(question(1, 1, tolerance="0.1")), 'question 1 has the tolerance "0.1", expected a number'),
        (golden(question(1, 1, tolerance=True)), "question 1 has the tolerance true, expected a number"),
        (golden(question(1, 1, tolerance=float("inf"))), "Infinity is not JSON"),
        (json.dumps(golden(question(1, 1))).replace("0.0001", "1e999").encode(), "a number that is not negative"),
    ],
)  # fmt: skip
def test_a_file_in_another_format_is_a_sentence_of_its_own(tmp_path: Path, content: Any, said: str) -> None:
    """Which field, what it holds and what it should; nothing is asked."""
    with serving(right) as (url, asked):
        status, line = ask(tmp_path, content, url)
    assert status == 1
    assert line.startswith("the golden questions cannot be used: ")
    assert said in line
    assert asked == []


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A label may name what is not in the image."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "http://127.0.0.1:1", str(tmp_path / "none.json")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("the golden questions cannot be used: [Errno 2] No such file")


@pytest.mark.parametrize("where", ["file", "answer"])
def test_what_is_nested_too_deeply_is_a_sentence(tmp_path: Path, where: str) -> None:
    """Neither a file nor an answer can make the script end in a traceback."""
    deep = b"[" * 100_000 + b"]" * 100_000
    with serving(saying(200, deep)) as (url, _):
        status, said = ask(tmp_path, deep if where == "file" else golden(question(1, 1)), url)
    assert status == 1
    assert said.endswith("nested too deeply")


def test_a_sentence_is_never_long(tmp_path: Path) -> None:
    """Long bodies, keys and values are cut: what the agent sends back of a failure is little."""
    long = "é\n" * 5_000
    asked = {"body": {long: long}, "expected": {long: {long: long}}}
    status, said = asked_of(tmp_path, saying(200, json.dumps({long: {long: 1}}).encode()), asked)
    assert status == 1
    assert len(said) < 400


@pytest.mark.parametrize("url", ["127.0.0.1:80", "http://", "http://[::1", "http://a:b"])
def test_an_address_that_is_none_is_refused(tmp_path: Path, url: str) -> None:
    """What the hook passes is checked as what the file holds is."""
    status, said = ask(tmp_path, golden(question(1, 1)), url)
    assert status == 1
    assert said.endswith("expected http://HOST:PORT")


@pytest.mark.parametrize("name", ["golden.py", "release.py"])
def test_the_hosts_own_python_can_run_it(name: str) -> None:
    """Python 3.9's grammar, and nothing imported that the standard library does not have."""
    tree = ast.parse((HOOKS / name).read_text(encoding="utf-8"), feature_version=(3, 9))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {each.split(".")[0] for each in names} <= sys.stdlib_module_names
