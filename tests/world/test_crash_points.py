"""A story, once per AWS call it makes: dying before that call, dying after it, and hearing no answer to it. The whole
story has two stages with a vote and a hold between them, a deployment that fails, a rollback, a push that is rejected;
the short one has one stage, a push and a vote.

A story is played once. At each call a copy of the process is made (fork) that meets its fault there, lets the sweep
run, and plays the rest of the story (of the short one, up to the end of the next step); the first goes on to the next
call. So every point costs only what comes after it.

Of deaths between which nothing was written, in one call of a function, one is enough: what died there leaves the same
behind, whichever it was. A lost answer is an error where it happens, so each one is tried.
"""

from __future__ import annotations

import gc
import io
import json
import os
import shutil
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from console.local.aws.faults import Call, Crash
from console.local.engine import DeployJob
from console.local.rehearse.chaos import STEP_SECONDS
from console.local.rehearse.rehearsal import Rehearsal
from console.local.rehearse.rehearsal_engine import DeployOutcome, ScriptedEngine
from tests.world.door import LostAnswerError
from tests.world.world import World

CHILDREN = 2
READS = ("BatchGet", "Describe", "Get", "List", "Query")
VOTED = {"name": "production", "approvals": {"votes": 1}}


def _third_fails(job: DeployJob) -> DeployOutcome:
    with zipfile.ZipFile(io.BytesIO(job.bundle)) as bundle:
        release = json.loads(bundle.read("release.json"))["release"]
    return DeployOutcome(release != "v3", "the container exited with status 1", log_tail="ValueError: no model")


def _push(content: bytes) -> Any:
    def step(stage: Any) -> None:
        stage.commit({"app.py": content})
        stage.play()
        _recover(stage)

    return step


def _say(action: str, **request: object) -> Any:
    said = {"request": f"request-{action}-{request.get('release', '')}", **request}

    def step(stage: Any) -> None:
        answer = stage.operate(action, **said)
        stage.play()
        if "errorType" in answer:  # the function died; a person waits a moment and types it again
            _recover(stage)
            stage.operate(action, **said)
            stage.play()
        _recover(stage)

    return step


def _reject(stage: Any) -> None:
    stage.commit({"key.ppk": b"a key"})
    stage.play()
    _recover(stage)


@dataclass(frozen=True)
class Told:
    """A story, its stages, and what it ends in, whatever was lost on the way."""

    stages: tuple[Any, ...]
    steps: tuple[Any, ...]
    end: dict[str, object]


WHOLE = Told(
    stages=({"name": "staging"}, VOTED),
    steps=(
        _push(b"1"),
        _say("approve", release="v1"),
        _say("hold", stage="production", minutes=600),
        _push(b"2"),
        _say("approve", release="v2"),
        _say("resume", stage="production"),
        _say("rollback", stage="production", to="v1"),
        _push(b"3"),
        _reject,
    ),
    end={
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
    },
)
SHORT = Told(
    stages=(VOTED,),
    steps=(
        _push(b"1"),
        _say("approve", release="v1"),
    ),
    end={
        "phases": {"v1": "live"},
        "stages": {"production": 1},
        "builds": {"heart/v1/build/1": 1},
        "deployments": {"heart/v1/production/1": 1},
    },
)


def in_memory(_folder: Path, faults: Faulty) -> World:
    """The story's stage in memory."""
    made = World(ScriptedEngine(deploy=_third_fails, manual=True), stages=faults.told.stages, retries=0)
    made.faults.hook = faults.hook
    return made


