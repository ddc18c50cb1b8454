"""Two functions at once for one service, and functions that die with a claim in their hands: on the local AWS, and once
more with the table in a second DynamoDB, that of ministack, which is written by others and takes calls side by side."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from console.local.aws.faults import Call, Hook, When
from console.local.sam.ministack import Ministack
from tests.integration.conftest import Story, dying, key_of, told

# A function's lease, in seconds, and a moment less.
LEASE = 120


def meeting(operation: str, row: str) -> Hook:
    """A hook that lets the first caller of a write wait until a second one is about to make it, too."""
    gate, seen, lock = threading.Barrier(2), [0], threading.Lock()

    def hook(moment: When, call: Call) -> None:
        if moment != "before" or call.name != operation or row not in key_of(call):
            return
        with lock:
            seen[0] += 1
            first_two = seen[0] <= 2
        if first_two:
            gate.wait(timeout=60)

    return hook


def at_once(story: Story, functions: int = 2) -> None:
    """Run several sweeps at the same time, each in a thread of its own, to their ends."""
    begin = threading.Barrier(functions)

    def sweep() -> str:
        begin.wait(timeout=60)
        return story.bus.functions.call("SweepFunction", {}).said

    with ThreadPoolExecutor(functions) as pool:
        said = [run.result(timeout=120) for run in [pool.submit(sweep) for _ in range(functions)]]
    assert said == [""] * functions


@pytest.fixture(params=["moto", "ministack"])
def story(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Story]:
    """A story that has not begun, with its table in one DynamoDB or the other."""
    if request.param == "moto":
        with Story(tmp_path) as story:
            yield from told(story)
        return
    second: Ministack = request.getfixturevalue("ministack")
    with Story(tmp_path, elsewhere={"dynamodb": second.url}) as story:
        table, dynamodb = story.context.settings.table, story.aws_client("dynamodb")
        # The story's time is not this machine's, by which ministack takes away what has expired.
        dynamodb.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"AttributeName": "expires", "Enabled": False}
        )
        yield from told(story)
        assert story.local_aws.dynamodb.dump() == {}, "the table was in moto all the time"
        dynamodb.delete_table(TableName=table)


@pytest.fixture
def restless() -> Iterator[None]:
    """Let threads take turns as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def silent(story: Story) -> Story:
    """A story in which no event arrives: what moves it is what the test runs."""
    story.lose_everything()
    return story


# --- two that meet at the same write


def test_two_functions_that_see_the_same_tip_make_one_release(silent: Story) -> None:
    """Both are about to write v1; one does."""
    silent.push("one")
    silent.faults.hook = meeting("dynamodb:TransactWriteItems", "release#")
    at_once(silent)
    assert silent.newest() == 1
    assert silent.built() == ["v1/build/1 IN_PROGRESS"]
    silent.pass_time(60, sweeps=3)
    assert silent.phases == ["live"]


def test_two_functions_that_claim_the_same_build_start_one(silent: Story) -> None:
    """Whoever loses the claim leaves the build alone."""
    silent.push("one")
    silent.faults.hook = dying("before", "dynamodb:PutItem", "claimed#build", once=False)
    silent.wait()  # the release is born, and its function dies at every try before it has claimed anything
    assert silent.built() == []
    silent.faults.hook = meeting("dynamodb:PutItem", "claimed#build")
    at_once(silent)
    assert silent.built() == ["v1/build/1 IN_PROGRESS"]
    silent.pass_time(60, sweeps=3)
    assert silent.phases == ["live"]


def test_two_functions_that_claim_the_same_turn_create_one_deployment(silent: Story) -> None:
    """The stage's rollout is one row, and one of them writes it."""
    silent.push("one")
    silent.wait()
    silent.engine.finish_all()
    silent.faults.hook = meeting("dynamodb:TransactWriteItems", "rollout#")
    at_once(silent)
    assert silent.deployed() == ["v1 InProgress"]
    silent.pass_time(60, sweeps=3)
    assert silent.phases == ["live"]


