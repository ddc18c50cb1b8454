"""A release's receipt: what its last finished turn on a stage was made of, link by link, and whether it holds.

The controller checkpoints every rollout when it finishes it: the hash of each row said about the release until then,
and over
all of them one checkpoint, which also covers the checkpoint of the stage's rollout before. What the check proves,
and what not:

- A row that was altered or taken out since it was checkpointed is named, as long as the checkpoint stands.
- Who alters a row and its checkpoint must make the checkpoints of every later rollout anew: a break in the chain is
  named. Nobody can
  see that from the table alone where all of them were made anew. So the newest checkpoint counts where it stands
  outside the
  table: it is printed here, to be kept by whoever audits; the same text another day proves that all before it is as it
  was.
- Rows that came after the checkpoint (that the rollout is finished, what took the release's place) are not in it,
  nor are those the table forgets after some time (each host's single reports, announcements).
  How the rollout ended is, by what CodeDeploy said; that is held against the row that calls it finished.
- It does not prove that what was written down was true. For that AWS itself is asked, as far as it still knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

from console.read.remote import REFUSED, TroubleError
from console.read.sentences import sentence
from console.read.trouble import code_of
from console.record.as_of import UNREADABLE, Rows
from esteira.audit import altered, broken, row_hash
from esteira.aws import Aws
from esteira.claims import CLAIM_VARIABLE, BuildClaim, RolloutClaim, rollout_claim
from esteira.config import Service, release_tag
from esteira.core.facts import (
    RELEASES,
    Accepted,
    BuildEnded,
    BuildStarted,
    Bundled,
    Checkpoint,
    DeploymentEnded,
    DeploymentGivenUp,
    DeploymentStarted,
    Diagnosed,
    Fact,
    HostsAnswered,
    Pushed,
    Rollout,
    RolloutFinished,
    about_release,
    about_stage,
    from_row,
)

F = TypeVar("F", bound=Fact)
# So many of a stage's checkpoints are looked at unless all are asked for.
SEALS = 50
# How AWS words that it may not be told, and that something is not there any more.
_FORBIDDEN = {"AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation", "NotAuthorized"}
_GONE = {
    "404",
    "DeploymentDoesNotExistException",
    "NoSuchBucket",
    "NoSuchKey",
    "RepositoryDoesNotExistException",
    "RepositoryNotFoundException",
}

Verdict = Literal["ok", "differs", "gone", "untold"]


@dataclass(frozen=True)
class Link:
    """One link of the chain: what it is, what its row says, and that row's hash as it is now."""

    what: str
    says: str
    row: str
    sha256: str


@dataclass(frozen=True)
class Fault:
    """A row that is not what it was, or a place where the chain does not hold, and what is wrong there."""

    row: str
    says: str


@dataclass(frozen=True)
class Evidence:
    """What AWS itself says about a link. ``gone``: it knows it no more; ``untold``: it may not be asked."""

    what: str
    verdict: Verdict
    says: str


@dataclass(frozen=True)
class Seals:
    """Which of the stage's checkpoints were looked at: from which turn to which, and the newest there is."""

    first: int
    last: int
    newest: str
    newest_turn: int
    unseen: str = ""  # the rollouts that were not looked at, of those in between


