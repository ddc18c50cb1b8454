"""Images and the small docker that makes them: what is in them, that they are the same each time, what is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.local.process.build_context import read_context
from console.local.process.docker_cli import main
from console.local.process.docker_images import DockerError, Images
from console.local.process.dockerfile import Recipe
from console.local.process.dockerfile_words import expanded_words
from console.local.process.oci import (
    LAYER_TYPE,
    MANIFEST_TYPE,
    Entry,
    Healthcheck,
    ImageConfig,
    ImageError,
    Registry,
    digest_of,
    pack,
)
from console.local.process.packages import Packages

pytestmark = pytest.mark.unit


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a context in it, and a docker that keeps its images beside it."""
    monkeypatch.setenv("ESTEIRA_IMAGES", str(tmp_path / "images"))
    monkeypatch.setenv("ESTEIRA_REGISTRY", str(tmp_path / "registry"))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_ECR", raising=False)
    context = tmp_path / "context"
    context.mkdir()
    return context


def lay(directory: Path, files: dict[str, str]) -> Path:
    """Write ``files`` below ``directory``; the directory."""
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


def unpacked(context: Path, name: str = "heart") -> tuple[Path, ImageConfig]:
    """The image ``name`` laid out, and its config."""
    images = Images(context.parent / "images")
    into = context.parent / f"root-{len(list(context.parent.glob('root-*')))}"
    return into, images.registry.unpack(images.need(name), into)


def paths(root: Path) -> set[str]:
    """Every file below ``root``."""
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


