"""A release's receipt: what its last finished rollout on a stage was made of, link by link, and whether it holds.

The controller checkpoints every rollout when it finishes it. A checkpoint holds the hash of each row about the release
until then, and one hash over all of them and the checkpoint of the rollout before. What the check proves, and what not:

- A row that was altered or taken out since its checkpoint is named, as long as the checkpoint stands.
- Who alters a row and its checkpoint must make the checkpoints of all later rollouts anew. A break is named.
  The table alone cannot show that all of them were made anew, or the last ones taken out. So each checkpoint's hash
  stands in the description of the next deployment and in the comment on the commit (``console.record.anchors``).
- What else decided is held against the seals over decisions and operators' words (``console.record.grounds``).
- Rows that came after the checkpoint are not in it (that the rollout is finished, what replaced the release), nor are
  rows that the table forgets after some time (reports of single hosts, announcements). How the rollout ended is covered
  by what CodeDeploy said; that is compared with the row that says the rollout is finished.
- It does not prove that what was written down was true. For that, AWS itself is asked, as far as it still knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from console.read.where import REFUSED, TroubleError
from console.record.anchors import anchors
from console.record.as_of import Rows
from console.record.checkpoint_chain import CHECKPOINTS, CheckpointChain, checked_rows, checkpoint_key
from console.record.evidence import evidence_of, running_on
from console.record.grounds import Grounds
from console.record.receipt_values import Receipt
from console.record.rollout_rows import RolloutRows, faults_of_links, links_of
from esteira.audit import names_of
from esteira.aws import Aws
from esteira.config import Service
from esteira.core.facts import RELEASES, about_release, about_stage
from esteira.fact import Fact
from esteira.store.rows import open_key
from esteira.trail import Checkpoint


def receipt(
    rows: Rows, service: Service, number: int, stage: str, *, whole: bool, aws: Aws | None, now: datetime
) -> Receipt:
    """Release ``number``'s receipt for ``stage``: with the ``whole`` chain of checkpoints or the last of
    them, and what AWS says where ``cloud`` is given. Raises TroubleError where no rollout of it is checkpointed."""
    chain = CheckpointChain(rows, service.name, stage)
    chain.read_newest(None if whole else CHECKPOINTS)
    rollout = _last_rollout(chain, number)
    chain.read_before(rollout, CHECKPOINTS)
    faults = [*chain.faults()]
    checkpoint = chain.checkpoints.get(rollout)
    known: dict[str, Fact] = {}
    if checkpoint is not None:
        known, wrong = checked_rows(chain, checkpoint)
        faults += wrong
    said = RolloutRows.of(known.values(), number, stage, rollout)
    if checkpoint is not None:
        # Where a row is not what it was, that is why links do not meet; it is named already.
        faults += [] if wrong else faults_of_links(chain, checkpoint, said)
    named = frozenset(fault.row for fault in faults)
    faults += [fault for fault in Grounds(chain, number, now, named).faults() if fault.row not in named]
    return Receipt(
        service=service.name,
        release=f"v{number}",
        stage=stage,
        rollout=rollout,
        checkpointed_at=checkpoint.at if checkpoint else None,
        sha256=checkpoint.sha256 if checkpoint else "",
        before=checkpoint.before if checkpoint else "",
        rows=len(checkpoint.rows) if checkpoint else 0,
        links=tuple(links_of(said)),
        faults=tuple({(f.row, f.says if f.row == chain.about else ""): f for f in reversed(faults)}.values())[::-1],
        later=tuple(_later(chain, number, checkpoint)) if checkpoint else (),
        checkpoints=chain.told(),
        evidence=(
            *running_on(rows.beats(service.name), number, stage, said),
            *(evidence_of(aws, service, number, stage, rollout, said) if aws and checkpoint else ()),
            *([anchors(aws, service, chain, said)] if aws and checkpoint else ()),
        ),
    )


def _last_rollout(chain: CheckpointChain, number: int) -> int:
    """The release's last rollout on the stage that is finished or checkpointed. Raises TroubleError if there
    is none."""
    rows, name, stage = chain.rows, chain.service, chain.stage
    mine = rows.partition(name, about_release(number))
    parts = [key.split("#") for key in mine]
    rollouts = {int(p[2]) for p in parts if p[0] in ("deployment-started", "bundled") and p[1] == stage}
    rollouts |= {int(p[3]) for p in parts if p[:3] == ["given-up", "deployment", stage]}
    rollouts |= {checkpoint.rollout for checkpoint in chain.checkpoints.values() if checkpoint.release == number}
    for rollout in sorted(rollouts, reverse=True):
        finished = rows.row(name, about_stage(stage), f"rollout#{rollout:08d}#finished")
        if rollout in chain.checkpoints or finished or rows.row(name, chain.about, checkpoint_key(rollout)):
            return rollout
    if not mine and rows.row(name, RELEASES, f"release#{number:08d}") is None:
        raise TroubleError(f"{name} has no release v{number}. Next: esteira releases", REFUSED)
    if rows.row(name, RELEASES, open_key(number)) is None:
        return 0  # it is over without a rollout here: its decisions are under their seals
    raise TroubleError(
        f"v{number} had no rollout on {stage} that is over, so it has no checkpoint. Next: esteira why v{number}",
        REFUSED,
    )


def _later(chain: CheckpointChain, number: int, checkpoint: Checkpoint) -> Iterator[str]:
    """The keys of the release's rows that came after the checkpoint."""
    about = about_release(number)
    covered = names_of(checkpoint.rows)
    yield from (key for key in chain.rows.partition(chain.service, about) if f"{about} {key}" not in covered)
