"""A service's configuration and the functions' own settings, validated where they enter.

A service is registered by its own stack: ``service.yaml`` writes this document, as JSON, to an SSM parameter under the
controller's path. Everything but the first block has a default.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from scans import ScanRule
from windows import Window, never

Branch = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$")]
# Names as each service of AWS takes them: what is valid here is not refused there.
Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]
_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
Images = Annotated[str, Field(pattern=rf"^{_PART}(/{_PART})*$", min_length=2, max_length=256)]
Project = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{1,149}$")]
Deployed = Annotated[str, Field(pattern=r"^[A-Za-z0-9+=,.@_-]{1,100}$")]
Bucket = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
Folder = Annotated[
    str, Field(pattern=r"^([A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*)?$", max_length=200)
]
Glob = Annotated[str, Field(min_length=1, max_length=200)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Parameter = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]{1,1011}$")]
AlarmName = Annotated[str, Field(min_length=1, max_length=255)]
# A name a build exports, in any case: ROC_AUC is the figure of the gate roc_auc.
Metric = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


# The context of a document that somebody wrote, where only the controller itself sets some values.
WRITTEN = {"written": True}


def _by_us_alone(value: Any, info: ValidationInfo) -> Any:
    if value and info.context == WRITTEN:
        raise ValueError("only the controller sets it")
    return value


class Strict(BaseModel):
    """A document of ours: a key that is not known is a mistake worth naming."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Approvals(Strict):
    """Who must say yes before a release comes onto a stage. A vote is for one release, one attempt and one digest."""

    votes: Annotated[int, Field(ge=1, le=10)] = 1
    valid_hours: Annotated[int, Field(ge=1, le=720)] = 72  # a vote counts that long
    wait_hours: Annotated[int, Field(ge=1, le=720)] = 168  # without them after that, the release is rejected
    not_by_pusher: bool = False  # the two-person rule
    # Roles whose sessions bear their user's name, which that user cannot choose; of any other role all sessions are one
    # identity. IAM Identity Center makes these and names the session after the user; a role of your own belongs here
    # where its trust policy has a condition on sts:RoleSessionName (the IAM user guide on condition keys of STS).
    named_sessions: Annotated[tuple[Glob, ...], Field(max_length=20)] = ("AWSReservedSSO_*",)


class StageRules(Strict):
    """What must be so before a release comes to a stage, and while it is watched there.

    ``bake_minutes``: so long a release is watched after it came to life here. An alarm of ``alarms`` that goes off
    within them takes it back, and the next stage waits for them to pass. ``restore_minutes``: so long a deployment that
    others made stays before the live release is put back, 0 for as long as nobody releases.
    """

    bake_minutes: Annotated[int, Field(ge=0, le=10080)] = 0
    alarms: Annotated[tuple[AlarmName, ...], Field(max_length=10)] = ()
    restore_minutes: Annotated[int, Field(ge=0, le=10080)] = 15
    approvals: Approvals | None = None
    windows: Annotated[tuple[Window, ...], Field(max_length=20)] = ()
    scan: ScanRule | None = None  # what may have been found in its image; None: its scan is shown and decides nothing
    bypass: bool = True  # whether a release may be let past these rules

    @model_validator(mode="after")
    def _alarms_have_a_time_to_be_heard(self) -> Self:
        if self.alarms and not self.bake_minutes:
            raise ValueError("alarms are heard during bake_minutes, which is 0: give both or neither")
        return self

    @model_validator(mode="after")
    def _opens_some_day(self) -> Self:
        if self.windows and never(self.windows):
            raise ValueError("its windows never let a deployment begin")
        return self


class Stage(StageRules):
    """Where a release runs, a CodeDeploy deployment group, and its rules: the policy's where one was set, or else the
    registration's. ``fault`` is what was wrong with them (``registration.registered``): releases wait for it to be
    mended."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = "production"
    group: Deployed
    fault: Annotated[str, AfterValidator(_by_us_alone)] = ""


class Gate(Strict):
    """What a figure that the build exported must be: within bounds, and not much worse than the live release's."""

    min: float | None = None
    max: float | None = None
    max_drop: Annotated[float, Field(ge=0)] | None = None
    max_rise: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if self.min is self.max is self.max_drop is self.max_rise is None:
            raise ValueError("give min, max, max_drop or max_rise")
        return self


