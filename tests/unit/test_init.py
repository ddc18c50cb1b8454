"""``esteira init``: what it finds in repositories as people have them, and that it writes over nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from console.cli.init_command import init
from console.init.recognized import Recognized, UnknownKindError
from console.init.repository import propose, settings_text
from console.local.process.dockerfile_text import instructions
from settings.file import FILE, read
from settings.model import ReleaseSettings

FLASK = (
    "from flask import Flask\n\nserver = Flask(__name__)\n\n@server.get('/health')\ndef health():\n    return 'ok'\n"
)
FACTORY = "import flask\n\ndef create_app():\n    app = flask.Flask(__name__)\n    return app\n"
FASTAPI = "from fastapi import FastAPI\napi: FastAPI = FastAPI()\n"
PLUMBER = "library(randomForest)\n#* @get /ping\nfunction() 'ok'\n"
SHINY = "library(shiny)\nlibrary(stats)\nranger::predictions(1)\n"
PACKAGES = {"requirements.txt": "flask\n"}

REPOSITORIES: list[tuple[str, Mapping[str, str], str, str, str]] = [
    ("flask", {"app.py": FLASK} | PACKAGES, "Flask app", "/health", "gunicorn --bind 0.0.0.0:8080"),
    ("factory", {"src/web.py": FACTORY} | PACKAGES, "Flask app", "", "src.web:create_app()"),
    ("fastapi", {"main.py": FASTAPI, "pyproject.toml": ""}, "FastAPI app", "", "uvicorn main:api --host 0.0.0.0"),
    (
        "streamlit",
        {"page.py": "import streamlit\n"} | PACKAGES,
        "Streamlit app",
        "/_stcore/health",
        "run page.py",
    ),
    ("gradio", {"demo.py": "import gradio\n"} | PACKAGES, "Gradio app", "", "python demo.py"),
    ("shiny", {"app.R": SHINY}, "Shiny app", "/", "shiny::runApp('.'"),
    ("shiny below", {"app/server.R": SHINY}, "Shiny app", "/", "shiny::runApp('app'"),
    ("plumber", {"api.R": PLUMBER}, "plumber API", "/ping", "plumber::pr('api.R')"),
    ("mlflow", {"model/MLmodel": "", "model/requirements.txt": ""}, "MLflow model", "/ping", "mlflow models serve"),
]


def repository(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def command_of(dockerfile: str) -> str:
    [last] = [one.text for one in instructions(dockerfile) if one.word == "CMD"]
    return " ".join(last.strip("[]").replace('"', "").split(", "))


@pytest.mark.parametrize(("name", "files", "kind", "health", "command"), REPOSITORIES, ids=[r[0] for r in REPOSITORIES])
def test_each_kind_is_known_and_started(
    name: str, files: Mapping[str, str], kind: str, health: str, command: str, tmp_path: Path
) -> None:
    """A repository of each kind gets a Dockerfile that starts it, and settings that esteira reads."""
    proposal = propose(repository(tmp_path, files))
    assert (proposal.found.kind, proposal.found.health) == (kind, health), name
    assert command in command_of(proposal.files["Dockerfile"])
    settings = read(proposal.files[FILE].encode())
    assert (settings.port, settings.health or "") == (8080, health)


def test_r_packages_are_debian_s_and_what_comes_with_r_is_not_asked_for(tmp_path: Path) -> None:
    """library() and :: name the packages."""
    text = propose(repository(tmp_path, {"app.R": SHINY})).files["Dockerfile"]
    assert "r-recommended r-cran-ranger r-cran-shiny" in text
    assert "r-cran-stats" not in text


@pytest.mark.parametrize(
    ("exposed", "port"),
    [
        ("EXPOSE 5000\n", 5000),
        ("EXPOSE 5000/tcp 53/udp 900\n", 900),
        ("", 0),
        ("EXPOSE $PORT\n", 0),
        ("ENV PORT=8501\nEXPOSE $PORT\n", 8501),
        ("EXPOSE 81\nFROM python\nRUN make\nEXPOSE 82\n", 82),
        ("EXPOSE 81\nFROM made\n", 81),
    ],
)
def test_a_repository_s_own_dockerfile_stays_and_says_the_port(exposed: str, port: int, tmp_path: Path) -> None:
    """Only esteira.yaml is proposed, with the port that a host takes: the last stage's lowest for tcp."""
    proposal = propose(repository(tmp_path, {"Dockerfile": f"FROM python AS made\n{exposed}CMD python app.py\n"}))
    assert list(proposal.files) == [FILE]
    assert read(proposal.files[FILE].encode()).port == (port or None)


def test_a_dockerfile_that_docker_refuses_is_a_sentence(tmp_path: Path) -> None:
    """It names the line of the file."""
    repository(tmp_path, {"Dockerfile": "FROM python\nRUN make\nEXPOSE many\n"})
    answer = CliRunner().invoke(init, [str(tmp_path), "--yes"])
    assert answer.exit_code == 2
    assert "Dockerfile line 3: EXPOSE many: 'many' is not a port" in answer.output


def test_an_app_whose_packages_nobody_names_is_refused_with_their_names(tmp_path: Path) -> None:
    """The sentence lists what the file imports that is not Python's own and not the repository's."""
    files = {"app.py": f"import json\nimport pandas as pd\nfrom shapes import x\n{FLASK}", "shapes.py": "x = 1\n"}
    with pytest.raises(UnknownKindError, match=r"app\.py imports flask, pandas\)"):
        propose(repository(tmp_path, files))


def test_an_unknown_repository_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    """Neither a Dockerfile nor an app: the sentence says what was looked for."""
    repository(tmp_path, {"analysis.ipynb": "{}", "broken.py": "def ("})
    answer = CliRunner().invoke(init, [str(tmp_path), "--yes"])
    assert (answer.exit_code, sorted(p.name for p in tmp_path.iterdir())) == (2, ["analysis.ipynb", "broken.py"])
    assert "has no Dockerfile" in answer.output


def test_the_files_are_shown_first_and_written_after_a_yes(tmp_path: Path) -> None:
    """No writes nothing; yes writes both; a second time there is nothing to do and nothing changes."""
    repository(tmp_path, {"app.py": FLASK} | PACKAGES)
    answer = CliRunner().invoke(init, [str(tmp_path)], input="n\n")
    assert (answer.exit_code, (tmp_path / "Dockerfile").exists()) == (2, False)
    assert "found: a Flask app (Flask in line 3 of app.py)" in answer.output
    answer = CliRunner().invoke(init, [str(tmp_path)], input="y\n")
    assert answer.exit_code == 0, answer.output
    written = {name: (tmp_path / name).read_text() for name in ("Dockerfile", FILE)}
    (tmp_path / FILE).write_text("port: 9\n")
    answer = CliRunner().invoke(init, [str(tmp_path), "--yes"])
    assert "nothing to write" in answer.output
    assert (tmp_path / "Dockerfile").read_text() == written["Dockerfile"]
    assert (tmp_path / FILE).read_text() == "port: 9\n"


def test_every_setting_stands_in_the_file(tmp_path: Path) -> None:
    """What was not found is there as a comment, so that the file is also the reference."""
    text = settings_text(Recognized("app", "", 0, "", ""))
    assert [name for name in ReleaseSettings.model_fields if f"# {name}:" not in text] == []
    assert read(text.encode()) == ReleaseSettings()
