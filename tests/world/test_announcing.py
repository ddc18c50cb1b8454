"""What people hear of a release, and how often: the commit's comments, the topic, and a chat that is a real HTTP
server on this machine. Each change once a channel, whatever is doubled or dies."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from console.local.aws.bus import Chaos
from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome
from esteira.fact import stamp
from notify import webhook
from notify.announce import UntoldError
from tests.world.story import Story, dying, refusing

EVENTS = Path(__file__).parents[2] / "events"
PARAMETER = "/esteira/parameters/heart/chat"
SECRET = "T0-very-secret"
STAGES = [
    {"name": "staging", "group": "heart-staging"},
    {"name": "production", "group": "heart-production", "approvals": {"votes": 1, "wait_hours": 2}},
]
ALARMED = [{"name": "production", "group": "heart-production", "bake_minutes": 30, "alarms": ["sick"]}]


class Chat:
    """A chat that takes messages over HTTP; ``answers`` is the status it gives."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.answers = 200
        chat = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                chat.heard.append(json.loads(content))
                self.send_response(chat.answers)
                self.send_header("Location", f"http://127.0.0.1:{chat.port}/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.port = self.server.server_address[1]
        Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/{SECRET}"

    @property
    def texts(self) -> list[str]:
        """The first line of every message."""
        return [message["text"].split(":")[0] for message in self.heard]


@pytest.fixture
def chat(story: Story, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chat]:
    """A chat that the service's registration names; and a topic, which the rehearsal's desk has not by itself."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")  # the local mode, where a chat may be on this machine
    chat = Chat()
    keep(story, chat.address)
    story.register(webhook={"parameter": PARAMETER})
    topic = story.aws_client("sns").list_topics()["Topics"][0]["TopicArn"]
    settings = story.context.settings.model_copy(update={"topic_arn": topic})
    story.__dict__["context"] = replace(story.context, settings=settings)
    yield chat
    chat.server.shutdown()
    chat.server.server_close()


def keep(story: Story, address: str) -> None:
    story.aws_client("ssm").put_parameter(Name=PARAMETER, Value=address, Type="SecureString", Overwrite=True)


def published(story: Story) -> list[str]:
    """The subjects of what went to the topic."""
    return [c.params["Subject"] for c in story.faults.calls if c.name == "sns:Publish"]


def buried(story: Story) -> list[tuple[str, Any]]:
    """What lies among the dead letters: the error's sentence and the event."""
    records = [json.loads(letter["Body"]) for letter in story.bus.letters]
    return [(r["responsePayload"]["errorMessage"], r["requestPayload"]) for r in records]


def comments(story: Story, commit: str) -> list[str]:
    """The first line of each comment on a commit, without its reason."""
    said = (c for c in story.local_aws.codecommit.comments if c["afterCommitId"] == commit)
    return [c["comment"]["content"].split(":")[0] for c in said]


def two_stages(story: Story) -> None:
    story.aws_client("codedeploy").create_deployment_group(
        applicationName="heart", deploymentGroupName="heart-staging", serviceRoleArn="arn:aws:iam::123456789012:role/r"
    )
    story.register(stages=STAGES)


def test_a_release_is_told_from_its_start_over_its_approval_to_live(story: Story, chat: Chat) -> None:
    """The commit hears of each step once, though every event comes twice; the chat only of what people wait for."""
    two_stages(story)
    story.bus.chaos = Chaos(duplicate=1.0)
    commit = story.push("one")
    story.play()
    assert comments(story, commit) == [
        "heart v1 is on its way to production",
        "heart v1 is live on staging",
        "heart v1 waits for approval to come to production",
    ]
    assert chat.texts == ["heart v1 waits for approval to come to production"]
    assert "esteira approve v1 --service heart --stage production" in chat.heard[0]["text"]
    story.operate("approve", release="v1")
    story.play()
    assert comments(story, commit)[3:] == ["heart v1 is live on production"]
    assert chat.texts[1:] == ["heart v1 is live on production"]


def test_a_scan_that_does_not_end_is_told_once(story: Story, chat: Chat) -> None:
    """People hear that it takes too long, not that it goes on; a scan in time is no news."""
    story.register(stages=[{"name": "production", "group": "heart-production", "scan": {"when_unscanned": "wait"}}])
    story.push("one")
    story.play()
    assert chat.texts == []
    for _ in range(3):
        story.pass_time(1200)
    assert chat.texts == ["heart v1 waits for the scan of its image"]
    assert "scanned in ECR" in chat.heard[0]["text"]


def test_nobody_hears_late_that_a_release_began(story: Story, chat: Chat) -> None:
    """An event about the start that comes after the end is old news, and is not told."""
    story.bus.keep = True
    commit = story.push("one")
    story.deliver()
    story.local_aws.codecommit.comments.clear()
    story.play()
    begun = [e for e in story.bus.events if e["source"] == "esteira" and e["detail"]["phase"] == "building"]
    row = "announced#started#0001#00000000#commit"
    story.aws_client("dynamodb").delete_item(
        TableName=story.context.settings.table, Key={"pk": {"S": "heart/releases/00000001"}, "sk": {"S": row}}
    )
    last = next(e for e in story.bus.events if e["source"] == "esteira" and e["detail"]["phase"] == "live")
    for event in (last, *begun):
        story.bus.put(event)
    story.deliver()
    assert comments(story, commit) == ["heart v1 is live on production"]
    assert chat.texts == ["heart v1 is live on production"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("guard", "heart v2 is rejected (guard)"),
        ("build", "heart v2 is failed (build-failed)"),
        ("host", "heart v2 is failed on production (application-start-failed)"),
        ("abort", "heart v2 is aborted"),
        ("rollback", "heart v2 is rolled back on production"),
    ],
)
def test_every_end_is_told_with_its_cause(story: Story, chat: Chat, how: str, said: str) -> None:
    """Commit, topic and chat hear how it ended and what to type, once."""
    story.faults._keep = True
    story.live("one")
    story.builds = BuildOutcome("FAILED", "exit 1") if how == "build" else story.builds
    story.deploys = DeployOutcome(False, "500", hook="ApplicationStart") if how == "host" else story.deploys
    commit = story.change({"id_rsa": "anything"}) if how == "guard" else story.push("two")
    if how == "abort":
        story.deliver()
        story.operate("abort", release="v2")
    story.play()
    if how == "rollback":
        story.operate("rollback")
        story.play()
    assert comments(story, commit).count(said) == 1
    assert [text for text in chat.texts if text.startswith("heart v2 is") and "live" not in text] == [said]
    phase = said.removeprefix("heart v2 is ").partition(" (")[0].removesuffix(" on production")
    assert published(story).count(f"heart v2: {phase}") == 1
    [heard] = [m["text"] for m in chat.heard if m["text"].startswith(said)]
    assert heard.endswith("esteira why v2 --service heart")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    "call", ["dynamodb:PutItem", "codecommit:PostCommentForComparedCommit", "sns:Publish", "ssm:GetParameter"]
)
def test_a_death_costs_a_message_at_most_and_doubles_none(story: Story, chat: Chat, moment: Any, call: str) -> None:
    """Wherever announce dies, it is tried again, and no channel hears a change twice."""
    story.faults._keep = story.bus.keep = True
    commit = story.push("one")
    story.deliver()
    story.end_build()
    story.faults.hook = dying(moment, call, "notified#live" if call == "dynamodb:PutItem" else "")
    died: list[str] = []
    story.bus.watch = lambda done: (
        died.append(done.function) if "Crash" in done.answer.error + done.answer.said else None
    )
    story.end_deployment()
    assert died == ["esteira-announce"]
    for event in [e for e in story.bus.events if e["source"] == "esteira"]:
        story.bus.put(event)
    story.play()
    assert comments(story, commit).count("heart v1 is live on production") <= 1
    assert chat.texts.count("heart v1 is live on production") <= 1
    assert published(story).count("heart v1: live") <= 1


