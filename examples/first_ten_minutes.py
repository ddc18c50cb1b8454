"""Runs the first ten minutes that first_ten_minutes.txt tells of, and writes them down in English and in Portuguese.

Everything is done in a home of its own, with the command installed as a person installs it. What differs at each run is
replaced: times, ports, random names, the paths of this machine. It ends with 1 where a command's exit status is another
than the one that is told.

    python examples/first_ten_minutes.py [FOLDER]    writes below docs/, or below FOLDER
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STORY = Path(__file__).with_suffix(".txt")
DOCUMENTS = {"en": "first-ten-minutes.md", "pt": "pt/primeiros-dez-minutos.md"}
SECONDS = 120.0  # after which the local stack should be up
SAME_TIME = {"GIT_AUTHOR_DATE": "2026-12-01T10:00:00Z", "GIT_COMMITTER_DATE": "2026-12-01T10:00:00Z"}
GIT_CONFIG = "[user]\n\tname = Rui\n\temail = rui@example.org\n"
# What differs at each run, and what stands for it. The paths come last: their parts are random, too.
REPLACED = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"), "2026-12-01 10:00:00"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(?!:)"), "2026-12-01 10:00"),
    (re.compile(r"\d\d/[A-Z][a-z]{2}/\d{4} \d\d:\d\d:\d\d"), "01/Dec/2026 10:00:00"),
    (re.compile(r"less than a minute|\d+ minutes?"), "less than a minute"),
    (
        re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        "00000000-1111-2222-3333-444444444444",
    ),
    (re.compile(r"\bd-[0-9A-Z]{9}\b"), "d-ABCDEF123"),
    (re.compile(r"(?<=releases/v)(\d+)-\w+"), r"\1-abcd1234"),
    (re.compile(r"(?<=-)[0-9a-f]{32}\b|(?<=packages/)[0-9a-f]{32}"), "0123456789abcdef" * 2),
    (re.compile(r"sha256:[0-9a-f]{64}"), "sha256:" + "0123456789abcdef" * 4),
    (re.compile(r"sha256:[0-9a-f]{12,24}\b(?!\w)"), "sha256:0123456789ab"),
    (re.compile(r"\d+\.\d+\.\d+\.\d+:(\d{4,5})"), r"127.0.0.1:\1"),
)


class StoryError(Exception):
    """A command came to another end than the one that is told; the message has what it printed."""


@dataclass(frozen=True)
class Block:
    """A part of the story: its kind (a language, run, edit or start) and its text."""

    kind: str
    text: str

    def commands(self) -> Iterator[tuple[str, int]]:
        """Each command with the exit status it is to end with, which stands before it where it is not 0."""
        for line in self.text.splitlines() if self.kind in ("run", "start") else ():
            status, _, command = line.partition("> ") if re.match(r"\d> ", line) else ("0", "", line)
            yield command, int(status)


def blocks(story: str) -> Iterator[Block]:
    """The parts of a story, in their order."""
    for part in re.split(r"^== ", story, flags=re.MULTILINE)[1:]:
        kind, _, text = part.partition("\n")
        yield Block(kind, text.strip("\n"))


@dataclass
class Newcomer:
    """Somebody at a laptop: a home folder, the folder they are in, and the stack that runs in their other terminal."""

    home: Path
    folder: Path = field(init=False)
    stack: subprocess.Popen[bytes] | None = None
    _ports: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = self.home
        (self.home / ".gitconfig").write_text(GIT_CONFIG)
        (self.home / "esteira").symlink_to(ROOT)
        (self.home / ".local/bin").mkdir(parents=True)
        (self.home / ".local/bin/uv").symlink_to(Path(sys.executable).with_name("uv"))
        shutil.copytree(
            ROOT / "examples" / "prices", self.home / "prices", ignore=shutil.ignore_patterns("__pycache__")
        )

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the caller's AWS, but their caches of packages, so that nothing is fetched twice."""
        kept = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "UV_", "SSL_", "LANG", "LC_"))}
        caches = {"UV_CACHE_DIR": str(Path.home() / ".cache/uv"), "PIP_CACHE_DIR": str(Path.home() / ".cache/pip")}
        path = f"{self.home}/.local/bin:/usr/local/bin:/usr/bin:/bin"
        mine = {"HOME": str(self.home), "PATH": path, "USER": "rui", "LOGNAME": "rui"}
        return {**caches, **kept, **mine, **SAME_TIME, "UV_PYTHON": sys.executable, "AWS_EC2_METADATA_DISABLED": "true"}

    def run(self, line: str, status: int) -> str:
        """What a command prints. Raises StoryError where its exit status is another."""
        if line.startswith("cd "):
            self.folder = self.home / line.removeprefix("cd ~/")
            return ""
        done = subprocess.run(
            ["/bin/bash", "-c", self._filled(line)], cwd=self.folder, env=self.environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        text = done.stdout.decode()
        if done.returncode != status:
            raise StoryError(f"{line}: exit status {done.returncode} and not {status}\n{text}")
        return text

    def start(self, line: str) -> str:
        """What a command prints that stays, once it is up."""
        log = self.home / "up.log"
        with log.open("wb") as out:
            words = ["/bin/bash", "-c", f"exec {line}"]
            self.stack = subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=out, stderr=out)
        end = time.monotonic() + SECONDS
        while not (text := log.read_text()).endswith("esteira status\n"):
            if self.stack.poll() is not None or time.monotonic() > end:
                raise StoryError(f"{line}: it is not up\n{text}")
            time.sleep(0.2)
        return text

    def edit(self, patch: str) -> None:
        """Change a file as the patch says."""
        command = ["git", "apply", "--unidiff-zero", "-"]
        subprocess.run(command, cwd=self.folder, env=self.environment, input=f"{patch}\n".encode(), check=True)

    def stop(self) -> None:
        """Ctrl-C in the other terminal."""
        if self.stack is not None:
            self.stack.send_signal(signal.SIGINT)
            self.stack.wait()

    def _filled(self, line: str) -> str:
        file = self.folder / ".esteira/local.json"
        if not file.exists():
            return line
        told = json.loads(file.read_text())
        return line.replace("{remote}", told["remotes"]["prices"]).replace("{page}", told["pages"]["prices"])

    def shown(self, text: str) -> str:
        """A text without what differs at each run."""
        text = self._filled(text).replace(str(self.home), "/home/rui")
        for pattern, instead in REPLACED:
            text = pattern.sub(instead, text)
        text = re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda found: self._port(found[0]), text)
        return re.sub(r"^(.+\n)\1+", r"\1", text, flags=re.MULTILINE)  # a host asks for health as often as it has time

    def _port(self, port: str) -> str:
        return self._ports.setdefault(port, str(40001 + len(self._ports)))


