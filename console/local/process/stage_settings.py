"""The instructions of a Dockerfile that change a stage's settings, and those that only an engine carries out."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import replace

from console.local.process.build_stage import ENGINE, BuildStage, Ground
from console.local.process.dockerfile_text import Instruction
from console.local.process.dockerfile_words import expanded, expanded_words
from console.local.process.oci import Entry, Healthcheck, with_parents


def declare(found: Instruction, into: dict[str, str], given: Mapping[str, str], outer: Mapping[str, str]) -> None:
    """ARG: the value given on the command line, else the default, else what an ARG before FROM said."""
    for word in found.words:
        try:
            name, equals, default = expanded(word, into, found.escape).partition("=")
        except ValueError as error:
            found.refuse(str(error))
        value = given.get(name, default if equals else outer.get(name))
        if value is not None:
            into[name] = value


def apply_arg(found: Instruction, stage: BuildStage, ground: Ground) -> None:
    declare(found, stage.args, ground.args, ground.globals)


def _pairs(found: Instruction, stage: BuildStage) -> dict[str, str]:
    """Names and values; every value is put in by what was set before the instruction."""
    words = [stage.expand(found, word) for word in found.words]
    if not words or not all(words[::2]):
        found.refuse("it is written NAME=value, and a value with spaces in quotes.")
    return dict(zip(words[::2], words[1::2], strict=True))


def apply_env(found: Instruction, stage: BuildStage, _: Ground) -> None:
    stage.config = replace(stage.config, env={**stage.config.env, **_pairs(found, stage)})


def apply_label(found: Instruction, stage: BuildStage, _: Ground) -> None:
    stage.config = replace(stage.config, labels={**stage.config.labels, **_pairs(found, stage)})


def _one(found: Instruction, stage: BuildStage) -> str:
    if len(found.words) != 1:
        found.refuse("it takes exactly one argument; write one.")
    return stage.expand(found, found.words[0])


def apply_maintainer(found: Instruction, stage: BuildStage, _: Ground) -> None:
    if not found.words:
        found.refuse("it takes exactly one argument; write one.")
    stage.config = replace(stage.config, labels={**stage.config.labels, "maintainer": found.words[0]})


def apply_workdir(found: Instruction, stage: BuildStage, _: Ground) -> None:
    path = posixpath.normpath(posixpath.join("/", stage.config.workdir, _one(found, stage)))
    stage.config = replace(stage.config, workdir=path)
    stage.tree.update(with_parents({path.strip("/"): Entry("directory")}) if path.strip("/") else {})


def apply_user(found: Instruction, stage: BuildStage, _: Ground) -> None:
    stage.config = replace(stage.config, user=_one(found, stage))


def apply_stopsignal(found: Instruction, stage: BuildStage, _: Ground) -> None:
    stage.config = replace(stage.config, stop_signal=_one(found, stage))


def apply_expose(found: Instruction, stage: BuildStage, _: Ground) -> None:
    if not found.words:
        found.refuse("it takes at least one port; write one.")
    try:
        words = [part for word in found.words for part in expanded_words(word, stage.variables, found.escape)]
    except ValueError as error:
        found.refuse(str(error))
    ports = [port for word in words for port in _ports(found, word)]
    stage.config = replace(stage.config, exposed_ports=tuple(dict.fromkeys((*stage.config.exposed_ports, *ports))))


def _ports(found: Instruction, word: str) -> list[str]:
    """``80``, ``80/udp``, ``8000-8002``, and the container's part of ``8080:80`` or ``127.0.0.1:8080:80``."""
    ports, _, protocol = word.lower().rpartition(":")[2].partition("/")
    match = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?", ports)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not match or not first <= last <= 65_535 or protocol not in ("", "tcp", "udp", "sctp"):
        found.refuse(f"{word!r} is not a port; write a number from 1 to 65535, and /tcp or /udp behind it if need be.")
    return [f"{port}/{protocol or 'tcp'}" for port in range(first, last + 1)]


def apply_volume(found: Instruction, stage: BuildStage, _: Ground) -> None:
    if not found.words:
        found.refuse("it takes at least one path; write one.")
    paths = [stage.expand(found, word) for word in found.words]
    stage.config = replace(stage.config, volumes=tuple(dict.fromkeys((*stage.config.volumes, *paths))))


def _command(found: Instruction, stage: BuildStage) -> tuple[str, ...]:
    """The exec form as it is, the shell form behind the stage's shell."""
    return found.words if found.exec_form or not found.words else (*stage.shell, found.words[0])


def apply_cmd(found: Instruction, stage: BuildStage, _: Ground) -> None:
    stage.config, stage.own_cmd = replace(stage.config, cmd=_command(found, stage)), True


def apply_entrypoint(found: Instruction, stage: BuildStage, _: Ground) -> None:
    # a CMD that came from another stage was written for that stage's entry point: Docker drops it
    cmd = stage.config.cmd if stage.own_cmd else ()
    stage.config = replace(stage.config, entrypoint=_command(found, stage), cmd=cmd)


def apply_shell(found: Instruction, stage: BuildStage, _: Ground) -> None:
    if not found.exec_form or not found.words:
        found.refuse('it is written as a list, SHELL ["/bin/bash", "-c"].')
    stage.shell = found.words


def apply_healthcheck(found: Instruction, stage: BuildStage, _: Ground) -> None:
    kind, *command = found.words or [""]
    options = found.options
    if kind.upper() not in ("CMD", "NONE"):
        found.refuse("it is written HEALTHCHECK [--interval=30s …] CMD command, or HEALTHCHECK NONE.")
    if (kind.upper() == "CMD") != bool(command):
        found.refuse("a command stands behind CMD, and nothing behind NONE.")
    if unknown := set(options) - set(_TIMES) - {"retries"}:
        found.refuse(f"--{min(unknown)} is not a flag of HEALTHCHECK; leave it out.")
    if not options.get("retries", "0").isdecimal():
        found.refuse(f"--retries={options['retries']} is not a number; write one.")
    times = {name.replace("-", "_"): _seconds(found, text) for name, text in options.items() if name in _TIMES}
    test = ("CMD", *command) if found.exec_form else ("CMD-SHELL", *command)
    check = Healthcheck(test, retries=int(options.get("retries", "0")), **times)
    stage.config = replace(stage.config, healthcheck=check if kind.upper() == "CMD" else Healthcheck(("NONE",)))


_TIMES = ("interval", "timeout", "start-period", "start-interval")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}


def _seconds(found: Instruction, text: str) -> float:
    """A time as Go writes it: ``1m30s``, ``1.5h``, ``500ms``."""
    parts = re.findall(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if text != "0" and (not parts or "".join(number + unit for number, unit in parts) != text):
        found.refuse(f"{text!r} is not a time; write 30s or 1m30s.")
    if 0 < seconds < 1e-3:
        found.refuse(f"{text!r} is less than 1ms, which Docker refuses; write a longer time.")
    return seconds


def apply_onbuild(found: Instruction, _stage: BuildStage, _ground: Ground) -> None:
    found.refuse(f"the process engine does not carry out ONBUILD; {ENGINE}")
