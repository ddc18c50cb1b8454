"""What a commit brings of its own: its esteira.yaml, and its buildspec or none."""

from __future__ import annotations

from console.read import dora
from console.read.account import account
from esteira.perform.build import DEFAULT
from tests.world.story import Story
from tests.world.test_operator import refused


def test_a_commit_without_a_buildspec_is_built_by_the_default_one(story: Story) -> None:
    """CodeBuild is given the default buildspec; with one of its own it reads that."""
    story.push("one", Dockerfile="FROM scratch")
    story.play()
    story.push("two", buildspec_dot_yml="version: 0.2")
    story.play()
    assert [job.buildspec for job in story.engine.built] == [DEFAULT.read_text(), None]
    assert story.phases == ["superseded", "live"]


def test_a_buildspec_that_codebuild_does_not_read_is_not_passed_over_in_silence(story: Story) -> None:
    """The release is rejected with the name that CodeBuild reads, and nothing is built."""
    story.push("one", buildspec_dot_yaml="version: 0.2")
    story.play()
    assert story.phases == ["rejected"]
    assert "buildspec.yaml is not read by CodeBuild; rename it to buildspec.yml" in story.why(1)
    assert story.built() == []


def test_settings_under_a_name_that_is_not_read_are_not_passed_over_in_silence(story: Story) -> None:
    """The release is rejected with the name that is read."""
    story.push("one", esteira_dot_yml="port: 80")
    story.play()
    assert story.phases == ["rejected"]
    assert story.why(1) == "esteira.yml is not read; rename it to esteira.yaml and push again"


def test_the_settings_of_a_commit_go_with_its_release(story: Story) -> None:
    """The host gets the port and the health path of the release that it runs, also when it goes back to it."""
    story.push("one", esteira_dot_yaml="port: 5000\nhealth: /healthz\n")
    story.play()
    story.push("two", esteira_dot_yaml="port: 7860")
    story.play()
    story.push("three", esteira_dot_yaml=None)
    story.play()
    story.operate("rollback", to="v1")
    story.play()
    told = [(document["release"], document["port"], document["health_path"]) for document in story.release_documents()]
    assert told == [("v1", 5000, "/healthz"), ("v2", 7860, ""), ("v3", 0, ""), ("v1", 5000, "/healthz")]


def test_settings_that_cannot_be_read_reject_the_release(story: Story) -> None:
    """The sentence has the line, the value and what is allowed; the next push is a release like any other."""
    story.push("one", esteira_dot_yaml="# ours\nport: eighty\n")
    story.play()
    assert story.phases == ["rejected"]
    assert "esteira.yaml line 2: port is eighty, expected a whole number from 1 to 65535" in story.why(1)
    assert story.stands(1).cause == "settings"
    story.push("two", esteira_dot_yaml="port: 80")
    story.play()
    assert story.phases == ["rejected", "live"]


def test_everything_that_a_commit_says_reaches_its_hosts(story: Story) -> None:
    """Each setting of the file is in the release's document; what it is silent about comes from the registration, and a
    release that goes back takes its own settings along."""
    story.register(memory_mb=256, environment={"LEVEL": "info", "REGION": "north"})
    text = "startup_seconds: 900\ndrain_seconds: 0\nvalidation_seconds: 60\nenvironment: {LEVEL: debug}\n"
    story.push("one", esteira_dot_yaml=text + "parameters: {TOKEN: /esteira/parameters/heart/token}\n")
    story.play()
    story.push("two", esteira_dot_yaml="memory_mb: 1024")
    story.play()
    story.operate("rollback", to="v1")
    story.play()
    first, second, back = story.release_documents()
    assert [first[f"{name}_seconds"] for name in ("startup", "drain", "validation")] == [900, 0, 60]
    assert (first["memory_mb"], first["environment"]) == (256, {"LEVEL": "debug", "REGION": "north"})
    assert first["parameters"] == {"TOKEN": "/esteira/parameters/heart/token"}
    assert (second["memory_mb"], second["environment"]["LEVEL"], second["parameters"]) == (1024, "info", {})
    assert back == first


