"""What deletion leaves: the templates, the command and the guide name the same things."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from console.doctor.leftovers import KEPT, named
from console.local.template import read

ROOT = Path(__file__).parents[2]
TEMPLATES = ("template.yaml", "service.yaml")


def resources(name: str) -> dict[str, dict[str, Any]]:
    return dict(read(ROOT / name, parameters={"ServiceName": "heart"}).document["Resources"])


def kept(name: str) -> dict[str, dict[str, Any]]:
    return {k: row for k, row in resources(name).items() if str(row.get("DeletionPolicy", "")).startswith("Retain")}


def test_every_kind_of_thing_that_a_template_keeps_is_named_and_none_besides() -> None:
    """Whatever a template's DeletionPolicy retains, `esteira remains` knows what it holds and how it is removed."""
    assert {row["Type"] for name in TEMPLATES for row in kept(name).values()} == set(KEPT)


def test_what_is_kept_bears_the_tag_by_which_it_is_found_again() -> None:
    """After the stack is gone only the tag esteira=<stack> tells whose a thing was."""
    for name in TEMPLATES:
        for logical, row in kept(name).items():
            tags = {tag["Key"]: tag["Value"] for tag in row["Properties"]["Tags"]}
            assert tags["esteira"] in ({"Ref": "AWS::StackName"}, {"Ref": "ControllerStack"}), logical


def test_the_guide_names_the_command_that_removes_each() -> None:
    """docs/aws.md has the same commands as `esteira remains`, up to the name."""
    guide = (ROOT / "docs" / "aws.md").read_text(encoding="utf-8")
    for kind in KEPT.values():
        before, _, after = kind.remove.partition("{name}")
        assert before in guide, kind
        assert after.strip() in guide, kind
        assert kind.called in guide, kind


def test_what_could_hold_data_and_is_not_kept_says_so_itself() -> None:
    """A log group or a queue goes with its stack because the template says so, and not because nobody thought of it."""
    for name in TEMPLATES:
        for logical, row in resources(name).items():
            if row["Type"] in ("AWS::Logs::LogGroup", "AWS::SQS::Queue"):
                assert (row["DeletionPolicy"], row["UpdateReplacePolicy"]) == ("Delete", "Delete"), logical


def test_no_log_group_can_come_back_after_its_stack_is_gone() -> None:
    """No role may create a log group, so a late line of a function or a build makes none that nobody owns."""
    for name in TEMPLATES:
        assert "logs:CreateLogGroup" not in (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arn", "known"),
    [
        ("arn:aws:dynamodb:us-east-1:1:table/esteira-Table-X", ("AWS::DynamoDB::Table", "esteira-Table-X")),
        ("arn:aws:codecommit:us-east-1:1:heart", ("AWS::CodeCommit::Repository", "heart")),
        ("arn:aws:ecr:us-east-1:1:repository/heart", ("AWS::ECR::Repository", "heart")),
        ("arn:aws:s3:::esteira-bundles-heart-1", ("AWS::S3::Bucket", "esteira-bundles-heart-1")),
        ("arn:aws:sqs:us-east-1:1:esteira-dead-letters", None),
        ("arn:aws:dynamodb:us-east-1:1:something/else", None),
    ],
)
def test_a_thing_is_known_by_its_arn(arn: str, known: tuple[str, str] | None) -> None:
    """AWS's list of what bears the tag gives ARNs only; what goes with its stack is left out."""
    assert named(arn) == known
