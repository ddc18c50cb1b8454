"""What the table alone cannot show: a record whose end was cut off, and a chain of checkpoints made anew. CodeDeploy's
descriptions and the comments on commits keep each checkpoint's hash."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Self

import pytest

from console.record.as_of import Rows
from console.record.receipt import receipt
from esteira.audit import checkpoint_hash
from esteira.core.facts import ImageTaken, about_release, about_stage
from esteira.fact import Fact
from esteira.store.rows import packed, row_of
from esteira.trail import Checkpoint
from tests.integration import conftest as moto
from tests.world.story import Story

CHAIN = "checkpoints/production"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[moto.Story]:
    """Three releases, one after the other, on moto."""
    with moto.Story(tmp_path_factory.mktemp("anchors")) as story:
        story.live("one", "two", "three")
        yield story


class Table:
    """The table, in the hand of somebody who may write it; as it was before when the block is over."""

    def __init__(self, story: Any) -> None:
        self.client, self.name, self.service = (
            story.aws_client("dynamodb"),
            story.context.settings.table,
            story.service.name,
        )
        self.items: list[dict[str, Any]] = self.client.scan(TableName=self.name)["Items"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for item in self.client.scan(TableName=self.name)["Items"]:
            self.client.delete_item(TableName=self.name, Key={key: item[key] for key in ("pk", "sk")})
        for item in self.items:
            self.client.put_item(TableName=self.name, Item=item)

    def put(self, fact: Fact) -> None:
        self.client.put_item(TableName=self.name, Item=packed(row_of(self.service, fact)))

    def cut(self, about: str, key: str = "") -> None:
        """Take out a partition's rows that begin with ``key``."""
        for item in self.items:
            if item["pk"]["S"] == f"{self.service}#{about}" and item["sk"]["S"].startswith(key):
                self.client.delete_item(TableName=self.name, Key={key: item[key] for key in ("pk", "sk")})


def told(story: Any, number: int, *, asked: bool = True) -> tuple[list[str], str]:
    """The receipt's faults in the table alone, and what the anchors say where they do not agree."""
    rows = Rows(story.context.aws.client("dynamodb"), story.context.settings.table)
    aws = story.context.aws if asked else None
    found = receipt(rows, story.service, number, "production", whole=True, aws=aws, now=story.clock.now())
    anchors = [e.says for e in found.evidence if e.what == "anchors" and e.verdict == "differs"]
    return [f"{fault.row}: {fault.says}" for fault in found.faults], "; ".join(anchors)


def test_an_untouched_record_is_what_its_anchors_keep(story: moto.Story) -> None:
    """Both kinds of anchors are there."""
    assert [told(story, number) for number in (1, 2, 3)] == [([], "")] * 3


def test_a_tail_that_was_cut_off_is_named_by_codedeploy(story: moto.Story) -> None:
    """All rows of the third rollout are gone, and of its release. What is left holds together; its deployment stays."""
    with Table(story) as table:
        table.cut(CHAIN, "checkpoint#00000003")
        table.cut(about_stage("production"), "rollout#00000003")
        for about in (about_release(3), "decisions/00000003"):
            table.cut(about)
        table.cut("releases", "release#00000003")
        table.cut(about_release(2), "replaced#")
        faults, anchors = told(story, 2)
    assert not [fault for fault in faults if fault.startswith(CHAIN)], "the chain alone does not show it"
    assert "is of rollout 3, which is not on record any more" in anchors


def test_a_chain_made_anew_is_named_by_codedeploy_and_the_comments(story: moto.Story) -> None:
    """Every checkpoint is made anew over altered times, and follows from the one before."""
    with Table(story) as table:
        before = ""
        for number in (1, 2, 3):
            made = story.store.checkpoint(story.service.name, "production", number)
            assert isinstance(made, Checkpoint)
            anew = replace(made, at=made.at + timedelta(days=1), before=before)
            anew = replace(anew, sha256=checkpoint_hash(anew))
            before = anew.sha256
            table.put(anew)
        faults, anchors = told(story, 3)
    assert not [fault for fault in faults if fault.startswith(CHAIN)], "the chain holds together"
    assert "of rollout 1, on record is" in anchors
    assert "a comment on" in anchors


def test_a_chain_made_anew_from_its_end_is_named_by_the_comment_alone(story: moto.Story) -> None:
    """No deployment came after the last checkpoint; the comment on the commit keeps it."""
    with Table(story) as table:
        made = story.store.checkpoint(story.service.name, "production", 3)
        assert isinstance(made, Checkpoint)
        anew = replace(made, at=made.at + timedelta(seconds=1))
        table.put(replace(anew, sha256=checkpoint_hash(anew)))
        _, anchors = told(story, 3)
    assert anchors.startswith("a comment on")


# --- an image that is kept from becoming a release -------------------------------------------------------------------


def test_a_dismissed_image_is_known_by_the_decision_that_saw_it() -> None:
    """Its tag had moved on: nothing is wrong with that row. One that nobody decided is named, whatever its age."""
    with Story() as story:
        digest = story.push_image("first", "v1.0")
        ecr = story.aws_client("ecr")
        ecr.batch_delete_image(repositoryName=story.service.images, imageIds=[{"imageTag": "v1.0"}])
        story.push_image("second", "v1.0")
        story.play()
        taken = ImageTaken(at=story.clock.now(), tag="v1.0", digest=digest, release=0)
        dismissed = [f for f in story.store.facts(story.service.name, "releases", "image#") if f == taken]
        assert len(dismissed) == 1
        assert told(story, 1, asked=False)[0] == []
        with Table(story) as table:
            table.put(replace(taken, tag="v2.0"))
            (named,) = told(story, 1, asked=False)[0]
        assert "no decision saw that image arrive" in named


def test_a_dismissal_older_than_every_decision_on_record_keeps_nothing_back() -> None:
    """Or somebody could write one that no decision can contradict any more."""
    with Story() as story:
        digest = story.push_image("elsewhere", "v1.0")
        old = ImageTaken(at=story.clock.now() - timedelta(days=401), tag="v1.0", digest=digest, release=0)
        story.store.record(story.service.name, old)
        story.play()
        assert story.phases == ["live"]
