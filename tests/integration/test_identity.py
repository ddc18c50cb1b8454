"""Who an operator is: a proof that a real console signs, seen by the function ``operate``, answered by an STS that
checks signatures as AWS's does. Forged, stolen, stale and strange proofs prove nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import botocore
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from console.local.aws.aws_server import AwsServer
from console.read.clients import clients
from console.read.remote import Controller, Invoked
from console.read.where import TroubleError, Where
from esteira import identity
from esteira.identity import Proof, caller
from esteira.refusal import Refused
from tests.integration.conftest import Story

KEYS = {"AKIAANA": "anas secret", "AKIARUI": "ruis secret"}
ARNS = {key: f"arn:aws:iam::123456789012:user/{key.removeprefix('AKIA').lower()}" for key in KEYS}
REQUEST = {"action": "approve", "service": "heart", "request": "request-00000001", "by": "ana", "release": "v1"}


class Sts:
    """An STS that knows two people's keys: it computes each signature anew from what arrived, as AWS does."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, str]] = []
        self.oldest = timedelta(minutes=15)  # of a signature
        self.status = 0  # not 0: what it answers to everything
        sts = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                sts.asked.append(headers)
                code, answer = sts.judge(headers, body)
                self.send_response(sts.status or code)
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def judge(self, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """STS's status and body for a request."""
        found = re.match(r".*Credential=(\w+)/.*SignedHeaders=([^,]+), ?Signature=(\w+)", headers["authorization"])
        assert found
        key, names, signature = found.groups()
        if key not in KEYS:
            return 403, "<ErrorResponse><Error><Code>InvalidClientTokenId</Code></Error></ErrorResponse>"
        at = datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs(datetime.now(UTC) - at) > self.oldest:
            return 403, "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>"
        signed = {name: headers[name] for name in names.split(";")}
        request = AWSRequest("POST", f"http://{headers['host']}/", signed, body)
        request.context["timestamp"] = headers["x-amz-date"]
        auth = SigV4Auth(Credentials(key, KEYS[key]), "sts", "us-east-1")
        right = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        if right != signature:
            return 403, "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>"
        return 200, f"<GetCallerIdentityResponse><Arn>{ARNS[key]}</Arn></GetCallerIdentityResponse>"


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sts]:
    sts = Sts()
    monkeypatch.setenv("AWS_ENDPOINT_URL", sts.url)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    act_as(monkeypatch, "AKIAANA")
    yield sts
    sts.server.shutdown()
    sts.server.server_close()


def act_as(monkeypatch: pytest.MonkeyPatch, key: str, secret: str = "") -> None:
    """Let this machine have somebody's keys."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret or KEYS[key])


def sent(sts: Sts, request: Mapping[str, Any] = REQUEST) -> dict[str, Any]:
    """What a console sends to ``operate`` for a request."""
    return overheard(Where("esteira", sts.url), request)


@cache
def regional() -> Any:
    """A client as a console makes it, of which the Region is asked."""
    return clients(Where("esteira", "http://127.0.0.1:9", local=True))("lambda")


def overheard(where: Where, request: Mapping[str, Any]) -> dict[str, Any]:
    heard: list[dict[str, Any]] = []

    def invoke(_function: str, payload: Any) -> Invoked:
        heard.append(payload)
        return Invoked({})

    Controller(where, lambda _: regional(), invoke).operate(request)
    return heard[0]


def proof_of(payload: Mapping[str, Any]) -> Proof:
    return Proof.model_validate(payload["proof"])


def test_who_signed_is_known_by_the_arn_that_sts_gives(sts: Sts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two people with keys of their own are two ARNs, whatever they call themselves; no secret is in what is sent."""
    payload = sent(sts)
    assert caller(proof_of(payload), payload) == ARNS["AKIAANA"]
    assert KEYS["AKIAANA"] not in str(payload)
    act_as(monkeypatch, "AKIARUI")
    payload = sent(sts)
    assert caller(proof_of(payload), payload) == ARNS["AKIARUI"]


@pytest.mark.parametrize("action", ["rollback", "hold", "retry"])
def test_every_word_brings_a_proof_since_the_registration_may_ask_for_one(sts: Sts, action: str) -> None:
    """Signing costs no call: it is the function that asks STS."""
    payload = sent(sts, {**REQUEST, "action": action})
    assert sts.asked == []
    assert caller(proof_of(payload), payload) == ARNS["AKIAANA"]


@pytest.mark.parametrize(
    "other", [{"request": "request-00000002"}, {"release": "v2"}, {"action": "bypass"}, {"reason": "another"}]
)
def test_a_proof_for_another_request_is_refused_before_it_is_sent(sts: Sts, other: dict[str, str]) -> None:
    """Who sees a proof cannot say anything else with it, also not under the same id."""
    payload = sent(sts)
    with pytest.raises(Refused, match=r"signed for another request\. Next: "):
        caller(proof_of(payload), {**payload, **other})
    assert sts.asked == []


def changed(payload: Mapping[str, Any], **headers: str) -> Proof:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    kept = {name.lower(): value for name, value in payload["proof"]["headers"].items()}
    return Proof.model_validate({"headers": {**kept, **named}})


