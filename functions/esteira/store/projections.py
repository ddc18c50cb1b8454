"""Projections: what lists show. They are made from the facts and may be made again from them at any time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime

from esteira.core.facts import RELEASES, Notified
from esteira.core.state import Release
from esteira.core.status import Status, in_one_line
from esteira.fact import stamp
from esteira.store.releases import Releases
from esteira.store.rows import Row, open_key, pk_of


@dataclass(frozen=True)
class View:
    """One row of the history: a projection, as last written. ``stages`` are ``NAME=PHASE`` of each it came to."""

    number: int
    phase: str
    summary: str
    commit: str
    tag: str
    digest: str
    classes: tuple[str, ...]
    pushed_at: str
    changed_at: str
    detail: tuple[str, ...] = ()
    next: str = ""
    cause: str = ""
    stage: str = ""
    stages: tuple[str, ...] = ()
    attempt: int = 1
    rollout: int = 0  # the last one on ``stage``
    subject: str = ""
    author: str = ""

    @property
    def why(self) -> str:
        """The sentence and the next step in one line."""
        return in_one_line(self.summary, self.next)


_LISTS = ("classes", "detail", "stages")


class Projections(Releases):
    """The history as lists show it."""

    def project(
        self,
        service: str,
        release: Release,
        status: Status,
        stages: Mapping[str, Status],
        at: datetime,
        rollout: int = 0,
    ) -> None:
        """Write where a release stands now, in all and on each stage it came to, for lists and so that a change of it
        is noticed: the view and the open row in one call."""
        pushed = release.pushed
        view = View(
            number=pushed.number,
            phase=status.phase.value,
            summary=status.summary,
            commit=pushed.commit,
            tag=pushed.tag,
            digest=release.digest,
            classes=pushed.classes,
            pushed_at=stamp(pushed.at),
            changed_at=stamp(at),
            detail=status.detail,
            next=status.next,
            cause=status.cause,
            stage=status.stage,
            stages=tuple(f"{name}={there.phase.value}" for name, there in stages.items()),
            attempt=release.attempt,
            rollout=rollout,
            subject=pushed.subject,
            author=pushed.author,
        )
        put = self._put(_view_row(service, view))
        listed = {**asdict(status.listed), "detail": list(status.detail)}
        if not self._transact([put, self._change(service, RELEASES, open_key(view.number), listed)]):
            return
        self._client.put_item(**put["Put"])  # the release is not open
        if not status.phase.ended:
            self.reopen(service, pushed.number, release.attempt)

    def views(self, service: str, limit: int = 20, before: int | None = None) -> list[View]:
        """The newest ``limit`` rows of the history, newest first, of releases below ``before``."""
        last = view_key(before - 1) if before else None
        return [_view(row) for row in self._query(service, RELEASES, "view#", newest=limit, last=last)]

    def announced(
        self, service: str, number: int, notices: Iterable[Notified]
    ) -> tuple[View | None, frozenset[Notified]]:
        """A release's row of the history, None where there is none yet, and those of ``notices`` that are recorded."""
        places, row = {(notice.about, notice.key): notice for notice in notices}, (RELEASES, view_key(number))
        there = self._get_many(service, [row, *places])
        told = frozenset(notice for place, notice in places.items() if place in there)
        return (_view(there[row]) if row in there else None), told

    def find(self, service: str, commit: str, depth: int = 1000) -> int | None:
        """The newest release of a commit (or its first characters) among the last ``depth``, if there is one."""
        before = None
        while depth > 0:
            page = self.views(service, min(depth, 100), before)
            found = next((v.number for v in page if v.commit and v.commit.startswith(commit)), None)
            if found is not None or not page:
                return found
            before, depth = page[-1].number, depth - len(page)
        return None


def view_key(number: int) -> str:
    """The key of a release's row of the history."""
    return f"view#{number:08d}"


def _view(row: Row) -> View:
    """A row of the history, with its own types."""
    names = {f.name for f in fields(View)}
    view = View(**{name: value for name, value in row.items() if name in names})
    classes, detail, stages = tuple(view.classes), tuple(view.detail), tuple(view.stages)
    number, attempt, rollout = int(view.number), int(view.attempt), int(view.rollout)
    return replace(view, classes=classes, detail=detail, stages=stages, number=number, attempt=attempt, rollout=rollout)


def _view_row(service: str, view: View) -> Row:
    row: Row = {"pk": pk_of(service, RELEASES), "sk": view_key(view.number)}
    row |= {f.name: getattr(view, f.name) for f in fields(view)}
    return row | {name: list(row[name]) for name in _LISTS}
