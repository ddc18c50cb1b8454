"""What the host finds out about an image that nobody described: its port and its health path. On real tools."""

from __future__ import annotations

import pytest

from tests.docker.ec2 import MARKS, Host, inspected

pytestmark = MARKS
SERVE = "httpd -f -p {port} -h {root} & trap exit TERM; wait"


def serve(port: int, root: str = "/www") -> str:
    """The command of a server on this port."""
    return SERVE.format(port=port, root=root)


def unknown(host: Host, number: int, image: str, **changes: object) -> str:
    """Deploy an image with neither a port nor a health path given; what its ApplicationStart said."""
    archive = host.bundle(number, image, **{"port": 0, "health_path": "", **changes})
    assert host.hook("BeforeInstall", archive).status == 0
    started = host.hook("ApplicationStart", archive)
    assert started.status == 0, started.log
    ended = host.hook("ValidateService", archive)
    assert ended.status == 0, ended.log
    return started.log


def found(log: str) -> list[str]:
    """The lines about what was found out."""
    return [line for line in log.splitlines() if line.startswith("found: ")]


def test_the_port_is_the_lowest_tcp_port_that_the_image_exposes(host: Host) -> None:
    """Exposed ports of udp do not count; the line says why it is this port, and what would fix it."""
    log = unknown(host, 1, host.image("one", serve(5000), exposes="53/udp 9090 5000"))
    assert host.get()[:2] == (200, "one")
    assert found(log) == [
        "found: port 5000, which the image exposes; in esteira.yaml: port: 5000",
        "found: health path /ping, which answers 200; in esteira.yaml: health: /ping",
    ]


def test_without_exposed_ports_it_is_where_the_container_listens(host: Host) -> None:
    """The container is started anew on the port that was found; the next release takes its place as any other."""
    first = unknown(host, 1, host.image("one", serve(7860)))
    assert host.get()[:2] == (200, "one")
    assert found(first)[0] == "found: port 7860, where the container listens; in esteira.yaml: port: 7860"
    unknown(host, 2, host.image("two", serve(7860)))
    assert host.get()[:2] == (200, "two")
    assert len(host.containers("status=running")) == 1
    assert host.is_settled


def test_a_container_that_listens_on_8080_is_started_once(host: Host) -> None:
    """8080 is what is tried first where nothing says another port."""
    log = unknown(host, 1, host.image("one", "echo started; " + serve(8080)))
    assert "port 8080" in found(log)[0]
    (name,) = host.containers()
    assert inspected(name)["RestartCount"] == 0


@pytest.mark.parametrize(
    ("root", "path", "status"),
    [
        pytest.param("/www", "/ping", 200, id="ping"),
        pytest.param("/only-index", "/", 200, id="only an index"),
        pytest.param("/models", "/", 404, id="nothing at all"),
    ],
)
def test_the_health_path_is_the_first_that_answers(host: Host, root: str, path: str, status: int) -> None:
    """Where no path of the list is there, / is taken with what it answers; ValidateService asks for the same."""
    make = "mkdir /tmp/x; cp /www/index.html /tmp/x; " if root == "/only-index" else ""
    where = "/tmp/x" if make else root
    log = unknown(host, 1, host.image("one", make + serve(8080, where)), port=8080)
    assert found(log) == [f"found: health path {path}, which answers {status}; in esteira.yaml: health: {path}"]
    assert host.get(path)[0] == status


def test_a_rollback_to_a_kept_container_keeps_what_was_found(host: Host) -> None:
    """The former container is started again and asked on the path that was found for it, not the other one's."""
    one = host.image("one", serve(5000, "/models"), exposes="5000")
    unknown(host, 1, one)
    unknown(host, 2, host.image("two", serve(8080)))
    assert host.get("/ping")[0] == 200
    unknown(host, 1, one)
    assert host.get("/ping")[0] == 404
    assert len(host.containers("status=running")) == 1


def test_what_is_said_is_not_searched_for(host: Host) -> None:
    """With a port and a health path given, nothing is found out and no such line is printed."""
    log = unknown(host, 1, host.image("one", exposes="5000"), port=8080, health_path="/ping")
    assert found(log) == []
