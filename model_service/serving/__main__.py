"""``python -m serving``: loads the model, serves until SIGTERM or SIGINT, finishes the running requests and exits 0.

Settings come from the environment:

    PORT           the port to listen on (8080)
    HOST           the address to listen on (0.0.0.0, as a container needs it)
    MODEL_FOLDER   the folder with the model's files (models/, beside serving/)
    RELEASE        the release in the header x-model-version of every answer (unreleased)
    COMMIT         the commit in /version (the commit the model was trained at)
    DIGEST         the image's digest in /version
    DRAIN_SECONDS  the time that running requests get after the stop signal (20)
    LOG_FEATURES   hashed, plain or none: see journal.py
    LOG_KEY        the key to hash with: see journal.py
    LISTEN_FDS     1: a supervisor such as systemd passes a listening socket as descriptor 3
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from serving.journal import Features

HANDED_OVER = 3  # the descriptor of the first socket in systemd's protocol
MODELS = Path(__file__).parent.parent / "models"
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - only mkdtemp makes directories there, and they stay empty
HEADER = re.compile(r"[!-~]{1,128}")  # one word that is valid in a header


class BadSetting(Exception):  # noqa: N818 - the message is a sentence
    """A setting in the environment has a value that is not allowed."""


class PortTaken(Exception):  # noqa: N818 - the message is a sentence
    """The service cannot listen on its address."""


@dataclass(frozen=True)
class Settings:
    """The settings in the module's docstring. A setting that is not given is ""."""

    host: str
    port: int
    models: Path
    release: str
    commit: str
    digest: str
    drain_seconds: int
    log_features: Features
    log_key: bytes
    handed_over: bool


def settings_from(environment: Mapping[str, str]) -> Settings:
    """The settings in ``environment``; an empty variable counts as not set. Raises BadSetting."""
    given = {name: value for name, value in environment.items() if value}
    return Settings(
        host=given.get("HOST", "0.0.0.0"),  # noqa: S104 - clients reach a container from outside
        port=_whole(given, "PORT", 8080, 0, 65535),
        models=Path(given.get("MODEL_FOLDER", MODELS)),
        release=_release(given),
        commit=given.get("COMMIT", ""),
        digest=given.get("DIGEST", ""),
        drain_seconds=_whole(given, "DRAIN_SECONDS", 20, 1, 3600),
        log_features=_log_features(given),
        log_key=given.get("LOG_KEY", "").encode(),
        handed_over=given.get("LISTEN_FDS") == "1",
    )


def main() -> int:
    """The command. Its exit status is 0 after a stop, 1 without a model or a port, 2 for a wrong setting."""
    # The kernel drops a signal without a handler for the first process of a container, also before it is ready.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop_at_once)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    from serving.card import UnusableModel

    try:
        serve(settings_from(os.environ))
    except BadSetting as error:
        return _say(str(error), 2)
    except (UnusableModel, PortTaken) as error:
        return _say(str(error), 1)
    return 0


def serve(settings: Settings) -> None:
    """Serve until a signal stops the service. Raises UnusableModel or PortTaken before the first request."""
    from serving.model import load

    model = load(settings.models)  # before it listens: without a model the service must not look healthy
    listener = listen(settings)
    _find_scratch()

    from serving.app import create_app
    from serving.health import Origin
    from serving.journal import Journal, said_by
    from serving.page import create_page
    from serving.server import Server
    from serving.words import WORDS, read_words

    card = model.card
    words, groups = read_words(settings.models / WORDS, card)
    origin = Origin(settings.release, settings.commit or card.commit, settings.digest, datetime.now(UTC))
    key, features = settings.log_key, settings.log_features
    journal = Journal(_out(), settings.release, card.sha256, model.names, features, key, said_by(card))
    app = create_app(model, origin, journal, partial(create_page, words=words, groups=groups))
    own = not settings.handed_over
    server = Server(app, listener, settings.release, settings.drain_seconds, own, lambda says: _tell(card.name, says))

    def stop(_signal: int, _frame: object) -> None:
        server.should_exit = True

    # uvicorn handles the signals while it serves and raises them again after its stop; they must not end the process.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    address = "{}:{}".format(*listener.getsockname()[:2])
    _tell(card.name, f"release {settings.release} listens on {address}, pid {os.getpid()}")
    # A single record waits for the interpreter's lock while a thread works on a batch: for 1 ms instead of 5.
    sys.setswitchinterval(0.001)
    try:
        server.serve_until_told()
    finally:
        journal.close()


def listen(settings: Settings) -> socket.socket:
    """The socket that the supervisor passed, or a new one on host and port. Raises PortTaken."""
    if settings.handed_over:
        return socket.socket(fileno=HANDED_OVER)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise PortTaken(
            f"cannot listen on {settings.host} port {settings.port} ({error.strerror}). "
            "Choose another with PORT=…, or stop the program that listens there"
        ) from error


def _out() -> int:
    # If standard output is closed, the next file or connection opened would get its descriptor.
    return os.open(os.devnull, os.O_WRONLY) if sys.stdout is None else sys.stdout.fileno()


def _find_scratch() -> None:
    # Shiny makes an empty directory for each visitor and fails without a writable place. A container with a read-only
    # file system and no /tmp still has shared memory.
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = SHARED_MEMORY


def _whole(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = given.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise BadSetting(f"{name} is {text!r}, allowed is a whole number from {low} to {high}. Set {name}={default}")
    return int(text)


def _release(given: Mapping[str, str]) -> str:
    text = given.get("RELEASE", "unreleased")
    if not HEADER.fullmatch(text):
        allowed = "one word of at most 128 letters, digits and signs, since it is sent in a header of every answer"
        raise BadSetting(f"RELEASE is {text!r}, allowed is {allowed}. Set RELEASE=v1")
    return text


def _log_features(given: Mapping[str, str]) -> Any:
    from serving.journal import Features

    text = given.get("LOG_FEATURES", "hashed")
    if text not in get_args(Features):
        allowed = ", ".join(get_args(Features))
        raise BadSetting(f"LOG_FEATURES is {text!r}, allowed is one of {allowed}. Set LOG_FEATURES=hashed")
    return text


def _stop_at_once(_signal: int, _frame: object) -> None:
    raise SystemExit(0)


def _tell(name: str, says: str) -> None:
    print(f"{name}: {says}", file=sys.stderr, flush=True)


def _say(error: str, status: int) -> int:
    _tell("serving", error)  # the model's name is not known yet
    return status


if __name__ == "__main__":
    sys.exit(main())
