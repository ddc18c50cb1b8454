"""`esteira prove` on an emulator: `sam deploy`, `add-service`, `remove-service` and `sam delete` as it types them, and
the clean-up. What only AWS has (hosts, metrics, sessions) is walked in vain; nothing is ever called proven."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from console.local.aws.resources import create_resources
from console.local.paths import SERVICE_TEMPLATE
from console.local.sam.artifact import HERE
from console.local.sam.deploy import rehearsal
from console.local.sam.deploy_rehearsal import LACKED, STACK, DeployRehearsal, granted
from console.local.sam.ministack import MinistackError, find
from console.local.sam.sam_cli import TOOLS
from console.local.template import read
from console.prove.aws_site import AwsSite
from console.prove.notes import ProofNotes
from console.prove.run import prove
from console.read.where import Where

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ACCOUNT, REGION, SERVICE = "123456789012", "us-east-1", "proof"
# These need no host, no metric and no session, so the emulator and the local AWS tell of them.
SHOWN = {"controller", "service", "push", "second-push", "comment", "pushed-at", "lost-event", "deletion"}


class EmulatedSite(AwsSite):
    """The account's own site, where the emulator and the local AWS beside it are the account. Its clock goes ten
    minutes further with each pause, so that what is never seen there is not waited for."""

    def __init__(self, here: DeployRehearsal, notes: ProofNotes) -> None:
        self._here, self._later = here, timedelta()

        def client(service: str) -> Any:
            return (here.beside_client if service.upper() in LACKED else here.client)(service)

        where = Where(STACK, endpoint=here.emulator.url)
        super().__init__(where, notes, lambda _: None, cache(client), here.variables(), here.built)

    def now(self) -> datetime:
        return super().now() + self._later

    def pause(self, seconds: float) -> None:
        self._later += timedelta(minutes=10)
        self._here.play()
        names = [row["FunctionName"] for row in self._here.client("lambda").list_functions()["Functions"]]
        if f"{STACK}-sweep" in names:
            self._here.invoke(f"{STACK}-sweep", {"detail-type": "Scheduled Event", "source": "aws.events"})
            self._here.play()

    def deploy(self) -> None:
        super().deploy()
        there = self._here.look(self._here.stack(LogRetentionDays="1", TraceShare="1"))
        self._grant = granted(self._here, there)
        self._grant.__enter__()  # nobody takes it back: the roles go with the stack

    def add_service(self, *, adopt: bool = False) -> None:
        super().add_service(adopt=adopt)
        given = {"ControllerStack": STACK, "ServiceName": SERVICE, "Architecture": HERE}
        create_resources(read(SERVICE_TEMPLATE, f"{STACK}-{SERVICE}", given), self._here.beside_client)

    def push(self, word: str, files: Mapping[str, bytes]) -> None:
        """The local AWS has no CreateCommit."""
        self.commits[word] = self._here.beside.codecommit.commit(SERVICE, "main", dict(files), word)
        self._here.play()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmulatedSite]:
    """A site on which nothing stands yet. Skips where the SAM CLI or the emulator is not installed."""
    try:
        find()
    except MinistackError as missing:
        pytest.skip(str(missing))
    if not (TOOLS / "bin" / "sam").exists():
        pytest.skip("the SAM CLI is not installed. Next: make sam")
    with rehearsal(tmp_path, lambda _what, _says: None) as here:
        monkeypatch.setenv("AWS_ENDPOINT_URL", here.emulator.url)  # the probe of tags makes clients of its own
        began = datetime.now().astimezone().isoformat()
        notes = ProofNotes(tmp_path / "prove.json", ACCOUNT, REGION, STACK, SERVICE, HERE, began)
        yield EmulatedSite(here, notes)


def test_the_walk_deploys_and_removes_by_the_commands_it_types(site: EmulatedSite, tmp_path: Path) -> None:
    """Both stacks stood and are gone, releases came to life in between, and the report names nothing that is left."""
    notes = site._notes
    left = prove(site, notes, tmp_path / "prove.md", print)
    told = {name: outcome.evidence for name, outcome in notes.outcomes.items()}
    in_vain = {name: told[name] for name in SHOWN if "; rehearsed: " not in told[name]}
    assert in_vain == {}
    assert not any(outcome.verdict == "proven" for outcome in notes.outcomes.values())
    assert left == []
    stacks = site.client("cloudformation").describe_stacks()["Stacks"]
    assert [row["StackName"] for row in stacks if row["StackName"].startswith(STACK)] == []
    assert not notes.file.exists()
