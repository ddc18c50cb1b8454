"""``release.json`` of a bundle: which image a host runs, and how to tell that it runs."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from console.local.process.upstream import Limits
from esteira import bundle

RELEASE_FILE = "release.json"
RELEASE_FILE_BYTES = 1024 * 1024


class StepError(Exception):
    """A lifecycle event cannot be done; the sentence why."""


class HostRelease(BaseModel):
    """``release.json`` at the root of a bundle: which image to run, and how to tell that it runs."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    service: str = Field(min_length=1)
    release: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    number: int
    commit: str | None = None
    stage: str = Field(min_length=1)
    image: str
    digest: str = Field(pattern=r"^sha256:[0-9a-f]{64}$")
    port: int = Field(default=0, ge=0, lt=65536)  # the container's own; 0: what the image exposes, or is found
    health_path: str = Field(default="", pattern=r"^(/[!-~]*)?$")  # "": is found
    startup_seconds: float = Field(default=30, gt=0)
    drain_seconds: float = Field(default=10, ge=0)
    min_ready_seconds: float = Field(default=10, ge=0)  # judged so long by its answers before the one before it goes
    max_body_mb: int = Field(default=100, ge=0)  # of a request; 0: any size
    response_seconds: float = Field(default=3600, gt=0)  # between two pieces of an answer
    environment: dict[str, str] = {}
    deployment: str = ""  # which brought it here; the agent knows, the bundle does not
    parameters: dict[str, str] = {}  # by variable, the SSM parameter that holds its value

    @property
    def limits(self) -> Limits:
        """What the front lets through to it."""
        return Limits(self.max_body_mb, self.response_seconds)

    @model_validator(mode="after")
    def _one_image(self) -> Self:
        if not self.image.endswith(f"@{self.digest}"):
            raise ValueError(f"image {self.image} is not the one with the digest {self.digest}")
        return self


class RunningRelease(HostRelease):
    """What is live, as ``live.json`` remembers it. ``directory`` is a name under ``releases/``."""

    directory: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    since: datetime
    health_status: int = 200  # what health_path answered when the release was accepted


def release_in(bundle: bytes) -> HostRelease:
    """The bundle's ``release.json``. Raises StepError with a sentence naming what is wrong in it, or why it cannot
    be run here.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive, archive.open(RELEASE_FILE) as file:
            if _is_foreign(set(archive.namelist()) - {RELEASE_FILE}):
                raise StepError(
                    "the repository brings its own appspec.yml, whose hooks the process engine cannot run; next: "
                    "esteira local up --engine docker, or take appspec.yml away for the default bundle"
                )
            return HostRelease.model_validate_json(file.read(RELEASE_FILE_BYTES))
    except zipfile.BadZipFile as error:
        raise StepError(f"the bundle is not a whole zip file ({error}): upload it again") from error
    except KeyError as error:
        raise StepError(f"the bundle has no {RELEASE_FILE} at its root: put it there and upload it again") from error
    except ValidationError as error:
        raise StepError(f"{RELEASE_FILE} of the bundle is not valid: {sentence_of(error)}") from error


def _is_foreign(names: set[str]) -> bool:
    """Whether a bundle of these files brings hooks of its own. This host does itself what the default one's do."""
    return "appspec.yml" in names and not names <= set(bundle.default().files)


def sentence_of(error: Exception) -> str:
    """The one sentence of an error: pydantic's first field, a system error's text, or what it says."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {first['msg']}" if where else first["msg"]
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)
