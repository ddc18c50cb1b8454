"""Several services in one repository, each in a folder of its own."""

from __future__ import annotations

import json

import pytest

from esteira.core.facts import CommitPushed
from esteira.core.status import Phase
from tests.world.story import Story

pytestmark = pytest.mark.integration


@pytest.fixture
def story(story: Story) -> Story:
    """Heart in a folder of its repository."""
    story.register(folder="models/heart")
    return story


def test_a_push_outside_the_folder_starts_no_release_and_says_so(story: Story) -> None:
    """Also the first one, which has the whole tree; what is live stays, and the next push in the folder counts."""
    story.change({"models/lungs/app.py": "1", "README": "two models"})
    story.play()
    assert story.phases == ["skipped"]
    assert story.why(1).startswith("nothing in its folder models/heart changed: README, models/lungs/app.py")
    story.change({"models/heart/app.py": "1"})
    story.play()
    story.change({"models/lungs/app.py": "2", "models/heartless/app.py": "2"})
    story.play()
    assert story.phases == ["skipped", "live", "skipped"]
    assert len(story.built()) == 1


def test_ignored_paths_and_classes_are_seen_from_the_folder(story: Story) -> None:
    """``docs/**`` means the folder's own documents."""
    story.change({"models/heart/app.py": "1", "models/heart/data/a.csv": "1"})
    story.play()
    story.change({"models/heart/docs/a.txt": "1", "models/lungs/app.py": "1"})
    story.play()
    assert story.phases == ["live", "skipped"]
    assert story.why(2).startswith("only ignored paths changed: ")
    assert story.store.pushed("heart", 1).classes == ("application", "data")


def test_what_belongs_to_the_release_stands_in_the_folder(story: Story) -> None:
    """Its esteira.yaml and its buildspec.yml, not those at the root."""
    story.change({"esteira.yaml": "port: nonsense", "models/heart/esteira.yaml": "port: 9000"})
    story.play()
    assert story.release_documents()[-1]["port"] == 9000
    [first] = story.local_aws.codebuild.builds()
    told = {v["name"]: v["value"] for v in first["environment"]["environmentVariables"]}
    assert told["ESTEIRA_FOLDER"] == "models/heart"
    assert story.store.pushed("heart", 1).default_build
    story.change({"models/heart/buildspec.yml": "version: 0.2"})
    story.play()
    assert not story.store.pushed("heart", 2).default_build
    assert story.phases == ["superseded", "live"]
    story.change({"models/heart/esteira.yaml": "port: 0"})
    story.play()
    assert story.stands(3).phase is Phase.REJECTED
    assert "esteira.yaml line 1: port is 0" in story.why(3)


def test_a_bundle_of_ones_own_is_read_in_the_folder(story: Story) -> None:
    """An appspec.yml at the root is another service's."""
    story.change({"appspec.yml": "version: nonsense", "models/heart/app.py": "1"})
    story.play()
    assert story.phases == ["live"]


def test_one_push_reaches_every_service_of_the_repository(story: Story) -> None:
    """Each is told who pushed, and releases what stands in its folder."""
    ssm, path = story.aws_client("ssm"), story.context.settings.services_path
    heart = json.loads(ssm.get_parameter(Name=f"{path}heart")["Parameter"]["Value"])
    lungs = heart | {"name": "lungs", "folder": "models/lungs"}
    ssm.put_parameter(Name=f"{path}lungs", Value=json.dumps(lungs), Type="String", Overwrite=True)
    commit = story.change({"models/lungs/app.py": "1"})
    story.deliver()
    pushed = {name: story.store.pushed(name, 1) for name in ("heart", "lungs")}
    assert [release.skipped != "" for release in pushed.values()] == [True, False]
    told = [story.store.pushes(name, commit) for name in ("heart", "lungs")]
    assert [[type(fact) for fact in facts] for facts in told] == [[CommitPushed], [CommitPushed]]