class Webhook(Strict):
    """A chat's incoming webhook. Its address is a secret: the SSM parameter's name stands here, its value nowhere."""

    parameter: Parameter
    format: Literal["slack", "teams", "json"] = "slack"


class Guard(Strict):
    """What may stand in a tree although it looks like a secret: globs of paths."""

    allow: tuple[Glob, ...] = ()


Verb = Literal[
    "rollback", "redeploy", "hold", "resume", "quarantine", "retry", "abort", "approve", "reject", "promote", "bypass",
    "policy", "replace",
]  # fmt: skip
# Who may say a word: an ARN as STS tells it, with * for any part of it.
Principal = Annotated[str, Field(pattern=r"^arn:[a-z-]+:(iam|sts)::[0-9*]{1,12}:\S{1,500}$")]
# Of the capabilities that Docker gives a container by itself those an image may be given back.
Capability = Literal[
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID", "SYS_CHROOT"
]  # fmt: skip


class Deadlines(Strict):
    """How long each wait may last, in minutes, before it ends in a phase with its reason."""

    start_minutes: Annotated[int, Field(ge=1, le=1440)] = 30  # a push getting its build started
    build_minutes: Annotated[int, Field(ge=1, le=480)] = 30
    accept_minutes: Annotated[int, Field(ge=1, le=1440)] = 15
    deploy_minutes: Annotated[int, Field(ge=1, le=720)] = 60
    stop_minutes: Annotated[int, Field(ge=1, le=60)] = 15  # a stopped deployment saying that it ended


class Classes(Strict):
    """Which changed path is what. First match wins, in this order; anything else is *application*."""

    infrastructure: tuple[Glob, ...] = (
        "Dockerfile", "buildspec.y*ml", "appspec.y*ml", "template.y*ml", "service.y*ml", "infra/**", "terraform/**",
        ".dockerignore", "requirements*.txt",
    )  # fmt: skip
    data: tuple[Glob, ...] = ("data/**", "*.csv", "*.parquet")
    model: tuple[Glob, ...] = ("models/**", "model/**", "train*.py", "*.onnx", "R/model*", "golden.json")


class Rules(Strict):
    """What guards every release of a service, whatever the stage."""

    gates: Annotated[dict[Metric, Gate], Field(max_length=20)] = {}
    gates_dry_run: bool = False  # write down what a gate would have refused, and refuse nothing
    own_hooks: bool = True  # whether a commit's own appspec.yml, which runs as root on the host, is taken
    words: dict[Verb, tuple[Principal, ...]] = {}  # who may say which; () nobody; a word that is not named: anybody
    guard: Guard = Guard()


