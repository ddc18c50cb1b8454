"""The facts that decisions are made from: what AWS, an operator or the controller said (``esteira.fact``). Pure."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import Literal

from esteira.fact import Fact

RELEASES = "releases"  # the partition of what concerns all releases of a service
POLICY = "policy"  # the partition of a service's policies


def about_release(number: int) -> str:
    """The partition of release ``v<number>``."""
    return f"release/{number:08d}"


def about_stage(stage: str) -> str:
    """The partition of a stage's rollouts and of what operators said about the stage."""
    return f"stage/{stage}"


def about_deployment(deployment: str) -> str:
    """The partition of a deployment: CodeDeploy's events name no release."""
    return f"deployment/{deployment}"


# --- a release is born


class Pushed(Fact, about=RELEASES, key="release#{number:08d}"):
    """A release was born: a commit became the branch's tip, or an image was pushed under an accepted tag.

    ``tip``, ``base`` and ``mark`` go from release to release, so the newest one tells what was seen: the newest
    commit of the branch, the newest neither skipped nor rejected, and when the newest effective release came.
    """

    number: int
    source: Literal["commit", "image"]
    commit: str = ""
    tag: str = ""
    digest: str = ""
    tip: str = ""
    base: str = ""
    mark: str = ""
    classes: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()  # the first paths; the commit has all of them
    changed_count: int = 0
    rejected: str = ""
    cause: str = ""  # of the rejection, where it is not what the guard found
    skipped: str = ""
    outdated: str = ""
    note: str = ""
    settings: str = ""  # what the commit's esteira.yaml says, as JSON
    default_build: bool = False  # the commit has no buildspec.yml
    subject: str = ""  # the first line of the commit's message
    author: str = ""  # who its author says they are

    @property
    def effective(self) -> bool:
        """Whether the release takes part at all: an effective release supersedes the ones before it."""
        return not (self.rejected or self.skipped or self.outdated)


class Searched(Fact, about="commit/{commit}", key="searched#{base}#{through:08d}", kept_days=30):
    """So many files of a large push were searched for secrets, and none was found; the rest are not searched yet."""

    commit: str
    base: str
    through: int
    unread: int = 0
    named: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class ImageArrived(Fact, about=RELEASES, key="open#image#{tag}#{digest}"):
    """An image was pushed under an accepted tag and is no release yet. The one kind of row that is deleted.

    ``at`` is when it was pushed, ``heard`` when the controller heard of it.
    """

    tag: str
    digest: str
    heard: datetime | None = field(default=None, compare=False)


class ImageTaken(Fact, about=RELEASES, key="image#{tag}#{digest}#{missing:d}"):
    """The image under this tag became this release; 0 where the tag had moved on to another image.

    ``missing``: it was not in the registry until the deadline, as the release says. Pushed again, it counts anew.
    """

    tag: str
    digest: str
    release: int
    missing: bool = False


class CommitPushed(Fact, about="commit/{commit}", key="pushed-by#{by}#{before}"):
    """CodeCommit said who made this commit the branch's tip: an IAM ARN, which no git client can choose.

    ``before`` is the tip before it, "" where the push made the branch.
    """

    commit: str
    by: str
    before: str = ""


class ImageBuilt(Fact, about="commit/{commit}", key="image-built#{release:08d}#{attempt:04d}"):
    """This image is the commit's: the build of that release's attempt pushed it. Another release may use it again."""

    commit: str
    release: int
    attempt: int
    digest: str


# --- a release on its way


class ReleaseFact(Fact, about="release/{release:08d}"):
    """A fact about one release."""

    release: int


class Claimed(ReleaseFact, key="claimed#{action}#{stage}#{attempt:04d}#{take:04d}"):
    """One invocation (``owner``) took on ``action`` for an attempt (of a build) or a rollout (on a stage).

    Nobody else may before ``lease``, which outlives any function. After it, AWS is asked first, under ``take + 1``.
    """

    action: Literal["build", "deploy", "finish"]
    attempt: int
    take: int
    lease: datetime = field(compare=False)
    stage: str = ""
    owner: str = field(default="", compare=False)


class Declined(ReleaseFact, key="declined#{action}#{stage}#{attempt:04d}#{take:04d}"):
    """What was claimed did not happen: AWS refused the call, or it was never made. It may be tried again later."""

    action: Literal["build", "accept", "deploy", "finish"]
    attempt: int
    take: int
    error: str = field(compare=False)
    stage: str = ""


