"""Whether CodeDeploy tells IAM the tags of an application: asked by a role that may look at it only under that tag."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import boto3
from botocore.exceptions import ClientError

from console.prove.item import ProofItem, ProofOutcome, not_seen, proven, refuted
from console.prove.site import ProofSite
from esteira.errors import code_of

POLICY = "look"
ASKED = "codedeploy:GetApplication"


def role_of(site: ProofSite) -> str:
    """The name of the role."""
    return f"{site.stack}-tag-probe"


def _make(site: ProofSite) -> None:
    """A role that the caller's account may take, with the one right twice: under the tag, and under a wrong one for
    another call, so that a refusal is known to be IAM's."""
    iam, account = site.client("iam"), site.client("sts").get_caller_identity()
    partition = account["Arn"].split(":")[1]
    root = {"AWS": f"arn:{partition}:iam::{account['Account']}:root"}
    trust = {"Effect": "Allow", "Principal": root, "Action": "sts:AssumeRole"}
    look = {
        "Effect": "Allow",
        "Action": ASKED,
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:ResourceTag/esteira": site.stack}},
    }
    listed = {"Effect": "Allow", "Action": "codedeploy:ListApplications", "Resource": "*"}
    iam.create_role(RoleName=role_of(site), AssumeRolePolicyDocument=_document(trust))
    iam.put_role_policy(RoleName=role_of(site), PolicyName=POLICY, PolicyDocument=_document(look, listed))


def _document(*statements: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _looked(site: ProofSite) -> ProofOutcome | None:
    """A new role takes a while to be known everywhere: the call without a condition tells when it is."""
    as_role = _codedeploy(site)
    if as_role is None:
        return None
    try:
        as_role.list_applications()
    except ClientError as error:
        return None if _denied(error) else not_seen(str(error))
    site.pause(30.0)  # the two statements are one policy, known at once; the wait is for slow parts of IAM
    try:
        as_role.get_application(applicationName=site.service)
    except ClientError as error:
        if not _denied(error):
            raise
        return refuted(f"{ASKED} under StringEquals aws:ResourceTag/esteira is refused: {error}")
    return proven(f"{ASKED} under StringEquals aws:ResourceTag/esteira is allowed: StringEquals is right")


def _codedeploy(site: ProofSite) -> Any | None:
    """CodeDeploy as the role, None while nobody may take it yet."""
    role = site.client("iam").get_role(RoleName=role_of(site))["Role"]["Arn"]
    sts = site.client("sts")
    try:
        keys = sts.assume_role(RoleArn=role, RoleSessionName="prove")["Credentials"]
    except ClientError as error:
        if not _denied(error):
            raise
        return None
    make: Any = boto3.client
    return make(
        "codedeploy",
        region_name=sts.meta.region_name,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


def _denied(error: ClientError) -> bool:
    return code_of(error) in ("AccessDenied", "AccessDeniedException")


def remove(site: ProofSite) -> None:
    """Take the role away."""
    iam = site.client("iam")
    with contextlib.suppress(iam.exceptions.NoSuchEntityException):  # interrupted before it had one
        iam.delete_role_policy(RoleName=role_of(site), PolicyName=POLICY)
    iam.delete_role(RoleName=role_of(site))


TAGS = (
    ProofItem(
        "codedeploy-tags",
        "CodeDeploy tells IAM the tags of what is asked for, so StringEquals would do",
        "a role that may GetApplication only under the tag asks for it",
        5,
        _looked,
        _make,
    ),
)
