"""What a test says and asks of a story, on whichever AWS it is played: in memory (``Story``), or on moto and git
(``tests.integration.conftest.Story``).

Nothing ends by itself: a test delivers events (``deliver``), ends builds and deployments (``end_build``,
``end_deployment``; ``play`` does all of it) and moves the clock.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from console.local.aws.api import AwsError
from console.local.aws.bus import Chaos
from console.local.aws.faults import Call, Crash, Hook, When
from console.local.engine import HOST, BuildJob, DeployJob
from console.local.rehearse.rehearsal_engine import BuildOutcome, DeployOutcome, ScriptedEngine, manifest_for
from console.local.stages import Rules
from console.read.release_lines import line as release_line
from esteira.core.facts import about_release, about_stage
from esteira.core.state import Snapshot, StageState
from esteira.core.status import Assessed, Status, assess
from esteira.fact import Fact
from esteira.snapshot import snapshot
from tests.world.world import World

PRODUCTION = "production"
# Put together here, so that nobody's scanner takes this file for a leak.
ACCESS_KEY_ID = "AKIA" + "QX7M4K2BZT5R9W3D"


class Steps:
    """The steps of a story. Builds and deployments end as ``builds`` and ``deploys`` say at that moment, but on the
    hosts of ``on`` as it says."""

    def scripted(self, there: Sequence[str]) -> ScriptedEngine:
        """The engine whose builds and deployments end as this story says."""
        self.builds: BuildOutcome = BuildOutcome()
        self.deploys: DeployOutcome = DeployOutcome()
        self.on: dict[str, DeployOutcome] = {}
        return ScriptedEngine(self._build, self._deploy, manual=True, there=there)

    # --- what is done

    def push(self, text: str = "", **files: str | None) -> str:
        """Commit ``text`` as app.py (and ``files``: dots are spelled ``_dot_``, slashes ``__``); nothing delivered."""
        named = {name.replace("__", "/").replace("_dot_", "."): body for name, body in files.items()}
        return self.change({"app.py": text, **named} if text else named)

    def change(self, files: dict[str, str | None]) -> str:
        """Commit ``files`` by their paths; None takes one away."""
        return self.commit({path: None if body is None else body.encode() for path, body in files.items()})

    def live(self, *texts: str) -> list[str]:
        """Bring a commit of each text to life, one after the other; the commits."""
        commits = []
        for text in texts:
            commits.append(self.push(text))
            self.play()
        return commits

    def push_image(self, content: str, tag: str) -> str:
        """Push an image from elsewhere; its digest."""
        return self.local_aws.ecr.push(self.service.images, manifest_for(content), tag)

    def deliver(self) -> None:
        """Deliver what is queued; no build or deployment ends."""
        self.bus.deliver_all()

    def wait(self, minutes: float = 0, *, seconds: float = 0) -> None:
        """Let time pass and sweep; no build or deployment ends."""
        self.clock.advance(minutes * 60 + seconds)
        self.sweep()
        self.deliver()

    def end_build(self) -> None:
        """End the oldest build that runs, and deliver what it says."""
        self._end(lambda name: not name.startswith("d-"))

    def end_deployment(self) -> None:
        """End the oldest deployment that runs, and deliver what it says."""
        self._end(lambda name: name.startswith("d-"))

    def lose_everything(self) -> None:
        """Let no event arrive from now on."""
        self.bus.chaos = Chaos(lose=1.0)

    def register(self, **configuration: Any) -> None:
        """Change the service's registration."""
        ssm = self.aws_client("ssm")
        (parameter,) = ssm.get_parameters_by_path(Path=self.context.settings.services_path, Recursive=True)[
            "Parameters"
        ]
        document = json.dumps(json.loads(parameter["Value"]) | configuration)
        ssm.put_parameter(Name=parameter["Name"], Value=document, Type="String", Overwrite=True)
        self.__dict__.pop("service", None)

    def foreign_deployment(self) -> str:
        """Deploy something to the service's group that esteira knows nothing of; its id."""
        bundles, key = self.service.bundles, "by-hand.zip"
        self.aws_client("s3").put_object(Bucket=bundles, Key=key, Body=b"zip")
        answer = self.aws_client("codedeploy").create_deployment(
            applicationName=self.service.application,
            deploymentGroupName=self.service.last.group,
            description="by hand",
            revision={"revisionType": "S3", "s3Location": {"bucket": bundles, "key": key, "bundleType": "zip"}},
        )
        return str(answer["deploymentId"])

    # --- what came of it

    @property
    def stage_state(self) -> StageState:
        """The stage production, from the table."""
        return self.state_of(PRODUCTION)

    def state_of(self, stage: str) -> StageState:
        """A stage, from the table."""
        return next(s for s in self.store.stages(self.service) if s.name == stage)

    def live_on(self, stage: str) -> int:
        """The release that is live on a stage, 0 if none is."""
        return self.state_of(stage).live

    def stands(self, number: int) -> Status:
        """Where a release stands in all, derived from its facts now."""
        return self.assessed(number).overall

    def stages_of(self, number: int) -> dict[str, str]:
        """A release's phase on each stage it came to, by the stage's name."""
        found = self.assessed(number).shown(self.snapshot(number).stages)
        return {name: status.phase.value for name, status in found.items()}

    def snapshot(self, *also: int) -> Snapshot:
        """The service as the table has it, with these releases."""
        return snapshot(self.store, self.service, self.clock.now(), also)

    def assessed(self, number: int) -> Assessed:
        """Where a release stands on each stage."""
        s = self.snapshot(number)
        release = s.release(number)
        assert release is not None, f"there is no v{number}"
        return assess(release, s.stages, self.clock.now())

    def why(self, number: int) -> str:
        """The sentence that explains where a release stands."""
        return self.stands(number).why

    def said_everywhere(self, number: int) -> dict[str, tuple[str, str]]:
        """A release's phase and sentence, without the log below it, by who says so."""
        stands = self.stands(number)
        (view,) = self.store.views(self.service.name, 1, number + 1)
        line = release_line(self.store, self.service, number, self.clock.now())
        return {
            "the facts": (stands.phase.value, stands.why),
            "the projection": (view.phase, view.why),
            "the console": (line.phase, line.why),
        }

    @property
    def phases(self) -> list[str]:
        """The phase of every release from v1 on, as the history lists it and as the facts give it: they must agree."""
        views = sorted(self.store.views(self.service.name, 1000), key=lambda v: v.number)
        listed = [(v.number, v.phase) for v in views]
        assert listed == [(n, self.stands(n).phase.value) for n in range(1, self.newest() + 1)]
        return [phase for _, phase in listed]

    def facts(self, number: int) -> list[Fact]:
        """Everything said about one release itself."""
        return list(self.store.facts(self.service.name, about_release(number)))

    def scans(self, digest: str) -> list[Fact]:
        """What is known of the scans of an image."""
        return list(self.store.facts(self.service.name, f"image/{digest}"))

    def rollouts(self, stage: str = PRODUCTION) -> int:
        """How many rows the stage's rollouts have made: two for each that is over."""
        return len(self.store.facts(self.service.name, about_stage(stage), "rollout#"))

    def open(self) -> list[int]:
        """The releases the controller still looks after."""
        return sorted(self.store.open(self.service.name)[0])

    def rows(self) -> int:
        """How many rows the table has."""
        return len(self.aws_client("dynamodb").scan(TableName=self.context.settings.table)["Items"])

    def digest(self, tag: str) -> str:
        """The digest of the image under ``tag``, "" if none is."""
        return next((i.digest for i in self.local_aws.ecr.images(self.service.images) if tag in i.tags), "")

    def made(self, commit: str) -> str:
        """The digest of the image that a build of the commit pushes."""
        return "sha256:" + hashlib.sha256(manifest_for(commit)).hexdigest()

    def build_tag(self, number: int = -1) -> str:
        """The tag that a build was told to push to: the newest, or the one of that place."""
        variables = self.local_aws.codebuild.builds()[number]["environment"]["environmentVariables"]
        return next(str(v["value"]) for v in variables if v["name"] == "IMAGE_TAG")

    def tags(self, digest: str) -> set[str]:
        """The tags on an image."""
        return next(set(i.tags) for i in self.local_aws.ecr.images(self.service.images) if i.digest == digest)

    def built(self) -> list[str]:
        """How every build CodeBuild ever started stands, as ``v1/build/1 SUCCEEDED``, oldest first."""
        states = (b["buildStatus"] for b in self.local_aws.codebuild.builds())
        return [f"{c.partition('/')[2]} {s}" for c, s in zip(self.build_claims(), states, strict=True)]

    def deployed(self) -> list[str]:
        """How every deployment CodeDeploy ever created stands, as ``v1 Succeeded``, oldest first."""
        states = (d["status"] for d in self.local_aws.codedeploy.deployments())
        names = (c.split("/")[1] if "/" in c else c for c in self.deployment_claims())
        return [f"{name} {state}" for name, state in zip(names, states, strict=True)]

    def release_documents(self) -> list[dict[str, Any]]:
        """The release.json of every bundle that reached the host, oldest first."""
        bundles = (zipfile.ZipFile(io.BytesIO(job.bundle)) for job in self.engine.deployed)
        return [json.loads(bundle.read("release.json")) for bundle in bundles]

    def _build(self, _job: BuildJob) -> BuildOutcome:
        return self.builds

    def _deploy(self, job: DeployJob) -> DeployOutcome:
        return self.on.get(job.host, self.deploys)

    def _end(self, wanted: Callable[[str], bool]) -> None:
        running = self.engine.in_flight()
        self.engine.finish_next(next(n for n, name in enumerate(running) if wanted(name)))
        self.deliver()


