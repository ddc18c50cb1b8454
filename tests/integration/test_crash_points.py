"""The whole story, once per AWS call it makes, dying before that call and, again, after it: two stages with a vote and
a hold between them, a deployment that fails, a rollback, a push that is rejected.

The story is played once. At each call a copy of the process is made (fork), which dies there, lets the sweep run, and
plays the rest of the story; the first goes on to the next call. So every crash point costs only what comes after it.

Of points between which nothing was written, in one call of a function, one is enough: what died there leaves the same
behind, whichever it was.
"""

from __future__ import annotations

import gc
import io
import json
import os
import shutil
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from console.local.aws.faults import Call, Crash
from console.local.engine import DeployJob
from console.local.rehearse.chaos import STEP_SECONDS
from console.local.rehearse.rehearsal import Rehearsal
from console.local.rehearse.rehearsal_engine import DeployOutcome, ScriptedEngine

# What the story ends in, whatever died on the way: phases, builds by claim, deployments by claim.
END = {
    "phases": {"v1": "live", "v2": "rolled back", "v3": "failed", "v4": "rejected"},
    "stages": {"staging": 2, "production": 1},
    "builds": {"heart/v1/build/1": 1, "heart/v2/build/1": 1, "heart/v3/build/1": 1},
    "deployments": {
        "heart/v1/staging/1": 1,
        "heart/v1/production/1": 1,
        "heart/v2/staging/2": 1,
        "heart/v2/production/2": 1,
        "heart/v1/production/3": 1,
        "heart/v3/staging/3": 1,
    },
}
CHILDREN = 2
# Every one takes some minutes; CI does so in a step of its own (all), and not in `make test` (later), which takes every
# fourth.
WHICH = os.environ.get("ESTEIRA_CRASH_POINTS", "fourth")
EVERY = 1 if WHICH == "all" else 4
READS = ("BatchGet", "Describe", "Get", "List", "Query")
STAGES = ({"name": "staging"}, {"name": "production", "approvals": {"votes": 1}})


