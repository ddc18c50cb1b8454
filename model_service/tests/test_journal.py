from __future__ import annotations

import contextlib
import hmac
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from serving import journal as module
from serving.journal import MOST_WAITING, Features, Journal
from serving.model import Prediction

SHA = "33b4e9671946a2b071ccde910d5a8c9ea17ce15d2aa2729101c20a6d7ae4853b"
NAMES = ("age", "sex", "chol")
RECORD = {"sex": 1, "age": 63, "chol": None}
PREDICTION = Prediction(0.53376512, 0.4, 0.6, 0.1, 0.9, ("chol",))

pytestmark = pytest.mark.thorough


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):  # the test closed it
            os.close(end)


def lines(pipe: tuple[int, int], journal: Journal) -> list[Any]:
    journal.close()
    os.close(pipe[1])
    with os.fdopen(os.dup(pipe[0])) as end:
        return [json.loads(line) for line in end]


def journal(pipe: tuple[int, int], features: Features = "hashed", key: bytes = b"secret") -> Journal:
    return Journal(pipe[1], "v17", SHA, NAMES, features, key)


def test_each_prediction_is_one_line(pipe: tuple[int, int]) -> None:
    """Time, release, model, source, features, the number of unknown ones, and the probability."""
    log = journal(pipe)
    before = datetime.now(UTC)
    log.tell("api", RECORD, PREDICTION)
    log.tell("page", RECORD, PREDICTION)
    first, second = lines(pipe, log)
    assert 0 <= (datetime.fromisoformat(first.pop("time")) - before).total_seconds() + 0.001 < 60
    assert len(first.pop("features")) == 64
    assert first == {
        "release": "v17", "model": "33b4e9671946", "source": "api", "unknown": 1, "probability": 0.533765,
    }  # fmt: skip
    assert second["source"] == "page"


def test_the_lines_come_while_the_service_runs(pipe: tuple[int, int]) -> None:
    """They are written before the end."""
    log = journal(pipe)
    log.tell("api", RECORD, PREDICTION)
    assert os.read(pipe[0], 65536).endswith(b'"probability":0.533765}\n')
    log.close()


def test_hashed_features_can_be_compared_and_not_read(pipe: tuple[int, int]) -> None:
    """The same record has the same hash in any notation. Another record has another hash."""
    log = journal(pipe)
    log.tell("api", RECORD, PREDICTION)
    log.tell("api", {"age": 63.0, "sex": 1.0}, PREDICTION)
    log.tell("api", {"age": 64, "sex": 1}, PREDICTION)
    told = [line["features"] for line in lines(pipe, log)]
    assert told[0] == told[1] != told[2]
    assert told[0] == hmac.digest(b"secret", b"63.0,1.0,", "sha256").hex()


def test_without_a_key_each_process_has_its_own() -> None:
    """So nobody who has the log can hash the few possible records and compare them."""
    told = []
    for key in (b"", b"", b"secret", b"secret"):
        ends = os.pipe()
        log = journal(ends, key=key)
        log.tell("api", RECORD, PREDICTION)
        told.append(lines(ends, log)[0]["features"])
        os.close(ends[0])
    assert told[0] != told[1]
    assert told[2] == told[3]


def test_plain_features_are_the_values(pipe: tuple[int, int]) -> None:
    """They are in the model's order, and an unknown one is null."""
    log = journal(pipe, "plain")
    log.tell("api", RECORD, PREDICTION)
    [line] = lines(pipe, log)
    assert list(line["features"].items()) == [("age", 63), ("sex", 1), ("chol", None)]


def test_without_features_a_line_has_no_values(pipe: tuple[int, int]) -> None:
    """The line does not contain them."""
    log = journal(pipe, "none")
    log.tell("api", RECORD, PREDICTION)
    assert "features" not in lines(pipe, log)[0]


def test_every_line_of_many_arrives_in_order(pipe: tuple[int, int]) -> None:
    """Ten thousand lines are whole and in order, although a pipe takes a few hundred at a time."""
    log = journal(pipe, "none")
    told = [n / 10_000 for n in range(10_000)]
    for probability in told:
        log.tell("api", RECORD, Prediction(probability, 0, 1, 0, 1, ()))
    found: list[float] = []
    with os.fdopen(os.dup(pipe[0])) as end:
        while len(found) < len(told):
            found.append(json.loads(end.readline())["probability"])
    log.close()
    assert found == told
    assert log.dropped == 0


def test_a_log_without_a_reader_delays_nothing(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a full pipe, lines are kept up to a limit, the others are dropped and counted, and closing ends."""
    monkeypatch.setattr(module, "LAST_SECONDS", 0.1)
    log = journal(pipe)
    for _ in range(MOST_WAITING * 2):
        log.tell("api", RECORD, PREDICTION)
    log.close()
    assert 0 < log.dropped < MOST_WAITING * 2
    os.close(pipe[0])
    log._writer.join()  # else it would write into the next file that gets the pipe's number


def test_a_closed_log_delays_nothing(pipe: tuple[int, int]) -> None:
    """With a closed pipe, lines are lost and counted, and new ones are accepted."""
    os.close(pipe[0])
    log = journal(pipe)
    log.tell("api", RECORD, PREDICTION)
    log.close()
    assert log.dropped == 1
    log.tell("api", RECORD, PREDICTION)
