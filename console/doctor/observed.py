"""What `esteira doctor` has seen of this machine, the account and the stack: values only, each in AWS's own words.

What AWS did not tell is a ``Silence`` with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True)
class Silence:
    """What could not be asked, in a sentence why; ``code`` is AWS's for its refusal and ``date`` when it refused, as
    HTTP writes it, "" if there was none."""

    why: str
    code: str = ""
    date: str = ""


UNASKED = Silence("not asked")


@dataclass(frozen=True)
class Identity:
    """Who AWS takes the caller for."""

    account: str
    arn: str


@dataclass(frozen=True)
class Here:
    """This machine: the Region it speaks to, the services that boto3 knows not to be there, what lets git push to
    CodeCommit ("" for nothing), and whether the SAM CLI is installed, where it is needed."""

    region: str | Silence = ""
    lacking: tuple[str, ...] = ()
    pushes_by: str = ""
    sam: bool | Silence = True


@dataclass(frozen=True)
class Use:
    """How much of a quota there is, and is used."""

    allowed: float
    used: float = 0


@dataclass(frozen=True)
class StackStatus:
    """The controller's stack."""

    status: str
    reason: str = ""


@dataclass(frozen=True)
class StackFunction:
    """A function of the stack, with Lambda's words for how it is."""

    name: str
    state: str
    reason: str = ""


@dataclass(frozen=True)
class StackRule:
    """A rule of the stack and the functions it wakes; ``schedule`` is "" for one that waits for events."""

    name: str
    enabled: bool
    targets: tuple[str, ...]
    schedule: str = ""
    gone: bool = False


@dataclass(frozen=True)
class Letters:
    """The dead-letter queue: how many lie there, and why the first of them does; ``where`` they are to be read."""

    count: int
    first: str = ""
    where: str = ""


@dataclass(frozen=True)
class Alarm:
    """An alarm of the stack: its state, and what its description says to do."""

    name: str
    state: str
    says: str = ""


@dataclass(frozen=True)
class Hearers:
    """Who is subscribed to the alarms: how many, and how many of them have not confirmed yet."""

    confirmed: int
    pending: int = 0


@dataclass(frozen=True)
class Code:
    """A service's repository: how many branches it has, and whether the watched one is among them."""

    branches: int
    watched: bool


@dataclass(frozen=True)
class Instance:
    """One EC2 instance: its state, what Systems Manager hears of it ("" for nothing ever), and of the CodeDeploy agent
    what systemd says (None: the host was not asked)."""

    id: str
    state: str
    ping: str | Silence
    agent: str | Silence | None = None


@dataclass(frozen=True)
class LastDeployment:
    """The last deployment of a group: its id and status, and for each host whether a lifecycle event began there, which
    only a living agent lets happen."""

    id: str
    status: str
    began: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class WebPage:
    """A page that was asked for: its address, the status it answered with (0: it did not), and who is let in."""

    url: str
    status: int = 0
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class PolicyState:
    """The policy of a service: its version (0: none was set), the rules in which the registration says something else,
    and the stages that only the registration names."""

    version: int
    differs: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tended:
    """One registered service, as AWS has it. ``parts`` says of each by its kind and name whether it is there."""

    name: str
    branch: str
    code: Code | Silence | None
    parts: Mapping[str, bool | Silence]
    hosts: tuple[Instance, ...] | Silence
    last: LastDeployment | Silence | None
    live: str | Silence
    pages: tuple[WebPage, ...] | Silence
    push: str = ""  # where to push to
    policy: PolicyState | Silence = PolicyState(0)
    warnings: tuple[str, ...] | Silence = ()  # how its hosts differ, and what fails again and again


@dataclass(frozen=True)
class Observed:
    """All that was seen. Fields after ``here`` are asked of AWS, those after ``stack_status`` of the stack."""

    named: str  # what AWS is called in a sentence
    stack: str
    here: Here
    identity: Identity | Silence
    skew: timedelta | Silence = UNASKED
    repositories: int | Silence = UNASKED
    concurrency: Use | Silence = UNASKED
    vcpus: Use | Silence = UNASKED
    builds: Mapping[str, float] | Silence = UNASKED  # by processor
    default_vpc: bool | Silence = UNASKED
    stack_status: StackStatus | Silence | None = UNASKED
    taken: tuple[str, Sequence[str]] | Silence | None = None  # a service still to be deployed, and what is called so
    functions: Sequence[StackFunction] | Silence = UNASKED
    rules: Sequence[StackRule] | Silence = UNASKED
    letters: Letters | Silence = UNASKED
    alarms: Sequence[Alarm] | Silence = UNASKED
    hearers: Hearers | Silence = UNASKED
    table: str | Silence = UNASKED  # its status
    services: Sequence[Tended] | Silence = UNASKED
    faults: Sequence[str] = ()
