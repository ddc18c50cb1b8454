"""The small ``docker`` that a build meets where no Docker engine is: it packs a Dockerfile's files into a real image.

It may read the build context, keep images in a directory of the build's own, and on ``push`` write the registry's
directory and call ECR at ``AWS_ENDPOINT_URL``. It runs nothing (``dockerfile``), and whatever would need an engine ends
with exit status 1 and a sentence.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from console.local.process.build_context import read_context
from console.local.process.build_stage import BuildStage
from console.local.process.docker_images import DockerError, Images, Reference
from console.local.process.dockerfile import Recipe
from console.local.process.oci import (
    MANIFEST_TYPE,
    ImageError,
    Registry,
    pack,
)
from console.local.process.packages import LABEL, Packages

CAN = "login, logout, build, tag, push, images, inspect, version and info"


# --- the command line -----------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None, *, images: Path | None = None, registry: Path | None = None) -> int:
    """Do one docker command; its exit status. ``images`` is where this build keeps what it made, ``registry`` where a
    push puts it; by default both come from ``ESTEIRA_IMAGES`` and ``ESTEIRA_REGISTRY``."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        desk = _Desk(
            Images(images or _directory_from("ESTEIRA_IMAGES")),
            Registry(registry or _directory_from("ESTEIRA_REGISTRY")),
        )
        return desk.run(args)
    except (DockerError, ImageError) as error:
        print(f"docker: {error}", file=sys.stderr)
        return 1


def _directory_from(name: str) -> Path:
    value = os.environ.get(name)
    if not value:
        raise DockerError(f"{name} is not set; give it a directory, or call docker from within a build.")
    return Path(value)


class _DockerParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise DockerError(
            f"{self.prog.removeprefix('docker ')}: {message}. The small docker can {CAN} with their usual options; "
            "the Docker engine does the rest."
        )


