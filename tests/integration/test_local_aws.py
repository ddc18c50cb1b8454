"""The AWS on the laptop: what it answers is what AWS would, over HTTP and in process alike."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from console.local.aws.aws_server import AwsServer
from console.local.aws.bus import Bus, Chaos
from console.local.aws.clock import Clock
from console.local.aws.faults import Call, Crash, Faults, Throttle, When, crash_at
from console.local.aws.functions import Functions, LocalFunction, UnknownFunctionError, from_specs, set_environment
from console.local.aws.resources import create_resources
from console.local.aws.stack import LocalAws
from console.local.engine import HOST, BuildJob, BuildPhase, BuildResult, DeployJob, DeployResult
from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome, ScriptedEngine, manifest_for
from console.local.rules import EventRule, Schedule
from console.local.template import FunctionSpec, read

pytestmark = pytest.mark.integration

ROLE = "arn:aws:iam::123456789012:role/local"
TEMPLATE = """
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: facts
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }, { AttributeName: sk, AttributeType: S }]
      KeySchema: [{ AttributeName: pk, KeyType: HASH }, { AttributeName: sk, KeyType: RANGE }]
  Code: { Type: AWS::CodeCommit::Repository, Properties: { RepositoryName: heart } }
  Images:
    Type: AWS::ECR::Repository
    Properties:
      RepositoryName: heart
      ImageTagMutability: IMMUTABLE_WITH_EXCLUSION
      ImageTagMutabilityExclusionFilters:
        - { ImageTagMutabilityExclusionFilterType: WILDCARD, ImageTagMutabilityExclusionFilterValue: "*-live" }
        - { ImageTagMutabilityExclusionFilterType: WILDCARD, ImageTagMutabilityExclusionFilterValue: live-* }
  Role: { Type: AWS::IAM::Role, Properties: {} }
  Project:
    Type: AWS::CodeBuild::Project
    Properties:
      Name: heart-build
      ServiceRole: !GetAtt Role.Arn
      Source: { Type: CODECOMMIT, Location: !GetAtt Code.CloneUrlHttp }
      Artifacts: { Type: NO_ARTIFACTS }
      Environment:
        Type: LINUX_CONTAINER
        Image: aws/codebuild/standard:7.0
        ComputeType: BUILD_GENERAL1_SMALL
        EnvironmentVariables: [{ Name: IMAGE_URI, Value: !GetAtt Images.RepositoryUri }, { Name: LEVEL, Value: low }]
  Application: { Type: AWS::CodeDeploy::Application, Properties: { ApplicationName: heart } }
  Group:
    Type: AWS::CodeDeploy::DeploymentGroup
    Properties: { ApplicationName: !Ref Application, DeploymentGroupName: production, ServiceRoleArn: !GetAtt Role.Arn }
  Bundles: { Type: AWS::S3::Bucket, Properties: { BucketName: bundles } }
  Topic: { Type: AWS::SNS::Topic, Properties: { TopicName: phases } }
  Registration:
    Type: AWS::SSM::Parameter
    Properties: { Name: /esteira/services/heart, Type: String, Value: "{}" }
"""
START = datetime(2026, 11, 23, 15, 4, 5, tzinfo=UTC)


class World:
    """A stack with the small template's resources in it, and clients that speak to it."""

    def __init__(self, local_aws: LocalAws, engine: ScriptedEngine, faults: Faults | None, url: str | None) -> None:
        self.local_aws, self.engine, self.faults, self.url = local_aws, engine, faults, url
        self.bus, self.clock = local_aws.bus, local_aws.clock

    def client(self, service: str) -> Any:
        """A client of the local AWS."""
        keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
        return boto3.client(service, endpoint_url=self.url, config=Config(retries={"total_max_attempts": 1}), **keys)

    def kinds(self) -> list[tuple[str, str]]:
        """Every event so far: its detail-type's second word and its own verb."""
        names = ("event", "build-status", "completed-phase", "action-type", "state", "scan-status")
        verb = lambda detail: next((detail[name] for name in names if name in detail), "")  # noqa: E731
        return [(event["source"].removeprefix("aws."), verb(event["detail"])) for event in self.bus.events]

    def last(self, kind: str) -> dict[str, Any]:
        """The last event of a detail-type."""
        return [event for event in self.bus.events if event["detail-type"] == kind][-1]


def stack_of(folder: Path) -> Any:
    """The small template, read."""
    path = folder / "template.yaml"
    path.write_text(TEMPLATE)
    return read(path)