@pytest.mark.skipif(WHICH == "later", reason="every crash point is tried later (ESTEIRA_CRASH_POINTS=later)")
@pytest.mark.timeout(1200)
def test_every_crash_point_of_the_story_ends_as_the_story_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dying before or after any AWS call changes neither the end nor the number of builds and deployments."""
    deaths = _Deaths()
    engine = ScriptedEngine(deploy=_third_fails, manual=True)
    with Rehearsal(tmp_path, engine, hook=deaths.hook, retries=0, stages=STAGES) as stage:
        deaths.stage = stage
        gc.freeze()  # a collection in a copy would copy all of the memory that it shares
        end = deaths.play(stage)
    deaths.wait_all()
    gc.unfreeze()
    with capsys.disabled():
        told = f"{deaths.different} that differ, of {deaths.points} before and after {deaths.calls} AWS calls"
        print(f"\ncrash points tried: {deaths.tried} of {told}")
    assert end == END
    assert deaths.points > 1.9 * deaths.calls  # a call that AWS refuses has no "after"
    assert deaths.tried >= deaths.different // EVERY > 0
    assert not deaths.wrong, "\n".join(deaths.wrong)


def _third_fails(job: DeployJob) -> DeployOutcome:
    with zipfile.ZipFile(io.BytesIO(job.bundle)) as bundle:
        release = json.loads(bundle.read("release.json"))["release"]
    return DeployOutcome(release != "v3", "the container exited with status 1", log_tail="ValueError: no model")


def _push(content: bytes) -> Any:
    def step(stage: Rehearsal) -> None:
        stage.commit({"app.py": content})
        stage.play()
        _recover(stage)

    return step


def _say(action: str, **request: object) -> Any:
    said = {"request": f"request-{action}-{request.get('release', '')}", **request}

    def step(stage: Rehearsal) -> None:
        answer = stage.operate(action, **said)
        stage.play()
        if "errorType" in answer:  # the function died; a person waits a moment and types it again
            _recover(stage)
            stage.operate(action, **said)
            stage.play()
        _recover(stage)

    return step


def _reject(stage: Rehearsal) -> None:
    stage.commit({"key.pem": b"a key"})
    stage.play()
    _recover(stage)


STEPS = (
    _push(b"1"),
    _say("approve", release="v1"),
    _say("hold", stage="production", minutes=600),
    _push(b"2"),
    _say("approve", release="v2"),
    _say("resume", stage="production"),
    _say("rollback", stage="production", to="v1"),
    _push(b"3"),
    _reject,
)


def _recover(stage: Rehearsal) -> None:
    """Where something died just now: let leases run out, and sweep. The story itself goes on without."""
    if _Deaths.died:
        _Deaths.died = False
        stage.pass_time(STEP_SECONDS, sweeps=2)
        stage.pass_time(STEP_SECONDS, sweeps=2)


def _end(stage: Rehearsal) -> dict[str, object]:
    return {
        "phases": {f"v{v.number}": v.phase for v in stage.store.views("heart")},
        "stages": {state.name: state.live for state in stage.store.stages(stage.service)},
        "builds": dict(Counter(stage.build_claims())),
        "deployments": dict(Counter(stage.deployment_claims())),
    }


class _Deaths:
    """Makes a copy of the process at each AWS call, which dies there."""

    died = False

    def __init__(self) -> None:
        self.stage: Rehearsal | None = None
        self.child = False
        self.points = self.different = self.tried = self.calls = 0
        self._where = (0, 0)  # the function's call of the last point, and what was written until then
        self._written = 0
        self.wrong: list[str] = []
        self._running: dict[int, tuple[int, str]] = {}
        self._pipe = -1

    def hook(self, when: str, call: Call) -> None:
        """Stand before and after every call of the functions."""
        if self.child or not self.stage or not self.stage.in_function:
            return
        self.calls += when == "before"
        self.points += 1
        self._written += when == "after" and not call.operation.startswith(READS)
        before, self._where = self._where, (self.stage.invocation, self._written)
        if self._where == before:
            return
        self.different += 1
        if self.different % EVERY:
            return
        self.tried += 1
        self._wait(CHILDREN - 1)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writing)
            os.read(reading, 1)  # the copy has copied the repositories; before that, they may not move on
            self._running[pid] = (reading, f"{when} call {self.calls}, {call.name}")
            return
        os.close(reading)
        self.child, self._pipe = True, writing
        _Deaths.died = True
        self._own_repositories(self.stage)
        raise Crash(f"died {when} {call.name}")

    def _own_repositories(self, stage: Rehearsal) -> None:
        """Memory is this copy's own by now; the repositories on disk must become so."""
        shared = stage.local_aws.codecommit._folder
        self._folder = shared.with_name(f"copy-{os.getpid()}")
        shutil.copytree(shared, self._folder)
        stage.local_aws.codecommit._folder = self._folder
        os.write(self._pipe, b" ")

    def play(self, stage: Rehearsal) -> dict[str, object]:
        """Play the story and return how it ended; a copy tells the first process, and is gone."""
        try:
            for step in STEPS:
                step(stage)
            end = _end(stage)
        except BaseException as error:
            if not self.child:
                raise
            end = {"error": repr(error)}
        if self.child:
            shutil.rmtree(self._folder)
            os.write(self._pipe, json.dumps(end).encode())
            os._exit(0)
        return end

    def wait_all(self) -> None:
        """Hear from every copy."""
        self._wait(0)

    def _wait(self, most: int) -> None:
        while len(self._running) > most:
            pid, status = os.wait()
            reading, point = self._running.pop(pid)
            with os.fdopen(reading) as pipe:
                told = pipe.read()
            if status or json.loads(told) != END:
                self.wrong.append(f"{point}: {told or status}")
