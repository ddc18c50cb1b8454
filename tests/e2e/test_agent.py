"""The local CodeDeploy agent does what agent 1.8.1 did with the same bundles: real scripts, and no Docker."""

from __future__ import annotations

import io
import os
import stat
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console.local.agent.agent import EVENTS, Agent
from console.local.agent.agent_script import TAIL
from console.local.engine import DeployJob, DeployResult, LifecycleEvent

SECONDS = 20.0  # after which something that should have happened has not
HEAD = "version: 0.0\nos: linux\n"
ONE_HOOK = HEAD + "hooks:\n  BeforeInstall:\n    - location: run.sh\n      timeout: {timeout}\n"


def hooks(**scripts: str) -> str:
    """An appspec with one script for each event."""
    return HEAD + "hooks:\n" + "".join(f"  {event}:\n    - location: {path}\n" for event, path in scripts.items())


class Bench:
    """One host's agent, and bundles for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "deployment-root"
        self.agent = Agent(self.root, {"PATH": os.environ["PATH"], "FROM": "the agent"})
        self.numbers = 0

    def job(self, files: dict[str, str | bytes], modes: dict[str, int] | None = None, **more: object) -> DeployJob:
        """A deployment of these files; scripts are executable unless ``modes`` says otherwise."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as bundle:
            for name, content in files.items():
                entry = zipfile.ZipInfo(name)
                entry.external_attr = (stat.S_IFREG | (modes or {}).get(name, 0o755)) << 16
                bundle.writestr(entry, content)
        self.numbers += 1
        id_ = f"d-{self.numbers}"
        told = {"group_id": "g-1", "revision": {"bucket": "b", "key": "k.zip", "bundleType": "zip"}, **more}
        log = self.folder / f"{id_}.log"
        return DeployJob(id_, "heart", "production", packed.getvalue(), log, threading.Event(), **told)  # type: ignore[arg-type]

    def deploy(
        self, files: dict[str, str | bytes], modes: dict[str, int] | None = None, **more: object
    ) -> DeployResult:
        """Deploy these files."""
        return self.agent.deploy(self.job(files, modes, **more))

    def one(self, script: str | bytes, timeout: object = 60, mode: int = 0o755) -> LifecycleEvent:
        """Deploy a bundle of one BeforeInstall script and return how that event went."""
        result = self.deploy({"appspec.yml": ONE_HOOK.format(timeout=timeout), "run.sh": script}, {"run.sh": mode})
        return event_of(result, "BeforeInstall")

    def said(self, name: str) -> str:
        """What scripts wrote into a file of the bench's folder."""
        path = self.folder / name
        return path.read_text() if path.exists() else ""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.agent.close()


def event_of(result: DeployResult, name: str) -> LifecycleEvent:
    return next(event for event in result.events if event.name == name)


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_scripts_run_in_the_agents_order_and_surroundings(bench: Bench) -> None:
    """Working directory, environment, $0, arguments, standard input and process group are the agent's."""
    script = (
        f'#!/bin/bash\n{{ echo "$LIFECYCLE_EVENT $(pwd) $0 $#"; env | sort; read -r x; echo "stdin ends: $?"; '
        f'echo "group: $(($(ps -o pgid= -p $$) == $$))"; }} >> {bench.folder}/told\n'
    )
    events = ("BeforeInstall", "AfterInstall", "ApplicationStart", "ValidateService")
    result = bench.deploy({"appspec.yml": hooks(**dict.fromkeys(events, "run.sh")), "run.sh": script})
    assert result.status == "Succeeded", result
    assert [(event.name, event.status) for event in result.events] == [(name, "Succeeded") for name in EVENTS]
    archive = bench.root / "g-1" / "d-1" / "deployment-archive"
    told = bench.said("told").splitlines()
    assert [line for line in told if line.endswith(" 0")] == [f"{event} / {archive}/run.sh 0" for event in events]
    for line in (
        "DEPLOYMENT_ID=d-1", "DEPLOYMENT_GROUP_ID=g-1", "DEPLOYMENT_GROUP_NAME=production", "APPLICATION_NAME=heart",
        "BUNDLE_BUCKET=b", "BUNDLE_KEY=k.zip", "FROM=the agent", "stdin ends: 1", "group: 1",
    ):  # fmt: skip
        assert told.count(line) == len(events), line
    assert not [line for line in told if line.startswith(("BUNDLE_VERSION", "BUNDLE_ETAG"))]