@pytest.fixture(params=["in process", "over HTTP"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """One world behind each door."""
    engine = ScriptedEngine(manual=True)
    with LocalAws(tmp_path / "state", engine, Bus(clock=Clock.stopped(START)), keep=False) as local_aws:
        if request.param == "in process":
            with local_aws.in_process() as faults:
                yield made(World(local_aws, engine, faults, None), tmp_path)
        else:
            with AwsServer(local_aws, "local") as server:
                yield made(World(local_aws, engine, None, server.url), tmp_path)


def made(world: World, folder: Path) -> World:
    """The world with its resources, before anything happened."""
    create_resources(stack_of(folder), world.client)
    world.bus.events.clear()  # the registration's
    if world.faults is not None:
        world.faults.counts.clear()
    return world


def test_parameter_store_tells_of_a_change(world: World) -> None:
    """Behind both doors, with AWS's words; a parameter that is read is no change."""
    ssm = world.client("ssm")
    ssm.put_parameter(Name="/esteira/services/heart", Value="{}", Type="String", Overwrite=True)
    ssm.get_parameters(Names=["/esteira/services/heart"])
    ssm.delete_parameter(Name="/esteira/services/heart")
    assert {event["detail-type"] for event in world.bus.events} == {"Parameter Store Change"}
    told = [(event["source"], event["detail"]["operation"], event["detail"]["name"]) for event in world.bus.events]
    assert told == [("aws.ssm", done, "/esteira/services/heart") for done in ("Update", "Delete")]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[World]:
    """A world in process."""
    engine = ScriptedEngine(manual=True)
    with (
        LocalAws(tmp_path / "state", engine, Bus(clock=Clock.stopped(START)), keep=False) as local_aws,
        local_aws.in_process() as faults,
    ):
        yield made(World(local_aws, engine, faults, None), tmp_path)


def code_of(refused: pytest.ExceptionInfo[ClientError]) -> str:
    """AWS's name of the error."""
    return str(refused.value.response["Error"]["Code"])


def put(client: Any, sort: str, **more: Any) -> Any:
    """Put one small fact."""
    return client.put_item(TableName="facts", Item={"pk": {"S": "heart"}, "sk": {"S": sort}}, **more)


def bundle(world: World, key: str = "v1.zip") -> dict[str, Any]:
    """A revision that lies in S3."""
    world.client("s3").put_object(Bucket="bundles", Key=key, Body=b"zip")
    return {"revisionType": "S3", "s3Location": {"bucket": "bundles", "key": key, "bundleType": "zip"}}


def deploy(world: World, **more: Any) -> str:
    """Create a deployment, and return its id."""
    given = {"applicationName": "heart", "deploymentGroupName": "production", "revision": bundle(world), **more}
    return str(world.client("codedeploy").create_deployment(**given)["deploymentId"])


# CodeCommit


def test_a_branch_moves_with_a_commit_and_says_so_in_awss_words(world: World) -> None:
    """GetBranch tells the tip, and created, updated and deleted are one event each."""
    first = world.local_aws.codecommit.commit("heart", "main", {"a.py": b"1"}, "first")
    second = world.local_aws.codecommit.commit("heart", "main", {"a.py": b"2"}, "second")
    branch = world.client("codecommit").get_branch(repositoryName="heart", branchName="main")["branch"]
    assert branch == {"branchName": "main", "commitId": second}
    world.local_aws.codecommit.move("heart", "refs/tags/v1", first)
    world.local_aws.codecommit.move("heart", "refs/heads/main", "0" * 40)
    created, updated, tagged, deleted = (event["detail"] for event in world.bus.events)
    assert (created["event"], created["commitId"], "oldCommitId" in created) == ("referenceCreated", first, False)
    assert (updated["event"], updated["commitId"], updated["oldCommitId"]) == ("referenceUpdated", second, first)
    assert (tagged["referenceType"], tagged["referenceFullName"]) == ("tag", "refs/tags/v1")
    assert (deleted["event"], deleted["oldCommitId"], "commitId" in deleted) == ("referenceDeleted", second, False)
    event = world.bus.events[0]
    assert event["resources"] == ["arn:aws:codecommit:us-east-1:123456789012:heart"]
    assert (event["time"], event["account"], event["version"]) == ("2026-11-23T15:04:05Z", "123456789012", "0")
    with pytest.raises(ClientError) as refused:
        world.client("codecommit").get_branch(repositoryName="heart", branchName="main")
    assert code_of(refused) == "BranchDoesNotExistException"
    with pytest.raises(ClientError) as refused:
        world.client("codecommit").get_branch(repositoryName="lung", branchName="main")
    assert code_of(refused) == "RepositoryDoesNotExistException"


def test_differences_are_by_path_and_paged(world: World) -> None:
    """Added, modified and deleted files with their blobs, in as many pages as asked."""
    codecommit = world.client("codecommit")
    before = world.local_aws.codecommit.commit("heart", "main", {"a": b"1", "d/b": b"2", "c": b"3"}, "one")
    after = world.local_aws.codecommit.commit("heart", "main", {"a": b"9", "d/b": None, "e/f/g": b"4"}, "two")
    whole = codecommit.get_differences(
        repositoryName="heart", beforeCommitSpecifier=before, afterCommitSpecifier="main", MaxResults=2
    )
    rest = codecommit.get_differences(
        repositoryName="heart",
        beforeCommitSpecifier=before,
        afterCommitSpecifier=after,
        MaxResults=2,
        NextToken=whole["NextToken"],
    )
    rows = {row["changeType"]: row for row in whole["differences"] + rest["differences"]}
    assert rows.keys() == {"M", "D", "A"}
    assert rows["A"]["afterBlob"]["path"] == "e/f/g"
    assert "NextToken" not in rest
    blob = codecommit.get_blob(repositoryName="heart", blobId=rows["M"]["afterBlob"]["blobId"])
    assert blob["content"] == b"9"
    pages = codecommit.get_paginator("get_differences").paginate(repositoryName="heart", afterCommitSpecifier=after)
    assert {row["afterBlob"]["path"] for page in pages for row in page["differences"]} == {"a", "c", "e/f/g"}
    with pytest.raises(ClientError) as refused:
        codecommit.get_differences(repositoryName="heart", afterCommitSpecifier="f" * 40)
    assert code_of(refused) == "CommitDoesNotExistException"


def test_files_folders_and_commits_are_read_from_the_repository(world: World) -> None:
    """GetFile, GetFolder and GetCommit answer from git's own objects."""
    codecommit = world.client("codecommit")
    commit = world.local_aws.codecommit.commit("heart", "main", {"d/a.txt": b"hello", "d/e/b": b""}, "say hello")
    file = codecommit.get_file(repositoryName="heart", filePath="d/a.txt")
    assert (file["fileContent"], file["fileSize"], file["commitId"]) == (b"hello", 5, commit)
    folder = codecommit.get_folder(repositoryName="heart", folderPath="d")
    assert [row["absolutePath"] for row in folder["files"]] == ["d/a.txt"]
    assert [row["relativePath"] for row in folder["subFolders"]] == ["e"]
    assert codecommit.get_commit(repositoryName="heart", commitId=commit)["commit"]["message"] == "say hello\n"


def test_a_comment_with_the_same_token_is_one_comment(world: World) -> None:
    """PostCommentForComparedCommit may be repeated."""
    codecommit = world.client("codecommit")
    commit = world.local_aws.codecommit.commit("heart", "main", {"a": b"1"}, "one")
    for _ in range(2):
        codecommit.post_comment_for_compared_commit(
            repositoryName="heart", afterCommitId=commit, content="v1 is live", clientRequestToken="t"
        )
    told = codecommit.get_comments_for_compared_commit(repositoryName="heart", afterCommitId=commit)
    (row,) = told["commentsForComparedCommitData"]
    assert [comment["content"] for comment in row["comments"]] == ["v1 is live"]


def test_a_comment_is_on_a_comparison_unless_the_commit_is_the_first(world: World) -> None:
    """Without beforeCommitId, and with one that compares nothing, AWS refuses; so does a token used for another."""
    codecommit = world.client("codecommit")
    first = world.local_aws.codecommit.commit("heart", "main", {"a": b"1"}, "one")
    second = world.local_aws.codecommit.commit("heart", "main", {"a": b"2"}, "two")
    ask = {"repositoryName": "heart", "afterCommitId": second, "content": "v2 is live", "clientRequestToken": "t"}
    posted = codecommit.post_comment_for_compared_commit(**ask, beforeCommitId=first)
    assert (posted["beforeCommitId"], posted["comment"]["content"]) == (first, "v2 is live")
    for changed, code in (
        ({}, "CommitIdRequiredException"),
        ({"beforeCommitId": second}, "BeforeCommitIdAndAfterCommitIdAreSameException"),
        ({"beforeCommitId": first, "content": "v2 is not live"}, "IdempotencyParameterMismatchException"),
    ):
        with pytest.raises(ClientError) as refused:
            codecommit.post_comment_for_compared_commit(**{**ask, **changed})
        assert code_of(refused) == code


def test_a_real_git_push_becomes_an_event(tmp_path: Path) -> None:
    """The clone URL takes a push, and the post-receive hook tells the server."""
    environment = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com"}
    environment |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com"}

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(work), *arguments], check=True, capture_output=True, env=environment)
        return done.stdout.decode().strip()

    engine = ScriptedEngine(manual=True)
    with LocalAws(tmp_path / "state", engine, keep=False) as local_aws, AwsServer(local_aws, "local") as server:
        world = World(local_aws, engine, None, server.url)
        url = world.client("codecommit").create_repository(repositoryName="heart")["repositoryMetadata"]["cloneUrlHttp"]
        work = tmp_path / "work"
        work.mkdir()
        git("init", "-q", "-b", "main")
        (work / "a.py").write_text("1")
        git("add", ".")
        git("commit", "-q", "-m", "one")
        git("push", "-q", url, "main", "main:refs/heads/feature/x")
        commit = git("rev-parse", "HEAD")
        assert (
            world.client("codecommit").get_branch(repositoryName="heart", branchName="main")["branch"]["commitId"]
            == commit
        )
        names = {event["detail"]["referenceName"] for event in local_aws.bus.events}
        assert names == {"main", "feature/x"}
        assert set(world.client("codecommit").list_branches(repositoryName="heart")["branches"]) == {
            "feature/x",
            "main",
        }
        # what git packs is answered too
        subprocess.run(["git", "-C", url, "gc", "-q"], check=True, capture_output=True)
        file = world.client("codecommit").get_file(repositoryName="heart", filePath="a.py", commitSpecifier="main")
        assert file["fileContent"] == b"1"


