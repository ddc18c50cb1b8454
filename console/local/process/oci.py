"""Images as the OCI writes them down: blobs under their sha256, a config, a manifest, layers that are tars.

May read and write the registry's directory and the directory an image is unpacked into; knows neither Docker's words
nor AWS. The same files and the same config give the same bytes, hence the same digest, on every machine: nothing here
reads a clock, an owner or a compressor's version.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import posixpath
import re
import shutil
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_LAYER_TYPES = (
    LAYER_TYPE,
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ARCHITECTURES = {"aarch64": "arm64", "x86_64": "amd64"}  # as docker reads --platform
_SECOND = 1_000_000_000  # the config counts in nanoseconds


class ImageError(ValueError):
    """An image or blob is not there, or is not what its digest says; one sentence."""


@dataclass(frozen=True)
class Entry:
    """One path of an image: a file (its bytes lie at ``source``), a directory, or a link to ``target``."""

    kind: Literal["file", "directory", "link"]
    mode: int = 0o755
    source: Path | None = None
    target: str = ""


@dataclass(frozen=True)
class Healthcheck:
    """HEALTHCHECK: ``test`` begins with CMD, CMD-SHELL or NONE. Seconds; 0 leaves Docker's own default."""

    test: tuple[str, ...]
    interval: float = 0
    timeout: float = 0
    start_period: float = 0
    start_interval: float = 0
    retries: int = 0


@dataclass(frozen=True)
class ImageConfig:
    """What an image says about running it. ``exposed_ports`` are written ``8080/tcp``."""

    workdir: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    healthcheck: Healthcheck | None = None
    volumes: tuple[str, ...] = ()
    stop_signal: str = ""


class Registry:
    """Blobs in a directory, each under the sha256 of its bytes. Several processes may use one directory at once: a blob
    appears whole or not at all, and is never changed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def put_blob(self, data: bytes) -> str:
        """Keep ``data``; its digest, ``sha256:…``."""
        digest = digest_of(data)
        path = self._path(digest)
        if not path.exists():
            write_whole(path, data)
        return digest

    def blob(self, digest: str) -> bytes:
        """The bytes under ``digest``, checked against it. Raises :class:`ImageError` where missing or spoilt."""
        path = self._path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise ImageError(
                f"{digest} is not in the local registry {self.directory}; push the image again with docker push."
            ) from None
        if digest_of(data) != digest:
            raise ImageError(
                f"{path} no longer has the content its name says ({digest}); remove the file and push the image again."
            )
        return data

    def manifest(self, digest: str) -> dict[str, Any]:
        """The image manifest under ``digest``. Raises :class:`ImageError` where the blob is something else."""
        try:
            manifest = json.loads(self.blob(digest))
        except ValueError as error:
            if isinstance(error, ImageError):
                raise
            manifest = None
        if not isinstance(manifest, dict) or "config" not in manifest or "layers" not in manifest:
            raise ImageError(f"{digest} is not an image manifest; name the digest that docker push printed.")
        return manifest

    def config(self, digest: str) -> ImageConfig:
        """The config of the image whose manifest is ``digest``."""
        return _config_from(json.loads(self.blob(self.manifest(digest)["config"]["digest"])).get("config") or {})

    def copy(self, digest: str, to: Registry) -> None:
        """Put the image ``digest`` into another registry: its layers and config first, the manifest last."""
        manifest = self.manifest(digest)
        for part in (*manifest["layers"], manifest["config"]):
            to.put_blob(self.blob(part["digest"]))
        to.put_blob(self.blob(digest))

    def unpack(self, digest: str, into: Path) -> ImageConfig:
        """Lay the image's files out in ``into``, which must not exist or be empty, and appears whole or not at all; the
        working directory is made too, as a container's start would. Raises :class:`ImageError`."""
        if into.exists() and any(into.iterdir()):
            raise ImageError(f"{into} is not empty; remove it, or unpack {digest} into another directory.")
        manifest, config = self.manifest(digest), self.config(digest)
        into.parent.mkdir(parents=True, exist_ok=True)
        half_done = Path(tempfile.mkdtemp(dir=into.parent, prefix=f".{into.name}-"))
        try:
            for layer in manifest["layers"]:
                self._unpack_layer(layer, half_done)
            _directory(half_done, _inside(config.workdir))
            half_done.chmod(0o755)
            half_done.replace(into)
        except BaseException:
            shutil.rmtree(half_done, ignore_errors=True)
            raise
        return config

    def _path(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise ImageError(f"{digest!r} is not a digest; it is written sha256: and 64 hex digits.")
        return self.directory / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def _unpack_layer(self, layer: Mapping[str, Any], root: Path) -> None:
        if layer.get("mediaType") not in _LAYER_TYPES:
            raise ImageError(f"Layer {layer['digest']} is a {layer.get('mediaType')}, which is not unpacked here.")
        try:
            with tarfile.open(fileobj=io.BytesIO(self.blob(layer["digest"])), mode="r:*") as tar:
                for member in tar:
                    _unpack_member(tar, member, root)
        except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
            raise ImageError(f"Layer {layer['digest']} cannot be unpacked: {error}.") from error


def pack(
    registry: Registry,
    layers: Sequence[Mapping[str, Entry]],
    config: ImageConfig,
    platform: str = "linux/amd64",
    annotations: Mapping[str, str] | None = None,
) -> str:
    """Write an image of ``layers`` (path without its first slash → entry) into ``registry``; its manifest's digest."""
    tars = [_tar(entries) for entries in layers]
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    config_bytes = _json(
        {
            "architecture": _ARCHITECTURES.get(architecture, architecture),
            **({"variant": variant} if variant else {}),
            "os": system,
            "config": _config_to(config),
            "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
        }
    )
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _put(registry, CONFIG_TYPE, config_bytes),
        "layers": [_put(registry, LAYER_TYPE, _gzip(tar)) for tar in tars],
    }
    if annotations:
        manifest["annotations"] = dict(annotations)
    return registry.put_blob(_json(manifest))