class BuildStarted(ReleaseFact, key="build-started#{attempt:04d}#{build}"):
    """A build (``PROJECT:UUID``) carries the claim of this attempt, and ``began`` by CodeBuild's clock.

    A build that somebody copies carries it too, and began later. ``retry_of`` is the build that CodeBuild retries.
    """

    attempt: int
    build: str
    began: datetime | None = field(default=None, compare=False)
    retry_of: str = field(default="", compare=False)


class BuildEnded(ReleaseFact, key="build-ended#{attempt:04d}#{build}"):
    """The build ended. ``status`` is CodeBuild's, in upper case; ``cause`` is the first failed phase's message."""

    attempt: int
    build: str
    status: str
    cause: str = ""


class Accepted(ReleaseFact, key="accepted#{attempt:04d}"):
    """The release's image is known. ``reused``: it existed before, without a build.

    ``exported`` is what the image's build exported, such as a model's figures, each as ``NAME=VALUE``. ``images`` are
    the digests in an index, one for each platform. ``note`` says why the image does not have its usual label.
    """

    attempt: int
    digest: str
    reused: bool
    exported: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    note: str = field(default="", compare=False)

    @property
    def figures(self) -> dict[str, str]:
        """The exported values by name."""
        return {name: value for name, _, value in (pair.partition("=") for pair in self.exported)}


class ImageMissed(ReleaseFact, key="image-missed#{at}"):
    """The image was looked for while the release was live: it is ``deleted`` or ``archived``, or "" is there again."""

    digest: str
    how: Literal["deleted", "archived", ""]


class Gated(ReleaseFact, key="gated#{attempt:04d}"):
    """The attempt's figures were compared with the gates and with release ``against`` (0: nothing was live).

    ``refused`` has a sentence per gate that was not passed; with ``dry_run`` they stop nothing.
    """

    attempt: int
    against: int
    refused: tuple[str, ...] = ()
    dry_run: bool = False


class Superseded(ReleaseFact, key="superseded"):
    """A newer release came before this one had begun to deploy."""

    by: int


class FindingsRead(ReleaseFact, key="findings-read#{attempt:04d}#{number:04d}"):
    """ECR was asked for the findings in the attempt's image, for the ``number``-th time that was worth a row.

    ``status`` is "pending" (the wait for the scan counts from then), "complete", or why there is no scan. ``images``
    are the digests that were asked about: of an index, those for the hosts' platform. ``found`` are the worst findings
    (``scans.findings``), ``unlisted`` such as "low 812" the number of others.
    """

    attempt: int
    number: int
    images: tuple[str, ...]
    status: str
    found: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()


What = Literal["start", "build", "image", "accept", "approval", "scan", "quarantine", "deadline", "deployment", "alarm"]


class GivenUp(ReleaseFact, key="given-up#{what}#{stage}#{number:08d}"):
    """A wait ended in vain. ``number`` is the rollout's on ``stage``, or else the attempt.

    start, build, accept, approval: the deadline passed. image: there is none. scan: the stage does not take what was
    found in it. quarantine: its commit or image may not deploy. deadline: the deployment is to be stopped. deployment:
    the rollout ends without one. alarm: there is no release to go back to. ``remedy`` is what would help where a retry
    would not, and ``cause`` counts it; ``why`` may have log lines below.
    """

    what: What
    number: int
    why: str = field(compare=False)
    stage: str = ""
    attempt: int = field(default=0, compare=False)
    remedy: str = field(default="", compare=False)
    cause: str = field(default="", compare=False)


class StopAsked(ReleaseFact, key="stop-asked#{thing}"):
    """AWS was asked to stop this build or deployment."""

    thing: str


# --- rollouts and deployments


