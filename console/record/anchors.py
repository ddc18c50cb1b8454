"""The anchors of a stage's checkpoints outside the table: deployments' descriptions, and comments on commits.

Who can write the table can make every checkpoint anew, or take the last ones out. The hash of each checkpoint stands
in the description of the next rollout's deployment, and in the comment that says how the rollout ended.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from console.record.checkpoint_chain import CheckpointChain
from console.record.evidence import ask
from console.record.receipt_values import Evidence, Verdict
from console.record.rollout_rows import RolloutRows
from esteira.aws import Aws
from esteira.claims import rollout_claim
from esteira.config import Service
from esteira.core.facts import about_stage
from esteira.targets.ec2 import batches

_BEFORE = re.compile(r" checkpoint=([0-9a-f]{64}|none) ")
_COMMENT = re.compile(r"^checkpoint ([0-9]+) on ([a-z][a-z0-9-]*): ([0-9a-f]{64})$", re.MULTILINE)


def anchors(aws: Aws, service: Service, chain: CheckpointChain, said: RolloutRows) -> Evidence:
    """What CodeDeploy and CodeCommit keep of the stage's checkpoints, held against those on record."""

    def look() -> tuple[Verdict, str]:
        found = [*_descriptions(aws, service, chain), *_comments(aws, service, chain, said)]
        wrong = [says for holds, says in found if not holds]
        if wrong:
            return "differs", "; ".join(wrong)
        if not found:
            return "gone", "no deployment and no comment keeps a checkpoint that was looked at"
        return "ok", f"{len(found)} deployments and comments keep the same checkpoints"

    return ask("anchors", look)


def _descriptions(aws: Aws, service: Service, chain: CheckpointChain) -> Iterator[tuple[bool, str]]:
    """Each deployment of the stage's group: whether the record agrees.

    Of all times, for whoever makes a chain anew may write any time into it.
    """
    group, codedeploy = service.stage(chain.stage).group, aws.client("codedeploy")
    pages = codedeploy.get_paginator("list_deployments").paginate(
        applicationName=service.application, deploymentGroupName=group
    )
    ids = [deployment for page in pages for deployment in page["deployments"]]
    for some in batches(ids):
        for info in codedeploy.batch_get_deployments(deploymentIds=some)["deploymentsInfo"]:
            description = str(info.get("description", ""))
            claim, before = rollout_claim(description), _BEFORE.search(description)
            if claim and before and (claim.service, claim.stage) == (service.name, chain.stage):
                yield _held(chain, claim.rollout, before[1], str(info["deploymentId"]))


def _held(chain: CheckpointChain, rollout: int, before: str, deployment: str) -> tuple[bool, str]:
    is_newer = rollout > max(chain.checkpoints, default=0)  # an older one that is missing leaves a gap in the chain
    if is_newer and chain.rows.row(chain.service, about_stage(chain.stage), f"rollout#{rollout:08d}") is None:
        return False, f"{deployment} is of rollout {rollout}, which is not on record any more"
    checkpoint = chain.checkpoints.get(rollout - 1)
    stands = checkpoint.sha256 if checkpoint else "none"
    if checkpoint is None and (chain.gap or rollout - 1 < min(chain.checkpoints, default=0)):
        return True, ""  # it was not looked at
    says = f"{deployment} keeps {before[:12]} of rollout {rollout - 1}, on record is {stands[:12]}"
    return before == stands, says


def _comments(aws: Aws, service: Service, chain: CheckpointChain, said: RolloutRows) -> Iterator[tuple[bool, str]]:
    """Each comment on the release's commit that keeps a checkpoint of the stage."""
    commit = said.pushed.commit if said.pushed else ""
    if not commit:
        return
    codecommit = aws.client("codecommit")
    parents = codecommit.get_commit(repositoryName=service.repository, commitId=commit)["commit"].get("parents")
    request = {"repositoryName": service.repository, "afterCommitId": commit}
    request |= {"beforeCommitId": parents[0]} if parents else {}
    pages = codecommit.get_paginator("get_comments_for_compared_commit").paginate(**request)
    about = [row for page in pages for row in page["commentsForComparedCommitData"]]
    for text in (str(comment.get("content", "")) for row in about for comment in row["comments"]):
        for rollout, stage, sha256 in _COMMENT.findall(text):
            checkpoint = chain.checkpoints.get(int(rollout))
            if stage == chain.stage and (checkpoint is not None or not chain.gap):
                stands = checkpoint.sha256 if checkpoint else "none"
                says = f"a comment on {commit[:8]} keeps {sha256[:12]} of rollout {rollout}, on record is {stands[:12]}"
                yield sha256 == stands, says
