"""What an emulator is given of a template: all but the types it does not know, with a stand-in for each reference."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from console.local.paths import TEMPLATE
from console.local.sam.deploy_template import Fitted, fitted, run_by, types
from console.local.template import Loader

REPOSITORY = "AWS::CodeCommit::Repository"


def document(text: str) -> Any:
    """A template's document, with two resources: Repository, of a type nobody knows, and the one in ``text``."""
    there = """
Resources:
  Repository: { Type: "AWS::CodeCommit::Repository", Properties: { RepositoryName: !Ref ServiceName } }
  Host: { Type: "AWS::EC2::Instance" }
"""
    return yaml.load(there + text, Loader)


def fit(text: str) -> Fitted:
    return fitted(document(text), frozenset({REPOSITORY, "AWS::EC2::Instance"}))


def value_of(given: str) -> Any:
    """What becomes of a value in a resource that is kept."""
    made = fit(f"  Kept: {{ Type: 'AWS::SSM::Parameter', Properties: {{ Value: {given} }} }}")
    return made.document["Resources"]["Kept"]["Properties"]["Value"]


def test_a_type_nobody_knows_is_left_out_and_told() -> None:
    """Nothing disappears silently."""
    made = fit("  Kept: { Type: 'AWS::SSM::Parameter', Properties: { Value: '1' } }")
    assert made.left_out == {"Repository": REPOSITORY, "Host": "AWS::EC2::Instance"}
    assert list(made.document["Resources"]) == ["Kept"]


def test_a_template_all_of_which_is_known_stays_as_it_is() -> None:
    """The rule does nothing but what it says, to templates it has never seen."""
    for path in (TEMPLATE, TEMPLATE.with_name("service.yaml")):
        whole = yaml.load(path.read_text(), Loader)
        assert fitted(whole, frozenset()) == Fitted(_waiting_in_lists(whole), {})


@pytest.mark.parametrize(
    ("given", "stand_in"),
    [
        ("!Ref Repository", {"Ref": "ServiceName"}),
        ("!GetAtt Repository.Name", {"Ref": "ServiceName"}),
        ("{ 'Fn::GetAtt': Repository.Name }", {"Ref": "ServiceName"}),
        ("!Ref Host", "left-out-Host"),
        ("!GetAtt Host.PublicIp", "left-out-Host-PublicIp"),
        (
            "!GetAtt Repository.Arn",
            {"Fn::Sub": "arn:${AWS::Partition}:left-out:${AWS::Region}:${AWS::AccountId}:Repository"},
        ),
        ("[!Ref Repository, { Deep: !Ref Host }]", [{"Ref": "ServiceName"}, {"Deep": "left-out-Host"}]),
        ("!If [HasHost, !Ref Host, !Ref Kept]", {"Fn::If": ["HasHost", "left-out-Host", {"Ref": "Kept"}]}),
    ],
)
def test_a_reference_to_what_is_left_out_gets_a_stand_in(given: str, stand_in: Any) -> None:
    """A name is the name it would have had; an ARN is one that nothing has; anything else says what it is."""
    assert value_of(given) == stand_in


@pytest.mark.parametrize("given", ["!Ref Kept", "!GetAtt Kept.Arn", "!Sub '${Kept.Arn} ${AWS::Region}'", "plain"])
def test_a_reference_to_what_is_kept_stays(given: str) -> None:
    """Only what is left out is replaced."""
    assert value_of(given) == yaml.load(given, Loader)


def test_a_text_with_references_keeps_its_other_ones() -> None:
    """A registration names the repository it would have had, and the images that are there."""
    text, variables = value_of("!Sub '${Repository.Name} ${Images} ${!Literal} ${Host.PublicIp}'")["Fn::Sub"]
    assert text == "${LeftOutRepositoryName} ${Images} ${!Literal} ${LeftOutHostPublicIp}"
    assert variables == {
        "LeftOutRepositoryName": {"Ref": "ServiceName"},
        "LeftOutHostPublicIp": "left-out-Host-PublicIp",
    }


def test_a_variable_of_the_texts_own_hides_a_resource_of_its_name() -> None:
    """CloudFormation reads it so."""
    given = "!Sub ['${Host} ${Other}', { Host: mine, Other: !Ref Repository }]"
    assert value_of(given) == {"Fn::Sub": ["${Host} ${Other}", {"Host": "mine", "Other": {"Ref": "ServiceName"}}]}


@pytest.mark.parametrize(("waits", "left"), [("Host", None), ("[Host, Bucket]", ["Bucket"]), ("Bucket", ["Bucket"])])
def test_nobody_waits_for_what_is_left_out(waits: str, left: list[str] | None) -> None:
    """A DependsOn of something that is not there would be refused."""
    made = fit(f"  Kept: {{ Type: 'AWS::SSM::Parameter', DependsOn: {waits} }}")
    assert made.document["Resources"]["Kept"].get("DependsOn") == left


def test_an_output_of_what_is_left_out_has_a_stand_in_too() -> None:
    """The template that nests this one still finds the output."""
    made = fit("Outputs: { HostId: { Value: !Ref Host } }")
    assert made.document["Outputs"] == {"HostId": {"Value": "left-out-Host"}}


def test_the_types_are_those_that_sam_does_not_expand() -> None:
    """SAM's own are not the emulator's to know."""
    assert types(document("  F: { Type: 'AWS::Serverless::Function' }")) == (REPOSITORY, "AWS::EC2::Instance")


def test_the_functions_call_where_they_are_told_to() -> None:
    """The template's empty address would be AWS itself; what else is declared stays."""
    whole = yaml.load(TEMPLATE.read_text(), Loader)
    function = run_by(whole, "python3.99", {"AWS_ENDPOINT_URL": "http://here"})["Globals"]["Function"]
    before = whole["Globals"]["Function"]
    assert before["Environment"]["Variables"]["AWS_ENDPOINT_URL"] == ""
    assert function["Environment"]["Variables"]["AWS_ENDPOINT_URL"] == "http://here"
    assert function["Environment"]["Variables"].keys() == before["Environment"]["Variables"].keys()
    assert function["Runtime"] == "python3.99"
    assert function["Timeout"] == before["Timeout"]


def _waiting_in_lists(whole: Any) -> Any:
    """A document whose every DependsOn is a list."""
    rows = {
        id_: row | ({"DependsOn": [row["DependsOn"]]} if isinstance(row.get("DependsOn"), str) else {})
        for id_, row in whole["Resources"].items()
    }
    return {**whole, "Resources": rows}
