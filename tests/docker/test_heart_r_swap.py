"""The swap of examples/heart-r's own scripts, under requests, with images that need no R."""

from __future__ import annotations

import http.client
import threading
import time
import uuid
from pathlib import Path

from tests.docker.ec2 import MARKS, image, run
from tests.docker.test_heart_r import Host

pytestmark = MARKS


def test_a_swap_cuts_no_connection_that_a_client_keeps(registry: str, tmp_path: Path) -> None:
    """Requests on one connection, one after another, through two swaps: nginx has the same worker processes then, and
    the connection is the same."""
    host = Host(tmp_path, f"heart-r-{uuid.uuid4().hex[:6]}")
    host.start()
    try:
        swap_twice(host, registry)
    finally:
        host.stop()


def swap_twice(host: Host, registry: str) -> None:
    host.live(1, image(registry, host.service, "one"))
    parent = str(host.nginx.pid) if host.nginx else ""
    workers = run("pgrep", "--parent", parent)
    client, over, seen = http.client.HTTPConnection("127.0.0.1", host.port, timeout=20), threading.Event(), list[str]()
    client.connect()
    sock = client.sock

    def ask() -> None:
        while not over.is_set() and client.sock is sock:
            client.request("GET", "/")
            seen.append(client.getresponse().read().decode())
            time.sleep(0.05)  # nginx ends a connection after a thousand requests

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for number, says in ((2, "two"), (3, "three")):
            host.live(number, image(registry, host.service, says))
    finally:
        over.set()
        asking.join()
    client.request("GET", "/")
    seen.append(client.getresponse().read().decode())
    assert client.sock is sock
    client.close()
    assert list(dict.fromkeys(seen)) == ["one", "two", "three"]
    assert run("pgrep", "--parent", parent) == workers
