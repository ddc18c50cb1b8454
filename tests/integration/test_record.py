"""The record: receipts that hold and name what was altered, decisions made again, other rules on what was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from console.cli.main import main
from console.local.rehearse import chaos
from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome
from console.read.remote import Controller
from console.read.session import Shell
from console.read.where import Where
from console.record.as_of import Rows
from console.record.decisions import Replayed, replay
from console.record.receipt import receipt
from console.record.receipt_values import Fault
from esteira.audit import checkpoint_hash, row_hash
from esteira.core.facts import AlarmRang, Rollout
from esteira.fact import from_row, stamp
from esteira.store.rows import packed, unpacked
from esteira.trail import Checkpoint, about_decisions
from tests.integration import conftest as moto
from tests.world.story import ACCESS_KEY_ID, Story, refusing, told

pytestmark = pytest.mark.integration

SICK = DeployOutcome(False, "GET /ping answered 500", log_tail="Traceback\nValueError: no model")
FAILED_BUILD = BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: Error while executing command: pytest. Reason: exit 1")
APPROVALS = {"votes": 1, "valid_hours": 24, "wait_hours": 48}


TWO_STAGES = ({"name": "staging", "bake_minutes": 10}, {"name": "production", "approvals": APPROVALS})


@pytest.fixture
def story() -> Iterator[Story]:
    """A story in memory that has not begun."""
    with Story() as story:
        yield from told(story)


@pytest.fixture
def two_stages() -> Iterator[Story]:
    """A story whose service has a stage before production, and approvals and a bake between them."""
    with Story(stages=TWO_STAGES) as story:
        yield from told(story)


@pytest.fixture(scope="module")
def whole() -> Iterator[Story]:
    """A whole story, to be read only."""
    with Story() as story:
        the_whole_story(story)
        yield from told(story)


@pytest.fixture
def on_moto(tmp_path: Path) -> Iterator[moto.Story]:
    """A story on moto and git, which can be asked for what became of everything."""
    with moto.Story(tmp_path) as story:
        yield from told(story)


def rows_of(story: Any) -> Rows:
    return Rows(story.context.aws.client("dynamodb"), story.context.settings.table)


def replayed(story: Any) -> dict[int, tuple[Replayed, ...]]:
    """Every decision of every release, made again."""
    rows, name = rows_of(story), story.service.name
    numbers = range(1, story.newest() + 2)
    told = {n: replay(rows, name, n, story.context.settings.lease) for n in numbers}
    assert all(len(told[n]) == len(story.store.facts(name, about_decisions(n))) for n in numbers)
    return told


def unlike(story: Any) -> list[str]:
    """What did not come out the same, seen hash and all."""
    return [
        f"v{n} {r.action} ({r.why}): {r.verdict}: {r.says}; {r.missing}"
        for n, row in replayed(story).items()
        for r in row
        if r.verdict != "same"
    ]


def the_whole_story(story: Any) -> None:
    """Pushes, a failed build, a sick release, a rejected push, a rollback, a hold, a retry, an image, an abort."""
    story.live("one", "two")
    story.push(leak=ACCESS_KEY_ID)
    story.play()
    story.change({"leak": None, "docs/a.md": "read me"})
    story.play()
    story.builds = FAILED_BUILD
    story.push("three")
    story.play()
    story.builds = BuildOutcome()
    story.deploys = SICK
    story.push("four")
    story.play()
    story.deploys = DeployOutcome()
    story.operate("retry", release=f"v{story.newest()}")
    story.play()
    story.operate("rollback", reason="it answers nonsense")
    story.play()
    story.operate("hold", reason="an exam", minutes=60)
    story.push("five")
    story.play()
    story.pass_time(3400, sweeps=1)
    story.operate("resume")
    story.play()
    story.push_image("from elsewhere", "v9.1")
    story.play()
    story.push("six")
    story.deliver()
    story.push("seven")
    story.deliver()
    story.operate("abort", release=f"v{story.newest()}")
    story.play()
    story.pass_time(7200, sweeps=2)


def test_every_decision_of_a_whole_story_is_made_again_the_same(whole: Story) -> None:
    """Whatever happened: the same action, for the same reason, at the same place, from the same grounds."""
    assert len(set(whole.phases)) >= 6
    assert unlike(whole) == []


def test_every_decision_on_two_stages_is_made_again_the_same(two_stages: Story) -> None:
    """Bake, votes, a bypass, a promotion: all that decided is on record."""
    story = two_stages
    story.push("one")
    story.play()
    story.pass_time(601)
    story.operate("approve", release="v1")
    story.play()
    story.push("two")
    story.play()
    story.operate("reject", release="v2", reason="its figures are strange")
    story.play()
    story.push("three")
    story.play()
    story.operate("bypass", release="v3", reason="the house burns")
    story.play()
    story.push("four")
    story.play()
    story.pass_time(49 * 3600)
    assert unlike(story) == []
    views = {v.number: v.phase for v in story.store.views(story.service.name, 10)}
    assert views[2] in ("rejected", "superseded")


@pytest.mark.slow
def test_the_decisions_of_a_chaos_run_are_made_again_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among functions that run at once, die and are refused: every decision follows from what its maker saw."""
    found: list[str] = []
    report = chaos._report

    def seeing(stage: Any, *rest: Any) -> Any:
        found.extend(unlike(stage))
        return report(stage, *rest)

    monkeypatch.setattr(chaos, "_report", seeing)
    told = chaos.run(25, chaos.Trouble(lose=0.25, duplicate=0.25, shuffle=True, crash=0.1, throttle=0.1), 7)
    assert told.crashes > 0
    assert found == []


