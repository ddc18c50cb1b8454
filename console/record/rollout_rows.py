"""What the rows of one rollout say, link by link, and whether the links meet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from console.read.sentences import sentence
from console.record.checkpoint_chain import CheckpointChain, F, read_fact
from console.record.receipt_values import Fault, Link
from esteira.audit import row_hash
from esteira.core.facts import (
    Accepted,
    BuildEnded,
    BuildStarted,
    Bundled,
    DeploymentReported,
    DeploymentStarted,
    Diagnosed,
    GivenUp,
    Pushed,
    Rollout,
    RolloutFinished,
)
from esteira.fact import Fact
from esteira.trail import Checkpoint


@dataclass(frozen=True)
class RolloutRows:
    """What the checkpointed rows say about the rollout, link by link."""

    pushed: Pushed | None = None
    rollout: Rollout | None = None
    accepted: Accepted | None = None
    build: BuildStarted | None = None
    built: BuildEnded | None = None
    bundled: Bundled | None = None
    started: DeploymentStarted | None = None
    given_up: GivenUp | None = None
    ended: DeploymentReported | None = None
    diagnosed: Diagnosed | None = None

    @classmethod
    def of(cls, facts: Iterable[Fact], number: int, stage: str, rollout: int) -> RolloutRows:
        """What ``facts`` say about that rollout of the release."""
        all_of = list(facts)

        def one(kind: type[F], **said: object) -> F | None:
            found = [f for f in all_of if isinstance(f, kind) and all(getattr(f, k) == v for k, v in said.items())]
            return max(found, key=lambda f: (f.at, f.key), default=None)

        of_rollout = {"stage": stage, "rollout": rollout}
        given, started = one(Rollout, stage=stage, number=rollout), one(DeploymentStarted, **of_rollout)
        accepted = one(Accepted, digest=given.digest) if given else None
        attempt = accepted.attempt if accepted else given.attempt if given else 0
        deployment = started.deployment if started else ""
        return cls(
            pushed=one(Pushed, number=number),
            rollout=given,
            accepted=accepted or one(Accepted, attempt=attempt),
            build=one(BuildStarted, attempt=attempt),
            built=one(BuildEnded, attempt=attempt),
            bundled=one(Bundled, **of_rollout),
            started=started,
            given_up=one(GivenUp, what="deployment", stage=stage, number=rollout),
            ended=one(DeploymentReported, deployment=deployment, milestone="ended"),
            diagnosed=one(Diagnosed, deployment=deployment),
        )

    @property
    def succeeded(self) -> bool:
        """Whether the rollout brought the release to every host."""
        failed = self.diagnosed is not None and self.diagnosed.failed
        return bool(self.ended and self.ended.status == "Succeeded" and not failed and self.given_up is None)


def faults_of_links(chain: CheckpointChain, checkpoint: Checkpoint, said: RolloutRows) -> Iterator[Fault]:
    """Where the links do not meet: rows that hold each for itself, and do not go together."""
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
    finished = read_fact(chain.rows.row(chain.service, rollout.about, f"{rollout.key}#finished"), RolloutFinished)
    if finished is not None and finished.succeeded != said.succeeded:
        how = {True: "succeeded", False: "failed"}
        yield Fault(
            f"{rollout.about} {finished.key}",
            f"it says that the rollout {how[finished.succeeded]}; the checkpointed rows say it {how[said.succeeded]}",
        )


def links_of(said: RolloutRows) -> Iterator[Link]:
    """The links from the event to what the hosts answered, those there are."""
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
    ]
    for what, fact in rows:
        if fact is not None:
            yield Link(what, _says(fact), f"{fact.about} {fact.key}", row_hash(fact))


def _says(fact: Fact) -> str:
    """A link's row in short, with every name and hash in full: they are what the next link is found by."""
    match fact:
        case Pushed(number=number, commit=commit, tag=tag):
            return f"v{number} is born of " + (f"commit {commit}" if commit else f"the image tag {tag}")
        case Accepted(digest=digest, reused=reused):
            return f"{digest}, accepted before" if reused else digest
        case Rollout(number=rollout, kind=kind, digest=digest):
            return f"rollout {rollout}, {kind} of {digest}"
        case Bundled(name_in_bucket=name, sha256=sha256):
            return f"{name}, SHA-256 {sha256}"
        case Diagnosed(failed=False, answers=answers):
            return " | ".join(answers)
        case _:
            return sentence(fact).partition("\n")[0]
