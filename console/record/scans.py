"""A past release with the scan of its image that was heard of, where no rule had it read one finding at a time."""

from __future__ import annotations

from dataclasses import replace

from console.record.as_of import Rows
from esteira.core.facts import FindingsRead
from esteira.core.state import Release
from esteira.trail import ImageScanned


def with_scan(rows: Rows, service: str, release: Release) -> Release:
    """The release, as if the findings that a scan's event counted had been read. Which ones they were is not on record,
    so no exception and no age helps them. Without a scan on record, no findings are."""
    if release.findings or not release.accepted:
        return release
    scans = [
        fact
        for digest in sorted(release.images)
        for fact in rows.facts(service, f"image/{digest}", "scanned#")
        if isinstance(fact, ImageScanned)
    ]
    if not scans:
        return release
    last = max(scans, key=lambda scan: scan.scanned_at)
    ended = last.findings == "none" or any(letter.isdigit() for letter in last.findings)
    counted = last.findings.lower().split(", ") if ended and last.findings != "none" else []
    read = FindingsRead(
        at=last.at,
        release=release.number,
        attempt=release.attempt,
        number=1,
        images=(last.digest,),
        status="complete" if ended else last.findings,
        unlisted=tuple(counted),
    )
    return replace(release, facts=release.facts | {read})
