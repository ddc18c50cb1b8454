"""What ``make build`` makes: one artifact that starts, holds what the functions need, and nothing else."""

from __future__ import annotations

import csv
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.local.paths import FUNCTIONS, ROOT
from console.local.sam.artifact import (
    HERE,
    LIMIT_MB,
    Interpreter,
    ReleaseError,
    Size,
    compiled,
    imported,
    interpreter,
    make,
    modules,
    pack,
    runtime,
    services,
    trim,
)
from console.local.sam.sam_cli import TOOLS, SamError, artifact_of, sam
from tests.sam.world import template

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
REQUIREMENTS = FUNCTIONS / "requirements.txt"
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)", re.MULTILINE)
UNCHECKED = (1).to_bytes(4, "little")  # PEP 552: good whatever the source's time stamp or hash is


@pytest.fixture(scope="module")
def python() -> Interpreter:
    """A Python of the runtime's version; skips, with what to do, where there is none."""
    try:
        return interpreter(runtime(template()))
    except ReleaseError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def made(python: Interpreter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Size, Size]]:
    """A release for this machine's processor, and its size before and after."""
    if not (TOOLS / "bin" / "sam").exists():
        pytest.skip(f"the SAM CLI is not in {TOOLS.name}. Next: make sam")
    folder = tmp_path_factory.mktemp("release") / "build"
    before, after = make(folder, HERE, python)
    yield artifact_of(folder), before, after
    shutil.rmtree(folder)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A little artifact: a handler, and botocore's descriptions of two services."""
    for name in ("intake.py", "botocore/data/s3/service-2.json", "botocore/data/iot/service-2.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "botocore/data/endpoints.json").write_text("{}")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/intake.cpython-311.pyc").write_text("")
    return tmp_path


def test_every_handler_starts_from_the_artifact_alone(made: tuple[Path, Size, Size], python: Interpreter) -> None:
    """With the runtime's own Python and nothing beside the artifact, each handler, each client, and the tracer."""
    imported(made[0], python, template())


def test_what_an_artifact_misses_is_found_before_it_is_deployed(
    made: tuple[Path, Size, Size], python: Interpreter, tmp_path: Path
) -> None:
    """A module left out is named, also one that is first imported when it is needed; so is a missing description."""
    for left_out, named in (("yaml", "yaml"), ("botocore/data/sns", "sns")):
        broken = tmp_path / named
        shutil.copytree(made[0], broken)
        shutil.rmtree(broken / left_out)
        with pytest.raises(ReleaseError, match=f"does not start under .*{named}.* Next: "):
            imported(broken, python, template())


