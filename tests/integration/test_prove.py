"""`esteira prove` rehearsed: the walk on the local AWS, its verdicts, and that it ends by removing what it made."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from console.cli.main import main
from console.local.aws.api import AwsError
from console.local.aws.faults import Call, When
from console.local.aws_account import ACCOUNT, REGION
from console.local.paths import ROOT
from console.local.rehearse.rehearsal import Rehearsal
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from console.prove.account import require_account
from console.prove.item import ProofItem, ProofOutcome, proven
from console.prove.items import ITEMS
from console.prove.notes import ProofNotes, kept_notes
from console.prove.rehearsed_site import RehearsedSite
from console.prove.run import clean_up, prove
from console.prove.site import ProofSite
from console.prove.walk import walk
from console.read.where import TroubleError

pytestmark = pytest.mark.integration


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RehearsedSite]:
    with Rehearsal(tmp_path / "aws", ScriptedEngine(manual=True)) as rehearsal:
        yield RehearsedSite(rehearsal, {})


@pytest.fixture
def notes(site: RehearsedSite, tmp_path: Path) -> ProofNotes:
    began = site.now().isoformat()
    made = ProofNotes(tmp_path / "prove.json", ACCOUNT, REGION, site.stack, site.service, "arm64", began)
    made.commits = site.commits
    return made


def said(_: str) -> None: ...


def remains(site: RehearsedSite) -> dict[str, list[str]]:
    """What holds data and bears the names of the proof."""
    tables = site.client("dynamodb").list_tables()["TableNames"]
    code = site.client("codecommit").list_repositories()["repositories"]
    parameters = site.client("ssm").describe_parameters()["Parameters"]
    groups = site.client("logs").describe_log_groups()["logGroups"]
    return {
        "repositories": [row["repositoryName"] for row in code],
        "images": [row["repositoryName"] for row in site.client("ecr").describe_repositories()["repositories"]],
        "buckets": [row["Name"] for row in site.client("s3").list_buckets()["Buckets"]],
        "tables": [name for name in tables if name.startswith("esteira")],
        "logs": [row["logGroupName"] for row in groups],
        "secrets": [row["Name"] for row in parameters if row["Name"].endswith("/PROOF")],
    }


def test_nothing_is_proven_on_the_local_aws(site: RehearsedSite, notes: ProofNotes, tmp_path: Path) -> None:
    """Every item is walked; what was seen is told as a rehearsal, and nothing of it is refuted."""
    left = prove(site, notes, tmp_path / "prove.md", said)
    told = {name: (outcome.verdict, outcome.evidence) for name, outcome in notes.outcomes.items()}
    assert set(told) == {item.name for item in ITEMS}
    assert {verdict for verdict, _ in told.values()} == {"not seen"}
    assert left == []
    core = ("push", "second-push", "comment", "git-tag-moves", "tag-stays", "pushed-at", "lost-event", "secrets")
    assert {name: told[name][1] for name in core if "cannot tell; rehearsed: " not in told[name][1]} == {}


def test_a_proof_removes_what_it_made(site: RehearsedSite, notes: ProofNotes, tmp_path: Path) -> None:
    """Retained things too: tables, repositories, images, the bucket, log groups; then the notes."""
    assert all(remains(site)[kind] for kind in ("repositories", "images", "buckets", "tables"))
    prove(site, notes, tmp_path / "prove.md", said)
    assert remains(site) == {"repositories": [], "images": [], "buckets": [], "tables": [], "logs": [], "secrets": []}
    assert not notes.file.exists()
    assert "Everything that was made is removed." in (tmp_path / "prove.md").read_text()


def test_an_interrupted_proof_cleans_up(site: RehearsedSite, notes: ProofNotes, tmp_path: Path) -> None:
    """Ctrl-C in the middle of an item: what was made is removed, the report says what was seen until then."""

    def interrupt(_: ProofSite) -> None:
        raise KeyboardInterrupt

    items = (*ITEMS[:3], ProofItem("stopped", "-", "Ctrl-C", 1, lambda _: proven("-"), interrupt), *ITEMS[3:])
    with pytest.raises(KeyboardInterrupt):
        prove(site, notes, tmp_path / "prove.md", said, items)
    assert [kind for kind, rows in remains(site).items() if rows] == []
    assert "the walk did not come to it" in (tmp_path / "prove.md").read_text()


def test_a_proof_goes_on_where_it_was(site: RehearsedSite, notes: ProofNotes, tmp_path: Path) -> None:
    """What was provoked is not provoked again, and what is settled stays."""
    pushed: list[str] = []
    item = ProofItem("once", "-", "-", 1, lambda _: proven("seen"), lambda _: pushed.append("x"))
    walk([item], site, notes, said)
    again = kept_notes(notes.file)
    assert again is not None
    again.outcomes.clear()  # interrupted between the provocation and its outcome
    walk([item], site, again, said)
    assert pushed == ["x"]
    assert again.outcomes["once"].verdict == "not seen"


def test_an_answer_that_nobody_expected_is_not_seen(site: RehearsedSite, notes: ProofNotes) -> None:
    """One item's surprise does not end the walk."""

    def surprised(_: ProofSite) -> ProofOutcome:
        raise KeyError("Reservations")

    walk(
        [ProofItem("odd", "-", "-", 1, surprised), ProofItem("next", "-", "-", 1, lambda _: proven("x"))],
        site,
        notes,
        said,
    )
    assert "KeyError" in notes.outcomes["odd"].evidence
    assert "rehearsed: x" in notes.outcomes["next"].evidence