def test_a_push_of_paths_that_the_commit_ignores_starts_no_release(story: Story) -> None:
    """The commit's own list is taken in place of the registration's, and the skipped release says so."""
    story.push("one", esteira_dot_yaml="ignored_paths: ['notebooks/**']")
    story.play()
    story.push(notebooks__look_dot_ipynb="{}")
    story.play()
    story.push(README_dot_md="read")
    story.play()
    assert story.phases == ["superseded", "skipped", "live"]
    assert story.why(2) == "only ignored paths changed: notebooks/look.ipynb"


def test_settings_that_cannot_be_read_are_no_ignored_push(story: Story) -> None:
    """A push of ignored paths alone is rejected for them: what is wrong is said at once."""
    story.push("one", esteira_dot_yaml="port: 80")
    story.play()
    story.push(esteira_dot_yaml="port: x", README_dot_md="read")
    story.play()
    assert story.phases == ["live", "rejected"]


def test_the_difference_to_what_is_live_is_told(story: Story) -> None:
    """The comment on the commit has it when the release is on its way; show and the page have it then and later."""
    story.push("one", esteira_dot_yaml="port: 5000\n")
    story.play()
    commit = story.push("two", esteira_dot_yaml="port: 5001\nenvironment: {LEVEL: debug}\n")
    story.deliver()
    lines = ("port: 5000 → 5001", "environment.LEVEL: not set → debug")
    said = [c["comment"]["content"] for c in story.local_aws.codecommit.comments if c["afterCommitId"] == commit]
    assert ["\n\nsettings beside v1:\n" + "\n".join(lines) in text for text in said] == [True]
    for _ in ("on its way", "live"):
        told = account(story.store, story.service, 2, story.clock.now())
        assert (told.settings, told.settings_than) == (lines, "v1")
        story.play()
    assert account(story.store, story.service, 1, story.clock.now()).settings == ()


def set_secret(story: Story, name: str) -> None:
    story.aws_client("ssm").put_parameter(Name=name, Value="s3cret", Type="SecureString", Overwrite=True)


def test_a_secret_that_is_not_set_is_said_before_anything_is_deployed(story: Story) -> None:
    """The sentence names it and the stage, and what to type; once it is set, a retry deploys the same image."""
    story.push("one", esteira_dot_yaml="secrets: [DB_PASSWORD, TOKEN]")
    story.play()
    assert (story.phases, story.deployed(), story.stands(1).cause) == (["failed"], [], "secret-missing")
    assert story.why(1) == (
        "the secrets DB_PASSWORD, TOKEN of v1 are not set for production, so nothing was deployed; next: "
        "esteira secret set DB_PASSWORD --stage production, then: esteira retry v1"
    )
    set_secret(story, "/esteira/secrets/heart/TOKEN")
    set_secret(story, "/esteira/secrets/heart/DB_PASSWORD")
    set_secret(story, "/esteira/secrets/heart/production/DB_PASSWORD")
    story.operate("retry", release="v1")
    story.play()
    assert (story.phases, len(story.built())) == (["live"], 1)
    [document] = story.release_documents()
    assert document["parameters"] == {
        "DB_PASSWORD": "/esteira/secrets/heart/production/DB_PASSWORD",  # the stage's own goes before
        "TOKEN": "/esteira/secrets/heart/TOKEN",
    }
    assert "s3cret" not in str(story.facts(1)) + str(document)


