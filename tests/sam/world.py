"""A local AWS on one port that a story is played on, the same each time: nothing in it ends by itself, its ids come
from dice that always fall alike, and its clock stands still. Only the functions read the true time.

moto's backends belong to the process, so there is one world at a time.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import boto3

from console.local.aws.aws_server import AwsServer
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws.git import NOTHING
from console.local.aws.resources import create_resources
from console.local.aws.stack import LocalAws
from console.local.aws_account import ACCESS_KEY, credentials
from console.local.paths import ROOT, TEMPLATE
from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome, ScriptedEngine, manifest_for
from console.local.template import Stack, read, with_service
from console.local.up.laptop import CREDENTIALS_FILE
from esteira.audit import hash_of
from esteira.claims import CLAIM_VARIABLE

SECRET = "of every world"
CREDENTIALS = credentials(SECRET)
EVENTS = ROOT / "events"
SERVICE, GROUP = "heart", "heart-production"
# The ids of events/, for which a world puts its own.
COMMIT = "8f3b6c1de2a94705b1c6d3e8f7a0925b4c1d7e60"
BUILD = "heart-build:b893d605-40aa-5a2e-90e2-a45f40e71ce0"
CLAIM = "heart/v1/build/1"
DIGEST = "sha256:09f16fd5c5d20585a468b7da65b92aecb6f0359278734306745d3810cb89ac07"
DEPLOYMENT = "d-7QX1M4K2B"
OWN = re.compile(r'("(?:owner|token)": \{"S": )"[0-9a-f]{32}"')
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?")
SEAL = re.compile(r"(?<=seen=)[0-9a-f]{32}|(?<=checkpoint=)[0-9a-f]{12,64}")  # in a deployment's description
SECOND = re.compile(r"(?<=\"N\": \")1[78]\d{8}(?=\")")  # seconds since 1970, as `expires` has them

BUILDS = {
    "codebuild_succeeded": BuildOutcome(),
    "codebuild_failed": BuildOutcome("FAILED", "COMMAND_EXECUTION_ERROR: exit status 1"),
    "codebuild_stopped": BuildOutcome("STOPPED"),
    "codebuild_timed_out": BuildOutcome("TIMED_OUT"),
}
DEPLOYMENTS = {
    "codedeploy_success": DeployOutcome(),
    "codedeploy_failure": DeployOutcome(succeeds=False, message="Script at specified location failed"),
}


@cache
def template() -> Stack:
    """Both templates, read once."""
    return with_service(read(TEMPLATE))


@dataclass
class World:
    """One world. ``before`` lets happen in it what an event tells of, ``addressed`` is the event about this world, and
    ``state`` is everything that a function can have changed."""

    local_aws: LocalAws
    url: str
    engine: ScriptedEngine
    outcomes: dict[str, Any]

    def client(self, name: str) -> Any:
        """A boto3 client that speaks to this world."""
        return client(self.url, name)

    def before(self, event: str) -> None:
        """Let happen in AWS what the event of that name will tell."""
        if event in ("codecommit_created", "codecommit_updated", "codecommit_merge"):
            number = len(self.outcomes["commits"]) + 1
            commit = self.local_aws.codecommit.commit(SERVICE, "main", {"app.py": f"v{number}".encode()}, "change")
            self.outcomes["commits"].append(commit)
        elif event == "codecommit_deleted":
            self.local_aws.codecommit.move(SERVICE, "refs/heads/main", NOTHING)
        elif event in BUILDS:
            self._end("build", BUILDS[event])
        elif event in DEPLOYMENTS:
            self._end("deploy", DEPLOYMENTS[event])
        elif event == "codedeploy_stop":
            self.client("codedeploy").stop_deployment(deploymentId=self._newest_deployment())
            self._end("deploy", DeployOutcome())
        elif event == "ecr_push_release_tag":
            self.outcomes["pushed"] = self.local_aws.ecr.push(SERVICE, manifest_for("from elsewhere"), "v1.2")

    def addressed(self, event: str) -> Any:
        """The document of that name in events/ with this world's ids for v1's commit, build, image and host."""
        text = (EVENTS / f"{event}.json").read_text()
        if event == "ecr_push_release_tag":
            digest = re.search(r"sha256:[0-9a-f]{64}", text)
            assert digest
            text = text.replace(digest[0], self.outcomes["pushed"])
        for there, here in self._ids():
            text = text.replace(there, here)
        return json.loads(text)

    def state(self) -> str:
        """The table, the builds, the images and the deployments as lines of text, without times."""
        (table,) = self.local_aws.dynamodb.dump().values()
        rows = timeless_rows(table)
        others: list[Any] = [[f"{b['id']} {b['buildStatus']}"] for b in self.local_aws.codebuild.builds()]
        others += [[image.digest, *sorted(image.tags)] for image in self.local_aws.ecr.images(SERVICE)]
        others += [
            [d["deploymentId"], d["status"], d.get("description", "")] for d in self.local_aws.codedeploy.deployments()
        ]
        text = "\n".join([*rows, *(timeless(json.dumps(other)) for other in others)])
        return re.sub(r"(git-[0-9a-f]{40})-[0-9a-f]{32}", r"\1", text)  # each run tells its builds other tags

    def _ids(self) -> Iterator[tuple[str, str]]:
        commits, builds = self.outcomes["commits"], self.local_aws.codebuild.builds()
        if commits:
            yield COMMIT, commits[-1]
        if builds:
            variables = builds[-1]["environment"]["environmentVariables"]
            yield BUILD, builds[-1]["id"]
            yield CLAIM, next(v["value"] for v in variables if v["name"] == CLAIM_VARIABLE)
        for image in self.local_aws.ecr.images(SERVICE):
            if commits and any(tag.startswith(f"git-{commits[-1]}-") for tag in image.tags):
                yield DIGEST, image.digest
        if self.local_aws.codedeploy.deployments():
            yield DEPLOYMENT, self._newest_deployment()

    def _newest_deployment(self) -> str:
        return str(self.local_aws.codedeploy.deployments()[-1]["deploymentId"])

    def _end(self, kind: str, outcome: BuildOutcome | DeployOutcome) -> None:
        self.outcomes[kind] = outcome
        self.engine.finish_all()


@contextmanager
def world(folder: Path, at: datetime, port: int = 0) -> Iterator[World]:
    """A world whose AWS thinks it is ``at``, at 127.0.0.1:``port``."""
    outcomes: dict[str, Any] = {"commits": []}
    engine = ScriptedEngine(lambda _: outcomes["build"], lambda _: outcomes["deploy"], manual=True)
    clock = Clock.stopped(at)
    bus = Bus(clock=clock, keep=False)  # no rules: a function hears what a test sends it, and nothing else
    # The dice are the same in each world, so that two of them differ in nothing that a function did not do.
    dice = random.Random(7)
    with (
        LocalAws(folder, engine, bus, clock, keep=False, dice=dice) as local_aws,
        AwsServer(local_aws, SECRET, port=port) as server,
    ):
        made = World(local_aws, server.url, engine, outcomes)
        create_resources(template(), made.client)
        yield made


@cache
def client(url: str, name: str) -> Any:
    """A boto3 client of whoever is at ``url``."""
    make: Any = boto3.client
    return make(
        name,
        endpoint_url=url,
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


def timeless(text: str) -> str:
    """The text with every moment, owner, token and seal in it replaced by one word: two runs never have the same."""
    return SEAL.sub("SEAL", OWN.sub(r'\1"OWN"', SECOND.sub("MOMENT", MOMENT.sub("MOMENT", text))))


def timeless_rows(rows: list[Any]) -> list[str]:
    """A table's rows as sorted lines without times, and without what a time goes into: what was seen is named by
    the hash of what it says without them, of a seal only what it seals is left.

    The rows are changed. The registration is left out: a process writes it down once in its life, and may have done so
    in another world.
    """
    seen: dict[str, str] = {}
    rows = [row for row in rows if _kind(row) != "configured"]
    for row in rows:
        if _kind(row) == "seen":
            row["rows"] = {"L": [{"S": line["S"].rpartition("\t")[0]} for line in row["rows"]["L"]]}
            says = timeless(json.dumps([row[name] for name in ("rows", "newest", "tip", "written")]))
            seen[row["sha256"]["S"]] = hash_of(says)[:16]
        elif _kind(row) in ("checkpoint", "requested", "round"):
            row.update({name: {"S": row[name]["S"] and "SHA256"} for name in ("sha256", "before") if name in row})
            row["rows"] = {"L": [{"S": checkpoint["S"].rpartition(" ")[0]} for checkpoint in row["rows"]["L"]]}
        elif "checkpoint" in row:  # its hash
            row["checkpoint"] = {"S": row["checkpoint"]["S"] and "SHA256"}
    lines = timeless("\n".join(json.dumps(row, sort_keys=True) for row in rows))
    for sha256, name in seen.items():
        lines = lines.replace(sha256, name)
    return sorted(lines.splitlines())


def _kind(row: Any) -> str:
    return str(row["fact"]["S"]) if "fact" in row else ""


def leave_note(state: Path, url: str) -> None:
    """What a running local stack leaves in its state folder: where it is, and by which keys."""
    keys = state / "credentials"
    keys.write_text(CREDENTIALS_FILE.format(key=ACCESS_KEY, secret=SECRET))
    note = {"endpoint": url, "pid": os.getpid(), "stack": "esteira", "credentials": str(keys)}
    (state / "local.json").write_text(json.dumps(note))


def variables(url: str) -> Mapping[str, str]:
    """What a function's environment needs beside what the template declares, to work against ``url``."""
    return {
        **CREDENTIALS,
        "AWS_REGION": CREDENTIALS["AWS_DEFAULT_REGION"],
        "AWS_ENDPOINT_URL": url,
        "POWERTOOLS_METRICS_DISABLED": "true",
        "POWERTOOLS_TRACE_DISABLED": "true",
    }
