"""An EC2 host on real tools (Docker, nginx, a registry's images) whose hooks run as CodeDeploy's agent runs them.

Every host has a service name, an nginx and a lock of its own on one shared engine, and takes away what it started.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tarfile
import threading
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from console.local.build.workspace import SYSTEM_PATH
from esteira import bundle

HOOKS = {
    "BeforeInstall": "hooks/before_install.sh",
    "ApplicationStart": "hooks/application_start.sh",
    "ValidateService": "hooks/validate_service.sh",
}
SERVE = "httpd -f -p 8080 -h /www & trap exit TERM; wait"  # process 1 ends on TERM only if it asks for it
# A server of WebSockets, so far as the proxy can tell: it takes every upgrade, sends one frame, and on TERM a close
# with the code 1012, "service restart". Anything else it answers with 200. Process 1 goes last: the kernel kills
# what is left with it.
SERVE_SOCKETS = "nc -ll -p 8080 -e /bin/socket & trap 'kill -TERM -1; sleep 1; exit' TERM; wait"
SOCKET = r"""#!/bin/sh
upgrade=
while read -r line; do
    case $line in
        [Uu]pgrade:*) upgrade=yes ;;
        "" | ?) break ;;
    esac
done
if [ -z "$upgrade" ]; then
    printf 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'
    exit
