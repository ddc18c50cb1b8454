"""What the seals say about a release: its rounds of decisions, what each was made from, and what operators said.

A checkpoint covers a rollout's own rows. The rest that decided is covered here: a decision is listed by its round, a
row that a decision was made from is listed with its hash in ``Seen``, and an operator's word by its request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from console.record.alterations import altered
from console.record.as_of import UNREADABLE, Rows
from console.record.checkpoint_chain import CheckpointChain, F, read_fact
from console.record.receipt_values import Fault
from console.record.unfounded import LATE, forgotten, images_taken, unfounded
from esteira.audit import names_of, row_hash, seen_hash, seen_line
from esteira.core.facts import (
    POLICY,
    Aborted,
    CommitPushed,
    ImageTaken,
    Pushed,
    ReleaseWord,
    Retried,
    Word,
    about_release,
    about_stage,
)
from esteira.fact import Fact, from_row
from esteira.trail import Decided, Requested, Round, Seen, about_decisions

WORDS = (Word, ReleaseWord, Retried, Aborted)
ROUNDS = 1000  # so many of the newest rounds are looked at, also where no checkpoint lists them yet


@dataclass
class Grounds:
    """The seals that have to do with one release and one stage."""

    chain: CheckpointChain
    number: int
    now: datetime
    named: frozenset[str]  # rows that are known to be wrong; what hangs on them is not named again
    covered: set[str] = field(default_factory=set)  # rows that some seal names, as "ABOUT KEY"
    last: datetime | None = None  # the last round of decisions about the release

    def faults(self) -> Iterator[Fault]:
        """Each row about the release that is not what the seals say, and each that no seal says anything of."""
        self.covered |= names_of(line for c in self.chain.checkpoints.values() for line in c.rows)
        decided = list(self._facts(about_decisions(self.number), Decided))
        rounds = self._rounds(decided)
        yield from self._unlisted(decided, rounds)
        for sealed in rounds.values():
            own = [line for line in sealed.rows if line.startswith(f"{about_decisions(self.number)} ")]
            yield from self._lines(own, Decided.kept_days, sealed.at)
            if own:
                yield from self._seen(sealed.seen, sealed.at)
        self.last = max((d.at for d in decided), default=None)
        yield from self._requests()
        yield from self._strangers()
        said = self._facts(about_release(self.number), Fact)
        yield from unfounded(said, decided, self.rows, self.service, self.now)
        yield from images_taken(self.rows, self.service, self.now)

    @property
    def rows(self) -> Rows:
        return self.chain.rows

    @property
    def service(self) -> str:
        return self.chain.service

    def _rounds(self, decided: Iterable[Decided]) -> dict[str, Round]:
        """The rounds that the checkpoints list, and those that the decisions about the release name, by key."""
        keys = {_round_key(d) for d in decided}
        keys |= {name.removeprefix("rounds ") for name in self.covered if name.startswith("rounds ")}
        keys |= self.rows.newest_rows(self.service, "rounds", "round#", ROUNDS).keys()
        found = {key: read_fact(self.rows.row(self.service, "rounds", key), Round) for key in sorted(keys)}
        return {
            key: sealed for key, sealed in found.items() if sealed is not None and f"rounds {key}" not in self.named
        }

    def _unlisted(self, decided: Iterable[Decided], rounds: dict[str, Round]) -> Iterator[Fault]:
        """Decisions that no round lists, and rounds that no checkpoint lists although one came later."""
        known = names_of(line for sealed in rounds.values() for line in sealed.rows)
        for one in decided:
            if f"{one.about} {one.key}" not in known and f"rounds {_round_key(one)}" not in self.named:
                yield Fault(f"{one.about} {one.key}", "no round lists it: it was inserted, or its round was taken out")
        made = [checkpoint.at for checkpoint in self.chain.checkpoints.values()]
        for sealed in rounds.values():
            name = f"{sealed.about} {sealed.key}"
            if made and min(made) < sealed.at < max(made) - LATE and name not in self.covered and not self.chain.gap:
                yield Fault(name, "no checkpoint lists it, and one came after it: it was inserted")

    def _seen(self, sha256: str, at: datetime) -> Iterator[Fault]:
        """What a decision was made from, held against the rows as they stand."""
        made = read_fact(self.rows.row(self.service, "seen", f"seen#{sha256}"), Seen)
        name = f"seen seen#{sha256}"
        if made is None:
            if not forgotten(Seen.kept_days, at, self.now):
                yield Fault(name, "it is missing: a decision was made from it")
            return
        if seen_hash(made) != sha256:
            yield Fault(name, "it is not what a decision was made from")
            return
        for line in made.rows:
            yield from self._seen_row(*line.split("\t"))

    def _seen_row(self, about: str, key: str, sha256: str) -> Iterator[Fault]:
        if f"{about} {key} {sha256}" in self.covered:
            return
        self.covered |= {f"{about} {key}", f"{about} {key} {sha256}"}
        row = self.rows.row(self.service, about, key)
        if row is None:
            if not _goes_away(about, key):
                yield Fault(f"{about} {key}", "it is missing: a decision was made from it")
            return
        try:
            fact = from_row(row)
            same = seen_line(fact) == f"{about}\t{key}\t{sha256}"
        except UNREADABLE:
            same = False
        if not same:
            yield Fault(f"{about} {key}", altered(row, about, key, sha256) or "it is not what a decision was made from")

    def _requests(self) -> Iterator[Fault]:
        """The chain of operators' requests, and their words about this release and stage."""
        before: Requested | None = None
        for one in sorted(self._facts("requested", Requested), key=lambda r: r.number):
            name = f"{one.about} {one.key}"
            number, follows = (before.number + 1, row_hash(before)) if before else (1, "")
            if one.number != number:
                yield Fault(one.about, f"request {number} is missing: requests have no gap")
            elif one.before != follows:
                yield Fault(name, f"it does not follow from request {number - 1} as that stands")
            before = one
            yield from self._lines(one.rows, None, one.at)

    def _lines(self, lines: Iterable[str], kept_days: int | None, at: datetime) -> Iterator[Fault]:
        """Rows that a seal lists, held against the rows as they stand."""
        for line in lines:
            name, _, sha256 = line.rpartition(" ")
            about, _, key = name.partition(" ")
            self.covered.add(name)
            row = self.rows.row(self.service, about, key)
            if row is None and not forgotten(kept_days, at, self.now):
                yield Fault(name, "it is missing")
            elif row is not None and (says := altered(row, about, key, sha256)):
                yield Fault(name, says)

    def _strangers(self) -> Iterator[Fault]:
        """Rows that no seal lists: an operator's word, or one older than a decision that did not see it."""
        birth = read_fact(self.rows.row(self.service, "releases", f"release#{self.number:08d}"), Pushed)
        if birth and birth.source == "image":
            yield from self._image(birth)
        subjects = [f"quarantine/{s}" for s in (birth.commit, birth.digest) if s] if birth else []
        commit = f"commit/{birth.commit}" if birth else ""
        # Who pushed is read for a decision only where a stage has the two-person rule.
        pushed = [commit] if any(name.startswith(f"{commit} pushed-by#") for name in self.covered) else []
        for about in (about_release(self.number), about_stage(self.chain.stage), *subjects, *pushed, POLICY):
            for fact in self._facts(about, CommitPushed if about in pushed else Fact):
                if f"{fact.about} {fact.key}" not in self.covered:
                    yield from self._stranger(fact)

    def _image(self, birth: Pushed) -> Iterator[Fault]:
        """The row by which the release's image is taken, and becomes no other release."""
        key = f"image#{birth.tag}#{birth.digest}#{bool(birth.rejected):d}"
        taken = read_fact(self.rows.row(self.service, "releases", key), ImageTaken)
        if taken is None or taken.release != self.number:
            yield Fault(f"releases {key}", f"it is missing, or not v{self.number}'s: v{self.number} is of that image")

    def _stranger(self, fact: Fact) -> Iterator[Fault]:
        name = f"{fact.about} {fact.key}"
        if isinstance(fact, WORDS):
            yield Fault(name, "no request of an operator lists it: it was inserted")
        elif (
            fact.kept_days is None and not fact.about.startswith("stage/") and self.last and fact.at < self.last - LATE
        ):
            yield Fault(name, f"it says {fact.at:%Y-%m-%d %H:%M}, and no decision since then saw it: it was inserted")

    def _facts(self, about: str, kind: type[F]) -> Iterator[F]:
        for key, row in self.rows.partition(self.service, about).items():
            fact = read_fact(row, kind)
            if fact is not None and "fact_key" not in row and (fact.about, fact.key) == (about, key):
                yield fact


def _round_key(decided: Decided) -> str:
    """The key of the round a decision was made in."""
    return Round(at=decided.at, round=decided.round, seen=decided.seen, rows=()).key


def _goes_away(about: str, key: str) -> bool:
    """Whether rows of that kind are deleted or forgotten in the ordinary course: arrivals, reminders, alarms."""
    return key.startswith(("open#image#", "notified#")) or about.startswith("alarm/")
