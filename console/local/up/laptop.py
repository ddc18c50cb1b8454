"""``esteira local up``: the local AWS on a port, the functions behind template.yaml's rules, a host for each service.

What it keeps is in its state folder; ``local.json`` there tells the other commands where it is while it runs.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import platform
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from console.local.aws.aws_server import AwsServer
from console.local.aws.bus import Bus, Delivered
from console.local.aws.functions import Functions, LocalFunction, load, set_environment
from console.local.aws.resources import create_resources
from console.local.aws.stack import LocalAws
from console.local.aws_account import ACCESS_KEY, REGION, credentials
from console.local.paths import FUNCTIONS, SERVICE_TEMPLATE, TEMPLATE, quiet_functions
from console.local.process.process_engine import ProcessEngine
from console.local.sam.emulator import MACHINES
from console.local.stages import give_stages, registered
from console.local.template import read, with_service
from console.local.up.memory import Asked, remember, remembered
from console.read.state_folder import prepare
from console.read.writing import write_private, write_whole

if TYPE_CHECKING:
    from console.local.docker.docker_engine import DockerEngine

STACK = "esteira"
CREDENTIALS_FILE = "[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
# The model runs on this machine, whatever the template's default is.
OF_HERE = {"Architecture": MACHINES.get(platform.machine(), "x86_64")}
_log = logging.getLogger(__name__)
ENGINES = ("process", "docker")
EngineName = Literal["process", "docker"]


class LaptopError(Exception):
    """The local stack cannot start; the sentence says why and what to do."""


@dataclass(frozen=True)
class Whereabouts:
    """Where a running local stack is, as ``local.json`` tells it."""

    endpoint: str
    stack: str
    pid: int
    engine: str
    pages: Mapping[str, str]  # service → where its model answers, on its last stage
    remotes: Mapping[str, str]  # service → where to git push
    logs: str
    hosts: Mapping[str, Sequence[str]] = field(
        default_factory=dict
    )  # service → where each of its last stage's hosts answers
    stages: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)  # service → stage → its hosts
    credentials: str = ""  # the file with the keys of this run, as AWS_SHARED_CREDENTIALS_FILE takes it
    login: str = ""  # what logs a person's docker in to the registry, where there is one


def choose_engine(wanted: EngineName | Literal["auto"], state: Path) -> tuple[EngineName, str]:
    """The engine to start on a state folder, and why it is this one.

    A state keeps the engine it was made with: the images of one are not in the other's registry. Raises LaptopError
    where the wanted one cannot work here.
    """
    before = _kept_engine(state)
    if wanted not in ("auto", before or wanted):
        raise LaptopError(
            f"the state in {state} was made with the {before} engine, and its images are not in the other's registry. "
            f"Next: leave --engine out, or start another stack with --state DIR"
        )
    if wanted == "process" or (wanted == "auto" and before == "process"):
        return "process", "as asked" if wanted == "process" else f"with which {state} was made"
    from console.local.docker.docker_engine import why_not  # only here: most starts need no Docker engine

    why = why_not(state)
    if not why:
        return "docker", "as asked" if wanted == "docker" else "a Docker engine answers"
    if wanted == "docker" or before == "docker":
        raise LaptopError(f"the Docker engine cannot be used: {why}. Next: mend that, or use --engine process")
    return "process", why


class Laptop:
    """A running local stack, as a context. ``watch`` hears every invocation of a function and what it answered;
    each deployment group has ``hosts`` hosts, and the first one is the stage's page. Every service has ``stages``, in
    this order. Without them, and without ``hosts``, they are as this folder's stack had them before; of a new one the
    stages are those of its template, and its first service is called ``service`` and stands in the ``folder`` of its
    repository."""

    def __init__(
        self,
        state: Path,
        *,
        sweep_every: float = 15.0,
        workers: int = 3,
        page_port: int = 0,
        watch: Callable[[Delivered], None] | None = None,
        engine: EngineName = "process",
        hosts: int | None = None,
        stages: Sequence[str] = (),
        service: str = "heart",
        folder: str = "",
    ) -> None:
        self._state = state.absolute()
        self._engine_name = engine
        before = remembered(self._state)
        self._restage = bool(stages)
        sources = before.sources or ({service: {"Folder": folder}} if folder and not before.services else {})
        services = before.services or (service,)
        self._asked = Asked(services, tuple(stages) or before.stages, hosts or before.hosts, sources)
        self._sweep_every = sweep_every
        self._workers = workers
        self._page_port = page_port
        self._watch = watch
        self._lock = _Lock(self._state / "lock")
        self._template = with_service(
            read(TEMPLATE, STACK), {"ServiceName": services[0], **OF_HERE, **sources.get(services[0], {})}
        )
        self._before: dict[str, str | None] = {}
        self._clients: dict[str, Any] = {}
        self._groups: set[str] = set()  # those whose hosts run
        self.whereabouts: Whereabouts

    def __enter__(self) -> Self:
        prepare(self._state)
        self._lock.take()
        kept = _kept(self._state)
        quiet_functions()
        ports = _ports(kept, f"{self._asked.services[0]}-production", self._page_port)
        self._engine = self._new_engine(ports)
        self._bus = Bus(
            self._template.rules,
            Functions(_functions(self._template.functions)),
            retry_delays=(2.0, 5.0),
            schedules=self._template.schedules,
            letters_file=self._state / "dead-letters.jsonl",
            keep=False,
        )
        self._bus.watch = self._watch
        self._local_aws = LocalAws(self._state / "aws", self._engine, self._bus)
        self._local_aws.__enter__()
        try:
            self._open(kept)
        except BaseException:
            self._shut()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shut()

    @property
    def table(self) -> str:
        """The name of the controller's table."""
        return next(f.environment["ESTEIRA_TABLE"] for f in self._template.functions)

    def client(self, name: str) -> Any:
        """A boto3 client that speaks to this stack; the same one each time, since making one takes long."""
        if name not in self._clients:
            import boto3

            make: Any = boto3.client
            keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": self._server.secret}
            self._clients[name] = make(name, endpoint_url=self._server.url, region_name=REGION, **keys)
        return self._clients[name]

    def _new_engine(self, ports: Mapping[str, int]) -> ProcessEngine | DockerEngine:
        if self._engine_name == "process":
            return ProcessEngine(self._state, ports, self._build_environment, self._asked.hosts)
        from console.local.docker.docker_engine import DockerEngine

        return DockerEngine(self._state, ports, self._build_environment, self._asked.hosts)

    def _open(self, kept: Mapping[str, Any]) -> None:
        port = int(str(kept.get("endpoint", ":0")).rsplit(":", 1)[1])
        self._server = AwsServer(self._local_aws, port=port if _free(port) else 0)
        self._server.start()
        keys = credentials(self._server.secret)
        write_private(self._credentials, CREDENTIALS_FILE.format(key=ACCESS_KEY, secret=self._server.secret))
        variables = {f.name: dict(f.environment) for f in self._template.functions}
        names = {*keys, "AWS_ENDPOINT_URL", "AWS_REGION", *(n for v in variables.values() for n in v)}
        self._before = {name: os.environ.get(name) for name in names}
        for environment in variables.values():
            environment.pop("AWS_ENDPOINT_URL", None)
        set_environment(variables, AWS_ENDPOINT_URL=self._server.url, **keys)
        quiet_functions()
        _forget_clients()
        self.whereabouts = Whereabouts(self._server.url, STACK, os.getpid(), self._engine.name, {}, {}, "")
        self._create(self._asked)
        remember(self._state, self._asked)
        self._note()
        self._bus.start(self._workers, self._sweep_every)

    def grow(self) -> tuple[str, ...]:
        """Take in the services that ``esteira local add`` wrote down since; their names."""
        asked = remembered(self._state)
        new = tuple(name for name in asked.services if name not in self._asked.services)
        if new:
            self._create(asked)
            self._asked = asked
            self._note()
        return new

    def _create(self, asked: Asked) -> None:
        """Make what the templates declare, for every service. A registration that is there stays as it is, unless its
        stages were asked for anew."""
        before = registered(self.client, self._services_path)
        create_resources(self._template, self.client)
        for name in asked.services[1:]:
            given = {"ServiceName": name, "ControllerStack": STACK, **OF_HERE, **asked.sources.get(name, {})}
            create_resources(read(SERVICE_TEMPLATE, f"{STACK}-{name}", given), self.client)
        if asked.stages:
            stages = [{"name": name} for name in asked.stages]
            try:
                give_stages(self.client, self._services_path, stages, but=() if self._restage else before)
            except ValueError as error:
                raise LaptopError(f"{error}. Next: esteira local up --stages staging,production") from None
        self._restage = False

    def _note(self) -> None:
        """Tell the other commands where everything is."""
        self.whereabouts = self._found()
        write_whole(self._state / "local.json", json.dumps(asdict(self.whereabouts), indent=1))

    def _found(self) -> Whereabouts:
        """Where everything is: each service's remote, and each of its stages' hosts."""
        from esteira.aws import Aws

        services, _ = Aws(self.client).services(self._services_path)
        stages = {s.name: {stage.name: self._resumed(stage.group) for stage in s.stages} for s in services}
        hosts = {service.name: stages[service.name][service.last.name] for service in services}
        pages = {name: there[0] for name, there in hosts.items()}
        remotes = {service.name: str(self._local_aws.codecommit.path(service.repository)) for service in services}
        logs = str(self._state / "aws" / "logs")
        name, file = self._engine.name, str(self._credentials)
        here = (self._server.url, STACK, os.getpid(), name)
        return Whereabouts(*here, pages, remotes, logs, hosts, stages, file, self._engine.login)

    def _resumed(self, group: str) -> list[str]:
        """Where the hosts of a deployment group answer, each with what it ran before the stack was stopped."""
        there = [self._engine.host(group, id_) for id_ in self._engine.hosts(group)]
        for host in () if group in self._groups else there:
            if why := host.resume():
                _log.warning(why)
        self._groups.add(group)
        return [f"http://127.0.0.1:{host.port}" for host in there]

    @property
    def _services_path(self) -> str:
        return next(f.environment["ESTEIRA_SERVICES_PATH"] for f in self._template.functions)

    def _build_environment(self) -> Mapping[str, str]:
        return {**credentials(self._server.secret), "AWS_ENDPOINT_URL": self._server.url}

    @property
    def _credentials(self) -> Path:
        return self._state / "credentials"

    def _shut(self) -> None:
        server = getattr(self, "_server", None)
        self._bus.stop()
        self._local_aws.__exit__(None, None, None)
        if server is not None:
            server.stop()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _forget_clients()
        where = self._state / "local.json"
        if where.exists():
            # What is left tells the next start which ports to take again, and no command that anything runs.
            where.replace(self._state / "last.json")
        self._credentials.unlink(missing_ok=True)
        self._lock.release()


