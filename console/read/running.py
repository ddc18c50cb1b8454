"""What runs just now for a release: its build or its deployment, how far it is, and how long the last ones took.

AWS is asked only while something runs: one request about a build, two about a deployment. Who has not the right to ask
is told the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from statistics import median
from typing import Any, TypeVar

from console.read.build_log import last_lines
from console.read.views import ReleaseLine, Running
from esteira.config import Service
from esteira.core.facts import (
    BuildEnded,
    BuildStarted,
    DeploymentStarted,
    Rollout,
    RolloutFinished,
    about_release,
    about_stage,
)
from esteira.core.status import Phase
from esteira.errors import code_of
from esteira.store import Store
from esteira.targets.ec2 import Ec2

# So many earlier builds or rollouts are looked at for how long they took.
BUILDS, ROLLOUTS = 3, 10
_STEP = re.compile(r"\[Container\] \S+ \S+ (?:Entering phase|Running command) (.+)")
T = TypeVar("T")
Client = Callable[[str], Any]
# How long the last ones took, by the id of what runs: it is read once for each.
Usual = MutableMapping[str, float | None]


def running(store: Store, client: Client, service: Service, line: ReleaseLine, usual: Usual) -> Running | None:
    """What runs for a release, None where nothing does."""
    if line.phase == Phase.BUILDING:
        return _build(store, client, service, line, usual)
    if line.phase == Phase.DEPLOYING and line.stage:
        return _deployment(store, client, service, line, usual)
    return None


def _build(store: Store, client: Client, service: Service, line: ReleaseLine, usual: Usual) -> Running | None:
    number = int(line.release[1:])
    begun = [
        f for f in store.facts(service.name, about_release(number), "build-started#") if isinstance(f, BuildStarted)
    ]
    if not begun:
        return None
    build = begun[-1]
    if build.build not in usual:
        usual[build.build] = _usual_build(store, service, number)
    nothing: tuple[str, ...] = ()
    lines = _asked(lambda: last_lines(client, build.build), nothing)
    steps = [found[1] for found in map(_STEP.match, lines) if found]
    said = [text for text in lines if text.strip() and not text.startswith("[Container]")]
    step, says = steps[-1] if steps else "", said[-1] if said else ""
    return Running(line.release, "build", build.build, "", build.began or build.at, step, says, usual[build.build])


def _usual_build(store: Store, service: Service, number: int) -> float | None:
    """How long the builds of the releases before took that went well."""
    took: list[float] = []
    for earlier in range(max(1, number - BUILDS), number):
        facts = store.facts(service.name, about_release(earlier), "build-")
        begun = {f.build: f.began or f.at for f in facts if isinstance(f, BuildStarted)}
        ended = (f for f in facts if isinstance(f, BuildEnded) and f.status == "SUCCEEDED" and f.build in begun)
        took += [(f.at - begun[f.build]).total_seconds() for f in ended]
    return median(took) if took else None


def _deployment(store: Store, client: Client, service: Service, line: ReleaseLine, usual: Usual) -> Running | None:
    about, prefix = about_release(int(line.release[1:])), f"deployment-started#{line.stage}#"
    begun = [f for f in store.facts(service.name, about, prefix) if isinstance(f, DeploymentStarted)]
    if not begun:
        return None
    id_ = begun[-1].deployment
    if id_ not in usual:
        usual[id_] = _usual_deployment(store, service, line.stage)
    step = _asked(lambda: _event(Ec2(client).targets(id_)), "")
    return Running(line.release, "deployment", id_, line.stage, begun[-1].at, step, "", usual[id_])


def _usual_deployment(store: Store, service: Service, stage: str) -> float | None:
    """How long the last rollouts of a stage took that brought a release to life."""
    facts = store.newest_facts(service.name, about_stage(stage), "rollout#", 2 * ROLLOUTS)
    begun = {f.number: f.at for f in facts if isinstance(f, Rollout)}
    ended = (f for f in facts if isinstance(f, RolloutFinished) and f.succeeded and f.rollout in begun)
    took = [(f.at - begun[f.rollout]).total_seconds() for f in ended]
    return median(took) if took else None


def _event(targets: Iterable[Mapping[str, Any]]) -> str:
    """The lifecycle event that the first host at work is in."""
    for target in targets:
        for event in target.get("lifecycleEvents", ()):
            if event.get("status") == "InProgress":
                return str(event["lifecycleEventName"])
    return ""


def _asked(ask: Callable[[], T], otherwise: T) -> T:
    """AWS's answer, or ``otherwise`` where it gives an error: what is shown besides needs no answer of it."""
    try:
        return ask()
    except Exception as error:
        if not code_of(error):
            raise
        return otherwise