# ECR


def test_an_images_digest_is_its_manifests_and_every_push_is_an_event(world: World) -> None:
    """A retag is a push too; the same tag on the same image is refused as AWS refuses it."""
    ecr = world.client("ecr")
    manifest = manifest_for("c" * 40).decode()
    image = ecr.put_image(repositoryName="heart", imageManifest=manifest, imageTag="git-c")["image"]
    digest = "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()
    assert image["imageId"] == {"imageDigest": digest, "imageTag": "git-c"}
    found = ecr.batch_get_image(repositoryName="heart", imageIds=[{"imageTag": "git-c"}, {"imageTag": "nowhere"}])
    assert [row["failureCode"] for row in found["failures"]] == ["ImageNotFound"]
    ecr.put_image(repositoryName="heart", imageManifest=found["images"][0]["imageManifest"], imageTag="esteira-v1")
    details = ecr.describe_images(repositoryName="heart", imageIds=[{"imageDigest": digest}])["imageDetails"][0]
    assert (details["imageTags"], details["imagePushedAt"]) == (["git-c", "esteira-v1"], START)
    with pytest.raises(ClientError) as refused:
        ecr.put_image(repositoryName="heart", imageManifest=manifest, imageTag="esteira-v1")
    assert code_of(refused) == "ImageAlreadyExistsException"
    with pytest.raises(ClientError) as refused:
        ecr.describe_images(repositoryName="heart", imageIds=[{"imageTag": "nowhere"}])
    assert code_of(refused) == "ImageNotFoundException"
    ecr.batch_delete_image(repositoryName="heart", imageIds=[{"imageDigest": digest}])
    assert world.kinds() == [("ecr", "PUSH"), ("ecr", "PUSH"), ("ecr", "DELETE"), ("ecr", "DELETE")]
    detail = world.bus.events[1]["detail"]
    assert (detail["image-tag"], detail["image-digest"], detail["result"]) == ("esteira-v1", digest, "SUCCESS")
    assert ecr.list_images(repositoryName="heart")["imageIds"] == []


@pytest.mark.parametrize("tag", ["live-production", "production-live"])
def test_an_excluded_tag_moves_and_any_other_is_frozen(world: World, tag: str) -> None:
    """IMMUTABLE_WITH_EXCLUSION reads its filters as wildcards, at either end."""
    ecr = world.client("ecr")
    one, two = manifest_for("1" * 40).decode(), manifest_for("2" * 40).decode()
    for manifest in (one, two):
        ecr.put_image(repositoryName="heart", imageManifest=manifest, imageTag=tag)
    there = ecr.describe_images(repositoryName="heart", imageIds=[{"imageTag": tag}])["imageDetails"]
    assert there[0]["imageDigest"] == "sha256:" + hashlib.sha256(two.encode()).hexdigest()
    ecr.put_image(repositoryName="heart", imageManifest=one, imageTag="v1")
    with pytest.raises(ClientError) as refused:
        ecr.put_image(repositoryName="heart", imageManifest=two, imageTag="v1")
    assert code_of(refused) == "ImageTagAlreadyExistsException"


