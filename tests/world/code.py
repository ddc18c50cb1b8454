"""CodeCommit in memory: commits with their files, branches and tags, comments; a moved reference is an event."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from console.local.aws.api import CALLER, AwsError
from console.local.aws.bus import Bus
from console.local.aws.git import NOTHING, TreeEntry
from console.local.aws_account import arn

Params = Mapping[str, Any]
LARGEST = 6 * 1024 * 1024


class CodeCommit:
    """Repositories by name: each has its references; commits and blobs are everybody's."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.references: dict[tuple[str, str], str] = {}
        self.files: dict[str, dict[str, TreeEntry]] = {}
        self.parents: dict[str, str] = {}
        self.blobs: dict[str, bytes] = {}
        self.comments: list[dict[str, Any]] = []

    # --- what people do

    def commit(self, repository: str, branch: str, files: Mapping[str, bytes | None], message: str = "change") -> str:
        """Commit ``files`` over the branch's tip (None takes one away), move the branch; the commit."""
        reference = f"refs/heads/{branch}"
        parent = self.references.get((repository, reference), "")
        tree = dict(self.files.get(parent, {}))
        for path, content in files.items():
            if content is None:
                tree.pop(path, None)
            else:
                known = tree[path].mode if path in tree else "100644"
                tree[path] = TreeEntry(known, self._blob(content))
        told = f"{sorted(tree.items())} {parent} {message} {self._bus.clock.now()}"
        sha = hashlib.sha1(told.encode()).hexdigest()
        self.files[sha], self.parents[sha] = tree, parent
        self.move(repository, reference, sha)
        return sha

    def move(self, repository: str, reference: str, commit: str) -> None:
        """Point a reference at a commit (``NOTHING`` deletes it)."""
        old = self.references.pop((repository, reference), NOTHING)
        if commit != NOTHING:
            self.references[repository, reference] = commit
        self.moved(repository, reference, old, commit)

    def moved(self, repository: str, reference: str, old: str, new: str, by: str = CALLER) -> None:
        """Emit the event of a moved branch or tag."""
        if old == new:
            return
        _, kind, name = reference.split("/", 2)
        verb = "Created" if old == NOTHING else "Deleted" if new == NOTHING else "Updated"
        detail = {
            "callerUserArn": by,
            "event": f"reference{verb}",
            "repositoryName": repository,
            "repositoryId": hashlib.md5(repository.encode()).hexdigest(),
            "referenceType": "branch" if kind == "heads" else "tag",
            "referenceName": name,
            "referenceFullName": reference,
            **({"commitId": new} if new != NOTHING else {}),
            **({"oldCommitId": old} if old != NOTHING else {}),
        }
        self._bus.emit("aws.codecommit", "CodeCommit Repository State Change", [arn("codecommit", repository)], detail)

    def _blob(self, content: bytes) -> str:
        sha = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        self.blobs[sha] = content
        return sha

    # --- AWS's operations

    def get_branch(self, p: Params) -> dict[str, Any]:
        """GetBranch."""
        commit = self.references.get((p["repositoryName"], f"refs/heads/{p['branchName']}"))
        if commit is None:
            raise AwsError("BranchDoesNotExistException", f"Branch {p['branchName']} does not exist")
        return {"branch": {"branchName": p["branchName"], "commitId": commit}}

    def get_commit(self, p: Params) -> dict[str, Any]:
        """GetCommit: what is asked of it here is the parents, the message and the author."""
        commit = self._commit(p["commitId"], "CommitIdDoesNotExistException")
        parents = [self.parents[commit]] if self.parents[commit] else []
        return {"commit": {"commitId": commit, "parents": parents, "message": "change\n", "author": {"name": "Ana"}}}

    def get_differences(self, p: Params) -> dict[str, Any]:
        """GetDifferences, by path."""
        after = self.files[self._commit(p["afterCommitSpecifier"])]
        before = self.files[self._commit(p["beforeCommitSpecifier"])] if p.get("beforeCommitSpecifier") else {}
        paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        return {"differences": [_difference(path, before.get(path), after.get(path)) for path in paths]}

    def get_blob(self, p: Params) -> dict[str, Any]:
        """GetBlob."""
        if p["blobId"] not in self.blobs:
            raise AwsError("BlobIdDoesNotExistException", f"Blob {p['blobId']} does not exist")
        content = self.blobs[p["blobId"]]
        if len(content) > LARGEST:
            raise AwsError("FileTooLargeException", f"The blob {p['blobId']} is larger than {LARGEST} bytes")
        return {"content": content}

    def get_folder(self, p: Params) -> dict[str, Any]:
        """GetFolder: files and folders; nothing here makes links or submodules."""
        commit, path = self._commit(p["commitSpecifier"]), p["folderPath"].strip("/")
        prefix = f"{path}/" if path else ""
        below = {name.removeprefix(prefix): e for name, e in self.files[commit].items() if name.startswith(prefix)}
        if path and not below:
            raise AwsError("FolderDoesNotExistException", f"The folder {path} is not in {commit}")
        folders = sorted({name.split("/")[0] for name in below if "/" in name})
        files = [
            {"blobId": e.blob, "relativePath": name, "absolutePath": prefix + name, "fileMode": _mode(e)}
            for name, e in sorted(below.items())
            if "/" not in name
        ]
        told = [{"relativePath": name, "absolutePath": prefix + name} for name in folders]
        return {"commitId": commit, "folderPath": path, "files": files, "subFolders": told}

    def post_comment_for_compared_commit(self, p: Params) -> dict[str, Any]:
        """PostCommentForComparedCommit; the same token gives the same comment, and takes no other one."""
        commit, before, token = self._commit(p["afterCommitId"]), p.get("beforeCommitId"), p.get("clientRequestToken")
        if before:
            self._commit(before)
        elif self.parents[commit]:
            raise AwsError("CommitIdRequiredException", "A commit ID is required, but no commit ID was specified.")
        comment = {"content": p["content"], "clientRequestToken": token}
        made = {"repositoryName": p["repositoryName"], "beforeCommitId": before, "afterCommitId": commit}
        posted = made | {"comment": comment}
        for other in self.comments:
            if token and other["comment"]["clientRequestToken"] == token:
                if other != posted:
                    raise AwsError("IdempotencyParameterMismatchException", "The token was used with other parameters.")
                return other
        self.comments.append(posted)
        return posted

    def _commit(self, commit: str, code: str = "CommitDoesNotExistException") -> str:
        if commit not in self.files:
            raise AwsError(code, f"The commit {commit} does not exist")
        return commit


def _difference(path: str, before: TreeEntry | None, after: TreeEntry | None) -> dict[str, Any]:
    told: dict[str, Any] = {"changeType": "A" if before is None else "D" if after is None else "M"}
    for name, entry in (("beforeBlob", before), ("afterBlob", after)):
        if entry is not None:
            told[name] = {"blobId": entry.blob, "path": path, "mode": entry.mode}
    return told


def _mode(entry: TreeEntry) -> str:
    return "EXECUTABLE" if entry.mode == "100755" else "NORMAL"
