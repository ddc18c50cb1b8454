"""The script that makes an Amazon Linux 2023 machine a host: sound bash, with all that the bundle's hooks call; and run
here, between stand-ins for dnf, systemd and cfn-signal, it ends as it should and says why where it does not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from console.local.template import read
from tests.unit.test_templates import ROOT

pytestmark = pytest.mark.unit

HOOKS = ROOT / "functions" / "host" / "hooks"
# What the hooks ask for with `require`, by the package of Amazon Linux 2023 that has it. curl-minimal is always there.
PACKAGES = {
    "aws": "awscli-2",
    "awk": "gawk",
    "curl": "",
    "docker": "docker",
    "flock": "util-linux",
    "iconv": "glibc-common",
    "nginx": "nginx",
    "python3": "python3",
    "setsid": "util-linux",
}
PLACE = "https://aws-codedeploy-us-east-1.s3.us-east-1.amazonaws.com/releases/"
GROUP = "/esteira/hosts/heart"
# Each notes what it was asked for; dnf and systemctl fail where FAILS names what they are asked for.
STAND_IN = """#!/bin/bash
echo "$(basename "$0") $*" >>"$CALLS"
[[ " $* " != *" $FAILS"* || -z $FAILS ]] || { printf 'Error: \\303\\244 no %s\\n' "$FAILS" >&2; exit 7; }
"""


def script(template: str = "HostTemplate", **given: str) -> str:
    """The user data as the machine gets it, CloudFormation's variables filled in."""
    stack = read(ROOT / "service.yaml", "esteira-heart", {"ServiceName": "heart", "Staging": "yes", **given})
    (found,) = (row for row in stack.resources("AWS::EC2::LaunchTemplate") if row.logical_id == template)
    return str(found.properties["LaunchTemplateData"]["UserData"])


def required() -> set[str]:
    """What the hooks refuse to run without."""
    lines = [line for path in HOOKS.glob("*.sh") for line in path.read_text().splitlines()]
    return {
        tool for line in lines if (found := re.match(r" *require ([a-z0-9 ]+)$", line)) for tool in found[1].split()
    }


def shellcheck(path: Path) -> str:
    """What shellcheck says about a file, "" if nothing."""
    program = Path(sys.executable).with_name("shellcheck")
    return subprocess.run([program, path], capture_output=True, text=True, check=False).stdout


class Machine:
    """A folder in place of the machine's root: stand-ins on the PATH, a log and what was called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, folder / "calls"
        programs = folder / "bin"
        programs.mkdir()
        for name in ("dnf", "systemctl", "cfn-signal", "sleep", "amazon-cloudwatch-agent-ctl"):
            (programs / name).write_text(STAND_IN)
            (programs / name).chmod(0o755)
        text = script().replace("/opt/aws/bin/", f"{programs}/").replace("/var/log/", f"{folder}/")
        self.nginx = folder / "nginx.conf"  # as the package has it
        self.nginx.write_text("user nginx;\nevents {\n    worker_connections 1024;\n}\n")
        text = text.replace("/etc/nginx/nginx.conf", str(self.nginx))
        text = text.replace("/opt/aws/amazon-cloudwatch-agent/bin/", f"{programs}/").replace(
            "/etc/docker", f"{folder}/docker"
        )
        text = text.replace("/etc/esteira-logs.json", f"{folder}/logs.json")
        (folder / "user-data").write_text(text.replace("/etc/esteira", f"{folder}/esteira"))

    def start(self, fails: str = "") -> int:
        """Run the script; dnf and systemctl fail at what contains `` fails``."""
        environment = {"PATH": f"{self.folder}/bin:{os.environ['PATH']}", "CALLS": str(self.calls), "FAILS": fails}
        came = subprocess.run(["bash", self.folder / "user-data"], env=environment, capture_output=True, check=False)
        return came.returncode

    def called(self, program: str) -> list[str]:
        """What a program was asked for, in order."""
        lines = self.calls.read_text().splitlines()
        return [line.removeprefix(f"{program} ") for line in lines if line.startswith(f"{program} ")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize("template", ["HostTemplate", "StagingHostTemplate"])
def test_the_user_data_is_sound_bash(template: str, tmp_path: Path) -> None:
    """shellcheck has nothing to say about it, whatever CloudFormation fills in; EC2 takes 16 KB of it."""
    path = tmp_path / "user-data.sh"
    text = script(template)
    path.write_text(text)
    assert text.startswith("#!/bin/bash\n")
    assert shellcheck(path) == ""
    assert len(text.encode()) < 16_384


def test_the_host_of_staging_has_the_same_script_but_for_what_it_signals() -> None:
    """One text serves both hosts; only the resource and the place for the reason differ."""
    assert script("StagingHostTemplate").replace("StagingHost", "Host") == script()


def test_a_host_knows_the_address_it_may_take(machine: Machine) -> None:
    """Where somebody is let in; the bundle's last script reads it."""
    assert machine.start() == 0
    assert (machine.folder / "esteira" / "address").read_text() == "\n"
    assert "ADDRESS='esteira-heart-Address-AllocationId'" in script(AllowedCidr="10.0.0.0/8")
    assert "ADDRESS=''" in script("StagingHostTemplate", AllowedCidr="10.0.0.0/8")


def test_all_that_the_hooks_call_is_installed() -> None:
    """Every tool a hook requires is in a package that the user data installs, or is always there."""
    (installed,) = re.findall(r"^dnf install -y (.*)$", script(), re.MULTILINE)
    assert required() == set(PACKAGES)
    assert set(installed.split()) == {*PACKAGES.values(), "amazon-cloudwatch-agent"} - {""}


