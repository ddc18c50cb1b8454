"""Three hundred services, one controller: what an event costs, whose it is, and who is looked after by a sweep."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from console.local.aws.api import AwsError
from console.local.aws.faults import Call, Crash, When
from service_index.names import names_of
from tests.world.story import Story
from tests.world.test_found_faults import beside, commit, live

OTHERS = [f"model-{n:03}" for n in range(40)]


@pytest.fixture
def alone() -> Iterator[Story]:
    """A story of heart alone, in memory."""
    with Story() as story:
        story.local_aws.lists.most = None  # pages as long as AWS's
        assert story.service.name == "heart"  # read once, for what the story asks itself
        yield story


def reads_of(story: Story) -> list[str]:
    """From here on, each read of a registration or of the index."""
    found: list[str] = []

    def watch(call: Call) -> None:
        index = str(call.params.get("ExpressionAttributeValues", {}).get(":pk", {}).get("S", "")).startswith("#index")
        if call.service == "ssm" or (call.name == "dynamodb:Query" and index):
            found.append(call.name)

    story.faults.watch = watch
    return found


def move(story: Story, service: str, **changes: str) -> None:
    """Change another service's registration."""
    name = f"{story.context.settings.services_path}{service}"
    document = json.loads(story.local_aws.ssm.values[name]) | changes
    story.local_aws.ssm.put_parameter({"Name": name, "Value": json.dumps(document)})


# --- what an event costs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [[], OTHERS])
def test_an_event_costs_two_reads_of_registrations_at_any_number_of_services(alone: Story, others: list[str]) -> None:
    """One of the index, by the name that the event carries, and one of the registration that is found there."""
    beside(alone, *others)
    alone.deliver()
    reads = reads_of(alone)
    alone.push("one")
    alone.bus.deliver_next()
    assert reads == ["dynamodb:Query", "ssm:GetParameters"]
    alone.play()
    assert alone.phases == ["live"]


def test_a_word_costs_two_reads_of_registrations(alone: Story) -> None:
    """An operator names the service."""
    beside(alone, *OTHERS)
    alone.live("one")
    reads = reads_of(alone)
    alone.operate("hold", minutes=5)
    assert reads == ["dynamodb:Query", "ssm:GetParameters"]


def test_a_name_that_nobody_has_is_looked_for_in_the_whole_list_once(alone: Story) -> None:
    """Other projects of the account build, push and ring, too."""
    beside(alone, *OTHERS)
    alone.deliver()
    reads = reads_of(alone)
    alone.ring("somebody-elses")
    alone.deliver()
    assert reads.count("ssm:GetParametersByPath") == 5  # ten in a page
    reads.clear()
    alone.ring("somebody-elses")
    alone.deliver()
    assert reads == ["dynamodb:Query"]


# --- a row that is out of date ---------------------------------------------------------------------------------------


def test_an_event_follows_the_registration_and_not_a_row_that_is_out_of_date(alone: Story) -> None:
    """Two services changed places, and no event told of it: each push goes to who has the repository now."""
    beside(alone, "lung")
    alone.deliver()
    move(alone, "lung", repository="heart")
    move(alone, "heart", repository="lung")
    alone.bus.forget()
    commit(alone, "heart", "one")
    alone.play()
    assert (live(alone, "heart"), live(alone, "lung")) == (0, 1)


def test_a_service_whose_registration_no_event_told_of_hears_its_first_push(alone: Story) -> None:
    """Its name is in no row, so the list is read; the index has it from then on."""
    beside(alone, "lung")
    alone.bus.forget()
    commit(alone, "lung", "one")
    alone.play()
    assert live(alone, "lung") == 1
    assert alone.store.indexed("repository/lung") == ("/esteira/services/lung",)


