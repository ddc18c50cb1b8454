"""What confines a container, what it is given in secret, and five causes of failure with five sentences."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.docker.ec2 import HOOKS, MARKS, SERVE, Host, Traffic, inspected

pytestmark = MARKS

# Process 1 itself wants more and more. /tmp is the container's own memory.
GREEDY = "x=0123456789; while :; do x=$x$x; done"


def tool(host: Host, name: str, text: str) -> None:
    """Put a command of our own in front of the host's PATH."""
    tools = host.where / "tools"
    tools.mkdir(exist_ok=True)
    (tools / name).write_text(text)
    (tools / name).chmod(0o755)
    host.environment["PATH"] = f"{tools}:{host.environment['PATH']}"


def memory(host: Host, available_mb: int) -> None:
    """Let the host have so much memory."""
    (host.where / "meminfo").write_text(f"MemTotal: 9999999 kB\nMemAvailable:  {available_mb * 1024} kB\n")
    host.environment["ESTEIRA_MEMINFO"] = str(host.where / "meminfo")


GOLDEN = json.dumps(
    {
        "format": 1,
        "path": "/cgi-bin/ask",
        "content_type": "application/json",
        "questions": [{"body": 1, "expected": {"half": [0.7]}}],
    }
)


@pytest.mark.parametrize(
    ("command", "release", "cause", "mend"),
    [
        ("echo starting; " + SERVE, {"health_path": "/healthz"}, "within 2 s: expected 200, got 404", "health answer"),
        (
            "echo starting; exit 3",
            {},
            "expected 200, got the end of the process (exit code 3)",
            "what the log above says",
        ),
        ("echo starting; " + SERVE, {}, "at half[0]: expected 0.7, got 0.5", "mend the model"),
        (
            "echo starting; " + GREEDY,
            {"memory_mb": 16, "startup_seconds": 60},
            "was killed for lack of memory: expected it to do with memory_mb=16, it wanted more",
            "raise memory_mb",
        ),
        (
            "echo starting; " + SERVE.replace("8080", "8000"),
            {},
            "to listen on port 8080 within 2 s, got 8000: it listens there only",
            "0.0.0.0:8080",
        ),
        (
            "echo starting; " + SERVE.replace("8080", "127.0.0.1:8080"),
            {},
            "to listen on port 8080 within 2 s, got 127.0.0.1:8080: it listens there only",
            "0.0.0.0:8080",
        ),
    ],
    ids=["never healthy", "exits at once", "answers wrongly", "eats its memory", "another port", "loopback only"],
)
def test_each_cause_of_failure_has_its_own_sentence(
    host: Host, command: str, release: dict[str, object], cause: str, mend: str
) -> None:
    """Cause, what is live and what to do next, with the end of the container's log, in what the agent sends back."""
    live = host.live(1, host.image("one"))
    golden = {"golden": GOLDEN, "label": "/models/golden.json"} if "half" in cause else {}
    bad = host.image("two", command, **golden)
    with Traffic(host, pause=0.02) as traffic:
        failed, ended = host.deploy(host.bundle(2, bad, **{"startup_seconds": 2, **release}))
    assert failed == "ApplicationStart"
    assert traffic.failed == []
    assert ended.sentence.startswith(f"ApplicationStart of {host.service} v2 failed: ")
    assert cause in ended.sentence
    assert f"; {live} is live. Next: " in ended.sentence
    assert mend in ended.sentence.partition("Next: ")[2]
    assert "log of" in ended.log
    assert "starting" in ended.log
    assert host.containers() == [live]
    assert not host.armed.exists()


def test_a_container_is_confined(host: Host) -> None:
    """Memory, processes and its log are limited, as release.json and the house say."""
    known = inspected(host.live(1, host.image("one"), memory_mb=64))["HostConfig"]
    log = {"max-size": "10m", "max-file": "3", "tag": f"{host.service}/production/v1"}
    assert known["Memory"] == known["MemorySwap"] == 64 * 1024 * 1024
    assert known["PidsLimit"] == 2048
    assert known["LogConfig"] == {"Type": "json-file", "Config": log}