class Service(Rules):
    """One model: where it comes from, where its images stand, where it runs, and the rules that guard it: the policy's
    where one was set (``policy.document.in_force``), or else those of the registration."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
    repository: Repository
    branch: Branch = "main"
    # Where in the repository it stands; "": at its root. What changes elsewhere is no release of it.
    folder: Folder = ""
    images: Images
    image_uri: str
    project: Project
    application: Deployed
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=8)]  # in the order a release takes them
    bundles: Bucket
    architecture: Literal["arm64", "x86_64", ""] = ""  # of the hosts; "" is not compared with an image's
    url: Annotated[str, Field(max_length=2000)] = ""  # where its model answers, for people

    port: Annotated[int, Field(ge=0, le=65535)] = 0  # 0: what the image exposes, or what the host finds
    health_path: Annotated[str, Field(pattern=r"^(/|$)")] = ""  # "": what the host finds
    startup_seconds: Annotated[int, Field(ge=1, le=1500)] = 60
    drain_seconds: Annotated[int, Field(ge=0, le=1500)] = 30
    validation_seconds: Annotated[int, Field(ge=1, le=1500)] = 120  # after that the host puts the former release back
    min_ready_seconds: Annotated[int, Field(ge=0, le=600)] = 10  # so long it is judged by what it answers
    max_body_mb: Annotated[int, Field(ge=0, le=2**20)] = 100  # of a request; 0: any size
    response_seconds: Annotated[int, Field(ge=1, le=86400)] = 3600  # between two pieces of an answer
    memory_mb: Annotated[int, Field(ge=0, le=2**24)] = 0  # the container's limit; 0: nine tenths of the host's
    when_memory_is_short: Literal["refuse", "stop-first"] = "refuse"
    capabilities: tuple[Capability, ...] = ()  # what the container may do of what root may; none unless asked for
    environment: dict[Variable, str] = {}
    # By variable, the SSM parameter whose value the host fetches; its role reads those under /STACK/parameters/NAME/.
    parameters: dict[Variable, Parameter] = {}
    accepted_tags: tuple[Glob, ...] = ("v*", "release-*")
    ignored_paths: tuple[Glob, ...] = ("docs/**", "*.md")
    path_classes: Classes = Classes()
    deadlines: Deadlines = Deadlines()
    webhook: Webhook | None = None
    # What the hosts are to get is wrong, so nothing is deployed.
    is_stopped: Annotated[bool, AfterValidator(_by_us_alone)] = False

    @field_validator("stages")
    @classmethod
    def _are_told_apart(cls, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
        for what in ("name", "group"):
            values = [getattr(stage, what) for stage in stages]
            twice = next((v for v in values if values.count(v) > 1), None)
            if twice:
                raise ValueError(f"two stages have the {what} {twice}")
        return stages

    @model_validator(mode="after")
    def _variables_are_given_once(self) -> Self:
        twice = sorted(set(self.environment) & set(self.parameters))
        if twice:
            raise ValueError(f"{twice[0]} is in environment and in parameters: keep it in one of them")
        return self

    def stage(self, name: str) -> Stage:
        """The stage of that name. Raises LookupError."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise LookupError(f"{self.name} has no stage {name}")

    @property
    def docker_architecture(self) -> str:
        """The hosts' architecture as images name it."""
        return "amd64" if self.architecture == "x86_64" else self.architecture

    @property
    def last(self) -> Stage:
        """The stage that a release is pushed for: the last one."""
        return self.stages[-1]

    def accepts_tag(self, tag: str) -> bool:
        """Whether an image pushed under ``tag`` becomes a release; never for the controller's own tags."""
        return not is_own_tag(tag) and any(fnmatchcase(tag, pattern) for pattern in self.accepted_tags)

    def minutes(self, what: str) -> timedelta:
        """A deadline of the service, e.g. ``minutes("build")``."""
        return timedelta(minutes=getattr(self.deadlines, f"{what}_minutes"))


class Settings(Strict):
    """The functions' environment. A claim's lease must outlive any function: their time limit is 60 seconds."""

    table: str
    services_path: str
    account: str  # an event of another account or Region is not ours
    region: str
    topic_arn: str = ""
    lease: timedelta = timedelta(seconds=120)


def is_own_tag(tag: str) -> bool:
    """Whether the controller or one of its builds set this tag, which never starts a release."""
    return tag.startswith(("esteira-", "live-", "previous-", "git-"))


def release_tags(number: int, digest: str) -> tuple[str, str]:
    """The labels of a release's image: ``esteira-v7``, or with the digest's first characters where that is taken.

    They are for people and for the registry's lifecycle policy; nothing is decided from them.
    """
    label = f"esteira-v{number}"
    return label, f"{label}-{digest.removeprefix('sha256:')[:12]}"


def build_tag(commit: str, owner: str, claim: object) -> str:
    """The tag that one attempt's build is told to push to: nobody else can know it, since nobody knows the owner."""
    secret = hashlib.sha256(f"{owner}/{claim}".encode()).hexdigest()
    return f"git-{commit}-{secret[:32]}"