fi
trap "printf '\\210\\002\\003\\364'; exit" TERM
printf 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\201\002hi'
sleep 600 &
wait
"""
# An HTTP/1.1 server that keeps its connections, one process for each: it answers how many there were.
SERVE_KEPT = "nc -ll -p 8080 -e /bin/kept & trap exit TERM; wait"
KEPT = r"""#!/bin/sh
echo one more >>/tmp/connections
while read -r line; do
    [ ${#line} = 1 ] || continue
    count=$(/bin/busybox wc -l </tmp/connections)
    printf 'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s' ${#count} "$count"
done
"""
# A request that the container's command may wait for, and that is answered with 500 where the environment says so.
REAL = """#!/bin/sh
echo asked >/tmp/asked
[ -z "$FAILS" ] || echo 'Status: 500 Internal Server Error'
echo 'Content-Type: text/plain'
echo
echo -n "real $HTTP_HOST"
"""
TOOLS = ("docker", "nginx", "docker-registry", "busybox", "curl", "flock", "python3", "iconv")


def missing() -> str:
    """Return "" where these tests can run, or the reason why not and what to install."""
    absent = [tool for tool in TOOLS if not shutil.which(tool)]
    if absent:
        return f"{', '.join(absent)} not installed: apt-get install docker.io nginx docker-registry busybox-static curl"
    asked = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    return "" if asked.returncode == 0 else "no Docker engine answers: start one (dockerd) and run again"


REASON = missing()
MARKS = [pytest.mark.docker, pytest.mark.skipif(bool(REASON), reason=REASON or "an engine answers")]


def run(*command: str) -> str:
    """Run a command to its end and return its standard output; an error names what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def free_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def until(what: str, holds: Callable[[], object]) -> None:
    """Wait until something holds; a minute without it fails the test."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.05)


def answers(port: int) -> bool:
    """Whether somebody listens on 127.0.0.1:port."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def registry_in(where: Path) -> Iterator[str]:
    """A real registry on 127.0.0.1 that keeps its blobs in a directory; its HOST:PORT."""
    port = free_port()
    (where / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {where}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with (where / "log").open("w") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(where / "config.yml")], stdout=log, stderr=log)
    try:
        until("the registry", lambda: answers(port))
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    """Add a file to a tar."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    tar.addfile(info, io.BytesIO(content))


def image(registry: str, service: str, says: str, command: str = SERVE, golden: str = "", label: str = "",
          exposes: str = "", program: str = "") -> str:  # fmt: skip
    """Push an image whose page is ``says``, with /ping, a slow page and a model; return it by digest, the engine keeps
    none. The model answers everything with a half; ``golden`` are its golden questions, ``label`` says where,
    ``exposes`` are the ports that it exposes, ``program`` is run in place of a shell with ``command``."""
    rootfs = io.BytesIO()
    with tarfile.open(fileobj=rootfs, mode="w") as tar:
        add(tar, "bin/busybox", Path(shutil.which("busybox") or "").resolve().read_bytes(), 0o755)
        for applet in ("sh", "httpd", "sleep", "echo", "seq", "nc", "printf", "tail", "mkdir", "cp"):
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        add(tar, "www/index.html", says.encode())
        add(tar, "www/ping", b"ok")
        add(tar, "www/model[1]{2}", b"ok")
        slow = f"#!/bin/sh\necho 'Content-Type: text/plain'\necho\nsleep 3\necho -n 'slow {says}'\n"
        add(tar, "www/cgi-bin/slow", slow.encode(), 0o755)
        late = f"#!/bin/sh\nsleep 3\necho 'Content-Type: text/plain'\necho\necho -n 'late {says}'\n"
        add(tar, "www/cgi-bin/late", late.encode(), 0o755)
        model = "#!/bin/sh\n/bin/busybox cat >/dev/null\necho 'Content-Type: application/json'\necho\n"
        model += 'echo \'{"half": [0.5], "more": 1}\'\n'
        add(tar, "www/cgi-bin/ask", model.encode(), 0o755)
        add(tar, "www/cgi-bin/real", REAL.encode(), 0o755)
        add(tar, "bin/socket", SOCKET.encode(), 0o755)
        add(tar, "bin/kept", KEPT.encode(), 0o755)
        add(tar, "models/golden.json", golden.encode(), 0o600)
        link = tarfile.TarInfo("models/link.json")
        link.type, link.linkname = tarfile.SYMTYPE, "golden.json"
        tar.addfile(link)
    name = f"{registry}/{service}:{uuid.uuid4().hex[:8]}"
    changes = [f"CMD {json.dumps([program] if program else ['/bin/sh', '-c', command])}", "ENV PATH=/bin"]
    changes += [f"LABEL esteira.golden={label}"] if label else []
    changes += [f"EXPOSE {exposes}"] if exposes else []
    options = [word for change in changes for word in ("--change", change)]
    subprocess.run(["docker", "import", *options, "-", name], input=rootfs.getvalue(), check=True, capture_output=True)
    pushed = run("docker", "push", name)
    run("docker", "image", "rm", name)
    return f"{name.rsplit(':', 1)[0]}@{pushed.split('digest: ')[1].split()[0]}"


@dataclass
class Ended:
    """How a hook ended: its exit status and what the agent would send back of its log."""

    status: int
    log: str

    @property
    def sentence(self) -> str:
        """The last line."""
        return self.log.rstrip("\n").rsplit("\n", 1)[-1]


@dataclass
class Host:
    """One EC2 host: an nginx of its own, and the bundles unpacked as the agent unpacks them."""

    where: Path
    registry: str
    service: str
    port: int = field(default_factory=free_port)
    nginx: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start nginx with an empty conf.d and set where the hooks find it."""
        self.conf_dir.mkdir()
        conf = self.where / "nginx.conf"
        conf.write_text(
            f"user root;\nworker_processes 2;\npid {self.where}/nginx.pid;\nerror_log {self.where}/error.log;\n"
            "events { worker_connections 1024; }\nhttp {\n  access_log off;\n"  # as Amazon Linux has it
            f"  server {{ listen 127.0.0.1:{free_port()}; }}\n  include {self.conf_dir}/*.conf;\n}}\n"
        )
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "ESTEIRA_"))},
            "PATH": f"{SYSTEM_PATH}:{os.environ['PATH']}",  # an agent's: the system's Python, not a developer's
            "ESTEIRA_NGINX_CONF": str(conf),
            "ESTEIRA_NGINX_CONF_DIR": str(self.conf_dir),
            "ESTEIRA_LISTEN": f"127.0.0.1:{self.port}",
            "ESTEIRA_LOCK": str(self.where / "lock"),
            "ESTEIRA_FIRST_PORT": str(random.randrange(10000, 18000)),
        }
        self.start_nginx()

    def start_nginx(self) -> None:
        """Start nginx, in a process group of its own."""
        self.nginx = subprocess.Popen(
            ["nginx", "-c", self.environment["ESTEIRA_NGINX_CONF"], "-g", "daemon off;"],
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        pid = str(self.nginx.pid)  # nginx -t makes the file too, an empty one
        until("nginx", lambda: pid in [line.strip() for each in self.where.glob("nginx.pid") for line in each.open()])

    def kill_nginx(self) -> None:
        """End nginx and all its workers at once, without a word."""
        assert self.nginx
        os.killpg(self.nginx.pid, signal.SIGKILL)
        self.nginx.wait()
        (self.where / "nginx.pid").unlink()

    def workers(self) -> set[str]:
        """nginx's worker processes."""
        assert self.nginx
        return set(run("pgrep", "--parent", str(self.nginx.pid)).split())

    def stop(self) -> None:
        """End nginx, remove the containers and images of this host's service."""
        assert self.nginx
        self.armed.unlink(missing_ok=True)  # a switch that still watches ends
        self.nginx.terminate()
        self.nginx.wait()
        if self.containers():
            run("docker", "rm", "--force", *self.containers())
        for name in self.images():
            run("docker", "image", "rm", name)

    @property
    def conf_dir(self) -> Path:
        """nginx's conf.d."""
        return self.where / "conf.d"

    @property
    def site(self) -> Path:
        """The service's nginx file."""
        return self.conf_dir / f"esteira-{self.service}.conf"

    @property
    def rollout(self) -> tuple[str, str]:
        """What nginx was told: the service's file, and the container that its link names."""
        return self.site.read_text(), self.site.with_suffix("").readlink().name.partition("=")[2]

    @property
    def before(self) -> Path:
        """There while a swap is under way: the container that was live before it."""
        return self.site.with_suffix(".before")

    @property
    def is_settled(self) -> bool:
        """Whether nothing of a swap is under way."""
        left = {path.name for path in self.conf_dir.iterdir()} - {self.site.name, self.site.stem}
        return all(name.startswith(f"{self.site.stem}={self.service}-v") for name in left)

    @property
    def armed(self) -> Path:
        """The dead-man's switch: there while a swap is not accepted yet."""
        return self.conf_dir / f"{self.site.name}.armed"

    @property
    def log(self) -> str:
        """What the dead-man's switch wrote down."""
        log = self.where / "esteira.log"
        return log.read_text() if log.exists() else ""

    def let_time_pass(self) -> None:
        """The switch's time is over: wait until it has acted."""
        _, candidate = self.armed.read_text().split()
        self.armed.write_text(f"0 {candidate}\n")
        until("the switch", lambda: not self.armed.exists())

    def image(self, says: str, command: str = SERVE, **more: str) -> str:
        """A pushed image of this host's service."""
        return image(self.registry, self.service, says, command, **more)

    def bundle(self, number: int, image: str, **changes: object) -> Path:
        """Zip the bundle with its release.json, unpack it where the agent would, and return that directory."""
        release = {
            "service": self.service, "release": f"v{number}", "number": number, "commit": "c0ffee",
            "stage": "production", "image": image, "digest": image.partition("@")[2], "port": 8080,
            "health_path": "/ping", "startup_seconds": 20, "drain_seconds": 0, "min_ready_seconds": 0,
            "environment": {}, **changes,
        }  # fmt: skip
        archive = self.where / uuid.uuid4().hex / "deployment-archive"
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as zipped:
            for name, file in bundle.default().files.items():
                zipped.writestr(name, file.content)
            zipped.writestr("release.json", json.dumps(release))
        with zipfile.ZipFile(packed) as zipped:
            zipped.extractall(archive)
        return archive

    def begin(self, event: str, archive: Path, **environment: str) -> subprocess.Popen[str]:
        """Start a hook as the agent does: no arguments, cwd /, standard input closed, a process group of its own."""
        script = archive / HOOKS[event]
        script.chmod(0o755)
        agent = {
            "LIFECYCLE_EVENT": event, "DEPLOYMENT_ID": "d-TEST", "APPLICATION_NAME": self.service,
            "DEPLOYMENT_GROUP_NAME": "production", "DEPLOYMENT_GROUP_ID": "g-TEST",
        }  # fmt: skip
        return subprocess.Popen(
            [str(script)], cwd="/", env={**self.environment, **agent, **environment}, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=lambda: os.close(0),
        )  # fmt: skip

    def end(self, process: subprocess.Popen[str]) -> Ended:
        """Wait for a hook and for its standard output to be let go."""
        output, _ = process.communicate(timeout=120)
        tail = "".join(f"[stdout]{line}\n" for line in output.splitlines())[-2048:]
        return Ended(process.returncode, tail.replace("[stdout]", "\n").replace("\n\n", "\n"))

    def hook(self, event: str, archive: Path, **environment: str) -> Ended:
        """Run one hook to its end."""
        return self.end(self.begin(event, archive, **environment))

    def deploy(self, archive: Path, times: int = 1) -> tuple[str, Ended]:
        """Run the hooks in the agent's order, each as often as told, up to the first that fails."""
        for event in HOOKS:
            for _ in range(times):
                ended = self.hook(event, archive)
                if ended.status:
                    return event, ended
        return "", ended

    def live(self, number: int, image: str, **changes: object) -> str:
        """Deploy what must succeed, and return the container that is live then."""
        failed, ended = self.deploy(self.bundle(number, image, **changes))
        assert not failed, ended.log
        return self.served_by()

    def get(self, path: str = "/", body: bytes | None = None, name: str = "") -> tuple[int, str, str]:
        """GET, or POST where there is a body, through the proxy, for a host of that name: status, body, the container
        that answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET" if body is None else "POST", path, body, {"Host": name} if name else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers["X-Esteira-Release"] or ""
        finally:
            connection.close()

    def served_by(self) -> str:
        """The container that answers now."""
        return self.get()[2]

    def containers(self, *filters: str) -> list[str]:
        """The service's containers, running or not, by name."""
        options = [word for each in filters for word in ("--filter", each)]
        label = f"label=esteira.service={self.service}"
        return sorted(run("docker", "ps", "-a", "--filter", label, *options, "--format", "{{.Names}}").split())

    def images(self) -> list[str]:
        """The service's images in the engine, by digest."""
        repository = f"{self.registry}/{self.service}"
        return sorted(
            run("docker", "image", "ls", "--digests", "--format", "{{.Repository}}@{{.Digest}}", repository).split()
        )


def inspected(container: str) -> dict[str, Any]:
    """What the engine knows of a container."""
    return dict(json.loads(run("docker", "inspect", container))[0])


class Traffic:
    """Requests, each on a connection of its own, ``pause`` seconds apart, while the block runs."""

    def __init__(self, host: Host, pause: float = 0, path: str = "/") -> None:
        self._pause, self._path = pause, path
        self.host, self.bodies, self.failed = host, list[str](), list[str]()
        self._over, self._threads = threading.Event(), [threading.Thread(target=self._send) for _ in range(2)]

    def _send(self) -> None:
        while not self._over.is_set():
            try:
                status, body, _ = self.host.get(self._path)
                (self.bodies if status == 200 else self.failed).append(body)
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
            time.sleep(self._pause)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