def test_what_was_altered_or_taken_makes_a_decision_another(story: Story) -> None:
    """Grounds that are not what they were: the decision differs, or it is said what is missing."""
    story.live("one", "two")
    hand = Tamper(story, "v2")
    assert typed(story, "replay-decision", "v2").exit_code == 0
    build = next(row for row in hand.checkpoint(2) if row[1].startswith("build-ended#"))
    with hand.altered(*build, status={"S": "FAILED"}):
        differing = [r for r in replayed(story)[2] if r.verdict == "differs"]
        assert any("failed" in r.says for r in differing), differing
        result = typed(story, "replay-decision", "v2")
        assert result.exit_code == 1
        assert "made again, it is" in result.output
    with hand.without(*build):
        assert {" ".join(build)} == {name for r in replayed(story)[2] for name in r.missing}
    begun = next(row for row in hand.checkpoint(2) if row[1] == "begun")
    with hand.without(*begun):
        partly = [r for r in replayed(story)[2] if r.verdict == "partly"]
        assert partly
        assert all(r.says == "same decision; not everything it saw is on record" for r in partly)
        assert typed(story, "replay-decision", "v2").exit_code == 0
    decided = hand.client.query(
        TableName=hand.table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"{hand.name}#{about_decisions(2)}"}},
    )["Items"]
    row = next(item for item in decided if item["action"]["S"] == "StartBuild")
    with hand.altered(about_decisions(2), row["sk"]["S"], why={"S": "because"}):
        ((verdict, says),) = [(r.verdict, r.says) for r in replayed(story)[2] if not r.holds]
        assert (verdict, says) == ("differs", "made again, it is StartBuild of v2: v2 has no image yet")
    seen_key = f"seen#{row['seen']['S']}"
    with hand.altered("seen", seen_key, tip={"S": "f" * 40}):
        assert {r.says for r in replayed(story)[2] if not r.holds} == {
            f"what it was made from, {row['seen']['S']}, was altered in the table"
        }
    with hand.without("seen", seen_key):
        assert {r.verdict for r in replayed(story)[2] if not r.holds} == {"unknown"}
    configuration = f"configuration#{row['configuration']['S']}"
    with hand.altered("configurations", configuration, document={"S": "{}"}):
        assert {r.verdict for r in replayed(story)[2]} == {"unknown"}
    assert unlike(story) == []


