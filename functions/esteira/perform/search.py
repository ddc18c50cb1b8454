"""The files of a push are searched for secrets: several are read at once, and how far it came is recorded."""

from __future__ import annotations

from collections.abc import Sequence

from esteira.context import Decision
from esteira.core.facts import Searched
from esteira.errors import code_of
from esteira.inspection import SUBMODULE, Change, Search, searched
from esteira.perform.effects import Effects
from esteira.several import AT_ONCE, several

CHECKPOINT = 50 * AT_ONCE  # a push of no more files needs no record of how far the search came


def search(files: Sequence[Change], base: str, commit: str, do: Effects) -> Search | None:
    """What came of the search; None where the time was used up before its end."""
    found = _so_far(base, commit, do) if len(files) > CHECKPOINT else Search()
    for change, content in several(lambda c: _read(c, do), files[found.through :]):
        found = searched(found, change, content)
        if found.secret:
            return found
        if found.through % AT_ONCE or found.through == len(files):  # the rest of the batch is read already
            continue
        late = do.context.is_late()
        if late or found.through % CHECKPOINT == 0:
            _record(found, base, commit, do)
        if late:
            so_far = f"{found.through} of {len(files)} files of {commit[:8]}"
            why = f"{so_far} are searched for secrets; the next call goes on"
            do.context.tell(Decision(do.service.name, "", "", "OpenCommit", why))
            return None
    return found


def _read(change: Change, do: Effects) -> bytes | str:
    """A file's content, or why it cannot be read. One file that cannot be read keeps no push from its release."""
    if change.mode == SUBMODULE:
        return "a submodule: its files are in another repository"
    try:
        content = do.aws.blob(do.service, change.blob)
    except Exception as error:
        if code_of(error) in ("BlobIdDoesNotExistException", "InvalidBlobIdException"):
            return "CodeCommit has no such file"
        raise
    return "larger than CodeCommit gives out" if content is None else content


def _so_far(base: str, commit: str, do: Effects) -> Search:
    """The search as an earlier call left it. The same two commits give the same files in the same order."""
    prefix = f"searched#{base}#"
    done = next(iter(do.store.newest_facts(do.service.name, f"commit/{commit}", prefix, 1)), None)
    if not isinstance(done, Searched):
        return Search()
    return Search(done.through, "", done.unread, done.named, done.notes)


def _record(found: Search, base: str, commit: str, do: Effects) -> None:
    do.record(
        Searched(
            at=do.now(),
            commit=commit,
            base=base,
            through=found.through,
            unread=found.unread,
            named=found.named,
            notes=found.notes,
        )
    )
