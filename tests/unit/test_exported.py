"""What a build exports: what of it is kept, and how a release's record shows it."""

from __future__ import annotations

from typing import Any

import pytest

from aws_events import exported_by
from aws_events.builds import EXPORTED_IN_ALL, EXPORTED_NAMES, EXPORTED_VALUE
from console.read.sentences import sentence
from esteira.core.facts import Accepted, Declined, Retried
from esteira.fact import from_row, to_row
from tests.unit.conftest import NOON, accepted, deployed, digest_of, live_on, release

pytestmark = pytest.mark.unit


def build(**exported: str) -> dict[str, Any]:
    """A build as BatchGetBuilds tells it."""
    rows = [{"name": name, "value": value} for name, value in exported.items()]
    return {"id": "heart-build:1", "exportedEnvironmentVariables": rows}


def having(exported: tuple[str, ...], *, reused: bool = False) -> Accepted:
    """The accepted image of v1, with what its build exported."""
    return Accepted(at=NOON, release=1, attempt=1, digest=digest_of(1), reused=reused, exported=exported)


def test_what_a_build_exports_is_kept_in_its_order() -> None:
    """Names and values come back as the build said them, signs of equality and spaces included."""
    kept = exported_by(build(ROC_AUC="0.9147", FORMULA="a=b c", IMAGE_TAG="git-1"))
    assert kept == ("ROC_AUC=0.9147", "FORMULA=a=b c", "IMAGE_TAG=git-1")
    assert having(kept).figures == {"ROC_AUC": "0.9147", "FORMULA": "a=b c", "IMAGE_TAG": "git-1"}


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"exportedEnvironmentVariables": None},
        {"exportedEnvironmentVariables": []},
        {"exportedEnvironmentVariables": [{"name": "A"}, {"value": "1"}, {"name": "B", "value": None}, {}]},
    ],
)
def test_an_answer_that_tells_nothing_is_nothing(answer: dict[str, Any]) -> None:
    """A build without the field, or with rows that hold no name or no value, exports nothing and is no error."""
    assert exported_by(answer) == ()


@pytest.mark.parametrize("name", ["", "1ST", "ROC-AUC", "A B", "A=B", "É", "N" * 65])
def test_a_name_no_environment_could_have_is_left_out(name: str) -> None:
    """It could not be told to the next build; the names beside it are kept."""
    assert exported_by(build(**{name: "1", "AFTER": "2"})) == ("AFTER=2",)


@pytest.mark.parametrize("value", ["", " \n", "x" * (EXPORTED_VALUE + 1)])
def test_a_value_that_is_empty_or_too_long_is_left_out(value: str) -> None:
    """Half a value would be a wrong value; the longest that fits is kept whole."""
    longest = "y" * EXPORTED_VALUE
    assert exported_by(build(A=value, B=longest)) == (f"B={longest}",)


def test_only_the_first_twenty_names_are_kept() -> None:
    """What is over the bound is left out, the first twenty stay."""
    kept = exported_by(build(**{f"N{n}": str(n) for n in range(EXPORTED_NAMES + 5)}))
    assert kept == tuple(f"N{n}={n}" for n in range(EXPORTED_NAMES))


def test_all_that_is_kept_fits_into_the_next_builds_environment() -> None:
    """Twenty values of full length are too much together: what no longer fits is left out, a short one still fits."""
    long = {f"N{n:02}": "x" * EXPORTED_VALUE for n in range(EXPORTED_NAMES - 1)}
    kept = exported_by(build(**long, SHORT="1"))
    assert sum(map(len, kept)) <= EXPORTED_IN_ALL
    assert kept[-1] == "SHORT=1"


def test_a_row_written_before_there_were_figures_still_reads() -> None:
    """An old row has no such attribute: its release exported nothing that is known."""
    row = to_row(having(("A=1",)))
    assert from_row(row) == having(("A=1",))
    del row["exported"]
    assert from_row(row) == having(())


def test_a_releases_figures_are_those_of_the_image_it_serves() -> None:
    """The figures of a later attempt that never served are not the live one's; what never was live has none."""
    again = Retried(at=NOON, release=1, attempt=2, by="ana", reason="once more")
    later = Accepted(at=NOON, release=1, attempt=2, digest=digest_of(2), reused=False, exported=("ROC_AUC=0.5",))
    facts = [f for f in deployed() if not isinstance(f, Accepted)]
    assert release(1, *facts, having(("ROC_AUC=0.91",)), again, later).on(live_on(1)).figures == {"ROC_AUC": "0.91"}
    assert release(1, having(("ROC_AUC=0.91",))).on(live_on(1)).figures == {}


def test_an_accepted_images_sentence_shows_its_figures() -> None:
    """Compact: the first eight, long values cut, on one line; without figures the sentence is as it was."""
    assert sentence(accepted()).endswith(f"accepted, sha256:{'0' * 12}")
    told = sentence(having(("ROC_AUC=0.9147", "LOG_LOSS=0.376")))
    assert told == f"its image is accepted, sha256:{'0' * 12}; exported: ROC_AUC=0.9147, LOG_LOSS=0.376"
    again = sentence(having(("ROC_AUC=0.9147", "NOTE=two\nlines"), reused=True))
    assert again.startswith("its image was there already")
    assert again.endswith("; exported: ROC_AUC=0.9147, NOTE=two lines")
    many = sentence(having(tuple(f"N{n}={n}" for n in range(10))))
    assert many.endswith("N7=7 and 2 more")
    long = sentence(having((f"IMAGE_DIGEST=sha256:{'a' * 64}",)))
    assert long.endswith(f"exported: IMAGE_DIGEST=sha256:{'a' * 16}…")


def test_an_image_that_could_not_be_accepted_has_a_sentence() -> None:
    """The refusal of a tag, or of CodeBuild to tell, is shown in the record like any other."""
    declined = Declined(at=NOON, release=1, action="accept", attempt=1, take=1, error="AccessDenied")
    assert sentence(declined) == "nobody could accept its image (attempt 1, take 1): AccessDenied"