def test_an_alarm_that_takes_a_release_back_is_made_again_and_tried(story: Story, tmp_path: Path) -> None:
    """The alarm's state is one of the grounds; without the rule, or with a shorter watch, it would have stayed."""
    group = story.service.last.group
    watched = {"name": "production", "group": group, "bake_minutes": 30, "alarms": ["errors"]}
    story.register(stages=[watched])
    story.live("one", "two")
    story.clock.advance(600)
    rang = AlarmRang(at=story.clock.now(), alarm="errors", since=story.clock.now(), reason="too many")
    story.store.record(story.service.name, rang)
    story.sweep()
    story.play()
    assert story.store.stage(story.service.name, "production").live == 1
    assert unlike(story) == []
    assert tried(story, tmp_path) == {}
    assert faults_of(story, 1) == ()
    shorter = tried(story, tmp_path, stages=[{"name": "production", "bake_minutes": 5}])
    assert shorter == {"v2": {"alarms": "no alarm would take it back from production; alarm errors did"}}


def test_an_alarm_nobody_listened_to_is_tried(story: Story, tmp_path: Path) -> None:
    """It is on record since another rule asked for it; with this one the release would have been taken back."""
    story.live("one", "two")
    since = story.clock.now() + timedelta(minutes=4)
    story.store.record(story.service.name, AlarmRang(at=since, alarm="errors", since=since))
    stages = [{"name": "production", "alarms": ["errors"], "bake_minutes": 10}]
    assert tried(story, tmp_path, stages=stages) == {
        "v2": {"alarms": "alarm errors went off on production 4 minutes after it came to life: it would be taken back"}
    }


# --- receipts -------------------------------------------------------------------------------------------------------


def typed(story: Any, *words: str) -> Result:
    """Type a command at the story's controller."""
    there = "http://127.0.0.1:9"  # the clients of the story are spoken to; nobody listens there
    shell = Shell(lambda _: Controller(Where("esteira", there), story.aws_client), story.clock.now)
    return CliRunner().invoke(main, [*words, "--endpoint", there], obj=shell)


def faults_of(story: Story, number: int) -> tuple[Fault, ...]:
    """What a release's receipt finds in the whole chain; AWS is not asked."""
    return receipt(
        rows_of(story), story.service, number, "production", whole=True, aws=None, now=story.clock.now()
    ).faults


def receipt_of(story: moto.Story, *words: str) -> dict[str, Any]:
    result = typed(story, "receipt", *words, "--json")
    assert result.exit_code in (0, 1), result.output
    told: dict[str, Any] = json.loads(result.stdout)
    assert told["holds"] == (result.exit_code == 0)
    return told


def test_a_receipt_tells_the_whole_chain_and_holds(on_moto: moto.Story) -> None:
    """Event, build, image, rollout, bundle, deployment, hosts, checkpoint; and AWS says the same of each."""
    story = on_moto
    story.live("one", "two")
    told = receipt_of(story, "v2")
    assert told["faults"] == []
    assert [link["what"] for link in told["links"]] == [
        "event", "build", "build", "image", "rollout", "bundle", "deployment", "deployment", "hosts",
    ]  # fmt: skip
    assert {a["what"]: a["verdict"] for a in told["evidence"]} == dict.fromkeys(
        ("commit", "build", "image", "bundle", "deployment", "hosts", "anchors"), "ok"
    )
    result = typed(story, "receipt", "v2")
    assert result.exit_code == 0, result.output
    assert told["sha256"] in result.output