class _Lock:
    """One stack per state folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self) -> None:
        """Take it; raise LaptopError if a stack runs here."""
        self._file = self._path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            folder = self._path.parent
            raise LaptopError(
                f"a local stack runs on {folder} already. Next: stop it (Ctrl-C where it runs), or start another with "
                f"--state DIR"
            ) from None

    def release(self) -> None:
        """Let the next have it."""
        self._file.close()


def _functions(specs: Any) -> list[LocalFunction]:
    return [
        LocalFunction(
            s.name, load(FUNCTIONS, s.handler), s.logical_id, s.dead_letters, s.destination, s.timeout, s.memory
        )
        for s in specs
    ]


def _kept(state: Path) -> Mapping[str, Any]:
    """Where the last stack on this folder was, {} if there was none."""
    for name in ("last.json", "local.json"):
        if (state / name).exists():
            kept: dict[str, Any] = json.loads((state / name).read_text())
            (state / "local.json").unlink(missing_ok=True)
            return kept
    return {}


def _kept_engine(state: Path) -> EngineName | Literal[""]:
    """The engine that a state folder was made with, "" for a new one."""
    for name in ("last.json", "local.json"):
        if (state / name).exists():
            engine = json.loads((state / name).read_text()).get("engine", "")
            return engine if engine in ENGINES else ""
    return ""


def _ports(kept: Mapping[str, Any], group: str, wanted: int) -> Mapping[str, int]:
    """Each stage's page's port by deployment group: the one it had before if it is free, and for ``group`` the wanted
    one."""
    ports = {}
    for service, stages in kept.get("stages", {}).items():
        for stage, hosts in stages.items():
            port = int(hosts[0].rsplit(":", 1)[1])
            ports[f"{service}-{stage}"] = port if _free(port) else 0
    return {**ports, **({group: wanted} if wanted else {})}


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return port == 0 or probe.connect_ex(("127.0.0.1", port)) != 0


def _forget_clients() -> None:
    """Drop the functions' cached clients, keys and settings: they are of a stack that is gone, or of AWS itself."""
    import boto3

    from esteira import aws, bootstrap

    boto3.DEFAULT_SESSION = None
    aws.client.cache_clear()
    bootstrap.from_environment.cache_clear()