def test_two_functions_that_settle_the_same_turn_settle_it_once(silent: Story) -> None:
    """Tags move once, and the rollout after it is free."""
    silent.push("one")
    silent.wait()
    silent.engine.finish_all()
    silent.wait()
    silent.engine.finish_all()
    silent.faults.hook = meeting("dynamodb:PutItem", "claimed#settle")
    at_once(silent)
    silent.faults.hook = None
    silent.pass_time(60, sweeps=2)
    assert silent.phases == ["live"]
    assert silent.rollouts() == 2
    assert not silent.stage_state.busy


def test_a_push_and_an_image_at_once_are_two_releases_in_some_order(silent: Story) -> None:
    """Both births want the same number; the second takes the next."""
    silent.push("one")
    silent.push_image("elsewhere", "v1.0")
    at_once(silent, 4)
    silent.pass_time(60, sweeps=4)
    assert sorted(silent.phases) == ["live", "superseded"]
    assert silent.phases[-1] == "live"


# --- many at once, many times


@pytest.mark.slow
@pytest.mark.usefixtures("restless")
def test_many_functions_at_once_bring_each_push_to_life_once(silent: Story) -> None:
    """After each push, each build's end and each deployment's end, three functions look at the same time."""
    pushes = 5
    for n in range(pushes):
        silent.push(f"push {n}")
        for _ in range(3):
            at_once(silent, 3)
            silent.engine.finish_all()
        at_once(silent, 3)
        silent.pass_time(LEASE)
    silent.pass_time(LEASE, sweeps=2)
    assert silent.phases == ["superseded"] * (pushes - 1) + ["live"]
    assert silent.built() == [f"v{n}/build/1 SUCCEEDED" for n in range(1, pushes + 1)]
    assert silent.deployed() == [f"v{n} Succeeded" for n in range(1, pushes + 1)]
    assert silent.open() == [pushes]


@pytest.mark.slow
@pytest.mark.usefixtures("restless")
def test_the_bus_in_threads_brings_each_push_to_life_once(story: Story) -> None:
    """Every event as AWS sends it, each delivered by whichever of four threads is free."""
    pushes = 4
    story.bus.start(4)
    for n in range(pushes):
        story.push(f"push {n}")
        for _ in range(4):
            assert story.bus.wait_idle()
            story.engine.finish_all()
    assert story.bus.wait_idle()
    story.bus.stop()
    story.pass_time(LEASE + 1, sweeps=3)
    assert story.phases == ["superseded"] * (pushes - 1) + ["live"]
    assert story.built() == [f"v{n}/build/1 SUCCEEDED" for n in range(1, pushes + 1)]
    assert story.deployed() == [f"v{n} Succeeded" for n in range(1, pushes + 1)]


@pytest.mark.usefixtures("restless")
def test_two_operators_who_roll_back_at_once_go_back_once(story: Story) -> None:
    """Both orders are recorded; the stage ends on an earlier release and is free."""
    story.live("one", "two", "three")
    story.operate_later("rollback", by="ana", to="v1")
    story.operate_later("rollback", by="rui", to="v1")
    story.bus.start(2)
    assert story.bus.wait_idle()
    story.bus.stop()
    story.play()
    story.pass_time(LEASE + 1, sweeps=2)
    assert story.phases == ["live", "superseded", "rolled back"]
    assert story.deployed()[3:] == ["v1 Succeeded"]


# --- functions that die


def test_a_claimed_build_is_taken_over_after_the_lease_and_not_before(silent: Story) -> None:
    """Its function died before it called CodeBuild."""
    silent.push("one")
    silent.faults.hook = dying("before", "codebuild:StartBuild")
    silent.wait()
    assert (silent.stands(1).phase, silent.stands(1).summary) == ("building", "its build is being started")
    silent.wait(seconds=LEASE - 1)
    assert silent.built() == []
    silent.wait(seconds=1)
    assert silent.built() == ["v1/build/1 IN_PROGRESS"]