def test_a_receipt_says_where_aws_says_something_else(on_moto: moto.Story) -> None:
    """A bundle that was exchanged, a build's tag that was moved; what may not be asked or is gone is no fault."""
    story = on_moto
    first, second = story.live("one", "two")
    s3, name = story.aws_client("s3"), "heart/v2/production-2.zip"
    bundle = s3.get_object(Bucket=story.service.bundles, Key=name)["Body"].read()
    s3.put_object(Bucket=story.service.bundles, Key=name, Body=b"another")
    assert verdicts(story, "v2") == {"bundle": "differs"}
    assert typed(story, "receipt", "v2").exit_code == 1
    s3.delete_object(Bucket=story.service.bundles, Key=name)
    assert verdicts(story, "v2") == {"bundle": "gone"}
    assert typed(story, "receipt", "v2").exit_code == 0
    s3.put_object(Bucket=story.service.bundles, Key=name, Body=bundle)
    tag, ecr = story.build_tag(), story.aws_client("ecr")
    story.context.aws.tag_image(story.service, story.made(first), tag)
    assert verdicts(story, "v2") == {"image": "differs"}
    ecr.batch_delete_image(repositoryName=story.service.images, imageIds=[{"imageTag": tag}])
    assert verdicts(story, "v2") == {}
    ecr.batch_delete_image(repositoryName=story.service.images, imageIds=[{"imageDigest": story.made(second)}])
    assert verdicts(story, "v2") == {"image": "gone"}
    for operation, what in {
        "codecommit:GetFolder": "commit",
        "codebuild:BatchGetBuilds": "build",
        "ecr:DescribeImages": "image",
        "s3:GetObject": "bundle",
        "codedeploy:GetDeployment": "deployment",
        "codedeploy:ListDeploymentTargets": "hosts",
    }.items():
        story.faults.hook = refusing(operation)
        assert verdicts(story, "v2")[what] == "untold", operation
    story.faults.hook = None


def verdicts(story: moto.Story, label: str) -> dict[str, str]:
    """What AWS says of a release's receipt where it is not ok."""
    told = receipt_of(story, label)
    assert told["faults"] == []
    return {a["what"]: a["verdict"] for a in told["evidence"] if a["verdict"] != "ok"}


def test_every_rollout_of_a_whole_story_has_a_receipt_without_a_fault(whole: Story) -> None:
    """A rollback, a failed deployment, an image from elsewhere: whatever had a rollout on production."""
    live = {f.release for f in whole.store.facts("heart", "stage/production") if isinstance(f, Rollout)}
    assert len(live) >= 4
    assert {number: faults_of(whole, number) for number in live} == dict.fromkeys(live, ())


@pytest.mark.slow
def test_every_rollout_of_a_whole_story_has_a_receipt_that_aws_confirms(on_moto: moto.Story) -> None:
    """A rollback, a failed deployment, an image from elsewhere: whatever had a rollout, and AWS says the same."""
    story = on_moto
    the_whole_story(story)
    checked = []
    for number in range(1, story.newest() + 1):
        result = typed(story, "receipt", f"v{number}", "--all", "--json")
        if result.exit_code == 2:
            assert "so it has no checkpoint" in result.stderr
            continue
        told = json.loads(result.stdout)
        assert result.exit_code == 0, told
        checked.append(told["rollout"])
        assert (told["checkpoints"]["first"], told["checkpoints"]["unseen"]) == (1, "")
    rollouts = story.rollouts() // 2
    assert rollouts in checked
    assert len(checked) >= 4


def test_what_has_no_receipt_is_refused(story: Story) -> None:
    """No such release, no such stage, no rollout that is over."""
    story.push("one")
    story.deliver()
    for words, says in [
        (("receipt", "v9"), "heart has no release v9"),
        (("receipt", "v1"), "v1 had no rollout on production that is over"),
        (("receipt", "v1", "--stage", "moon"), "heart has no stage 'moon'"),
        (("replay-decision", "v9"), "no decision about v9 is on record"),
    ]:
        result = typed(story, *words)
        assert result.exit_code == 2, words
        assert says in result.stderr
        assert "Next:" in result.stderr