@dataclass(frozen=True)
class Receipt:
    """A release's last finished turn on a stage, from the event to what the hosts answered."""

    service: str
    release: str
    stage: str
    rollout: int
    checkpointed_at: datetime | None
    sha256: str
    before: str
    rows: int
    links: tuple[Link, ...]
    faults: tuple[Fault, ...]
    later: tuple[str, ...]  # rows of the release that the checkpoint does not cover
    checkpoints: Seals
    evidence: tuple[Evidence, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """Return whether nothing is altered, and AWS contradicts nothing."""
        return not self.faults and all(asked.verdict != "differs" for asked in self.evidence)


def receipt(rows: Rows, service: Service, number: int, stage: str, *, whole: bool, aws: Aws | None) -> Receipt:
    """Return release ``number``'s receipt for ``stage``: with the ``whole`` chain of checkpoints or the last of
    them, and what AWS says where ``cloud`` is given. Raises TroubleError where no rollout of it is checkpointed."""
    chain = _Chain(rows, service.name, stage)
    chain.read_newest(None if whole else SEALS)
    rollout = _last_turn(chain, number)
    chain.read_before(rollout, SEALS)
    faults = [*chain.faults()]
    checkpoint = chain.checkpoints.get(rollout)
    known: dict[str, Fact] = {}
    if checkpoint is not None:
        known, wrong = _checked(chain, checkpoint)
        faults += wrong
    said = _Said.of(known.values(), number, stage, rollout)
    if checkpoint is not None:
        # Where a row is not what it was, that is why links do not meet; it is named already.
        faults += [] if wrong else _of_links(chain, checkpoint, said)
    return Receipt(
        service=service.name,
        release=f"v{number}",
        stage=stage,
        rollout=rollout,
        checkpointed_at=checkpoint.at if checkpoint else None,
        sha256=checkpoint.sha256 if checkpoint else "",
        before=checkpoint.before if checkpoint else "",
        rows=len(checkpoint.rows) if checkpoint else 0,
        links=tuple(_links(said)),
        faults=tuple(dict.fromkeys(faults)),
        later=tuple(_later(chain, number, checkpoint)) if checkpoint else (),
        checkpoints=chain.told(),
        evidence=tuple(_asked(aws, service, number, stage, rollout, said)) if aws and checkpoint else (),
    )


# --- the chain of checkpoints
# ---------------------------------------------------------------------------------------------


@dataclass
class _Chain:
    """A stage's checkpoints, as far as they were read, by rollout; and those that cannot be read."""

    rows: Rows
    service: str
    stage: str
    checkpoints: dict[int, Checkpoint] = field(default_factory=dict)
    unreadable: list[Fault] = field(default_factory=list)
    newest: tuple[int, ...] = ()  # the rollouts of the newest, without a gap that was left out
    older: tuple[int, ...] = ()  # and those before a rollout that is not among them

    @property
    def about(self) -> str:
        return f"checkpoints/{self.stage}"

    def read_newest(self, limit: int | None) -> None:
        """Read the newest checkpoints, or all."""
        where = (self.service, self.about, "checkpoint#")
        read = self.rows.partition(*where) if limit is None else self.rows.newest_rows(*where, limit)
        for key, row in read.items():
            self._add(key, row)
        self.newest = tuple(sorted(self.checkpoints))

    def read_before(self, rollout: int, limit: int) -> None:
        """Read the checkpoint of ``turn`` and those before it, where they are not among the newest."""
        if self.newest and rollout >= self.newest[0]:
            return
        for number in range(max(1, rollout - limit + 1), rollout + 1):
            row = self.rows.row(self.service, self.about, _checkpoint_key(number))
            if row is not None:
                self._add(_checkpoint_key(number), row)
        self.older = tuple(sorted(n for n in self.checkpoints if n not in self.newest))

    def faults(self) -> Iterator[Fault]:
        """Yield each place where the checkpoints do not hold together, and those that are missing at the end."""
        yield from self.unreadable
        joined = self.older and self.newest and self.older[-1] + 1 == self.newest[0]
        runs = [(*self.older, *self.newest)] if joined else [self.older, self.newest]
        for run in filter(None, runs):
            yield from self._missing_before(self.checkpoints[run[0]])
            for says in broken([self.checkpoints[n] for n in run]):
                yield Fault(self.about, says)
        last = max(self.checkpoints, default=0)
        rollouts = self.rows.newest_rows(self.service, about_stage(self.stage), "rollout#", 4)
        for key in sorted(rollouts):
            number = int(key.split("#")[1])
            if key.endswith("#finished") and number > last:
                yield Fault(self.about, f"rollout {number} is finished and its checkpoint is missing")

    def _missing_before(self, checkpoint: Checkpoint) -> Iterator[Fault]:
        """Yield that the checkpoint is missing which the first of those that were read follows from."""
        before = checkpoint.rollout - 1
        if before and checkpoint.before and self.rows.row(self.service, self.about, _checkpoint_key(before)) is None:
            yield Fault(
                self.about,
                f"the checkpoint of rollout {before} is missing: that of rollout {checkpoint.rollout} follows from it",
            )

    def told(self) -> Seals:
        """Return which were looked at."""
        looked, last = sorted(self.checkpoints), max(self.checkpoints, default=0)
        gap = (
            f"{self.older[-1] + 1} to {self.newest[0] - 1}"
            if self.older and self.newest and self.older[-1] + 1 < self.newest[0]
            else ""
        )
        newest = self.checkpoints[last].sha256 if last else ""
        return Seals(looked[0] if looked else 0, last, newest, last, gap)

    def _add(self, key: str, row: Mapping[str, Any]) -> None:
        checkpoint = _read(row, Checkpoint)
        if checkpoint is None or checkpoint.key != key or checkpoint.stage != self.stage:
            self.unreadable.append(Fault(f"{self.about} {key}", "it is no checkpoint of that rollout any more"))
        else:
            self.checkpoints[checkpoint.rollout] = checkpoint


def _checkpoint_key(rollout: int) -> str:
    return f"checkpoint#{rollout:08d}"


def _last_turn(chain: _Chain, number: int) -> int:
    """Return the release's last rollout on the stage that is finished or checkpointed. Raises TroubleError if there
    is none."""
    rows, name, stage = chain.rows, chain.service, chain.stage
    mine = rows.partition(name, about_release(number))
    parts = [key.split("#") for key in mine]
    rollouts = {
        int(p[2]) for p in parts if p[0] in ("deployment-started", "deployment-given-up", "bundled") and p[1] == stage
    }
    rollouts |= {checkpoint.rollout for checkpoint in chain.checkpoints.values() if checkpoint.release == number}
    for rollout in sorted(rollouts, reverse=True):
        finished = rows.row(name, about_stage(stage), f"rollout#{rollout:08d}#finished")
        if rollout in chain.checkpoints or finished or rows.row(name, chain.about, _checkpoint_key(rollout)):
            return rollout
    if not mine and rows.row(name, RELEASES, f"release#{number:08d}") is None:
        raise TroubleError(f"{name} has no release v{number}. Next: esteira releases", REFUSED)
    raise TroubleError(
        f"v{number} had no rollout on {stage} that is over, so it has no checkpoint. Next: esteira why v{number}",
        REFUSED,
    )


# --- the rows of the rollout
# -------------------------------------------------------------------------------------------


def _checked(chain: _Chain, checkpoint: Checkpoint) -> tuple[dict[str, Fact], list[Fault]]:
    """Return the rows that were checkpointed as they stand now, by their names, and those that are not what they
    were."""
    known: dict[str, Fact] = {}
    faults = []
    for line in checkpoint.rows:
        about, _, rest = line.partition(" ")
        key, _, wanted = rest.rpartition(" ")
        row = chain.rows.row(chain.service, about, key)
        if row is None:
            faults.append(Fault(f"{about} {key}", "it is missing"))
            continue
        says = altered(row, about, key, wanted)
        if says:
            faults.append(Fault(f"{about} {key}", says))
        fact = _read(row, Fact)
        if fact is not None:
            known[f"{about} {key}"] = fact
    return known, faults


def _later(chain: _Chain, number: int, checkpoint: Checkpoint) -> Iterator[str]:
    """Yield the keys of the release's rows that came after the checkpoint."""
    about = about_release(number)
    covered = {line.rpartition(" ")[0] for line in checkpoint.rows}
    yield from (key for key in chain.rows.partition(chain.service, about) if f"{about} {key}" not in covered)


def _read(row: Mapping[str, Any] | None, kind: type[F]) -> F | None:
    """Return a row's fact if it can be read and is of that kind."""
    try:
        fact = from_row(row) if row is not None else None
    except UNREADABLE:
        return None
    return fact if isinstance(fact, kind) else None


@dataclass(frozen=True)
class _Said:
    """What the checkpointed rows say about the rollout, link by link."""

    pushed: Pushed | None = None
    rollout: Rollout | None = None
    accepted: Accepted | None = None
    build: BuildStarted | None = None
    built: BuildEnded | None = None
    bundled: Bundled | None = None
    started: DeploymentStarted | None = None
    given_up: DeploymentGivenUp | None = None
    ended: DeploymentEnded | None = None
    diagnosed: Diagnosed | None = None
    answered: HostsAnswered | None = None

    @classmethod
    def of(cls, facts: Iterable[Fact], number: int, stage: str, rollout: int) -> _Said:
        """Return what ``facts`` say about that rollout of the release."""
        all_of = list(facts)

        def one(kind: type[F], **said: object) -> F | None:
            found = [f for f in all_of if isinstance(f, kind) and all(getattr(f, k) == v for k, v in said.items())]
            return max(found, key=lambda f: (f.at, f.key), default=None)

        of_turn = {"stage": stage, "rollout": rollout}
        given, started = one(Rollout, stage=stage, number=rollout), one(DeploymentStarted, **of_turn)
        accepted = one(Accepted, digest=given.digest) if given else None
        attempt = accepted.attempt if accepted else given.attempt if given else 0
        deployment = started.deployment if started else ""
        return cls(
            pushed=one(Pushed, number=number),
            rollout=given,
            accepted=accepted or one(Accepted, attempt=attempt),
            build=one(BuildStarted, attempt=attempt),
            built=one(BuildEnded, attempt=attempt),
            bundled=one(Bundled, **of_turn),
            started=started,
            given_up=one(DeploymentGivenUp, **of_turn),
            ended=one(DeploymentEnded, deployment=deployment),
            diagnosed=one(Diagnosed, deployment=deployment),
            answered=one(HostsAnswered, deployment=deployment),
        )

    @property
    def succeeded(self) -> bool:
        """Return whether the rollout brought the release to every host."""
        return bool(self.ended and self.ended.status == "Succeeded" and not (self.diagnosed or self.given_up))


def _of_links(chain: _Chain, checkpoint: Checkpoint, said: _Said) -> Iterator[Fault]:
    """Yield where the links do not meet: rows that hold each for itself, and do not go together."""
    rollout = said.rollout
    if rollout is None:
        yield Fault(f"{chain.about} {checkpoint.key}", f"it names no rollout {checkpoint.rollout} on {chain.stage}")
        return
    row = f"{rollout.about} {rollout.key}"
    if rollout.release != checkpoint.release:
        yield Fault(row, f"the rollout is v{rollout.release}'s, its checkpoint says v{checkpoint.release}")
    if said.accepted is None or said.accepted.digest != rollout.digest:
        yield Fault(row, f"no image of v{checkpoint.release} with the digest {rollout.digest[:19]} was accepted")
    if said.started is not None and said.started.digest != rollout.digest:
        yield Fault(
            row,
            f"{said.started.deployment} deploys {said.started.digest[:19]}, the rollout is of {rollout.digest[:19]}",
        )
    finished = _read(chain.rows.row(chain.service, rollout.about, f"{rollout.key}#finished"), RolloutFinished)
    if finished is not None and finished.succeeded != said.succeeded:
        how = {True: "succeeded", False: "failed"}
        yield Fault(
            f"{rollout.about} {finished.key}",
            f"it says that the rollout {how[finished.succeeded]}; the checkpointed rows say it {how[said.succeeded]}",
        )


def _links(said: _Said) -> Iterator[Link]:
    """Yield the links from the event to what the hosts answered, those there are."""
    rows: list[tuple[str, Fact | None]] = [
        ("event", said.pushed),
        ("build", said.build),
        ("build", said.built),
        ("image", said.accepted),
        ("rollout", said.rollout),
        ("bundle", said.bundled),
        ("deployment", said.started),
        ("deployment", said.given_up),
        ("deployment", said.ended),
        ("hosts", said.diagnosed),
        ("hosts", said.answered),
    ]
    for what, fact in rows:
        if fact is not None:
            yield Link(what, _says(fact), f"{fact.about} {fact.key}", row_hash(fact))


def _says(fact: Fact) -> str:
    """Return a link's row in short, with every name and hash in full: they are what the next link is found by."""
    match fact:
        case Pushed(number=number, commit=commit, tag=tag):
            return f"v{number} is born of " + (f"commit {commit}" if commit else f"the image tag {tag}")
        case Accepted(digest=digest, reused=reused):
            return f"{digest}, accepted before" if reused else digest
        case Rollout(number=rollout, kind=kind, digest=digest):
            return f"rollout {rollout}, {kind} of {digest}"
        case Bundled(name_in_bucket=name, sha256=sha256):
            return f"{name}, SHA-256 {sha256}"
        case HostsAnswered(answers=answers):
            return " | ".join(answers)
        case _:
            return sentence(fact).partition("\n")[0]


# --- what AWS says --------------------------------------------------------------------------------------------------


def _asked(aws: Aws, service: Service, number: int, stage: str, rollout: int, said: _Said) -> Iterator[Evidence]:
    """Yield what AWS itself says about each link."""
    pushed, built, bundled, started = said.pushed, said.built, said.bundled, said.started
    if pushed is not None and pushed.commit:
        yield _ask("commit", lambda: _commit(aws, service, pushed.commit))
    if pushed is not None and built is not None:
        claim = BuildClaim(service.name, number, built.attempt)
        yield _ask("build", lambda: _build(aws, built, claim, pushed.commit))
    if said.rollout is not None:
        digest = said.rollout.digest
        yield _ask("image", lambda: _image(aws, service, number, digest))
    if bundled is not None:
        yield _ask("bundle", lambda: _bundle(aws, service, bundled))
    if started is not None:
        rollout_of = RolloutClaim(service.name, number, stage, rollout)
        yield _ask("deployment", lambda: _deployment(aws, service, started, said, rollout_of))
    if said.answered is not None:
        answered = said.answered
        yield _ask("hosts", lambda: _hosts(aws, answered))


def _ask(what: str, look: Callable[[], tuple[Verdict, str]]) -> Evidence:
    from botocore.exceptions import ClientError

    try:
        verdict, says = look()
    except ClientError as error:
        code = code_of(error)
        if code in _GONE:
            return Evidence(what, "gone", f"it is not there any more ({code})")
        # Whatever else AWS answers, it says nothing against the record.
        told = "you may not ask" if code in _FORBIDDEN else "AWS does not say"
        return Evidence(what, "untold", f"{told} ({error.operation_name}: {code})")
    return Evidence(what, verdict, says)


def _commit(aws: Aws, service: Service, commit: str) -> tuple[Verdict, str]:
    if aws.folder(service, commit, "") is None:
        return "gone", f"{commit} is not in {service.repository} any more"
    return "ok", f"{commit} is in {service.repository}"


def _build(aws: Aws, built: BuildEnded, claim: BuildClaim, commit: str) -> tuple[Verdict, str]:
    found = aws.builds([built.build])
    if not found:
        return "gone", f"CodeBuild has forgotten {built.build}"
    build = found[0]
    variables = {v["name"]: v["value"] for v in build["environment"]["environmentVariables"]}
    return _held(
        ("its claim", variables.get(CLAIM_VARIABLE, ""), str(claim)),
        ("its commit", str(build.get("sourceVersion", "")), commit),
        ("its status", str(build["buildStatus"]), built.status),
    )


def _image(aws: Aws, service: Service, number: int, digest: str) -> tuple[Verdict, str]:
    tag = release_tag(number)
    image = aws.image(service, tag=tag)
    if image is None:
        return "gone", f"no image of {service.images} is tagged {tag} any more"
    return _held((f"the digest under {tag}", image.digest, digest))


def _bundle(aws: Aws, service: Service, bundled: Bundled) -> tuple[Verdict, str]:
    found = aws.client("s3").get_object(Bucket=service.bundles, Key=bundled.name_in_bucket)
    sha256 = hashlib.sha256(found["Body"].read()).hexdigest()
    return _held((f"the SHA-256 of {bundled.name_in_bucket}", sha256, bundled.sha256))


def _deployment(
    aws: Aws, service: Service, started: DeploymentStarted, said: _Said, claim: RolloutClaim
) -> tuple[Verdict, str]:
    answer = aws.client("codedeploy").get_deployment(deploymentId=started.deployment)
    info = answer["deploymentInfo"]
    place = info.get("revision", {}).get("s3Location", {})
    wanted = [("its claim", str(rollout_claim(info.get("description", "")) or "none"), str(claim))]
    if said.bundled is not None:
        bundle = f"{service.bundles}/{said.bundled.name_in_bucket}"
        wanted.append(("its bundle", f"{place.get('bucket')}/{place.get('key')}", bundle))
    if said.ended is not None:
        wanted.append(("its status", str(info["status"]), said.ended.status))
    return _held(*wanted)


def _hosts(aws: Aws, answered: HostsAnswered) -> tuple[Verdict, str]:
    now = _by_host(aws.hosts(answered.deployment).answers)
    then = _by_host(answered.answers)
    over = {host: said for host, said in then.items() if said.startswith(("Succeeded", "Failed", "Skipped"))}
    return _held(*((host, now.get(host, "unknown"), said) for host, said in over.items()))


def _by_host(answers: Iterable[str]) -> dict[str, str]:
    return {host: said for host, _, said in (answer.partition(": ") for answer in answers)}


def _held(*things: tuple[str, str, str]) -> tuple[Verdict, str]:
    """Hold what AWS says against what is on record: of each thing its name, AWS's word, and the record's."""
    unlike = [f"{name} is {there}, on record it is {wanted}" for name, there, wanted in things if there != wanted]
    if unlike:
        return "differs", "; ".join(unlike)
    return "ok", "; ".join(f"{name} is {there}" for name, there, _ in things)
