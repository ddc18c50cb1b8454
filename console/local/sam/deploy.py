"""``make deploy-local``: the built template deployed by ``sam deploy`` to an emulator on this machine, looked at, put
to work, updated and deleted. Ends with 0 only if all of that was as it should be.

The emulator is ministack, which expands SAM's template, creates the resources, runs the functions with their roles'
policies enforced, and has the table, the bus and the topics. What it does not know by type is left out by
``deploy_template``'s rule and named. The services it lacks are played by the local AWS, on which the functions find
their repository, builds, images and deployments; nothing there ends until it is told to.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from console.local.aws.aws_server import AwsServer
from console.local.aws.bus import Bus
from console.local.aws.clock import Clock
from console.local.aws.functions import Functions, LocalFunction
from console.local.aws.resources import create_resources
from console.local.aws.stack import LocalAws
from console.local.paths import ROOT, TEMPLATE
from console.local.rehearse.rehearsal_engine import ScriptedEngine
from console.local.rules import EventRule
from console.local.sam.artifact import ReleaseError, version_of
from console.local.sam.deploy_build import build, fit
from console.local.sam.deploy_rehearsal import (
    CHANGE,
    LACKED,
    LOG,
    PARAMETERS,
    SECOND,
    SERVICE,
    STACK,
    DeployError,
    DeployRehearsal,
    Say,
    granted,
)
from console.local.sam.ministack import CREDENTIALS, TOOLS, Ministack, MinistackError, find
from console.local.sam.sam_cli import SamError
from console.local.template import TemplateError, read, with_service


@contextmanager
def rehearsal(folder: Path, say: Say, tools: Path = TOOLS) -> Iterator[DeployRehearsal]:
    """Start the emulator and the local AWS beside it, build for them, and yield what can be rehearsed. Raises
    MinistackError, SamError, ReleaseError or DeployError."""
    python = find(tools)
    engine = ScriptedEngine(manual=True)
    with ExitStack() as open_:
        made: list[DeployRehearsal] = []

        def forward(event: Any, _context: Any) -> list[Any]:
            return made[0].forward(event)

        every = EventRule("every", {"source": [{"prefix": "aws."}]}, ("forward",))
        functions = Functions([LocalFunction("forward", forward, "forward")])
        bus = Bus((every,), functions, Clock(), retry_delays=(), keep=False)
        beside = open_.enter_context(LocalAws(folder / "beside", engine, bus, keep=False))
        server = open_.enter_context(AwsServer(beside, signed=False))  # ministack makes up the keys
        client = cache(partial(_client, server.url))
        create_resources(with_service(read(TEMPLATE, STACK, PARAMETERS)), client)
        emulator = open_.enter_context(Ministack(folder / "emulator", enforced=True, tools=tools))
        say(
            "ministack",
            f"{emulator.url}, Python {version_of(str(python))}; what it lacks is the local AWS at {server.url}",
        )
        endpoints = {"AWS_ENDPOINT_URL": emulator.url, **{f"AWS_ENDPOINT_URL_{name}": server.url for name in LACKED}}
        build(folder, python, say)
        fit(folder / "build", emulator, endpoints, say)
        made.append(DeployRehearsal(emulator, beside, client, engine, folder / "build", say))
        yield made[0]


def run(folder: Path, say: Say) -> None:
    """Rehearse a deployment in ``folder``. Raises DeployError and what ``rehearsal`` raises."""
    with rehearsal(folder, say) as here:
        here.deploy()
        there = here.look(here.stack())
        services = [here.add_service(SERVICE), here.add_service(SECOND)]
        here.fail_to_add(SECOND)
        with granted(here, there):
            here.work(there)
        here.update()
        for service in services:
            here.delete(service)
        here.delete(here.stack(**CHANGE))


def main() -> int:
    """Rehearse and tell of it. Return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    begin = time.monotonic()

    def say(what: str, told: str) -> None:
        print(f"{what:<12}{told}", flush=True)

    try:
        with tempfile.TemporaryDirectory(prefix="esteira-deploy-", ignore_cleanup_errors=True) as name:
            try:
                run(Path(name), say)
            except (DeployError, BotoCoreError, ClientError) as error:
                shutil.copy(Path(name) / "emulator" / "ministack.log", ROOT / LOG)
                told = str(error) if isinstance(error, DeployError) else f"the emulator did not do its part: {error}"
                step = "" if "Next: " in told else f" Next: read {LOG}, the emulator's, or correct the template"
                raise DeployError(f"{told}{step}") from None
    except (DeployError, MinistackError, ReleaseError, SamError, TemplateError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted, so nothing is shown; the emulator and its folder are gone", file=sys.stderr)
        return 128 + signal.SIGINT
    say("all so", f"in {time.monotonic() - begin:.0f} s; nothing of it is left here. Next: sam deploy --guided")
    return 0


def _client(url: str, service: str) -> Any:
    import boto3

    make: Any = boto3.client
    keys = {name.lower(): value for name, value in CREDENTIALS.items() if name != "AWS_DEFAULT_REGION"}
    return make(service, endpoint_url=url, region_name=CREDENTIALS["AWS_DEFAULT_REGION"], **keys)


if __name__ == "__main__":
    sys.exit(main())