def test_a_dockerfile_becomes_an_image_with_its_files_and_config(docker: Path) -> None:
    """COPY, WORKDIR, ENV, ARG, USER, EXPOSE, CMD, ENTRYPOINT, LABEL and HEALTHCHECK arrive in what is unpacked."""
    dockerfile = """
# syntax=docker/dockerfile:1
ARG BASE=python:3.13-slim
FROM ${BASE}
ARG VERSION=none
ENV MODEL=/srv/model.bin \\
    # a comment among the lines
    GREETING="hello world" WHO='$VERSION' PATH=/app/bin:$PATH
WORKDIR /app
RUN pip install \\
    numpy
COPY --chown=app:app web ./web
COPY *.txt main.py ./
COPY model.bin /srv/
COPY ["main.py", "start"]
RUN <<EOF
echo nothing
EOF
RUN chown app:app /srv/model.bin
LABEL release=$VERSION
USER app
EXPOSE 8080 9090/udp
HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f localhost:8080
ENTRYPOINT ["python"]
CMD ["main.py", "--port", "8080"]
"""
    lay(
        docker, {"Dockerfile": dockerfile, "web/a/page.html": "<p>", "notes.txt": "n", "main.py": "m", "model.bin": "b"}
    )
    assert main(["build", "-t", "heart", "--build-arg", "VERSION=7", "--label", "by=me", str(docker)]) == 0
    root, config = unpacked(docker)
    assert paths(root) == {"app/web/a/page.html", "app/notes.txt", "app/main.py", "app/start", "srv/model.bin"}
    assert config == ImageConfig(
        workdir="/app",
        env={
            "MODEL": "/srv/model.bin",
            "GREETING": "hello world",
            "WHO": "$VERSION",
            "PATH": "/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        },
        user="app",
        exposed_ports=("8080/tcp", "9090/udp"),
        entrypoint=("python",),
        cmd=("main.py", "--port", "8080"),
        labels={"release": "7", "by": "me"},
        healthcheck=Healthcheck(("CMD-SHELL", "curl -f localhost:8080"), interval=90, retries=3),
    )


def test_the_same_files_make_the_same_digest(docker: Path) -> None:
    """Neither the time of a file, nor its owner's mask, nor the directory it lies in changes the digest."""
    files = {"Dockerfile": "FROM scratch\nCOPY . /app\nCMD python main.py", "main.py": "m", "b/deep.txt": "d"}
    elsewhere = docker.parent / "elsewhere"
    for context in (lay(docker, files), lay(elsewhere, dict(reversed(files.items())))):
        assert main(["build", "-t", context.name, str(context)]) == 0
    os.utime(elsewhere / "main.py", (1, 1))
    (elsewhere / "main.py").chmod(0o600)
    assert main(["build", "-t", "touched", str(elsewhere)]) == 0
    images = Images(docker.parent / "images")
    assert images.need("context") == images.need("elsewhere") == images.need("touched")
    (elsewhere / "main.py").write_text("other")
    assert main(["build", "-t", "changed", str(elsewhere)]) == 0
    assert images.need("changed") != images.need("touched")


def test_a_manifest_holds_true_digests_all_the_way_down(docker: Path) -> None:
    """The manifest's digest is the sha256 of its bytes, and so are those of the layers, packed and unpacked."""
    lay(docker, {"Dockerfile": "FROM scratch\nCOPY a /a", "a": "x" * 200_000})
    assert main(["build", "-t", "heart", str(docker)]) == 0
    images = Images(docker.parent / "images")
    digest = images.need("heart")
    manifest = images.registry.manifest(digest)
    assert digest == f"sha256:{hashlib.sha256(images.registry.blob(digest)).hexdigest()}"
    assert manifest["mediaType"] == MANIFEST_TYPE
    config = json.loads(images.registry.blob(manifest["config"]["digest"]))
    for layer, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
        packed = images.registry.blob(layer["digest"])
        assert len(packed) == layer["size"]
        assert digest_of(gzip.decompress(packed)) == diff_id


def test_dockerignore_leaves_files_out_and_takes_them_back(docker: Path) -> None:
    """The last matching line wins, ``**`` crosses directories, a directory's line covers what is below it."""
    ignore = "# secrets\n.git\n**/*.pyc\ndata\n!data/keep.csv\n*.md\n"
    files = (".git/HEAD", "a/b/c.pyc", "data/raw.csv", "data/keep.csv", "x.md", "a/y.md", "z")
    lay(docker, dict.fromkeys(files, ""))
    kept = {path for path, entry in read_context(docker, ignore).items() if entry.kind == "file"}
    assert kept == {"data/keep.csv", "a/y.md", "z"}


def test_the_last_stage_takes_what_an_earlier_one_copied(docker: Path) -> None:
    """COPY --from takes files that came by COPY; the other stage's config stays behind."""
    first = "FROM a AS build\nWORKDIR /w\nCOPY src .\nENV A=1\n"
    lay(docker, {"Dockerfile": f"{first}FROM b\nCOPY --from=build /w /app/\nCOPY --from=0 /w/x /x"})
    lay(docker, {"src/x": "1", "src/y": "2"})
    assert main(["build", "-t", "heart", str(docker)]) == 0
    root, config = unpacked(docker)
    assert paths(root) == {"app/x", "app/y", "x"}
    assert config.env == {}


def test_a_stage_built_on_another_keeps_its_files_and_drops_its_cmd_for_a_new_entrypoint(docker: Path) -> None:
    """FROM an earlier stage goes on from it, as Docker does."""
    dockerfile = 'FROM a AS base\nCOPY x /x\nENV A=1\nCMD ["old"]\nFROM base\nCOPY y /y\nENTRYPOINT ["new"]'
    lay(docker, {"Dockerfile": dockerfile, "x": "1", "y": "2"})
    assert main(["build", "-t", "heart", str(docker)]) == 0
    root, config = unpacked(docker)
    assert paths(root) == {"x", "y"}
    assert (config.env, config.entrypoint, config.cmd) == ({"A": "1"}, ("new",), ())


@pytest.mark.parametrize(
    ("dockerfile", "sentence"),
    [
        ("FROM a\n\nFRESH x", "Dockerfile line 3: FRESH x: it is not an instruction"),
        ("", "The Dockerfile has no FROM"),
        ("WORKDIR /a\nFROM a", "Dockerfile line 1: WORKDIR /a: it stands before FROM"),
        ("FROM a\nCOPY missing .", "missing is not in the build context"),
        ("FROM a\nCOPY ../../etc/passwd .", "etc/passwd is not in the build context"),
        ("FROM scratch AS b\nFROM c\nCOPY --from=b /out .", "/out was not copied into that stage, and no RUN makes it"),
        ("FROM a\nCOPY --from=ghcr.io/x/y /z .", "ghcr.io/x/y is an image, and the process engine pulls none"),
        ("FROM a\nADD https://example.org/x .", "the process engine fetches and unpacks nothing"),
        ("FROM a\nCOPY <<END /x\nhi\nEND", "Dockerfile line 2: COPY <<END /x: a here-document as a file"),
        ('FROM a\nLABEL a="b', "a quote is not closed"),
        ("FROM a\nEXPOSE http", "'http' is not a port"),
        ("FROM a\nHEALTHCHECK --interval=soon CMD x", "'soon' is not a time"),
        ("FROM a\nONBUILD COPY . .", "the process engine does not carry out ONBUILD"),
    ],
)
def test_a_dockerfile_that_cannot_be_packed_is_refused_by_its_line(
    docker: Path, capsys: pytest.CaptureFixture[str], dockerfile: str, sentence: str
) -> None:
    """The exit status is 1, the sentence names the line, and no image appears."""
    lay(docker, {"Dockerfile": dockerfile})
    assert main(["build", "-t", "heart", str(docker)]) == 1
    assert sentence in capsys.readouterr().err
    assert Images(docker.parent / "images").tags() == {}


def test_what_a_system_s_package_manager_does_is_said(docker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One plain line for a RUN that is left, and nothing of what it would have done."""
    lay(docker, {"Dockerfile": "FROM a\nRUN apt-get update && apt-get install -y curl"})
    assert main(["build", "-t", "heart", str(docker)]) == 0
    said = "RUN: not done here, as this machine's own programs serve: apt-get update; apt-get install"
    assert said in capsys.readouterr().err


def test_packages_of_a_stage_come_with_what_is_taken_from_it(docker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The image has every file that came by COPY; each path that stands for packages has its line."""
    dockerfile = """
FROM a AS packages
COPY needs.txt /
RUN python -m venv /opt/venv && /opt/venv/bin/pip install -r /needs.txt
FROM b AS middle
COPY --from=packages /opt/venv /opt/venv
FROM c
COPY --from=packages /opt/venv/ /opt/made*.so /needs.txt /opt/
COPY --from=middle /opt/venv /opt/venv
COPY main.py /app/
"""
    lay(docker, {"Dockerfile": dockerfile, "needs.txt": "numpy", "main.py": "m"})
    assert main(["build", "-t", "heart", str(docker)]) == 0
    root, _ = unpacked(docker)
    assert paths(root) == {"opt/needs.txt", "app/main.py"}
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "stands for the packages that were installed there" in line]) == 4


