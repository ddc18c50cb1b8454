"""The build of the template for the emulator: for its Python, and without the types that it does not know."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import ClientError

from console.local.paths import ROOT, TEMPLATE
from console.local.sam.artifact import HERE, Interpreter, compiled, runtime, services, trim, version_of
from console.local.sam.deploy_rehearsal import NEEDED, DeployError, Say
from console.local.sam.deploy_template import Document, fitted, run_by, types
from console.local.sam.ministack import TOOLS, Ministack
from console.local.sam.sam_cli import SamError, artifact_of, last_words, sam
from console.local.template import Loader, read

# A host signals these, and the emulator has none.
SIGNALLED = frozenset({"AWS::CloudFormation::WaitCondition", "AWS::CloudFormation::WaitConditionHandle"})


def build(folder: Path, python: Path, say: Say) -> None:
    """Build the template into ``folder``/build as ``make build`` does, for the Python the emulator has."""
    wanted, has = runtime(read(TEMPLATE)), version_of(str(python))
    source = folder / "source"
    source.mkdir()
    document = _document(TEMPLATE)
    (source / TEMPLATE.name).write_text(json.dumps(run_by(document, f"python{has}", {})))
    command = ["build", "--template-file", str(source / TEMPLATE.name), "--base-dir", str(ROOT), "--cached"]
    command += ["--build-dir", str(folder / "build"), "--beta-features"]
    with _alone():
        came = sam([*command, "--parameter-overrides", f"Architecture={HERE}"])
    if came.returncode:
        raise SamError(f"sam build failed. {last_words(came)} Next: correct that, then make deploy-local")
    artifact = artifact_of(folder / "build")
    trim(artifact, services())
    compiled(artifact, Interpreter(program=str(python)))
    other = "" if wanted == has else f", not the template's {wanted}, which the emulator's environment has not"
    shutil.copy(TEMPLATE.with_name("service.yaml"), folder / "build" / "service.yaml")
    say("sam build", f"for Python {has} on {HERE}{other}")


def fit(built: Path, emulator: Ministack, endpoints: Mapping[str, str], say: Say) -> None:
    """Leave out of the built templates what the emulator does not know, and let the functions call it.

    Raises DeployError where it does not know what is needed.
    """
    for path in (built / "template.yaml", built / "service.yaml"):
        document = _document(path)
        unknown = unknown_types(emulator.client("cloudformation"), types(document))
        if unknown & NEEDED:
            raise DeployError(
                f"the emulator refuses {', '.join(sorted(unknown & NEEDED))}, without which there is nothing to "
                f"rehearse. Next: the version that the Makefile names: rm -r {TOOLS.name} && make ministack"
            )
        made = fitted(document, unknown | SIGNALLED)
        document = made.document
        if "Globals" in document:
            document = run_by(made.document, document["Globals"]["Function"]["Runtime"], endpoints)
            say("changed", f"the functions' environment, for where they call: {', '.join(endpoints)}")
        path.write_text(json.dumps(document))
        for id_, kind in made.left_out.items():
            why = "nobody is there to signal it" if kind in SIGNALLED else f"the emulator knows no {kind}"
            say("left out", f"{id_} of {path.relative_to(built)}: {why}")


def unknown_types(cloudformation: Any, kinds: tuple[str, ...]) -> frozenset[str]:
    """Which types CloudFormation refuses: it names them all when it is shown a template of one of each."""
    probe = {"Resources": {re.sub(r"\W", "", kind): {"Type": kind} for kind in kinds}}
    try:
        cloudformation.validate_template(TemplateBody=json.dumps(probe))
    except ClientError as error:
        named = re.search(r"Unrecognized resource types: \[(.*)\]", str(error))
        if named is None:
            raise DeployError(
                f"the emulator refuses the types {', '.join(kinds)} in words not known: {error}"
            ) from None
        return frozenset(named[1].split(", "))
    return frozenset()


@contextmanager
def _alone() -> Iterator[None]:
    """Build while nobody else does: builds share SAM's folder of dependencies."""
    (ROOT / ".aws-sam").mkdir(exist_ok=True)
    with (ROOT / ".aws-sam" / "deploy-local.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _document(path: Path) -> Document:
    document: Document = yaml.load(path.read_text(), Loader)
    return document