def test_a_host_without_memory_for_two_refuses(host: Host) -> None:
    """By default: it says what was needed and what is free, and the live one is not touched."""
    live = host.live(1, host.image("one"))
    state = inspected(live)["State"]
    memory(host, 100)
    failed, ended = host.deploy(host.bundle(2, host.image("two"), memory_mb=101))
    assert failed == "ApplicationStart"
    assert (
        f"{host.service} v2 may use 101 MB of memory, expected so much to be free beside {live}, got 100 MB"
        in ended.log
    )
    assert "stop-first" in ended.sentence or "larger instance" in ended.sentence
    assert inspected(live)["State"] == state
    assert host.containers() == [live]
    assert not host.armed.exists()


def hungry(host: Host) -> str:
    """An image whose process holds some 20 MB of memory of its own."""
    return host.image("one", "x=0123456789; for n in $(seq 21); do x=$x$x; done; " + SERVE)


def test_a_host_without_memory_for_two_stops_the_first_where_told(host: Host) -> None:
    """stop-first: it says so, and for how long no release answered; the new one is live, the old one kept."""
    first = host.live(1, hungry(host))
    memory(host, 90)
    archive = host.bundle(2, host.image("two"), memory_mb=100, when_memory_is_short="stop-first")
    assert host.hook("BeforeInstall", archive).status == 0
    ended = host.hook("ApplicationStart", archive)
    assert ended.status == 0, ended.log
    assert f"{first} is stopped first (when_memory_is_short)" in ended.log
    assert "no release answered for " in ended.log
    assert host.hook("ValidateService", archive).status == 0
    assert host.get()[1] == "two"
    assert host.containers("status=exited") == [first]


def test_what_was_stopped_to_make_room_comes_back_when_the_new_one_fails(host: Host) -> None:
    """The gap ends with the former release, and the log says how long it was."""
    first = host.live(1, hungry(host))
    memory(host, 90)
    bad = host.bundle(2, host.image("two", "exit 3"), memory_mb=100, when_memory_is_short="stop-first")
    failed, ended = host.deploy(bad)
    assert failed == "ApplicationStart"
    assert "no release answered for " in ended.log
    assert f"{first} is live" in ended.sentence
    assert host.get()[1:] == ("one", first)
    assert host.containers() == [first]


def test_a_full_disk_is_said_before_anything_is_pulled(host: Host) -> None:
    """BeforeInstall names the directory, what it expected and what is free."""
    image = host.image("one")
    tool(host, "df", "#!/bin/sh\necho Avail\necho 812\n")
    failed, ended = host.deploy(host.bundle(1, image))
    assert failed == "BeforeInstall"
    assert "expected 1024 MB free for a new image, got 812 MB" in ended.sentence
    assert "docker system df" in ended.sentence
    assert host.images() == []


AWS = """#!/usr/bin/env python3
import json, sys
stored = json.load(open({stored!r}))
names = [word for word in sys.argv[sys.argv.index("--names") + 1 :]]
names = names[: names.index("--region")] if "--region" in names else names
assert sys.argv[1:4] == ["ssm", "get-parameters", "--with-decryption"] and len(names) <= 10
found = [dict(Name=name, Value=stored[name][0], Version=stored[name][1]) for name in names if name in stored]
print(json.dumps(dict(Parameters=found, InvalidParameters=[name for name in names if name not in stored])))
"""


def store(host: Host, **parameters: tuple[str, int]) -> None:
    """Let SSM have these values and versions under /heart/."""
    stored = host.where / "ssm.json"
    stored.write_text(json.dumps({f"/heart/{name}": each for name, each in parameters.items()}))
    tool(host, "aws", AWS.format(stored=str(stored)))


def test_secrets_come_from_ssm_by_name_and_stand_in_no_command_line(host: Host) -> None:
    """The container has them, of several lines too; release.json, docker's arguments and the host's files have not."""
    store(host, token=("s3cret 'x' $y", 4), key=("-----BEGIN\nKEY-----\n", 1))
    seen = host.where / "seen"
    tool(host, "docker", f'#!/bin/sh\necho "$@" >>{seen}\nexec {shutil.which("docker")} "$@"\n')
    parameters = {"TOKEN": "/heart/token", "KEY": "/heart/key"}
    live = host.live(1, host.image("one"), parameters=parameters, environment={"PLAIN": "p  q "})
    known = inspected(live)["Config"]
    assert {"TOKEN=s3cret 'x' $y", "KEY=-----BEGIN\nKEY-----\n", "PLAIN=p  q "} <= set(known["Env"])
    assert known["Labels"]["esteira.parameters"] == "/heart/key=1,/heart/token=4"
    assert "s3cret" not in seen.read_text()
    assert "BEGIN" not in seen.read_text()
    files = [path for path in host.where.rglob("*") if path.is_file() and path.name != "ssm.json"]
    assert [path for path in files if b"s3cret" in path.read_bytes()] == []