def _parser(command: str) -> argparse.ArgumentParser:
    return _DockerParser(prog=f"docker {command}", add_help=False, allow_abbrev=False)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _Desk:
    """Where a command's words meet the images."""

    images: Images
    registry: Registry

    def run(self, args: list[str]) -> int:
        if args[:1] in (["-v"], ["--version"]):
            args = ["version"]
        if args[:2] in (["image", "ls"], ["image", "inspect"], ["image", "build"], ["image", "tag"], ["image", "push"]):
            args = [args[1].replace("ls", "images"), *args[2:]]
        if args[:2] == ["buildx", "build"]:
            args = args[1:]
        commands: dict[str, Callable[[list[str]], None]] = {
            "login": self.login,
            "logout": self.logout,
            "build": self.build,
            "tag": self.tag,
            "push": self.push,
            "images": self.list_images,
            "inspect": self.inspect,
            "version": self.version,
            "info": self.info,
        }
        name = args[0] if args else ""
        if name not in commands:
            raise DockerError(
                f"{name or 'no command'}: the small docker of the local build can {CAN}; "
                "it runs and pulls nothing. The Docker engine does the rest: install it, or leave the line out here."
            )
        commands[name](args[1:])
        return 0

    def login(self, args: list[str]) -> None:
        """Accept, since the local registry asks for no password; stdin is read so that what pipes into it can end."""
        if "--password-stdin" in args and not sys.stdin.isatty():
            sys.stdin.buffer.read()
        print("Login Succeeded (the local registry asks for no password)")

    def logout(self, _args: list[str]) -> None:
        print("Removed login credentials (there were none)")

    def build(self, args: list[str]) -> None:
        given = _build_parser().parse_args([_without_true(word) for word in args])
        context = Path(given.context)
        if given.context == "-" or "://" in given.context or not context.is_dir():
            raise DockerError(f"build: the context {given.context} is not a directory; name one, usually a dot.")
        file = Path(given.file) if given.file else context / "Dockerfile"
        if not file.is_file():
            raise DockerError(f"build: there is no {file}; commit a Dockerfile there, or name it with -f.")
        recipe = Recipe(
            text=file.read_bytes(),
            context=read_context(context, _ignore_text(context, file)),
            images=self.images,
            packages=Packages.beside(self.registry),
            args=dict(_build_arg(pair) for pair in given.build_arg),
            say=_say,
        )
        stage = recipe.stage(given.target)
        labels = dict(pair.partition("=")[::2] for pair in given.label)
        packages = {LABEL: ",".join(stage.packages)} if stage.packages else {}
        config = replace(stage.config, labels={**stage.config.labels, **packages, **labels})
        base = {} if stage.base == "scratch" else {"org.opencontainers.image.base.name": stage.base}
        tags = [Reference.parse(tag) for tag in given.tag]
        digest = pack(self.images.registry, stage.layers, config, given.platform, base)
        # an image without a name must be findable by its id, as docker build -q is used
        for reference in tags or [Reference("", "untagged", digest.removeprefix("sha256:")[:12])]:
            self.images.tag(reference, digest)
        self._tell_built(given, stage, tags, digest)
        for tag in given.tag if given.push else ():
            self.push([tag])

    def _tell_built(self, given: argparse.Namespace, stage: BuildStage, tags: Sequence[Reference], digest: str) -> None:
        image_id = self.images.image_id(digest)
        if given.iidfile:
            Path(given.iidfile).write_text(image_id)
        if given.quiet:
            print(image_id)
            return
        paths = sum(len(layer) for layer in stage.layers)
        print(f"FROM {stage.base}: recorded by its name; nothing of it is in the image, as nothing can be pulled here.")
        print(f"Packed {paths} paths in {len(stage.layers)} layers: manifest {digest}, image {image_id}")
        for reference in tags:
            print(f"Successfully tagged {reference}")

    def tag(self, args: list[str]) -> None:
        parser = _parser("tag")
        parser.add_argument("source")
        parser.add_argument("target")
        given = parser.parse_args(args)
        self.images.tag(Reference.parse(given.target), self.images.need(given.source))

    def push(self, args: list[str]) -> None:
        parser = _parser("push")
        parser.add_argument("-q", "--quiet", action="store_true")
        parser.add_argument("-a", "--all-tags", action="store_true")
        parser.add_argument("reference")
        given = parser.parse_args([_without_true(word) for word in args])
        reference = Reference.parse(given.reference)
        references = [tag for tag in map(Reference.parse, self.images.tags()) if tag.repository == reference.repository]
        if given.all_tags and not references:
            self.images.need(str(reference))
        for each in references if given.all_tags else [reference]:
            self._push(each, quiet=given.quiet)

    def _push(self, reference: Reference, *, quiet: bool) -> None:
        digest = self.images.need(str(reference))
        self.images.registry.copy(digest, self.registry)  # before ECR tells the world, which may fetch it at once
        manifest = self.registry.blob(digest)
        _put_image(reference, manifest.decode())
        self.images.note_push(reference, digest)
        if not quiet:
            print(f"The push refers to repository [{reference.repository}]")
        print(str(reference) if quiet else f"{reference.tag}: digest: {digest} size: {len(manifest)}")

    def list_images(self, args: list[str]) -> None:
        parser = _parser("images")
        parser.add_argument("-q", "--quiet", action="store_true")
        parser.add_argument("--digests", action="store_true")
        parser.add_argument("name", nargs="?", default="")
        given = parser.parse_args(args)
        rows = []
        for tag, digest in self.images.tags().items():
            reference = Reference.parse(tag)
            if given.name in ("", reference.repository, tag):
                rows.append((reference.repository, reference.tag, digest, self.images.image_id(digest)[7:19]))
        if given.quiet:
            print("\n".join(dict.fromkeys(row[3] for row in rows)))
            return
        for row in (("REPOSITORY", "TAG", "DIGEST", "IMAGE ID"), *rows):
            print(f"{row[0]:<60} {row[1]:<20} {row[2]:<71} {row[3]}")

    def inspect(self, args: list[str]) -> None:
        parser = _parser("inspect")
        parser.add_argument("-f", "--format", default="")
        parser.add_argument("--type", choices=["image"])
        parser.add_argument("names", nargs="+")
        given = parser.parse_args(args)
        found = [self._described(self.images.need(name)) for name in given.names]
        if not given.format:
            print(json.dumps(found, indent=4))
        for image in found if given.format else []:
            print(_formatted(given.format, image))

    def _described(self, digest: str) -> dict[str, Any]:
        manifest = self.images.registry.manifest(digest)
        config = json.loads(self.images.registry.blob(manifest["config"]["digest"]))
        return {
            "Id": manifest["config"]["digest"],
            "RepoTags": [tag for tag, tagged in self.images.tags().items() if tagged == digest],
            "RepoDigests": self.images.repo_digests(digest),
            "Architecture": config["architecture"],
            "Os": config["os"],
            "Size": sum(layer["size"] for layer in manifest["layers"]),
            "Config": config["config"],
            "RootFS": {"Type": "layers", "Layers": config["rootfs"]["diff_ids"]},
        }

    def version(self, _args: list[str]) -> None:
        print(f"Docker version 0.0.0, the small docker of esteira's local build: it can {CAN}")

    def info(self, _args: list[str]) -> None:
        print(f"Server: none. This is the small docker of esteira's local build: it can {CAN}.")
        print(f"Images: {len(set(self.images.tags().values()))}\nRegistry: {self.registry.directory}")


