"""Lists as AWS may give them: in no order unless AWS documents one, in pages of two, and batches with a part left out.

A page may always be shorter than what was asked for. So whoever reads one page only, or takes the first row for the
newest, is found out here and not in an account.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.session
from botocore.exceptions import UnknownServiceError

Params = Mapping[str, Any]
Perform = Callable[[Params], dict[str, Any]]
TOKEN = "cut-"  # what a token that is given here begins with
PAGE = 2

# Lists that AWS documents the order of, and where.
ORDERED = {
    "codebuild:ListBuilds": "https://docs.aws.amazon.com/codebuild/latest/APIReference/API_ListBuilds.html",
    "codebuild:ListBuildsForProject": (
        "https://docs.aws.amazon.com/codebuild/latest/APIReference/API_ListBuildsForProject.html"
    ),
}
# Lists that are left as they are: both order and pages are documented, and the stand-in keeps them.
KEPT = {
    "ecr:DescribeImageScanFindings": (
        "https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeImageScanFindings.html"
    ),
    "dynamodb:Query": "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html",
    "dynamodb:Scan": "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Scan.html",
    "s3:ListObjectsV2": "https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html",
}
# Answers without pages whose rows come in no order either, and the name of the rows.
UNORDERED = {
    "codebuild:BatchGetBuilds": ("builds",),
    "codecommit:GetFolder": ("files", "subFolders", "symbolicLinks", "subModules"),
    "codedeploy:BatchGetDeployments": ("deploymentsInfo",),
    "codedeploy:BatchGetDeploymentTargets": ("deploymentTargets",),
    "ecr:BatchGetImage": ("images",),
}


@dataclass(frozen=True)
class Pager:
    """How an operation gives pages, by botocore's names."""

    asks: str
    tells: str
    limit: str
    rows: tuple[str, ...]


@dataclass
class Lists:
    """The way answers are cut. ``most`` rows are on a page; None leaves every answer as the service gives it."""

    most: int | None = PAGE

    def answer(self, service: str, operation: str, params: Params, perform: Perform) -> dict[str, Any]:
        """What ``perform`` answers, cut and shuffled."""
        call, pager = f"{service}:{operation}", _pager(service, operation)
        if self.most is None or call in KEPT:
            return perform(params)
        if call in UNORDERED:
            told = perform(params)
            return {k: _shuffled(v) if k in UNORDERED[call] else v for k, v in told.items()}
        token = params.get(pager.asks) if pager else None
        if pager is None or (token and not str(token).startswith(TOKEN)):
            return perform(params)  # a token that is none of ours is the service's to refuse
        return self._page(call, pager, params, perform)

    def _page(self, call: str, pager: Pager, params: Params, perform: Perform) -> dict[str, Any]:
        told: dict[str, Any] = {}
        rows: list[tuple[str, Any]] = []
        for answer in _pages(pager, {k: v for k, v in params.items() if k != pager.asks}, perform):
            told = answer
            rows += [(name, row) for name in pager.rows for row in answer.get(name) or ()]
        if call not in ORDERED:
            rows = _shuffled(rows)
        size = min(int(params.get(pager.limit) or PAGE), self.most or PAGE)
        start = _place(rows, str(params.get(pager.asks) or ""), ordered=call in ORDERED)
        chosen = rows[start : start + size]
        told = {k: v for k, v in told.items() if k != pager.tells}
        told |= {name: [row for of, row in chosen if of == name] for name in pager.rows if name in told}
        if start + size < len(rows):
            told[pager.tells] = TOKEN + (str(start + size) if call in ORDERED else _digest(chosen[-1]))
        return told


def _pages(pager: Pager, params: Params, perform: Perform) -> Iterator[dict[str, Any]]:
    """Every page that the service itself gives."""
    limit = {name: value for name, value in params.items() if name != pager.limit}
    answer = perform(limit)
    yield answer
    while answer.get(pager.tells):
        answer = perform({**limit, pager.asks: answer[pager.tells]})
        yield answer


def _place(rows: list[tuple[str, Any]], token: str, *, ordered: bool) -> int:
    """Where a page begins. In no order it is by the last row that was given, so that a new one shifts nothing."""
    if not token:
        return 0
    mark = token.removeprefix(TOKEN)
    return int(mark) if ordered else sum(_digest(row) <= mark for row in rows)


def _shuffled(rows: list[Any]) -> list[Any]:
    """The rows in an order that means nothing, and is the same each time."""
    return sorted(rows, key=_digest)


def _digest(row: Any) -> str:
    return hashlib.sha256(repr(row).encode()).hexdigest()


@cache
def _pager(service: str, operation: str) -> Pager | None:
    """How an operation gives pages, None where it gives none."""
    found = _paginators(service).get(operation)
    if found is None or not all(isinstance(found[name], str) for name in ("input_token", "output_token")):
        return None
    rows = found["result_key"]
    names = tuple(rows) if isinstance(rows, list) else (str(rows),)
    return Pager(found["input_token"], found["output_token"], str(found.get("limit_key") or ""), names)


@cache
def _paginators(service: str) -> dict[str, Any]:
    session = botocore.session.get_session()
    try:
        return dict(session.get_component("data_loader").load_service_model(service, "paginators-1")["pagination"])
    except UnknownServiceError:
        return {}