class Rollout(Fact, about="stage/{stage}", key="rollout#{number:08d}"):
    """One deployment of a release to a stage, and its claim. Rollouts count 1, 2, 3 … without a gap.

    It carries what stood before it, so the latest one is all that is needed: ``live`` (0: nothing), ``healthy`` (what
    a rollback may return to, newest last), ``served`` (the key of the last rollback order that was carried out). A
    ``restore`` puts the live release back on hosts where the rollout before it left another one; a ``redeploy`` deploys
    it again because somebody ordered that.
    """

    stage: str
    number: int
    release: int
    attempt: int
    digest: str
    kind: Literal["deploy", "rollback", "restore", "redeploy"]
    live: int
    healthy: tuple[int, ...]
    served: str
    lease: datetime = field(compare=False)
    deadline: datetime = field(compare=False)
    owner: str = field(default="", compare=False)


class RolloutFinished(Fact, about="stage/{stage}", key="rollout#{rollout:08d}#finished"):
    """A rollout is over and the next may begin. ``mixed``: it failed, and some hosts may still run what it deployed."""

    stage: str
    rollout: int
    release: int
    succeeded: bool
    mixed: bool = False
    note: str = field(default="", compare=False)  # why the stage's tags stayed where they were
    checkpoint: str = field(default="", compare=False)  # its hash, for the next deployment's description


class Deviated(Fact, about="stage/{stage}", key="deviated#{ended}#{deployment}"):
    """A deployment that esteira did not make put something else than the live release on the stage's hosts.

    ``revision`` is what it deployed, "" where it put the live release's own bundle back; ``by`` is CodeDeploy's word
    for who made it: user, autoscaling, codeDeployRollback. ``failed``: it did not succeed, and changed some hosts.
    """

    stage: str
    deployment: str
    ended: datetime
    revision: str = field(default="", compare=False)
    by: str = field(default="", compare=False)
    failed: bool = field(default=False, compare=False)


class HostObserved(Fact, about="stage/{stage}", key="host#{host}#{since}", kept_days=400):
    """A host told how the container that is live on it has been ``since`` then, by its own clock; a change is a fact.

    ``digest`` is what runs there, by ``deployment``. ``sick`` is why it is sick, in a word, "" where it is well, and
    ``why`` in a sentence.
    """

    stage: str
    host: str
    since: datetime
    release: int
    digest: str
    sick: str = ""
    why: str = field(default="", compare=False)
    deployment: str = field(default="", compare=False)


class HostLeft(Fact, about="stage/{stage}", key="host#{host}#{since}", kept_days=400):
    """A host that reported is not in the stage's Auto Scaling group any more, as was seen ``since`` then."""

    stage: str
    host: str
    since: datetime


class HostLaunched(Fact, about="stage/{stage}", key="launch#{ended}#{deployment}", kept_days=400):
    """CodeDeploy gave a host that came new to the stage's Auto Scaling group what is live; or could not, and ``why``:
    then the group ends that host and starts another."""

    stage: str
    deployment: str
    ended: datetime
    host: str = field(default="", compare=False)
    why: str = field(default="", compare=False)


class Bundled(ReleaseFact, key="bundled#{stage}#{rollout:08d}#{sha256}"):
    """The rollout's bundle is in the bucket under ``name_in_bucket``; ``sha256`` is the zip's.

    ``content`` is the hash of what the hosts get, except which release and commit it is: equal content runs equally.
    """

    stage: str
    rollout: int
    name_in_bucket: str
    sha256: str
    content: str = ""


class DeploymentStarted(ReleaseFact, key="deployment-started#{stage}#{rollout:08d}#{deployment}"):
    """CodeDeploy deploys this image for the rollout, which the release's ``attempt`` got.

    ``unchanged``: no deployment was made, because ``deployment`` already runs this image with these settings.
    """

    stage: str
    rollout: int
    attempt: int
    deployment: str
    digest: str
    unchanged: bool = False


class DeploymentFact(Fact, about="deployment/{deployment}"):
    """A fact about one deployment."""

    deployment: str


class DeploymentReported(DeploymentFact, key="{milestone}"):
    """CodeDeploy reported a deployment's status, in the API's words."""

    status: Literal["InProgress", "Succeeded", "Failed", "Stopped"]

    @property
    def milestone(self) -> str:
        """``begun`` or ``ended``: the first report of each counts."""
        return "begun" if self.status == "InProgress" else "ended"


