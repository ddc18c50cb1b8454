"""AWS's services beside the table: one file for each, put together in ``Aws``.

Each method is one thing the controller asks or does, in its own words; AWS's answers come back as values. Clients are
made when they are first used and honour ``AWS_ENDPOINT_URL``. What an error says about the world is in
``esteira.errors``: refused (nothing exists), unsure (look it up by its claim), partial (the rest was not done).

botocore sends a call again when its answer is lost. That is right for calls that read, that have an idempotency token,
or that make the same thing so. ``CreateDeployment`` is none of these: its client sends once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from esteira.aws.cloudwatch import Alarms
from esteira.aws.codebuild import Builds
from esteira.aws.codecommit import Commits
from esteira.aws.ecr import Image, ImageRegistry
from esteira.aws.invoking import Invoking
from esteira.aws.registrations import Registrations
from esteira.aws.telling import Telling
from esteira.errors import BusyError, DeclinedError, PartialError, UnsureError
from esteira.targets.autoscaling import HostGroups
from esteira.targets.ec2 import Ec2, Hosts

__all__ = ["Aws", "BusyError", "DeclinedError", "Hosts", "Image", "PartialError", "UnsureError", "client"]


@cache
def client(name: str, *, once: bool = False) -> Any:
    """The boto3 client of a service, made once per process. With ``once`` it sends no call a second time."""
    import boto3
    from botocore.config import Config

    # Well under the functions' 60 seconds in all, so that an error is told and not cut off.
    retries: Any = {"mode": "standard", "total_max_attempts": 1 if once else 3}
    config = Config(retries=retries, connect_timeout=3, read_timeout=15)
    make: Any = boto3.client  # typed for literal names only
    return make(name, config=config)


@dataclass(frozen=True)
class Aws(Registrations, Commits, ImageRegistry, Builds, Ec2, HostGroups, Alarms, Telling, Invoking):
    """AWS, as the controller needs it. ``client`` gives a boto3 client by its service's name."""

    client: Callable[..., Any] = client
