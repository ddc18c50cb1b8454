"""What ``DescribeImageScanFindings`` tells of an image, by basic or enhanced scanning, as values and as text. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_args

from scans import Severity

SEVERITIES: tuple[str, ...] = get_args(Severity)
LISTED = 150  # so many findings of a scan are kept, the worst ones; the others are counted
UNDER_WAY = ("", "PENDING", "IN_PROGRESS")


@dataclass(frozen=True)
class Vulnerability:
    """One finding: its severity, its id, the package it is in, the version that mends it, and the day it was published;
    "" for what the scan does not tell."""

    severity: str
    id: str
    package: str = ""
    fixed: str = ""
    since: str = ""

    def __str__(self) -> str:
        return "\t".join((self.severity, self.id, self.package, self.fixed, self.since))


@dataclass(frozen=True)
class Scan:
    """The scan of an image: ``status`` is "pending", "complete", or why there is none in ECR's word. ``unlisted`` are
    the findings beside ``found``, by severity."""

    status: str
    found: tuple[Vulnerability, ...] = ()
    unlisted: Mapping[str, int] | None = None


def restored(text: str) -> Vulnerability:
    """The finding that ``str`` wrote."""
    return Vulnerability(*text.split("\t"))


def status_of(told: Mapping[str, Any]) -> str:
    """The status of the scan that an answer of ECR tells, in its word. Enhanced scanning does not end: it is ACTIVE,
    and PENDING here until it has a time, which is when it has looked."""
    status = str(told.get("imageScanStatus", {}).get("status", ""))
    looked = "imageScanCompletedAt" in told.get("imageScanFindings", {})
    return "PENDING" if status == "ACTIVE" and not looked else status


def scan(told: Mapping[str, Any]) -> Scan:
    """The scan that an answer of ECR tells, {} where ECR knows of none."""
    status, there = status_of(told), told.get("imageScanFindings", {})
    if status in UNDER_WAY:
        return Scan("pending")
    if status not in ("COMPLETE", "ACTIVE"):
        return Scan(status.lower().replace("_", " "))
    found = {*map(_basic, there.get("findings", ())), *_enhanced(there.get("enhancedFindings", ()))}
    listed = tuple(sorted(found, key=_rank))[:LISTED]
    counts = Counter(one.severity for one in found)
    # Inspector tells every finding; its counts may include what was suppressed.
    told_of = there.get("findingSeverityCounts", {}) if status == "COMPLETE" and "enhancedFindings" not in there else {}
    for severity, number in told_of.items():
        if severity.lower() in SEVERITIES:
            counts[severity.lower()] = max(counts[severity.lower()], number)
    counts.subtract(one.severity for one in listed)
    return Scan("complete", listed, {severity: counts[severity] for severity in SEVERITIES if counts[severity] > 0})


def together(scans: Iterable[Scan]) -> Scan:
    """Several images as one, where nobody knows which of them a host runs: all must be scanned, and what any of them
    has counts."""
    scans = tuple(scans)
    bad = next((one for one in scans if one.status != "complete"), None)
    if bad is not None:
        return bad
    found = sorted({finding for one in scans for finding in one.found}, key=_rank)
    unlisted = {s: max((one.unlisted or {}).get(s, 0) for one in scans) for s in SEVERITIES} if scans else {}
    cut = Counter(finding.severity for finding in found[LISTED:])
    return Scan("complete", tuple(found[:LISTED]), {s: n + cut[s] for s, n in unlisted.items() if n + cut[s]})


def _rank(one: Vulnerability) -> tuple[int, str, str]:
    return SEVERITIES.index(one.severity), one.id, one.package


def _basic(finding: Mapping[str, Any]) -> Vulnerability:
    about = {str(pair.get("key", "")): str(pair.get("value", "")) for pair in finding.get("attributes", ())}
    package = f"{about.get('package_name', '')} {about.get('package_version', '')}"
    fixed = about.get("fixed_in_version", "")
    return _plain(finding.get("severity"), finding.get("name"), package, fixed, None)


def _enhanced(findings: Iterable[Mapping[str, Any]]) -> Iterator[Vulnerability]:
    """Inspector's findings that are open: a suppressed or closed one is none."""
    for finding in findings:
        if finding.get("status", "ACTIVE") != "ACTIVE":
            continue
        about = finding.get("packageVulnerabilityDetails") or {}
        since = about.get("vendorCreatedAt") or finding.get("firstObservedAt")
        name = about.get("vulnerabilityId") or finding.get("title")
        for package in about.get("vulnerablePackages") or [{}]:
            named = f"{package.get('name', '')} {package.get('version', '')}"
            fixed = package.get("fixedInVersion", "")
            yield _plain(finding.get("severity"), name, named, "" if fixed == "NotAvailable" else fixed, since)


def _plain(severity: Any, name: Any, package: str, fixed: str, since: datetime | None) -> Vulnerability:
    """The finding in printable words of a bounded length: who made the image may have named its packages."""
    low = str(severity or "").lower()
    id_, place, mended = (re.sub(r"[^\x20-\x7e]", "", str(text or "")).strip()[:100] for text in (name, package, fixed))
    day = f"{since:%Y-%m-%d}" if since else ""
    return Vulnerability(low if low in SEVERITIES else "undefined", id_, place, mended, day)
