"""What AWS itself says about each link of a receipt, as far as it still knows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

from aws_events import exported_digest
from console.record.receipt_values import Evidence, Verdict
from console.record.rollout_rows import RolloutRows
from esteira.aws import Aws
from esteira.claims import CLAIM_VARIABLE, BuildClaim, RolloutClaim, rollout_claim
from esteira.config import Service
from esteira.core.facts import (
    BuildEnded,
    Bundled,
    DeploymentStarted,
    Diagnosed,
)
from esteira.core.state import Beat
from esteira.errors import code_of

# How AWS words that it may not be told, and that something is not there any more.
_FORBIDDEN = {"AccessDenied", "AccessDeniedException", "403", "UnauthorizedOperation", "NotAuthorized"}


_GONE = {
    "404",
    "DeploymentDoesNotExistException",
    "NoSuchBucket",
    "NoSuchKey",
    "RepositoryDoesNotExistException",
    "RepositoryNotFoundException",
}


def evidence_of(
    aws: Aws, service: Service, number: int, stage: str, rollout: int, said: RolloutRows
) -> Iterator[Evidence]:
    """What AWS itself says about each link."""
    pushed, built, bundled, started = said.pushed, said.built, said.bundled, said.started
    if pushed is not None and pushed.commit:
        yield ask("commit", lambda: _commit(aws, service, pushed.commit))
    if pushed is not None and built is not None:
        claim = BuildClaim(service.name, number, built.attempt)
        yield ask("build", lambda: _build(aws, built, claim, pushed.commit))
    if said.rollout is not None:
        digest = said.rollout.digest
        yield ask("image", lambda: _image(aws, service, built, digest))
    if bundled is not None:
        yield ask("bundle", lambda: _bundle(aws, service, bundled))
    if started is not None:
        rollout_of = RolloutClaim(service.name, number, stage, rollout)
        yield ask("deployment", lambda: _deployment(aws, service, started, said, rollout_of))
    if said.diagnosed is not None and said.diagnosed.answers:
        diagnosed = said.diagnosed
        yield ask("hosts", lambda: _hosts(aws, diagnosed))


def running_on(beats: Iterable[Beat], number: int, stage: str, said: RolloutRows) -> Iterator[Evidence]:
    """The digest that each host reports that it runs, where it runs this release; AWS itself does not know."""
    there = [beat for beat in beats if (beat.stage, beat.release) == (stage, number)]
    if there and said.rollout is not None:
        digest = said.rollout.digest
        yield Evidence(
            "running",
            *_held(*((f"what {b.host} ran at {b.at:%Y-%m-%d %H:%M} UTC", b.digest, digest) for b in there)),
        )


def ask(what: str, look: Callable[[], tuple[Verdict, str]]) -> Evidence:
    from botocore.exceptions import ClientError

    try:
        verdict, says = look()
    except ClientError as error:
        code = code_of(error)
        if code in _GONE:
            return Evidence(what, "gone", f"it is not there any more ({code})")
        # Whatever else AWS answers, it says nothing against the record.
        told = "you may not ask" if code in _FORBIDDEN else "AWS does not say"
        return Evidence(what, "untold", f"{told} ({error.operation_name}: {code})")
    return Evidence(what, verdict, says)


def _commit(aws: Aws, service: Service, commit: str) -> tuple[Verdict, str]:
    if aws.folder(service, commit, "") is None:
        return "gone", f"{commit} is not in {service.repository} any more"
    return "ok", f"{commit} is in {service.repository}"


def _build(aws: Aws, built: BuildEnded, claim: BuildClaim, commit: str) -> tuple[Verdict, str]:
    found = aws.builds([built.build])
    if not found:
        return "gone", f"CodeBuild has forgotten {built.build}"
    build = found[0]
    variables = {v["name"]: v["value"] for v in build["environment"]["environmentVariables"]}
    return _held(
        ("its claim", variables.get(CLAIM_VARIABLE, ""), str(claim)),
        ("its commit", str(build.get("sourceVersion", "")), commit),
        ("its status", str(build["buildStatus"]), built.status),
    )


def _image(aws: Aws, service: Service, built: BuildEnded | None, digest: str) -> tuple[Verdict, str]:
    """Whether the image is there, and whether it is the one that its build pushed, as far as CodeBuild knows it."""
    for build in aws.builds([built.build]) if built else ():
        told = {v["name"]: v["value"] for v in build["environment"]["environmentVariables"]}
        image = aws.image(service, tag=told["IMAGE_TAG"]) if told.get("IMAGE_TAG") else None
        if exported := exported_digest(build):
            return _held(("the digest that its build exported", exported, digest))
        if image is not None:
            return _held(("the digest under the tag of its build", image.digest, digest))
    if missing := aws.missing(service, digest):
        return "gone", f"{digest} is {missing} in {service.images}"
    return "ok", f"{digest} is in {service.images}"


def _bundle(aws: Aws, service: Service, bundled: Bundled) -> tuple[Verdict, str]:
    found = aws.client("s3").get_object(Bucket=service.bundles, Key=bundled.name_in_bucket)
    sha256 = hashlib.sha256(found["Body"].read()).hexdigest()
    return _held((f"the SHA-256 of {bundled.name_in_bucket}", sha256, bundled.sha256))


def _deployment(
    aws: Aws, service: Service, started: DeploymentStarted, said: RolloutRows, claim: RolloutClaim
) -> tuple[Verdict, str]:
    answer = aws.client("codedeploy").get_deployment(deploymentId=started.deployment)
    info = answer["deploymentInfo"]
    place = info.get("revision", {}).get("s3Location", {})
    wanted = [("its claim", str(rollout_claim(info.get("description", "")) or "none"), str(claim))]
    if said.bundled is not None:
        bundle = f"{service.bundles}/{said.bundled.name_in_bucket}"
        wanted.append(("its bundle", f"{place.get('bucket')}/{place.get('key')}", bundle))
    if said.ended is not None:
        wanted.append(("its status", str(info["status"]), said.ended.status))
    return _held(*wanted)


def _hosts(aws: Aws, diagnosed: Diagnosed) -> tuple[Verdict, str]:
    now = _by_host(aws.hosts(diagnosed.deployment).answers)
    then = _by_host(diagnosed.answers)
    over = {host: said for host, said in then.items() if said.startswith(("Succeeded", "Failed", "Skipped"))}
    return _held(*((host, now.get(host, "unknown"), said) for host, said in over.items()))


def _by_host(answers: Iterable[str]) -> dict[str, str]:
    return {host: said for host, _, said in (answer.partition(": ") for answer in answers)}


def _held(*things: tuple[str, str, str]) -> tuple[Verdict, str]:
    """Hold what AWS says against what is on record: of each thing its name, AWS's word, and the record's."""
    unlike = [f"{name} is {there}, on record it is {wanted}" for name, there, wanted in things if there != wanted]
    if unlike:
        return "differs", "; ".join(unlike)
    return "ok", "; ".join(f"{name} is {there}" for name, there, _ in things)
