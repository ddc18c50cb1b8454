"""A release's receipt: what its last settled turn on a stage was made of, link by link, and whether it holds.

The controller seals every turn when it settles it: the hash of each row said about the release until then, and over
all of them one seal, which also covers the seal of the stage's turn before. What the check proves, and what not:

- A row that was altered or taken out since it was sealed is named, as long as the seal stands.
- Who alters a row and its seal must make the seals of every later turn anew: a break in the chain is named. Nobody can
  see that from the table alone where all of them were made anew. So the newest seal counts where it stands outside the
  table: it is printed here, to be kept by whoever audits; the same text another day proves that all before it is as it
  was.
- Rows that came after the seal (that the turn is settled, what took the release's place) are not in it, nor are those
  the table forgets after some time (each host's single reports, announcements).
  How the turn ended is, by what CodeDeploy said; that is held against the row that calls it settled.
- It does not prove that what was written down was true. For that AWS itself is asked, as far as it still knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeVar

from console.record.as_of import UNREADABLE, Rows
from console.remote import REFUSED, TroubleError, code_of
from console.sentences import sentence
from esteira.claims import CLAIM_VARIABLE, BuildClaim, TurnClaim, turn_claim
from esteira.cloud import Cloud
from esteira.config import Service, release_tag
from esteira.facts import (
    RELEASES,
    Accepted,
    BuildEnded,
    BuildStarted,
    Bundled,
    DeployGivenUp,
    DeploymentEnded,
    DeployStarted,
    Diagnosed,
    Fact,
    HostsAnswered,
    Pushed,
    Sealed,
    Settled,
    Turn,
    about_release,
    about_stage,
    from_row,
)
from esteira.seal import altered, broken, row_hash

F = TypeVar("F", bound=Fact)
# So many of a stage's seals are looked at unless all are asked for.
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
class Asked:
    """What AWS itself says about a link. ``gone``: it knows it no more; ``untold``: it may not be asked."""

    what: str
    verdict: Verdict
    says: str


@dataclass(frozen=True)
class Seals:
    """Which of the stage's seals were looked at: from which turn to which, and the newest there is."""

    first: int
    last: int
    newest: str
    newest_turn: int
    unseen: str = ""  # the turns that were not looked at, of those in between


