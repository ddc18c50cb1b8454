"""Every file of events/ through Lambda's own emulator and runtime client, without a container, beside the handler
called directly: the same answers, and the same state of the world after each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from console.local.sam import emulator
from console.local.sam.emulator import Emulator, EmulatorError
from tests.sam.chapters import CHAPTERS, STEPS, Told, beginning, handlers, name_of, plain, play
from tests.sam.world import EVENTS, template, variables, world

pytestmark = pytest.mark.e2e

Story = dict[tuple[str, int], Told]


@pytest.fixture(scope="module")
def parts() -> emulator.Parts:
    """The emulator's parts; where they are missing, the reason names what to type."""
    try:
        return emulator.find()
    except EmulatorError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def at() -> datetime:
    """When both stories begin."""
    return beginning()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, at: datetime) -> int:
    """A port that every world of this module takes in its rollout."""
    with world(tmp_path_factory.mktemp("probe"), at) as here:
        return int(here.url.rpartition(":")[2])


@pytest.fixture(scope="module")
def emulated(
    parts: emulator.Parts, port: int, at: datetime, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Emulator]]:
    """The four functions, each in an emulator."""
    logs = tmp_path_factory.mktemp("logs")
    with ExitStack() as running:
        yield {
            f.name: running.enter_context(
                Emulator(f, variables(f"http://127.0.0.1:{port}"), logs / f"{f.name}.log", parts)
            )
            for f in template().functions
        }


@pytest.fixture(scope="module")
def by_emulator(
    emulated: dict[str, Emulator], port: int, at: datetime, tmp_path_factory: pytest.TempPathFactory
) -> Story:
    """What came of each event that went through the emulator."""
    return play(lambda name, event: emulated[name].invoke(event), tmp_path_factory.mktemp("emulated"), port, at)


@pytest.fixture(scope="module")
def directly(port: int, at: datetime, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """What came of each event that went to the handler in this process."""
    with handlers(port) as functions:
        return play(lambda n, e: functions.call(n, e).payload, tmp_path_factory.mktemp("direct"), port, at)


def test_every_file_has_its_place_in_a_chapter() -> None:
    """No file of events/ is left out of what the emulator is given."""
    assert {event for files in CHAPTERS.values() for event in files} == {path.stem for path in EVENTS.glob("*.json")}


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS, ids=name_of)
def test_the_emulator_and_the_handler_answer_alike_and_leave_the_same_state(
    step: tuple[str, int], by_emulator: Story, directly: Story
) -> None:
    """What runs on Lambda is what the tests run; no file of events/ ends in an error. An approval is refused, because a
    file cannot prove who approves."""
    assert by_emulator[step].answers == directly[step].answers
    assert by_emulator[step].state.splitlines() == directly[step].state.splitlines()
    unproven = CHAPTERS[step[0]][step[1]] == "operate_approve"
    assert not any("errorType" in answer for answer in by_emulator[step].answers)
    assert any("refused" in answer for answer in by_emulator[step].answers) == unproven


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chapter", "end"),
    [
        ("a push goes live, then the next", "building"),
        ("the build fails, and is tried again", "building"),
        ("the build is stopped", "failed"),
        ("the deployment fails", "failed"),
        ("an operator goes back", "rolled back"),
    ],
)
def test_a_chapter_ends_as_it_should(chapter: str, end: str, by_emulator: Story) -> None:
    """Two answers that agree could both be empty; these are not."""
    assert f"'phase': '{end}'" in by_emulator[chapter, len(CHAPTERS[chapter]) - 1].answers[0]


def test_an_error_of_the_function_comes_back_as_lambda_words_it(
    emulated: dict[str, Emulator], port: int, at: datetime, tmp_path: Path
) -> None:
    """A malformed event is an error with its type and its sentence, and the function lives on."""
    with world(tmp_path, at, port):
        event: dict[str, Any] = json.loads((EVENTS / "ecr_push_release_tag.json").read_text())
        del event["detail"]["image-digest"]
        answers: list[Any] = [emulated["esteira-intake"].invoke(event) for _ in range(2)]
    assert plain(answers[0]) == plain(answers[1])
    assert answers[0]["errorType"] == "Refused"
    assert "is refused" in answers[0]["errorMessage"]


def test_a_missing_emulator_is_said_with_what_to_type(tmp_path: Path) -> None:
    """Who has not installed it reads how to."""
    with pytest.raises(EmulatorError, match=r"aws-sam-cli is not in .* Next: make emulator"):
        emulator.find(tmp_path)
