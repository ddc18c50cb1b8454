"""The heart service in R (examples/heart-r) from ``git push`` to live: the whole local mode on the Docker engine, with
the repository's own appspec.yml and scripts, and a real browser on its page.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from console.local.docker.docker_engine import DockerEngine, why_not
from console.local.up.laptop import Laptop
from tests.docker.test_docker_engine import GIT, get, hasten, inspected, run, views
from tests.docker.test_heart_r import Copy, based, browser_missing, chromium, missing, said_at, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

reason = missing() or why_not(Path("/")) or browser_missing()
pytestmark = [pytest.mark.docker, pytest.mark.skipif(bool(reason), reason=reason or "all is there")]

BUILD_SECONDS = 300  # R's packages are installed once; the second build has their layer


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    """A copy of the example, to be a clone; what its builds leave behind is taken out of the engine in the end."""
    copy = Copy(tmp_path / "clone")
    with based():
        yield copy
        copy.forget()


@pytest.fixture
def laptop(copy: Copy, tmp_path: Path) -> Iterator[Laptop]:
    """A laptop on the Docker engine; its containers and images are taken out of the engine in the end, before what the
    copy's builds left behind."""
    state = tmp_path / "state"
    try:
        with Laptop(state, sweep_every=2, engine="docker") as laptop:
            hasten(laptop)
            yield laptop
    finally:
        clear(state)


def clear(state: Path) -> None:
    """Take a state folder's containers and images out of the engine."""
    mark = DockerEngine(state, {})._mark
    rows = run("docker", "ps", "-a", "--filter", "label=esteira.host", "--format", '{{.ID}} {{.Label "esteira.host"}}')
    if mine := [row.split()[0] for row in rows.splitlines() if row.endswith(mark)]:
        run("docker", "rm", "--force", *mine)
    with suppress(FileNotFoundError):  # it never came to a registry
        port = (state / "registry-docker" / "port").read_text()
        if images := run("docker", "image", "ls", "--quiet", "--filter", f"reference=127.0.0.1:{port}/*").split():
            run("docker", "image", "rm", "--force", *dict.fromkeys(images))


class Clone:
    """A clone of the service's repository."""

    def __init__(self, folder: Path, remote: str) -> None:
        self._folder, self._remote = folder, remote
        self._git("init", "--quiet")

    def push(self, message: str) -> None:
        """Commit all there is, and push it."""
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)
        self._git("push", "--quiet", self._remote, "main")

    def _git(self, *words: str) -> None:
        subprocess.run([*GIT, *words], cwd=self._folder, check=True, capture_output=True)


@pytest.fixture
def sockets() -> list[str]:
    """The addresses to which the page has opened WebSockets, each as often as it did."""
    return []


@pytest.fixture
def page(sockets: list[str]) -> Iterator[Page]:
    """A page of a real browser, on which no script may fail."""
    from playwright.sync_api import sync_playwright

    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 820})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("websocket", lambda socket: sockets.append(socket.url))
        yield page
        browser.close()
    assert errors == []


def finished(laptop: Laptop, number: int) -> tuple[str, str]:
    """Wait until a release has come to its end; its phase, and why with the lines below."""
    ends = ("live", "failed", "rejected")

    def view() -> tuple[str, str] | None:
        found = (v for v in views(laptop) if v.number == number and v.phase in ends)
        return next(((v.phase, "\n".join((v.why, *v.detail))) for v in found), None)

    until(f"the end of v{number}", view, BUILD_SECONDS)
    found = view()
    assert found
    return found


def test_a_push_of_the_r_service_goes_live_by_its_own_scripts_and_is_replaced_under_an_open_page(
    laptop: Laptop, copy: Copy, page: Page, sockets: list[str], tmp_path: Path
) -> None:
    """v1 and v2 go live by git push; the page keeps what was typed; traps in the appspec are refused, v2 untouched."""
    shots = Path(os.environ.get("SCREENSHOTS") or tmp_path)
    shots.mkdir(parents=True, exist_ok=True)
    address = laptop.whereabouts.pages["heart"]
    clone = Clone(copy.folder, laptop.whereabouts.remotes["heart"])

    clone.push("The heart service in R")
    assert finished(laptop, 1)[0] == "live", views(laptop)[-1].why
    page.goto(address)
    field = page.get_by_label("Age, in years")
    field.fill("54")
    first = said_at(page, "v1", 54)
    page.evaluate("window.neverLoadedAgain = true")
    assert len(sockets) == 1

    copy.change("R/model.R", "LEAST <- 20 ", "LEAST <- 90 ")
    clone.push("Leaves of ninety patients at least")
    assert finished(laptop, 2)[0] == "live", views(laptop)[-1].why
    assert said_at(page, "v2", 54) != first
    assert field.input_value() == "54"
    assert page.evaluate("window.neverLoadedAgain") is True
    assert len(sockets) > 1
    assert {socket.rpartition("/websocket")[0] for socket in sockets} == {address.rstrip("/").replace("http", "ws", 1)}
    page.screenshot(path=shots / "heart-r-pushed.png")
    live = get(address, "/ping")
    assert live[0] == 200
    assert "-v2-" in live[2]
    before = inspected(live[2])["State"]

    copy.change("scripts/BeforeInstall.sh", "\n", "\r\n")
    copy.change("appspec.yml", "timeout: 1500", "timeout: 25m")
    clone.push("Edited on Windows")
    phase, why = finished(laptop, 3)
    assert phase == "failed"
    assert "scripts/BeforeInstall.sh" in why
    assert "has timeout 25m, which the agent cuts down to 25 seconds; write whole seconds" in why
    assert get(address, "/ping") == live
    assert inspected(live[2])["State"] == before
    assert len(laptop.client("codedeploy").list_deployments()["deployments"]) == 2
