"""Whether a stage's rule lets an image with such findings pass, in sentences that name the first of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta

from scans import ScanRule
from scans.findings import Vulnerability

NAMED = 3


def refusal(rule: ScanRule, found: Iterable[Vulnerability], unlisted: Mapping[str, int], now: datetime) -> str:
    """What the rule does not let pass, "" where it lets the image pass."""
    counted = [one for one in found if not _exempted(rule, one, now.date()) and _is_old(rule, one, now)]
    return "; ".join(_too_many(rule, counted, unlisted))


def _too_many(rule: ScanRule, counted: Iterable[Vulnerability], unlisted: Mapping[str, int]) -> Iterator[str]:
    for severity, most in rule.at_most.items():
        here = [one for one in counted if one.severity == severity]
        # A vulnerability in several packages is one.
        ids = list(dict.fromkeys(one.id for one in here))
        number = len(ids) + unlisted.get(severity, 0)
        if number > most:
            named = [_said(next(one for one in here if one.id == id_)) for id_ in ids[:NAMED]]
            more = [f"{number - len(named)} more"] if number > len(named) > 0 else []
            what = f"{number} {severity} finding{'s' if number > 1 else ''}, and at most {most} may be there"
            yield f"{what}: {', '.join([*named, *more])}" if named else what


def _said(one: Vulnerability) -> str:
    place = f" in {one.package}" if one.package else ""
    return f"{one.id}{place} ({f'fixed in {one.fixed}' if one.fixed else 'no fix is known'})"


def _exempted(rule: ScanRule, one: Vulnerability, today: date) -> bool:
    return any(e.id.casefold() == one.id.casefold() and today <= e.until for e in rule.exceptions)


def _is_old(rule: ScanRule, one: Vulnerability, now: datetime) -> bool:
    known = date.fromisoformat(one.since) if one.since else date.min
    return known <= (now - timedelta(days=rule.older_than_days)).date()