def test_an_old_receipt_looks_at_a_bounded_part_of_the_chain(tamper: Tamper) -> None:
    """The newest fifty checkpoints and the fifty up to this one; all of them where that is asked for."""
    last = from_row(unpacked(tamper.row("checkpoints/production", "checkpoint#00000002")))
    assert isinstance(last, Checkpoint)
    made = []
    for number in range(3, 131):
        last = replace(last, rollout=number, release=99, before=last.sha256)
        last = replace(last, sha256=checkpoint_hash(last))
        tamper.story.store.record(tamper.name, last)
        made.append(last.key)
    assert tamper.faults() == []
    where = (rows_of(tamper.story), tamper.story.service, 1, "production")
    told = receipt(*where, whole=False, aws=None, now=tamper.story.clock.now())
    assert (told.rollout, told.checkpoints.unseen, told.checkpoints.newest, told.faults) == (
        1,
        "2 to 80",
        last.sha256,
        (),
    )
    assert receipt(*where, whole=True, aws=None, now=tamper.story.clock.now()).checkpoints.unseen == ""
    with tamper.without("checkpoints/production", "checkpoint#00000040"):
        assert tamper.faults() == []
        assert tamper.faults(whole=True) == [
            ("checkpoints/production", "the checkpoint of rollout 40 is missing: rollouts have no gap")
        ]
    for key in made:
        item = tamper.row("checkpoints/production", key)
        tamper.client.delete_item(TableName=tamper.table, Key={name: item[name] for name in ("pk", "sk")})


class Tamper:
    """Somebody with a hand in the table: each alteration is undone when it was looked at."""

    def __init__(self, story: Story, label: str) -> None:
        self.story, self.number = story, int(label[1:])
        self.table, self.name = story.context.settings.table, story.service.name
        self.client = story.aws_client("dynamodb")

    def faults(self, *, whole: bool = False) -> list[tuple[str, str]]:
        """What the receipt finds, as (row, what is wrong); nothing of AWS is asked."""
        told = receipt(
            rows_of(self.story),
            self.story.service,
            self.number,
            "production",
            whole=whole,
            aws=None,
            now=self.story.clock.now(),
        )
        return [(fault.row, fault.says) for fault in told.faults]

    def row(self, about: str, key: str) -> dict[str, Any]:
        where = {"pk": {"S": f"{self.name}#{about}"}, "sk": {"S": key}}
        item: dict[str, Any] = self.client.get_item(TableName=self.table, Key=where)["Item"]
        return item

    def checkpoint(self, rollout: int) -> list[tuple[str, str]]:
        """The partition and key of each row under the rollout's checkpoint."""
        rows = (
            row["S"].split(" ", 1)
            for row in self.row("checkpoints/production", f"checkpoint#{rollout:08d}")["rows"]["L"]
        )
        return [(about, rest.rpartition(" ")[0]) for about, rest in rows]

    @contextmanager
    def without(self, about: str, key: str) -> Iterator[None]:
        item = self.row(about, key)
        self.client.delete_item(TableName=self.table, Key={name: item[name] for name in ("pk", "sk")})
        yield
        self.client.put_item(TableName=self.table, Item=item)

    @contextmanager
    def altered(self, about: str, key: str, **fields: Any) -> Iterator[None]:
        item = self.row(about, key)
        self.client.put_item(TableName=self.table, Item={**item, **fields})
        yield
        self.client.put_item(TableName=self.table, Item=item)


def another(value: dict[str, Any]) -> dict[str, Any]:
    """Another value of the kind that a row's field has."""
    match value:
        case {"NULL": True}:
            return {"S": "2026-01-01T00:00:00.000000Z"}
        case {"S": text}:
            return {"S": text[:-2] + "9Z" if text.endswith("Z") and not text.endswith("9Z") else f"x{text}"}
        case {"N": number}:
            return {"N": str(int(number) + 1)}
        case {"BOOL": yes}:
            return {"BOOL": not yes}
        case {"L": items}:
            return {"L": [*items, {"N": "7"} if items and "N" in items[0] else {"S": "more"}]}
    raise AssertionError(value)


@pytest.fixture(scope="module")
def tamper() -> Iterator[Tamper]:
    """A hand in the table of a story with two rollouts, that of v2 the one to be looked at."""
    with Story() as story:
        story.live("one", "two")
        yield Tamper(story, "v2")


