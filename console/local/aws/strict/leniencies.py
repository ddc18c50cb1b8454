"""What the local AWS lets through and AWS would refuse, or does otherwise: what only an account can tell.

``esteira local leniencies`` prints it, docs/local-aws.md has it, and a test does each of these things.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Leniency:
    """One thing that passes here, and what AWS does in its place."""

    here: str
    aws: str


LENIENCIES = {
    "sources": Leniency(
        "PutEvents takes events whose source begins with aws., so that any event can be replayed",
        "NotAuthorizedForSourceException",
    ),
    "rights": Leniency("nobody's rights are looked at (a test reads those of the functions from their code)",
                       "AccessDeniedException where a policy does not allow the call"),
    "roles": Leniency("a build project or a deployment group takes a role that does not exist",
                      "the call is refused, or the first build fails"),
    "throttles": Leniency("no call is throttled unless a test or the chaos run asks for it",
                          "ThrottlingException past each service's rate"),
    "consistency": Leniency("a read of DynamoDB without ConsistentRead sees the newest write",
                            "it may see the row as it was up to a second ago"),
    "layers": Leniency("PutImage does not look whether the layers of a manifest are there", "LayersNotFoundException"),
    "lifecycle": Leniency("lifecycle policies of the registry and of the bucket are not carried out",
                          "old images and bundles are deleted"),
    "keys": Leniency("KMS is not played: no key is ever disabled or out of reach",
                     "the service's errors about its key"),
    "lists": Leniency("over HTTP, what moto lists (parameters, topics, tables) comes whole and in moto's order",
                      "pages of any length; in this process they are cut to two rows"),
    "paths": Leniency("over HTTP, requests to S3 and Lambda are not judged by botocore's model",
                      "names and sizes are checked; in this process they are"),
    "quotas": Leniency("quotas are not counted, such as the 1,000 tags of an image", "LimitExceededException"),
    "topics": Leniency("a topic's subscription by mail confirms itself and its mails go nowhere",
                       "a person has to follow the link in a mail"),
}  # fmt: skip
