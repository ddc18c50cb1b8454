"""What a test over HTTP works with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from console.local.aws.stack import LocalAws
from console.local.rehearse.rehearsal_engine import MEDIA_TYPE, manifest_for
from esteira.aws import Aws
from esteira.config import Service
from esteira.store import Store
from tests.wire.lossy import LossyAws

AT = datetime(2026, 11, 23, 15, 4, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Wire:
    """The adapters, what is behind them, and the server in between."""

    lossy: LossyAws
    local_aws: LocalAws
    aws: Aws
    store: Store
    service: Service
    commit: str
    pauses: list[float]

    def image(self, tag: str) -> str:
        """Push an image under a tag; its digest."""
        return self.local_aws.ecr.push(self.service.images, manifest_for(tag), tag, MEDIA_TYPE)
