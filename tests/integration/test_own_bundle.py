"""A commit's own appspec.yml: read from the repository, judged, and deployed in place of the default bundle, or not."""

from __future__ import annotations

import io
import random
import zipfile
from typing import Any

import pytest

from console.local.aws.faults import Call, When
from esteira import bundle
from esteira.bundle import default
from esteira.core.facts import GivenUp
from tests.integration.conftest import Story, dying, refusing

APPSPEC = """\
version: 0.0
os: linux
files:
  - source: conf/app.conf
    destination: /etc/app
hooks:
  AfterInstall:
    - location: scripts/after_install.sh
      timeout: 60
"""
LIBRARY = "image() { jq -r .image release.json; }\n"
SCRIPT = '#!/bin/bash\nset -euo pipefail\ncd "$(dirname "$0")/.."\n. scripts/lib.sh\nimage\n'
OWN: dict[str, str | None] = {
    "appspec.yml": APPSPEC,
    "scripts/after_install.sh": SCRIPT,
    "scripts/lib.sh": LIBRARY,
    "conf/app.conf": "a = 1\n",
    "conf/other.conf": "b = 2\n",
    "README.md": "read me\n",
}


def bundles(story: Story) -> list[dict[str, tuple[int, bytes]]]:
    """Every bundle that reached the host, oldest first: the mode and content of each file but release.json."""
    found = []
    for job in story.engine.deployed:
        with zipfile.ZipFile(io.BytesIO(job.bundle)) as archive:
            entries = [e for e in archive.infolist() if e.filename != "release.json"]
            found.append({e.filename: (e.external_attr >> 16, archive.read(e)) for e in entries})
    return found


def commit(story: Story, files: dict[str, str | None], **modes: str) -> str:
    """Commit files, one of them with a mode of git's: its path's slashes and dots spelled ``__`` and ``_dot_``."""
    named = {path.replace("__", "/").replace("_dot_", "."): mode for path, mode in modes.items()}
    contents = {path: None if text is None else text.encode() for path, text in files.items()}
    service = story.service
    return story.local_aws.codecommit.commit(service.repository, service.branch, contents, "change", named)


def test_a_commits_own_bundle_is_what_the_host_gets(story: Story) -> None:
    """appspec.yml, its script with the folder it stands in, its sources and release.json: those files and no other."""
    commit(story, OWN, scripts__after_install_dot_sh="100755")
    story.play()
    assert story.phases == ["live"]
    assert bundles(story) == [
        {
            "appspec.yml": (0o644, APPSPEC.encode()),
            "conf/app.conf": (0o644, b"a = 1\n"),
            "scripts/after_install.sh": (0o755, SCRIPT.encode()),
            "scripts/lib.sh": (0o644, LIBRARY.encode()),
        }
    ]
    [document] = story.release_documents()
    assert document["image"].endswith(f"@{document['digest']}")


def test_a_script_at_the_root_travels_with_what_stands_beside_it(story: Story) -> None:
    """But with no folder."""
    root = {"appspec.yml": "version: 0.0\nos: linux\nhooks: {AfterInstall: [{location: AfterInstall.sh}]}\n"}
    story.change(root | {"AfterInstall.sh": "true\n", "lib.sh": "true\n", "data/heart.csv": "1\n"})
    story.play()
    assert sorted(bundles(story)[0]) == ["AfterInstall.sh", "appspec.yml", "lib.sh"]


def test_a_source_of_the_root_brings_the_whole_commit(story: Story) -> None:
    """``source: /`` is what AWS's own examples write."""
    text = APPSPEC.replace("conf/app.conf", "/")
    commit(story, OWN | {"appspec.yml": text})
    story.play()
    assert sorted(bundles(story)[0]) == sorted(OWN)


def test_without_an_appspec_the_default_bundle_is_deployed(story: Story) -> None:
    """Also for an image pushed from elsewhere, even where the branch's tip has an appspec.yml of its own."""
    story.live("1")
    commit(story, OWN)
    story.play()
    story.push_image("elsewhere", "v9")
    story.play()
    first, second, third = bundles(story)
    assert first == third == {p: (0o755 if f.executable else 0o644, f.content) for p, f in default().files.items()}
    assert "scripts/lib.sh" in second


