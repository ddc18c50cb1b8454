"""The prediction log: one JSON line on standard output for each prediction.

What a line says of the person is set by LOG_FEATURES. ``plain`` is the values themselves: health data, so it must be
wanted. ``none`` is nothing. ``hashed``, the default, is an HMAC-SHA256 of the record: the same record gives the same
text, so that repeated questions can be found and a person who brings their values can be found, and nothing can be read
from it. A hash without a key would not do: there are few possible values (an age, a sex and a blood pressure are some
tens of thousands), so that all could be hashed and compared. The key is LOG_KEY; without one each process makes its
own, which it forgets at its end, and lines of two processes cannot be compared.

Answers never wait for the log. Lines are kept in memory, and a thread writes them out twice a second and at the end.
Where nobody reads them (a full pipe, a closed one) the oldest are kept, the rest are dropped and counted.
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

from serving.model import Prediction, Record

Features = Literal["hashed", "plain", "none"]
Source = Literal["api", "page"]

FLUSH_SECONDS = 0.5
SOON = 2_000  # lines waiting: the thread is woken before its time
MOST_WAITING = 20_000  # lines, about 7 MB
LAST_SECONDS = 2.0  # for the writing at the end

_encode = json.JSONEncoder(separators=(",", ":")).encode


class Journal:
    """Writes to the file descriptor ``out``. Safe to tell from several threads; ``dropped`` counts the lost lines."""

    def __init__(
        self, out: int, release: str, model: str, names: tuple[str, ...], features: Features, key: bytes = b""
    ) -> None:
        self.dropped = 0
        self._out = out
        self._names = names
        self._said = _SAID[features]
        self._key = key or secrets.token_bytes(32)
        self._origin = f'"release":{_encode(release)},"model":{_encode(model[:12])}'
        self._waiting: list[str] = []
        self._lock = threading.Lock()  # of _waiting and dropped
        self._wake = threading.Event()
        self._ends = False
        self._writer = threading.Thread(target=self._write_on, name="journal", daemon=True)
        self._writer.start()

    def tell(self, source: Source, record: Record, prediction: Prediction) -> None:
        """Note one prediction, made now."""
        line = (
            f'{{"time":"{_now()}",{self._origin},"source":"{source}"{self._said(self, record)},'
            f'"unknown":{len(prediction.unknown)},"probability":{prediction.probability:.6f}}}\n'
        )
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                self.dropped += 1
                return
            self._waiting.append(line)
        if len(self._waiting) >= SOON:
            self._wake.set()

    def close(self) -> None:
        """Write what is left, for at most two seconds: a pipe that nobody reads does not hold up the end."""
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
                left = left[os.write(self._out, left) :]  # waits, without the interpreter's lock, where nobody reads
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
    """The record as one text: its values in the features' order, so that 63 and 63.0, null and absent are the same."""
    values = (record.get(name) for name in names)
    return ",".join(["" if value is None else repr(float(value) + 0.0) for value in values]).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:23] + "Z"