def test_a_secret_that_a_crashing_container_prints_does_not_leave_the_host(host: Host) -> None:
    """Neither the value of a parameter, whatever it looks like, nor what the guard's rules find. The rest is shown."""
    store(host, token=("plain words", 1))
    password = "Tulipa" + "4711"
    prints = (
        'echo "logging in with $TOKEN"; echo "GET /?q=plain%20words"; '
        f'echo "connecting with postgresql://heart:{password}@db.acme.org/heart" >&2; echo no such table; exit 3'
    )
    failed, ended = host.deploy(host.bundle(1, host.image("one", prints), parameters={"TOKEN": "/heart/token"}))
    assert failed == "ApplicationStart"
    assert "logging in with [masked]\nGET /?q=[masked]\n" in ended.log
    assert "connecting with postgresql://heart:[masked]@db.acme.org/heart\n" in ended.log
    assert "no such table\n" in ended.log
    assert "plain words" not in ended.log
    assert password not in ended.log


def test_a_log_that_cannot_be_masked_is_not_shown(host: Host) -> None:
    """Without the rules the hook says so and ends as it should; the live one is as it was."""
    live = host.live(1, host.image("one"))
    archive = host.bundle(2, host.image("two", "echo a secret; exit 3"))
    (archive / "guard" / "search.py").unlink()
    failed, ended = host.deploy(archive)
    assert failed == "ApplicationStart"
    assert "(not shown: its secrets could not be masked; on the host: docker logs " in ended.log
    assert "a secret\n" not in ended.log
    assert host.containers() == [live]


def test_a_secret_that_was_changed_makes_a_new_container(host: Host) -> None:
    """The same release deployed again after its parameter changed runs with the new value."""
    image = host.image("one")
    store(host, token=("old", 1))
    first = host.live(1, image, parameters={"TOKEN": "/heart/token"})
    store(host, token=("new", 2))
    second = host.live(1, image, parameters={"TOKEN": "/heart/token"})
    assert first != second
    assert "TOKEN=new" in inspected(second)["Config"]["Env"]
    assert host.containers("status=running") == [second]


def test_a_secret_that_is_not_there_fails_the_release_by_name(host: Host) -> None:
    """The sentence names the parameter; nothing was started."""
    store(host, token=("x", 1))
    failed, ended = host.deploy(host.bundle(1, host.image("one"), parameters={"KEY": "/heart/key"}))
    assert failed == "ApplicationStart"
    assert "there is no SSM parameter /heart/key in this region" in ended.sentence
    assert "ssm:GetParameters" in ended.sentence
    assert host.containers() == []


def test_secrets_a_host_may_not_read_are_said(host: Host) -> None:
    """AWS's own words, which parameters are wanted, and what to give the instance's role."""
    archive = host.bundle(1, host.image("one"), parameters={"KEY": "/heart/key"})
    assert host.hook("BeforeInstall", archive).status == 0
    tool(host, "aws", "#!/bin/sh\necho Unable to locate credentials >&2\nexit 253\n")
    ended = host.hook("ApplicationStart", archive)
    assert ended.status == 1
    assert "the SSM parameters /heart/key cannot be read: Unable to locate credentials" in ended.sentence


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"memory_mb": "64"}, "memory_mb is '64', expected a whole number from 0"),
        ({"when_memory_is_short": "stop"}, "when_memory_is_short is 'stop', expected refuse or stop-first"),
        ({"parameters": {"A": "a b"}}, "parameters' A is 'a b', expected the name of an SSM parameter"),
        ({"parameters": {"A": "/a"}, "environment": {"A": "x"}}, "A is in environment and in parameters"),
        ({"validation_seconds": 0}, "validation_seconds is 0, expected a whole number from 1 to 1500"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_by_field(host: Host, changes: dict[str, object], said: str) -> None:
    """Every hook says which field of release.json it is."""
    archive = host.bundle(1, f"{host.registry}/heart@sha256:{'0' * 64}", **changes)
    for event in HOOKS:
        ended = host.hook(event, archive)
        assert ended.status == 1
        assert said in ended.sentence