def test_the_sweep_makes_the_index_that_of_the_list(alone: Story) -> None:
    """What lost events left behind: a name that changed, a service that came, one that is gone."""
    beside(alone, "lung", "skin")
    alone.deliver()
    move(alone, "heart", images="hearts")
    beside(alone, "liver")
    alone.local_aws.ssm.delete_parameter({"Name": "/esteira/services/skin"})
    alone.bus.forget()
    alone.pass_time(60)
    services, _ = alone.context.aws.listed(alone.context.settings.services_path)
    assert alone.store.index() == {place: names_of(service) for place, service in services.items()}
    assert {place.rsplit("/")[-1] for place in services} == {"heart", "lung", "liver"}
    gone = [
        *names_of(alone.service.model_copy(update={"images": "heart"})) - alone.store.index()["/esteira/services/heart"]
    ]
    assert [alone.store.indexed(name) for name in [*gone, "repository/skin"]] == [(), ()]


def test_a_policy_says_whose_an_alarm_is(alone: Story) -> None:
    """The word takes its alarms into the index, so the ring costs two reads."""
    beside(alone, *OTHERS)
    alone.live("one", "two")
    document = "stages: {production: {bake_minutes: 30, alarms: [errors]}}"
    assert "refused" not in alone.operate("policy", document=document)
    reads = reads_of(alone)
    alone.ring("errors")
    alone.bus.deliver_next()
    assert reads == ["dynamodb:Query", "ssm:GetParameters"]


# --- the sweep -------------------------------------------------------------------------------------------------------


def hanging(repository: str) -> object:
    """A hook: whoever asks for the repository's branch gets no answer until Lambda ends the call."""

    def hook(moment: When, call: Call) -> None:
        if (moment, call.name, call.params.get("repositoryName")) == ("before", "codecommit:GetBranch", repository):
            raise Crash

    return hook


@pytest.mark.parametrize("hangs", ["heart", "lung", "skin"])
def test_a_service_that_hangs_takes_nothing_from_another(alone: Story, hangs: str) -> None:
    """Lambda ends the call in which it hangs, and every other service had a call of its own."""
    beside(alone, "lung", "skin")
    alone.lose_everything()
    for name in ("heart", "lung", "skin"):
        commit(alone, name, "one")
    alone.faults.hook = hanging(hangs)  # type: ignore[assignment]
    alone.pass_time(60, sweeps=3)
    others = {"heart", "lung", "skin"} - {hangs}
    assert {name for name in ("heart", "lung", "skin") if live(alone, name) == 1} == others


def test_where_lambda_takes_no_call_the_sweep_looks_after_all_itself(alone: Story) -> None:
    """After three refusals in a row it asks for no further call."""
    beside(alone, *OTHERS[:5])
    alone.lose_everything()
    alone.push("one")
    commit(alone, OTHERS[4], "one")

    def refuse(moment: When, call: Call) -> None:
        if moment == "before" and call.name == "lambda:Invoke":
            raise AwsError("TooManyRequestsException", "Rate exceeded")

    alone.faults.hook = refuse
    alone.sweep()
    alone.faults.counts.clear()
    alone.deliver()
    assert alone.faults.counts["lambda:Invoke"] == 3
    alone.pass_time(60, sweeps=3)
    assert (live(alone, "heart"), live(alone, OTHERS[4])) == (1, 1)


def test_an_index_that_cannot_be_kept_keeps_no_service_waiting(alone: Story) -> None:
    """The error is raised after all were looked after."""
    alone.lose_everything()
    alone.push("one")
    beside(alone, "lung")
    commit(alone, "lung", "one")

    def refuse(moment: When, call: Call) -> None:
        if moment == "before" and call.name == "dynamodb:BatchWriteItem" and "#index" in str(call.params):
            raise AwsError("ThrottlingException", "Rate exceeded")

    alone.faults.hook = refuse
    alone.pass_time(60, sweeps=3)
    assert (live(alone, "heart"), live(alone, "lung")) == (1, 1)
    assert "ThrottlingException" in str(alone.bus.letters)


def test_a_single_service_needs_no_call_of_its_own(alone: Story) -> None:
    """The most common controller costs what it did."""
    alone.faults.counts.clear()
    alone.pass_time(60)
    assert alone.faults.counts["lambda:Invoke"] == 0


def test_a_service_that_is_gone_when_its_call_begins_is_passed_over(alone: Story) -> None:
    """Its stack was deleted while the call waited in Lambda's queue."""
    answer = alone.bus.functions.call("SweepFunction", {"service": "lung"})
    assert (answer.payload, answer.error) == ([], "")
