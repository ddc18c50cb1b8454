"""Every call of AWS that the code makes, walked: each error that AWS models for it is handled, or raised on purpose.

``HANDLED`` says by call and error what comes of it; ``RAISED`` says by reason which errors go through to the caller: of
a function to Lambda, which calls it again and then buries the event where an alarm looks, of the console to a sentence.
An error that is handled for one call and raised for another stands in both.
"""

from __future__ import annotations

from functools import cache

from tests.unit import rights
from tests.unit.reach import model

HANDLERS = ("intake.handler", "sweep.handler", "operate.handler", "announce.handler")

# What the console asks of an account; console/local speaks to the local AWS and to the emulator only.
CONSOLE = {
    "cloudformation": {
        "CreateChangeSet", "DeleteChangeSet", "DeleteStack", "DescribeChangeSet", "DescribeStackEvents",
        "DescribeStacks", "ExecuteChangeSet", "ListStackResources",
    },
    "cloudwatch": {"DescribeAlarms"},
    "codebuild": {"BatchGetProjects"},
    "codecommit": {
        "GetCommentsForComparedCommit", "GetCommit", "GetRepository", "ListBranches", "ListRepositories",
    },
    "codedeploy": {"BatchGetDeployments", "GetDeployment", "GetDeploymentGroup", "ListDeployments"},
    "dynamodb": {"BatchGetItem", "DescribeTable", "GetItem", "ListTables", "Query"},
    "ec2": {"DescribeInstances", "DescribeSecurityGroups", "DescribeVpcs"},
    "ecr": {"DescribeImages", "DescribeRepositories"},
    "events": {"DescribeRule", "ListTargetsByRule"},
    "lambda": {"GetAccountSettings", "GetFunctionConfiguration", "Invoke"},
    "logs": {"FilterLogEvents", "GetLogEvents"},
    "resourcegroupstaggingapi": {"GetResources"},
    "s3": {"GetObject", "HeadBucket", "ListObjectsV2"},
    "service-quotas": {"GetAWSDefaultServiceQuota", "GetServiceQuota"},
    "sns": {"ListSubscriptionsByTopic"},
    "sqs": {"GetQueueAttributes", "ReceiveMessage"},
    "ssm": {
        "DeleteParameter", "DescribeInstanceInformation", "GetCommandInvocation",
        "GetParametersByPath", "PutParameter", "SendCommand",
    },
    "sts": {"GetCallerIdentity"},
}  # fmt: skip

NOTED = "noted as declined, and tried again after a pause that grows"
AGAIN = "tried again after a pause, some times"
HANDLED: dict[str, dict[str, str]] = {
    "autoscaling:StartInstanceRefresh": {
        "InstanceRefreshInProgressFault": "the hosts are being replaced already, which is what was wanted",
    },
    "codecommit:GetBranch": {"BranchDoesNotExistException": "there is nothing to release yet"},
    "codecommit:GetDifferences": {"CommitDoesNotExistException": "the base is gone: the whole tree counts as changed"},
    "codecommit:GetBlob": {"FileTooLargeException": "the file is not looked into"},
    "codecommit:GetFolder": {"CommitDoesNotExistException": "the commit is gone: the bundle is refused in words"},
    "codecommit:PostCommentForComparedCommit": {
        "IdempotencyParameterMismatchException": "the comment with this token is there already",
    },
    "codedeploy:ListDeploymentTargets": {"DeploymentNotStartedException": "no host has begun"},
    "codedeploy:BatchGetDeploymentTargets": {"DeploymentNotStartedException": "no host has begun"},
    "codedeploy:StopDeployment": {"DeploymentAlreadyCompletedException": "it has ended, which is what was wanted"},
    "dynamodb:PutItem": {
        "ConditionalCheckFailedException": "another row stands there, or the very row of this call",
        "TransactionConflictException": AGAIN,
    },
    "dynamodb:DeleteItem": {
        "ConditionalCheckFailedException": "the row has moved on, and stays",
        "TransactionConflictException": AGAIN,
    },
    "dynamodb:TransactWriteItems": {"TransactionCanceledException": "the reasons say which condition did not hold"},
    "ecr:DescribeImages": {"ImageNotFoundException": "there is no such image"},
    "ecr:DescribeImageScanFindings": {
        "ImageNotFoundException": "there is no such image, so nothing was found in it",
        "ScanNotFoundException": "it was not scanned, or not yet",
    },
    "ecr:PutImage": {
        "ImageAlreadyExistsException": "the tag is on this image already",
        "ImageTagAlreadyExistsException": NOTED,
    },
    "logs:FilterLogEvents": {
        "ResourceNotFoundException": "it is refused in words: no group, deploy service.yaml again"
    },
    "logs:GetLogEvents": {
        "InvalidParameterException": "there is no log of this build",
        "ResourceNotFoundException": "there is no log of this build",
    },
    "xray:PutTraceSegments": {
        "InvalidRequestException": "a trace is worth no failed call: a warning in the log",
        "ThrottledException": "a trace is worth no failed call: a warning in the log",
    },
    "s3:GetObject": {"NoSuchKey": "the receipt says that the bundle is gone"},
    "s3:HeadBucket": {"NoSuchBucket": "doctor says that it is not there"},
    "events:DescribeRule": {"ResourceNotFoundException": "doctor says that it is not there"},
    "ecr:DescribeRepositories": {"RepositoryNotFoundException": "doctor says that it is not there"},
    "codecommit:GetRepository": {"RepositoryDoesNotExistException": "doctor says that it is not there"},
    "codedeploy:GetDeploymentGroup": {
        "ApplicationDoesNotExistException": "doctor says that it is not there",
        "DeploymentGroupDoesNotExistException": "doctor says that it is not there",
    },
    "service-quotas:GetServiceQuota": {"NoSuchResourceException": "AWS's default counts"},
    "ssm:DeleteParameter": {"ParameterNotFound": "it is refused in words: the secret is not set"},
    "ssm:GetCommandInvocation": {"InvocationDoesNotExist": "it is asked again for some seconds"},
}
# These make something under a claim: whatever AWS refuses them with is a DeclinedError, except what stands here.
MAKING = {"codebuild:StartBuild", "codedeploy:CreateDeployment", "s3:PutObject"}
HANDLED["codedeploy:CreateDeployment"] = {
    "DeploymentLimitExceededException": "the group is busy, and is waited for",
    "ThrottlingException": AGAIN,
}
for _call in MAKING:
    HANDLED.setdefault(_call, {})