def test_a_secret_of_a_build_that_is_not_set_is_said_before_it_is_built(story: Story) -> None:
    """A build gets the parameter's name, and CodeBuild reads it; a container's secret is none of a build's."""
    set_secret(story, "/esteira/secrets/heart/PYPI_TOKEN")
    story.push("one", esteira_dot_yaml="build_secrets: [PYPI_TOKEN]")
    story.play()
    assert (story.phases, story.built(), story.stands(1).cause) == (["failed"], [], "secret-missing")
    assert story.why(1) == (
        "the secret PYPI_TOKEN of v1 is not set for builds, so nothing was built; next: "
        "esteira secret set PYPI_TOKEN --build, then: esteira retry v1"
    )
    set_secret(story, "/esteira/build-secrets/heart/PYPI_TOKEN")
    story.operate("retry", release="v1")
    story.play()
    assert story.phases == ["live"]
    [build] = story.local_aws.codebuild.builds()
    rows = build["environment"]["environmentVariables"]
    place = {"name": "PYPI_TOKEN", "value": "/esteira/build-secrets/heart/PYPI_TOKEN", "type": "PARAMETER_STORE"}
    assert [row for row in rows if row["name"] == "PYPI_TOKEN"] == [place]


def test_what_is_live_is_deployed_again_by_a_word_with_its_reason(story: Story) -> None:
    """The same image comes once more, without a build; what was ordered is carried out once and is no rollback."""
    set_secret(story, "/esteira/secrets/heart/TOKEN")
    story.push("one", esteira_dot_yaml="secrets: [TOKEN]")
    story.play()
    story.operate("redeploy", reason="a new TOKEN")
    story.play()
    story.wait(60)
    assert (story.phases, len(story.built()), story.deployed()) == (["live"], 1, ["v1 Succeeded", "v1 Succeeded"])
    first, again = story.release_documents()
    assert first == again
    said = [each.says for each in account(story.store, story.service, 1, story.clock.now()).facts]
    assert "ana ordered v1 to be deployed to production again: a new TOKEN" in said
    assert "rollout 2 on production deploys v1 again, as was ordered" in said
    keys = dora.measure(story.store, story.service, "production", 30, story.clock.now())
    assert (len(keys.deployments), keys.failure_rate) == (1, 0)


def test_what_cannot_be_deployed_again_stays_live_and_says_so(story: Story) -> None:
    """A secret was removed meanwhile: nothing is deployed, and the sentence says that it is live all the same."""
    set_secret(story, "/esteira/secrets/heart/TOKEN")
    story.push("one", esteira_dot_yaml="secrets: [TOKEN]")
    story.play()
    story.aws_client("ssm").delete_parameter(Name="/esteira/secrets/heart/TOKEN")
    story.operate("redeploy", reason="a new TOKEN")
    story.play()
    assert (story.live_on("production"), len(story.deployed())) == (1, 1)
    assert story.why(1) == (
        "live on production; the secret TOKEN of v1 is not set for production, so nothing was deployed; next: "
        "esteira secret set TOKEN --stage production, then: esteira redeploy --reason …"
    )
    set_secret(story, "/esteira/secrets/heart/TOKEN")
    story.operate("redeploy", reason="a new TOKEN")
    story.play()
    assert (story.phases, story.deployed()) == (["live"], ["v1 Succeeded", "v1 Succeeded"])


def test_an_order_to_deploy_again_dies_with_what_was_live(story: Story) -> None:
    """A release that takes the place meanwhile has the new values anyway, and nothing goes back to the old one."""
    story.push("one")
    story.play()
    story.push("two")
    story.deliver()
    story.end_build()
    story.operate("redeploy", reason="a new TOKEN")
    story.play()
    assert story.live_on("production") == 2
    story.wait(60)
    assert story.live_on("production") == 2


def test_nothing_is_deployed_again_where_no_deployment_may_begin(story: Story) -> None:
    """Nothing is live, or the stage is held: the word is refused with what to type."""
    assert "nothing is live on production" in refused(story.operate("redeploy", reason="why"))
    story.push("one")
    story.play()
    story.operate("hold", reason="a fair")
    assert "ana holds production until" in refused(story.operate("redeploy", reason="why"))
    assert "needs a reason" in refused(story.operate("redeploy", reason=""))
    assert story.deployed() == ["v1 Succeeded"]