def test_an_artifact_holds_the_functions_and_what_is_locked_and_nothing_else(made: tuple[Path, Size, Size]) -> None:
    """Every file is of functions/ or of a locked package: nothing of the console, the tests, the model."""
    ours = {path.name for path in FUNCTIONS.iterdir()} - {"requirements.txt", "__pycache__"}
    packages = {"appspec", "aws_events", "esteira", "guard", "host", "notify", "policy", "scans", "service_index"}
    packages |= {"settings", "watch", "windows"}
    assert {"intake.py", "sweep.py", "operate.py", "announce.py"} | packages == ours
    packaged = {name for record in made[0].glob("*.dist-info/RECORD") for name in _recorded(record)}
    files = [path.relative_to(made[0]) for path in made[0].rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert ours <= {file.parts[0] for file in files}
    assert not [str(file) for file in files if file.parts[0] not in ours and str(file) not in packaged]


def test_the_packages_in_an_artifact_are_those_of_the_lock(made: tuple[Path, Size, Size]) -> None:
    """Each by its locked version, and none beside."""
    locked = {f"{_plain(name)} {version}" for name, version in LOCKED.findall(REQUIREMENTS.read_text())}
    found = {path.name.removesuffix(".dist-info").rpartition("-")[::2] for path in made[0].glob("*.dist-info")}
    assert {f"{_plain(name)} {version}" for name, version in found} == locked
    assert len(locked) > 10


def test_every_locked_package_has_its_hashes() -> None:
    """A line without one would let pass whatever an index gives under that name."""
    entries = re.split(r"\n(?=\S)", REQUIREMENTS.read_text().strip())
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert len(entries) == len(LOCKED.findall(REQUIREMENTS.read_text()))


def test_a_package_that_is_not_the_locked_one_is_not_built_in(tmp_path: Path) -> None:
    """sam build compares the hashes: a lock whose hash is another's stops it, and names the package."""
    if not (TOOLS / "bin" / "sam").exists():
        pytest.skip(f"the SAM CLI is not in {TOOLS.name}. Next: make sam")
    shutil.copytree(FUNCTIONS, tmp_path / "functions", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("template.yaml", "service.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    lock = tmp_path / "functions" / "requirements.txt"
    lock.write_text(re.sub(r"(?<=sha256:)\w{4}(?=\w{60}\s*(\\|\n|$))", "0000", lock.read_text()))
    arguments = ["build", "--beta-features", "--no-cached", "--template", str(tmp_path / "template.yaml")]
    came = sam([*arguments, "--build-dir", str(tmp_path / "build"), "--parameter-overrides", f"Architecture={HERE}"])
    assert came.returncode != 0
    assert "Hash mismatch for `" in came.stderr


def test_only_the_services_that_are_spoken_to_are_described(made: tuple[Path, Size, Size]) -> None:
    """The descriptions are most of botocore's weight."""
    described = {path.name for path in (made[0] / "botocore" / "data").iterdir() if path.is_dir()}
    assert described == set(services())
    controller = {
        "autoscaling",
        "cloudwatch",
        "codebuild",
        "codecommit",
        "codedeploy",
        "dynamodb",
        "ecr",
        "events",
        "lambda",
        "logs",
        "s3",
        "sns",
        "ssm",
        "xray",
    }
    assert described == controller


def test_every_module_has_bytecode_that_time_stamps_do_not_void(made: tuple[Path, Size, Size]) -> None:
    """A zip file rounds time stamps, and Lambda's file system takes no new bytecode."""
    tag = f"cpython-{runtime(template()).replace('.', '')}"
    for module in made[0].rglob("*.py"):
        if module.is_relative_to(made[0] / "host"):
            continue
        bytecode = module.parent / "__pycache__" / f"{module.stem}.{tag}.pyc"
        assert bytecode.read_bytes()[4:8] == UNCHECKED, module
    assert not [path for path in made[0].rglob("*.pyc") if tag not in path.name]


def test_a_release_is_less_than_half_of_what_sam_built_and_under_the_limit(made: tuple[Path, Size, Size]) -> None:
    """Lambda loads it at each cold start."""
    _, before, after = made
    assert after.zipped < LIMIT_MB
    assert after.zipped < before.zipped / 2


def test_trimming_takes_other_services_and_other_pythons_bytecode_only(small: Path) -> None:
    """What botocore keeps for all services stays."""
    trim(small, ("s3",))
    left = {str(path.relative_to(small)) for path in small.rglob("*") if path.is_file()}
    assert left == {"intake.py", "botocore/data/s3/service-2.json", "botocore/data/endpoints.json"}


def test_a_size_is_of_the_zip_file_and_of_what_is_in_it(small: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The figures that are printed are those of files."""
    (small / "intake.py").write_bytes(b"x" * 3_000_000)
    file = tmp_path_factory.mktemp("zip") / "a.zip"
    size = pack(small, file)
    with zipfile.ZipFile(file) as packed:
        assert sum(one.file_size for one in packed.infolist()) == round(size.unpacked * 1_000_000)
    assert size.zipped == file.stat().st_size / 1_000_000


def test_a_module_that_does_not_compile_is_an_error_with_its_name(small: Path) -> None:
    """Nothing is released that Python cannot read."""
    (small / "intake.py").write_text("def (")
    with pytest.raises(ReleaseError, match=r"could not compile the artifact.*intake\.py"):
        compiled(small, Interpreter(program=sys.executable))


def test_another_python_than_the_runtimes_is_refused_with_what_to_do() -> None:
    """Its bytecode would be of no use on Lambda."""
    with pytest.raises(ReleaseError, match=r"is no Python 3\.99; .*Next: make build PYTHON_OF_RUNTIME=PATH"):
        interpreter("3.99", sys.executable)


def test_what_the_code_imports_late_is_known_and_what_only_a_checker_imports_is_not() -> None:
    """The list the artifact is tried with comes from the code itself."""
    assert {"boto3", "yaml", "pydantic"} <= set(modules())
    assert not [name for name in modules() if name.startswith("types_boto3")]


def test_a_build_whose_functions_share_no_artifact_is_refused(tmp_path: Path) -> None:
    """Four artifacts would be four uploads, and four things to trim."""
    with pytest.raises(SamError, match="must share one artifact, and there is none"):
        artifact_of(tmp_path)


def test_a_missing_sam_cli_is_said_with_what_to_type(tmp_path: Path) -> None:
    """Who has not installed it reads how to."""
    with pytest.raises(SamError, match="Next: make sam"):
        sam(["--version"], tools=tmp_path)


def _recorded(record: Path) -> set[str]:
    """The files that a package says are its own."""
    with record.open(newline="") as rows:
        return {row[0] for row in csv.reader(rows)}


def _plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