RAISED: dict[str, str] = {
    "the request is made of validated settings and of AWS's own answers: if AWS does not take its form, the fault is "
    "ours and has to be seen": """
        ApplicationNameRequiredException BatchLimitExceededException BeforeCommitIdAndAfterCommitIdAreSameException
        BlobIdRequiredException BranchNameRequiredException ClientRequestTokenRequiredException
        CommentContentRequiredException CommentContentSizeLimitExceededException CommitIdRequiredException
        CommitRequiredException DeploymentGroupNameRequiredException DeploymentIdRequiredException
        DeploymentTargetIdRequiredException DuplicateInstanceId IdempotentParameterMismatchException
        IllegalArgumentException ImageDigestDoesNotMatchException InvalidApplicationNameException
        InvalidAttributeName InvalidBlobIdException InvalidBranchNameException InvalidChangeSetStatusException
        InvalidClientRequestTokenException InvalidCommandId InvalidCommitException InvalidCommitIdException
        InvalidContinuationTokenException InvalidDeploymentGroupNameException InvalidDeploymentIdException
        InvalidDeploymentStatusException InvalidDeploymentTargetIdException InvalidDocument InvalidDocumentVersion
        InvalidFilterKey InvalidInputException InvalidInstanceId InvalidInstanceInformationFilterValue
        InvalidMaxResultsException InvalidNextToken InvalidNextTokenException InvalidParameterException
        InvalidParameterValueException InvalidParameters InvalidPathException InvalidPluginName
        InvalidRepositoryNameException InvalidRequestContentException InvalidTimeRangeException
        MaxDocumentSizeExceeded PathRequiredException RepositoryNameRequiredException RequestTooLargeException
        SerializedRequestEntityTooLargeException TokenAlreadyExistsException UnsupportedMediaTypeException
        ValidationException InsufficientCapabilitiesException AlreadyExistsException PaginationTokenExpiredException
        """,
    "a part of the service is not there: nothing can be done until it is made again, and doctor names it": """
        ApplicationDoesNotExistException BlobIdDoesNotExistException ChangeSetNotFoundException
        CommitDoesNotExistException CommitIdDoesNotExistException DeploymentConfigDoesNotExistException
        DeploymentDoesNotExistException DeploymentGroupDoesNotExistException FolderDoesNotExistException
        LayersNotFoundException NoSuchBucket NoSuchResourceException NotFoundException
        ParameterNotFound PathDoesNotExistException QueueDoesNotExist ReferencedImagesNotFoundException
        RepositoryDoesNotExistException RepositoryNotFoundException ResourceNotFoundException
        """,
    "a host went away between two calls: the next look asks for the list again": """
        DeploymentTargetDoesNotExistException InstanceDoesNotExistException
        """,
    "AWS is in trouble, or was asked too often although botocore paused: the function is called again, and the sweep "
    "comes back": """
        InternalErrorException InternalException InternalServerError InternalServiceException KMSThrottlingException
        KmsThrottled LimitExceededException LimitExceededFault OverLimit ProvisionedThroughputExceededException
        RequestLimitExceeded RequestThrottled ResourceContentionFault
        ServerException ServiceException ServiceQuotaExceededException
        ServiceUnavailableException ThrottledException
        ThrottlingException TooManyRequestsException TransactionInProgressException
        """,
    "a key of KMS cannot be used: only its owner can change that": """
        EncryptionIntegrityChecksFailedException EncryptionKeyAccessDeniedException EncryptionKeyDisabledException
        EncryptionKeyNotFoundException EncryptionKeyUnavailableException InvalidKeyId KMSAccessDeniedException
        KMSDisabledException KMSInvalidStateException KMSNotFoundException KMSOptInRequired KmsAccessDenied
        KmsDisabled KmsException KmsInvalidKeyUsage KmsInvalidState KmsNotFound KmsOptInRequired
        """,
    "a right is missing, or AWS does not know who asks: only an administrator can change that": """
        AccessDeniedException AuthorizationErrorException InvalidRole InvalidSecurity InvalidSecurityException
        """,
    "the function that is invoked cannot run as it is configured: CloudFormation has to be asked why": """
        CodeArtifactUserDeletedException CodeArtifactUserFailedException CodeArtifactUserPendingException
        EC2AccessDeniedException EC2ThrottledException EC2UnexpectedException EFSIOException
        EFSMountConnectivityException EFSMountFailureException EFSMountTimeoutException ENILimitReachedException
        ENINotReadyException InvalidRuntimeException InvalidSecurityGroupIDException InvalidSubnetIDException
        InvalidZipFileException ModeNotSupportedException NoPublishedVersionException RecursiveInvocationException
        ResourceConflictException ResourceNotReadyException RuntimeAliasDeletedException
        RuntimeVersionDeletedException S3FilesMountConnectivityException S3FilesMountFailureException
        S3FilesMountTimeoutException SnapStartException SnapStartNotReadyException
        SnapStartRegenerationFailureException SnapStartTimeoutException SubnetIPAddressLimitReachedException
        DurableExecutionAlreadyStartedException
        """,
    "a secret cannot be stored: the account has no room for it, another writes it too, or somebody put a parameter of "
    "another type there; whoever typed reads which": """
        HierarchyLevelLimitExceededException HierarchyTypeMismatchException ParameterLimitExceeded
        ParameterMaxVersionLimitExceeded TooManyUpdates
        """,
    "it is about something that is never asked for here, such as a comment on a line, a phone or another platform": """
        EndpointDisabledException InvalidAddress InvalidDeploymentInstanceTypeException InvalidExternalIdException
        InvalidFileLocationException InvalidFilePositionException InvalidFilterOption InvalidFilterValue
        InvalidInstanceStatusException InvalidInstanceTypeException InvalidNotificationConfig InvalidObjectState
        InvalidOrderException InvalidOutputFolder InvalidRelativeFileVersionEnumException InvalidSortByException
        InvalidTargetFilterNameException ItemCollectionSizeLimitExceededException ParameterVersionNotFound
        DeploymentTargetListSizeExceededException
        IncompatiblePolicyException InvalidAllowedPatternException InvalidPolicyAttributeException
        InvalidPolicyTypeException ParameterAlreadyExists ParameterPatternMismatchException
        PoliciesLimitExceededException UnsupportedParameterType
        PlatformApplicationDisabledException ReplicatedWriteConflictException UnableToGetUpstreamImageException
        UnsupportedActionForDeploymentTypeException UnsupportedOperation UnsupportedPlatformType
        """,
}


@cache
def of_functions() -> frozenset[str]:
    """The calls of the functions, as ``service:Operation``, read from their source."""
    reached = (rights.source().reached(handler).operations for handler in HANDLERS)
    return frozenset(f"{o.service}:{o.name}" for operations in reached for o in operations)


def of_console() -> frozenset[str]:
    """The calls of the console that go to an account."""
    return frozenset(f"{service}:{name}" for service, names in CONSOLE.items() for name in names)


def errors(call: str) -> list[str]:
    """The errors that AWS models for a call."""
    service, _, operation = call.partition(":")
    return sorted({shape.name for shape in model(service).operation_model(operation).error_shapes})


def raised() -> dict[str, str]:
    """Why each error is raised on purpose, by its name."""
    return {name: why for why, names in RAISED.items() for name in names.split()}


def handled(call: str) -> dict[str, str]:
    """What comes of the errors of a call that are handled."""
    if call in MAKING:
        return dict.fromkeys(errors(call), NOTED) | HANDLED[call]
    return HANDLED.get(call, {})
