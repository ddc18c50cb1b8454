"""The repository: its branch, its commits' files, and comments on commits."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from esteira.bundle import Folder
from esteira.config import Service
from esteira.errors import code_of, is_refusal
from esteira.inspection import Change

LONGEST_COMMENT = 10_240  # characters that CodeCommit takes


@dataclass(frozen=True)
class Commits:
    """CodeCommit, as the controller needs it."""

    client: Callable[..., Any]

    def tip(self, service: Service) -> str | None:
        """The branch's newest commit, None where the branch does not exist."""
        try:
            answer = self.client("codecommit").get_branch(repositoryName=service.repository, branchName=service.branch)
        except Exception as error:
            if code_of(error) == "BranchDoesNotExistException":
                return None
            raise
        return str(answer["branch"]["commitId"])

    def described(self, service: Service, commit: str) -> dict[str, str]:
        """The subject of a commit and its author's name; {} where CodeCommit does not tell."""
        try:
            asked = self.client("codecommit").get_commit(repositoryName=service.repository, commitId=commit)
        except Exception as error:
            if not is_refusal(error):
                raise
            return {}
        told = asked["commit"]
        subject, _, _ = str(told.get("message", "")).strip().partition("\n")
        return {"subject": subject[:200], "author": str(told.get("author", {}).get("name", ""))[:100]}

    def changes(self, service: Service, base: str, commit: str) -> tuple[list[Change], bool]:
        """What changed from ``base`` to ``commit``, and whether that is the whole tree: without a base, or where the
        base is in the repository no more."""
        request = {"repositoryName": service.repository, "afterCommitSpecifier": commit}
        if base:
            try:
                return self._differences({**request, "beforeCommitSpecifier": base}), False
            except Exception as error:
                if code_of(error) != "CommitDoesNotExistException":
                    raise
        return self._differences(request), True

    def _differences(self, request: Mapping[str, str]) -> list[Change]:
        pages = self.client("codecommit").get_paginator("get_differences").paginate(**request)
        changes = []
        for difference in (d for page in pages for d in page["differences"]):
            after, before = difference.get("afterBlob"), difference.get("beforeBlob")
            # git's names are bytes: what is no text arrives as lone surrogates, which no table and no log takes
            path = re.sub("[\ud800-\udfff]", "\ufffd", (after or before)["path"])
            changes.append(Change(path, after["blobId"] if after else "", after.get("mode", "") if after else ""))
        return changes

    def blob(self, service: Service, blob: str) -> bytes | None:
        """A file's content, None where it is too large for CodeCommit to give."""
        try:
            answer = self.client("codecommit").get_blob(repositoryName=service.repository, blobId=blob)
        except Exception as error:
            if code_of(error) == "FileTooLargeException":
                return None
            raise
        return bytes(answer["content"])

    def folder(self, service: Service, commit: str, path: str) -> Folder | None:
        """A folder of the commit, below the service's own (""), None where the commit is in the repository no more. A
        commit without the service's folder has nothing there."""
        try:
            answer = self.client("codecommit").get_folder(
                repositoryName=service.repository,
                commitSpecifier=commit,
                folderPath=posixpath.join(service.folder, path),
            )
        except Exception as error:
            if code_of(error) == "CommitDoesNotExistException":
                return None
            if code_of(error) == "FolderDoesNotExistException" and service.folder and not path:
                return Folder({}, (), {})
            raise
        return Folder(
            {f["relativePath"]: (f["blobId"], f["fileMode"] == "EXECUTABLE") for f in answer.get("files", ())},
            tuple(f["relativePath"] for f in answer.get("subFolders", ())),
            {f["relativePath"]: "a symbolic link" for f in answer.get("symbolicLinks", ())}
            | {f["relativePath"]: "a submodule" for f in answer.get("subModules", ())},
        )

    def comment(self, service: Service, commit: str, text: str, token: str) -> None:
        """Put a comment on a commit. The same ``token`` makes it the same comment, so it may be sent twice.

        CodeCommit comments on a comparison: it wants the commit before, unless the commit is the first of all.
        """
        codecommit = self.client("codecommit")
        asked = codecommit.get_commit(repositoryName=service.repository, commitId=commit)["commit"]
        before = {"beforeCommitId": asked["parents"][0]} if asked.get("parents") else {}
        try:
            codecommit.post_comment_for_compared_commit(
                repositoryName=service.repository,
                afterCommitId=commit,
                content=text if len(text) <= LONGEST_COMMENT else f"{text[: LONGEST_COMMENT - 1]}…",
                clientRequestToken=token,
                **before,
            )
        except Exception as error:
            # The comment with this token is there, in other words: an earlier call was heard and its answer lost.
            if code_of(error) != "IdempotencyParameterMismatchException":
                raise
