"""Each modelled error of each call of the functions is given, and comes to what the table of the walk says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from esteira.errors import BusyError, DeclinedError, code_of
from tests.walk import walked
from tests.walk.stand import MAKES, Stand, standing

pytestmark = pytest.mark.integration
CALLS = sorted(walked.of_functions())
GIVEN = [(call, error) for call in CALLS for error in walked.errors(call)]
REFUSED = {"CancellationReasons": [{"Code": "ConditionalCheckFailed"}, {"Code": "None"}]}
# What an adapter answers where an error is handled; where it is no value, the error that it becomes.
COMES_TO: dict[tuple[str, str], Any] = {
    ("autoscaling:StartInstanceRefresh", "InstanceRefreshInProgressFault"): None,
    ("codecommit:GetBranch", "BranchDoesNotExistException"): None,
    ("codecommit:GetBlob", "FileTooLargeException"): None,
    ("codecommit:GetFolder", "CommitDoesNotExistException"): None,
    ("codecommit:PostCommentForComparedCommit", "IdempotencyParameterMismatchException"): None,
    ("codedeploy:ListDeploymentTargets", "DeploymentNotStartedException"): [],
    ("codedeploy:BatchGetDeploymentTargets", "DeploymentNotStartedException"): [],
    ("codedeploy:GetDeploymentGroup", "ApplicationDoesNotExistException"): ("", ""),
    ("codedeploy:GetDeploymentGroup", "DeploymentGroupDoesNotExistException"): ("", ""),
    ("codedeploy:StopDeployment", "DeploymentAlreadyCompletedException"): None,
    ("codedeploy:CreateDeployment", "DeploymentLimitExceededException"): BusyError,
    ("dynamodb:PutItem", "ConditionalCheckFailedException"): False,
    ("dynamodb:DeleteItem", "ConditionalCheckFailedException"): None,
    ("dynamodb:TransactWriteItems", "TransactionCanceledException"): False,
    ("logs:GetLogEvents", "InvalidParameterException"): (),
    ("logs:GetLogEvents", "ResourceNotFoundException"): (),
    ("xray:PutTraceSegments", "InvalidRequestException"): None,
    ("xray:PutTraceSegments", "ThrottledException"): None,
    ("ecr:DescribeImages", "ImageNotFoundException"): None,
    ("ecr:DescribeImageScanFindings", "ImageNotFoundException"): {},
    ("ecr:DescribeImageScanFindings", "ScanNotFoundException"): {},
    ("ecr:PutImage", "ImageAlreadyExistsException"): True,
    ("ecr:PutImage", "ImageTagAlreadyExistsException"): DeclinedError,
}


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """One stand for all: a refused call changes nothing."""
    with standing(tmp_path_factory.mktemp("walk")) as stand:
        yield stand


def test_every_call_has_its_maker() -> None:
    """A new call is made here before it is walked."""
    assert set(MAKES) == set(CALLS)


@pytest.mark.parametrize("call", CALLS)
def test_every_call_is_made_when_nothing_is_refused(call: str, stand: Stand) -> None:
    """The makers make what they say, or the refusals below would be of nothing. A second deployment is refused."""
    stand.faults.counts.clear()
    try:
        MAKES[call](stand)
    except BusyError:
        assert call == "codedeploy:CreateDeployment"
    assert stand.faults.counts[call] >= 1


@pytest.mark.parametrize(("call", "error"), GIVEN, ids=[f"{call} {error}" for call, error in GIVEN])
def test_every_error_comes_to_what_was_thought_of_it(call: str, error: str, stand: Stand) -> None:
    """Handled: the answer or the error that the adapter makes of it. Raised on purpose: AWS's own error arrives."""
    what = walked.handled(call).get(error)
    fields = REFUSED if error == "TransactionCanceledException" else {}
    with stand.refusing(call, error, **fields):
        if what is None:
            with pytest.raises(Exception) as raised:
                MAKES[call](stand)
            assert code_of(raised.value) == error
        elif what == walked.AGAIN:
            stand.pauses.clear()
            with pytest.raises(Exception) as raised:
                MAKES[call](stand)
            assert error in str(raised.value)
            assert len(stand.pauses) == 6
        elif (call, error) in COMES_TO and not isinstance(COMES_TO[call, error], type):
            assert MAKES[call](stand) == COMES_TO[call, error]
        elif (call, error) != ("codecommit:GetDifferences", "CommitDoesNotExistException"):
            with pytest.raises(COMES_TO.get((call, error), DeclinedError)):
                MAKES[call](stand)


def test_a_base_that_is_gone_makes_the_whole_tree_count(stand: Stand) -> None:
    """The first answer is the refusal, the second all files; a commit that is gone itself is an error."""
    with stand.refusing("codecommit:GetDifferences", "CommitDoesNotExistException", times=1):
        changes, whole = stand.aws.changes(stand.service, stand.first, stand.commit)
    assert ([change.path for change in changes], whole) == (["app.py"], True)


def test_what_met_another_is_tried_again_and_comes_to_be(stand: Stand) -> None:
    """A pause later the row is written."""
    with stand.refusing("dynamodb:PutItem", "TransactionConflictException", times=2):
        stand.pauses.clear()
        assert MAKES["dynamodb:PutItem"](stand) in (True, False)  # an earlier test may have written it
        assert len(stand.pauses) == 2
