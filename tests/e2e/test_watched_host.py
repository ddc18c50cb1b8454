"""A live model is watched: one that dies of its requests after it went live is taken back. Real processes, real git."""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.local.up.laptop import Laptop
from tests.e2e.test_laptop import Team, eventually, page, phases, views

pytestmark = pytest.mark.slow

DIES = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"sick"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.path == "/predict":
            os._exit(3)

    def log_message(self, *said):
        pass

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""


@contextlib.contextmanager
def asked(address: str) -> Iterator[None]:
    """Somebody asks the model again and again, whatever it answers."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.5):
            with contextlib.suppress(OSError, urllib.error.URLError):
                urllib.request.urlopen(f"{address.rstrip('/')}/predict", timeout=5).read()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_model_that_dies_of_its_first_request_is_taken_back(tmp_path: Path) -> None:
    """It was healthy, and went live. The host's watcher tells of its ends, and the good one serves again, with no bake
    and no alarm configured."""
    with Laptop(tmp_path / "state", sweep_every=5) as laptop:
        team, where = Team(tmp_path / "clone"), laptop.whereabouts
        team.push(where.remotes["heart"], "one")
        assert eventually(lambda: phases(laptop), ["live"].__eq__) == ["live"]
        team.push(where.remotes["heart"], "two", DIES)
        assert eventually(lambda: phases(laptop), ["superseded", "live"].__eq__) == ["superseded", "live"]
        began = time.monotonic()
        with asked(where.pages["heart"]):
            back = ["live", "rolled back"]
            assert eventually(lambda: phases(laptop), back.__eq__) == back
        print(f"the good release served again {time.monotonic() - began:.1f} s after the first request")
        assert page(where.pages["heart"]) == "one"
        why = views(laptop)[-1].summary
        assert "host i-0123456789abcdef0 rolled production back to v1" in why
        assert "the last time with status 3" in why
