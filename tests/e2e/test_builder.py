"""The local CodeBuild's engine on real commits: a shell, a git repository, a registry, and nothing pretended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent

import pytest
from moto.server import ThreadedMotoServer

from console.local.build.builder import run_build
from console.local.engine import BuildJob, BuildResult
from console.local.process.oci import Registry
from console.local.process.process_engine import small_docker

pytestmark = pytest.mark.e2e

ARN = "arn:aws:codebuild:eu-west-1:123456789012:build/heart:0b1c"
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]


class Bench:
    """A bare repository, a registry, and builds of what is committed to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.registry = Registry(root / "registry")
        self.stop = threading.Event()
        self.log = root / "build.log"

    def commit(self, files: dict[str, str]) -> str:
        """Commit ``files``, and only them, to the bare repository; the commit."""
        work = self.root / f"work-{len(list(self.root.glob('work-*')))}"
        for name, text in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "it", "--allow-empty"]):
            subprocess.run([*GIT, *words], cwd=work, check=True)
        if not (self.root / "bare").exists():
            subprocess.run([*GIT, "init", "-q", "--bare", str(self.root / "bare")], check=True)
        subprocess.run([*GIT, "push", "-q", "-f", str(self.root / "bare"), "HEAD:main"], cwd=work, check=True)
        return subprocess.check_output([*GIT, "rev-parse", "HEAD"], cwd=work, text=True).strip()

    def job(self, commit: str, environment: dict[str, str], buildspec: str | None, timeout: float) -> BuildJob:
        """A job of the project ``heart`` for ``commit``."""
        return BuildJob(
            build_id="heart:0b1c",
            build_arn=ARN,
            project="heart",
            repository=self.root / "bare",
            commit=commit,
            environment=environment,
            buildspec=buildspec,
            log=self.log,
            timeout=timeout,
            stop=self.stop,
        )

    def build(
        self,
        phases: str,
        files: dict[str, str] | None = None,
        environment: dict[str, str] | None = None,
        override: str | None = None,
        timeout: float = 120,
    ) -> BuildResult:
        """Commit a buildspec with ``phases`` (what stands before them may be there too) and build it."""
        spec = "version: 0.2\n" + dedent(phases)
        commit = self.commit({"buildspec.yml": spec, **(files or {})})
        job = self.job(commit, environment or {}, override, timeout)
        return run_build(job, small_docker(self.registry), Path(sys.executable), kept=self.root / "cache")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A bench of its own for each test."""
    return Bench(tmp_path)


def states(result: BuildResult) -> dict[str, str]:
    """Each phase and its status, in order."""
    return {phase.name: phase.status for phase in result.phases}


def until(true: Callable[[], bool]) -> None:
    """Wait until ``true()``; the test's own limit ends a wait that is in vain."""
    while not true():
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_build_finds_what_the_build_before_it_cached(bench: Bench) -> None:
    """Paths of the source and of /root are kept; a file of the commit is not replaced; nothing else stays."""
    phases = """
        env:
          exported-variables: [FOUND]
        phases:
          build:
            commands:
              - export FOUND="$(cat .cache/deep/a .cache/b ~/.cache/c other 2>/dev/null | tr -d '\\n')"
              - mkdir -p .cache/deep ~/.cache
              - for file in .cache/deep/a .cache/b ~/.cache/c other; do echo kept >$file; done
        cache:
          paths: [".cache/**/*", "/root/.cache/**/*", "../other", "/etc/hostname"]
        """
    files = {".cache/b": "committed"}
    assert bench.build(phases, files).exported == {"FOUND": "committed"}
    assert bench.build(phases, files).exported == {"FOUND": "keptcommittedkept"}


def test_a_build_that_succeeds_runs_every_phase_in_one_shell(bench: Bench) -> None:
    """Directory, exports, plain variables and functions go on from command to command and from phase to phase."""
    result = bench.build(
        """
        env:
          variables: {GREETING: from the buildspec, OTHER: from the buildspec}
          exported-variables: [SEEN, LINES, NEVER_SET]
        phases:
          install:
            commands:
              - mkdir deep && cd deep
              - plain=kept
              - greet() { echo "hello $1"; }
          pre_build:
            commands: [export LEFT=right]
          build:
            commands:
              - |
                case "$PWD" in
                  */deep) ;;
                  *) exit 9 ;;
                esac
              - SEEN="$plain/$LEFT/$(greet you)/$GREETING/$OTHER"
          post_build:
            commands:
              - |
                LINES="one
                two=2"
        """,
        environment={"OTHER": "from the project"},
    )
    assert result.status == "SUCCEEDED", bench.log.read_text()
    assert result.exported == {
        "SEEN": "kept/right/hello you/from the buildspec/from the project",
        "LINES": "one\ntwo=2",
    }
    names = ["DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD", "UPLOAD_ARTIFACTS", "FINALIZING"]
    assert states(result) == dict.fromkeys(names, "SUCCEEDED")
    assert all(phase.started <= phase.ended and not phase.message for phase in result.phases)
    log = bench.log.read_text()
    assert "Entering phase BUILD" in log
    assert "Phase complete: POST_BUILD State: SUCCEEDED" in log


