"""Dockerfiles are read as Docker reads them: BuildKit's own parser is the oracle, case by case and for any text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from console.local.process.docker_images import DockerError, Images
from console.local.process.dockerfile import Recipe
from console.local.process.dockerfile_text import _WORDS, instructions
from console.local.process.oci import Entry
from console.local.process.packages import Packages

CASES = [
    "".join(
        (
            "# syntax=docker/dockerfile:1\n",
            'ARG BASE=a NAME other="x y"\n',
            "FROM --platform=$BUILDPLATFORM ${BASE} AS build\n",
            'ENV MSG  a   "b"\n',
            'ENV A=1 B="2 3" C=x\\ y\n',
            "LABEL a=b\n",
            "RUN --mount=type=cache,target=/x pip install \\\n",
            "   # c\n",
            "\n",
            "   foo\n",
            'RUN ["a", "b"]\n',
            'COPY <<EOF <<-"E-O F" /x\n',
            "hi\n",
            "EOF\n",
            "\tthere\n",
            "\tE-O F\n",
            "RUN read a <<<x\n",
            "ONBUILD COPY . .\n",
            'HEALTHCHECK --interval=1s\tCMD\t["x"]\n',
            "HEALTHCHECK NONE\n",
            "EXPOSE 80 90/udp\n",
        )
    ),
    "FROM a\nCMD [1]\n",
    "FROM a\nBOGUS x\n",
    "FROM x # note\n",
    "FROM\n",
    "",
    "FROM a\nENV x\n",
    "FROM a\nENV a=b c\n",
    "FROM a\nCOPY <<E /x\n",
    "# escape=x\nFROM a\n",
    "FROM a\nRUN\n",
    "FROM a\nCMD []\n",
    'FROM a\nCMD ["a"] x\n',
    "FROM a\nONBUILD\n",
    "FROM a\nHEALTHCHECK\n",
    "FROM a\nRUN x \\\\\n y\n",
    "FROM a\nRUN x \\  \n y\n",
    "FROM a\nRUN x \\\n\n\n",
    "\\\nFROM a",
    'FROM a\nVOLUME ["/a"]\nSHELL ["x"]\n',
    '# escape=`\nFROM a\nRUN a `\n b\nCOPY a\\ b c\nENV x=a` b y="`"q"\n',
    "# Escape = `\nFROM a\nRUN a \\\n",
    "#syntax=x\n#escape=`\n# hi\nFROM a\nRUN a `\nb",
    "\n# escape=`\nFROM a\nRUN a `\nb",
    "# escape=`\n# escape=`\nFROM a",
    "FROM a\nRUN <<EOF\na\n  EOF\nEOF\nRUN b",
    "FROM a\nRUN cat <<'EOF' <<\"B\" > x\n$a\nEOF\nb\nB\n",
    "FROM a\nRUN <<-EOF\n\tx\n\tEOF\nRUN y\n",
    "FROM a\nRUN << 'EOF'\nCMD x\n",
    'FROM a\nCOPY --chown="a b" --from=x\\ y a b\n',
    "FROM a\nCOPY -- --x y\n",
    "FROM a\nRUN --mount=type=bind 'x' \"y\n",
    "FROM a\nHEALTHCHECK --interval=1s --timeout=3us\tCMD\tcurl x\n",
    'FROM a\nHEALTHCHECK CMD ["a","b"]\n',
    "FROM a\nLABEL a\n",
    "FROM a\nLABEL a=b\\\n c=d\n",
    "FROM a\nENV a b=c\n",
    "FROM a\nENV a=\n",
    "FROM a\nENV =b\n",
    "FROM a\nARG\n",
    "FROM a\nARG a='x y' b\n",
    "FROM a\r\nRUN b \\\r\n c\r\nRUN <<E\r\nx\r\nE\r\n",
    "FROM a\n  run   x   y  \n",
    'FROM a\nRUN [ "a" , "b" ]  \n',
    "FROM a\nRUN [a]\n",
    "FROM a\nCMD ['a']\n",
    'FROM a\nCMD ["a\\q"]\n',
    'FROM a\nCOPY ["a b", "c"]\n',
    "FROM a\nCOPY a\\ b c\n",
    "FROM a\nENV A='it''s' B=\"x\n",
    "FROM a\nENV A=a\\\\ b=c\n",
    "FROM a\nONBUILD RUN --mount=x y\n",
    "FROM a\nRUN echo \\\n# c\n  # d\n b\n",
    "FROM a\nRUN echo \\\n#x \\\n b\n",
    "FROM a\nRUN a 3<<EOF\nx\nEOF\n",
    "FROM a\nRUN a <<EOF<<B\nEOF\n",
    "FROM a\nRUN a <<$X\n",
    "FROM a\nCOPY <<a.txt /b\nx\na.txt\n",
    "FROM a\nRUN a<<EOF\nx\nEOF\n",
    'FROM a\nRUN "<<EOF"\nCMD x\n',
    "FROM a\nUSER  a  b \n",
    "FROM a\nSTOPSIGNAL\n",
    "FROM a\nEXPOSE 80\t90\n",
    "FROM a\nWORKDIR /a b\n",
    "\ufeffFROM a\nRUN x\n",
    "FROM a\nENV X=1 \\\n\n\n  Y=2\n",
    "FROM a\nRUN x\\",
    "FROM a\nRUN x \\\n   \\\n y\n",
    "from a as b\n",
    "FROM a\nSHELL x\n",
    "FROM a\nRUN x\x0by\n",
    "FROM a\nRUN --x\n",
    "FROM a\nRUN --x\\ny\n",
    "FROM a\n#\nRUN é\n",
    'FROM a\nCMD ["a",]\n',
    "FROM a\nCMD [NaN]\n",
    "FROM a\nENV A 'b c'\n",
    "FROM a\nENV A \n",
    "FROM a\nHEALTHCHECK CMD\n",
    'FROM a\nHEALTHCHECK ["x"]\n',
    "FROM a\nRUN a <<E\\\n b\nE\n",
    "FROM a\nRUN echo <<<E\nE\n",
    'FROM a\nCMD ["a"',
    'FROM a\nCMD ["a\nb"]\n',
]
WORDS = frozenset(_WORDS)


def official(text: str) -> Any:
    """What BuildKit's parser reads; None where Docker refuses. What is behind ONBUILD it does not tell in full."""
    dockerfile = pytest.importorskip("dockerfile", reason="BuildKit's parser has no wheel for this machine")
    try:
        commands = dockerfile.parse_string(text)
    except dockerfile.GoParseError:
        return None
    if any((command.cmd or "").upper() not in WORDS for command in commands):
        return None
    return [
        (
            command.start_line,
            command.cmd.upper(),
            command.flags,
            (*([command.sub_cmd.upper()] if command.sub_cmd else []), *command.value),
            command.json,
            tuple((heredoc.name, heredoc.content) for heredoc in command.heredocs),
        )
        for command in commands
    ]


