"""What ``esteira local up`` and ``local add`` print: for each service the complete commands that push to it, and where
its model answers.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

BRANCH = "main"


def service_lines(
    service: str, remote: str, stages: Mapping[str, Sequence[str]], folder: Path | None = None
) -> Iterator[str]:
    """How one service is pushed to and where it answers. ``folder`` is the model's, where that is known."""
    yield f"{service}: in the model's git repository, type"
    yield from (f"    {line}" for line in push_commands(remote, folder))
    for stage, addresses in stages.items():
        name = "it answers at" if len(stages) == 1 else f"{stage} answers at"
        yield f"  {name} {', '.join(addresses)} once a release is live"


def push_commands(remote: str, folder: Path | None) -> Iterator[str]:
    """The commands that push the repository in ``folder``: what is done there already is left out."""
    known = _git(folder, "remote", "get-url", "esteira") if folder else None
    if folder is not None and _git(folder, "rev-parse", "--git-dir") is None:
        yield f"git init --initial-branch={BRANCH} && git add --all && git commit --message 'first release'"
    if known != remote:
        yield f"git remote {'add' if known is None else 'set-url'} esteira {shlex.quote(remote)}"
    yield f"git push esteira HEAD:{BRANCH}"


def _git(folder: Path, *words: str) -> str | None:
    """What git prints in a folder, None where it fails."""
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