def test_packages_that_are_not_here_are_installed_beside_the_image(docker: Path) -> None:
    """A project in the context is installed for real; the same commit again is the same image, without a second go."""
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    lay(docker, {"Dockerfile": "FROM a\nWORKDIR /app\nCOPY . .\nRUN pip install --no-build-isolation ./lib\n"})
    lay(docker, {"lib/pyproject.toml": project, "lib/backend.py": BACKEND})
    assert main(["build", "-t", "heart", str(docker)]) == 0
    images = Images(docker.parent / "images")
    digest = images.need("heart")
    (found,) = Packages.beside(Registry(docker.parent / "registry")).of(images.registry.config(digest).labels)
    assert (found / "answer.py").read_text() == "ANSWER = 42\n"
    made = found.stat().st_mtime_ns
    assert main(["build", "-t", "again", str(docker)]) == 0
    assert (images.need("again"), found.stat().st_mtime_ns) == (digest, made)
    lay(docker, {"Dockerfile": "FROM a\nRUN pip install ./gone-from-everywhere"})
    assert main(["build", "-t", "heart", str(docker)]) == 1


def test_where_esteira_s_python_has_no_pip_the_reason_is_uv_s(
    docker: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``uv tool install`` makes such a Python. Without uv on the PATH the sentence says what to install."""
    lay(docker, {"Dockerfile": "FROM a\nRUN pip install ./gone-from-everywhere"})
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main(["build", "-t", "heart", str(docker)]) == 1
    assert "gone-from-everywhere" in capsys.readouterr().err.rpartition("cannot be installed: ")[2]
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    assert main(["build", "-t", "heart", str(docker)]) == 1
    assert "neither uv nor pip is on this machine; install uv" in capsys.readouterr().err


# A build backend of a few lines, so that nothing has to come over a network.
BACKEND = """
import zipfile

WHEEL = "Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"

def build_wheel(directory, settings=None, metadata=None):
    name = "answer-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{directory}/{name}", "w") as wheel:
        wheel.writestr("answer.py", "ANSWER = 42\\n")
        wheel.writestr("answer-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: answer\\nVersion: 1\\n")
        wheel.writestr("answer-1.dist-info/WHEEL", WHEEL)
        wheel.writestr("answer-1.dist-info/RECORD", "")
    return name
