"""The team of the demo: a clone of the model service, and the commits it pushes."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path

from console.local.paths import MODEL_SERVICE

# Not a key, but the guard has to take it for one: random text between a key's header and footer.
_RANDOM = base64.encodebytes(os.urandom(192)).decode()
PRETENDED_KEY = f"-----BEGIN RSA PRIVATE KEY-----\n{_RANDOM}-----END RSA PRIVATE KEY-----\n"
COPY_MODEL = "COPY models/ models/\n"
LEFT_OUT = ("__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", ".cache", ".hypothesis", "models")


class DemoError(Exception):
    """The demo cannot go on; the sentence says why."""


class Team:
    """A data-science team of one: a clone, commits, pushes."""

    def __init__(self, folder: Path, remote: str) -> None:
        self.folder = folder
        shutil.copytree(MODEL_SERVICE, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("remote", "add", "esteira", remote)

    def git(self, *words: str) -> None:
        """Run git in the clone."""
        names = ("-c", "user.name=Demo", "-c", "user.email=demo@example.com", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *names, *words], cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DemoError(f"git {' '.join(words)} failed: {done.stderr.strip()}")

    def push(self, message: str) -> None:
        """Commit everything and push it."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", "esteira", "main")

    def regularise(self) -> None:
        """Change the training, so that another model comes of it."""
        self._change("training/candidates.py", "REGULARISATION = 1.0", "REGULARISATION = 0.3")

    def forget_model(self) -> None:
        """Leave the model out of the image. Nothing that the training reads changes, so it is not repeated."""
        self._change("Dockerfile", COPY_MODEL, "")

    def add_key(self) -> None:
        """Mend the image, and add a file that looks like a private key."""
        self._change("Dockerfile", "COPY serving/ serving/\n", f"COPY serving/ serving/\n{COPY_MODEL}")
        key = self.folder / "credentials" / "mlops.pem"
        key.parent.mkdir()
        key.write_text(PRETENDED_KEY)

    def _change(self, path: str, old: str, new: str) -> None:
        text = (self.folder / path).read_text()
        if old not in text:
            raise DemoError(f"{path} does not contain {old!r}. Next: correct console/local/up/demo_team.py")
        (self.folder / path).write_text(text.replace(old, new, 1))