def ours(text: str) -> Any:
    """What is read here; None where it is refused."""
    try:
        read = instructions(text)
    except DockerError:
        return None
    heredocs = [tuple((h.name, h.content) for h in r.heredocs) for r in read]
    return [(r.line, r.word, r.flags, r.words, r.exec_form, h) for r, h in zip(read, heredocs, strict=True)] or None


@pytest.mark.parametrize("text", CASES)
def test_a_dockerfile_is_read_as_buildkit_reads_it(text: str) -> None:
    """The same instructions, lines, flags, words and here-documents, or both refuse it."""
    assert ours(text) == official(text)


PIECES = st.sampled_from(
    [f"{word} " for word in sorted(WORDS - {"ONBUILD"})]
    + ["\\\n", "`\n", "\n", "\r\n", "\\", '"', "'", "=", " ", "\t", "<<E", "<<-E", "<<'E F'", "E\n", "E F\n", "--x="]
    + ["[", "]", ",", "a", '["a"]', "b c", "$A", "${A:-b}", "#", "# x", "# escape=`"]
)


@given(st.lists(PIECES, max_size=14).map("".join))
@example("FROM a\nRUN x\\\\\\\n y")
def test_any_text_is_read_as_buildkit_reads_it(body: str) -> None:
    """Put together of what Dockerfiles are made of, in any order."""
    text = f"FROM a\n{body}"
    assert ours(text) == official(text)