def test_nothing_after_a_stack_that_does_not_stand_is_seen(site: RehearsedSite, notes: ProofNotes) -> None:
    """A refused deployment is refuted with its reason, and ends the walk."""

    def fail(_: ProofSite) -> None:
        raise TroubleError("sam deploy failed")

    pushed: list[str] = []
    after = ProofItem("after", "-", "-", 1, lambda _: proven("x"), lambda _: pushed.append("x"))
    walk([ProofItem("stack", "-", "-", 1, lambda _: proven("x"), fail, needed=True), after], site, notes, said)
    assert (notes.outcomes["stack"].verdict, notes.outcomes["stack"].evidence) == ("refuted", "sam deploy failed")
    assert (pushed, notes.outcomes["after"].evidence) == ([], "the walk ended at stack")


def test_what_cannot_be_removed_is_named(site: RehearsedSite, notes: ProofNotes, tmp_path: Path) -> None:
    """With the command that removes it; the rest is removed, the notes stay, and --clean-up then finishes."""

    def refuse(moment: When, asked: Call) -> None:
        if moment == "before" and asked.name == "codecommit:DeleteRepository":
            raise AwsError("EncryptionKeyDisabledException", "on purpose")

    site.rehearsal.faults.hook = refuse
    left = clean_up(site, notes, tmp_path / "prove.md", said)
    assert [one.remove for one in left] == ["aws codecommit delete-repository --repository-name heart"]
    assert left[0].remove in (tmp_path / "prove.md").read_text()
    assert {kind for kind, rows in remains(site).items() if rows} == {"repositories"}
    assert notes.file.exists()
    site.rehearsal.faults.hook = None
    assert clean_up(site, notes, tmp_path / "prove.md", said) == []
    assert remains(site)["repositories"] == []


def typed(*words: str) -> Result:
    return CliRunner().invoke(main, ["prove", *words])


def test_nothing_is_made_without_a_name_and_a_yes() -> None:
    """No account is guessed, and nothing that costs money is made unasked."""
    assert typed().exit_code == 2
    unpaid = typed("--account", ACCOUNT, "--region", REGION)
    assert (unpaid.exit_code, "--yes-i-pay" in unpaid.stderr) == (2, True)


@pytest.mark.parametrize(("account", "region"), [("210987654321", REGION), (ACCOUNT, "eu-west-1")])
def test_another_account_or_region_is_refused(site: RehearsedSite, account: str, region: str) -> None:
    """STS is asked before anything is made."""
    with pytest.raises(TroubleError, match=r"nothing was made. Next: --"):
        require_account(site.client, account, region)


def test_the_command_rehearses(tmp_path: Path) -> None:
    """The first person with an account can see the whole walk before."""
    came = typed("--rehearse", "--report", str(tmp_path / "told.md"))
    assert came.exit_code == 0, came.stderr
    assert "**proven**" not in (tmp_path / "told.md").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_ends_in_a_clean_up(tmp_path: Path, number: signal.Signals) -> None:
    """A process that is told to stop in the middle of the walk removes what it made and says where it stands."""
    program = [sys.executable, "-m", "console.cli.main", "prove", "--rehearse", "--report", str(tmp_path / "told.md")]
    with subprocess.Popen(program, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith("push:"):
                process.send_signal(number)
                break
        rest = process.stderr.read()
    assert process.returncode == 128 + signal.SIGINT
    assert "removed: tables esteira-*" in rest
    assert "everything is removed" in rest
