"""``python -m serving``: loads the model, listens, serves until SIGTERM or SIGINT, finishes what it began, exits 0.

Settings come from the environment:

    PORT           where it listens (8080)
    HOST           (0.0.0.0, as a container needs it)
    MODEL_FOLDER   where the model's files are (models/, beside serving/)
    RELEASE        what every answer's x-model-version says (unreleased)
    COMMIT         what /version says (the one the model was trained at)
    DIGEST         the image's, likewise
    DRAIN_SECONDS  how long running requests may take after the stop (20)
    LOG_FEATURES   hashed, plain or none, and
    LOG_KEY        the key to hash with: see journal.py
    LISTEN_FDS     1: a supervisor hands over a listening socket, the systemd way, as descriptor 3
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
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from serving.journal import Features

HANDED_OVER = 3  # the descriptor systemd's protocol gives the first socket
MODELS = Path(__file__).parent.parent / "models"
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - only empty directories are made there, by mkdtemp
HEADER = re.compile(r"[!-~]{1,128}")  # what may stand in a header, and is one word


class BadSetting(Exception):  # noqa: N818 - it is said as a sentence
    """A setting in the environment cannot be used."""


class PortTaken(Exception):  # noqa: N818 - it is said as a sentence
    """The address cannot be listened on."""


@dataclass(frozen=True)
class Settings:
    """What the environment says; see the module's docstring. Not said: ""."""

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
    """The settings; an empty one is not set. Raises BadSetting naming the variable, its value and what is allowed."""
    given = {name: value for name, value in environment.items() if value}
    return Settings(
        host=given.get("HOST", "0.0.0.0"),  # noqa: S104 - a container is reached from outside it
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
    """Serves; the exit status: 0 after a stop, 1 when there is no model or no port, 2 for a wrong setting."""
    # As the first process of a container this one would not hear a stop that comes before it is ready.
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
    """Serves until a signal says stop. Raises UnusableModel or PortTaken before the first request."""
    from serving.model import load

    model = load(settings.models)  # first: with no model nothing may look alive
    listener = listen(settings)

    _find_scratch()

    from serving.app import create_app
    from serving.health import Origin
    from serving.journal import Journal
    from serving.page import create_page
    from serving.server import Server

    card = model.card
    origin = Origin(settings.release, settings.commit or card.commit, settings.digest, datetime.now(UTC))
    key, features = settings.log_key, settings.log_features
    journal = Journal(_out(), settings.release, card.sha256, model.names, features, key)
    app = create_app(model, origin, journal, create_page)
    own = not settings.handed_over
    server = Server(app, listener, settings.release, settings.drain_seconds, own, lambda says: _tell(card.name, says))

    def stop(_signal: int, _frame: object) -> None:
        server.should_exit = True

    # uvicorn hears the signals while it serves and sends them again when it has stopped: that is not to end us then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    address = "{}:{}".format(*listener.getsockname()[:2])
    _tell(card.name, f"release {settings.release} listens on {address}, pid {os.getpid()}")
    # Where a thread works on a batch, a single record waits for the interpreter's lock: for 1 ms and not 5.
    sys.setswitchinterval(0.001)
    try:
        server.serve_until_told()
    finally:
        journal.close()


def listen(settings: Settings) -> socket.socket:
    """The listening socket: the one handed over, else a new one on host and port."""
    if settings.handed_over:
        return socket.socket(fileno=HANDED_OVER)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise PortTaken(
            f"cannot listen on {settings.host} port {settings.port} ({error.strerror}). "
            "Choose another with PORT=…, or stop what listens there"
        ) from error


def _out() -> int:
    # With standard output closed, the next file opened, a visitor's connection say, would have its number.
    return os.open(os.devnull, os.O_WRONLY) if sys.stdout is None else sys.stdout.fileno()


def _find_scratch() -> None:
    # Shiny makes an empty directory for each visitor, and ends where there is none to make it in. A container with a
    # read-only file system and no /tmp of its own still has shared memory.
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
        allowed = "one word of at most 128 letters, digits and signs, as it stands in a header of every answer"
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
    _tell("serving", error)  # no model, no name
    return status


if __name__ == "__main__":
    sys.exit(main())
