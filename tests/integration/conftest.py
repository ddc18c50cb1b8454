"""The controller on the local AWS: moto, git, and the resources of template.yaml, in one thread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import boto3
import pytest

from console.local.aws.faults import Call
from console.local.engine import HOST
from console.local.rehearse.rehearsal import Rehearsal
from console.local.sam.ministack import Ministack, MinistackError, find
from console.local.stages import Rules
from tests.unit.rights import asked, called
from tests.world.story import ACCESS_KEY_ID, PRODUCTION, Steps, doubles, dying, key_of, refusing, told

__all__ = ["ACCESS_KEY_ID", "PRODUCTION", "Story", "doubles", "dying", "key_of", "refusing", "told"]


class Story(Steps, Rehearsal):
    """A story on moto. However it goes, no function may call what its code was not found to call: its role would not
    let it."""

    def __init__(
        self,
        folder: Path,
        there: Sequence[str] = (HOST,),
        elsewhere: Mapping[str, str] = MappingProxyType({}),
        stages: Sequence[Rules] = (),
    ) -> None:
        super().__init__(folder, self.scripted(there), elsewhere=elsewhere, stages=stages)
        self.asked: defaultdict[str, set[str]] = defaultdict(set)  # by handler, the rights that its calls needed
        self.faults.watch = self._watch

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is None:
            assert self.strayed() == {}

    def aws_client(self, name: str) -> Any:
        """A boto3 client of the local AWS."""
        make: Any = boto3.client
        return make(name)

    def strayed(self) -> dict[str, set[str]]:
        """Return, by handler, the rights its calls needed and its code was not found to need."""
        return {handler: found for handler, calls in self.asked.items() if (found := calls - called(handler).keys())}

    def _watch(self, call: Call) -> None:
        if self.in_function:
            self.asked[self.in_function] |= asked(call.service, call.operation, call.params)


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    """A running ministack; where it is not installed, the reason names what to type."""
    try:
        find()
    except MinistackError as missing:
        pytest.skip(str(missing))
    with Ministack(tmp_path_factory.mktemp("ministack")) as running:
        yield running


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    """A story that has not begun. However it goes, nothing may be built or deployed twice."""
    with Story(tmp_path) as story:
        yield from told(story)