def test_a_scan_is_told_with_its_counts(local: World) -> None:
    """The scan's event has counts only when something was found."""
    digest = local.local_aws.ecr.push("heart", manifest_for("a" * 40), "v1")
    local.local_aws.ecr.scanned("heart", digest, {})
    local.local_aws.ecr.scanned("heart", digest, {"CRITICAL": 1})
    clean, bad = (e["detail"] for e in local.bus.events if e["detail-type"] == "ECR Image Scan")
    assert "finding-severity-counts" not in clean
    assert (bad["finding-severity-counts"], bad["image-tags"]) == ({"CRITICAL": 1}, ["v1"])


# CodeBuild


def test_a_build_is_in_progress_until_its_engine_is_done(world: World) -> None:
    """The books, the overrides, the image and both events of one build that succeeds."""
    codebuild = world.client("codebuild")
    commit = world.local_aws.codecommit.commit("heart", "main", {"buildspec.yml": b""}, "one")
    override = [{"name": "LEVEL", "value": "high"}, {"name": "CLAIM", "value": "c1", "type": "PLAINTEXT"}]
    started = codebuild.start_build(
        projectName="heart-build", sourceVersion=commit, environmentVariablesOverride=override
    )["build"]
    assert (started["buildStatus"], started["buildNumber"]) == ("IN_PROGRESS", 1)
    assert codebuild.batch_get_builds(ids=[started["id"]])["builds"][0]["buildStatus"] == "IN_PROGRESS"
    assert world.engine.in_flight() == [started["id"]]
    world.clock.advance(90)
    assert world.engine.finish_next()
    build = codebuild.batch_get_builds(ids=[started["id"]])["builds"][0]
    variables = {row["name"]: row["value"] for row in build["environment"]["environmentVariables"]}
    assert (build["buildStatus"], build["resolvedSourceVersion"], variables["LEVEL"]) == ("SUCCEEDED", commit, "high")
    assert (build["endTime"] - build["startTime"]).total_seconds() == 90
    assert [phase["phaseType"] for phase in build["phases"]][-1] == "COMPLETED"
    assert Path(build["logs"]["deepLink"]).exists()
    assert build["exportedEnvironmentVariables"] == []
    first, last = (e for e in world.bus.events if e["detail-type"] == "CodeBuild Build State Change")
    assert (first["detail"]["build-status"], first["detail"]["current-phase"]) == ("IN_PROGRESS", "SUBMITTED")
    detail = last["detail"]
    assert (detail["build-status"], detail["build-id"], last["resources"]) == (
        "SUCCEEDED",
        started["arn"],
        [started["arn"]],
    )
    information = detail["additional-information"]
    assert information["build-start-time"] == "Nov 23, 2026 3:04:05 PM"
    assert {"name": "CLAIM", "value": "c1", "type": "PLAINTEXT"} in information["environment"]["environment-variables"]
    assert set(information["phases"][-1]) == {"phase-type", "start-time"}


def test_a_failed_builds_cause_is_in_its_phases_only(tmp_path: Path) -> None:
    """current-phase says COMPLETED, and later phases succeeded, as in AWS."""
    message = "COMMAND_EXECUTION_ERROR: Error while executing command: pytest. Reason: exit status 1"
    engine = ScriptedEngine(lambda job: BuildOutcome("FAILED", message), manual=True)
    with LocalAws(tmp_path / "state", engine, keep=False) as local_aws, local_aws.in_process() as faults:
        world = made(World(local_aws, engine, faults, None), tmp_path)
        local_aws.codecommit.commit("heart", "main", {"a": b""}, "one")
        build = world.client("codebuild").start_build(projectName="heart-build")["build"]
        engine.finish_all()
        phases = world.client("codebuild").batch_get_builds(ids=[build["id"]])["builds"][0]["phases"]
        bad = [phase for phase in phases if phase.get("phaseStatus") == "FAILED"]
        assert bad[0]["contexts"][0]["statusCode"] == "COMMAND_EXECUTION_ERROR"
        detail = world.last("CodeBuild Build State Change")["detail"]
        assert (detail["build-status"], detail["current-phase"]) == ("FAILED", "COMPLETED")
        told = [phase for phase in detail["additional-information"]["phases"] if phase.get("phase-status") == "FAILED"]
        assert told[0]["phase-context"] == [message]
        assert local_aws.ecr.images("heart") == []


def test_an_idempotency_token_lives_five_minutes(world: World) -> None:
    """Within them the same build, or a refusal when anything differs; after them a new build."""
    codebuild = world.client("codebuild")
    world.local_aws.codecommit.commit("heart", "main", {"a": b""}, "one")
    ask = {"projectName": "heart-build", "idempotencyToken": "t"}
    first = codebuild.start_build(**ask)["build"]["id"]
    world.clock.advance(299)
    assert codebuild.start_build(**ask)["build"]["id"] == first
    with pytest.raises(ClientError) as refused:
        codebuild.start_build(**ask, sourceVersion="main")
    assert code_of(refused) == "InvalidInputException"
    world.clock.advance(2)
    second = codebuild.start_build(**ask)["build"]["id"]
    assert codebuild.list_builds_for_project(projectName="heart-build")["ids"] == [second, first]
    with pytest.raises(ClientError) as refused:
        codebuild.start_build(projectName="lung-build")
    assert code_of(refused) == "ResourceNotFoundException"


def test_builds_are_listed_in_pages_of_a_hundred(local: World) -> None:
    """Newest first, the next page by its token. Here a page is as long as CodeBuild's own."""
    local.local_aws.lists.most = None
    local.local_aws.codecommit.commit("heart", "main", {"a": b""}, "one")
    codebuild = local.client("codebuild")
    ids = [codebuild.start_build(projectName="heart-build")["build"]["id"] for _ in range(101)]
    page = codebuild.list_builds_for_project(projectName="heart-build")
    assert page["ids"] == ids[:0:-1]
    rest = codebuild.list_builds_for_project(projectName="heart-build", nextToken=page["nextToken"])
    assert (rest["ids"], "nextToken" in rest) == ([ids[0]], False)


