"""What an operator is asked for and is told: the templates' parameters and outputs, and samconfig.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from console.local.template import read

ROOT = Path(__file__).parents[2]
TEMPLATES = ("template.yaml", "service.yaml")
CONSTRAINTS = {"Type", "Default", "AllowedValues", "AllowedPattern", "MinLength", "MaxLength", "MinValue", "MaxValue"}


def document(name: str) -> Mapping[str, Any]:
    return read(ROOT / name, parameters={"ServiceName": "heart"}).document


def parameters(name: str) -> dict[str, dict[str, Any]]:
    return dict(document(name)["Parameters"])


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_parameter_says_what_it_is_and_what_it_takes(name: str) -> None:
    """Nobody is asked for a value without being told its meaning and, when it is refused, what would be taken."""
    for parameter, row in parameters(name).items():
        assert row["Description"].endswith("."), parameter
        bounded = {"AllowedValues", "AllowedPattern"} & row.keys() or {"MinValue", "MaxValue"} <= row.keys()
        assert bounded, f"{parameter} takes anything"
        assert row["ConstraintDescription"], parameter


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_console_groups_and_labels_every_parameter_once(name: str) -> None:
    """In CloudFormation's console no parameter is left under 'Other parameters', and each has words for a label."""
    shown = document(name)["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [parameter for group in shown["ParameterGroups"] for parameter in group["Parameters"]]
    assert sorted(grouped) == sorted(parameters(name))
    assert set(shown["ParameterLabels"]) == set(grouped)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_default_is_one_that_its_own_parameter_takes(name: str) -> None:
    """Deploying with no further word passes the patterns."""
    for parameter, row in parameters(name).items():
        if "Default" in row and "AllowedPattern" in row:
            assert re.fullmatch(row["AllowedPattern"], row["Default"]), parameter
        assert row.get("Default") in row.get("AllowedValues", [row.get("Default")]), parameter


@pytest.mark.parametrize("taken", ["", "0.0.0.0/0", "203.0.113.0/24", "255.255.255.255/32"])
def test_a_range_of_addresses_is_taken(taken: str) -> None:
    """AllowedCidr takes an IPv4 range, or nothing."""
    assert re.fullmatch(parameters("service.yaml")["AllowedCidr"]["AllowedPattern"], taken)


@pytest.mark.parametrize("refused", ["256.0.0.0/8", "10.0.0.0/33", "10.0.0.0", "10.0.0/8", "::/0", "10.0.0.0/8 "])
def test_what_is_no_range_of_addresses_is_refused_before_anything_is_made(refused: str) -> None:
    """A mistyped range does not wait for EC2 to refuse it, a quarter of an hour into the stack."""
    assert not re.fullmatch(parameters("service.yaml")["AllowedCidr"]["AllowedPattern"], refused)


def test_nobody_is_asked_for_a_key() -> None:
    """The way onto the host is Session Manager: no parameter and no property names an SSH key."""
    for name in TEMPLATES:
        assert "KeyName" not in (ROOT / name).read_text(encoding="utf-8")
    assert "Session Manager" in (ROOT / "service.yaml").read_text(encoding="utf-8")


def test_the_outputs_are_the_next_things_to_type() -> None:
    """With a name and a range given, the commands and addresses come out whole, with nothing left to fill in."""
    controller = read(ROOT / "template.yaml", "esteira").outputs
    assert controller["DoctorCommand"] == "esteira doctor --stack esteira"
    assert controller["AddServiceCommand"] == "esteira add-service NAME --stack esteira"
    assert controller["DashboardUrl"].endswith("region=us-east-1#dashboards/dashboard/esteira")
    given = {"ServiceName": "heart", "AllowedCidr": "0.0.0.0/0"}
    service = read(ROOT / "service.yaml", "esteira-heart", given).outputs
    assert service["CloneCommand"] == "git clone codecommit::us-east-1://heart"
    assert service["PushCommand"] == "git push codecommit::us-east-1://heart HEAD:main"
    assert service["PageUrl"].startswith("http://esteira-heart-Address/")
    assert "portNumber=80,localPortNumber=8080" in service["TunnelCommand"]
    assert not [name for name, value in (controller | service).items() if "${" in str(value)]


def test_a_page_that_nobody_may_reach_says_so_in_place_of_an_address() -> None:
    """Without AllowedCidr the output is a sentence with both ways on, and no address that would never answer."""
    told = read(ROOT / "service.yaml", "esteira-lungs", {"ServiceName": "lungs"}).outputs["PageUrl"]
    assert told.startswith("Nobody is let in")
    assert "AllowedCidr" in told


def test_samconfig_overrides_only_parameters_there_are_with_values_they_take() -> None:
    """Every override of every environment, also those that wait in a comment, fits template.yaml."""
    text = (ROOT / "samconfig.toml").read_text(encoding="utf-8")
    environments = tomllib.loads(text)
    given = [row for env in environments.values() if isinstance(env, dict) for row in overrides(env)]
    given += re.findall(r'^ +# "(\w+=[^"]*)"', text, flags=re.MULTILINE)
    assert len(given) == 6
    declared = parameters("template.yaml")
    for name, value in (row.split("=", 1) for row in given):
        row = declared[name]
        assert re.fullmatch(row.get("AllowedPattern", ".*"), value), name
        assert value in [str(v) for v in row.get("AllowedValues", [value])], name


def overrides(environment: Mapping[str, Any]) -> list[str]:
    return list(environment.get("deploy", {}).get("parameters", {}).get("parameter_overrides", []))


def test_both_environments_name_stacks_a_service_accepts_as_its_controller() -> None:
    """A stack name of samconfig.toml passes service.yaml's pattern and length, or no service could be added to it."""
    environments = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    names = [environments[env]["global"]["parameters"]["stack_name"] for env in ("default", "prod")]
    row = parameters("service.yaml")["ControllerStack"]
    assert len(set(names)) == 2
    assert all(re.fullmatch(row["AllowedPattern"], name) and len(name) <= row["MaxLength"] for name in names)