def digest_of(data: bytes) -> str:
    """``sha256:`` and the hex digest of ``data``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that other processes see whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".half-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _put(registry: Registry, media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": registry.put_blob(data), "size": len(data)}


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _tar(entries: Mapping[str, Entry]) -> bytes:
    """The entries and the directories above them as a tar: sorted, owned by root, of no date."""
    complete = with_parents(entries)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(complete):
            _add(tar, path, complete[path])
    return buffer.getvalue()


def with_parents(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """``entries`` with every directory that they imply."""
    complete = dict(entries)
    for path in entries:
        while path := posixpath.dirname(path):
            complete.setdefault(path, Entry("directory"))
    return complete


def _add(tar: tarfile.TarFile, path: str, entry: Entry) -> None:
    member = tarfile.TarInfo(path)  # its owner is 0 and its time is 0 unless said otherwise
    member.mode = entry.mode
    if entry.kind == "directory":
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    elif entry.kind == "link":
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, entry.target, 0o777
        tar.addfile(member)
    else:
        data = entry.source.read_bytes() if entry.source else b""
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def _gzip(data: bytes) -> bytes:
    """``data`` as gzip in stored blocks. Not compressed, because what zlib's compressor writes changes with its
    version, and the digest of an unchanged model must not; a local disk does not mind the size."""
    parts = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"]
    size = 0xFFFF
    for start in range(0, max(len(data), 1), size):
        block = data[start : start + size]
        last = start + size >= len(data)
        parts += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
    return b"".join([*parts, struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)])


def _unpack_member(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    name = _inside(member.name)
    if name == ".":
        return
    if posixpath.basename(name).startswith(".wh."):
        raise ImageError(f"{member.name} marks a removed file; images that remove files need the Docker engine.")
    path = _directory(root, posixpath.dirname(name) or ".") / posixpath.basename(name)
    if member.isdir():
        _directory(root, name).chmod(member.mode & 0o777 | 0o700)  # what follows must still fit into it
        return
    if path.is_dir() and not path.is_symlink():
        raise ImageError(f"{member.name} replaces a directory by a file; name it otherwise in the Dockerfile.")
    path.unlink(missing_ok=True)
    if member.issym():
        path.symlink_to(_link_within(name, member.linkname))
    elif member.isfile():
        with path.open("xb") as file:
            shutil.copyfileobj(tar.extractfile(member) or io.BytesIO(), file)
        path.chmod(member.mode & 0o777)
    else:
        raise ImageError(f"{member.name} is neither a file, a directory nor a symbolic link, and is not unpacked here.")


def _inside(name: str) -> str:
    """``name`` as a path below the image's root. Raises where it says ``..``: an honest layer never does."""
    if ".." in name.split("/"):
        raise ImageError(f"{name!r} in a layer leads out of the image; the image is refused; build it again.")
    return posixpath.normpath(name.lstrip("/") or ".")