def test_a_stopped_build_ends_stopped_and_pushes_nothing(world: World) -> None:
    """StopBuild asks; the engine answers."""
    world.local_aws.codecommit.commit("heart", "main", {"a": b""}, "one")
    build = world.client("codebuild").start_build(projectName="heart-build")["build"]["id"]
    world.client("codebuild").stop_build(id=build)
    world.engine.finish_all()
    assert world.client("codebuild").batch_get_builds(ids=[build])["builds"][0]["buildStatus"] == "STOPPED"
    assert world.local_aws.ecr.images("heart") == []


def test_a_build_of_a_missing_commit_fails_at_its_source(local: World) -> None:
    """What cannot be fetched is the build's failure, not the call's."""
    build = local.client("codebuild").start_build(projectName="heart-build", sourceVersion="e" * 40)["build"]["id"]
    local.engine.finish_all()
    told = local.client("codebuild").batch_get_builds(ids=[build])["builds"][0]
    assert (told["buildStatus"], told["phases"][-2]["phaseType"]) == ("FAILED", "DOWNLOAD_SOURCE")


# CodeDeploy


def test_a_deployment_goes_from_start_to_success(world: World) -> None:
    """Statuses, targets and all four events of a deployment that succeeds."""
    codedeploy = world.client("codedeploy")
    id_ = deploy(world, description="esteira c1 v1")
    assert (id_[:2], len(id_)) == ("d-", 11)
    assert codedeploy.get_deployment(deploymentId=id_)["deploymentInfo"]["status"] == "InProgress"
    world.engine.finish_all()
    info = codedeploy.batch_get_deployments(deploymentIds=[id_])["deploymentsInfo"][0]
    assert (info["status"], info["description"], info["deploymentOverview"]["Succeeded"]) == (
        "Succeeded",
        "esteira c1 v1",
        1,
    )
    targets = codedeploy.list_deployment_targets(deploymentId=id_)["targetIds"]
    told = codedeploy.batch_get_deployment_targets(deploymentId=id_, targetIds=targets)["deploymentTargets"]
    assert told[0]["instanceTarget"]["status"] == "Succeeded"
    events = [event for event in world.bus.events if event["source"] == "aws.codedeploy"]
    assert [(e["detail-type"].split()[1], e["detail"]["state"]) for e in events] == [
        ("Deployment", "START"),
        ("Instance", "START"),
        ("Instance", "SUCCESS"),
        ("Deployment", "SUCCESS"),
    ]
    detail = events[-1]["detail"]
    assert (detail["deploymentId"], detail["application"], detail["deploymentGroup"]) == (id_, "heart", "production")
    assert "arn:aws:codedeploy:us-east-1:123456789012:deploymentgroup:heart/production" in events[-1]["resources"]


def test_a_failed_deployment_shows_its_scripts_last_lines(tmp_path: Path) -> None:
    """errorInformation, the lifecycle events after the failure, and the log's tail."""
    bad = DeployOutcome(False, "not healthy after 30 s", "ValidateService", "Traceback: boom")
    engine = ScriptedEngine(deploy=lambda job: bad, manual=True)
    with LocalAws(tmp_path / "state", engine, keep=False) as local_aws, local_aws.in_process() as faults:
        world = made(World(local_aws, engine, faults, None), tmp_path)
        id_ = deploy(world)
        engine.finish_all()
        codedeploy = world.client("codedeploy")
        info = codedeploy.get_deployment(deploymentId=id_)["deploymentInfo"]
        assert info["errorInformation"] == {"code": "HEALTH_CONSTRAINTS", "message": "not healthy after 30 s"}
        (target,) = codedeploy.list_deployment_targets(deploymentId=id_)["targetIds"]
        told = codedeploy.get_deployment_target(deploymentId=id_, targetId=target)["deploymentTarget"]["instanceTarget"]
        last = told["lifecycleEvents"][-1]
        assert (last["status"], last["diagnostics"]["errorCode"]) == ("Failed", "ScriptFailed")
        assert last["diagnostics"]["logTail"] == "Traceback: boom"
        assert world.last("CodeDeploy Deployment State-change Notification")["detail"]["state"] == "FAILURE"


def test_a_deployment_whose_group_has_no_host_never_starts(tmp_path: Path) -> None:
    """No target is told before the first host begins; CodeDeploy's own error is the deployment's."""
    engine = ScriptedEngine(manual=True, there=())
    with LocalAws(tmp_path / "state", engine, keep=False) as local_aws, local_aws.in_process() as faults:
        world = made(World(local_aws, engine, faults, None), tmp_path)
        codedeploy = world.client("codedeploy")
        id_ = deploy(world)
        assert codedeploy.get_deployment(deploymentId=id_)["deploymentInfo"]["status"] == "Created"
        for ask in (
            lambda: codedeploy.list_deployment_targets(deploymentId=id_),
            lambda: codedeploy.batch_get_deployment_targets(deploymentId=id_, targetIds=[HOST]),
            lambda: codedeploy.get_deployment_target(deploymentId=id_, targetId=HOST),
        ):
            with pytest.raises(ClientError) as refused:
                ask()
            assert code_of(refused) == "DeploymentNotStartedException"
        engine.finish_all()
        info = codedeploy.get_deployment(deploymentId=id_)["deploymentInfo"]
        assert (info["status"], info["errorInformation"]["code"]) == ("Failed", "NO_INSTANCES")
        events = [event for event in world.bus.events if event["source"] == "aws.codedeploy"]
        assert [event["detail"]["state"] for event in events] == ["FAILURE"]


