"""Recording what an event told, once it is known to be about something that exists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from aws_events import failed_command, observed_build
from esteira.config import Service
from esteira.context import Context
from esteira.core.facts import BuildEnded, BuildStarted, ImageArrived, ReleaseFact
from esteira.fact import Fact


def ingest(service: Service, facts: Iterable[Fact], context: Context) -> int:
    """Record the facts an event told about a service; how many were new.

    A build that names a release which was never made, by somebody's hand or mistake, tells nothing: its facts would
    lie in wait for the release that gets that number.
    """
    facts = tuple(facts)
    store, name = context.store, service.name
    unknown = {n for n in {f.release for f in facts if isinstance(f, ReleaseFact)} if store.pushed(name, n) is None}
    new = 0
    for fact in facts:
        if isinstance(fact, ImageArrived):
            new += store.record_arrival(name, fact)
        elif isinstance(fact, ReleaseFact) and fact.release in unknown:
            continue
        elif isinstance(fact, BuildStarted):
            new += _record_build(service, fact, context)
        else:
            new += store.record(name, explained(fact, context))
    return new


def explained(fact: Fact, context: Context) -> Fact:
    """The end of a failed build with what its failed command said last; any other fact as it is."""
    if not isinstance(fact, BuildEnded) or fact.status != "FAILED":
        return fact
    from guard.mask import masked  # not while a function starts

    said = "\n".join(failed_command(context.aws.build_log(fact.build)))
    return replace(fact, cause=f"{fact.cause}\n{masked(said)}" if said else fact.cause)


def _record_build(service: Service, heard: BuildStarted, context: Context) -> bool:
    """Record that a build started; whether that is news.

    An attempt has one build, unless somebody copies it or CodeBuild itself retries it. No event tells which of the two
    it is, so CodeBuild is asked. A release whose build is retried is looked after again.
    """
    store, name = context.store, service.name
    known = store.facts(name, heard.about, f"build-started#{heard.attempt:04d}#")
    if heard in known:
        return False
    build = _asked(service, heard, context) if known else heard
    release = store.release(name, build.release) if build.retry_of else None
    if release is not None and release.attempt == build.attempt and release.number not in store.open(name)[0]:
        store.reopen(name, release.number, release.attempt)
    return store.record(name, build)


def _asked(service: Service, heard: BuildStarted, context: Context) -> BuildStarted:
    """The start of a build as CodeBuild itself tells it, or as it was heard where CodeBuild does not know the build."""
    builds = context.aws.builds([heard.build])
    facts = (fact for build in builds for fact in observed_build(service, build, heard.at))
    return next((fact for fact in facts if isinstance(fact, BuildStarted)), heard)