def _build_parser() -> argparse.ArgumentParser:
    parser = _parser("build")
    parser.add_argument("-t", "--tag", action="append", default=[])
    parser.add_argument("-f", "--file", default="")
    parser.add_argument("--build-arg", action="append", default=[])
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("--target", default="")
    parser.add_argument("--platform", default="linux/amd64")
    parser.add_argument("--iidfile", default="")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("--push", action="store_true")
    for nothing_to_do in ("--pull", "--no-cache", "--rm", "--force-rm", "--compress", "--load", "--squash"):
        parser.add_argument(nothing_to_do, action="store_true")
    for nothing_to_do in (
        "--progress",
        "--cache-from",
        "--cache-to",
        "--network",
        "--provenance",
        "--sbom",
        "--builder",
        "--memory",
        "--shm-size",
        "--ulimit",
    ):
        parser.add_argument(nothing_to_do, action="append")
    parser.add_argument("context")
    return parser


def _without_true(word: str) -> str:
    """A switch as ``--no-cache=true`` is the switch."""
    return word.removesuffix("=true") if word.startswith("--") and word.count("=") == 1 else word


def _build_arg(pair: str) -> tuple[str, str]:
    """``NAME=value``, or ``NAME`` alone, whose value is the environment's."""
    name, equals, value = pair.partition("=")
    return name, value if equals else os.environ.get(name, "")


def _ignore_text(context: Path, dockerfile: Path) -> str:
    """The text of the Dockerfile's own ignore file, else of the context's, else none."""
    for path in (dockerfile.with_name(f"{dockerfile.name}.dockerignore"), context / ".dockerignore"):
        if path.is_file():
            return path.read_text(errors="surrogateescape")
    return ""


def _formatted(template: str, image: Mapping[str, Any]) -> str:
    """The few Go templates that buildspecs use: a key, a key as JSON, and one entry of a list."""
    match = re.fullmatch(r"\{\{\s*(json|index)?\s*((?:\.\w+)+)\s*(\d+)?\s*\}\}", template)
    if not match or (match[1] == "index") != bool(match[3]):
        raise DockerError(
            f"inspect: the format {template} is not known here; use {{{{.Id}}}} or {{{{index .RepoDigests 0}}}}."
        )
    value: Any = image
    for key in match[2].split(".")[1:]:
        if not isinstance(value, dict) or key not in value:
            raise DockerError(
                f"inspect: the image has no {match[2]}; docker inspect without --format shows what it has."
            )
        value = value[key]
    if match[1] == "json":
        return json.dumps(value)
    if match[3] is not None:
        if int(match[3]) >= len(value):
            raise DockerError(f"inspect: {match[2]} has {len(value)} entries; RepoDigests has one after docker push.")
        value = value[int(match[3])]
    return str(value)


def _put_image(reference: Reference, manifest: str) -> None:
    """Put the manifest into ECR under the reference's tag. The same image under the same tag twice is one push."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_ECR") or os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        raise DockerError(
            f"push: AWS_ENDPOINT_URL is not set, and the small docker pushes only to the AWS on this machine; "
            f"start it with esteira local up, or push {reference} with the Docker engine."
        )
    import boto3  # here, because it costs more than all the other commands together
    from botocore.exceptions import BotoCoreError, ClientError

    host = re.fullmatch(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\..+", reference.host)
    region = host["region"] if host else os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    try:
        boto3.client("ecr", region_name=region, endpoint_url=endpoint).put_image(
            repositoryName=reference.path,
            imageManifest=manifest,
            imageManifestMediaType=MANIFEST_TYPE,
            imageTag=reference.tag,
            **({"registryId": host["account"]} if host else {}),
        )
    except ClientError as error:
        _explain(reference, error.response["Error"]["Code"], error.response["Error"]["Message"])
    except BotoCoreError as error:
        raise DockerError(f"push {reference}: ECR at {endpoint} was not reached: {error}") from error


def _explain(reference: Reference, code: str, message: str) -> None:
    if code == "ImageAlreadyExistsException":
        return  # the same digest under the same tag: it is there already
    next_step = {
        "RepositoryNotFoundException": f"create it with aws ecr create-repository --repository-name {reference.path}",
        "ImageTagAlreadyExistsException": "the tag is taken by another image and may not move; push under a new tag",
    }.get(code, "correct that and push again")
    raise DockerError(f"push {reference}: ECR said {code}: {message.rstrip('.')}; {next_step}.")


if __name__ == "__main__":
    sys.exit(main())