def test_a_build_that_was_started_by_a_dead_function_is_found_and_not_started_again(silent: Story) -> None:
    """It died before it could write the build down; the claim's name in the build's environment tells."""
    silent.push("one")
    silent.faults.hook = dying("after", "codebuild:StartBuild")
    silent.wait()
    silent.wait(seconds=LEASE * 10)
    assert silent.built() == ["v1/build/1 IN_PROGRESS"]
    assert silent.engine.in_flight()[0] in silent.why(1)
    silent.pass_time(60, sweeps=4)
    assert silent.phases == ["live"]


def test_the_event_of_a_build_that_a_dead_function_started_is_enough(story: Story) -> None:
    """Nobody needs to wait for the lease where the event comes."""
    story.push("one")
    story.faults.hook = dying("after", "codebuild:StartBuild")
    story.play()
    assert story.phases == ["live"]
    assert story.built() == ["v1/build/1 SUCCEEDED"]


def test_a_claimed_turn_is_taken_over_after_the_lease_and_not_before(silent: Story) -> None:
    """Its function died before it called CodeDeploy."""
    silent.push("one")
    silent.wait()
    silent.engine.finish_all()
    silent.faults.hook = dying("before", "codedeploy:CreateDeployment")
    silent.wait()
    assert (silent.stands(1).phase, silent.stands(1).summary) == (
        "deploying",
        "its deployment on production is being created",
    )
    silent.wait(seconds=LEASE - 1)
    assert silent.deployed() == []
    silent.wait(seconds=1)
    assert silent.deployed() == ["v1 InProgress"]


def test_a_deployment_that_was_created_by_a_dead_function_is_found_and_not_created_again(silent: Story) -> None:
    """Its description tells whose it is, though it ended long before anybody looked."""
    silent.push("one")
    silent.wait()
    silent.engine.finish_all()
    silent.faults.hook = dying("after", "codedeploy:CreateDeployment")
    silent.wait()
    silent.engine.finish_all()
    silent.wait(seconds=LEASE)
    silent.wait()
    assert silent.deployed() == ["v1 Succeeded"]
    assert silent.phases == ["live"]


def test_a_settlement_that_died_half_way_is_taken_over_after_the_lease(silent: Story) -> None:
    """The tags are moved by whoever comes next; meanwhile the next release waits."""
    first = silent.push("one")
    silent.wait()
    silent.engine.finish_all()
    silent.wait()
    silent.engine.finish_all()
    silent.faults.hook = dying("before", "ecr:PutImage")
    silent.wait()
    assert silent.stage_state.busy
    assert silent.digest("live-production") == ""
    silent.wait(seconds=LEASE - 1)
    assert silent.stage_state.busy
    silent.wait(seconds=1)
    assert not silent.stage_state.busy
    assert silent.digest("live-production") == silent.made(first)
    assert silent.phases == ["live"]


def test_a_build_claimed_for_a_release_that_is_overtaken_is_found_and_stopped(silent: Story) -> None:
    """Started by a dead function, wanted by nobody: it is looked for before the release is closed."""
    silent.push("one")
    silent.faults.hook = dying("after", "codebuild:StartBuild")
    silent.wait()
    silent.push("two")
    silent.wait()
    assert silent.open() == [1, 2]
    silent.wait(seconds=LEASE)
    silent.pass_time(LEASE, sweeps=3)
    assert silent.phases == ["superseded", "live"]
    assert silent.built() == ["v1/build/1 STOPPED", "v2/build/1 SUCCEEDED"]
    assert silent.open() == [2]


def test_a_rollback_whose_function_dies_is_carried_out_all_the_same(silent: Story) -> None:
    """The word is recorded before anything is done about it."""
    for text in ("one", "two"):
        silent.push(text)
        silent.pass_time(60, sweeps=4)
    silent.faults.hook = dying("after", "codedeploy:CreateDeployment")
    assert "died after" in str(silent.operate("rollback"))
    silent.pass_time(LEASE, sweeps=4)
    assert silent.phases == ["live", "rolled back"]
    assert silent.deployed() == ["v1 Succeeded", "v2 Succeeded", "v1 Succeeded"]
