"""The template reader: what the local mode believes template.yaml says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from console.local.template import TemplateError, read, with_service

pytestmark = pytest.mark.unit

CONTROLLER = """
Transform: AWS::Serverless-2016-10-31
Parameters:
  Spare: { Type: String, Default: "yes" }
  Minutes: { Type: Number, Default: 5 }
Conditions:
  HasSpare: !Equals [!Ref Spare, "yes"]
Globals:
  Function:
    Timeout: 60
    Environment: { Variables: { TABLE: !Ref Table, LEVEL: INFO } }
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties: { BillingMode: PAY_PER_REQUEST }
  Letters:
    Type: AWS::SQS::Queue
    Properties: { QueueName: !Sub "${AWS::StackName}-letters" }
  Topic:
    Type: AWS::SNS::Topic
  IntakeFunction:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub ${AWS::StackName}-intake
      Handler: intake.handler
      Environment: { Variables: { TOPIC: !Ref Topic } }
      EventInvokeConfig: { DestinationConfig: { OnFailure: { Type: SQS, Destination: !GetAtt Letters.Arn } } }
      Events:
        Pushed:
          Type: EventBridgeRule
          Properties: { Pattern: { source: [aws.codecommit] } }
        Clock:
          Type: Schedule
          Properties: { Schedule: !Sub "rate(${Minutes} minutes)" }
  Plain:
    Type: AWS::Events::Rule
    Properties:
      EventPattern: { source: [esteira] }
      Targets: [{ Id: one, Arn: !GetAtt IntakeFunction.Arn }]
  SpareTopic:
    Type: AWS::SNS::Topic
    Condition: HasSpare
Outputs:
  Spare: { Value: !Ref SpareTopic, Condition: HasSpare }
"""

SERVICE = """
Parameters:
  Name: { Type: String }
Resources:
  Code:
    Type: AWS::CodeCommit::Repository
    Properties: { RepositoryName: !Ref Name }
  Registration:
    Type: AWS::SSM::Parameter
    Properties:
      Name: !Join ["/", ["", services, !Ref Name]]
      Type: String
      Value: !Sub
        - '{"repository": "${Code.Name}", "image": "${Uri}", "shell": "${!kept}"}'
        - { Uri: !Select [0, !Split [":", "image:1"]] }
      Description: !If [Never, yes, !Ref AWS::NoValue]
Conditions:
  Never: !Equals [a, b]
Outputs:
  Clone: { Value: !GetAtt Code.CloneUrlHttp }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two small templates, a controller's and a service's."""
    (tmp_path / "template.yaml").write_text(CONTROLLER)
    (tmp_path / "service.yaml").write_text(SERVICE)
    return tmp_path / "template.yaml"


def test_a_function_has_its_globals_its_environment_and_its_failure_queue(folder: Path) -> None:
    """What SAM would merge into a function is merged."""
    (function,) = read(folder, "esteira").functions
    assert (function.logical_id, function.name, function.handler) == (
        "IntakeFunction",
        "esteira-intake",
        "intake.handler",
    )
    topic = "arn:aws:sns:us-east-1:123456789012:esteira-Topic"
    assert function.environment == {"TABLE": "esteira-Table", "LEVEL": "INFO", "TOPIC": topic}
    assert (function.timeout, function.dead_letters, function.destination) == (60.0, "esteira-letters", True)


def test_rules_come_from_sam_events_and_from_plain_rules(folder: Path) -> None:
    """Both ways to write a rule are read, with their patterns and targets."""
    sam, plain = read(folder).rules
    assert sam.matches({"source": "aws.codecommit"})
    assert not sam.matches({"source": "aws.ecr"})
    assert sam.targets == ("IntakeFunction",)
    assert (plain.pattern, plain.targets) == ({"source": ["esteira"]}, ("esteira-intake",))


def test_a_schedule_is_read_with_its_parameters_resolved(folder: Path) -> None:
    """The sweep's clock is a schedule on a function."""
    (schedule,) = read(folder, parameters={"Minutes": "10"}).schedules
    assert (schedule.target, schedule.expression, schedule.scheduler) == ("IntakeFunction", "rate(10 minutes)", False)


def test_a_service_stands_beside_its_controller(folder: Path) -> None:
    """service.yaml is read as the stack that `esteira add-service` would make."""
    stack = with_service(read(folder), {"Name": "heart"})
    (code,) = stack.resources("AWS::CodeCommit::Repository")
    assert (code.stack, code.name) == ("esteira-heart", "heart")
    (registration,) = stack.resources("AWS::SSM::Parameter")
    assert registration.name == "/services/heart"
    assert json.loads(registration.properties["Value"]) == {"repository": "heart", "image": "image", "shell": "${kept}"}
    assert "Description" not in registration.properties
    assert list(read(folder).resources("AWS::CodeCommit::Repository")) == []


def test_a_condition_that_does_not_hold_leaves_its_resource_out(folder: Path) -> None:
    """Neither the resource nor the output that names it is there."""
    there, gone = read(folder), read(folder, parameters={"Spare": "no"})
    assert [r.logical_id for r in there.resources("AWS::SNS::Topic")] == ["Topic", "SpareTopic"]
    assert [r.logical_id for r in gone.resources("AWS::SNS::Topic")] == ["Topic"]
    assert (list(there.outputs), list(gone.outputs)) == (["Spare"], [])


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("Table: !Ref Tabel", "Tabel, which is neither a parameter nor a resource"),
        ("Table: !GetAtt Tabel.Arn", "there is no Tabel"),
        ("Table: !ImportValue x", "Fn::ImportValue, which the local mode does not read"),
        ("Table: !If [Nowhere, a, b]", "Conditions.Nowhere is not there"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(tmp_path: Path, broken: str, told: str) -> None:
    """A typing error in the template is named, not guessed at."""
    path = tmp_path / "template.yaml"
    path.write_text(f"Resources:\n  T:\n    Type: AWS::DynamoDB::Table\n    Properties:\n      {broken}\n")
    with pytest.raises(TemplateError) as refused:
        list(read(path).resources("AWS::DynamoDB::Table"))
    assert told in str(refused.value)


def test_the_projects_own_templates_are_read_whole() -> None:
    """The four functions, the rules for all four sources, the sweep's clock, and one valid registration."""
    stack = with_service(read(Path(__file__).parents[2] / "template.yaml"))
    assert {f.handler for f in stack.functions} == {f"{n}.handler" for n in ("intake", "sweep", "operate", "announce")}
    sources = {source for rule in stack.rules for source in rule.pattern["source"]}
    assert sources >= {"aws.codecommit", "aws.codebuild", "aws.ecr", "aws.codedeploy", "esteira"}
    assert [schedule.target for schedule in stack.schedules] == ["SweepFunction"]
    (registration,) = stack.resources("AWS::SSM::Parameter")
    assert json.loads(registration.properties["Value"])["name"] == "heart"


def test_a_missing_file_says_where_to_run_this(tmp_path: Path) -> None:
    """The first mistake of a newcomer has a sentence."""
    with pytest.raises(TemplateError, match="run this from the project's folder"):
        read(tmp_path / "template.yaml")
