"""A registry for a module's images, and a host for each test that asks for one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.ec2 import Host, registry_in


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real registry on 127.0.0.1; its HOST:PORT."""
    with registry_in(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def host(registry: str, tmp_path: Path) -> Iterator[Host]:
    """A host with nothing on it."""
    host = Host(tmp_path, registry, f"heart-{uuid.uuid4().hex[:6]}")
    host.start()
    yield host
    host.stop()
