"""A registry for a module's images, and a host for each test that asks for one."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.ec2 import Host, answers, free_port, until


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry on 127.0.0.1; its HOST:PORT."""
    where, port = tmp_path_factory.mktemp("registry"), free_port()
    (where / "config.yml").write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {where}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with (where / "log").open("w") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(where / "config.yml")], stdout=log, stderr=log)
    until("the registry", lambda: answers(port))
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture
def host(registry: str, tmp_path: Path) -> Iterator[Host]:
    """A host with nothing on it."""
    host = Host(tmp_path, registry, f"heart-{uuid.uuid4().hex[:6]}")
    host.start()
    yield host
    host.stop()