def _directory(root: Path, name: str) -> Path:
    """The directory ``name`` below ``root``, made where missing. A way there through a link is refused: what a link
    means inside the image is not what it would mean on this machine."""
    path = root
    for part in name.split("/"):
        path /= part
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise ImageError(f"{name!r} in a layer leads through {part!r}, no directory; the image is refused.")
        path.mkdir(exist_ok=True)
    return path


def _link_within(name: str, target: str) -> str:
    """A link's target, relative, so that it means below the unpacked root what it means in the image, where / is that
    root."""
    parent = posixpath.dirname(f"/{name}")
    return posixpath.relpath(posixpath.normpath(posixpath.join(parent, target)), parent)


def _config_to(config: ImageConfig) -> dict[str, Any]:
    """The config's ``config`` object in Docker's spelling; what is empty is left out."""
    written = {
        "WorkingDir": config.workdir,
        "Env": [f"{name}={value}" for name, value in config.env.items()],
        "User": config.user,
        "ExposedPorts": {port: {} for port in config.exposed_ports},
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.cmd),
        "Labels": dict(config.labels),
        "Healthcheck": _healthcheck_to(config.healthcheck),
        "Volumes": {volume: {} for volume in config.volumes},
        "StopSignal": config.stop_signal,
    }
    return {key: value for key, value in written.items() if value}


def _healthcheck_to(check: Healthcheck | None) -> dict[str, Any]:
    if check is None:
        return {}
    written = {
        "Test": list(check.test),
        "Interval": round(check.interval * _SECOND),
        "Timeout": round(check.timeout * _SECOND),
        "StartPeriod": round(check.start_period * _SECOND),
        "StartInterval": round(check.start_interval * _SECOND),
        "Retries": check.retries,
    }
    return {key: value for key, value in written.items() if value}


def _config_from(read: Mapping[str, Any]) -> ImageConfig:
    check = read.get("Healthcheck")
    return ImageConfig(
        workdir=read.get("WorkingDir") or "",
        env=dict(pair.split("=", 1) for pair in read.get("Env") or [] if "=" in pair),
        user=read.get("User") or "",
        exposed_ports=tuple(read.get("ExposedPorts") or {}),
        entrypoint=tuple(read.get("Entrypoint") or ()),
        cmd=tuple(read.get("Cmd") or ()),
        labels=dict(read.get("Labels") or {}),
        healthcheck=_healthcheck_from(check) if check else None,
        volumes=tuple(read.get("Volumes") or {}),
        stop_signal=read.get("StopSignal") or "",
    )


def _healthcheck_from(read: Mapping[str, Any]) -> Healthcheck:
    return Healthcheck(
        test=tuple(read.get("Test") or ()),
        interval=read.get("Interval", 0) / _SECOND,
        timeout=read.get("Timeout", 0) / _SECOND,
        start_period=read.get("StartPeriod", 0) / _SECOND,
        start_interval=read.get("StartInterval", 0) / _SECOND,
        retries=read.get("Retries", 0),
    )