def test_what_containers_and_nginx_write_is_sent_to_the_group_of_the_stack(machine: Machine) -> None:
    """Each file to a stream of its own: of several, the agent else sends the one that was written last."""
    assert machine.start() == 0
    wanted = json.loads((machine.folder / "logs.json").read_text())["logs"]["logs_collected"]["files"]["collect_list"]
    assert {(row["log_group_name"], row["publish_multi_logs"]) for row in wanted} == {(GROUP, True)}
    (started,) = machine.called("amazon-cloudwatch-agent-ctl")
    assert started == f"-a fetch-config -m ec2 -s -c file:{machine.folder}/logs.json"


def test_a_host_whose_logs_cannot_be_sent_serves_all_the_same(machine: Machine) -> None:
    """A log must not stop a model."""
    assert machine.start("fetch-config") == 0
    assert "its logs stay on this host" in (machine.folder / "esteira-start.log").read_text()


def test_a_restart_of_the_engine_leaves_the_model_running(machine: Machine) -> None:
    """Docker's configuration is JSON and asks for live-restore, before the engine is started."""
    machine.start()
    assert json.loads((machine.folder / "docker" / "daemon.json").read_text())["live-restore"] is True
    assert script().index("daemon.json") < script().index("systemctl enable --now docker")


def test_nginx_takes_more_connections_than_its_package_says(machine: Machine) -> None:
    """Both in the places where nginx reads them, and before it is started."""
    machine.start()
    assert machine.nginx.read_text() == (
        "worker_rlimit_nofile 16384;\nuser nginx;\nevents {\n    worker_connections 4096;\n}\n"
    )
    assert script().index("worker_connections") < script().index("systemctl enable --now docker nginx")


def test_a_machine_gets_the_pinned_agent_without_ruby_and_says_that_it_stands(machine: Machine) -> None:
    """Version 2 of the agent, of this processor, is installed and runs, and both of CloudFormation's ears hear so."""
    assert machine.start() == 0
    agent = f"install -y {PLACE}codedeploy-agent-2.1.0-9745926189.{os.uname().machine}.rpm"
    assert machine.called("dnf")[1:] == [agent]
    assert machine.called("systemctl")[1] == "enable --now codedeploy-agent"
    reason, host = machine.called("cfn-signal")
    assert reason == "--exit-code 0 esteira-heart-HostStartReason"
    assert host == "--exit-code 0 --stack esteira-heart --resource HostGroup --region us-east-1"


@pytest.mark.parametrize("fails", [f"install -y {PLACE}codedeploy-agent-2.", "is-active"])
def test_where_version_2_is_not_to_be_had_or_dies_the_pinned_version_1_is_tried(fails: str, machine: Machine) -> None:
    """A Region without the new agent has hosts all the same: with Ruby 3.2, the newest that the old one takes."""
    machine.start(fails)
    remove, ruby, agent = machine.called("dnf")[2:]
    assert (remove, ruby) == ("remove -y codedeploy-agent", "install -y ruby3.2")
    assert agent == f"install -y {PLACE}codedeploy-agent-1.8.1-26.noarch.rpm"


@pytest.mark.parametrize(
    ("fails", "step"),
    [
        ("install -y amazon-cloudwatch-agent", "installing the packages"),
        ("enable --now docker", "starting docker and nginx"),
        (f"install -y {PLACE}", "installing the CodeDeploy agent"),
        ("is-active", "installing the CodeDeploy agent"),
    ],
)
def test_a_failed_start_says_why_in_the_stack_s_events(fails: str, step: str, machine: Machine) -> None:
    """The reason comes first and by the way that carries one; on one line, printable, and short enough for an event."""
    assert machine.start(fails) != 0
    (reason, host) = machine.called("cfn-signal")
    told = re.fullmatch(r"--exit-code [1-9]\d* --reason (.*) esteira-heart-HostStartReason", reason)
    assert told
    assert told[1].startswith(f"{step} failed: ")
    assert f"no {fails}"[:60] in told[1]
    assert told[1].isascii()
    assert told[1].isprintable()
    assert re.fullmatch(r"--exit-code [1-9]\d* --stack esteira-heart --resource HostGroup --region us-east-1", host)


def test_a_reason_is_never_longer_than_an_event_holds(machine: Machine) -> None:
    """Of a long log only the end is told: it is where the cause stands."""
    noisy = f"{STAND_IN}head -c 5000 /dev/zero | tr '\\0' 'x'\n"
    (machine.folder / "bin" / "dnf").write_text(noisy)
    machine.start("is-active")
    assert len(machine.called("cfn-signal")[0]) < 900


@pytest.mark.parametrize("before", ["", "x"])
def test_the_last_sentence_of_a_hook_is_utf_8_whatever_it_had_to_cut(before: str, tmp_path: Path) -> None:
    """Agent 2.x stops reading at the first line that is not; a hook's locale is the agent's, C, which cuts bytes."""
    hooks = tmp_path / "hooks"
    shutil.copytree(HOOKS, hooks)
    (tmp_path / "release.json").write_text(json.dumps({"service": f"{before}{'ä' * 400}"}))
    words, environment = ["bash", "-c", f". {hooks}/release.sh"], {**os.environ, "LC_ALL": "C"}
    came = subprocess.run(words, env=environment, capture_output=True, check=False)
    *_, last = came.stdout.splitlines()
    assert f"service is '{before}äää" in last.decode()
