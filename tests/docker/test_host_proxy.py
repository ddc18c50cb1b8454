"""What nginx passes on and what it refuses, in front of one service and of several."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.docker.ec2 import MARKS, SERVE_KEPT, Host, Traffic, run, until

pytestmark = MARKS

MIB = b"x" * 1024 * 1024


def test_a_request_without_a_host_reaches_the_model_with_one(host: Host) -> None:
    """HTTP/1.0, as a simple health check sends it: servers of HTTP/1.1 refuse a request without a Host."""
    host.live(1, host.image("one"))
    with socket.create_connection(("127.0.0.1", host.port), timeout=20) as sock:
        sock.sendall(b"GET /cgi-bin/real HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.1 200")
    assert answer.endswith(f"real {host.service}")
    assert host.get("/cgi-bin/real", name="model.example:8443")[1] == "real model.example:8443"


def test_connections_to_the_container_are_kept(host: Host) -> None:
    """Requests one after the other, each on a client's connection of its own, do not open one each to the container."""
    host.live(1, host.image("one", SERVE_KEPT))
    before = int(host.get()[1])
    for _ in range(40):
        last = int(host.get()[1])
    assert last - before < 10  # the health of a container is asked by others, and each of nginx's workers keeps its own


def test_a_swap_reads_no_configuration_and_closes_no_connection(host: Host) -> None:
    """Three releases after the first one, over one connection of a client: nginx's workers are the same processes."""
    host.live(1, host.image("one"))
    text, workers = host.rollout[0], host.workers()
    client = http.client.HTTPConnection("127.0.0.1", host.port, timeout=20)
    client.connect()
    sock = client.sock
    for number in (2, 3, 4):
        live = host.live(number, host.image(str(number)))
        client.request("GET", "/")
        answer = client.getresponse()
        assert (answer.read().decode(), answer.headers["X-Esteira-Release"]) == (str(number), live)
        assert client.sock is sock
    client.close()
    assert (host.rollout[0], host.workers()) == (text, workers)


def test_another_port_inside_the_container_is_told_to_nginx_before_the_turn(host: Host) -> None:
    """The file changes for the one that is to come; under traffic no request fails."""
    host.live(1, host.image("one"))
    with Traffic(host) as traffic:
        host.live(2, host.image("two", "httpd -f -p 9000 -h /www & trap exit TERM; wait"), port=9000)
        until("traffic after the swap", lambda: traffic.bodies[-1] == "two")
    assert traffic.failed == []
    assert host.get()[:2] == (200, "two")


def test_a_request_is_as_large_as_the_release_takes(host: Host) -> None:
    """100 MB if it says nothing; a larger one is refused with the limit and its name."""
    host.live(1, host.image("one"))
    assert host.get("/cgi-bin/ask", MIB * 2)[0] == 200
    host.live(2, host.image("two"), max_body_mb=1)
    assert host.get("/cgi-bin/ask", MIB)[0] == 200
    said = f"the request is larger than 1 MB, which is max_body_mb of {host.service}\n"
    assert host.get("/cgi-bin/ask", MIB + b"x")[:2] == (413, said)


def test_a_limit_of_the_owner_s_own_stays(host: Host) -> None:
    """What stood in the service's own directory before there was a setting is not overruled, nor said twice."""
    own = host.conf_dir / f"esteira-{host.service}.d" / "own.conf"
    own.parent.mkdir()
    own.write_text("client_max_body_size 2m;\n")
    host.live(1, host.image("one"), max_body_mb=1)
    assert host.get("/cgi-bin/ask", MIB * 2)[0] == 200
    assert host.get("/cgi-bin/ask", MIB * 3)[0] == 413


def test_an_answer_takes_as_long_as_the_release_may(host: Host) -> None:
    """Later it is a gateway's time-out."""
    host.live(1, host.image("one"), response_seconds=1)
    assert host.get("/cgi-bin/late")[0] == 504
    host.live(2, host.image("two"), response_seconds=10)
    assert host.get("/cgi-bin/late")[:2] == (200, "late two")


def test_a_health_path_may_hold_brackets_and_braces(host: Host) -> None:
    """They are a path's letters, not a pattern of curl's."""
    host.live(1, host.image("one"), health_path="/model[1]{2}")
    assert host.get()[:2] == (200, "one")


def test_a_container_that_docker_cannot_start_fails_with_docker_s_reason(host: Host) -> None:
    """Not with the line after it, which tells where to read about docker run."""
    failed, ended = host.deploy(host.bundle(1, host.image("one", program="/no-such-program")))
    assert failed == "ApplicationStart"
    assert "no-such-program" in ended.sentence
    assert "docker run --help" not in ended.sentence


def test_a_release_for_another_stage_is_refused(host: Host) -> None:
    """Its tags lead to a host that serves another stage: what is live there stays, and the sentence names both."""
    live = host.live(1, host.image("one"))
    failed, ended = host.deploy(host.bundle(2, host.image("two"), stage="staging"))
    assert failed == "BeforeInstall"
    assert f"a release for staging, and the host serves production: {live} would be replaced" in ended.sentence
    assert host.get()[1:] == ("one", live)


@pytest.fixture
def beside(host: Host) -> Iterator[Host]:
    """A second service on the same host."""
    second = replace(host, service=f"{host.service}-b")
    yield second
    if second.containers():
        run("docker", "rm", "--force", *second.containers())
    for name in second.images():
        run("docker", "image", "rm", name)


def test_several_services_share_a_host(host: Host, beside: Host) -> None:
    """The first answers whoever names none; each by its name, whatever the domain, through swaps of both."""
    host.live(1, host.image("one"))
    other = beside.image("other one")
    failed, ended = beside.deploy(beside.bundle(1, other))
    assert not failed, ended.log
    assert host.get()[:2] == (200, "one")
    assert beside.get(name=f"{beside.service}.example.org")[1] == "other one"
    assert host.get(name=f"{host.service}.203.0.113.7.nip.example")[1] == "one"
    assert not beside.deploy(beside.bundle(2, beside.image("other two")))[0]
    host.live(2, host.image("two"))
    assert beside.get(name=beside.service)[1] == "other two"
    assert host.get()[1] == "two"
