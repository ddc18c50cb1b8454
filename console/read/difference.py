"""What a release would bring to a stage: the commits and files between what is live there and the release.

The pushes are on record; the commits and files are asked of CodeCommit. An author is whoever git was told: shown, and
no proof of anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from console.read.complete import complete
from console.read.views import CommitAhead, StageDifference
from esteira.aws import Aws
from esteira.config import Service
from esteira.core.facts import CommitPushed
from esteira.core.state import Release, StageState
from esteira.errors import code_of
from esteira.store import Store

# So many are shown; of more, git tells.
MOST_COMMITS, MOST_FILES = 30, 50


def ahead(
    store: Store, client: Callable[[str], Any], service: Service, number: int, now: datetime, stage: str | None = None
) -> StageDifference | None:
    """The difference to the stage that was named, or the next that the release has not come to.

    None where there is no such stage, or nothing to compare: an image from elsewhere has no commit.
    """
    release, s = complete(store, service, number, now)
    left = (each for each in s.stages if stage in (None, each.name) and not release.on(each).came)
    there = next(left, None)
    if there is None or not release.pushed.commit or not release.pushed.effective:
        return None
    return _difference(store, Aws(client), service, release, there)


def _difference(store: Store, aws: Aws, service: Service, release: Release, stage: StageState) -> StageDifference:
    commit, live = release.pushed.commit, stage.live_commit
    beside = StageDifference(stage.name, f"v{stage.live}" if stage.live else "", live)
    log = f"git log --stat {f'{live[:8]}..' if live else ''}{commit[:8]}"
    try:
        commits = tuple(_commits(store, aws, service, live, commit))
        changes, _ = aws.changes(service, live, commit)
    except Exception as error:  # noqa: BLE001 - keeps nobody from voting, or from reading the rest
        why = code_of(error) or type(error).__name__
        return replace(beside, untold=f"CodeCommit did not tell it ({why}). Next: {log}")
    cut = len(commits) > MOST_COMMITS or len(changes) > MOST_FILES
    return replace(
        beside,
        commits=commits[:MOST_COMMITS],
        files=tuple(change.path for change in changes[:MOST_FILES]),
        files_count=len(changes),
        untold=f"there is more. Next: {log}" if cut else "",
    )


def _commits(store: Store, aws: Aws, service: Service, live: str, commit: str) -> Iterator[CommitAhead]:
    """The commits from ``commit`` back to the ``live`` one, one more than are shown at most."""
    left, seen = [commit], {live}
    while left and len(seen) <= MOST_COMMITS + 1:
        at = left.pop(0)
        if at in seen:
            continue
        seen.add(at)
        told = aws.client("codecommit").get_commit(repositoryName=service.repository, commitId=at)["commit"]
        subject, author = str(told.get("message", "")).strip().partition("\n")[0], told.get("author", {})
        pushes = store.facts(service.name, f"commit/{at}", "pushed-by#")
        by = tuple(sorted({push.by for push in pushes if isinstance(push, CommitPushed)}))
        yield CommitAhead(at, subject[:200], str(author.get("name", ""))[:100], by)
        left.extend(told.get("parents", ()))
