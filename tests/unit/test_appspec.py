"""A repository's own appspec.yml, judged as CodeDeploy's agent 1.8.1 was seen to judge it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appspec.paths import inside
from appspec.problem import File
from appspec.verdict import LARGEST, SHOWN, misnamed, named, problems, told

HOST = Path(__file__).parents[2] / "functions" / "host"
SCRIPT = File(b"#!/bin/bash\nset -euo pipefail\ntrue\n", executable=True)
FILES = {"scripts/start.sh": SCRIPT, "scripts/stop.sh": SCRIPT, "start.sh": SCRIPT, "nginx.conf": File(b"server {}\n")}
HOOK = "hooks:\n  ApplicationStart:\n    - location: scripts/start.sh\n"
GOOD = "version: 0.0\nos: linux\n" + HOOK


def judged(text: str, **files: str) -> list[str]:
    return problems(text.encode(), FILES | {path: File(body.encode()) for path, body in files.items()})


def timeout(value: str) -> str:
    return f"{GOOD}      timeout: {value}\n"


def permission(*lines: str) -> str:
    return GOOD + "permissions:\n  - " + "\n    ".join(("object: /srv/app", *lines)) + "\n"


def hooks(event: str, scripts: str = "\n    - location: scripts/start.sh") -> str:
    return f"version: 0.0\nos: linux\nhooks:\n  {event}: {scripts}\n"


def files(body: str) -> str:
    return f"{GOOD}files:\n{body}\n"


def copying(source: str, destination: str) -> str:
    return files(f"  - source: {source}\n    destination: {destination}")


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        GOOD.replace("0.0", "0"),
        GOOD.replace("linux", '"linux"'),
        "{version: 0.0, os: linux, hooks: {ApplicationStart: [{location: scripts/start.sh}]}}",
        GOOD.replace("scripts/start.sh", "/scripts/start.sh"),
        GOOD.replace("scripts/start.sh", "./scripts/../scripts/start.sh"),
        GOOD.replace("scripts/start.sh", '" scripts/start.sh "'),
        GOOD + "  AfterInstall:\n",
        GOOD + "  AfterInstall: []\n",
        GOOD + "  AfterInstall: {}\n",
        GOOD + "      runas: deploy\n      sudo: true\n",
        timeout("300"),
        timeout('"300"'),
        timeout("1_800"),
        timeout("3600"),
        timeout("60.0"),
        timeout(""),
        GOOD + "file_exists_behavior: RETAIN\n",
        GOOD + "files: []\npermissions: {}\n",
        copying("nginx.conf", "/etc/nginx/conf.d"),
        copying("/scripts", "/opt/app/scripts"),
        copying("/", "/srv/app"),
        copying("nginx.conf", "/etc/nginx/conf.d") + "    overwrite: yes\n",
        permission('mode: "0644"'),
        permission("mode: 644"),
        permission("mode: 4755"),
        permission("type: [directory, file]", "except: [a, b]", 'pattern: "*.sh"'),
        permission('acls: ["u:www-data:rwx", "d:g:www-data:r-x", "m:rwx"]'),
        permission("context: {type: httpd_sys_content_t}"),
        "# a comment\n---\n" + GOOD,
        GOOD.replace("\n", "\r\n"),
        "version: 0.0\nos: linux\nfiles:\n  - {source: nginx.conf, destination: /etc/nginx/conf.d}\n",
    ],
)
def test_what_the_agent_runs_as_it_is_meant_has_no_problem(text: str) -> None:
    """No false alarm."""
    assert judged(text) == []


def test_the_default_bundle_has_no_problem() -> None:
    """The hooks that ship pass what others' hooks have to pass."""
    paths = [p for p in HOST.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    bundle = {p.relative_to(HOST).as_posix(): File(p.read_bytes()) for p in paths}
    assert problems((HOST / "appspec.yml").read_bytes(), bundle) == []


# Each with what its sentence must say: the place, and what is the matter or what to write.
ERRORS = {
    "": "appspec.yml is empty",
    "# nothing\n": "appspec.yml is empty",
    "false": "is empty",
    "- a\n": "line 1 is a list and not a map",
    "a word": "line 1 is a word and not a map",
    GOOD.replace("0.0", '"0.0"'): 'line 1 has version "0.0" (text, because of the quotes)',
    GOOD.replace("0.0", "'0.0'"): "write version: 0.0, without quotes",
    GOOD.replace("0.0", "1.0"): "line 1 has version 1.0",
    GOOD.replace("0.0", "false"): "line 1 has version false",
    GOOD.replace("version: 0.0\n", ""): "has no version",
    GOOD.replace("linux", "Linux"): "line 2 has os Linux",
    GOOD.replace("linux", "windows"): "line 2 has os windows",
    GOOD.replace("os: linux\n", ""): "has no os",
    GOOD + "file_exists_behavior: overwrite\n": "line 6 has file_exists_behavior overwrite",
    # YAML
    "version: 0.0\nos: linux\nhooks:\n\tAfterInstall:\n": "line 4 is indented with a tab",
    "version: 0.0\nos: linux\nx: &a 1\ny: *a\n": "line 4 uses the alias *a",
    GOOD + "released: 2024-01-31\n": "line 6 has the date 2024-01-31",
    GOOD + "released: 2024-01-31 10:00:00\n": "line 6 has the date",
    "version: 0.0\nos: [linux\n": "is not YAML",
    "\ufeff" + GOOD: "byte order mark",
    "x: " + "[" * 2000 + "]" * 2000: "nested deeper",
    "[" * 60_000: "nested deeper",
    GOOD + "x: !!binary aGk=\n": "has the tag",
    GOOD + "# " + "x" * LARGEST: "esteira reads at most 65,536",
    # hooks
    hooks("Foo"): 'line 4 hooks the event Foo, which does not exist: the agent fails at Install',
    hooks("applicationStart"): "did you mean ApplicationStart?",
    hooks("Foo", "[]"): "line 4 hooks the event Foo",
    "version: 0.0\nos: linux\nhooks: [a]\n": "line 3 has a list for hooks",
    hooks("AfterInstall", "scripts/start.sh"): "line 4 has a word for the scripts of AfterInstall",
    hooks("AfterInstall", "{location: scripts/start.sh}"): "has a map for the scripts of AfterInstall",
    hooks("AfterInstall", "[scripts/start.sh]"): 'write "- location: scripts/start.sh"',
    hooks("AfterInstall", "[{timeout: 3}]"): "a script of AfterInstall without a location",
    hooks("AfterInstall", '[{location: "  "}]'): "without a location",
    hooks("AfterInstall", "[{location: }]"): "without a location",
    GOOD.replace("scripts/start.sh", "scripts/begin.sh"): "which is not in the commit",
    GOOD.replace("scripts/start.sh", "scripts/Start.sh"): "did you mean scripts/start.sh?",
    GOOD.replace("scripts/start.sh", "scripts"): "which is a folder",
    GOOD.replace("scripts/start.sh", "scripts/start.sh --fast"): "takes no arguments",
    timeout("0"): "line 6 has timeout 0",
    timeout("-5"): "has timeout -5",
    timeout("abc"): "has timeout abc",
    timeout("true"): "has timeout true",
    timeout("[3]"): "has timeout a list",
    timeout(".inf"): "has timeout .inf",
    timeout('"m5"'): "whole seconds",
    # files
    files("  - source: nginx.conf"): "line 7 has an entry of files without destination (nginx.conf)",
    files("  - destination: /srv"): "without source (/srv)",
    files("  - nginx.conf"): "has nginx.conf among files",
    files("  source: a"): "has a map for files",
    copying("apache.conf", "/etc"): "line 7 has source apache.conf, which is not in the commit",
    copying("404", "/etc"): "has source 404, which YAML does not read as text",
    copying("nginx.conf", "/etc") + "  - source: ./nginx.conf\n    destination: /etc/\n": "the same /etc/nginx",
    # permissions
    permission("mode: 0644"): "line 8 has mode 0644 unquoted, which YAML reads as the number 420: agent 1.8 sets",
    permission("mode: 0755"): "reads as the number 493: agent 1.8 fails",
    permission("mode: 999"): "has mode 999",
    permission("mode: u+x"): "has mode u+x",
    permission('mode: "17777"'): 'has mode "17777"',
    permission("type: file"): "write a list of file and directory",
    permission("type: [link]"): "has type a list",
    permission("except: a"): "has except a",
    permission('acls: ["u:www-data:rwq"]'): 'has the acl "u:www-data:rwq"',
    permission('acls: ["u::rwx"]'): "has the acl",
    permission("acls: rwx"): "has the acl rwx",
    permission("context: {name: x}"): "has a context without a type",
    GOOD + "permissions:\n  - mode: 644\n": "line 7 has a permission without an object",
    GOOD + "permissions: x\n": "not a list of maps",
    copying("nginx.conf", "/srv") + 'permissions:\n  - {object: /srv/nginx.conf, pattern: "*"}\n': "pattern or except",
    copying("nginx.conf", "/srv") + "permissions:\n" + "  - object: /srv/nginx.conf\n" * 2: "a second time",
}  # fmt: skip


@pytest.mark.parametrize(("text", "said"), ERRORS.items())
def test_what_the_agent_would_refuse_is_told_before(text: str, said: str) -> None:
    """An error says where it is and what to write, and no comment accepts it."""
    found = problems(text.encode(), FILES)
    assert any(said in problem for problem in found), found
    assert not any("esteira: allow" in problem for problem in found if said in problem)


TRAPS = {
    hooks("Install", "\n    - location: scripts/start.sh"): ("kept-event", "the agent never runs these scripts"),
    hooks("DownloadBundle"): ("kept-event", "line 4 hooks DownloadBundle"),
    hooks("BeforeAllowTraffic"): ("load-balancer", "without one these scripts never run"),
    hooks("ApplicationStop"): ("application-stop", "the script of the previous revision"),
    GOOD.replace("scripts/start.sh", "../../bin/true"): ("outside", "is outside the bundle"),
    copying("../secret", "/srv"): ("outside", "has source ../secret"),
    timeout("5m"): ("timeout", "line 6 has timeout 5m, which the agent cuts down to 5 seconds; write whole seconds: 3"),
    timeout("1.9"): ("timeout", "cuts down to 1 seconds"),
    timeout("010"): ("timeout", "which YAML reads as 8 seconds"),
    timeout("0:30"): ("timeout", "which YAML reads as 1800 seconds"),
    timeout("1800") + "    - location: scripts/stop.sh\n      timeout: 1801\n": ("long-timeout", "3,601 seconds"),
    timeout("7200"): ("long-timeout", "CodeDeploy ends an event after 3,600"),
    GOOD + "os: linux\n": ("duplicate-key", "line 6 has os a second time (first on line 2)"),
    hooks("ApplicationStart", "[]") + HOOK.partition("\n")[2]: ("duplicate-key", "line 5 has ApplicationStart a"),
    GOOD + "---\nhooks: {}\n": ("document", "line 6 begins a second document"),
    GOOD + "      Timeout: 3\n": ("unknown-key", "line 6 has the key Timeout, which the agent ignores; did you"),
    GOOD + "permission: []\n": ("unknown-key", "did you mean permissions?"),
    "version: 0.0\nos: linux\n": ("empty", "neither hooks nor files"),
    copying("nginx.conf", "srv/app"): ("relative-destination", "write an absolute path: /srv/app"),
    copying("nginx.conf", "/etc/nginx/nginx.conf"): ("destination", "file would be /etc/nginx/nginx.conf/nginx.conf"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "trap", "said"), [(text, *rest) for text, rest in TRAPS.items()])
def test_what_the_agent_would_not_find_is_told_and_may_be_accepted(text: str, trap: str, said: str) -> None:
    """A trap is one sentence, which names the comment that accepts it; with the comment nothing is said."""
    [found] = judged(text)
    assert said in found
    assert found.endswith(f"(if you mean it: # esteira: allow {trap})")
    assert judged(f"# why: ana knows. # esteira: allow other, {trap}\n{text}") == []


def test_a_script_whose_name_the_shell_would_take_apart_is_told() -> None:
    """The agent gives a path to the shell as it is."""
    text = GOOD.replace("scripts/start.sh", "scripts/start it.sh")
    [found] = problems(text.encode(), FILES | {"scripts/start it.sh": SCRIPT})
    assert "the shell splits it" in found


def test_a_trap_in_a_script_is_accepted_in_that_script() -> None:
    """The comment stands where the trap is, and only there."""
    held = "#!/bin/bash\nnohup java -jar app.jar &\n"
    [found] = judged(GOOD, **{"scripts/start.sh": held})
    assert found.startswith("scripts/start.sh line 2 leaves a child in the background (nohup java -jar app.jar &)")
    assert found.endswith("(if you mean it: # esteira: allow background-child)")
    assert judged("# esteira: allow background-child\n" + GOOD, **{"scripts/start.sh": held}) == [found]
    assert judged(GOOD, **{"scripts/start.sh": held + "# esteira: allow background-child\n"}) == []


def test_an_error_cannot_be_accepted() -> None:
    """What the agent would refuse is refused here, whatever a comment says."""
    text = GOOD.replace("0.0", '"0.0"') + "# esteira: allow version, unknown-key, duplicate-key\n"
    assert len(judged(text)) == 1


def test_a_script_is_looked_at_once_and_only_if_it_is_run() -> None:
    """Two hooks of one script give its trap once; a script that no hook names gives none."""
    held = "sleep 9 &\n"
    text = GOOD + "  ValidateService:\n    - location: scripts/start.sh\n"
    assert len(judged(text, **{"scripts/start.sh": held, "scripts/stop.sh": held})) == 1


@pytest.mark.parametrize("name", ["appspec.yaml", "AppSpec.yml"])
def test_another_name_is_told_with_the_command_that_mends_it(name: str) -> None:
    """The agent's hooks look for appspec.yml alone."""
    told = misnamed(name, GOOD.encode())
    assert told.startswith(f"{name} is not found by the agent's hooks")
    assert f"git mv {name} appspec.yml" in told
    assert misnamed(name, b"# esteira: allow misnamed\n" + GOOD.encode()) == ""


def test_the_specification_of_an_ecs_service_is_not_meant() -> None:
    """An appspec.yaml with Resources is for another kind of deployment."""
    assert misnamed("appspec.yaml", b"version: 0.0\nResources:\n  - TargetService: {}\n") == ""


def test_what_an_appspec_names_is_what_must_be_read() -> None:
    """Scripts and sources by their paths from the root, each once; what leads out of the bundle is not among them."""
    text = hooks("AfterInstall", "[{location: /a/./b.sh}, {location: ../x}, {location: a/b.sh}, c, {}]")
    text += "files: [{source: /, destination: /srv}, {source: conf/, destination: /etc}, {source: ../y}]\n"
    assert named(text.encode()) == (["a/b.sh"], ["", "conf"])
    assert named(b"\t") == ([], [])


@pytest.mark.parametrize(
    ("path", "inner"),
    [("a/b", "a/b"), ("/a//b/", "a/b"), ("./a/../b", "b"), ("", ""), ("..", None), ("a/../../b", None)],
)
def test_a_path_is_taken_from_the_bundle(path: str, inner: str | None) -> None:
    """As the agent joins it to the bundle's folder."""
    assert inside(path) == inner


def test_only_the_first_problems_are_told_and_the_others_counted() -> None:
    """A sentence for each of a hundred mistakes would hide the first."""
    text = GOOD + "".join(f"x{i}: 1\n" for i in range(SHOWN + 3))
    lines = told(judged(text)).splitlines()
    assert len(lines) == SHOWN + 1
    assert lines[-1] == "and 3 more"


def test_a_long_value_is_shortened() -> None:
    """What is quoted in a sentence is bounded."""
    assert all(len(problem) < 500 for problem in judged(f"{'k' * 5000}: {'v' * 5000}\nos: {'w' * 5000}\n"))


_LINES = st.sampled_from(
    [*GOOD.splitlines(), "files:", "  - source: a", "    destination: 3", "permissions: [{object: , mode: 0644}]",
     "      timeout: 5m", "  - *x", "\t", "hooks: 3", "  Foo: [a, {}, [], null]", "? a", ": b", "- -", "<<: {a: 1}"]
)  # fmt: skip


@given(st.one_of(st.lists(_LINES, max_size=12).map("\n".join), st.text(), st.binary()))
def test_no_text_whatever_is_an_error_of_ours(text: str | bytes) -> None:
    """There is a verdict on everything that can be committed, each a sentence with its place."""
    document = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")
    named(document)
    for problem in problems(document, FILES):
        assert re.match(r"(appspec\.yml|scripts/\S+)( line \d+)? \S", problem)
