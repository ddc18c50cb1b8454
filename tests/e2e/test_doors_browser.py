"""A running local stack, attacked from a real browser: pages of another site, and one whose name was turned to this
machine (DNS rebinding). The browser part is skipped where there is no Chromium or no Playwright."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from console.local.up.laptop import Laptop

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
START_BUILD = {"projectName": "heart-build", "buildspecOverride": "version: 0.2\nphases: {build: {commands: [id]}}"}
TARGET = "CodeBuild_20161006.StartBuild"
LISTENS = "0A"  # TCP_LISTEN, as the kernel writes it
# Every way that a page has to send a request; what each could read of the answer, or the error's name.
ATTACK = """async ([url, build, target]) => {
  const said = {};
  const body = JSON.stringify(build);
  const signed = "AWS4-HMAC-SHA256 Credential=local/20261130/us-east-1/codebuild/aws4_request, " +
    "SignedHeaders=host, Signature=" + "0".repeat(64);
  const ways = {
    plain: { method: "POST", mode: "no-cors", headers: { "Content-Type": "text/plain" }, body },
    query: { method: "POST", mode: "no-cors", body: new URLSearchParams({ Action: "StartBuild" }) },
    get: { mode: "no-cors" },
    cors: { method: "POST", headers: { "X-Amz-Target": target, "Authorization": signed }, body },
    readable: {},
    key: { method: "POST", headers: { "X-Amz-Target": target }, credentials: "include", body },
  };
  for (const [way, request] of Object.entries(ways)) {
    try {
      const answer = await fetch(url, request);
      said[way] = answer.type === "opaque" ? "opaque" : `${answer.status}`;
    } catch (error) { said[way] = error.name; }
  }
  navigator.sendBeacon(url, new Blob([body], { type: "text/plain" }));
  const invoke = url + "/2015-03-31/functions/esteira-operate/invocations";
  await fetch(invoke, { method: "POST", mode: "no-cors", body: '{"action": "hold"}' }).catch(() => 0);
  await fetch(url + "/moto-api/reset", { method: "POST", mode: "no-cors" }).catch(() => 0);
  await fetch(url + "/_esteira/post-receive/heart", { method: "POST", mode: "no-cors", body: "0 1 refs/heads/main" })
    .catch(() => 0);
  return said;
}"""


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    with Laptop(tmp_path_factory.mktemp("laptop") / "state", sweep_every=3600) as running:
        yield running


@pytest.fixture(scope="module")
def evil() -> Iterator[int]:
    """The port of another site's server."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>evil</title><form id=form method=post></form>")

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """A browser for which every name ending in .example leads to this machine."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install playwright"
    )
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP *.example 127.0.0.1"]
        browser = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser.new_page()
        browser.close()


def state_of(laptop: Laptop) -> dict[str, Any]:
    """What the attacks are after."""
    ask = laptop.client
    return {
        "builds": ask("codebuild").list_builds_for_project(projectName="heart-build")["ids"],
        "parameters": [p["Name"] for p in ask("ssm").describe_parameters()["Parameters"]],
        "rows": ask("dynamodb").scan(TableName=laptop.table, Select="COUNT")["Count"],
    }


@pytest.mark.parametrize("name", ["http://site.example", "http://127.0.0.1", "http://localhost"])
@pytest.mark.slow
def test_a_page_of_another_site_changes_nothing_and_reads_nothing(
    name: str, laptop: Laptop, evil: int, page: Any
) -> None:
    """By every way of sending a request that a page has, from another site and from another port of this machine."""
    before = state_of(laptop)
    page.goto(f"{name}:{evil}/")
    said = page.evaluate(ATTACK, [laptop.whereabouts.endpoint, START_BUILD, TARGET])
    assert {said[way] for way in ("cors", "readable", "key")} == {"TypeError"}, said
    page.evaluate("url => { form.action = url; form.submit(); }", f"{laptop.whereabouts.endpoint}/?Action=StartBuild")
    page.wait_for_url(f"{laptop.whereabouts.endpoint}/*")
    assert "web page sent this request" in page.inner_text("body")
    assert state_of(laptop) == before


@pytest.mark.slow
def test_a_name_that_was_turned_to_this_machine_is_refused(laptop: Laptop, page: Any) -> None:
    """The page is of the same origin as the server, so that the browser holds nothing back."""
    before = state_of(laptop)
    address = f"http://rebound.example:{urlsplit(laptop.whereabouts.endpoint).port}"
    assert page.goto(f"{address}/").status == 403
    said = page.evaluate(ATTACK, [address, START_BUILD, TARGET])
    assert set(said.values()) <= {"403", "opaque"}, said
    assert state_of(laptop) == before


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_listens_but_what_is_known(laptop: Laptop, evil: int) -> None:
    """A server that is added is missed here: it belongs into the table of attacks, or is public on purpose."""
    where = laptop.whereabouts
    pages = [address for hosts in where.stages.values() for stage in hosts.values() for address in stage]
    known = {urlsplit(address).port for address in (where.endpoint, *pages)}
    assert listening(own_processes()) == {f"0100007F:{port:04X}" for port in (*known, evil)}


def test_the_keys_lie_in_a_file_of_their_owner(laptop: Laptop) -> None:
    """Neither the note that other commands read nor what is printed has the secret key."""
    file = Path(laptop.whereabouts.credentials)
    secret = file.read_text().split("aws_secret_access_key = ")[1].strip()
    assert len(secret) == 40
    assert file.stat().st_mode & 0o777 == 0o600
    assert (file.parent.stat().st_mode & 0o777) == 0o700
    note = file.with_name("local.json").read_text()
    assert secret not in note
    assert json.loads(note)["credentials"] == str(file)


def own_processes() -> set[int]:
    """This process and all below it, as far as they were started by the stack."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = {os.getpid()}
    while below := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= below
    return found


def listening(processes: set[int]) -> set[str]:
    """ADDRESS:PORT, as the kernel writes them, of each TCP socket on which one of these processes listens."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    listeners = {row[9]: row[1] for row in rows if row[3] == LISTENS}
    found = set()
    for pid in processes:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = str(link.readlink())
            except OSError:
                continue
            found |= {listeners[inode] for inode in listeners if target == f"socket:[{inode}]"}
    return found