class Diagnosed(DeploymentFact, key="diagnosed"):
    """What became of a deployment on its hosts, read once when it had ended.

    ``failed``: some host is without it, whatever CodeDeploy calls it; ``cause`` says why, log lines below its sentence,
    and ``event`` is the lifecycle event. ``reached``: some host runs it, or may. ``answers`` are the hosts' own words,
    ``found`` what they had to find out, such as the container's port.
    """

    failed: bool
    cause: str = field(default="", compare=False)
    reached: bool = field(default=False, compare=False)
    event: str = field(default="", compare=False)
    answers: tuple[str, ...] = field(default=(), compare=False)
    found: tuple[str, ...] = field(default=(), compare=False)


class Replaced(ReleaseFact, key="replaced#{stage}#{rollout:08d}"):
    """Release ``by`` took this one's place on the stage; ``ordered_by`` and ``reason`` are set for a rollback."""

    stage: str
    rollout: int
    by: int
    ordered_by: str = ""
    reason: str = ""


class AlarmRang(Fact, about="alarm/{alarm}", key="rang#{since}", kept_days=400):
    """A CloudWatch alarm went into ALARM at ``since``, by CloudWatch's clock."""

    alarm: str
    since: datetime
    reason: str = field(default="", compare=False)


# --- what operators say


class Word(Fact):
    """What an operator said. ``request`` is the request's own id: said twice, it is one word. The latest counts."""

    request: str
    by: str
    reason: str


class Held(Word, about="stage/{stage}", key="hold#{at}#{request}"):
    """Nothing may begin to deploy on the stage until then; without ``until``, the hold is over."""

    stage: str
    until: datetime | None


class HostsReplaced(Word, about="stage/{stage}", key="replace#{at}#{request}"):
    """The stage's Auto Scaling group is to replace this host, or all of them one after another (``host`` is "")."""

    stage: str
    host: str


class RollbackOrdered(Word, about="stage/{stage}", key="rollback#{at}#{request}"):
    """The stage is to go back from release ``away`` to release ``to``; where both are one, it is to be deployed again,
    as what its settings name has another value."""

    stage: str
    away: int
    to: int

    @property
    def again(self) -> bool:
        return self.away == self.to


class Quarantined(Word, about="quarantine/{subject}", key="quarantine#{at}#{request}"):
    """This commit or digest (``subject``) may not deploy by itself; ``lifted``: it may again."""

    subject: str
    release: int
    lifted: bool = False


class PolicySet(Word, about=POLICY, key="policy#{version:08d}"):
    """The rules that guard the service's releases from then on: all of them, as JSON (``policy.document.Policy``).

    Versions count 1, 2, 3 …; the latest counts. ``arn`` is who AWS knows the speaker as, "" where that was not proven.
    """

    version: int
    document: str
    arn: str = ""


class Retried(ReleaseFact, key="retried#{attempt:04d}"):
    """An operator asked for a fresh attempt. Attempts count from 1, so the first retry is attempt 2."""

    attempt: int
    by: str
    reason: str


class Aborted(ReleaseFact, key="aborted#{attempt:04d}"):
    """An operator called this attempt off."""

    attempt: int
    by: str
    reason: str


class ReleaseWord(ReleaseFact):
    """What somebody said about a release and a stage: for the attempt and, where it is known, the image's digest.

    ``by`` is who they say they are, ``arn`` who AWS knows them as, "" where that was not proven.
    """

    request: str
    by: str
    reason: str
    stage: str
    attempt: int
    digest: str
    arn: str = ""


class Approved(ReleaseWord, key="approved#{stage}#{at}#{request}"):
    """Somebody wants the release on the stage, which counts until then."""

    until: datetime


class Rejected(ReleaseWord, key="rejected#{stage}#{attempt:04d}#{digest}"):
    """Somebody ended the release's way onto the stage, for this attempt and image, whatever is recorded later."""


class Promoted(ReleaseWord, key="promoted#{stage}#{at}#{request}"):
    """The release is to come to the stage although the stage before has moved on to another release."""


class Bypassed(ReleaseWord, key="bypass#{stage}#{at}#{request}"):
    """Until then no rule of the stage applies to the release: no bake, approvals, windows, holds or gates."""

    until: datetime


class Notified(Fact, about="{subject}", key="notified#{topic}#{channel}", kept_days=400):
    """A change (``topic``) of a release or stage (``subject``: its partition) was told on a channel.

    ``told`` is False for news that was old by then and is not to be told any more.
    """

    subject: str
    topic: str
    channel: str
    told: bool = field(default=True, compare=False)
