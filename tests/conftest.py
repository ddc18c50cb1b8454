"""What holds for every test: its folder's mark, how long hypothesis tries, how long a host judges a release."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent
FOLDERS = ("unit", "world", "integration", "e2e", "docker")

# No deadline: how long an example takes says more about the machine than about the code.
settings.register_profile("esteira", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("esteira")
# Local hosts judge a release by its answers for ten seconds; a test that is about that says how long.
os.environ["ESTEIRA_MIN_READY_SECONDS"] = "0"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the mark of its folder, so that ``-m unit`` needs no line in any file, and slow ones time."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        if folder in FOLDERS:
            item.add_marker(folder)
        # make test-slow shares the processors with the Docker tests, and a fixture's time is its first test's.
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1200))