def test_a_failed_build_still_runs_its_post_build(bench: Bench) -> None:
    """The failed command ends its phase, its finally runs, POST_BUILD runs and knows of it, the cause is in BUILD."""
    result = bench.build(
        """
        env: {exported-variables: [BEFORE, IN_FINALLY, AFTER]}
        phases:
          pre_build: {commands: [BEFORE=$CODEBUILD_BUILD_SUCCEEDING]}
          build:
            commands: [sh -c 'exit 3', AFTER=never]
            finally: [IN_FINALLY=$CODEBUILD_BUILD_SUCCEEDING]
          post_build: {commands: [AFTER=$CODEBUILD_BUILD_SUCCEEDING]}
        """
    )
    assert result.status == "FAILED"
    assert result.exported == {"BEFORE": "1", "IN_FINALLY": "0", "AFTER": "0"}
    told = states(result)
    assert told.pop("BUILD") == "FAILED"
    assert set(told.values()) == {"SUCCEEDED"}
    assert {"POST_BUILD", "UPLOAD_ARTIFACTS", "FINALIZING"} <= set(told)
    messages = [phase.message for phase in result.phases if phase.message]
    assert messages == ["COMMAND_EXECUTION_ERROR: Error while executing command: sh -c 'exit 3'. Reason: exit status 3"]
    assert "Phase complete: BUILD State: FAILED" in bench.log.read_text()


@pytest.mark.parametrize("phase", ["install", "pre_build"])
def test_a_failure_before_the_build_ends_it(bench: Bench, phase: str) -> None:
    """Neither BUILD nor POST_BUILD runs, and the phase's finally does."""
    result = bench.build(
        f"""
        env: {{exported-variables: [DONE, BUILT]}}
        phases:
          {phase}: {{commands: ['false'], finally: [DONE=yes]}}
          build: {{commands: [BUILT=yes]}}
          post_build: {{commands: [BUILT=yes]}}
        """
    )
    assert result.status == "FAILED"
    assert result.exported == {"DONE": "yes"}
    assert states(result)[phase.upper()] == "FAILED"
    assert not {"BUILD", "POST_BUILD"} & set(states(result))
    assert states(result)["FINALIZING"] == "SUCCEEDED"


def test_on_failure_overrides_the_rule(bench: Bench) -> None:
    """CONTINUE goes on after a failed PRE_BUILD, ABORT leaves POST_BUILD out, and the build is failed all the same."""
    result = bench.build(
        """
        phases:
          pre_build: {on-failure: CONTINUE, commands: ['false']}
          build: {on-failure: ABORT, commands: ['false']}
          post_build: {commands: ['true']}
        """
    )
    assert result.status == "FAILED"
    assert states(result)["BUILD"] == "FAILED"
    assert "POST_BUILD" not in states(result)
    assert "Phase complete: BUILD State: FAILED_WITH_ABORT" in bench.log.read_text()


@pytest.mark.parametrize("shell", ["bash", "/bin/sh"])
@pytest.mark.parametrize(
    ("command", "status"),
    [("exit 4", 4), ("set -e; false; true", 1), ("if", 2), ("exec sh -c 'exit 5'", 5), ("no-such-program", 127)],
)
def test_a_command_that_ends_the_shell_ends_only_itself(bench: Bench, shell: str, command: str, status: int) -> None:
    """Whatever ended the shell, its status is told, and what follows has its exports and its directory."""
    result = bench.build(
        f"""
        env: {{shell: {shell}, exported-variables: [HERE, KEPT]}}
        phases:
          build:
            commands: [mkdir deep; cd deep; export "KEPT=it's kept", {json.dumps(command)}]
            finally: ['HERE=${{PWD##*/}}']
        """
    )
    assert result.status == "FAILED"
    [message] = [phase.message for phase in result.phases if phase.message]
    assert message.endswith(f"Reason: exit status {status}"), bench.log.read_text()
    assert result.exported == {"HERE": "deep", "KEPT": "it's kept"}