def test_a_failed_script_ends_the_deployment_with_its_log(bench: Bench) -> None:
    """Its code, its message and the end of its log are the event's; later events are skipped; nothing is undone."""
    appspec = hooks(BeforeInstall="good.sh", AfterInstall="bad.sh", ApplicationStart="good.sh")
    bad = "#!/bin/sh\nfor n in $(seq 300); do echo line $n; done\nsleep 0.5\necho no model >&2\nexit 3\n"
    result = bench.deploy({"appspec.yml": appspec, "bad.sh": bad, "good.sh": "#!/bin/sh\necho fine\n"})
    assert (result.status, result.error_code) == ("Failed", "HEALTH_CONSTRAINTS")
    statuses = ["Succeeded", "Succeeded", "Succeeded", "Succeeded", "Failed", "Skipped", "Skipped"]
    assert [event.status for event in result.events] == statuses
    failed = event_of(result, "AfterInstall")
    assert (failed.error_code, failed.script) == ("ScriptFailed", "bad.sh")
    assert failed.message == "Script at specified location: bad.sh failed with exit code 3"
    assert "[stdout]line 300\n" in failed.log_tail
    assert "[stderr]no model\n" in failed.log_tail
    assert "[stdout]line 1\n" not in failed.log_tail
    assert TAIL - 20 < len(failed.log_tail) < TAIL
    written = (bench.root / "g-1" / "d-1" / "logs" / "scripts.log").read_text()
    assert "LifecycleEvent - AfterInstall\n" in written
    assert "[stdout]line 1\n" in written
    assert event_of(result, "BeforeInstall").log_tail == (
        "LifecycleEvent - BeforeInstall\nScript - good.sh\n[stdout]fine\n"
    )


def test_a_script_killed_by_a_signal_has_no_exit_code(bench: Bench) -> None:
    """The message ends where Ruby has nothing to say."""
    failed = bench.one("#!/bin/sh\nkill -9 $$\n")
    assert (failed.status, failed.error_code) == ("Failed", "ScriptFailed")
    assert failed.message == "Script at specified location: run.sh failed with exit code"


@pytest.mark.parametrize(
    ("script", "mode"),
    [("#!/bin/sh\ntrue\n", 0o644), ("true\n", 0o755), ("#!/bin/sh\nsleep 60 >/dev/null 2>&1 &\n", 0o755)],
    ids=["not executable", "no shebang", "a silent child in the background"],
)
def test_what_the_agent_forgives_succeeds(bench: Bench, script: str, mode: int) -> None:
    """It makes a script executable, runs one without a shebang by sh, and waits for output and not for children."""
    assert bench.one(script, mode=mode).status == "Succeeded"


def test_a_shebang_with_a_carriage_return_names_no_program(bench: Bench) -> None:
    """Windows' line ends: the interpreter does not exist, and the sentence says that a file does not."""
    failed = bench.one(b"#!/bin/bash\r\ntrue\r\n")
    assert failed.error_code == "ScriptFailed"
    assert "failed with error Errno::ENOENT with message No such file or directory - " in failed.message