class Story(Steps, World):
    """A story in memory."""

    def __init__(self, there: Sequence[str] = (HOST,), stages: Sequence[Rules] = ()) -> None:
        super().__init__(self.scripted(there), stages=stages)


def from_a_newer_version(story: Story) -> None:
    """Put a row of a kind that this version does not know beside every row of a fact."""
    table = story.local_aws.dynamodb
    for row in [row for row in table.dump() if "fact" in row]:
        newer = {**row, "fact": {"S": "NotYetThoughtOf"}, "sk": {"S": f"~newer#{row['sk']['S']}"}}
        table.put_item({"TableName": story.context.settings.table, "Item": newer})


def told(story: Any) -> Iterator[Any]:
    """A story and see, at its end, that nothing was built or deployed twice."""
    yield story
    story.faults.hook = None
    assert doubles(story.build_claims()) == []
    assert doubles([c for c in story.deployment_claims() if "/" in c]) == []


def doubles(claims: list[str]) -> list[str]:
    """The claims that AWS has more than once."""
    return [claim for claim, times in Counter(claims).items() if times > 1]


def refusing(operation: str, code: str = "AccessDeniedException", message: str = "not today") -> Hook:
    """A hook that lets AWS refuse an operation, such as ``codebuild:StartBuild``."""

    def hook(moment: When, call: Call) -> None:
        if moment == "before" and call.name == operation:
            raise AwsError(code, message)

    return hook


def dying(moment: When, operation: str, row: str = "", *, once: bool = True) -> Hook:
    """A hook that kills the caller, once or always, at an operation.

    With ``row``, only where the operation writes a row that has it in its key.
    """
    over = threading.Event()

    def hook(when: When, call: Call) -> None:
        if when == moment and call.name == operation and row in key_of(call) and not (once and over.is_set()):
            over.set()
            raise Crash(f"died {moment} {operation}")

    return hook


def key_of(call: Call) -> str:
    """The sort keys that a call writes, in one text."""
    items = [call.params.get("Item")] + [w.get("Put", {}).get("Item") for w in call.params.get("TransactItems", [])]
    return " ".join(item["sk"]["S"] for item in items if item)
