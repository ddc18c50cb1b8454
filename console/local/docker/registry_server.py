"""The local ECR as ``docker push`` and ``pull`` meet it: a door on 127.0.0.1 before Debian's ``docker-registry``.

The registry keeps the bytes; which images there are, and what a tag means, is in ECR's books alone. So a manifest that
is pushed goes to the registry by its digest and into the books under its tag, which refuse a frozen tag and a
repository nobody created, and tell the world; and a tag that is pulled is looked up in the books, where the controller
may have put it on the image. Everything else passes through as it is. Who comes has logged in with the password that
ECR's GetAuthorizationToken gives, as on AWS. The registry itself listens on a socket file that its owner alone can
open.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import secrets
import shlex
import shutil
import subprocess
import tempfile
import threading
from base64 import b64encode
from collections.abc import Coroutine
from pathlib import Path
from urllib.parse import quote

import aiohttp
from aiohttp import hdrs, web
from yarl import URL

from console.local.aws.api import AwsError
from console.local.aws.ecr import USER, Ecr
from console.local.aws_account import ACCOUNT, REGION
from console.local.foreign import why_foreign
from console.local.ports import LOOPBACK, await_ready, kept_port
from console.local.process.container import Lifeline
from console.read.writing import write_private

NAME = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"  # the registry's, as repositories' URIs begin with it
MANIFEST_BYTES = 4 * 1024 * 1024
_PATH = re.compile(r"/v2/(?P<repository>.+)/(?P<kind>manifests|blobs|tags)/(?P<rest>.+)")
# The login is the door's business: the registry behind it knows no users.
_HOP_BY_HOP = (hdrs.CONNECTION, hdrs.KEEP_ALIVE, hdrs.TRANSFER_ENCODING, hdrs.HOST, hdrs.AUTHORIZATION)
STORE = "http://registry"  # whatever its name, the connection goes to the socket file
# The registry's codes of the distribution protocol for ECR's refusals.
_CODES = {
    "RepositoryNotFoundException": ("NAME_UNKNOWN", 404),
    "ImageTagAlreadyExistsException": ("TAG_INVALID", 400),
    "InvalidParameterException": ("MANIFEST_INVALID", 400),
}


class RegistryServer:
    """``docker-registry`` with its data under ``folder``, behind a door that knows ``ecr``.

    Raises OSError with a sentence where either cannot be started. Ends with ``close``, and with this process.
    """

    def __init__(self, folder: Path, ecr: Ecr) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._ecr = ecr
        self._lifeline = Lifeline()
        # A folder of mode 0700, and a short one: the name of a socket file may have 107 characters.
        self._private = tempfile.TemporaryDirectory(prefix="esteira-registry-")
        self._store = Path(self._private.name) / "socket"
        self._process = _start_store(folder, self._store, self._lifeline)
        self._port = kept_port(folder / "port")
        self._password = folder / "password"
        write_private(self._password, ecr.password)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="registry", daemon=True)
        self._thread.start()
        self._call(self._open())

    @property
    def address(self) -> str:
        """Where images are pushed to: HOST:PORT, the beginning of an image's name."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def login(self) -> str:
        """What a person types to log in; the password is in a file, and in no list of processes."""
        return f"docker login --username {USER} --password-stdin {self.address} < {shlex.quote(str(self._password))}"

    def close(self) -> None:
        """End the door and the registry; what was pushed stays in the folder."""
        self._call(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._process.terminate()
        self._process.wait()
        self._lifeline.release(self._process.pid)
        self._lifeline.close()
        self._password.unlink(missing_ok=True)
        self._private.cleanup()

    # The rest runs on the door's own loop.

    def _call(self, coroutine: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _open(self) -> None:
        connector = aiohttp.UnixConnector(str(self._store))
        timeout = aiohttp.ClientTimeout(total=None)
        self._client = aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=timeout)
        application = web.Application(client_max_size=MANIFEST_BYTES)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self._port).start()

    async def _shut(self) -> None:
        await self._runner.cleanup()
        await self._client.close()

    def _refused(self, request: web.Request) -> web.Response | None:
        """The answer to who is foreign or has not logged in; None for who has."""
        if why := why_foreign({name.lower(): value for name, value in request.headers.items()}):
            return _refusal(403, "DENIED", why)
        given = request.headers.get(hdrs.AUTHORIZATION, "")
        right = b64encode(f"{USER}:{self._ecr.password}".encode()).decode()
        if hmac.compare_digest(given.encode(), f"Basic {right}".encode()):
            return None
        refusal = _refusal(401, "UNAUTHORIZED", f"not logged in. Next: {self.login}")
        refusal.headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="esteira"'
        return refusal

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if (refused := self._refused(request)) is not None:
            return refused
        if request.path.rstrip("/") == "/v2":
            return web.json_response({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})
        asked = _PATH.fullmatch(request.path)
        if asked is None:
            return _refusal(404, "UNSUPPORTED", f"{request.path} is not a path of a registry's repository")
        repository, kind, rest = asked["repository"], asked["kind"], asked["rest"]
        try:
            if kind == "manifests" and request.method == hdrs.METH_PUT:
                return await self._put_manifest(request, repository, rest)
            digests = await asyncio.to_thread(self._digests, repository)
        except AwsError as error:
            code, status = _CODES.get(error.code, ("DENIED", 400))
            return _refusal(status, code, str(error))
        if kind == "tags":
            return web.json_response({"name": repository, "tags": [name for name in digests if ":" not in name]})
        if kind == "manifests":
            if rest not in digests:
                return _refusal(404, "MANIFEST_UNKNOWN", f"Requested image not found: {repository}, {rest}")
            return await self._pass(request, _manifest(repository, digests[rest]))
        return await self._pass(request, request.raw_path)

    def _digests(self, repository: str) -> dict[str, str]:
        """Every tag and every digest of a repository, and the digest it means. Raises AwsError for no repository."""
        images = self._ecr.images(repository)
        return {name: image.digest for image in images for name in (image.digest, *image.tags)}

    async def _put_manifest(self, request: web.Request, repository: str, reference: str) -> web.StreamResponse:
        """The bytes first, then the books: an image that is listed can be pulled."""
        await asyncio.to_thread(self._digests, repository)
        body, media_type = await request.read(), request.headers.get(hdrs.CONTENT_TYPE, "")
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        url = f"{STORE}{_manifest(repository, digest)}"
        async with self._client.put(url, data=body, headers={hdrs.CONTENT_TYPE: media_type}) as kept:
            if kept.status != 201:
                return web.Response(status=kept.status, body=await kept.read(), content_type="application/json")
        tag = "" if ":" in reference else reference
        await asyncio.to_thread(self._ecr.push, repository, body, tag, media_type)
        headers = {"Docker-Content-Digest": digest, hdrs.LOCATION: _manifest(repository, digest)}
        return web.Response(status=201, headers=headers)

    async def _pass(self, request: web.Request, path: str) -> web.StreamResponse:
        """To the registry and back, piece by piece: a layer may be larger than the memory."""
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        body = request.content.iter_any() if request.can_read_body else None
        url = URL(f"{STORE}{path}", encoded=True)
        async with self._client.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=kept)
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response


def _start_store(folder: Path, socket: Path, lifeline: Lifeline) -> subprocess.Popen[bytes]:
    program = shutil.which("docker-registry")
    if program is None:
        raise OSError("docker-registry is not installed; apt-get install docker-registry, or use --engine process")
    settings = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        # An upload goes on where the client was told to, which must be the door and not the registry behind it.
        "http": {"net": "unix", "addr": str(socket), "relativeurls": True, "secret": secrets.token_hex(16)},
    }
    config = folder / "config.yml"
    config.write_text(json.dumps(settings, indent=1))  # JSON is YAML
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [program, "serve", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    lifeline.hold(process.pid)
    await_ready(process, socket.exists, f"docker-registry does not start on {socket}", folder / "log")
    return process


def _manifest(repository: str, digest: str) -> str:
    return f"/v2/{quote(repository)}/manifests/{digest}"


def _refusal(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status)