def test_a_script_over_its_timeout_is_told_to_end_with_its_children(bench: Bench) -> None:
    """TERM reaches the whole process group, the trap runs, and the event says after how many seconds."""
    script = f"#!/bin/bash\nsleep 300 & echo $! > {bench.folder}/child\ntrap 'echo cleaning up; exit 143' TERM\nwait\n"
    failed = bench.one(script, timeout=1)
    assert failed.error_code == "ScriptTimedOut"
    assert failed.message == "Script at specified location: run.sh failed to complete in 1 seconds"
    assert "[stdout]cleaning up\n" in failed.log_tail
    assert gone(int(bench.said("child")))


def test_a_background_child_that_holds_the_output_fails_at_the_timeout(bench: Bench) -> None:
    """Though the script itself succeeded; the child goes on until the agent is closed."""
    failed = bench.one(f"#!/bin/sh\nsleep 300 &\necho $! > {bench.folder}/child\necho started\n", timeout=1)
    assert failed.message == "Script at specified location: run.sh failed to close STDOUT"
    assert failed.error_code == "UnknownError"
    child = int(bench.said("child"))
    assert not gone(child)
    bench.agent.close()
    until(lambda: gone(child))


@pytest.mark.parametrize("location", ["gone.sh", "run.sh now"])
def test_a_script_that_is_not_there_is_named_by_its_whole_path(bench: Bench, location: str) -> None:
    """An argument behind the name is part of the name."""
    result = bench.deploy({"appspec.yml": hooks(BeforeInstall=location), "run.sh": "#!/bin/sh\n"})
    failed = event_of(result, "BeforeInstall")
    where = bench.root / "g-1" / "d-1" / "deployment-archive" / location
    assert (failed.error_code, failed.message) == (
        "ScriptMissing",
        f"Script does not exist at specified location: {where}",
    )


def test_a_location_may_lead_out_of_the_bundle(bench: Bench) -> None:
    """The agent contains nothing."""
    up = "/".join([".."] * len((bench.root / "g-1" / "d-1" / "x").parts))
    assert bench.deploy({"appspec.yml": hooks(BeforeInstall=f"{up}/bin/true")}).status == "Succeeded"


@pytest.mark.skipif(os.geteuid() != 0, reason="su asks for a password unless root calls it")
@pytest.mark.parametrize(("runas", "status"), [("nobody-here", "Failed"), ("root", "Succeeded")])
def test_a_script_runs_as_whom_it_names(bench: Bench, runas: str, status: str) -> None:
    """An unknown user fails the script."""
    appspec = hooks(BeforeInstall="run.sh") + f"      runas: {runas}\n"
    event = event_of(bench.deploy({"appspec.yml": appspec, "run.sh": "#!/bin/sh\n"}), "BeforeInstall")
    assert event.status == status
    if status == "Failed":
        assert f"run.sh run as user {runas} failed with exit code" in event.message


def test_an_unknown_event_is_found_at_the_install_step(bench: Bench) -> None:
    """After BeforeInstall ran."""
    appspec = hooks(BeforeInstall="run.sh", Foo="run.sh")
    result = bench.deploy({"appspec.yml": appspec, "run.sh": f"#!/bin/sh\necho ran > {bench.folder}/ran\n"})
    failed = event_of(result, "Install")
    assert failed.message == 'appspec.yml file contains unknown lifecycle events: ["Foo"]'
    assert bench.said("ran") == "ran\n"


def test_a_hook_named_like_the_agents_own_steps_is_never_run(bench: Bench) -> None:
    """Nor looked for."""
    assert bench.deploy({"appspec.yml": hooks(Install="gone.sh", DownloadBundle="gone.sh")}).status == "Succeeded"


def test_an_appspec_of_the_other_name_fails_the_first_hook(bench: Bench) -> None:
    """Hooks look for appspec.yml only."""
    failed = event_of(bench.deploy({"appspec.yaml": hooks(BeforeInstall="run.sh")}), "BeforeInstall")
    assert failed.error_code == "UnknownError"
    assert (
        'did not find an AppSpec file within the unpacked revision directory at revision-relative path "appspec.yml"'
        in (failed.message)
    )


