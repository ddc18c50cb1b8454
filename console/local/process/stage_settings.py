"""The instructions of a Dockerfile that change a stage's settings, and those that only an engine carries out."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace

from console.local.process.build_stage import BuildStage, Ground
from console.local.process.dockerfile_text import Instruction, json_list, options_of, split_words
from console.local.process.oci import Entry, Healthcheck, with_parents


def _one(found: Instruction, stage: BuildStage) -> str:
    return " ".join(split_words(found, stage.variables))


def declare(found: Instruction, into: dict[str, str], given: Mapping[str, str], outer: Mapping[str, str]) -> None:
    """ARG: the value given on the command line, else the default, else what an ARG before FROM said."""
    for word in split_words(found, into):
        name, equals, default = word.partition("=")
        value = given.get(name, default if equals else outer.get(name))
        if value is not None:
            into[name] = value


def apply_arg(found: Instruction, stage: BuildStage, ground: Ground) -> None:
    declare(found, stage.args, ground.args, ground.globals)


def _pairs(found: Instruction, stage: BuildStage) -> dict[str, str]:
    parts = split_words(found, stage.variables)
    if parts and "=" not in parts[0]:  # the old form: ENV NAME the rest of the line
        return {parts[0]: " ".join(parts[1:])}
    if not parts or not all("=" in part for part in parts):
        found.refuse("it is written NAME=value, and a value with spaces in quotes.")
    return dict(part.split("=", 1) for part in parts)


def apply_env(found: Instruction, stage: BuildStage, _: Ground) -> None:
    stage.config = replace(stage.config, env={**stage.config.env, **_pairs(found, stage)})


def apply_label(found: Instruction, stage: BuildStage, _: Ground) -> None:
    stage.config = replace(stage.config, labels={**stage.config.labels, **_pairs(found, stage)})


def apply_maintainer(found: Instruction, stage: BuildStage, _: Ground) -> None:
    stage.config = replace(stage.config, labels={**stage.config.labels, "maintainer": found.text})


def apply_workdir(found: Instruction, stage: BuildStage, _: Ground) -> None:
    path = posixpath.normpath(posixpath.join("/", stage.config.workdir, _one(found, stage)))
    stage.config = replace(stage.config, workdir=path)
    stage.tree.update(with_parents({path.strip("/"): Entry("directory")}) if path.strip("/") else {})


def apply_user(found: Instruction, stage: BuildStage, _: Ground) -> None:
    stage.config = replace(stage.config, user=_one(found, stage))


def apply_stopsignal(found: Instruction, stage: BuildStage, _: Ground) -> None:
    stage.config = replace(stage.config, stop_signal=_one(found, stage))


def apply_expose(found: Instruction, stage: BuildStage, _: Ground) -> None:
    ports = []
    for word in split_words(found, stage.variables):
        if not re.fullmatch(r"\d{1,5}(/(tcp|udp|sctp))?", word.lower()):
            found.refuse(f"{word!r} is not a port; write a number, or a number and /tcp or /udp.")
        ports.append(word.lower() if "/" in word else f"{word}/tcp")
    stage.config = replace(stage.config, exposed_ports=tuple(dict.fromkeys((*stage.config.exposed_ports, *ports))))


def apply_volume(found: Instruction, stage: BuildStage, _: Ground) -> None:
    paths = json_list(found.text) or split_words(found, stage.variables)
    stage.config = replace(stage.config, volumes=tuple(dict.fromkeys((*stage.config.volumes, *paths))))


def _command(found: Instruction, stage: BuildStage) -> tuple[str, ...]:
    """The exec form as it is, the shell form behind the stage's shell."""
    exec_form = json_list(found.text)
    return (*stage.shell, found.text) if exec_form is None else tuple(exec_form)


def apply_cmd(found: Instruction, stage: BuildStage, _: Ground) -> None:
    stage.config, stage.own_cmd = replace(stage.config, cmd=_command(found, stage)), True


def apply_entrypoint(found: Instruction, stage: BuildStage, _: Ground) -> None:
    # a CMD that came from another stage was written for that stage's entry point: Docker drops it
    cmd = stage.config.cmd if stage.own_cmd else ()
    stage.config = replace(stage.config, entrypoint=_command(found, stage), cmd=cmd)


def apply_shell(found: Instruction, stage: BuildStage, _: Ground) -> None:
    shell = json_list(found.text)
    if not shell:
        found.refuse('it is written as a list, SHELL ["/bin/bash", "-c"].')
    stage.shell = tuple(shell)


def apply_healthcheck(found: Instruction, stage: BuildStage, _: Ground) -> None:
    options, rest = options_of(found)
    kind, _space, command = rest.partition(" ")
    if kind.upper() not in ("CMD", "NONE"):
        found.refuse("it is written HEALTHCHECK [--interval=30s …] CMD command, or HEALTHCHECK NONE.")
    exec_form = json_list(command.strip())
    test = ("CMD-SHELL", command.strip()) if exec_form is None else ("CMD", *exec_form)
    times = {name.replace("-", "_"): _seconds(found, text) for name, text in options.items() if name in _TIMES}
    unknown = set(options) - set(_TIMES) - {"retries"}
    if not options.get("retries", "0").isdecimal():
        found.refuse(f"--retries={options['retries']} is not a number; write one.")
    if unknown:
        found.refuse(f"--{min(unknown)} is not carried out here; leave it out.")
    stage.config = replace(
        stage.config,
        healthcheck=Healthcheck(
            ("NONE",) if kind.upper() == "NONE" else test, retries=int(options.get("retries", "0")), **times
        ),
    )


_TIMES = ("interval", "timeout", "start-period")


def _seconds(found: Instruction, text: str) -> float:
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        found.refuse(f"{text!r} is not a time; write 30s or 1m30s.")
    return sum(float(number) * units[unit] for number, unit in parts)


def apply_onbuild(found: Instruction, _stage: BuildStage, _ground: Ground) -> None:
    found.refuse("the small docker does not do that; write the instruction in the Dockerfile that needs it.")
