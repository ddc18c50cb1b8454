"""A site in an account: the controller by ``sam deploy`` the service by ``add-service``, as a person deploys them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from console.cli import service_stack
from console.cli.change_set import StackWork, follow_stack, stack_failures, standing
from console.doctor.checks import judge
from console.doctor.eyes import Eyes
from console.doctor.look import examine
from console.local.paths import SERVICE_TEMPLATE, TEMPLATE
from console.local.sam import artifact
from console.local.sam.sam_cli import SamError, last_words, sam
from console.prove.account import is_aws
from console.prove.notes import ProofNotes
from console.read.remote import Controller
from console.read.where import TroubleError, Where
from esteira.store.projections import View

PUSHES = "IntakeFunctionRepositoryChanged"  # SAM calls a rule after its function and its event
PATIENCE = timedelta(minutes=30)
UNASKED = {"who hears alarms"}  # a proof names nobody


class AwsSite:
    """The stacks of one proof in the account of ``where``.

    ``given`` makes the clients, ``environment`` is the SAM CLI's, ``built`` is a folder with templates that are built:
    for an emulator.
    """

    def __init__(
        self,
        where: Where,
        notes: ProofNotes,
        say: Callable[[str], None],
        given: Callable[[str], Any] | None = None,
        environment: Mapping[str, str] | None = None,
        built: Path | None = None,
    ) -> None:
        self.stack, self.service, self.commits = notes.stack, notes.service, notes.commits
        self._where, self._notes, self._say = replace(where, stack=notes.stack), notes, say
        self._given, self._environment, self._built = given, environment, built
        self.client = Controller(self._where, given).client
        self.real = is_aws(self.client("sts"))

    def now(self) -> datetime:
        """This machine's clock."""
        return datetime.now(UTC)

    def pause(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def deploy(self) -> None:
        """``make build``, then ``sam deploy``."""
        template = ["--template-file", str(self._built / TEMPLATE.name)] if self._built else []
        if not self._built and artifact.main(["--architecture", self._notes.architecture]):
            raise TroubleError("the functions were not built. Next: make build")
        given = [f"Architecture={self._notes.architecture}", "TraceShare=1", "LogRetentionDays=1"]
        words = [
            *template,
            "--resolve-s3",
            "--no-confirm-changeset",
            "--no-progressbar",
            "--no-fail-on-empty-changeset",
            "--capabilities",
            "CAPABILITY_NAMED_IAM",
        ]
        self._sam("deploy", *words, "--parameter-overrides", *given)

    def add_service(self, *, adopt: bool = False) -> None:
        """`esteira add-service`."""
        given = {"Architecture": self._notes.architecture, "LogRetentionDays": "1"}
        service_stack.add(self._work, self.service, given, adopt=adopt)

    def remove_service(self) -> None:
        """`esteira remove-service`, where it stands."""
        self._delete(service_stack.stack_of(self.stack, self.service))

    def remove_controller(self) -> None:
        """``sam delete``, which takes the artifacts out of SAM's bucket too."""
        if standing(self._work, self.stack) is None:
            self.client("cloudformation").delete_stack(StackName=self.stack)  # a first change set makes a stack too
            return
        self._sam("delete", "--no-prompts")
        row = standing(self._work, self.stack)
        if row is not None:
            raise TroubleError(f"{self.stack} is {row['StackStatus']} after sam delete. Next: esteira prove --clean-up")

    def stands(self, of: str) -> str:
        """CloudFormation's own words."""
        stack = self.stack if of == "controller" else service_stack.stack_of(self.stack, self.service)
        row = standing(self._work, stack)
        if row is None or row["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            return ""
        pages = self.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=stack)
        events = [event for page in pages for event in page["StackEvents"]]
        signals = [e["ResourceStatusReason"] for e in events if "signal" in e.get("ResourceStatusReason", "")]
        return "; ".join([f"{stack} is {row['StackStatus']}", *dict.fromkeys(signals)])

    def attended(self) -> list[str]:
        """From an examination as `esteira doctor` makes it."""
        findings = judge(examine(Eyes(self._controller, self.now, wanted=self.service)))
        return [f"{o.check}: {o.says}" for o in findings if o.verdict == "attend" and o.check not in UNASKED]

    def push(self, word: str, files: Mapping[str, bytes]) -> None:
        """A commit by CodeCommit's own API, which moves the branch as a push does."""
        codecommit = self.client("codecommit")
        rows = [{"filePath": path, "fileContent": content} for path, content in files.items()]
        parent: dict[str, str] = {}
        try:
            branch = codecommit.get_branch(repositoryName=self.service, branchName="main")["branch"]
            parent = {"parentCommitId": branch["commitId"]}
        except ClientError as error:
            if error.response["Error"]["Code"] != "BranchDoesNotExistException":
                raise
        asked = {"repositoryName": self.service, "branchName": "main", "putFiles": rows, **parent}
        made = codecommit.create_commit(**asked, commitMessage=f"{word} of a proof")
        self.commits[word] = made["commitId"]
        self._notes.write()

    def hear_pushes(self, heard: bool) -> None:
        """Switch the rule for pushes."""
        told = self.client("cloudformation").describe_stack_resource(StackName=self.stack, LogicalResourceId=PUSHES)
        rule = told["StackResourceDetail"]["PhysicalResourceId"]
        events = self.client("events")
        (events.enable_rule if heard else events.disable_rule)(Name=rule)

    def release_of(self, word: str) -> View | None:
        """From the controller's table."""
        store = self._controller.store
        number = store.find(self.service, self.commits[word])
        return None if number is None else store.announced(self.service, number, ())[0]

    @cached_property
    def _controller(self) -> Controller:
        return Controller(self._where, self._given)

    @property
    def _work(self) -> StackWork:
        template = (self._built or SERVICE_TEMPLATE.parent) / SERVICE_TEMPLATE.name
        return StackWork(self._controller, self.now, self.pause, self._say, PATIENCE, self._say, template)

    def _delete(self, stack: str) -> None:
        work, since = self._work, self.now()
        row = standing(work, stack)
        if row is None:
            work.cloudformation.delete_stack(StackName=stack)  # a first change set makes a stack too
            return
        work.cloudformation.delete_stack(StackName=row["StackId"])
        status = follow_stack(work, row["StackId"], since)
        if status != "DELETE_COMPLETE":
            raise TroubleError(f"{stack} was not deleted: {stack_failures(work, row['StackId'], since)}")

    def _sam(self, verb: str, *words: str) -> None:
        profile = ["--profile", self._where.profile] if self._where.profile else []
        place = ["--stack-name", self.stack, "--region", self._notes.region, *profile]
        try:
            came = sam([verb, *place, *words], self._environment)
        except SamError as error:
            raise TroubleError(str(error)) from None
        if came.returncode:
            raise TroubleError(f"sam {verb} failed. {last_words(came)} Next: mend that, then esteira prove again")
