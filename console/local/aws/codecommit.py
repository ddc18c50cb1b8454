"""CodeCommit over real bare git repositories: what is pushed is what is answered, and every moved reference is an
event.

Reading and committing touch git's loose objects directly (a process per GetBranch would cost more than the call);
whatever lies in a pack is asked of ``git`` itself. A repository keeps its own record beside its objects, so nothing
here needs a snapshot but the comments.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from threading import RLock
from typing import Any

from console.local.aws.api import CALLER, AwsError, Operation, Params, page, required
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws.git import NOTHING, Git, TreeEntry, init
from console.local.aws_account import ACCOUNT, REGION, arn

NAME = re.compile(r"[\w.-]{1,100}")
LARGEST = 6 * 1024 * 1024  # bytes of a file that CodeCommit gives out whole
_SUBMODULE = "160000"

HOOK = """\
#!/bin/sh
# Tells the local AWS which references this push moved, and who pushed; a push is kept whether or not anybody listens.
exec "{python}" -I -c '
import getpass, os, sys, pathlib, urllib.request
moved = sys.stdin.buffer.read()
try:
    endpoint, key = pathlib.Path("{endpoint}").read_text().split()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
    by = ascii(os.environ.get("ESTEIRA_BY") or getpass.getuser())[1:-1]
    headers = {{"X-Esteira-By": by, "Authorization": "Bearer " + key}}
    opener.open(urllib.request.Request(endpoint + "/_esteira/post-receive/{name}", moved, headers), timeout=10).read()
except (OSError, KeyError, ValueError) as error:
    print(f"The push is kept, but the local AWS did not hear of it ({{error}}). Start it again with: esteira local up")