def test_a_forged_signature_is_refused_by_sts(sts: Sts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a signature by another key, nor a changed one, nor one of a key that nobody has, proves anything."""
    payload = sent(sts)
    authorization = changed(payload).headers["authorization"]
    forged = authorization[:-4] + ("0000" if not authorization.endswith("0000") else "1111")
    with pytest.raises(Refused, match=r"does not know who signed this \(SignatureDoesNotMatch\)\. Next: aws sts"):
        caller(changed(payload, authorization=forged), payload)
    for key, secret in (("AKIAANA", "a guess"), ("AKIANOBODY", "x")):
        act_as(monkeypatch, key, secret)
        payload = sent(sts)
        with pytest.raises(Refused, match="does not know who signed this"):
            caller(proof_of(payload), payload)


def test_a_header_put_in_place_of_the_signed_one_is_refused(sts: Sts) -> None:
    """The hash of another request fits the check here, and not the signature."""
    payload = sent(sts)
    other = {**payload, "release": "v9"}
    with pytest.raises(Refused, match="SignatureDoesNotMatch"):
        caller(changed(payload, **{"x-esteira-request": identity.digest(other)}), other)


def test_a_request_that_signs_no_header_of_ours_is_refused(sts: Sts) -> None:
    """A GetCallerIdentity signed for something else, and found somewhere, with our header added to it."""
    signed = AWSRequest("POST", sts.url, {"Content-Type": identity.CONTENT_TYPE}, identity.BODY)
    SigV4Auth(Credentials("AKIAANA", KEYS["AKIAANA"]), "sts", "us-east-1").add_auth(signed)
    proof = Proof.model_validate(
        {"headers": {**dict(signed.headers.items()), identity.HEADER: identity.digest(REQUEST)}}
    )
    with pytest.raises(Refused, match="x-esteira-request is not among what was signed"):
        caller(proof, REQUEST)
    assert sts.asked == []


@pytest.mark.parametrize("name", ["host", "x-forwarded-host", "content-length", "transfer-encoding", "x-amz-target"])
def test_no_header_tells_where_to_ask_or_what(sts: Sts, name: str) -> None:
    """A caller who could name the host would have an STS of their own that says what they like."""
    payload = sent(sts)
    with pytest.raises(Refused, match=f"the header '{name}' has no place in it"):
        caller(changed(payload, **{name: "sts.evil.example.com"}), payload)
    assert sts.asked == []


@pytest.mark.parametrize("value", ["x\r\nHost: evil", "x\ny", "\u2028"])
def test_a_header_cannot_smuggle_another(sts: Sts, value: str) -> None:
    """No line break, and nothing but text, is passed on."""
    payload = sent(sts)
    with pytest.raises(Refused, match="no line of text"):
        caller(changed(payload, x_amz_security_token=value), payload)
    assert sts.asked == []


def test_a_signature_for_another_host_is_refused(sts: Sts) -> None:
    """The host is among what is signed, and what is sent bears ours: it fits no request to another STS."""
    headers = {"Content-Type": identity.CONTENT_TYPE, identity.HEADER: identity.digest(REQUEST)}
    signed = AWSRequest("POST", "https://sts.eu-west-1.amazonaws.com/", headers, identity.BODY)
    SigV4Auth(Credentials("AKIAANA", KEYS["AKIAANA"]), "sts", "us-east-1").add_auth(signed)
    with pytest.raises(Refused, match="SignatureDoesNotMatch"):
        caller(Proof.model_validate({"headers": dict(signed.headers.items())}), REQUEST)


def test_a_proof_that_has_expired_is_refused(sts: Sts) -> None:
    """Sixteen minutes later STS takes the very same signature no more."""
    payload = sent(sts)
    sts.oldest = timedelta(minutes=-1)
    with pytest.raises(Refused, match="does not know who signed this"):
        caller(proof_of(payload), payload)


def test_an_sts_that_does_not_answer_proves_nobody_and_accuses_nobody(sts: Sts) -> None:
    """A fault of STS's is told apart from a proof that is none."""
    payload = sent(sts)
    sts.status = 503
    with pytest.raises(identity.UnaskedError, match="STS answered 503"):
        caller(proof_of(payload), payload)
    sts.server.shutdown()
    sts.server.server_close()
    with pytest.raises(identity.UnaskedError, match="ConnectionRefusedError"):
        caller(proof_of(payload), payload)


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "sts.us-east-1.amazonaws.com"),
        ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "sts.eusc-de-east-1.amazonaws.eu"),
    ],
)
def test_sts_is_asked_in_the_functions_own_region(region: str, host: str) -> None:
    """Both sides write the address from the Region: the one whose functions are called, and the functions' own."""
    assert identity.address(region) == f"https://{host}/"


def test_every_partition_that_botocore_knows_has_its_own_ending() -> None:
    """A Region of a partition that came later is told by its beginning, too."""
    path = Path(botocore.__file__).parent / "data" / "partitions.json"
    for partition in json.loads(path.read_text())["partitions"]:
        for region in partition["regions"]:
            if "global" not in region:
                ending = f"sts.{region}.{partition['outputs']['dnsSuffix']}/"
                assert identity.address(region).endswith(ending), region


