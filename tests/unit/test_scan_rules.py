"""What ECR and Inspector tell of an image, and what a rule makes of it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from scans import Exempted, ScanRule
from scans.findings import LISTED, Scan, Vulnerability, restored, scan, together
from scans.verdict import refusal

pytestmark = pytest.mark.unit
NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


def told(status: str, **findings: Any) -> dict[str, Any]:
    """An answer of DescribeImageScanFindings."""
    return {"imageScanStatus": {"status": status}, "imageScanFindings": {"imageScanCompletedAt": NOON, **findings}}


def inspected(name: str, status: str = "ACTIVE", **about: Any) -> dict[str, Any]:
    """A critical finding of Inspector's."""
    details = {"vulnerabilityId": name, "vulnerablePackages": [{"name": "zlib", "version": "1"}], **about}
    return {"severity": "CRITICAL", "status": status, "packageVulnerabilityDetails": details}


def flaw(name: str, severity: str = "critical", **more: str) -> Vulnerability:
    return Vulnerability(severity, name, **more)


@pytest.mark.parametrize(
    "answer", [{}, told("IN_PROGRESS"), told("PENDING"), {"imageScanStatus": {"status": "ACTIVE"}}]
)
def test_a_scan_that_has_not_looked_yet_is_pending(answer: dict[str, Any]) -> None:
    """ECR may not know of it, and Inspector calls an image active before its first findings."""
    assert scan(answer) == Scan("pending")


@pytest.mark.parametrize("status", ["FAILED", "UNSUPPORTED_IMAGE", "SCAN_ELIGIBILITY_EXPIRED", "A_NEW_WORD"])
def test_a_scan_that_came_to_nothing_is_no_clean_scan(status: str) -> None:
    """Also by a word that AWS invents tomorrow."""
    assert scan(told(status)).status == status.lower().replace("_", " ")


def test_what_inspector_suppressed_or_closed_is_no_finding() -> None:
    """Its counts may have it all the same."""
    rows = [inspected("CVE-2026-1"), inspected("CVE-2026-2", "SUPPRESSED"), inspected("CVE-2026-3", "CLOSED")]
    found = scan(told("ACTIVE", enhancedFindings=rows, findingSeverityCounts={"CRITICAL": 3}))
    assert ([one.id for one in found.found], found.unlisted) == (["CVE-2026-1"], {})


def test_a_finding_is_printable_and_comes_back_from_its_text() -> None:
    """Whoever made the image may have named its packages."""
    evil = inspected("CVE-2026-1", vulnerablePackages=[{"name": "a\tb\x1b[31m\u202e" + "x" * 500, "version": "1\n"}])
    (one,) = scan(told("ACTIVE", enhancedFindings=[evil])).found
    assert one.package == ("ab[31m" + "x" * 500)[:100]
    assert restored(str(one)) == one


def test_what_is_not_kept_is_counted() -> None:
    """The worst are kept; of basic scanning ECR's own counts are believed where they are larger."""
    rows = [{"name": f"CVE-{n}", "severity": "LOW"} for n in range(LISTED + 7)] + [
        {"name": "X", "severity": "CRITICAL"}
    ]
    found = scan(told("COMPLETE", findings=rows, findingSeverityCounts={"LOW": 900, "CRITICAL": 1, "STRANGE": 4}))
    assert (len(found.found), found.found[0].id) == (LISTED, "X")
    assert found.unlisted == {"low": 900 - (LISTED - 1)}


def test_of_several_images_all_must_be_scanned_and_each_finding_counts_once() -> None:
    """Nobody said which of them a host runs."""
    one, two = Scan("complete", (flaw("A"),), {"low": 2}), Scan("complete", (flaw("A"), flaw("B")), {"low": 3})
    assert together([one, two]) == Scan("complete", (flaw("A"), flaw("B")), {"low": 3})
    assert together([one, Scan("pending")]) == Scan("pending")


def test_a_vulnerability_in_several_packages_is_one() -> None:
    """It is mended at once."""
    rule, found = ScanRule(at_most={"critical": 1}), [flaw("A", package="libssl"), flaw("A", package="openssl")]
    assert refusal(rule, found, {}, NOON) == ""
    assert refusal(rule, [*found, flaw("B")], {}, NOON).startswith(
        "2 critical findings, and at most 1 may be there: A in "
    )


@pytest.mark.parametrize(("day", "passes"), [(date(2026, 11, 30), True), (date(2026, 11, 29), False)])
def test_an_exception_counts_through_its_last_day(day: date, passes: bool) -> None:
    """Ids are the same in whatever case they are written."""
    rule = ScanRule(exceptions=(Exempted(id="cve-2026-1", until=day, reason="not reachable"),))
    assert (refusal(rule, [flaw("CVE-2026-1")], {}, NOON) == "") is passes


@pytest.mark.parametrize(("since", "passes"), [("2026-11-24", True), ("2026-11-23", False), ("", False)])
def test_a_finding_without_a_date_is_old(since: str, passes: bool) -> None:
    """Basic scanning tells none."""
    assert (refusal(ScanRule(older_than_days=7), [flaw("A", since=since)], {}, NOON) == "") is passes


def test_what_is_not_listed_counts_whatever_the_exceptions_say() -> None:
    """Which ones they are is not known."""
    assert refusal(ScanRule(), [], {"critical": 2}, NOON) == "2 critical findings, and at most 0 may be there"