def test_a_bad_appspec_fails_the_release_and_nothing_is_deployed(story: Story) -> None:
    """The first sentence and what to do next stand in the phase, the others below; the live one stays."""
    story.live("1")
    sha = commit(story, OWN | {"appspec.yml": APPSPEC.replace("0.0", '"0.0"').replace("60", "5m")})
    story.play()
    assert story.phases == ["live", "failed"]
    first, (second,) = story.why(2), story.stands(2).detail
    assert first.startswith(f"the bundle of {sha[:8]} is refused and nothing was deployed: appspec.yml line 1 has")
    assert first.endswith("; next: correct it and push")
    assert second.startswith("appspec.yml line 9 has timeout 5m")
    assert story.deployed() == ["v1 Succeeded"]
    assert story.stage_state.live == 1


def test_a_repository_s_own_hooks_can_be_switched_off(story: Story) -> None:
    """They run as root on the host, so an operator may forbid them; a commit without any is deployed as ever."""
    story.live("1")
    story.register(own_hooks=False)
    commit(story, OWN)
    story.play()
    assert story.phases == ["live", "failed"]
    assert "its appspec.yml runs as root on the host, and own_hooks of heart is off; remove it" in story.why(2)
    assert story.deployed() == ["v1 Succeeded"]
    commit(story, dict.fromkeys(OWN) | {"app.py": "three"})
    story.play()
    assert story.phases == ["superseded", "failed", "live"]


def test_a_refused_release_does_not_hold_the_stage(story: Story) -> None:
    """The fix that is pushed next goes live; a retry of the refused one is refused again."""
    commit(story, OWN | {"scripts/after_install.sh": None})
    story.play()
    story.operate("retry", release="v1")
    story.play()
    assert story.phases == ["failed"]
    assert "scripts/after_install.sh" in story.why(1)
    commit(story, OWN)
    story.play()
    assert story.phases == ["failed", "live"]
    assert story.deployed() == ["v2 Succeeded"]


def test_a_trap_that_is_accepted_in_the_file_is_deployed(story: Story) -> None:
    """The comment is in the commit, where its reviewers see it."""
    script = SCRIPT + "sleep 9 &\n"
    commit(story, OWN | {"scripts/after_install.sh": script})
    story.play()
    assert "allow background-child" in story.why(1)
    commit(story, {"scripts/after_install.sh": script + "# esteira: allow background-child\n"})
    story.play()
    assert story.phases == ["failed", "live"]


def test_an_appspec_under_another_name_is_refused(story: Story) -> None:
    """The agent would not find it, and the default bundle is not what its author meant."""
    story.change({"appspec.yaml": APPSPEC})
    story.play()
    assert story.phases == ["failed"]
    assert "git mv appspec.yaml appspec.yml" in story.why(1)