'
"""


class CodeCommit:
    """The repositories under ``folder``. ``endpoint`` is the file the post-receive hooks read the server's address
    and key from.
    """

    def __init__(self, folder: Path, endpoint: Path, bus: Bus, clock: Clock, lock: RLock) -> None:
        self._folder = folder.resolve()
        self._endpoint = endpoint.resolve()
        self._bus = bus
        self._clock = clock
        self._lock = lock
        self.comments: list[dict[str, Any]] = []
        self.operations: dict[str, Operation] = {
            "CreateRepository": self.create_repository,
            "GetRepository": self.get_repository,
            "DeleteRepository": self.delete_repository,
            "ListRepositories": self.list_repositories,
            "GetBranch": self.get_branch,
            "ListBranches": self.list_branches,
            "GetDifferences": self.get_differences,
            "GetBlob": self.get_blob,
            "GetFile": self.get_file,
            "GetFolder": self.get_folder,
            "GetCommit": self.get_commit,
            "PostCommentForComparedCommit": self.post_comment,
            "GetCommentsForComparedCommit": self.get_comments,
        }

    # what tests and the demo do without a work tree

    def commit(
        self,
        repository: str,
        branch: str,
        files: Mapping[str, bytes | None],
        message: str,
        modes: Mapping[str, str] | None = None,
    ) -> str:
        """Commit ``files`` over the branch's tip (a None takes the file away), move the branch, emit the event; the
        sha. ``modes`` are git's (``100755``), for paths that are neither there already nor plain files.
        """
        with self._lock:
            git = self.git(repository)
            reference = f"refs/heads/{branch}"
            parent = git.reference(reference)
            tree = git.files(parent) if parent else {}
            for path, content in files.items():
                if content is None:
                    tree.pop(path, None)
                else:
                    known = tree[path].mode if path in tree else "100644"
                    tree[path] = TreeEntry((modes or {}).get(path, known), git.store("blob", content))
            who = f"local <local@example.com> {int(self._clock.now().timestamp())} +0000"
            lines = [f"tree {git.write_tree(tree)}", *([f"parent {parent}"] if parent else [])]
            text = "\n".join([*lines, f"author {who}", f"committer {who}", "", message + "\n"])
            sha = git.store("commit", text.encode())
            git.point(reference, sha)
            self.moved(repository, reference, parent or NOTHING, sha)
            return sha

    def move(self, repository: str, reference: str, commit: str) -> None:
        """Point a full reference at ``commit`` (``NOTHING`` deletes it) as a push or force push would, and emit the
        event.
        """
        with self._lock:
            git = self.git(repository)
            old = git.reference(reference) or NOTHING
            git.point(reference, commit)
            self.moved(repository, reference, old, commit)

    def received(self, repository: str, lines: str, by: str = CALLER) -> int:
        """Emit an event for each ``OLD NEW REFERENCE`` line a post-receive hook read, pushed by the user with that ARN;
        how many there were.
        """
        rows = [line.split(" ", 2) for line in lines.splitlines() if line.count(" ") >= 2]
        for old, new, reference in rows:
            self.moved(repository, reference, old, new, by)
        return len(rows)

    def moved(self, repository: str, reference: str, old: str, new: str, by: str = CALLER) -> None:
        """Emit ``CodeCommit Repository State Change`` for one moved branch or tag."""
        if not reference.startswith(("refs/heads/", "refs/tags/")) or old == new:
            return
        _, kind, name = reference.split("/", 2)
        verb = "Created" if old == NOTHING else "Deleted" if new == NOTHING else "Updated"
        detail = {
            "callerUserArn": by,
            "event": f"reference{verb}",
            "repositoryName": repository,
            "repositoryId": self._record(repository)["repositoryId"],
            "referenceType": "branch" if kind == "heads" else "tag",
            "referenceName": name,
            "referenceFullName": reference,
        }
        if new != NOTHING:
            detail["commitId"] = new
        if old != NOTHING:
            detail["oldCommitId"] = old
        self._bus.emit("aws.codecommit", "CodeCommit Repository State Change", [arn("codecommit", repository)], detail)

    def path(self, repository: str) -> Path:
        """Where the bare repository lies: what ``git push`` takes."""
        found = self._folder / f"{repository}.git"
        if not NAME.fullmatch(repository) or not (found / "HEAD").exists():
            raise AwsError("RepositoryDoesNotExistException", f"{repository} does not exist")
        return found

    def git(self, repository: str) -> Git:
        """The repository's objects and references."""
        return Git(self.path(repository))

    def names(self) -> list[str]:
        """Every repository's name, sorted."""
        return sorted(p.name.removesuffix(".git") for p in self._folder.glob("*.git"))

    def refresh_hooks(self) -> None:
        """Write every repository's hook anew: the interpreter may be another one since the last run."""
        for name in self.names():
            self._write_hook(name)

    # AWS's operations

    def create_repository(self, params: Params) -> dict[str, Any]:
        """CreateRepository."""
        name = str(required(params, "repositoryName", code="RepositoryNameRequiredException"))
        if not NAME.fullmatch(name) or name.endswith(".git"):
            raise AwsError("InvalidRepositoryNameException", f"The repository name {name!r} is not valid.")
        target = self._folder / f"{name}.git"
        if target.exists():
            raise AwsError("RepositoryNameExistsException", f"Repository named {name} already exists")
        self._folder.mkdir(parents=True, exist_ok=True)
        init(target)
        now = self._clock.now().isoformat()
        record = {
            "repositoryId": str(uuid.uuid4()),
            "repositoryDescription": params.get("repositoryDescription") or "",
            "creationDate": now,
            "lastModifiedDate": now,
        }
        (target / "esteira.json").write_text(json.dumps(record))
        self._write_hook(name)
        return {"repositoryMetadata": self._metadata(name)}

    def get_repository(self, params: Params) -> dict[str, Any]:
        """GetRepository; ``cloneUrlHttp`` is the path of the bare repository, so that a push to it is a real one."""
        return {"repositoryMetadata": self._metadata(_repository(params))}

    def delete_repository(self, params: Params) -> dict[str, Any]:
        """DeleteRepository; deleting what is not there is no error, as in AWS."""
        name = _repository(params)
        if name not in self.names():
            return {}
        identity = self._record(name)["repositoryId"]
        shutil.rmtree(self.path(name))
        return {"repositoryId": identity}

    def list_repositories(self, params: Params) -> dict[str, Any]:
        """ListRepositories."""
        rows = [{"repositoryName": name, "repositoryId": self._record(name)["repositoryId"]} for name in self.names()]
        return _paged("repositories", rows, params.get("nextToken"), 1000)

    def get_branch(self, params: Params) -> dict[str, Any]:
        """GetBranch."""
        name = str(required(params, "branchName", code="BranchNameRequiredException"))
        commit = self.git(_repository(params)).reference(f"refs/heads/{name}")
        if commit is None:
            raise AwsError("BranchDoesNotExistException", f"Branch {name} does not exist")
        return {"branch": {"branchName": name, "commitId": commit}}

    def list_branches(self, params: Params) -> dict[str, Any]:
        """ListBranches."""
        names = list(self.git(_repository(params)).references("refs/heads/"))
        return _paged("branches", names, params.get("nextToken"), 1000)

    def get_differences(self, params: Params) -> dict[str, Any]:
        """GetDifferences: by path, no renames, as AWS; without ``beforeCommitSpecifier`` every file is added."""
        git = self.git(_repository(params))
        after = self._files(git, required(params, "afterCommitSpecifier", code="CommitRequiredException"))
        before = self._files(git, params["beforeCommitSpecifier"]) if params.get("beforeCommitSpecifier") else {}
        paths = sorted(p for p in before.keys() | after.keys() if before.get(p) != after.get(p))
        paths = [p for p in paths if p.startswith(params.get("afterPath") or "")]
        size = int(params.get("MaxResults") or 400)
        chosen, token = page(paths, params.get("NextToken"), size, code="InvalidContinuationTokenException")
        answer: dict[str, Any] = {"differences": [_difference(p, before.get(p), after.get(p)) for p in chosen]}
        return answer | ({"NextToken": token} if token else {})

    def get_blob(self, params: Params) -> dict[str, Any]:
        """GetBlob."""
        blob = str(required(params, "blobId", code="BlobIdRequiredException"))
        try:
            kind, content = self.git(_repository(params)).object(blob)
        except KeyError:
            kind, content = "", b""
        if kind != "blob":
            raise AwsError("BlobIdDoesNotExistException", f"Blob {blob} does not exist")
        if len(content) > LARGEST:
            raise AwsError("FileTooLargeException", f"The blob {blob} is larger than {LARGEST} bytes")
        return {"content": content}

    def get_file(self, params: Params) -> dict[str, Any]:
        """GetFile, of at most 6 MB; without ``commitSpecifier`` from the default branch."""
        git = self.git(_repository(params))
        commit = self._commit(git, params.get("commitSpecifier") or "HEAD")
        path = str(required(params, "filePath", code="PathRequiredException")).strip("/")
        entry = git.files(commit).get(path)
        if entry is None or entry.mode == _SUBMODULE:
            raise AwsError("FileDoesNotExistException", f"The file {path} is not in {commit}")
        content = git.object(entry.blob)[1]
        if len(content) > LARGEST:
            raise AwsError("FileTooLargeException", f"The file {path} is larger than {LARGEST} bytes")
        return {
            "commitId": commit,
            "blobId": entry.blob,
            "filePath": path,
            "fileMode": _mode(entry.mode),
            "fileSize": len(content),
            "fileContent": content,
        }

    def get_folder(self, params: Params) -> dict[str, Any]:
        """GetFolder: what is right below ``folderPath``: files, folders, symbolic links and submodules apart."""
        git = self.git(_repository(params))
        commit = self._commit(git, params.get("commitSpecifier") or "HEAD")
        if params.get("folderPath") is None:
            raise AwsError("PathRequiredException", "The folderPath is missing.")
        path = str(params["folderPath"]).strip("/")
        tree = git.headers(commit)[0]["tree"][0]
        for part in filter(None, path.split("/")):
            below = {name: sha for mode, name, sha in git.tree(tree) if mode == "40000"}
            if part not in below:
                raise AwsError("FolderDoesNotExistException", f"The folder {path} is not in {commit}")
            tree = below[part]
        prefix = f"{path}/" if path else ""
        answer: dict[str, Any] = {"commitId": commit, "folderPath": path, "treeId": tree}
        answer |= {"subFolders": [], "files": [], "symbolicLinks": [], "subModules": []}
        for mode, name, sha in git.tree(tree):
            where = {"absolutePath": prefix + name, "relativePath": name}
            if mode == "40000":
                answer["subFolders"].append({"treeId": sha, **where})
            elif mode == _SUBMODULE:
                answer["subModules"].append({"commitId": sha, **where})
            else:
                kind = "symbolicLinks" if mode == "120000" else "files"
                answer[kind].append({"blobId": sha, **where, "fileMode": _mode(mode.zfill(6))})
        return answer

    def get_commit(self, params: Params) -> dict[str, Any]:
        """GetCommit, which takes a full sha only."""
        sha = str(required(params, "commitId", code="CommitIdRequiredException"))
        git = self.git(_repository(params))
        if git.kind(sha) != "commit":
            raise AwsError("CommitIdDoesNotExistException", f"The commit {sha} does not exist")
        headers, message = git.headers(sha)
        return {
            "commit": {
                "commitId": sha,
                "treeId": headers["tree"][0],
                "parents": headers.get("parent", []),
                "message": message,
                "author": _signature(headers["author"][0]),
                "committer": _signature(headers["committer"][0]),
                "additionalData": "",
            }
        }

    def post_comment(self, params: Params) -> dict[str, Any]:
        """PostCommentForComparedCommit; the same ``clientRequestToken`` again gives the same comment.

        Only on a commit without a parent may ``beforeCommitId`` be left out.
        """
        repository = _repository(params)
        git = self.git(repository)
        after = self._commit(git, required(params, "afterCommitId", code="CommitIdRequiredException"))
        before = params.get("beforeCommitId")
        if before:
            self._commit(git, before)
        elif git.headers(after)[0].get("parent"):
            raise AwsError("CommitIdRequiredException", "A commit ID is required, but no commit ID was specified.")
        if before == after:
            text = "The before commit ID and the after commit ID are the same."
            raise AwsError("BeforeCommitIdAndAfterCommitIdAreSameException", text)
        content = str(required(params, "content", code="CommentContentRequiredException"))
        if len(content) > 10_240:
            raise AwsError("CommentContentSizeLimitExceededException", "A comment has at most 10,240 characters.")
        token = params.get("clientRequestToken")
        posted = next((c for c in self.comments if token and c["comment"].get("clientRequestToken") == token), None)
        if posted is None:
            posted = _comment(repository, before, after, content, token, self._clock.now())
            self.comments.append(posted)
        elif (posted["beforeCommitId"], posted["afterCommitId"], posted["comment"]["content"]) != (
            before,
            after,
            content,
        ):
            text = "The client request token was used before, with other parameters."
            raise AwsError("IdempotencyParameterMismatchException", text)
        return {name: value for name, value in posted.items() if value is not None}

    def get_comments(self, params: Params) -> dict[str, Any]:
        """GetCommentsForComparedCommit."""
        wanted = (_repository(params), params.get("beforeCommitId"), params["afterCommitId"])
        rows = [c for c in self.comments if (c["repositoryName"], c["beforeCommitId"], c["afterCommitId"]) == wanted]
        data = [
            {n: v for n, v in row.items() if n != "comment" and v is not None} | {"comments": [row["comment"]]}
            for row in rows
        ]
        return _paged(
            "commentsForComparedCommitData", data, params.get("nextToken"), int(params.get("maxResults") or 100)
        )

    def _files(self, git: Git, specifier: str) -> dict[str, TreeEntry]:
        return git.files(self._commit(git, specifier))

    @staticmethod
    def _commit(git: Git, specifier: str) -> str:
        commit = git.resolve(specifier)
        if commit is None:
            raise AwsError("CommitDoesNotExistException", f"The commit {specifier} does not exist")
        return commit

    def _record(self, name: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.path(name) / "esteira.json").read_text())
        return record

    def _metadata(self, name: str) -> dict[str, Any]:
        record = self._record(name)
        times = {key: datetime.fromisoformat(record[key]) for key in ("creationDate", "lastModifiedDate")}
        git = self.git(name)
        head = (git.path / "HEAD").read_text().strip().removeprefix("ref: refs/heads/")
        return {
            **record,
            **times,
            "accountId": ACCOUNT,
            "repositoryName": name,
            **({"defaultBranch": head} if git.reference(f"refs/heads/{head}") else {}),
            "cloneUrlHttp": str(git.path),
            "cloneUrlSsh": f"ssh://git-codecommit.{REGION}.amazonaws.com/v1/repos/{name}",
            "Arn": arn("codecommit", name),
        }

    def _write_hook(self, name: str) -> None:
        hook = self.path(name) / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(HOOK.format(python=sys.executable, endpoint=self._endpoint, name=name))
        hook.chmod(0o755)


