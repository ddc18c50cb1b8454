"""What git allows in a tree and a release does not need: submodules, links, names that are no text."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.integration.conftest import Story

GIT = ("git", "-c", "user.name=ana", "-c", "user.email=ana@example.com")


def test_a_push_with_a_submodule_a_link_and_a_name_that_is_not_utf_8_goes_live(story: Story, tmp_path: Path) -> None:
    """Pushed with git itself. Each is a note on the release; intake and sweep go on, and so do later pushes."""
    clone = tmp_path / "clone"
    clone.mkdir()

    def git(*words: str) -> str:
        done = subprocess.run([*GIT, *words], cwd=clone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    git("init", "--quiet", "--initial-branch", "main")
    (clone / "app.py").write_text("one")
    (clone / "latest").symlink_to("app.py")
    (Path(os.fsdecode(os.fsencode(clone) + b"/caf\xe9.csv"))).write_text("a,b")
    git("add", "--all")
    git("update-index", "--add", "--cacheinfo", f"160000,{'5ca1ab1e' * 5},features")
    git("commit", "--quiet", "--message", "strange entries")
    git("push", "--quiet", str(story.local_aws.codecommit.path("heart")), "main")
    story.wait(5)  # no event told: nothing listens here, so the sweep finds the push
    story.play()
    assert story.phases == ["live"]
    note = story.store.pushed("heart", 1).note
    assert "the name of caf\ufffd.csv is not UTF-8" in note
    assert "features (a submodule: its files are in another repository)" in note
    assert not story.bus.letters
    story.change({"app.py": "two"})
    story.play()
    assert story.phases == ["superseded", "live"]