# --- what the instructions mean ---------------------------------------------------------------------------------------


def stage_of(text: str, tmp_path: Path, *files: str, links: dict[str, str] | None = None) -> Any:
    """The last stage of a Dockerfile over a context of these files and links."""
    context = {name: Entry("file", 0o644, tmp_path / name) for name in files}
    context |= {name: Entry("link", target=target) for name, target in (links or {}).items()}
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        for folder in Path(name).parents:
            context |= {str(folder): Entry("directory")} if str(folder) != "." else {}
    said: list[str] = []
    images, packages = Images(tmp_path / "images"), Packages(tmp_path / "packages")
    return Recipe(text, context, images, packages, say=said.append).stage()


def test_a_pattern_may_match_nothing(tmp_path: Path) -> None:
    """``poetry.lock*`` is how an optional file is copied; a name without a pattern has to be there."""
    stage = stage_of("FROM a\nCOPY a.txt poetry.lock* ./", tmp_path, "a.txt")
    assert "a.txt" in stage.tree
    with pytest.raises(DockerError, match=r"poetry\.lock is not in the build context"):
        stage_of("FROM a\nCOPY a.txt poetry.lock ./", tmp_path, "a.txt")


def test_a_symbolic_link_is_followed_where_it_is_named_and_kept_below_a_folder(tmp_path: Path) -> None:
    """As BuildKit copies it; a link to nothing, or to itself, is refused."""
    links = {"now": "v2/model", "v2/also": "model"}
    stage = stage_of("FROM a\nCOPY now /m/model\nCOPY v2 /all", tmp_path, "v2/model", links=links)
    assert stage.tree["m/model"].kind == "file"
    assert stage.tree["m/model"].source == tmp_path / "v2/model"
    assert stage.tree["all/also"].kind == "link"
    for target in ("gone", "now"):
        with pytest.raises(DockerError, match="now is a symbolic link"):
            stage_of("FROM a\nCOPY now /m", tmp_path, links={"now": target})


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("EXPOSE 8000-8002", ("8000/tcp", "8001/tcp", "8002/tcp")),
        ("EXPOSE 8080:80", ("80/tcp",)),
        ("EXPOSE 127.0.0.1:8080:80/udp", ("80/udp",)),
        ("ARG P=80\nEXPOSE $P ${Q:-90}/UDP", ("80/tcp", "90/udp")),
        ('ENV P="80 90"\nEXPOSE $P', ("80/tcp", "90/tcp")),
    ],
)
def test_ports_are_exposed_as_docker_exposes_them(tmp_path: Path, text: str, ports: tuple[str, ...]) -> None:
    """Ranges, published ports, protocols, variables."""
    assert stage_of(f"FROM a\n{text}", tmp_path).config.exposed_ports == ports


def test_the_old_form_of_env_is_the_rest_of_the_line(tmp_path: Path) -> None:
    """Blanks within stay, quotes go, and an instruction's variables are those from before it."""
    stage = stage_of('FROM a\nENV MSG  a   "b"\nENV A=1\nENV A=2 B=$A', tmp_path)
    assert stage.config.env == {"MSG": "a   b", "A": "2", "B": "1"}


def test_a_healthcheck_has_docker_s_times(tmp_path: Path) -> None:
    """A tab parts it, Go's units are known, and there is --start-interval."""
    check = stage_of(
        "FROM a\nHEALTHCHECK --interval=1m30s --timeout=5000us --start-interval=.5s\tCMD\tcurl x", tmp_path
    ).config.healthcheck
    assert (check.test, check.interval, check.timeout, check.start_interval) == (
        ("CMD-SHELL", "curl x"),
        90,
        0.005,
        0.5,
    )