def _repository(params: Params) -> str:
    return str(required(params, "repositoryName", code="RepositoryNameRequiredException"))


def _paged(name: str, rows: list[Any], token: str | None, size: int) -> dict[str, Any]:
    chosen, following = page(rows, token, size, code="InvalidContinuationTokenException")
    return {name: chosen} | ({"nextToken": following} if following else {})


def _mode(mode: str) -> str:
    return {"100755": "EXECUTABLE", "120000": "SYMLINK"}.get(mode, "NORMAL")


def _difference(path: str, before: TreeEntry | None, after: TreeEntry | None) -> dict[str, Any]:
    rows: dict[str, Any] = {"changeType": "A" if before is None else "D" if after is None else "M"}
    if before is not None:
        rows["beforeBlob"] = {"blobId": before.blob, "path": path, "mode": before.mode}
    if after is not None:
        rows["afterBlob"] = {"blobId": after.blob, "path": path, "mode": after.mode}
    return rows


def _signature(text: str) -> dict[str, str]:
    name, _, rest = text.partition(" <")
    email, _, date = rest.partition("> ")
    return {"name": name, "email": email, "date": date}


def _comment(
    repository: str, before: str | None, after: str, content: str, token: str | None, now: datetime
) -> dict[str, Any]:
    comment: dict[str, Any] = {
        "commentId": str(uuid.uuid4()),
        "content": content,
        "creationDate": now,
        "lastModifiedDate": now,
        "authorArn": CALLER,
        "deleted": False,
        "callerReactions": [],
        "reactionCounts": {},
    }
    if token:
        comment["clientRequestToken"] = token
    return {"repositoryName": repository, "beforeCommitId": before, "afterCommitId": after, "comment": comment}