def test_a_word_that_a_service_wants_proven_is_said_again_with_a_proof(sts: Sts) -> None:
    """The registration is the function's to read: the command line learns of it by a refusal that nobody sees."""
    heard: list[dict[str, Any]] = []

    def invoke(_function: str, payload: Any) -> Invoked:
        heard.append(payload)
        return Invoked({} if "proof" in payload else {"refused": f"{identity.UNPROVEN}. Next: ask one of them"})

    Controller(Where("esteira", sts.url), lambda _: regional(), invoke).operate({**REQUEST, "action": "rollback"})
    assert ["proof" in each for each in heard] == [False, True]
    assert caller(proof_of(heard[1]), heard[1])


# --- the two-person rule, from end to end -----------------------------------------------------------------------------

RULE = [
    {
        "name": "production",
        "group": "heart-production",
        "approvals": {"votes": 1, "not_by_pusher": True},
    }
]


@pytest.fixture
def console(story: Story, monkeypatch: pytest.MonkeyPatch) -> Iterator[Controller]:
    """A console of the local stack, over HTTP, with a release of ana's that waits for somebody's approval."""
    with AwsServer(story.local_aws, "local") as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        story.register(stages=RULE)
        commit = story.push("one")
        story.bus.forget()
        git, branch = story.service.repository, "refs/heads/main"
        story.local_aws.codecommit.moved(git, branch, "0" * 40, commit, "arn:aws:iam::123456789012:user/ana")
        story.play()
        assert phases(story) == ["waiting"]
        yield Controller(Where("esteira", server.url, True), invoke=lambda f, p: _invoked(story, f, p))


def _invoked(story: Story, function: str, payload: Any) -> Invoked:
    answer = story.bus.functions.call(function, payload)
    return Invoked(answer.payload, answer.said)


def phases(story: Story) -> list[str]:
    return [view.phase for view in story.store.views(story.service.name, 10)]


def approval(by: str, **more: str) -> dict[str, str]:
    return {**REQUEST, "by": by, "reason": "", "request": f"request-of-{by}-1", **more}


def test_who_pushed_may_not_approve_and_another_may(story: Story, console: Controller) -> None:
    """On the local stack a person signs by the name they go by; STS and CodeCommit know them by one ARN."""
    with pytest.raises(TroubleError, match="user/ana pushed v1, or what comes to production with it"):
        console.operate(approval("ana"))
    assert phases(story) == ["waiting"]
    console.operate(approval("rui"))
    story.play()
    assert phases(story) == ["live"]


def test_two_names_said_by_one_holder_of_keys_are_one_vote(story: Story, console: Controller) -> None:
    """The attack with proofs: rui votes under a second name, which is signed with the same keys."""
    story.register(stages=[{**RULE[0], "approvals": {"votes": 2}}])
    console.operate(approval("rui"))
    payload = overheard(console.where, approval("rui", request="request-of-rui-2"))
    forged = {**payload, "by": "eva"}
    assert "signed for another request" in _invoked(story, "OperateFunction", forged).payload["refused"]
    console.operate(approval("rui", request="request-of-rui-3"))
    assert phases(story) == ["waiting"]
    assert "production needs 1 more approval; approved by rui" in story.why(1)
    console.operate(approval("eva"))
    story.play()
    assert phases(story) == ["live"]


def test_the_author_of_a_commit_under_the_tip_may_not_approve_it(story: Story, console: Controller) -> None:
    """The attack with proofs: eva pushes over ana's v1, which waits, and ana approves eva's v2."""
    before = story.context.aws.tip(story.service)
    commit = story.push("two")
    story.bus.forget()
    git, eva = story.service.repository, "arn:aws:iam::123456789012:user/eva"
    story.local_aws.codecommit.moved(git, "refs/heads/main", before, commit, eva)
    story.play()
    for who in ("ana", "eva"):
        with pytest.raises(TroubleError, match=f"user/{who} pushed v2, or what comes to production with it"):
            console.operate(approval(who, release="v2"))
    console.operate(approval("rui", release="v2"))
    story.play()
    assert phases(story) == ["live", "superseded"]


def test_a_name_that_is_only_said_approves_nothing(story: Story, console: Controller) -> None:
    """Without a proof, with another's ARN in the request, and with a stolen proof: refused with what to type."""
    bare = approval("rui")
    assert "proves nobody" in _invoked(story, "OperateFunction", bare).payload["refused"]
    said = {**bare, "arn": "arn:aws:iam::123456789012:user/rui"}
    assert "arn: it is proven, not said" in _invoked(story, "OperateFunction", said).payload["refused"]
    stolen = {**approval("ana", request="request-of-ana-22"), "proof": overheard(console.where, bare)["proof"]}
    assert "signed for another request" in _invoked(story, "OperateFunction", stolen).payload["refused"]
    assert phases(story) == ["waiting"]