@pytest.mark.parametrize(
    ("value", "given"),
    [
        ("${A}", "a/b.tar.gz"),
        ("${A%.*}", "a/b.tar"),
        ("${A%%.*}", "a/b"),
        ("${A#*/}", "b.tar.gz"),
        ("${A##*.}", "gz"),
        ("${A/./_}", "a/b_tar.gz"),
        ("${A//./_}", "a/b_tar_gz"),
        ("${B:-x$A}", "xa/b.tar.gz"),
        ("${E-x}|${E:-x}", "|x"),
        ("${E+x}|${E:+x}", "x|"),
        ("'$A'\"$A\"\\$A", "$Aa/b.tar.gz$A"),
    ],
)
def test_variables_are_put_in_as_docker_puts_them_in(tmp_path: Path, value: str, given: str) -> None:
    """Every sign that BuildKit knows in ``${…}``."""
    text = f"FROM a\nARG A=a/b.tar.gz\nENV E=\nWORKDIR /x\nLABEL l={value}"
    assert stage_of(text, tmp_path).config.labels == {"l": given}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("FROM x # note", "it is written FROM IMAGE or FROM IMAGE AS NAME; a note stands in a line of its own"),
        ('FROM a\nLABEL l="${A?it is needed}"', "A is not set \\(it is needed\\)"),
        ("ARG A\nFROM $A", "the image's name is empty"),
        ("FROM a\nEXPOSE 70000", "'70000' is not a port"),
        ("FROM a\nHEALTHCHECK --timeout=1us CMD x", "less than 1ms"),
        ("FROM a\nWORKDIR", "takes exactly one argument"),
    ],
)
def test_what_docker_refuses_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """In silence nothing is taken that a real build would not take."""
    with pytest.raises(DockerError, match=sentence):
        stage_of(text, tmp_path)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "FROM ghcr.io/astral-sh/uv AS uv\nFROM a\nCOPY --from=uv /uv /bin/",
            "/uv is of the image ghcr.io/astral-sh/uv",
        ),
        ("FROM a\nCOPY --from=ghcr.io/astral-sh/uv /uv /bin/", "ghcr.io/astral-sh/uv is an image"),
        ("FROM a\nRUN python train.py", "does not run python train.py"),
        ("FROM a\nRUN curl -sSL https://example.org | sh", "does not run curl"),
        ("FROM a\nRUN if true; then pip install x; fi", "does not run a compound command"),
        ("FROM a\nRUN <<E cat > /x\nhi\nE", "does not run"),
        ("FROM a AS b\nRUN make\nFROM a\nCOPY --from=b /out /out", "RUN make: the process engine does not run make"),
        ("FROM a\nADD https://example.org/x .", "fetches and unpacks nothing"),
        ("FROM a\nCOPY <<E /x\nhi\nE", "a here-document as a file"),
        ("FROM a\nONBUILD RUN x", "does not carry out ONBUILD"),
    ],
)
def test_what_only_an_engine_does_is_said_in_one_sentence(tmp_path: Path, text: str, what: str) -> None:
    """No other image is built in its place, and nobody is told that the Dockerfile is wrong."""
    with pytest.raises(DockerError) as refused:
        stage_of(text, tmp_path)
    assert what in str(refused.value)
    assert "start a Docker engine and type esteira local up --engine docker" in str(refused.value)


@pytest.mark.parametrize(
    "run",
    [
        "apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/*",
        "useradd --create-home app && chown -R app /app",
        "python -m venv /opt/venv",
        'python -c "import numpy, sklearn.linear_model"',
        "pip install --no-cache-dir --upgrade pip",
        '["pip", "install", "pip"]',
        "--mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt",
        "<<E\nset -eux\npip install pip\nE",
        "pip uninstall --yes pip",
        "set -eux; mkdir -p /var/models",
    ],
)
def test_what_makes_no_difference_here_is_left_or_done(tmp_path: Path, run: str) -> None:
    """Packages that this Python has are not installed again; a system's packages and users are this machine's."""
    (tmp_path / "requirements.txt").write_text("numpy\n")
    stage = stage_of(f"FROM a\nCOPY requirements.txt .\nRUN {run}", tmp_path, "requirements.txt")
    assert stage.packages == ()
    assert ("var/models" in stage.tree) == ("mkdir" in run)
