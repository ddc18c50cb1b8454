"""The table: facts under their natural keys, a few rows made from them, and the reads of a snapshot.

**Facts** are added by conditional puts under ``SERVICE#ABOUT`` and their own key, and never changed. An event may be
recorded before the fact that explains it: what is said about a deployment stands under ``deployment/ID``, because the
event names no release.

**Rows made from facts** may be made again from them at any time:

- ``releases`` · ``open#release#N``: a release that every snapshot reads, with its birth and its listed status.
- ``releases`` · ``open#latest#SERIES``: the latest fact of a series once more. Series are the service's births
  (``release``), its policies (``policy``) and, for each stage, ``stage/NAME#rollout``, ``#finished``, ``#hold``,
  ``#rollback``, ``#deviated``, ``#launch``, ``#reminded``, ``#host#HOST``.
- ``quarantine/SUBJECT`` · ``latest`` and ``alarm/NAME`` · ``latest``: the same, in the partition of the subject.
- ``releases`` · ``open#failing#WHAT``: what failed the last time, and how many times in a row; no fact.
- ``releases`` · ``open#beat#STAGE#HOST``: when a host was last heard of itself, for a week; no fact.
- ``releases`` · ``view#N``: a row of the history.
- ``index/KIND/NAME`` · ``PARAMETER``, of no service: where the registration of who bears a name stands; and
  ``index`` · ``PARAMETER``, all names of a registration. They are made from SSM (``service_index``).

A latest row is written in the transaction that writes its fact, and only over an older one (``fact_key``). So it is
never behind the facts. Where a newer one stands already, the fact is written without it.

With these, a snapshot of two open releases takes four calls (``store.snapshot_rows``), and facts that belong together
take one (``write``). Every read is strongly consistent and bounded: by a limit, or by what is open. boto3 and
botocore are known to ``store``, ``aws`` and ``targets`` only.
"""

from __future__ import annotations

from esteira.store.index_rows import IndexRows
from esteira.store.projections import Projections, View
from esteira.store.snapshot_rows import SnapshotRows, Snapshots

__all__ = ["SnapshotRows", "Store", "View"]


class Store(Snapshots, Projections, IndexRows):
    """One DynamoDB table with keys ``pk`` and ``sk``, for any number of services."""