def test_a_build_sees_codebuilds_variables_and_not_the_callers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """CodeBuild's own variables are set; the caller's credentials, home and secrets are not."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the caller's")
    monkeypatch.setenv("SOME_TOKEN", "the caller's")
    names = (
        "BUILD_ID BUILD_ARN RESOLVED_SOURCE_VERSION SOURCE_VERSION SRC_DIR BUILD_NUMBER INITIATOR LOG_PATH START_TIME"
    )
    more = "BUILD_IMAGE KMS_KEY_ID SOURCE_REPO_URL"
    result = bench.build(
        f"""
        env: {{exported-variables: [HOME, AWS_REGION, AWS_DEFAULT_REGION, STDIN, PYTHON, PIP]}}
        phases:
          build:
            commands:
              - for n in {names} {more}; do eval "[ -n \\"\\$CODEBUILD_$n\\" ]" || {{ echo "no $n"; exit 1; }}; done
              - test "$CODEBUILD_SRC_DIR" = "$PWD" && test "$CODEBUILD_BUILD_ARN" = {ARN}
              - test -z "$AWS_SECRET_ACCESS_KEY$SOME_TOKEN"
              - STDIN="[$(cat)]"
              - PYTHON=$(python3 -c 'import sys; print(sys.executable)')
              - PIP=$(pip --version)
              - sleep 60 &
        """
    )
    assert result.status == "SUCCEEDED", bench.log.read_text()
    assert result.exported["AWS_REGION"] == result.exported["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert result.exported["HOME"] != os.environ.get("HOME")
    assert not Path(result.exported["HOME"]).exists()
    assert result.exported["STDIN"] == "[]"
    assert result.exported["PYTHON"] == sys.executable
    assert result.exported["PIP"].startswith("pip ")


def test_a_stop_ends_the_build_in_the_middle_of_a_command(bench: Bench, tmp_path: Path) -> None:
    """The command, and what it started, are gone; the phase and the build are STOPPED; what ran before is told."""
    pid = tmp_path / "pid"

    def stop_when_started() -> None:
        until(lambda: pid.exists() and pid.read_text().strip() != "")
        bench.stop.set()

    stopper = threading.Thread(target=stop_when_started)
    stopper.start()
    result = bench.build(f"phases: {{build: {{commands: ['sleep 600 & echo $! >{pid}; wait']}}}}")
    stopper.join()
    assert result.status == "STOPPED"
    assert states(result)["BUILD"] == "STOPPED"
    assert "POST_BUILD" not in states(result)
    until(lambda: not alive(int(pid.read_text())))


def test_a_build_that_takes_too_long_is_timed_out(bench: Bench) -> None:
    """The phase that was under way is TIMED_OUT, and so is the build."""
    result = bench.build("phases: {build: {commands: [sleep 600]}}", timeout=1)
    assert result.status == "TIMED_OUT"
    assert states(result)["BUILD"] == "TIMED_OUT"
    assert "POST_BUILD" not in states(result)


def test_a_killed_console_takes_its_build_along(bench: Bench, tmp_path: Path) -> None:
    """kill -9 of whoever called run_build leaves no shell and no command behind."""
    pid = tmp_path / "pid"
    commit = bench.commit(
        {"buildspec.yml": f"version: 0.2\nphases: {{build: {{commands: ['echo $$ >{pid}; sleep 600']}}}}"}
    )
    caller = f"""
        import sys, threading
        from pathlib import Path
        from console.local.build.builder import run_build
        from console.local.process.process_engine import small_docker
        from console.local.engine import BuildJob
        from console.local.process.oci import Registry
        root = Path({str(tmp_path)!r})
        job = BuildJob("heart:0b1c", {ARN!r}, "heart", root / "bare", {commit!r}, {{}}, None, root / "log", 600,
                       threading.Event())
        run_build(job, small_docker(Registry(root / "registry")), Path(sys.executable))
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(tmp_path)}
    console = subprocess.Popen([sys.executable, "-c", dedent(caller)], env=environment)
    try:
        until(lambda: pid.exists() and pid.read_text().strip() != "")
    finally:
        console.send_signal(signal.SIGKILL)
        console.wait()
    until(lambda: not alive(int(pid.read_text())))


@pytest.mark.parametrize(
    ("files", "override", "message"),
    [
        ({}, None, "YAML_FILE_ERROR: buildspec.yml does not exist in commit"),
        ({"buildspec.yaml": "version: 0.2"}, None, "rename buildspec.yaml, which is not read"),
        ({"buildspec.yml": "phases: {}"}, None, 'add "version: 0.2"'),
        ({}, "../../etc/passwd", "leads out of the source"),
        ({}, "ci/build.yml", "ci/build.yml does not exist in commit"),
    ],
)
def test_a_buildspec_that_is_not_there_fails_the_download(
    bench: Bench, files: dict[str, str], override: str | None, message: str
) -> None:
    """The cause is in DOWNLOAD_SOURCE, and nothing runs."""
    commit = bench.commit({"README": "", **files})
    result = run_build(bench.job(commit, {}, override, 60), small_docker(bench.registry), Path(sys.executable))
    assert result.status == "FAILED"
    assert states(result) == {"DOWNLOAD_SOURCE": "FAILED", "FINALIZING": "SUCCEEDED"}
    assert message in result.phases[0].message