def test_a_broken_bundle_fails_where_it_is_unpacked(bench: Bench) -> None:
    """Not a zip, or an appspec that cannot be read: the event that meets it says so."""
    job = bench.job({"appspec.yml": "version: '0.0'\n"})
    assert "invalid version value (0.0)" in event_of(bench.agent.deploy(job), "BeforeInstall").message
    other = DeployJob("d-9", "heart", "production", b"not a zip", bench.folder / "log", threading.Event())
    assert event_of(bench.agent.deploy(other), "DownloadBundle").message == "File is not a zip file"


def test_one_folder_around_the_bundle_is_stripped(bench: Bench) -> None:
    """As zips of a whole folder have it."""
    files = {"app/appspec.yml": hooks(BeforeInstall="run.sh"), "app/run.sh": f"#!/bin/sh\ntouch {bench.folder}/ran\n"}
    assert bench.deploy(dict(files)).status == "Succeeded"
    assert (bench.folder / "ran").exists()


def test_application_stop_is_the_last_installs_and_skipped_on_the_first(bench: Bench) -> None:
    """The former bundle's script runs; a deployment that failed after its Install step counts as the former one."""

    def bundle(name: str, start: str = "true") -> dict[str, str | bytes]:
        stop = f"#!/bin/sh\necho stop of {name} as $DEPLOYMENT_ID >> {bench.folder}/told\n"
        appspec = hooks(ApplicationStop="stop.sh", ApplicationStart="start.sh")
        return {"appspec.yml": appspec, "stop.sh": stop, "start.sh": f"#!/bin/sh\n{start}\n"}

    assert bench.deploy(bundle("one")).status == "Succeeded"
    assert bench.said("told") == ""
    assert bench.deploy(bundle("two", "false")).status == "Failed"
    assert bench.said("told") == "stop of one as d-2\n"
    assert bench.deploy(bundle("three")).status == "Succeeded"
    assert bench.said("told") == "stop of one as d-2\nstop of two as d-3\n"


def test_a_failing_application_stop_ends_the_deployment_unless_it_is_ignored(bench: Bench) -> None:
    """The trap of the hook: the bundle at fault is the one before, and every later deployment meets it."""
    bad: dict[str, str | bytes] = {"appspec.yml": hooks(ApplicationStop="stop.sh"), "stop.sh": "#!/bin/sh\nexit 1\n"}
    good: dict[str, str | bytes] = {"appspec.yml": HEAD}
    assert bench.deploy(bad).status == "Succeeded"
    assert event_of(bench.deploy(good), "ApplicationStop").status == "Failed"
    ignored = bench.deploy(good, ignore_application_stop_failures=True)
    assert (ignored.status, event_of(ignored, "ApplicationStop").status) == ("Succeeded", "Failed")


def files_appspec(bench: Bench, *rows: str, more: str = "") -> str:
    listed = "".join(f"  - source: {row}\n    destination: {bench.folder}/app\n" for row in rows)
    return f"{HEAD}files:\n{listed}{more}"


def test_files_are_laid_out_and_taken_away_by_the_next_install(bench: Bench) -> None:
    """Folders are made, what another put beside stays, and the next bundle's files take the place of this one's."""
    app = bench.folder / "app"
    first = bench.deploy({"appspec.yml": files_appspec(bench, "a.txt", "sub"), "a.txt": "1", "sub/b.txt": "1"})
    assert first.status == "Succeeded", first
    assert sorted(path.name for path in app.iterdir()) == ["a.txt", "b.txt"]
    (app / "another's.txt").write_text("stays")
    second = bench.deploy({"appspec.yml": files_appspec(bench, "a.txt"), "a.txt": "2"})
    assert second.status == "Succeeded", second
    assert {path.name: path.read_text() for path in app.iterdir()} == {"a.txt": "2", "another's.txt": "stays"}