@pytest.mark.slow
def test_every_field_of_every_checkpointed_row_counts(tamper: Tamper) -> None:
    """Whichever is altered, the receipt names that row and no other, and the field among those it may be."""
    rows, kinds = tamper.checkpoint(2), set()
    for about, key in rows:
        item = tamper.row(about, key)
        kinds.add(item["fact"]["S"])
        for name in item.keys() - {"pk", "sk", "token"}:  # the token is the put's and no part of the fact
            with tamper.altered(about, key, **{name: another(item[name])}):
                ((row, says),) = tamper.faults()
            assert row == f"{about} {key}", name
            assert name in says or name == "fact" or "is no fact any more" in says, (row, name, says)
    assert kinds >= {
        "pushed", "claimed", "build-started", "build-ended", "accepted", "rollout", "bundled", "deployment-started",
        "deployment-reported", "diagnosed",
    }  # fmt: skip
    assert tamper.faults() == []


def test_every_checkpointed_row_that_is_gone_is_named(tamper: Tamper) -> None:
    """It is missing, and nothing else is said."""
    for about, key in tamper.checkpoint(2):
        with tamper.without(about, key):
            assert tamper.faults() == [(f"{about} {key}", "it is missing")]


def test_an_altered_checkpoint_is_named(tamper: Tamper) -> None:
    """A checkpoint is the hash of its row, whatever in it is altered."""
    item = tamper.row("checkpoints/production", "checkpoint#00000001")
    for name in item.keys() - {"pk", "sk", "token", "fact", "stage", "rollout"}:
        with tamper.altered("checkpoints/production", "checkpoint#00000001", **{name: another(item[name])}):
            says = [says for _, says in tamper.faults()]
        assert "the checkpoint of rollout 1 is not the hash of its row: the row was altered" in says, name
    for name in ("stage", "rollout", "fact"):
        with tamper.altered("checkpoints/production", "checkpoint#00000001", **{name: another(item[name])}):
            assert (
                "checkpoints/production checkpoint#00000001",
                "it is no checkpoint of that rollout any more",
            ) in tamper.faults()


def test_a_checkpoint_that_was_made_anew_breaks_the_chain(tamper: Tamper) -> None:
    """Who alters a row and checkpoints it again is told by the next checkpoint."""
    about, key = next(row for row in tamper.checkpoint(1) if row[1].startswith("accepted#"))
    old = from_row(unpacked(tamper.row("checkpoints/production", "checkpoint#00000001")))
    assert isinstance(old, Checkpoint)
    with tamper.altered(about, key, digest={"S": "sha256:" + "0" * 64}):
        forged = row_hash(from_row(unpacked(tamper.row(about, key))))
        rows = tuple(f"{about} {key} {forged}" if r.startswith(f"{about} {key} ") else r for r in old.rows)
        new = replace(old, rows=rows)
        new = replace(new, sha256=checkpoint_hash(new))
        made = packed({"rows": rows, "sha256": new.sha256})
        with tamper.altered("checkpoints/production", "checkpoint#00000001", **made):
            (row, says), (decided_from, _) = tamper.faults()
    assert decided_from == f"{about} {key}"  # v2's decisions were made from it, and say so by its hash
    assert row == "checkpoints/production"
    assert says.startswith("the checkpoint of rollout 2 does not follow from the one of 1")


def test_a_row_of_a_kind_that_is_not_known_is_covered_and_passed_over(story: Story) -> None:
    """A newer version wrote it: the receipt holds, every decision is made again, and an alteration is named."""
    story.live("one")
    story.push("two")
    story.deliver()
    row = {"fact": "weighed", "at": stamp(story.clock.now()), "release": 2, "grams": 7, "token": "of-the-put"}
    place = {"pk": f"{story.service.name}#release/00000002", "sk": "weighed#0001"}
    story.client("dynamodb").put_item(TableName=story.context.settings.table, Item=packed({**place, **row}))
    story.play()
    hand = Tamper(story, "v2")
    assert ("release/00000002", "weighed#0001") in hand.checkpoint(2)
    assert hand.faults() == []
    assert unlike(story) == []
    assert "another version of esteira recorded weighed#0001" in typed(story, "show", "v2", "--all").stdout
    with hand.altered("release/00000002", "weighed#0001", token={"S": "another"}):
        assert hand.faults() == []
    with hand.altered("release/00000002", "weighed#0001", grams={"N": "8"}):
        ((name, _),) = hand.faults()
    assert name == "release/00000002 weighed#0001"