def told(story: str, newcomer: Newcomer) -> dict[str, str]:
    """The story in each language, with what every command prints."""
    parts: dict[str, list[str]] = {language: [] for language in DOCUMENTS}
    for block in blocks(story):
        if block.kind in parts:
            parts[block.kind].append(block.text)
            continue
        shown = _done(block, newcomer)
        for document in parts.values():
            document.append(shown)
    return {language: "\n\n".join(document) + "\n" for language, document in parts.items()}


def _done(block: Block, newcomer: Newcomer) -> str:
    """A block carried out, as it is shown."""
    if block.kind == "edit":
        newcomer.edit(block.text)
        return f"```diff\n{block.text}\n```"
    printed = []
    for line, status in block.commands():
        print(f"$ {line}", flush=True)
        said = newcomer.start(line) if block.kind == "start" else newcomer.run(line, status)
        printed.append(newcomer.shown(f"$ {line}\n{said}").rstrip())
    return "```console\n" + "\n".join(printed) + "\n```"


def main(folder: Path) -> int:
    """Write both documents below the folder; the exit status."""
    with tempfile.TemporaryDirectory(prefix="esteira-minutes-") as name:
        newcomer = Newcomer(Path(name).resolve())
        try:
            documents = told(STORY.read_text(encoding="utf-8"), newcomer)
        except StoryError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            newcomer.stop()
    for language, text in documents.items():
        file = folder / DOCUMENTS[language]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"))
