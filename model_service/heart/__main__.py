"""``python -m heart``: loads the model, listens, serves until SIGTERM or SIGINT, finishes what it began, exits 0.

Settings come from the environment: PORT (8080), HOST (0.0.0.0, as a container needs it), MODEL_FILE
(models/model.json), COMMIT and RELEASE (what /version says), DRAIN_SECONDS (20: how long running requests may take
after SIGTERM). A supervisor may hand over a listening socket instead, the systemd way: LISTEN_FDS=1, as descriptor 3.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from heart.model import UnusableModel, load

HANDED_OVER = 3  # the descriptor systemd's protocol gives the first socket
DEFAULT_MODEL = Path(__file__).parent.parent / "models" / "model.json"


class BadSetting(Exception):  # noqa: N818 - it is said as a sentence
    """A setting in the environment cannot be used."""


@dataclass(frozen=True)
class Settings:
    """What the environment says; see the module's docstring."""

    host: str
    port: int
    model_file: Path
    commit: str
    release: str
    drain_seconds: int
    handed_over: bool


def settings_from(environment: Mapping[str, str]) -> Settings:
    """The settings. Raises BadSetting naming the variable, its value and what is allowed."""
    return Settings(
        host=environment.get("HOST", "0.0.0.0"),  # noqa: S104 - a container is reached from outside it
        port=_whole(environment, "PORT", 8080, 0, 65535),
        model_file=Path(environment.get("MODEL_FILE", DEFAULT_MODEL)),
        commit=environment.get("COMMIT", "unknown"),
        release=environment.get("RELEASE", "unreleased"),
        drain_seconds=_whole(environment, "DRAIN_SECONDS", 20, 1, 3600),
        handed_over=environment.get("LISTEN_FDS") == "1",
    )


def main() -> int:
    """Serves; the exit status: 0 after a stop, 1 when there is no model or no port, 2 for a wrong setting."""
    try:
        settings = settings_from(os.environ)
        serve(settings)
    except BadSetting as error:
        return _say(error, 2)
    except (UnusableModel, PortTaken) as error:
        return _say(error, 1)
    return 0


class PortTaken(Exception):  # noqa: N818 - it is said as a sentence
    """The address cannot be listened on."""


def serve(settings: Settings) -> None:
    """Serves until a signal says stop. Raises UnusableModel or PortTaken before the first request."""
    model = load(settings.model_file)  # first: with no model nothing may look alive

    import uvicorn

    from heart.app import Origin, create_app

    server = uvicorn.Server(
        uvicorn.Config(
            create_app(model, Origin(settings.commit, settings.release)),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            access_log=False,
            timeout_graceful_shutdown=settings.drain_seconds,
        )
    )

    def stop(_signal: int, _frame: object) -> None:
        server.should_exit = True

    # uvicorn drains by itself, then sends itself the signal again; this handler is what then makes the exit a clean one
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    listener = listen(settings)
    address = "{}:{}".format(*listener.getsockname()[:2])
    print(f"heart: release {settings.release} listens on {address}, pid {os.getpid()}", file=sys.stderr, flush=True)
    server.run(sockets=[listener])


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


def _whole(environment: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environment.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise BadSetting(f"{name} is {text!r}, allowed is a whole number from {low} to {high}. Set {name}={default}")
    return int(text)


def _say(error: Exception, status: int) -> int:
    print(f"heart: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
