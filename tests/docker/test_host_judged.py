"""A release is judged by what it answers once it has the traffic, and the former one runs until that is over."""

from __future__ import annotations

import time

import pytest

from tests.docker.ec2 import MARKS, SERVE, Host, Traffic, inspected, run, until

pytestmark = MARKS

# Healthy until it is asked something real, and for so many seconds after that.
DIES = "httpd -f -p 8080 -h /www & while [ ! -e /tmp/asked ]; do sleep 0.1; done; sleep {}; echo no model; exit 3"
FROM_TMP = "mkdir /tmp/x; cp /www/ping /www/index.html /tmp/x; httpd -f -p 8080 -h /tmp/x & trap exit TERM; wait"


@pytest.mark.parametrize("seconds", [1, 4])
def test_a_release_that_dies_after_its_first_real_requests_is_taken_back(host: Host, seconds: int) -> None:
    """Healthy at its start, dead a few seconds after its first request: the good one serves, the cause is said."""
    live = host.live(1, host.image("one"))
    dies = host.bundle(2, host.image("two", DIES.format(seconds)), min_ready_seconds=15)
    with Traffic(host, pause=0.05, path="/cgi-bin/real"):
        failed, ended = host.deploy(dies)
        assert inspected(live)["State"]["Running"]
    assert failed == "ValidateService", ended.log
    assert "no model\n" in ended.log
    assert " s after it got the traffic (exit code 3), expected it to go on; " in ended.sentence
    assert f"{live} is live. Next: " in ended.sentence
    assert host.get()[1:] == ("one", live)
    assert host.containers() == [live]
    assert host.is_settled


def test_the_end_of_a_release_between_two_hooks_is_seen_by_the_host_itself(host: Host) -> None:
    """Nobody has validated it yet and requests go there: the switch puts the former one back without waiting its time,
    and the hook that comes later says why."""
    live = host.live(1, host.image("one"))
    archive = host.bundle(2, host.image("two", DIES.format(1)), validation_seconds=1500)
    for event in ("BeforeInstall", "ApplicationStart"):
        assert host.hook(event, archive).status == 0
    assert host.get("/cgi-bin/real")[0] == 200
    until("the switch", lambda: not host.armed.exists())
    assert host.get()[1:] == ("one", live)
    assert "no model\n" in host.log
    ended = host.hook("ValidateService", archive)
    assert ended.status == 1
    assert "ended (exit code 3) when it had got the traffic, so the host had put back " in ended.sentence


def test_docker_starts_nothing_again_before_it_is_accepted(host: Host) -> None:
    """Until the release is accepted an end is an end; from then on Docker starts it again."""
    archive = host.bundle(1, host.image("one"))
    for event in ("BeforeInstall", "ApplicationStart"):
        assert host.hook(event, archive).status == 0
    (name,) = host.containers()
    assert inspected(name)["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert host.hook("ValidateService", archive).status == 0
    assert inspected(name)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_a_release_whose_answers_are_errors_is_taken_back(host: Host) -> None:
    """It runs and is healthy, and its answers are 500 where the former one's were good."""
    image = host.image("one")
    live = host.live(1, image)
    with Traffic(host, pause=0.05, path="/cgi-bin/real"):
        failed, ended = host.deploy(host.bundle(2, image, environment={"FAILS": "yes"}, min_ready_seconds=60))
    assert failed == "ValidateService"
    assert " were errors (status 500 and above), expected at most a tenth" in ended.sentence
    assert (host.get("/cgi-bin/real")[0], host.served_by()) == (200, live)


def test_errors_that_the_former_one_gave_as_well_are_no_reason(host: Host) -> None:
    """Requests that no release can answer do not hold the next one back."""
    image = host.image("one")
    first = host.live(1, image, environment={"FAILS": "yes"})
    with Traffic(host, pause=0.05, path="/cgi-bin/real") as traffic:
        until("errors of the former one", lambda: len(traffic.failed) > 20)
        second = host.live(2, image, environment={"FAILS": "still"}, min_ready_seconds=4)
    assert second != first
    assert traffic.bodies == []


def test_a_release_whose_health_is_gone_under_traffic_is_taken_back(host: Host) -> None:
    """It runs, answers, and is not healthy any more."""
    live = host.live(1, host.image("one"))
    archive = host.bundle(2, host.image("two", FROM_TMP), min_ready_seconds=60, validation_seconds=1500)
    for event in ("BeforeInstall", "ApplicationStart"):
        assert host.hook(event, archive).status == 0
    process = host.begin("ValidateService", archive)
    until("the judging", lambda: 90 < int(host.armed.read_text().split()[0]) - time.time() < 200)
    run("docker", "exec", host.served_by(), "/bin/busybox", "rm", "/tmp/x/ping")
    ended = host.end(process)
    assert ended.status == 1
    assert "since it has the traffic: expected 200, got 404, 3 times in a row" in ended.sentence
    assert host.get()[1:] == ("one", live)


def test_without_requests_its_health_decides(host: Host) -> None:
    """Nobody asks anything: it is watched for as long, and accepted."""
    host.live(1, host.image("one"))
    live = host.live(2, host.image("two", SERVE), min_ready_seconds=3)
    assert host.served_by() == live
    assert host.is_settled