"""


@pytest.mark.parametrize(
    "command", [["run", "heart"], ["pull", "heart"], ["compose", "up"], ["build", "--secret", "id=x", "."], []]
)
def test_what_the_small_docker_cannot_do_it_says(
    docker: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """Exit status 1, with what it can do and who does the rest."""
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "login, logout, build, tag, push, images, inspect, version and info" in said
    assert "Docker engine does the rest" in said


def test_images_are_found_by_tag_id_and_digest(docker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """tag, images, inspect and an image id speak of the same image."""
    lay(docker, {"Dockerfile": "FROM a\nEXPOSE 80"})
    assert main(["build", "-q", str(docker)]) == 0
    image_id = capsys.readouterr().out.strip()
    assert main(["tag", image_id, "host.example:5000/team/heart:v1"]) == 0
    assert main(["inspect", "--format", "{{.Id}}", "host.example:5000/team/heart:v1"]) == 0
    assert capsys.readouterr().out.strip() == image_id
    assert main(["images", "host.example:5000/team/heart"]) == 0
    assert "v1" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", ":", "heart:", "/x", "Heart", "host.example/heart:a b", "$URI"])
def test_a_name_with_a_gap_in_it_is_refused(docker: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """An unset variable in a tag is met with a sentence, not with an image of a wrong name."""
    lay(docker, {"Dockerfile": "FROM a"})
    assert main(["build", "-t", name, str(docker)]) == 1
    assert "is no image name" in capsys.readouterr().err


def test_a_push_without_an_endpoint_is_refused(docker: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The small docker never sends a manifest to an AWS that lacks the layers."""
    lay(docker, {"Dockerfile": "FROM a"})
    assert main(["build", "-t", "heart", str(docker)]) == 0
    assert main(["push", "heart"]) == 1
    assert "AWS_ENDPOINT_URL is not set" in capsys.readouterr().err


@given(
    st.text(max_size=80),
    st.sampled_from(
        ["", "COPY ", "COPY --from=0 ", "ENV ", "CMD ", "HEALTHCHECK ", "FROM ", "EXPOSE ", "ADD --chmod="]
    ),
)
def test_any_dockerfile_is_an_image_or_a_sentence(text: str, word: str) -> None:
    """No text makes the small docker fall over."""
    said = "an image"
    try:
        Recipe(
            f"FROM a\n{word}{text}", {}, Images(Path("nowhere")), Packages(Path("nowhere")), say=lambda _: None
        ).stage()
    except DockerError as refusal:
        said = str(refusal)
    assert said