def test_a_checkpoint_that_is_gone_is_missed(tamper: Tamper) -> None:
    """In the chain, at its beginning, or the newest."""
    with tamper.without("checkpoints/production", "checkpoint#00000001"):
        assert [says for _, says in tamper.faults()] == [
            "the checkpoint of rollout 1 is missing: that of rollout 2 follows from it"
        ]
    with tamper.without("checkpoints/production", "checkpoint#00000002"):
        assert ("checkpoints/production", "rollout 2 is finished and its checkpoint is missing") in tamper.faults()


def test_a_rollout_that_is_called_finished_otherwise_than_it_ended_is_named(tamper: Tamper) -> None:
    """That row comes after the checkpoint; what CodeDeploy said is under it."""
    with tamper.altered("stage/production", "rollout#00000002#finished", succeeded={"BOOL": False}):
        ((row, says),) = tamper.faults()
    assert row == "stage/production rollout#00000002#finished"
    assert says == "it says that the rollout failed; the checkpointed rows say it succeeded"


# --- under other rules ----------------------------------------------------------------------------------------------


def tried(story: Story, tmp_path: Path, **given: Any) -> dict[str, dict[str, str]]:
    """What a registration would have changed: by release, then by rule, why."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps(given))
    result = typed(story, "backtest", str(config), "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["unknown"] == {}
    assert told["same"] + len(told["otherwise"]) == told["looked_at"] == story.newest()
    return {line["release"]: {c["rule"]: c["why"] for c in line["changes"]} for line in told["otherwise"]}


def test_the_registration_of_then_would_have_changed_nothing(whole: Story, tmp_path: Path) -> None:
    """A whole story under its own rules: every release goes as it went."""
    assert tried(whole, tmp_path) == {}
    assert tried(whole, tmp_path, **json.loads(whole.service.model_dump_json())) == {}


def test_gates_are_held_against_what_was_exported_and_what_was_live(story: Story, tmp_path: Path) -> None:
    """A floor and a drop: who would be refused, and by which sentence."""
    for figure in ("0.91", "0.90", "0.80"):
        story.builds = BuildOutcome(exported={"ROC_AUC": figure})
        story.live(figure)
    refused = tried(story, tmp_path, gates={"roc_auc": {"min": 0.85, "max_drop": 0.05}})
    assert refused == {
        "v3": {
            "gates": "it would be rejected: roc_auc is 0.80, below 0.85; "
            "roc_auc is 0.80, more than 0.05 below the live 0.9"
        }
    }
    assert tried(story, tmp_path, gates={"roc_auc": {"min": 0.85}}, gates_dry_run=True) == {}


def test_what_was_refused_and_would_pass_is_told(story: Story, tmp_path: Path) -> None:
    """Without the gate, or with a lower one."""
    story.register(gates={"roc_auc": {"min": 0.95}})
    story.builds = BuildOutcome(exported={"ROC_AUC": "0.9"})
    story.live("one")
    assert story.phases == ["rejected"]
    assert tried(story, tmp_path) == {}
    lifted = {"v1": {"gates": "it would pass; then it was refused: roc_auc is 0.9, below 0.95"}}
    assert tried(story, tmp_path, gates={"roc_auc": {"min": 0.9}}) == lifted
    assert tried(story, tmp_path, gates=None) == lifted


def test_windows_approvals_and_bake_are_asked_at_the_moment_of_the_rollout(two_stages: Story, tmp_path: Path) -> None:
    """What would have been in its way when its rollout began, and what was and would not have been."""
    story = two_stages
    story.push("one")
    story.play()
    story.pass_time(601)
    story.operate("approve", release="v1")
    story.play()
    assert story.store.stage(story.service.name, "production").live == 1
    assert tried(story, tmp_path) == {}
    closed = {"kind": "deny", "cron": "0 0 1 1 *", "minutes": 1440, "reason": "new year"}
    found = tried(story, tmp_path, stages=[{"name": "production", "windows": [closed]}])
    assert found["v1"]["window"].startswith(
        "its rollout on production would wait: no deployment may begin on production until"
    )
    assert set(found["v1"]) == {"window"}
    more = tried(story, tmp_path, stages=[{"name": "production", "approvals": {"votes": 2}}])
    assert more == {
        "v1": {"approval": "its rollout on production would wait: production needs 1 more approval; approved by ana"}
    }
    longer = tried(story, tmp_path, stages=[{"name": "staging", "bake_minutes": 60}])
    assert set(longer["v1"]) == {"bake"}
    none = tried(
        story, tmp_path, stages=[{"name": "staging", "bake_minutes": 0}, {"name": "production", "approvals": None}]
    )
    assert none["v1"]["bake"].startswith("it would not wait for production; then it did:")


def test_paths_tags_and_deadlines(story: Story, tmp_path: Path) -> None:
    """What is ignored, what a path is, which tags are accepted, how long a build may take."""
    story.live("one")
    story.change({"docs/a.md": "read me"})
    story.play()
    story.change({"train.py": "fit()"})
    story.deliver()
    story.wait(12)
    story.play()
    story.push_image("from elsewhere", "v9.1")
    story.play()
    assert story.phases == ["superseded", "skipped", "superseded", "live"]
    assert tried(story, tmp_path) == {}
    assert tried(story, tmp_path, ignored_paths=[])["v2"] == {
        "ignored_paths": "docs/a.md counts: it would not be skipped"
    }
    assert tried(story, tmp_path, ignored_paths=["docs/**", "*.py"])["v3"] == {
        "ignored_paths": "only ignored paths changed: it would be skipped"
    }
    assert "model" in tried(story, tmp_path, path_classes={"model": []})["v3"]["path_classes"]
    assert set(tried(story, tmp_path, accepted_tags=["release-*"])["v4"]) == {"accepted_tags"}
    slow = tried(story, tmp_path, deadlines={"build_minutes": 10})
    assert slow == {"v3": {"build_minutes": "its build took 12 minutes: past the deadline of 10 minutes"}}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"gates": {"roc_auc": {"mim": 1}}}', "gates.roc_auc.mim"),
        ('{"deadlines": {"build_minutes": 0}}', "deadlines.build_minutes"),
        ('{"stages": [{"name": "canary"}]}', "stages.1.group"),
        ('{"name": "lungs"}', "name"),
        ("[]", "one JSON object"),
        ("{", "is not JSON"),
    ],
)
def test_a_registration_that_cannot_be_is_refused_by_its_field(
    whole: Story, tmp_path: Path, text: str, named: str
) -> None:
    """Refused with status 2 and a sentence; nothing is tried."""
    config = tmp_path / "config.json"
    config.write_text(text)
    result = typed(whole, "backtest", str(config))
    assert result.exit_code == 2
    assert named in result.stderr
    assert "Next:" in result.stderr


def test_what_was_deployed_again_is_in_the_record(story: Story) -> None:
    """The decision comes out the same when it is made again, and the receipt of the new rollout holds."""
    story.live("one")
    story.operate("redeploy", reason="a new TOKEN")
    story.play()
    assert unlike(story) == []
    where = (rows_of(story), story.service, 1, "production")
    told = receipt(*where, whole=True, aws=None, now=story.clock.now())
    assert (told.rollout, told.faults) == (2, ())
    assert [link.says.split(" of ")[0] for link in told.links if link.what == "rollout"] == ["rollout 2, redeploy"]
