"""What a proof cost, from what it used. Prices are us-east-1's, without free tiers, rounded up where they differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

HOST_HOUR = {"arm64": 0.0168, "x86_64": 0.0208}  # t4g.small, t3.small
DISK_HOUR = 20 * 0.08 / 730  # 20 GiB of gp3
ADDRESS_HOUR = 0.005
BUILD_MINUTE = {"arm64": 0.0034, "x86_64": 0.005}  # general1.small
ALARM_HOUR = 14 * 0.10 / 730
METRIC = 0.30 / 730
CALLS = 0.01  # calls of functions, the table, logs, traces, storage: below a cent together


@dataclass(frozen=True)
class Charge:
    """One line of the bill."""

    what: str
    amount: float
    unit: str
    price: float

    @property
    def dollars(self) -> float:
        """What it comes to."""
        return self.amount * self.price


def charges(architecture: str, hours: float, build_minutes: float) -> list[Charge]:
    """The bill of a proof that had its host for so many hours and built for so many minutes."""
    return [
        Charge("host", hours, "hours", HOST_HOUR[architecture]),
        Charge("its disk", hours, "hours", DISK_HOUR),
        Charge("its public address", hours, "hours", ADDRESS_HOUR),
        Charge("builds", build_minutes, "minutes", BUILD_MINUTE[architecture]),
        Charge("alarms", hours, "hours", ALARM_HOUR),
        Charge("metrics of our own", 2 * hours, "hours", METRIC),
        Charge("functions, table, logs, storage", 1, "in all, at most", CALLS),
    ]


def minutes_built(client: Callable[[str], Any], project: str) -> float:
    """The minutes that the builds of a project took, each begun minute counted; 0 where the project is gone."""
    codebuild = client("codebuild")
    try:
        ids = codebuild.list_builds_for_project(projectName=project)["ids"]
        rows = codebuild.batch_get_builds(ids=ids[:100])["builds"] if ids else []
    except (BotoCoreError, ClientError):
        return 0.0
    spans = [(row["endTime"] - row["startTime"]).total_seconds() for row in rows if "endTime" in row]
    return float(sum(-(-span // 60) for span in spans))