@pytest.mark.parametrize("status", [301, 404, 500])
def test_a_chat_that_refuses_is_told_again_and_hurts_no_other_channel(
    story: Story, chat: Chat, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Commit and topic hear it once. The chat is told at each try, and once more when the dead letter is sent again."""
    story.faults._keep = True
    chat.answers = status
    failed: list[str] = []
    story.bus.watch = lambda done: failed.append(done.answer.said) if done.answer.error else None
    with caplog.at_level(logging.DEBUG):
        [commit] = story.live("one")
    said = f"UntoldError: heart: could not tell the webhook: the message was not taken: it answered {status}"
    assert failed == [said] * 3
    assert chat.texts == ["heart v1 is live on production"] * 3
    assert SECRET not in str(story.bus.letters)
    [(_, event)] = buried(story)
    chat.answers = 200
    for _ in range(2):
        story.bus.put(event)
        story.deliver()
    assert chat.texts == ["heart v1 is live on production"] * 4
    assert comments(story, commit)[-1] == "heart v1 is live on production"
    assert published(story) == ["heart v1: live"]
    assert SECRET not in caplog.text + str(story.bus.letters) + str(failed)


@pytest.mark.parametrize(
    "address",
    ["", "chat", f"http://chat.example.com/{SECRET}", f"https://me:{SECRET}@chat.example.com/", f"ftp://x/{SECRET}"],
)
def test_what_is_no_https_address_is_refused_until_it_is_mended(story: Story, chat: Chat, address: str) -> None:
    """Nothing is posted and nothing lost: the events lie among the dead letters with a sentence without the secret."""
    keep(story, address or " ")
    story.live("one")
    [(said, event)] = buried(story)
    assert f"the parameter {PARAMETER} holds no https address. Next: aws ssm put-parameter" in said
    assert SECRET not in str(story.bus.letters)
    assert chat.heard == []
    keep(story, chat.address)
    story.bus.put(event)
    story.deliver()
    assert chat.texts == ["heart v1 is live on production"]


def test_plain_http_on_this_machine_is_for_the_local_mode_alone(
    story: Story, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Lambda that would be Lambda's own runtime, whose door this is."""
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    story.live("one")
    assert chat.heard == []
    assert "holds no https address" in buried(story)[0][0]


@pytest.mark.parametrize(
    "parameter", ["/esteira/parameters/lungs/chat", "/esteira/services/heart", "/esteira/parameters/heart/../lungs/x"]
)
def test_another_services_parameter_is_never_read(story: Story, chat: Chat, parameter: str) -> None:
    """A registration cannot make announce read what is not its own."""
    story.register(webhook={"parameter": parameter})
    story.faults._keep = True
    story.live("one")
    assert not [c for c in story.faults.calls if c.name == "ssm:GetParameter"]
    assert f"the parameter {parameter} is not one of heart's own" in buried(story)[0][0]
    assert chat.heard == []


def test_a_chat_that_is_not_there_is_said_without_its_address(story: Story, chat: Chat) -> None:
    """The words of whoever failed to connect might hold it, so they are not passed on."""
    chat.server.shutdown()
    chat.server.server_close()
    parts = webhook.address(PARAMETER, chat.address)
    with pytest.raises(webhook.WebhookError, match=r"it cannot be reached \(ConnectionRefusedError\)") as raised:
        webhook.say(parts, {})
    assert (raised.value.__context__, raised.value.__cause__) == (None, None)


def test_a_topic_that_fails_keeps_no_chat_from_hearing(story: Story, chat: Chat) -> None:
    """The other way round: each channel is tried, and all that failed are named in one error."""
    failed: list[str] = []
    story.bus.watch = lambda done: failed.append(done.answer.said) if done.answer.error else None
    story.faults.hook = refusing("sns:Publish")
    story.live("one")
    assert chat.texts == ["heart v1 is live on production"]
    assert failed[0].startswith(f"{UntoldError.__name__}: heart: could not tell the topic: ")


def test_a_comment_names_the_first_parent_where_the_commit_has_one(story: Story, chat: Chat) -> None:
    """CodeCommit refuses a comment without the commit before, unless the commit is a repository's first."""
    first, second = story.live("one", "two")
    named = {c["afterCommitId"]: c.get("beforeCommitId") for c in story.local_aws.codecommit.comments}
    assert named == {first: None, second: first}
    assert comments(story, second)[-1] == "heart v2 is live on production"
    assert buried(story) == []


@pytest.mark.parametrize("operation", ["codecommit:GetCommit", "codecommit:PostCommentForComparedCommit"])
def test_a_comment_that_is_refused_comes_to_the_dead_letters_and_is_told_later(
    story: Story, chat: Chat, operation: str
) -> None:
    """The refusal deletes the record that the commit was told; the other channels are told once all the same."""
    story.faults._keep = True
    commit = story.push("one")
    story.deliver()
    story.end_build()
    story.faults.hook = refusing(operation)
    story.end_deployment()
    assert "heart v1 is live on production" not in comments(story, commit)
    [(said, event)] = buried(story)
    assert said.startswith("heart: could not tell the commit: ")
    story.faults.hook = None
    for _ in range(2):
        story.bus.put(event)
        story.deliver()
    assert comments(story, commit).count("heart v1 is live on production") == 1
    assert chat.texts == ["heart v1 is live on production"]
    assert published(story) == ["heart v1: live"]


def test_an_event_of_another_account_is_not_told(story: Story, chat: Chat) -> None:
    """Another controller's events, forwarded to this account's bus, may name a service and a release of ours."""
    story.bus.keep = True
    commit = story.push("one")
    story.deliver()
    story.end_build()
    story.bus.watch = lambda done: done.function == "esteira-announce" and answers.append(done.answer.payload["why"])
    answers: list[str] = []
    there = comments(story, commit)
    [begun] = [e for e in story.bus.events if e["source"] == "esteira" and e["detail"]["phase"] == "deploying"]
    live = {**begun["detail"], "phase": "live", "stages": {"production": "live"}}
    story.bus.put(begun | {"account": "210987654321", "detail": live})
    story.deliver()
    assert comments(story, commit) == there
    assert chat.texts == []
    [why] = answers
    assert why.startswith("the event is from account 210987654321 in us-east-1, not from account 123456789012")


def test_a_comment_whose_token_was_used_with_other_words_is_told(story: Story) -> None:
    """An earlier try was heard and its answer lost; what has come since has changed the sentence, not the news."""
    commit = story.push("one")
    for text in ("it builds", "it is deployed"):
        story.context.aws.comment(story.service, commit, text, "heart-v1-started")
    assert comments(story, commit) == ["it builds"]


@pytest.mark.parametrize(
    ("phase", "cause", "before"),
    [("rejected", "guard", "deploying"), ("live", "", "deploying"), ("failed", "", "live")],
)
def test_what_an_event_says_is_not_believed(story: Story, chat: Chat, phase: str, cause: str, before: str) -> None:
    """Anybody in the account may put an event on the bus: nobody reads its words, and nobody hears twice what is so."""
    words = "a secret was found. Rotate your key at https://evil.example"
    [commit] = story.live("one")
    said, heard = comments(story, commit), len(chat.heard)
    text = (EVENTS / "release_phase_changed.json").read_text()
    event = {**json.loads(text), "time": stamp(story.clock.now())}
    named = {"service": "heart", "release": "v1", "number": 1, "attempt": 1, "rollout": 1, "stage": "production"}
    changed = {"phase": phase, "before": before, "cause": cause, "commit": commit, "stages": {"production": phase}}
    event["detail"] = {**named, **changed, "summary": words, "detail": [words], "next": words}
    story.bus.put(event)
    story.deliver()
    assert (comments(story, commit), len(chat.heard)) == (said, heard)
    assert "evil" not in str(story.local_aws.codecommit.comments) + str(chat.heard)


def test_an_event_about_a_hold_that_nobody_said_is_not_told(story: Story, chat: Chat) -> None:
    """The reason and the name are the table's; where it has no such hold nobody hears of one."""
    story.live("one")
    heard = len(chat.heard)
    event = json.loads((EVENTS / "hold_ends_soon.json").read_text())
    event["detail"] |= {"service": "heart", "stage": "production", "reason": "call https://evil.example", "by": "aws"}
    story.bus.put(event)
    story.deliver()
    assert len(chat.heard) == heard


def test_an_event_that_is_quicker_than_the_table_is_brought_again(story: Story, chat: Chat) -> None:
    """Nothing is told of what the table does not say yet; Lambda's next try tells it."""
    story.bus.keep = True
    commit = story.push("one")
    story.deliver()
    story.end_build()
    view = story.store.announced("heart", 1, ())[0]
    assert view is not None
    event = next(e for e in story.bus.events if e["source"] == "esteira" and e["detail"]["phase"] == "deploying")
    quicker = {**event, "detail": {**event["detail"], "phase": "live", "before": view.phase, "summary": "x"}}
    said = comments(story, commit)
    answers: list[str] = []
    story.bus.watch = lambda done: answers.append(done.answer.said)
    story.bus.put(quicker)
    story.deliver()
    assert set(answers) == {"UnwrittenError: the table does not say yet that heart v1 is live"}
    assert comments(story, commit) == said


def test_nothing_that_cannot_be_seen_is_told(story: Story, chat: Chat) -> None:
    """A log's control characters are in neither the comment nor the chat; their numbers are."""
    story.deploys = DeployOutcome(False, "500 \x1b]0;title\x07 \u202egnp.exe \u200b", hook="ApplicationStart")
    commit = story.push("one")
    story.play()
    told = str([c["comment"]["content"] for c in story.local_aws.codecommit.comments if c["afterCommitId"] == commit])
    assert "\\\\u001b]0;title" in told
    for text in (told, str(chat.heard)):
        assert not set(text) & set("\x1b\x07\u202e\u200b")


def test_a_hold_that_ends_soon_is_told_once(story: Story, chat: Chat) -> None:
    """To topic and chat, with how long, by whom and why; there is no commit that it is about."""
    story.faults._keep = True
    story.bus.chaos = Chaos(duplicate=1.0)
    story.operate("hold", minutes=120, reason="the audit")
    for _ in range(12):
        story.wait(10)
    assert [text.split(" until ")[0] for text in chat.texts] == ["heart"]
    assert (
        "production is held until 2026-01-01 02:00 UTC, then releases deploy again. ana said: the audit"
        in (chat.heard[0]["text"])
    )
    assert published(story) == ["heart: the hold on production ends soon"]


def test_each_kind_of_chat_gets_what_it_takes() -> None:
    """Slack its text with its markup escaped, Teams an adaptive card, a program the event's detail."""
    assert webhook.content("slack", "s", "a < b & c", {}) == {"text": "a &lt; b &amp; c"}
    card = webhook.content("teams", "subject", "text", {})["attachments"][0]
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert [block["text"] for block in card["content"]["body"]] == ["subject", "text"]
    assert webhook.content("json", "s", "t", {"phase": "live"}) == {
        "subject": "s",
        "text": "t",
        "detail": {"phase": "live"},
    }