def test_a_rollback_is_not_judged_again(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was live goes back as it was, also where today it would be refused."""
    commit(story, OWN)
    story.play()
    story.live("2")
    monkeypatch.setattr("appspec.verdict.problems", lambda *_: ["not today"])
    story.operate("rollback", to="v1")
    story.play()
    assert story.phases == ["live", "rolled back"]
    assert bundles(story)[0] == bundles(story)[2]


def test_a_shiny_repository_with_its_library_and_an_archive_deploys_as_it_stands(story: Story) -> None:
    """``files: /``, a hook at the root, a library of 120 files and an archive of nearly 6 MB, as people have them."""
    archive = random.Random(7).randbytes(3_900_000).decode("latin-1")  # 5.85 MB as UTF-8
    files: dict[str, str | None] = {
        "appspec.yml": "version: 0.0\nos: linux\nfiles: [{source: /, destination: /srv/heart}]\n"
        "hooks: {AfterInstall: [{location: AfterInstall.sh, timeout: 300, runas: root}]}\n",
        "AfterInstall.sh": "#!/bin/bash\ncd /srv/heart\ndocker build -t heart .\n",
        "app/app.R": "shiny::shinyApp(ui, server)\n",
        "R/train.R": "ranger::ranger(y ~ ., data)\n",
        "data/heart.csv": "age,target\n63,1\n",
        "models/model.rds": "\x1f\x8b\x08model",
        "etc/mlrops.tar": archive,
    }
    files |= {f"renv/library/package{i}/DESCRIPTION": f"Package: p{i}\n" for i in range(120)}
    commit(story, files, AfterInstall_dot_sh="100755")
    story.play()
    assert story.phases == ["live"], story.why(1)
    [carried] = bundles(story)
    assert sorted(carried) == sorted(files)
    assert carried["etc/mlrops.tar"][1] == archive.encode()


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({f"scripts/{i}": "x" for i in range(200)}, "appspec.yml brings 203 files; esteira carries at most 150"),
        ({f"scripts/{i}/x": "x" for i in range(200)}, "names more than 150 folders"),
        ({f"scripts/{i}": "x" * 2**20 for i in range(6)}, "brings more than 5 MB, with scripts/"),
        ({"scripts/model.onnx": "x" * 7 * 2**20}, "scripts/model.onnx, which is larger than CodeCommit gives"),
        ({"appspec.yml": APPSPEC + "#" * 70_000}, "esteira reads at most 65,536"),
        ({"release.json": "{}", "appspec.yml": APPSPEC.replace("conf/app.conf", "/")}, "release.json of the commit"),
    ],
)  # fmt: skip
def test_what_is_past_the_limits_is_refused_with_the_limit(
    story: Story, files: dict[str, str | None], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files, folders, bytes, one file too large for CodeCommit, the appspec itself, and the controller's own file. The
    limits are smaller here, because git takes long over thousands of files."""
    monkeypatch.setattr(bundle, "FILES", 150)
    monkeypatch.setattr(bundle, "MEGABYTES", 5)
    commit(story, OWN | files)
    story.play()
    assert story.phases == ["failed"]
    assert said in story.why(1)
    assert story.deployed() == []


@pytest.mark.parametrize(
    ("path", "mode", "said"),
    [
        ("scripts__lib_dot_sh", "120000", "scripts/lib.sh is a symbolic link"),
        ("appspec_dot_yml", "120000", "appspec.yml is a symbolic link"),
        ("conf__app_dot_conf", "120000", "conf/app.conf is a symbolic link"),
        ("esteira_dot_yaml", "120000", "esteira.yaml is a symbolic link, which esteira does not follow; commit the"),
    ],
)
def test_a_link_is_refused(story: Story, path: str, mode: str, said: str) -> None:
    """What it leads to may not be on the host."""
    commit(story, {"esteira.yaml": "port: 80\n", **OWN}, **{path: mode})
    story.play()
    assert said in story.why(1)


def test_a_repository_that_cannot_be_read_is_asked_again(story: Story) -> None:
    """Nothing was made, so it is declined and tried again when its time has come; the release goes live."""
    refused, asked = refusing("codecommit:GetFolder", "ThrottlingException"), [0]

    def once_born(moment: When, call: Call) -> None:
        asked[0] += (moment, call.name) == ("before", "codecommit:GetFolder")
        if asked[0] > 1:  # the first look is for esteira.yaml, when the release is made
            refused(moment, call)

    story.faults.hook = once_born
    commit(story, OWN)
    story.play()
    assert story.phases == ["deploying"]
    assert "could not start the deployment on production" in story.why(1)
    story.faults.hook = None
    story.pass_time(60, sweeps=2)
    assert story.phases == ["live"]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("operation", ["codecommit:GetFolder", "codecommit:GetBlob"])
@pytest.mark.parametrize("good", [True, False])
def test_a_function_that_dies_while_it_reads_changes_nothing(
    story: Story, moment: Any, operation: str, good: bool
) -> None:
    """Whoever comes after its lease reads and judges again, to the same end."""
    story.faults.hook = _dying_in_reading(moment, operation)
    commit(story, OWN if good else OWN | {"conf/app.conf": None})
    story.play()
    story.pass_time(200, sweeps=2)
    assert story.phases == ["live" if good else "failed"]
    assert story.deployed() == (["v1 Succeeded"] if good else [])


def _dying_in_reading(moment: Any, operation: str) -> Any:
    """Die once, but not while the push is inspected, which reads blobs, too."""
    kill, reading = dying(moment, operation), []

    def hook(when: Any, call: Any) -> None:
        if call.name == "codecommit:GetFolder":
            reading.append(call)
        if reading:
            kill(when, call)

    return hook


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_refusal_is_written_once(story: Story, moment: Any) -> None:
    """Dying before or after it is written gives one refusal and one end of the rollout."""
    story.faults.hook = dying(moment, "dynamodb:PutItem", "deployment-given-up#")
    commit(story, OWN | {"conf/app.conf": None})
    story.play()
    story.pass_time(200, sweeps=2)
    assert story.phases == ["failed"]
    assert len([f for f in story.facts(1) if isinstance(f, GivenUp) and f.what == "deployment"]) == 1
    assert story.rollouts() == 2
    assert not story.stage_state.busy


def test_the_local_codecommit_lists_a_folder_as_aws_does(story: Story) -> None:
    """Files, links and submodules apart, paths without a slash in front, and AWS's own errors."""
    sha = commit(
        story, OWN, scripts__after_install_dot_sh="100755", conf__other_dot_conf="120000", README_dot_md="160000"
    )
    client = story.aws_client("codecommit")
    root = client.get_folder(repositoryName=story.service.repository, commitSpecifier=sha, folderPath="")
    below = client.get_folder(repositoryName=story.service.repository, commitSpecifier=sha, folderPath="/conf/")
    assert [f["absolutePath"] for f in root["files"]] == ["appspec.yml"]
    assert {f["relativePath"] for f in root["subFolders"]} == {"conf", "scripts"}
    assert [m["relativePath"] for m in root["subModules"]] == ["README.md"]
    assert below["folderPath"] == "conf"
    assert [(f["absolutePath"], f["fileMode"]) for f in below["files"]] == [("conf/app.conf", "NORMAL")]
    assert [(f["relativePath"], f["fileMode"]) for f in below["symbolicLinks"]] == [("other.conf", "SYMLINK")]
    script = client.get_file(
        repositoryName=story.service.repository, commitSpecifier=sha, filePath="scripts/after_install.sh"
    )
    assert (script["fileMode"], script["fileContent"]) == ("EXECUTABLE", SCRIPT.encode())
    for path, error in (("nowhere", "FolderDoesNotExistException"), ("appspec.yml", "FolderDoesNotExistException")):
        with pytest.raises(client.exceptions.from_code(error)):
            client.get_folder(repositoryName=story.service.repository, commitSpecifier=sha, folderPath=path)
    for path in ("README.md", "conf"):
        with pytest.raises(client.exceptions.FileDoesNotExistException):
            client.get_file(repositoryName=story.service.repository, commitSpecifier=sha, filePath=path)
    with pytest.raises(client.exceptions.CommitDoesNotExistException):
        client.get_folder(repositoryName=story.service.repository, commitSpecifier="0" * 40, folderPath="")


def test_a_large_file_is_not_given_out(story: Story) -> None:
    """CodeCommit gives files of at most 6 MB."""
    sha = commit(story, {"large": "x" * (6 * 2**20 + 1)})
    client = story.aws_client("codecommit")
    with pytest.raises(client.exceptions.FileTooLargeException):
        client.get_file(repositoryName=story.service.repository, commitSpecifier=sha, filePath="large")


def test_the_process_engine_says_that_it_cannot_run_anothers_hooks(story: Story) -> None:
    """Its host does what the default bundle's hooks do, and tells a foreign bundle by its files."""
    from console.local.process.host_release import StepError, release_in

    story.live("1")
    commit(story, OWN)
    story.play()
    default, own = (job.bundle for job in story.engine.deployed)
    assert release_in(default).release == "v1"
    with pytest.raises(StepError, match="esteira local up --engine docker"):
        release_in(own)
