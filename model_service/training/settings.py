"""``model.toml``: what the model is about, read and checked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from serving.card import FIGURES, Task


class UnusableSettings(Exception):  # noqa: N818 - the message is a sentence
    """``model.toml`` cannot be used. The message names the file, the entry and the error."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Part):
    """A feature: ``codes`` of a choice; ``unit``, ``low`` and ``high`` of a measure; ``longest`` of a text."""

    unit: str | None = None
    low: float | None = None
    high: float | None = None
    codes: tuple[int, ...] | None = None
    longest: int | None = Field(default=None, ge=1, le=20_000)

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        measure = (self.unit, self.low, self.high)
        others = [name for name in ("codes", "longest") if getattr(self, name) is not None]
        if not others and None in measure:
            raise ValueError("needs either codes, or unit, low and high, or longest (the characters of a text)")
        if len(others) > 1 or (others and measure != (None, None, None)):
            raise ValueError(f"has {others[0]} and therefore nothing else")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("low must be below high")
        return self


class Tolerance(_Part):
    """How much worse than the live release a figure may be: a drop if it should be high, a rise if it should be low."""

    max_drop: float | None = Field(default=None, ge=0)
    max_rise: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_direction(self) -> Self:
        if (self.max_drop is None) == (self.max_rise is None):
            raise ValueError(
                "needs one of max_drop (for a figure that should be high) and max_rise (for one that should be low)"
            )
        return self


class About(_Part):
    """The table ``[model]``."""

    name: str
    task: Task = "binary"
    target: str
    means: str
    threshold: float = Field(default=0.5, ge=0, le=1)
    classes: tuple[str, ...] = ()
    unit: str = ""
    limits: tuple[str, ...]

    @model_validator(mode="after")
    def _fits_the_task(self) -> Self:
        if (self.task == "multiclass") != (len(set(self.classes)) > 1):
            raise ValueError("needs classes, the names of two or more, if task is multiclass, and else none")
        if (self.task == "regression") != (self.unit != ""):
            raise ValueError("needs a unit of the target if task is regression, and else none")
        return self


class Settings(_Part):
    """The whole file."""

    model: About
    gate: Mapping[str, Tolerance] = {}
    known: Mapping[str, tuple[str, ...]] = {}
    features: Mapping[str, Column] = Field(min_length=1)

    @property
    def names(self) -> list[str]:
        """The features, in the order of the data's columns."""
        return list(self.features)

    @property
    def answers(self) -> int:
        """The number of answers for one row: one for each class, else one."""
        return len(self.model.classes) or 1

    @property
    def plain(self) -> dict[str, Column]:
        """The features that are one number each: all but the texts."""
        return {name: column for name, column in self.features.items() if column.longest is None}

    @property
    def texts(self) -> list[str]:
        """The features that are texts."""
        return [name for name, column in self.features.items() if column.longest is not None]

    @property
    def choices(self) -> list[int]:
        """The positions of the features with codes, among the plain ones."""
        return [at for at, column in enumerate(self.plain.values()) if column.codes is not None]

    @property
    def measures(self) -> list[int]:
        """The positions of the features with a unit, among the plain ones."""
        return [at for at, column in enumerate(self.plain.values()) if column.codes is None]

    @property
    def codes(self) -> list[list[float]]:
        """The codes of every choice, in their order."""
        return [list(map(float, column.codes)) for column in self.features.values() if column.codes is not None]

    @model_validator(mode="after")
    def _known_are_features(self) -> Self:
        for label, names in self.known.items():
            strangers = set(names) - set(self.features)
            if strangers:
                raise ValueError(f'known "{label}" names {", ".join(sorted(strangers))}, which is not a feature')
        return self

    @model_validator(mode="after")
    def _gate_judges_figures(self) -> Self:
        strangers = set(self.gate) - set(FIGURES[self.model.task])
        if strangers:
            known = f"the figures of task {self.model.task} are {', '.join(FIGURES[self.model.task])}"
            raise ValueError(f"gate names {', '.join(sorted(strangers))}, which is not a figure; {known}")
        return self


def read_settings(path: Path) -> Settings:
    """The settings in a file. Raises UnusableSettings."""
    try:
        return Settings.model_validate(tomllib.loads(path.read_bytes().decode("utf-8-sig")))
    except OSError as error:
        raise UnusableSettings(f"{path}: {error.strerror}. Put it there, or name another with --settings") from error
    except UnicodeDecodeError as error:
        raise UnusableSettings(f"{path} is not UTF-8 text ({error.reason}). Save it in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise UnusableSettings(f"{path} is not TOML: {error}. Correct that line") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UnusableSettings(f"{path}: {where}: {first['msg']}. Correct that entry") from error