@given(st.lists(st.text(alphabet="abc =:/.é", min_size=1), max_size=5))
def test_quoted_words_come_back_as_they_were(parts: list[str]) -> None:
    """What stands in quotes is one word, whatever is in it."""
    assert expanded_words(" ".join(f'"{part}"' for part in parts), {}) == parts


def test_a_spoilt_layer_is_noticed(tmp_path: Path) -> None:
    """A blob whose bytes are no longer those of its digest is never unpacked, and leaves nothing behind."""
    (tmp_path / "a").write_text("true")
    registry = Registry(tmp_path / "registry")
    digest = pack(registry, [{"a": Entry("file", 0o644, tmp_path / "a")}], ImageConfig())
    layer = registry.manifest(digest)["layers"][0]["digest"]
    (tmp_path / "registry/blobs/sha256" / layer.removeprefix("sha256:")).write_bytes(b"spoilt")
    with pytest.raises(ImageError, match="no longer has the content"):
        registry.unpack(digest, tmp_path / "root")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "registry"]


def with_members(registry: Registry, *members: tarfile.TarInfo) -> str:
    """An image whose one layer was made by a stranger."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry in members:
            tar.addfile(entry)
    layer = registry.put_blob(gzip.compress(buffer.getvalue()))
    config = registry.put_blob(b'{"config":{}}')
    manifest = {"config": {"digest": config}, "layers": [{"mediaType": LAYER_TYPE, "digest": layer}]}
    return registry.put_blob(json.dumps(manifest).encode())


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    """One entry of a tar."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


@pytest.mark.parametrize(
    "members",
    [
        [member("../escaped")],
        [member("a/../../escaped")],
        [member("out", tarfile.SYMTYPE, ".."), member("out/escaped")],
        [member("out", tarfile.SYMTYPE, "/"), member("out/escaped")],
        [member("escaped", tarfile.LNKTYPE, "/etc/hostname")],
        [member("escaped", tarfile.FIFOTYPE)],
        [member(".wh.escaped")],
    ],
)
def test_no_layer_writes_outside_its_root(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    """A path that leads out, itself or through a link, refuses the whole image."""
    registry = Registry(tmp_path / "registry")
    digest = with_members(registry, *members)
    with pytest.raises(ImageError):
        registry.unpack(digest, tmp_path / "root")
    assert not list(tmp_path.rglob("escaped"))
    assert not (tmp_path / "root").exists()


def test_a_links_target_stays_within_the_unpacked_root(tmp_path: Path) -> None:
    """A link to /etc/passwd means the image's own, not this machine's."""
    registry = Registry(tmp_path / "registry")
    links = [member("a/far", tarfile.SYMTYPE, "/etc/passwd"), member("a/up", tarfile.SYMTYPE, "../../../../etc/passwd")]
    root = tmp_path / "root"
    registry.unpack(with_members(registry, *links, member("/etc/passwd")), root)
    assert (root / "a/far").resolve() == (root / "a/up").resolve() == root / "etc/passwd"


def test_an_image_is_not_unpacked_over_another(tmp_path: Path) -> None:
    """A directory that holds something is refused; an empty one is used."""
    registry = Registry(tmp_path / "registry")
    digest = pack(registry, [], ImageConfig(workdir="/app"))
    lay(tmp_path / "full", {"kept": "yes"})
    with pytest.raises(ImageError, match="is not empty"):
        registry.unpack(digest, tmp_path / "full")
    (tmp_path / "empty").mkdir()
    registry.unpack(digest, tmp_path / "empty")
    assert (tmp_path / "empty/app").is_dir()
    assert (tmp_path / "full/kept").read_text() == "yes"


@pytest.mark.parametrize("digest", ["", "sha256:short", "../../etc/passwd", "sha256:" + "0" * 64])
def test_an_unknown_digest_is_met_with_a_sentence(tmp_path: Path, digest: str) -> None:
    """Neither a path nor a digest that was never pushed reads a file."""
    with pytest.raises(ImageError, match=r"is not a digest|not in the local registry"):
        Registry(tmp_path).manifest(digest)