def test_a_group_takes_one_deployment_at_a_time(world: World) -> None:
    """A second one is refused until the first has ended, a stopped one being an ended one."""
    first = deploy(world)
    with pytest.raises(ClientError) as refused:
        deploy(world)
    assert code_of(refused) == "DeploymentLimitExceededException"
    codedeploy = world.client("codedeploy")
    assert codedeploy.stop_deployment(deploymentId=first)["status"] == "Pending"
    world.engine.finish_all()
    with pytest.raises(ClientError) as refused:
        codedeploy.stop_deployment(deploymentId=first)
    assert code_of(refused) == "DeploymentAlreadyCompletedException"
    second = deploy(world)
    ask = {"applicationName": "heart", "deploymentGroupName": "production"}
    assert set(codedeploy.list_deployments(**ask)["deployments"]) == {second, first}
    assert codedeploy.list_deployments(**ask, includeOnlyStatuses=["Stopped"])["deployments"] == [first]


def test_a_deployment_of_what_is_not_there_is_refused(world: World) -> None:
    """No bundle, no group, too long a description: AWS's names for each."""
    gone = {"revisionType": "S3", "s3Location": {"bucket": "bundles", "key": "gone.zip", "bundleType": "zip"}}
    for given, code in (
        ({"revision": gone}, "RevisionDoesNotExistException"),
        ({"deploymentGroupName": "staging"}, "DeploymentGroupDoesNotExistException"),
        ({"description": "x" * 257}, "DescriptionTooLongException"),
    ):
        with pytest.raises(ClientError) as refused:
            deploy(world, **given)
        assert code_of(refused) == code
    assert world.local_aws.codedeploy.deployments() == []


# DynamoDB, beside what tests/integration/test_dynamodb.py says of it


def test_a_transactions_token_is_forgotten_after_ten_minutes(world: World) -> None:
    """By the world's own clock."""
    dynamodb = world.client("dynamodb")
    update = {
        "TableName": "facts",
        "Key": {"pk": {"S": "heart"}, "sk": {"S": "counter"}},
        "UpdateExpression": "ADD n :n",
        "ExpressionAttributeValues": {":n": {"N": "1"}},
    }
    for passed, counted in ((0, "1"), (599, "1"), (2, "2")):
        world.clock.advance(passed)
        dynamodb.transact_write_items(TransactItems=[{"Update": update}], ClientRequestToken="t")
        assert dynamodb.scan(TableName="facts")["Items"][0]["n"] == {"N": counted}


# the bus and the functions


def counting(failures: int, error: BaseException | None = None) -> tuple[Any, list[Any]]:
    """A handler that fails so many times first, and what it was called with."""
    calls: list[Any] = []

    def handler(event: Any, context: Any) -> Any:
        calls.append(event)
        if len(calls) <= failures:
            raise error or ValueError("no")
        return {"called": len(calls), "function": context.function_name}

    return handler, calls


def bus_of(handler: Any, **more: Any) -> Bus:
    """A bus with one rule and one function."""
    functions = Functions([LocalFunction("esteira-intake", handler, "IntakeFunction", "letters", destination=False)])
    return Bus([EventRule("r", {"source": ["aws.ecr"]}, ("IntakeFunction",))], functions, Clock.stopped(START), **more)


def test_an_event_reaches_the_functions_its_rules_name() -> None:
    """Matched events are delivered, others are not."""
    handler, calls = counting(0)
    bus = bus_of(handler)
    bus.emit("aws.ecr", "ECR Image Action", [], {"a": 1})
    bus.emit("aws.ec2", "EC2 Something", [], {})
    (delivered,) = bus.deliver_all()
    assert delivered.answer.payload == {"called": 1, "function": "esteira-intake"}
    assert calls[0]["detail"] == {"a": 1}


@pytest.mark.parametrize("error", [ValueError("no"), Crash("died")])
def test_a_failing_function_is_tried_three_times_then_buried(tmp_path: Path, error: BaseException) -> None:
    """Two more tries, then the dead letter with the bare event, in the list and in the file."""
    handler, calls = counting(9, error)
    bus = bus_of(handler, letters_file=tmp_path / "letters.jsonl")
    bus.emit("aws.ecr", "ECR Image Action", [], {"a": 1})
    bus.deliver_all()
    assert len(calls) == 3
    (letter,) = bus.letters
    assert json.loads(letter["Body"])["detail"] == {"a": 1}
    assert type(error).__name__ in letter["MessageAttributes"]["ErrorMessage"]["StringValue"]
    assert json.loads((tmp_path / "letters.jsonl").read_text())["Queue"] == "letters"


def test_a_function_that_recovers_is_not_buried() -> None:
    """The second try heals what the first did not."""
    handler, calls = counting(1)
    bus = bus_of(handler)
    bus.emit("aws.ecr", "ECR Image Action", [], {})
    bus.deliver_all()
    assert (len(calls), bus.letters) == (2, [])


def test_chaos_loses_doubles_and_shuffles_the_same_way_each_time() -> None:
    """The dice decide, and the same dice decide the same."""

    def run() -> list[int]:
        handler, calls = counting(0)
        chaos = Chaos(lose=0.3, duplicate=0.3, shuffle=True, dice=random.Random(7))
        bus = bus_of(handler, chaos=chaos)
        for n in range(50):
            bus.emit("aws.ecr", "ECR Image Action", [], {"n": n})
        bus.deliver_all()
        return [call["detail"]["n"] for call in calls]

    once = run()
    assert once == run()
    assert len(set(once)) < 50
    assert len(once) > len(set(once))
    assert once != sorted(once)


def test_workers_deliver_in_the_background_and_pause() -> None:
    """With threads nothing needs pumping; a paused bus keeps its queue."""
    handler, calls = counting(1)
    bus = bus_of(handler, retry_delays=(0.0, 0.0), schedules=[Schedule("s", "IntakeFunction", "rate(5 minutes)")])
    bus.paused = True
    bus.start(workers=2)
    bus.emit("aws.ecr", "ECR Image Action", [], {})
    bus.tick()
    assert len(bus.waiting()) == 2
    bus.paused = False
    assert bus.wait_idle()
    bus.stop()
    assert len(calls) == 3
    assert sorted({call["detail-type"] for call in calls}) == ["ECR Image Action", "Scheduled Event"]


