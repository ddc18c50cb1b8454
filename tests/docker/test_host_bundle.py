"""The default bundle on real tools: its hooks, driven as CodeDeploy's agent does, on Docker, a registry and nginx."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading

import pytest

from tests.docker.ec2 import HOOKS, MARKS, Host, Traffic, inspected, run, until

pytestmark = MARKS


def test_a_first_release_becomes_live_through_the_proxy(host: Host) -> None:
    """On an empty host the release answers on the proxy's port, confined, on loopback, and labelled for a reader."""
    live = host.live(1, host.image("one"), environment={"GREETING": 'it\'s a "$HOME"\nof two lines'})
    assert host.get()[:2] == (200, "one")
    assert host.containers() == [live]
    known = inspected(live)
    assert known["HostConfig"]["ReadonlyRootfs"]
    assert known["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]
    assert (known["HostConfig"]["CapDrop"], known["HostConfig"]["CapAdd"]) == (["ALL"], None)
    assert 0 < known["HostConfig"]["Memory"] == known["HostConfig"]["MemorySwap"]
    assert known["HostConfig"]["PidsLimit"] == 2048
    assert known["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert known["HostConfig"]["LogConfig"]["Type"] == "json-file"
    assert known["HostConfig"]["LogConfig"]["Config"]["tag"].split("/")[1:] == ["production", "v1"]
    assert {binding["HostIp"] for binding in known["HostConfig"]["PortBindings"]["8080/tcp"]} == {"127.0.0.1"}
    assert known["Config"]["Labels"]["esteira.release"] == "v1"
    assert 'GREETING=it\'s a "$HOME"\nof two lines' in known["Config"]["Env"]


def test_a_container_gets_back_only_the_capabilities_that_were_asked_for(host: Host) -> None:
    """An image that changes its user at its start needs two of root's; the other ones stay away."""
    live = host.live(1, host.image("one"), capabilities=["SETGID", "SETUID"])
    known = inspected(live)["HostConfig"]
    assert (known["CapDrop"], sorted(one.removeprefix("CAP_") for one in known["CapAdd"])) == (
        ["ALL"],
        ["SETGID", "SETUID"],
    )


def test_an_image_of_another_processor_is_refused_before_anything_changes(host: Host) -> None:
    """It would end with "exec format error" and nothing else; the sentence names both processors. The engine here takes
    images of its own processor only, so what it says of one is spoken for it."""
    host.live(1, host.image("one"))
    spoken = host.where / "bin" / "docker"
    spoken.parent.mkdir()
    real = shutil.which("docker")
    spoken.write_text(f'#!/bin/sh\ncase "$*" in *"{{{{.Architecture}}}}"*) echo s390x ;; *) exec {real} "$@" ;; esac\n')
    spoken.chmod(0o755)
    host.environment["PATH"] = f"{spoken.parent}:{os.environ['PATH']}"
    ended = host.hook("BeforeInstall", host.bundle(2, host.image("two")))
    assert ended.status == 1
    assert "the image is built for s390x, expected " in ended.sentence
    assert host.get()[:2] == (200, "one")


def test_a_second_release_replaces_the_first_and_no_request_fails(host: Host) -> None:
    """Under traffic without a pause every request is answered, and one begun on the old container ends there."""
    first = host.live(1, host.image("one"))
    archive = host.bundle(2, host.image("two"), drain_seconds=5)
    slow: list[tuple[int, str, str]] = []
    with Traffic(host) as traffic:
        assert host.hook("BeforeInstall", archive).status == 0
        begun = threading.Thread(target=lambda: slow.append(host.get("/cgi-bin/slow")))
        begun.start()
        for event in ("ApplicationStart", "ValidateService"):
            ended = host.hook(event, archive)
            assert ended.status == 0, ended.log
        begun.join()
        seen = len(traffic.bodies)
        until("traffic after the swap", lambda: len(traffic.bodies) > seen + 10)
    assert traffic.failed == []
    assert set(traffic.bodies) == {"one", "two"}
    assert slow == [(200, "slow one", first)]
    assert host.get()[1] == "two"
    assert host.containers("status=exited") == [first]


def test_a_release_that_crashes_at_start_leaves_the_live_one_untouched(host: Host) -> None:
    """The candidate is gone, the live one is the same process, the log ends with its last words and one sentence."""
    live = host.live(1, host.image("one"))
    before = inspected(live)["State"], host.rollout
    crash = host.image("two", "for n in $(seq 200); do echo line $n: löwe; done; echo no model file; exit 3")
    failed, ended = host.deploy(host.bundle(2, crash))
    assert failed == "ApplicationStart"
    assert (inspected(live)["State"], host.rollout) == before
    assert host.containers() == [live]
    assert host.get()[1] == "one"
    assert "line 200: löwe\nno model file" in ended.log
    assert "expected 200, got the end of the process (exit code 3); " in ended.sentence
    assert f"ApplicationStart of {host.service} v2 failed" in ended.sentence
    assert f"{live} is live. Next: " in ended.sentence


def test_a_release_that_never_answers_its_health_path_is_removed(host: Host) -> None:
    """The sentence says which check, what was expected and what came instead."""
    live = host.live(1, host.image("one"))
    sick = host.bundle(2, host.image("two"), health_path="/healthz", startup_seconds=1)
    failed, ended = host.deploy(sick)
    assert failed == "ApplicationStart"
    assert "GET /healthz of" in ended.sentence
    assert "within 1 s: expected 200, got 404; " in ended.sentence
    assert host.containers() == [live]
    assert host.served_by() == live


def test_a_failed_first_release_leaves_the_host_as_it_was(host: Host) -> None:
    """No container, no nginx file, and the sentence says that nothing is live."""
    failed, ended = host.deploy(host.bundle(1, host.image("one", "exit 1")))
    assert failed == "ApplicationStart"
    assert host.containers() == []
    assert list(host.conf_dir.iterdir()) == []
    assert f"no release of {host.service} is live on this host" in ended.sentence


def test_a_release_that_fails_through_the_proxy_is_turned_back(host: Host) -> None:
    """Healthy by itself and not for a client: the old one answers again, the new one is gone, no request was lost."""
    live = host.live(1, host.image("one"))
    before = host.rollout
    own = host.conf_dir / f"esteira-{host.service}.d" / "own.conf"
    own.parent.mkdir()
    own.write_text("location = /ping { return 403; }\n")
    run("nginx", "-c", host.environment["ESTEIRA_NGINX_CONF"], "-s", "reload")
    until("the directive", lambda: host.get("/ping")[0] == 403)
    with Traffic(host) as traffic:
        failed, ended = host.deploy(host.bundle(2, host.image("two")))
    assert failed == "ValidateService"
    assert traffic.failed == []
    assert "expected 200 from" in ended.sentence
    assert "got 403 " in ended.sentence
    assert f"{live} is live" in ended.sentence
    assert host.rollout == before
    assert host.containers() == [live]
    assert host.get()[1:] == ("one", live)


def test_a_broken_nginx_configuration_stops_the_swap(host: Host) -> None:
    """Someone else's broken file: found before anything starts; a swap under way does without nginx's reading it."""
    live = host.live(1, host.image("one"))
    before = host.rollout
    archive = host.bundle(2, host.image("two"))
    assert host.hook("BeforeInstall", archive).status == 0
    broken = host.conf_dir / "zz-other.conf"
    broken.write_text("serve {}\n")
    ended = host.hook("BeforeInstall", archive)
    assert ended.status == 1
    assert 'unknown directive "serve"' in ended.sentence
    assert host.rollout == before
    assert host.containers() == [live]
    assert host.served_by() == live
    for event in ("ApplicationStart", "ValidateService"):
        ended = host.hook(event, archive)
        assert ended.status == 0, ended.log
    assert host.get()[1] == "two"


def test_a_bundle_whose_nginx_file_is_refused_leaves_the_former_file(host: Host) -> None:
    """A newer esteira's proxy.conf that this nginx does not take: a sentence, and nginx could start again as it was."""
    live = host.live(1, host.image("one"))
    before = host.rollout
    archive = host.bundle(2, host.image("two"))
    with (archive / "proxy.conf").open("a") as file:
        file.write("serve {}\n")
    assert host.hook("BeforeInstall", archive).status == 0
    ended = host.hook("ApplicationStart", archive)
    assert ended.status == 1
    assert 'unknown directive "serve"' in ended.sentence
    assert host.rollout == before
    assert host.is_settled
    assert host.containers() == [live]
    assert host.served_by() == live


def test_a_bundle_with_another_nginx_file_installs_it(host: Host) -> None:
    """A newer esteira's proxy.conf is in force with its first release, and its release is live."""
    host.live(1, host.image("one"))
    archive = host.bundle(2, host.image("two"))
    text = (archive / "proxy.conf").read_text()
    (archive / "proxy.conf").write_text(
        text.replace("    error_page", "    add_header X-New yes always;\n    error_page", 1)
    )
    failed, ended = host.deploy(archive)
    assert not failed, ended.log
    assert "X-New" in host.rollout[0]
    assert host.get()[1] == "two"
    assert host.is_settled


def test_a_host_of_an_earlier_esteira_goes_on_without_a_gap(host: Host) -> None:
    """Its container is on Docker's own bridge, its link lies beside nginx's file: it is the one that is replaced, and
    the one to go back to."""
    image = host.image("one")
    first = host.live(1, image)
    port, old = first.rpartition("-")[2], f"esteira-{host.service}"
    labels = [f"--label=esteira.{name}={value}" for name, value in inspected_labels(first).items()]
    run("docker", "rm", "--force", first)
    publish = f"127.0.0.1:{port}:8080"
    run("docker", "run", "--detach", "--restart=unless-stopped", "--publish", publish, *labels, "--name", first, image)
    for path in host.conf_dir.iterdir():
        path.unlink()
    (host.conf_dir / f"{old}.containers").mkdir()
    (host.conf_dir / f"{old}.containers" / first).write_text("/ping 200\n")
    (host.conf_dir / f"{old}.live").symlink_to(f"{old}.containers/{first}")
    host.site.write_text(EARLIER.format(listen=host.environment["ESTEIRA_LISTEN"], live=host.conf_dir / f"{old}.live"))
    run("nginx", "-c", host.environment["ESTEIRA_NGINX_CONF"], "-s", "reload")
    until("the earlier file", lambda: host.get()[1:] == ("one", first))
    with Traffic(host) as traffic:
        failed, _ = host.deploy(host.bundle(2, host.image("two", "exit 1")))
        assert (failed, host.served_by()) == ("ApplicationStart", first)
        host.live(3, host.image("three"))
        until("traffic after the swap", lambda: traffic.bodies[-1] == "three")
    assert traffic.failed == []
    assert host.containers("status=exited") == [first]
    assert host.is_settled
    host.live(1, image)
    assert host.get()[1] == "one"


def inspected_labels(container: str) -> dict[str, str]:
    """esteira's labels of a container."""
    found = inspected(container)["Config"]["Labels"]
    return {name.removeprefix("esteira."): value for name, value in found.items() if name.startswith("esteira.")}


EARLIER = """server {{
    listen {listen} default_server;
    root {live};
    if ($realpath_root ~ "/([^/]+-([0-9]+))$") {{
        set $container $1;
        set $port $2;
    }}
    add_header X-Esteira-Release $container always;
    location / {{ proxy_pass http://127.0.0.1:$port; }}
}}
"""


def test_an_upload_that_is_on_its_way_when_the_old_container_goes_reaches_the_new_one(host: Host) -> None:
    """Chosen before the turn, whole after the old one was stopped: the request is answered by the one that is live."""
    host.live(1, host.image("one"))
    with socket.create_connection(("127.0.0.1", host.port), timeout=60) as slow:
        head = "POST /cgi-bin/ask HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 20000\r\n"
        slow.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert slow.recv(1000).startswith(b"HTTP/1.1 100 ")  # nginx has chosen the container, and reads the body
        live = host.live(2, host.image("two"))
        slow.sendall(b"x" * 20000)
        answer = b"".join(iter(lambda: slow.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.1 200")
    assert f"X-Esteira-Release: {live}" in answer


def test_every_hook_may_run_twice(host: Host) -> None:
    """Twice is once: the same containers, the same file, nothing pending."""
    first = host.live(1, host.image("one"))
    failed, ended = host.deploy(host.bundle(2, host.image("two")), times=2)
    assert not failed, ended.log
    second = host.served_by()
    assert host.containers() == sorted([first, second])
    assert host.containers("status=running") == [second]
    assert host.is_settled


def test_a_rollback_starts_the_kept_container_again(host: Host) -> None:
    """The former release comes back as the very container that was stopped; the one rolled back is kept."""
    one, two = host.image("one"), host.image("two")
    first = host.live(1, one)
    kept = inspected(first)["Id"]
    second = host.live(2, two)
    assert host.live(1, one) == first
    assert inspected(first)["Id"] == kept
    assert inspected(first)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert host.get()[1] == "one"
    assert host.containers("status=exited") == [second]


def test_two_releases_are_kept_and_older_ones_go_with_their_images(host: Host) -> None:
    """After three releases the host has the live one and the one before, and no image besides theirs."""
    images = [host.image(says) for says in ("one", "two", "three")]
    names = [host.live(number, each) for number, each in enumerate(images, 1)]
    assert host.containers() == sorted(names[1:])
    assert host.images() == sorted(images[1:])


def test_a_hook_ended_by_its_timeout_takes_its_candidate_away(host: Host) -> None:
    """The agent's TERM to the process group: the candidate is gone, the live one serves, the sentence says so."""
    live = host.live(1, host.image("one"))
    archive = host.bundle(2, host.image("two"), health_path="/never")
    assert host.hook("BeforeInstall", archive).status == 0
    process = host.begin("ApplicationStart", archive)
    until("the candidate", lambda: len(host.containers("status=running")) == 2)
    os.killpg(process.pid, signal.SIGTERM)
    ended = host.end(process)
    assert ended.status == 143
    assert "ended from outside" in ended.sentence
    assert host.containers() == [live]
    assert host.served_by() == live


def test_a_candidate_left_by_a_killed_hook_is_cleared_by_the_next(host: Host) -> None:
    """Killed without a word, a hook leaves a candidate that does not restart; the next deployment removes it."""
    host.live(1, host.image("one"))
    dead = host.bundle(2, host.image("two"), health_path="/never")
    assert host.hook("BeforeInstall", dead).status == 0
    process = host.begin("ApplicationStart", dead)
    until("the candidate", lambda: len(host.containers("status=running")) == 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (left,) = [name for name in host.containers() if name != host.served_by()]
    assert inspected(left)["HostConfig"]["RestartPolicy"]["Name"] == "no"
    host.live(3, host.image("three"))
    assert left not in host.containers()
    assert host.get()[1] == "three"


def test_a_live_container_removed_by_hand_comes_back_by_a_redeployment(host: Host) -> None:
    """Somebody removed the live container: the same release deployed again answers, not taken for the old one."""
    image = host.image("one")
    run("docker", "rm", "--force", host.live(1, image))
    assert host.get()[0] in (502, 504)  # there is nobody at its address
    before = host.rollout
    assert host.deploy(host.bundle(1, image, health_path="/never", startup_seconds=1))[0] == "ApplicationStart"
    assert host.rollout == before
    live = host.live(1, image)
    assert host.get()[:2] == (200, "one")
    assert host.containers("status=running") == [live]


def test_a_swap_cut_off_before_the_turn_retires_nothing(host: Host) -> None:
    """The live release's file saved and then nothing turned: the live one deployed again stays, running."""
    image = host.image("one")
    live = host.live(1, image)
    host.before.write_text(f"{live}\n")
    assert host.live(1, image) == live
    assert host.containers("status=running") == [live]


def test_two_deployments_at_once_take_turns(host: Host) -> None:
    """Whichever turns the proxy last is validated; the other is told which one is live, and nothing is half done."""
    archives = [host.bundle(number, host.image(str(number))) for number in (1, 2)]
    for archive in archives:
        assert host.hook("BeforeInstall", archive).status == 0
    for event, wanted in (("ApplicationStart", [0, 0]), ("ValidateService", [0, 1])):
        processes = [host.begin(event, archive) for archive in archives]
        ended = [host.end(process) for process in processes]
        assert sorted(each.status for each in ended) == wanted, [each.log for each in ended]
    live = host.served_by()
    assert any("another deployment, or a person, came in between" in each.sentence for each in ended)
    assert host.containers("status=running") == [live]


def test_an_image_that_is_not_in_the_registry_is_named(host: Host) -> None:
    """BeforeInstall says what it could not pull, and the host is as it was."""
    image = f"{host.registry}/{host.service}@sha256:{'0' * 64}"
    failed, ended = host.deploy(host.bundle(1, image))
    assert failed == "BeforeInstall"
    assert f"docker pull {image}: " in ended.sentence
    assert "nothing on the host was changed. Next: " in ended.sentence


def test_an_engine_that_does_not_answer_is_named(host: Host) -> None:
    """BeforeInstall says that Docker is down and how to start it."""
    ended = host.hook("BeforeInstall", host.bundle(1, host.image("one")), DOCKER_HOST=f"unix://{host.where}/none.sock")
    assert ended.status == 1
    assert "the Docker engine does not answer" in ended.sentence
    assert "systemctl enable --now docker" in ended.sentence


def test_an_instance_without_a_role_is_told_what_to_give_it(host: Host) -> None:
    """An image in ECR and no credentials: the sentence carries AWS's words, and no token is left on the host."""
    tools, spare = host.where / "tools", host.where / "spare"
    tools.mkdir()
    spare.mkdir()
    local_aws = tools / "aws"
    local_aws.write_text('#!/bin/sh\necho "$@" >&2\necho Unable to locate credentials >&2\nexit 253\n')
    local_aws.chmod(0o755)
    image = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/heart@sha256:{'0' * 64}"
    ended = host.hook(
        "BeforeInstall", host.bundle(1, image), PATH=f"{tools}:{host.environment['PATH']}", TMPDIR=str(spare)
    )
    assert ended.status == 1
    assert (
        "no ECR token for 123456789012.dkr.ecr.eu-west-1.amazonaws.com: Unable to locate credentials" in ended.sentence
    )
    assert "ecr:GetAuthorizationToken" in ended.sentence
    assert list(spare.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"port": "8080"}, "port is '8080', expected a whole number from 0 to 65535"),
        ({"health_path": "ping"}, "health_path is 'ping', expected a path that begins with /"),
        ({"service": "a; reboot"}, "service is 'a; reboot', expected lower-case letters"),
        ({"digest": "sha256:" + "1" * 64}, "expected it to end in @sha256:111"),
        ({"environment": {"A B": "x"}}, "environment names 'A B'"),
        ({"environment": {"TOKEN": 5}}, "environment's TOKEN is not a text"),
    ],
)
def test_a_release_that_makes_no_sense_is_refused_by_field(host: Host, changes: dict[str, object], said: str) -> None:
    """Every hook refuses it with the field's name and what it should hold, and changes nothing."""
    archive = host.bundle(1, f"{host.registry}/heart@sha256:{'0' * 64}", **changes)
    for event in HOOKS:
        ended = host.hook(event, archive)
        assert ended.status == 1
        assert said in ended.sentence
        assert "nothing on the host was changed. Next: " in ended.sentence
    assert host.containers() == []
    assert list(host.conf_dir.iterdir()) == []


def golden(*halves: float) -> str:
    """The text of a golden file that expects these halves of the model, one question each."""
    questions = [{"body": {"x": n}, "expected": {"half": [half]}, "tolerance": 0.01} for n, half in enumerate(halves)]
    file = {"format": 1, "path": "/cgi-bin/ask", "content_type": "application/json", "questions": questions}
    return json.dumps(file)


@pytest.mark.parametrize("label", ["/models/golden.json", "/models/link.json"])
def test_a_release_is_asked_its_golden_questions_before_it_takes_traffic(host: Host, label: str) -> None:
    """Answered as expected, it goes live, and the hook's log says how many were asked; through a link as well."""
    archive = host.bundle(1, host.image("one", golden=golden(0.5, 0.501), label=label))
    assert host.hook("BeforeInstall", archive).status == 0
    ended = host.hook("ApplicationStart", archive)
    assert ended.status == 0, ended.log
    assert "2 golden questions, all as expected" in ended.log
    assert host.hook("ValidateService", archive).status == 0
    assert host.get()[:2] == (200, "one")


def test_a_release_that_answers_a_golden_question_otherwise_is_removed(host: Host) -> None:
    """The sentence has the question, where, expected and got; the live one served all the while and still does."""
    live = host.live(1, host.image("one"))
    before = inspected(live)["State"], host.rollout
    wrong = host.image("two", golden=golden(0.5, 0.53), label="/models/golden.json")
    with Traffic(host) as traffic:
        failed, ended = host.deploy(host.bundle(2, wrong))
    assert failed == "ApplicationStart"
    assert traffic.failed == []
    assert set(traffic.bodies) == {"one"}
    asked = 'golden question 2 of 2, {"x": 1}: at half[0]: expected 0.53, got 0.5 (tolerance 0.01)'
    assert ended.sentence.startswith(f"ApplicationStart of {host.service} v2 failed: {asked}; {live} is live. Next: ")
    assert (inspected(live)["State"], host.rollout) == before
    assert host.containers() == [live]


@pytest.mark.parametrize(
    ("label", "text", "said"),
    [
        ("/models/none.json", "", "names /models/none.json, expected a file there, got: "),
        ("/models", "", "names /models, expected a file there, got a directory"),
        ("models/golden.json", "", "is models/golden.json, expected a path that begins with /"),
        ("/models/golden.json", "{}", "the golden questions cannot be used: format is null, expected 1"),
    ],
)
def test_golden_questions_that_cannot_be_asked_fail_the_release(host: Host, label: str, text: str, said: str) -> None:
    """A label that names no file, and a file that holds no questions: each is said, and nothing is left behind."""
    failed, ended = host.deploy(host.bundle(1, host.image("one", golden=text, label=label)))
    assert failed == "ApplicationStart"
    assert said in ended.sentence
    assert "Next: " in ended.sentence
    assert host.containers() == []
    assert list(host.conf_dir.iterdir()) == []


def test_a_kept_container_is_asked_again_when_it_is_gone_back_to(host: Host) -> None:
    """A rollback to a stopped container asks it as if it were new, and it serves again."""
    one = host.image("one", golden=golden(0.5), label="/models/golden.json")
    first = host.live(1, one)
    kept = inspected(first)["Id"]
    host.live(2, host.image("two"))
    archive = host.bundle(1, one)
    assert host.hook("BeforeInstall", archive).status == 0
    ended = host.hook("ApplicationStart", archive)
    assert ended.status == 0, ended.log
    assert "1 golden question, all as expected" in ended.log
    assert host.hook("ValidateService", archive).status == 0
    assert (inspected(first)["Id"], host.served_by()) == (kept, first)