@dataclass(frozen=True)
class Receipt:
    """A release's last settled turn on a stage, from the event to what the hosts answered."""

    service: str
    release: str
    stage: str
    turn: int
    sealed_at: datetime | None
    seal: str
    before: str
    rows: int
    links: tuple[Link, ...]
    faults: tuple[Fault, ...]
    later: tuple[str, ...]  # rows of the release that the seal does not cover
    seals: Seals
    aws: tuple[Asked, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """Return whether nothing is altered, and AWS contradicts nothing."""
        return not self.faults and all(asked.verdict != "differs" for asked in self.aws)


def receipt(rows: Rows, service: Service, number: int, stage: str, *, whole: bool, cloud: Cloud | None) -> Receipt:
    """Return release ``number``'s receipt for ``stage``: with the ``whole`` chain of seals or the last of them, and
    what AWS says where ``cloud`` is given. Raises TroubleError where no turn of it is sealed."""
    chain = _Chain(rows, service.name, stage)
    chain.read_newest(None if whole else SEALS)
    turn = _last_turn(chain, number)
    chain.read_before(turn, SEALS)
    faults = [*chain.faults()]
    sealed = chain.seals.get(turn)
    known: dict[str, Fact] = {}
    if sealed is not None:
        known, wrong = _checked(chain, sealed)
        faults += wrong
    said = _Said.of(known.values(), number, stage, turn)
    if sealed is not None:
        # Where a row is not what it was, that is why links do not meet; it is named already.
        faults += [] if wrong else _of_links(chain, sealed, said)
    return Receipt(
        service=service.name,
        release=f"v{number}",
        stage=stage,
        turn=turn,
        sealed_at=sealed.at if sealed else None,
        seal=sealed.seal if sealed else "",
        before=sealed.before if sealed else "",
        rows=len(sealed.rows) if sealed else 0,
        links=tuple(_links(said)),
        faults=tuple(dict.fromkeys(faults)),
        later=tuple(_later(chain, number, sealed)) if sealed else (),
        seals=chain.told(),
        aws=tuple(_asked(cloud, service, number, stage, turn, said)) if cloud and sealed else (),
    )


# --- the chain of seals ---------------------------------------------------------------------------------------------


@dataclass
class _Chain:
    """A stage's seals, as far as they were read, by turn; and those that cannot be read."""

    rows: Rows
    service: str
    stage: str
    seals: dict[int, Sealed] = field(default_factory=dict)
    unreadable: list[Fault] = field(default_factory=list)
    newest: tuple[int, ...] = ()  # the turns of the newest, without a gap that was left out
    older: tuple[int, ...] = ()  # and those before a turn that is not among them

    @property
    def about(self) -> str:
        return f"seals/{self.stage}"

    def read_newest(self, limit: int | None) -> None:
        """Read the newest seals, or all."""
        where = (self.service, self.about, "seal#")
        read = self.rows.partition(*where) if limit is None else self.rows.newest_rows(*where, limit)
        for key, row in read.items():
            self._add(key, row)
        self.newest = tuple(sorted(self.seals))

    def read_before(self, turn: int, limit: int) -> None:
        """Read the seal of ``turn`` and those before it, where they are not among the newest."""
        if self.newest and turn >= self.newest[0]:
            return
        for number in range(max(1, turn - limit + 1), turn + 1):
            row = self.rows.row(self.service, self.about, _seal_key(number))
            if row is not None:
                self._add(_seal_key(number), row)
        self.older = tuple(sorted(n for n in self.seals if n not in self.newest))

    def faults(self) -> Iterator[Fault]:
        """Yield each place where the seals do not hold together, and those that are missing at the end."""
        yield from self.unreadable
        joined = self.older and self.newest and self.older[-1] + 1 == self.newest[0]
        runs = [(*self.older, *self.newest)] if joined else [self.older, self.newest]
        for run in filter(None, runs):
            yield from self._missing_before(self.seals[run[0]])
            for says in broken([self.seals[n] for n in run]):
                yield Fault(self.about, says)
        last = max(self.seals, default=0)
        turns = self.rows.newest_rows(self.service, about_stage(self.stage), "turn#", 4)
        for key in sorted(turns):
            number = int(key.split("#")[1])
            if key.endswith("#settled") and number > last:
                yield Fault(self.about, f"turn {number} is settled and its seal is missing")

    def _missing_before(self, sealed: Sealed) -> Iterator[Fault]:
        """Yield that the seal is missing which the first of those that were read follows from."""
        before = sealed.turn - 1
        if before and sealed.before and self.rows.row(self.service, self.about, _seal_key(before)) is None:
            yield Fault(self.about, f"the seal of turn {before} is missing: that of turn {sealed.turn} follows from it")

    def told(self) -> Seals:
        """Return which were looked at."""
        looked, last = sorted(self.seals), max(self.seals, default=0)
        gap = (
            f"{self.older[-1] + 1} to {self.newest[0] - 1}"
            if self.older and self.newest and self.older[-1] + 1 < self.newest[0]
            else ""
        )
        newest = self.seals[last].seal if last else ""
        return Seals(looked[0] if looked else 0, last, newest, last, gap)

    def _add(self, key: str, row: Mapping[str, Any]) -> None:
        sealed = _read(row, Sealed)
        if sealed is None or sealed.key != key or sealed.stage != self.stage:
            self.unreadable.append(Fault(f"{self.about} {key}", "it is no seal of that turn any more"))
        else:
            self.seals[sealed.turn] = sealed


def _seal_key(turn: int) -> str:
    return f"seal#{turn:08d}"


def _last_turn(chain: _Chain, number: int) -> int:
    """Return the release's last turn on the stage that is settled or sealed. Raises TroubleError if there is none."""
    rows, name, stage = chain.rows, chain.service, chain.stage
    mine = rows.partition(name, about_release(number))
    parts = [key.split("#") for key in mine]
    turns = {int(p[2]) for p in parts if p[0] in ("deploy-started", "deploy-given-up", "bundled") and p[1] == stage}
    turns |= {sealed.turn for sealed in chain.seals.values() if sealed.release == number}
    for turn in sorted(turns, reverse=True):
        settled = rows.row(name, about_stage(stage), f"turn#{turn:08d}#settled")
        if turn in chain.seals or settled or rows.row(name, chain.about, _seal_key(turn)):
            return turn
    if not mine and rows.row(name, RELEASES, f"release#{number:08d}") is None:
        raise TroubleError(f"{name} has no release v{number}. Next: esteira releases", REFUSED)
    raise TroubleError(
        f"v{number} had no turn on {stage} that is over, so nothing of it is sealed. Next: esteira why v{number}",
        REFUSED,
    )


# --- the rows of the turn -------------------------------------------------------------------------------------------


def _checked(chain: _Chain, sealed: Sealed) -> tuple[dict[str, Fact], list[Fault]]:
    """Return the rows that were sealed as they stand now, by their names, and those that are not what they were."""
    known: dict[str, Fact] = {}
    faults = []
    for line in sealed.rows:
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


def _later(chain: _Chain, number: int, sealed: Sealed) -> Iterator[str]:
    """Yield the keys of the release's rows that came after the seal."""
    about = about_release(number)
    covered = {line.rpartition(" ")[0] for line in sealed.rows}
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
    """What the sealed rows say about the turn, link by link."""

    pushed: Pushed | None = None
    turn: Turn | None = None
    accepted: Accepted | None = None
    build: BuildStarted | None = None
    built: BuildEnded | None = None
    bundled: Bundled | None = None
    started: DeployStarted | None = None
    given_up: DeployGivenUp | None = None
    ended: DeploymentEnded | None = None
    diagnosed: Diagnosed | None = None
    answered: HostsAnswered | None = None

    @classmethod
    def of(cls, facts: Iterable[Fact], number: int, stage: str, turn: int) -> _Said:
        """Return what ``facts`` say about that turn of the release."""
        all_of = list(facts)

        def one(kind: type[F], **said: object) -> F | None:
            found = [f for f in all_of if isinstance(f, kind) and all(getattr(f, k) == v for k, v in said.items())]
            return max(found, key=lambda f: (f.at, f.key), default=None)

        of_turn = {"stage": stage, "turn": turn}
        given, started = one(Turn, stage=stage, number=turn), one(DeployStarted, **of_turn)
        accepted = one(Accepted, digest=given.digest) if given else None
        attempt = accepted.attempt if accepted else given.attempt if given else 0
        deployment = started.deployment if started else ""
        return cls(
            pushed=one(Pushed, number=number),
            turn=given,
            accepted=accepted or one(Accepted, attempt=attempt),
            build=one(BuildStarted, attempt=attempt),
            built=one(BuildEnded, attempt=attempt),
            bundled=one(Bundled, **of_turn),
            started=started,
            given_up=one(DeployGivenUp, **of_turn),
            ended=one(DeploymentEnded, deployment=deployment),
            diagnosed=one(Diagnosed, deployment=deployment),
            answered=one(HostsAnswered, deployment=deployment),
        )

    @property
    def succeeded(self) -> bool:
        """Return whether the turn brought the release to every host."""
        return bool(self.ended and self.ended.status == "Succeeded" and not (self.diagnosed or self.given_up))


def _of_links(chain: _Chain, sealed: Sealed, said: _Said) -> Iterator[Fault]:
    """Yield where the links do not meet: rows that hold each for itself, and do not go together."""
    turn = said.turn
    if turn is None:
        yield Fault(f"{chain.about} {sealed.key}", f"it names no turn {sealed.turn} on {chain.stage}")
        return
    row = f"{turn.about} {turn.key}"
    if turn.release != sealed.release:
        yield Fault(row, f"the turn is v{turn.release}'s, its seal says v{sealed.release}")
    if said.accepted is None or said.accepted.digest != turn.digest:
        yield Fault(row, f"no image of v{sealed.release} with the digest {turn.digest[:19]} was accepted")
    if said.started is not None and said.started.digest != turn.digest:
        yield Fault(
            row, f"{said.started.deployment} deploys {said.started.digest[:19]}, the turn is of {turn.digest[:19]}"
        )
    settled = _read(chain.rows.row(chain.service, turn.about, f"{turn.key}#settled"), Settled)
    if settled is not None and settled.succeeded != said.succeeded:
        how = {True: "succeeded", False: "failed"}
        yield Fault(
            f"{turn.about} {settled.key}",
            f"it says that the turn {how[settled.succeeded]}, and the sealed rows that it {how[said.succeeded]}",
        )


def _links(said: _Said) -> Iterator[Link]:
    """Yield the links from the event to what the hosts answered, those there are."""
    rows: list[tuple[str, Fact | None]] = [
        ("event", said.pushed),
        ("build", said.build),
        ("build", said.built),
        ("image", said.accepted),
        ("turn", said.turn),
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
        case Turn(number=turn, kind=kind, digest=digest):
            return f"turn {turn}, {kind} of {digest}"
        case Bundled(name_in_bucket=name, sha256=sha256):
            return f"{name}, SHA-256 {sha256}"
        case HostsAnswered(answers=answers):
            return " | ".join(answers)
        case _:
            return sentence(fact).partition("\n")[0]


# --- what AWS says --------------------------------------------------------------------------------------------------


def _asked(cloud: Cloud, service: Service, number: int, stage: str, turn: int, said: _Said) -> Iterator[Asked]:
    """Yield what AWS itself says about each link."""
    pushed, built, bundled, started = said.pushed, said.built, said.bundled, said.started
    if pushed is not None and pushed.commit:
        yield _ask("commit", lambda: _commit(cloud, service, pushed.commit))
    if pushed is not None and built is not None:
        claim = BuildClaim(service.name, number, built.attempt)
        yield _ask("build", lambda: _build(cloud, built, claim, pushed.commit))
    if said.turn is not None:
        digest = said.turn.digest
        yield _ask("image", lambda: _image(cloud, service, number, digest))
    if bundled is not None:
        yield _ask("bundle", lambda: _bundle(cloud, service, bundled))
    if started is not None:
        turn_of = TurnClaim(service.name, number, stage, turn)
        yield _ask("deployment", lambda: _deployment(cloud, service, started, said, turn_of))
    if said.answered is not None:
        answered = said.answered
        yield _ask("hosts", lambda: _hosts(cloud, answered))


def _ask(what: str, look: Callable[[], tuple[Verdict, str]]) -> Asked:
    from botocore.exceptions import ClientError

    try:
        verdict, says = look()
    except ClientError as error:
        code = code_of(error)
        if code in _GONE:
            return Asked(what, "gone", f"it is not there any more ({code})")
        # Whatever else AWS answers, it says nothing against the record.
        told = "you may not ask" if code in _FORBIDDEN else "AWS does not say"
        return Asked(what, "untold", f"{told} ({error.operation_name}: {code})")
    return Asked(what, verdict, says)


def _commit(cloud: Cloud, service: Service, commit: str) -> tuple[Verdict, str]:
    if cloud.folder(service, commit, "") is None:
        return "gone", f"{commit} is not in {service.repository} any more"
    return "ok", f"{commit} is in {service.repository}"


def _build(cloud: Cloud, built: BuildEnded, claim: BuildClaim, commit: str) -> tuple[Verdict, str]:
    found = cloud.builds([built.build])
    if not found:
        return "gone", f"CodeBuild has forgotten {built.build}"
    build = found[0]
    variables = {v["name"]: v["value"] for v in build["environment"]["environmentVariables"]}
    return _held(
        ("its claim", variables.get(CLAIM_VARIABLE, ""), str(claim)),
        ("its commit", str(build.get("sourceVersion", "")), commit),
        ("its status", str(build["buildStatus"]), built.status),
    )


def _image(cloud: Cloud, service: Service, number: int, digest: str) -> tuple[Verdict, str]:
    tag = release_tag(number)
    image = cloud.image(service, tag=tag)
    if image is None:
        return "gone", f"no image of {service.images} is tagged {tag} any more"
    return _held((f"the digest under {tag}", image.digest, digest))


def _bundle(cloud: Cloud, service: Service, bundled: Bundled) -> tuple[Verdict, str]:
    found = cloud.client("s3").get_object(Bucket=service.bundles, Key=bundled.name_in_bucket)
    sha256 = hashlib.sha256(found["Body"].read()).hexdigest()
    return _held((f"the SHA-256 of {bundled.name_in_bucket}", sha256, bundled.sha256))


def _deployment(
    cloud: Cloud, service: Service, started: DeployStarted, said: _Said, claim: TurnClaim
) -> tuple[Verdict, str]:
    answer = cloud.client("codedeploy").get_deployment(deploymentId=started.deployment)
    info = answer["deploymentInfo"]
    place = info.get("revision", {}).get("s3Location", {})
    wanted = [("its claim", str(turn_claim(info.get("description", "")) or "none"), str(claim))]
    if said.bundled is not None:
        bundle = f"{service.bundles}/{said.bundled.name_in_bucket}"
        wanted.append(("its bundle", f"{place.get('bucket')}/{place.get('key')}", bundle))
    if said.ended is not None:
        wanted.append(("its status", str(info["status"]), said.ended.status))
    return _held(*wanted)


def _hosts(cloud: Cloud, answered: HostsAnswered) -> tuple[Verdict, str]:
    now = _by_host(cloud.hosts(answered.deployment).answers)
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