def on_moto(folder: Path, faults: Faulty) -> Rehearsal:
    """The story's stage on moto and git."""
    engine = ScriptedEngine(deploy=_third_fails, manual=True)
    return Rehearsal(folder, engine, hook=faults.hook, retries=0, stages=faults.told.stages)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("make", "told", "reads"),
    [
        pytest.param(in_memory, SHORT, False, id="world-short"),
        pytest.param(in_memory, WHOLE, True, id="world-whole", marks=pytest.mark.slow),
        pytest.param(on_moto, WHOLE, False, id="moto-whole", marks=pytest.mark.slow),
    ],
)
def test_every_crash_point_of_the_story_ends_as_the_story_does(
    make: Any, told: Told, reads: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Dying before or after any AWS call, or hearing no answer to it, changes neither the end nor the number of builds
    and deployments."""
    faults = Faulty(told, reads=reads)
    with make(tmp_path, faults) as stage:
        faults.stage = stage
        gc.collect()
        gc.freeze()  # a collection in a copy would copy all of the memory that it shares
        end = faults.play(stage)
    faults.wait_all()
    gc.unfreeze()
    with capsys.disabled():
        print(f"\nfaults tried: {dict(faults.tried)} at {faults.calls} AWS calls")
    assert end == told.end
    assert set(faults.tried) == {"before", "after", "lost"}
    assert not faults.wrong, "\n".join(faults.wrong)


def _recover(stage: Any) -> None:
    """Where something went wrong just now: let leases run out, and sweep. The story itself goes on without."""
    if Faulty.met:
        Faulty.met = False
        stage.pass_time(STEP_SECONDS, sweeps=2)
        stage.pass_time(STEP_SECONDS, sweeps=2)


def _end(stage: Any) -> dict[str, object]:
    return {
        "phases": {f"v{v.number}": v.phase for v in stage.store.views("heart")},
        "stages": {state.name: state.live for state in stage.store.stages(stage.service)},
        "builds": dict(Counter(stage.build_claims())),
        "deployments": dict(Counter(stage.deployment_claims())),
    }


class Faulty:
    """Makes a copy of the process at each AWS call, which meets a fault there. Without ``reads``, no answer to a read
    is lost: that is a read that failed."""

    met = False

    def __init__(self, told: Told, *, reads: bool) -> None:
        self.told = told
        self.stage: Any = None
        self.child = False
        self.calls = 0
        self.tried: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._reads = reads
        self._ends: list[dict[str, object]] = []  # after each step
        self._told: list[tuple[str, Any]] = []  # by the copies: the point, how many steps, and what it ended in
        self._last = len(told.steps)  # how many steps are played
        self._where = (0, 0)  # the function's call of the last point, and what was written until then
        self._written = 0
        self._running: dict[int, tuple[int, str]] = {}
        self._pipe = -1
        self._folder: Path | None = None

    def hook(self, when: str, call: Call) -> None:
        """Stand before and after every call of the functions."""
        if self.child or not self.stage or not self.stage.in_function:
            return
        self.calls += when == "before"
        read = call.operation.startswith(READS)
        self._written += when == "after" and not read
        before, self._where = self._where, (self.stage.invocation, self._written)
        if self._where != before:
            self._meet(when, call, Crash(f"died {when} {call.name}"))
        if when == "after" and (self._reads or not read):
            self._meet("lost", call, LostAnswerError(call))

    def _meet(self, kind: str, call: Call, fault: BaseException) -> None:
        """Raise the fault in a copy of this process, and nothing here."""
        self.tried[kind] += 1
        self._wait(CHILDREN - 1)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writing)
            os.read(reading, 1)  # the copy has copied the repositories; before that, they may not move on
            self._running[pid] = (reading, f"{kind} call {self.calls}, {call.name}")
            return
        os.close(reading)
        self.child, self._pipe, Faulty.met = True, writing, True
        if self.told is SHORT:
            self._last = min(self._last, len(self._ends) + 2)
        self._own_repositories()
        raise fault

    def _own_repositories(self) -> None:
        """Memory is this copy's own by now; repositories on disk, where there are any, must become so."""
        codecommit = self.stage.local_aws.codecommit
        shared = getattr(codecommit, "_folder", None)
        if shared is not None:
            self._folder = codecommit._folder = shared.with_name(f"copy-{os.getpid()}")
            shutil.copytree(shared, self._folder)
        os.write(self._pipe, b" ")

    def play(self, stage: Any) -> dict[str, object]:
        """Play the story; how it ended. A copy tells the first process, and is gone."""
        try:
            for step in self.told.steps[: self._last]:
                step(stage)
                self._ends.append(_end(stage))
                if len(self._ends) == self._last:  # which a fault may have brought nearer
                    break
        except BaseException as error:
            if not self.child:
                raise
            self._ends.append({"error": repr(error)})
        if self.child:
            if self._folder:
                shutil.rmtree(self._folder)
            os.write(self._pipe, json.dumps([len(self._ends), self._ends[-1]]).encode())
            os._exit(0)
        return self._ends[-1]

    def wait_all(self) -> None:
        """Hear from every copy, and compare what it came to with what the story came to at that step."""
        self._wait(0)
        for point, (steps, end) in self._told:
            if end != self._ends[steps - 1]:
                self.wrong.append(f"{point}: {end} after step {steps}")

    def _wait(self, most: int) -> None:
        while len(self._running) > most:
            pid, status = os.wait()
            reading, point = self._running.pop(pid)
            with os.fdopen(reading) as pipe:
                told = pipe.read()
            self._told.append((point, [1, f"status {status}"] if status else json.loads(told)))
