"""What the end of a service shows: adoption of what an earlier stack left, the doctor's word, and deletion."""

from __future__ import annotations

from console.prove.item import ProofItem, ProofOutcome, proven, refuted
from console.prove.site import ProofSite


def _adopt(site: ProofSite) -> None:
    site.remove_service()
    site.add_service(adopt=True)


def _adopted(site: ProofSite) -> ProofOutcome | None:
    told = site.stands("service")
    return proven(f"{told}, with what the first stack left") if told else None


def _examined(site: ProofSite) -> ProofOutcome:
    faults = site.attended()
    return refuted("; ".join(faults)) if faults else proven("esteira doctor finds nothing to attend to")


def _delete(site: ProofSite) -> None:
    site.remove_service()
    site.remove_controller()


def _deleted(site: ProofSite) -> ProofOutcome:
    """Of log groups nothing stays, of data everything."""
    pages = (
        site.client("logs")
        .get_paginator("describe_log_groups")
        .paginate(logGroupNamePrefix=f"/aws/lambda/{site.stack}-")
    )
    groups = [row["logGroupName"] for page in pages for row in page["logGroups"]]
    if groups:
        return refuted(f"log groups came back: {', '.join(groups)}")
    site.client("codecommit").get_repository(repositoryName=site.service)
    images = site.client("ecr").list_images(repositoryName=site.service)["imageIds"]
    return proven(f"both stacks are gone; the source and {len(images)} tags of images are kept; no log group")


END = (
    ProofItem("doctor", "esteira doctor finds nothing to attend to", "esteira doctor", 1, _examined),
    ProofItem("adopt", "add-service --adopt uses what a removed service left",
              "remove-service, add-service", 1, _adopted, _adopt),
    ProofItem("deletion", "deletion leaves what holds data, and no log group",
              "both stacks are deleted", 1, _deleted, _delete),
)  # fmt: skip