@pytest.mark.parametrize(
    ("deployments", "own", "becomes"),
    [
        ("DISALLOW", "", None), ("OVERWRITE", "", "new"), ("RETAIN", "", "old"),
        ("OVERWRITE", "DISALLOW", None), ("DISALLOW", "RETAIN", "old"),
    ],
)  # fmt: skip
def test_a_file_that_is_there_already_is_treated_as_told(
    bench: Bench, deployments: str, own: str, becomes: str | None
) -> None:
    """The appspec's own file_exists_behavior comes before the deployment's."""
    there = bench.folder / "app" / "a.txt"
    there.parent.mkdir()
    there.write_text("old")
    more = f"file_exists_behavior: {own}\n" if own else ""
    files: dict[str, str | bytes] = {"appspec.yml": files_appspec(bench, "a.txt", more=more), "a.txt": "new"}
    result = bench.deploy(files, file_exists_behavior=deployments)
    if becomes is None:
        said = f"The deployment failed because a specified file already exists at this location: {there}"
        assert event_of(result, "Install").message == said
    assert there.read_text() == (becomes or "old")


def test_a_source_that_is_not_in_the_bundle_fails_the_install(bench: Bench) -> None:
    """The path is in the sentence."""
    result = bench.deploy({"appspec.yml": files_appspec(bench, "gone.txt")})
    assert event_of(result, "Install").message.startswith("No such file or directory - ")


def test_permissions_are_set_on_what_was_copied(bench: Bench) -> None:
    """By pattern, with exceptions; an unquoted 0644 is what YAML makes of it."""
    rows = (
        f"permissions:\n  - object: {bench.folder}/app\n    pattern: '*.sh'\n    except: [b.sh]\n    mode: 750\n"
        f"    type: [file]\n  - object: {bench.folder}/app/c.txt\n    mode: 0644\n"
    )
    names = ("a.sh", "b.sh", "c.txt")
    appspec = files_appspec(bench, *names, more=rows)
    result = bench.deploy({"appspec.yml": appspec, **dict.fromkeys(names, "x")}, dict.fromkeys(names, 0o644))
    assert result.status == "Succeeded", result
    modes = {name: oct(stat.S_IMODE((bench.folder / "app" / name).stat().st_mode)) for name in names}
    assert modes == {"a.sh": "0o750", "b.sh": "0o644", "c.txt": "0o420"}


def test_a_stopped_deployment_ends_its_script_and_runs_no_other(bench: Bench) -> None:
    """The script hears TERM; the rest is skipped; the deployment is Stopped, not Failed."""
    script = f"#!/bin/bash\ntrap 'echo undone; exit 143' TERM\ntouch {bench.folder}/begun\nsleep 300 & wait\n"
    job = bench.job({"appspec.yml": hooks(BeforeInstall="run.sh", AfterInstall="run.sh"), "run.sh": script})
    results: list[DeployResult] = []
    thread = threading.Thread(target=lambda: results.append(bench.agent.deploy(job)))
    thread.start()
    until((bench.folder / "begun").exists)
    job.stop.set()
    thread.join(SECONDS)
    (result,) = results
    assert (result.status, result.error_code) == ("Stopped", "MANUAL_STOP")
    assert "[stdout]undone\n" in event_of(result, "BeforeInstall").log_tail
    assert event_of(result, "AfterInstall").status == "Skipped"


def test_old_archives_make_room_and_the_last_install_stays(bench: Bench) -> None:
    """Five archives of a group at most, among them the one whose ApplicationStop may yet run."""
    good: dict[str, str | bytes] = {"appspec.yml": HEAD}
    bad: dict[str, str | bytes] = {"appspec.yml": hooks(BeforeInstall="gone.sh")}
    assert bench.deploy(good).status == "Succeeded"
    for _ in range(6):
        assert bench.deploy(bad).status == "Failed"
    kept = {path.name for path in (bench.root / "g-1").iterdir()}
    assert "d-1" in kept
    assert "d-7" in kept
    assert len(kept) == 5