def test_functions_of_a_template_are_loaded_from_their_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A declared function runs its handler with its environment; two meanings of one variable are refused."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("STAGE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "before")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "local_greeter.py").write_text("import os\ndef handler(e, c): return os.environ['STAGE'] + e")
    spec = FunctionSpec("F", "f", "local_greeter.handler", "code/", {"STAGE": "production"}, 3.0, 128)
    functions = from_specs([spec], tmp_path)
    set_environment({"f": spec.environment})
    assert functions.call("F", "!").payload == "production!"
    with pytest.raises(ValueError, match="f and g give STAGE two values"):
        set_environment({"f": spec.environment, "g": {"STAGE": "staging"}})
    with pytest.raises(UnknownFunctionError, match="correct Handler or CodeUri"):
        from_specs([replace(spec, handler="nowhere.handler")], tmp_path)


def test_a_client_made_for_an_endpoint_is_answered_in_process_too(
    local: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever AWS_ENDPOINT_URL says, no socket is opened inside in_process."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    local.client("s3").put_object(Bucket="bundles", Key="k", Body=b"1")
    assert local.client("s3").get_object(Bucket="bundles", Key="k")["Body"].read() == b"1"
    assert local.client("sns").list_topics()["Topics"]


def test_put_events_goes_through_the_same_rules(world: World) -> None:
    """An event from boto3 is an event; a malformed one is refused in its place."""
    entries = [
        {"Source": "esteira", "DetailType": "Release Phase Changed", "Detail": '{"release": "v1"}'},
        {"Source": "esteira", "DetailType": "Release Phase Changed", "Detail": "{"},
    ]
    told = world.client("events").put_events(Entries=entries)
    assert (told["FailedEntryCount"], told["Entries"][1]["ErrorCode"]) == (1, "MalformedDetail")
    (event,) = world.bus.events
    assert (event["source"], event["detail"], event["id"]) == (
        "esteira",
        {"release": "v1"},
        told["Entries"][0]["EventId"],
    )


def test_invoke_answers_errors_as_lambda_does_and_holds_no_lock(tmp_path: Path) -> None:
    """A handler may call AWS itself, from either door; an exception is an error body and a header."""
    engine = ScriptedEngine(manual=True)

    def operate(event: Any, context: Any) -> Any:
        if event.get("bad"):
            raise KeyError("release")
        return {"topics": len(world.client("sns").list_topics()["Topics"])}

    bus = Bus(functions=Functions([LocalFunction("esteira-operate", operate)]))
    with LocalAws(tmp_path / "state", engine, bus, keep=False) as local_aws, AwsServer(local_aws, "local") as server:
        for url in (server.url, None):
            world = World(local_aws, engine, None, url)
            with local_aws.in_process() if url is None else threading.Lock():
                client = world.client("lambda")
                good = client.invoke(FunctionName="esteira-operate", Payload=b"{}")
                assert (good["StatusCode"], json.loads(good["Payload"].read())) == (200, {"topics": 0})
                bad = client.invoke(FunctionName="esteira-operate", Payload=b'{"bad": 1}')
                body = json.loads(bad["Payload"].read())
                assert (bad["FunctionError"], body["errorType"]) == ("Unhandled", "KeyError")
                later = client.invoke(FunctionName="esteira-operate", InvocationType="Event", Payload=b"{}")
                assert later["StatusCode"] == 202
                assert [delivered.answer.error for delivered in bus.deliver_all()] == [""]
                with pytest.raises(ClientError) as refused:
                    client.invoke(FunctionName="nobody")
                assert code_of(refused) == "ResourceNotFoundException"


# doors


def test_what_nobody_implemented_is_a_501_with_a_sentence(world: World) -> None:
    """No HTML, no retries: the name of the action and what to do."""
    with pytest.raises(ClientError) as refused:
        world.client("dynamodb").describe_kinesis_streaming_destination(TableName="facts")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert "the local AWS does not have it" in str(refused.value)


def test_the_rest_of_what_the_controller_calls_is_there(world: World) -> None:
    """S3, SSM and SNS answer by moto, behind either door."""
    s3 = world.client("s3")
    s3.put_object(Bucket="bundles", Key="a/b.zip", Body=b"\x00zip")
    assert s3.get_object(Bucket="bundles", Key="a/b.zip")["Body"].read() == b"\x00zip"
    found = world.client("ssm").get_parameters_by_path(Path="/esteira/services/")["Parameters"]
    assert [row["Name"] for row in found] == ["/esteira/services/heart"]
    topic = world.client("sns").list_topics()["Topics"][0]["TopicArn"]
    assert world.client("sns").publish(TopicArn=topic, Message="v1 is live")["MessageId"]


def test_resources_are_made_once(world: World, tmp_path: Path) -> None:
    """Creating them again changes nothing."""
    create_resources(stack_of(tmp_path), world.client)
    assert world.client("dynamodb").list_tables()["TableNames"] == ["facts"]
    assert world.client("ssm").get_parameter(Name="/esteira/services/heart")["Parameter"]["Version"] == 1
    assert world.client("codebuild").batch_get_projects(names=["heart-build"])["projects"][0]["name"] == "heart-build"


def test_a_throttled_call_is_not_performed_and_a_crash_after_one_is(tmp_path: Path) -> None:
    """Faults come before or after the call, and the count includes the calls that failed."""
    engine = ScriptedEngine(manual=True)
    trouble: list[tuple[When, BaseException]] = []

    def hook(when: When, call: Call) -> None:
        if trouble and trouble[0][0] == when and call.operation == "PutItem":
            error = trouble.pop(0)[1]
            raise Throttle(call) if isinstance(error, Throttle) else error

    with LocalAws(tmp_path / "state", engine, keep=False) as local_aws, local_aws.in_process(Faults(hook)) as faults:
        dynamodb = made(World(local_aws, engine, faults, None), tmp_path).client("dynamodb")
        trouble.append(("before", Throttle(Call("dynamodb", "PutItem", {}))))
        with pytest.raises(ClientError) as refused:
            put(dynamodb, "one")
        assert code_of(refused) == "ThrottlingException"
        trouble.append(("after", Crash("died")))
        with pytest.raises(Crash):
            put(dynamodb, "two")
        assert [item["sk"]["S"] for item in dynamodb.scan(TableName="facts")["Items"]] == ["two"]
        assert faults.counts["dynamodb:PutItem"] == 2


@pytest.mark.parametrize(("when", "left"), [("before", "ac"), ("after", "abc")])
def test_a_crash_point_is_a_number_and_a_side(tmp_path: Path, when: When, left: str) -> None:
    """crash_at dies at its call, once."""
    engine = ScriptedEngine(manual=True)
    with LocalAws(tmp_path / "state", engine, keep=False) as local_aws:
        with local_aws.in_process():
            dynamodb = made(World(local_aws, engine, None, None), tmp_path).client("dynamodb")
        with local_aws.in_process(Faults(crash_at(2, when))):
            put(dynamodb, "a")
            with pytest.raises(Crash):
                put(dynamodb, "b")
            put(dynamodb, "c")
        with local_aws.in_process():
            assert "".join(item["sk"]["S"] for item in dynamodb.scan(TableName="facts")["Items"]) == left


def test_the_server_listens_on_this_machine_only(tmp_path: Path) -> None:
    """Any other address is refused with the reason."""
    local_aws = LocalAws(tmp_path, ScriptedEngine(), keep=False)
    with pytest.raises(ValueError, match=r"127\.0\.0\.1 only"):
        AwsServer(local_aws, host="0.0.0.0")


# threads and restarts


class Waiting:
    """An engine whose builds run until they are stopped."""

    name = "waiting"

    def __init__(self) -> None:
        self.began = threading.Event()

    def build(self, job: BuildJob) -> BuildResult:
        """Wait for the stop."""
        self.began.set()
        job.stop.wait()
        return BuildResult("STOPPED", (BuildPhase("BUILD", "STOPPED", START, START),))

    def deploy(self, job: DeployJob) -> DeployResult:
        """Break."""
        raise OSError(f"no room for {job.deployment_id}")

    def close(self) -> None:
        """Nothing to end."""


def test_a_build_runs_in_a_thread_and_an_engine_that_breaks_is_a_failed_deployment(tmp_path: Path) -> None:
    """The call returns at once; what the engine raises becomes the deployment's error."""
    engine = Waiting()
    with LocalAws(tmp_path / "state", engine, keep=False) as local_aws, local_aws.in_process() as faults:
        world = made(World(local_aws, ScriptedEngine(), faults, None), tmp_path)
        local_aws.codecommit.commit("heart", "main", {"a": b""}, "one")
        world.client("codebuild").start_build(projectName="heart-build")
        assert engine.began.wait(30)
        assert local_aws.codebuild.builds()[0]["buildStatus"] == "IN_PROGRESS"
        deploy(world)
    assert local_aws.codebuild.builds()[0]["buildStatus"] == "STOPPED"
    (deployment,) = local_aws.codedeploy.deployments()
    assert deployment["status"] == "Failed"
    assert "OSError: no room for d-" in deployment["errorInformation"]["message"]


@pytest.mark.parametrize("over_http", [False, True])
def test_what_was_there_is_there_after_a_restart(tmp_path: Path, over_http: bool) -> None:
    """Repositories, images, items, parameters, objects, builds and deployments survive stop and start."""
    told: list[Any] = []
    for run in range(2):
        engine = ScriptedEngine(manual=True)
        with (
            LocalAws(tmp_path / "state", engine, Bus(clock=Clock.stopped(START))) as local_aws,
            AwsServer(local_aws, "local") as server,
        ):
            world = World(local_aws, engine, None, server.url if over_http else None)
            with threading.Lock() if over_http else local_aws.in_process():
                create_resources(stack_of(tmp_path), world.client)
                if run == 0:
                    local_aws.codecommit.commit("heart", "main", {"a": b""}, "one")
                    world.client("codebuild").start_build(projectName="heart-build")
                    engine.finish_all()
                    deploy(world)
                    engine.finish_all()
                    put(world.client("dynamodb"), "fact")
                told.append(remembered(world))
    assert told[0] == told[1]


def remembered(world: World) -> dict[str, Any]:
    """What a restart must not lose."""
    ask = world.client
    builds = ask("codebuild").list_builds_for_project(projectName="heart-build")["ids"]
    listed = ask("codedeploy").list_deployments(applicationName="heart", deploymentGroupName="production")
    return {
        "tip": ask("codecommit").get_branch(repositoryName="heart", branchName="main")["branch"],
        "repository": ask("codecommit").get_repository(repositoryName="heart")["repositoryMetadata"],
        "images": ask("ecr").describe_images(repositoryName="heart")["imageDetails"],
        "items": ask("dynamodb").scan(TableName="facts")["Items"],
        "parameter": ask("ssm").get_parameter(Name="/esteira/services/heart")["Parameter"]["Value"],
        "bundle": ask("s3").get_object(Bucket="bundles", Key="v1.zip")["Body"].read(),
        "builds": ask("codebuild").batch_get_builds(ids=builds)["builds"],
        "deployments": ask("codedeploy").batch_get_deployments(deploymentIds=listed["deployments"])["deploymentsInfo"],
    }


def test_a_build_that_was_killed_with_the_stack_ends_with_a_sentence(tmp_path: Path) -> None:
    """Nothing stays in progress that nobody works on."""
    for run in range(2):
        engine = ScriptedEngine(manual=True)
        with LocalAws(tmp_path / "state", engine) as local_aws, local_aws.in_process():
            world = World(local_aws, engine, None, None)
            create_resources(stack_of(tmp_path), world.client)
            if run == 0:
                local_aws.codecommit.commit("heart", "main", {"a": b""}, "one")
                world.client("codebuild").start_build(projectName="heart-build")
                deploy(world)
    (build,) = local_aws.codebuild.builds()
    (deployment,) = local_aws.codedeploy.deployments()
    assert (build["buildStatus"], deployment["status"]) == ("FAULT", "Failed")
    assert "was stopped while this deployment ran" in deployment["errorInformation"]["message"]
    assert {event["detail"].get("build-status") or event["detail"].get("state") for event in local_aws.bus.events} >= {
        "FAULT",
        "FAILURE",
    }
