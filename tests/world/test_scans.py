"""A stage takes no image with findings that its policy does not let pass, and says which, and what to do."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from console.record.as_of import Rows
from console.record.backtest import backtest
from console.record.decisions import replay
from console.record.registration_part import merged
from esteira.core.admission import Waits
from esteira.core.facts import FindingsRead
from esteira.core.status import Cause, Phase
from tests.world.story import Story
from tests.world.test_policy import NONE, set_policy
from tests.world.test_provenance import OCI, document, push

pytestmark = pytest.mark.integration

OPENSSL = {
    "name": "CVE-2026-1111",
    "severity": "CRITICAL",
    "attributes": [{"key": "package_name", "value": "openssl"}, {"key": "package_version", "value": "3.0.2"}],
}


def gate(story: Story, **rule: Any) -> None:
    """Set a policy with this rule for scans."""
    assert "refused" not in set_policy(story, json.dumps({"stages": {"production": {"scan": rule}}}))


def rows(story: Story) -> Rows:
    """The table, as the console reads it."""
    return Rows(story.context.aws.client("dynamodb"), story.context.settings.table)


def enhanced(name: str, severity: str, published: datetime, fixed: str = "NotAvailable") -> dict[str, Any]:
    """A finding as Inspector tells it."""
    package = {"name": "zlib", "version": "1.2.13", "fixedInVersion": fixed}
    about = {"vulnerabilityId": name, "vendorCreatedAt": published, "vulnerablePackages": [package]}
    return {"severity": severity, "status": "ACTIVE", "title": f"{name} - zlib", "packageVulnerabilityDetails": about}


def arrive(story: Story, content: str = "one", tag: str = "v1.0") -> str:
    """Push an image from elsewhere and let the controller wait for its scan; the digest."""
    digest = story.push_image(content, tag)
    story.deliver()
    return digest


def scanned(story: Story, digest: str, *findings: dict[str, Any]) -> None:
    """Let basic scanning end with these findings."""
    counts = {f["severity"]: sum(g["severity"] == f["severity"] for g in findings) for f in findings}
    story.local_aws.ecr.scanned(story.service.images, digest, counts, findings=findings)
    story.play()


def test_a_release_waits_for_the_end_of_its_scan_and_goes_on_by_the_event(story: Story) -> None:
    """It is live when nothing was found."""
    gate(story)
    digest = arrive(story)
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.WAITING, Waits.SCAN)
    assert "production waits for the scan of its image until " in story.why(1)
    scanned(story, digest)
    assert story.phases == ["live"]


def test_a_critical_finding_is_refused_by_name_with_what_to_type(story: Story) -> None:
    """It is decided by a fact, and made again from the record it comes out the same."""
    gate(story)
    scanned(story, arrive(story), OPENSSL)
    told = story.stands(1)
    assert (told.phase, told.cause, story.deployed()) == (Phase.REJECTED, Cause.SCAN_REFUSED, [])
    assert "1 critical finding, and at most 0 may be there" in told.summary
    assert "CVE-2026-1111 in openssl 3.0.2 (no fix is known)" in told.summary
    assert "esteira policy apply FILE --reason …" in told.next
    assert "esteira bypass v1 --reason … --for 1h" in told.next
    assert [f.found for f in story.facts(1) if isinstance(f, FindingsRead)][-1][0].startswith("critical\tCVE-2026-1111")
    assert story.open() == []
    assert {r.verdict for r in replay(rows(story), "heart", 1, story.context.settings.lease)} == {"same"}


def test_an_exception_lets_the_release_pass_without_a_build_until_it_expires(story: Story) -> None:
    """The next release after its last day is refused again."""
    gate(story)
    scanned(story, arrive(story), OPENSSL)
    until = f"{story.clock.now():%Y-%m-%d}"
    gate(story, exceptions=[{"id": "CVE-2026-1111", "until": until, "reason": "not reachable from outside"}])
    story.operate("retry", release="v1")
    story.play()
    assert story.phases == ["live"]
    story.pass_time(2 * 86400)
    scanned(story, arrive(story, "two", "v2.0"), OPENSSL)
    assert story.phases == ["live", "rejected"]


def test_a_bypass_lets_the_release_pass_where_the_policy_has_one(story: Story) -> None:
    """The person and the reason are on record."""
    gate(story)
    scanned(story, arrive(story), OPENSSL)
    story.operate("bypass", release="v1", reason="the exam is tomorrow")
    story.play()
    assert story.phases == ["live"]


def test_a_finding_counts_once_it_is_old_enough(story: Story) -> None:
    """Enhanced scanning tells when it was published; a fix is named."""
    gate(story, at_most={"critical": 0, "high": 0}, older_than_days=7)
    published = datetime(2020, 1, 1, tzinfo=UTC)
    for n, (day, ends) in enumerate(((story.clock.now(), "live"), (published, "rejected")), 1):
        digest = arrive(story, f"image {n}", f"v{n}.0")
        finding = enhanced("CVE-2026-2222", "HIGH", day, "1.3")
        story.local_aws.ecr.inspected(story.service.images, digest, {"HIGH": 1}, [finding])
        story.play()
        assert story.stands(n).phase == ends
    assert "1 high finding, and at most 0 may be there: CVE-2026-2222 in zlib 1.2.13 (fixed in 1.3)" in story.why(2)


def test_every_page_of_the_findings_counts(story: Story) -> None:
    """ECR gives a hundred at a time; those that are not kept one by one are counted."""
    gate(story, at_most={"low": 249})
    findings = [{"name": f"CVE-2026-{n:05d}", "severity": "LOW", "attributes": []} for n in range(250)]
    scanned(story, arrive(story), *findings)
    assert "250 low findings, and at most 249 may be there" in story.why(1)
    assert "and 247 more" not in story.why(1)
    assert "247 more" in story.why(1)


@pytest.mark.parametrize(("when", "ends"), [("refuse", Phase.REJECTED), ("wait", Phase.WAITING), ("allow", Phase.LIVE)])
def test_a_scan_that_never_ends_is_as_the_policy_says(story: Story, when: str, ends: Phase) -> None:
    """It is told, and the default takes no image that nobody looked at."""
    gate(story, wait_minutes=10, **({"when_unscanned": when} if when != "refuse" else {}))
    arrive(story)
    story.wait(9)
    assert story.stands(1).phase is Phase.WAITING
    story.pass_time(600)
    assert story.stands(1).phase is ends
    if ends is Phase.WAITING:
        assert story.stands(1).cause == Waits.UNSCANNED
    if ends is not Phase.LIVE:
        assert "its image was not scanned within 10 minutes, and production takes none unscanned" in story.why(1)
        assert "scanned in ECR" in story.why(1)


def test_an_image_that_cannot_be_scanned_is_not_waited_for(story: Story) -> None:
    """ECR says so at once."""
    gate(story)
    digest = arrive(story)
    story.local_aws.ecr.scanned(story.service.images, digest, {}, "UNSUPPORTED_IMAGE")
    story.wait(1)
    assert (story.stands(1).phase, story.stands(1).cause) == (Phase.REJECTED, Cause.SCAN_REFUSED)
    assert "its image has no scan: unsupported image" in story.why(1)


def test_an_index_is_judged_by_the_image_that_the_hosts_run(story: Story) -> None:
    """A finding in the image for another architecture concerns nobody."""
    story.register(architecture="arm64")
    gate(story)
    images = {name: story.push_image(f"for {name}", "") for name in ("amd64", "arm64")}
    built = [
        {"mediaType": f"{OCI}.manifest.v1+json", "digest": digest, "size": 9}
        | {"platform": {"os": "linux", "architecture": name}}
        for name, digest in images.items()
    ]
    push(story, document(f"{OCI}.index.v1+json", manifests=built), "v1.0")
    story.deliver()
    scanned(story, images["amd64"], OPENSSL)
    assert story.stands(1).phase is Phase.WAITING
    scanned(story, images["arm64"])
    assert story.phases == ["live"]


def test_without_a_rule_a_scan_is_shown_and_stops_nothing(story: Story) -> None:
    """A base image has findings that nobody can mend; who wants a gate says which."""
    set_policy(story, NONE)
    digest = story.push_image("one", "v1.0")
    story.local_aws.ecr.scanned(story.service.images, digest, {"CRITICAL": 1}, findings=[OPENSSL])
    story.play()
    assert story.phases == ["live"]


def test_a_rollback_asks_nobody_for_a_scan(story: Story) -> None:
    """What was live may come back at once, whatever is known of it by now."""
    for tag in ("v1.0", "v2.0"):
        story.push_image(tag, tag)
        story.play()
    gate(story)
    story.operate("rollback", reason="it answers nonsense")
    story.play()
    assert story.live_on("production") == 1


def test_a_backtest_knows_the_findings_of_then(story: Story) -> None:
    """Of a release that no rule asked about, the counts that its scan's event told; of another, each finding."""
    digest = story.push_image("one", "v1.0")
    story.local_aws.ecr.scanned(story.service.images, digest, {"CRITICAL": 1}, findings=[OPENSSL])
    story.play()
    rule = {"stages": [{"name": "production", "scan": {}}]}
    present, lease = story.snapshot().service, story.context.settings.lease
    told = backtest(rows(story), present, merged(present, rule), 10, lease)
    assert [(line.release, line.changes[0].rule) for line in told.otherwise] == [("v1", "scan")]
    assert "1 critical finding, and at most 0 may be there" in told.otherwise[0].changes[0].why

    gate(story)
    scanned(story, arrive(story, "two", "v2.0"), OPENSSL)
    present = story.snapshot().service
    none = merged(present, {"stages": [{"name": "production", "scan": None}]})
    told = backtest(rows(story), present, none, 1, lease)
    assert [(line.release, line.changes[0].rule) for line in told.otherwise] == [("v2", "scan")]
    assert "it would not wait for production; then it did: production does not take" in told.otherwise[0].changes[0].why
