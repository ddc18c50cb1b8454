"""The prediction log: one JSON line on standard output for each prediction.

LOG_FEATURES sets how much a line contains about the person. ``plain`` writes the values themselves; they are health
data, so the operator has to choose it. ``none`` writes nothing. ``hashed``, the default, writes an HMAC-SHA256 of the
record. The same record gives the same text, so repeated requests can be found, and so can the requests of a person who
brings their values, but nobody can read the values from the log. A hash without a key would not be enough: an age, a
sex and a blood pressure have only some tens of thousands of combinations, so all of them could be hashed and compared.
The key is LOG_KEY. Without it each process makes its own key, and lines of two processes cannot be compared.

Answers never wait for the log. Lines are kept in memory, and a thread writes them twice a second and at the end. If
they cannot be written (a full or closed pipe), the oldest lines are kept, and the others are dropped and counted.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from serving.card import Card
from serving.model import Prediction, Record

Features = Literal["hashed", "plain", "none"]
Source = Literal["api", "page"]

FLUSH_SECONDS = 0.5
SOON = 2_000  # waiting lines that wake the thread early
MOST_WAITING = 20_000  # lines, about 7 MB
LAST_SECONDS = 2.0  # for the last writing, at the end

_encode = json.JSONEncoder(separators=(",", ":")).encode


def probability(prediction: Prediction) -> str:
    """The answer in a line: the probability of the target."""
    return f'"probability":{prediction.value:.6f}'


def said_by(card: Card) -> Callable[[Prediction], str]:
    """The function that writes the answers of this card's model into a line."""
    if card.task == "regression":
        return lambda prediction: f'"value":{_encode(prediction.value)}'
    if card.task == "multiclass":
        names = [_encode(name) for name in card.classes]
        return lambda prediction: f'"class":{names[prediction.best]},{probability(prediction)}'
    return probability


class Journal:
    """The log on the file descriptor ``out``. Several threads may write; ``dropped`` counts the lost lines."""

    def __init__(
        self,
        out: int,
        release: str,
        model: str,
        names: tuple[str, ...],
        features: Features,
        key: bytes = b"",
        answered: Callable[[Prediction], str] = probability,
    ) -> None:
        self.dropped = 0
        self._out = out
        self._names = names
        self._said = _SAID[features]
        self._key = key or secrets.token_bytes(32)
        self._answered = answered
        self._origin = f'"release":{_encode(release)},"model":{_encode(model[:12])}'
        self._waiting: list[str] = []
        self._lock = threading.Lock()  # of _waiting and dropped
        self._wake = threading.Event()
        self._ends = False
        self._writer = threading.Thread(target=self._write_on, name="journal", daemon=True)
        self._writer.start()

    def tell(self, source: Source, record: Record, prediction: Prediction) -> None:
        """Add a line for a prediction that was made now."""
        line = (
            f'{{"time":"{_now()}",{self._origin},"source":"{source}"{self._said(self, record)},'
            f'"unknown":{len(prediction.unknown)},{self._answered(prediction)}}}\n'
        )
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                self.dropped += 1
                return
            self._waiting.append(line)
        if len(self._waiting) >= SOON:
            self._wake.set()

    def close(self) -> None:
        """Write the waiting lines, for at most two seconds, since a pipe may have no reader."""
        self._ends = True
        self._wake.set()
        self._writer.join(LAST_SECONDS)

    def _write_on(self) -> None:
        while not self._ends:
            self._wake.wait(FLUSH_SECONDS)
            self._wake.clear()
            self._write()
        self._write()

    def _write(self) -> None:
        with self._lock:
            lines, self._waiting = self._waiting, []
        if not lines:
            return
        try:
            left = memoryview("".join(lines).encode())
            while left:
                left = left[os.write(self._out, left) :]  # waits for a reader, without the interpreter's lock
        except OSError:
            with self._lock:
                self.dropped += len(lines)

    def _plain(self, record: Record) -> str:
        return f',"features":{_encode({name: record.get(name) for name in self._names})}'

    def _hashed(self, record: Record) -> str:
        return f',"features":"{hmac.digest(self._key, canonical(record, self._names), "sha256").hex()}"'

    def _nothing(self, _: Record) -> str:
        return ""


_SAID: dict[Features, Callable[[Journal, Record], str]] = {
    "hashed": Journal._hashed,  # noqa: SLF001
    "plain": Journal._plain,  # noqa: SLF001
    "none": Journal._nothing,  # noqa: SLF001
}


def canonical(record: Record, names: tuple[str, ...]) -> bytes:
    """The record as one text: its values in the features' order. 63 equals 63.0, and null equals absent."""
    return ",".join([_canonical(record.get(name)) for name in names]).encode()


def _canonical(value: float | str | None) -> str:
    if value is None:
        return ""
    return _encode(value) if isinstance(value, str) else repr(float(value) + 0.0)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:23] + "Z"