def test_a_commit_that_is_not_there_fails_the_download(bench: Bench) -> None:
    """A commit that nobody pushed is a client's error, with the commit in it."""
    bench.commit({"README": ""})
    result = run_build(bench.job("0" * 40, {}, None, 60), small_docker(bench.registry), Path(sys.executable))
    assert result.status == "FAILED"
    assert result.phases[0].message.startswith(f"CLIENT_ERROR: commit {'0' * 40} cannot be read from")


def test_startbuilds_buildspec_goes_before_the_repositorys(bench: Bench) -> None:
    """An override is a text or a file's name in the source."""
    own = "phases: {build: {commands: ['false']}}"
    text = "version: 0.2\nphases: {build: {commands: ['true']}}\n"
    assert bench.build(own, override=text).status == "SUCCEEDED"
    assert bench.build(own, {"ci/other.yml": text}, override="ci/other.yml").status == "SUCCEEDED"
    assert bench.build(own).status == "FAILED"


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an ECR that has a repository ``heart``."""
    import boto3

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")).close()
    boto3.client("ecr", "eu-west-1", endpoint_url=endpoint).create_repository(repositoryName="heart")
    yield endpoint
    server.stop()


def test_docker_in_a_buildspec_pushes_a_real_image(bench: Bench, ecr: str, tmp_path: Path) -> None:
    """login, build, tag and push leave the manifest in ECR and its blobs in the registry; twice gives one digest."""
    import boto3

    uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/heart"
    spec = f"""
        env: {{exported-variables: [DIGEST, INSIDE]}}
        phases:
          build:
            commands:
              - echo secret | docker login --username AWS --password-stdin {uri}
              - mkdir -p console && echo 'raise SystemExit(7)' > console/__init__.py
              - docker build -t heart .
              - docker tag heart {uri}:git-$CODEBUILD_RESOLVED_SOURCE_VERSION
              - rm -r console
          post_build:
            commands:
              - docker push {uri}:git-$CODEBUILD_RESOLVED_SOURCE_VERSION
              - docker push {uri}:git-$CODEBUILD_RESOLVED_SOURCE_VERSION
              - DIGEST=$(docker inspect --format='{{{{index .RepoDigests 0}}}}' heart)
    """
    files = {
        "Dockerfile": 'FROM a\nWORKDIR /app\nCOPY app.py .\nRUN apt-get update\nCMD ["python", "app.py"]',
        "app.py": "print('here')",
    }
    environment = {"AWS_ENDPOINT_URL": ecr, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    first, second = (bench.build(spec, {**files, "n": n}, environment) for n in ("1", "2"))
    assert first.status == second.status == "SUCCEEDED", bench.log.read_text()
    assert first.exported == second.exported
    repository, _, digest = first.exported["DIGEST"].partition("@")
    assert repository == uri

    held = boto3.client("ecr", "eu-west-1", endpoint_url=ecr).describe_images(repositoryName="heart")["imageDetails"]
    tags = {tag for image in held for tag in image.get("imageTags", [])}
    assert len(tags) == 2
    assert all(tag.startswith("git-") for tag in tags)

    config = bench.registry.unpack(digest, tmp_path / "root")
    assert (tmp_path / "root/app/app.py").read_text() == files["app.py"]
    assert (config.workdir, config.cmd) == ("/app", ("python", "app.py"))
    assert "RUN: not done here, as this machine's own programs serve: apt-get update" in bench.log.read_text()


class Refusing(BaseHTTPRequestHandler):
    """An ECR that knows no repository, in AWS's words."""

    def do_POST(self) -> None:
        """Answer anything with the one error."""
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"__type": "RepositoryNotFoundException", "message": "The repository does not exist."}'
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_push_that_ecr_refuses_says_what_to_do(bench: Bench) -> None:
    """A repository that is not there fails the build with ECR's code and the command that makes it."""
    uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/absent:v1"
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        result = bench.build(
            f"phases: {{build: {{commands: ['docker build -t {uri} .', 'docker push {uri}']}}}}",
            {"Dockerfile": "FROM scratch\nCOPY . /"},
            {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"},
        )
        server.shutdown()
    assert result.status == "FAILED"
    log = bench.log.read_text()
    assert "RepositoryNotFoundException" in log
    assert "aws ecr create-repository --repository-name absent" in log
