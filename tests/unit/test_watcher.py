"""The watcher on a host calls a container sick by what it saw, and well again only after a while."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from host.watcher.looking import AccessLog, live
from host.watcher.verdict import WELL_SECONDS, Condition, LoggedRequest, Look, Verdict, following, verdict

WELL = Verdict()


def looks(*ends: int, every: float = 5.0) -> list[Look]:
    """A look every few seconds, each with so many ends until then."""
    return [Look(at=n * every, ends=count, status=1 if count else 0) for n, count in enumerate(ends)]


def requests(count: int, *, errors: int = 0, seconds: float = 0.01) -> list[LoggedRequest]:
    """So many requests of the last seconds, some with an error."""
    return [LoggedRequest(float(n), "heart-v2-1", 500 if n < errors else 200, seconds) for n in range(count)]


def test_a_container_that_ends_twice_is_in_a_crash_loop() -> None:
    """With how often, in what time, and the last status; one end may be bad luck, and old ones do not count."""
    assert verdict(looks(0, 0, 1, 1), [], None) == WELL
    assert verdict(looks(0, 1, 1, 2), [], None) == Verdict("crash-loop", {"times": 2, "seconds": 15, "status": 1})
    assert verdict(looks(0, 1, 2, 2, 2, every=60.0), [], None) == WELL
    assert verdict(looks(7, 7, 7), [], None) == WELL  # what it did before it was watched


def test_ends_for_lack_of_memory_have_their_own_word() -> None:
    """What to do about it is another thing."""
    first, *rest, last = looks(0, 1, 2)
    assert verdict([first, *rest, replace(last, killed=2)], [], None).sick == "out-of-memory"


def test_workers_ended_for_lack_of_memory_count_though_the_container_stays() -> None:
    """A server that starts its workers again hides it from Docker's count of restarts."""
    first, second, last = looks(0, 0, 0)
    seen = [first, replace(second, killed=1), replace(last, killed=3)]
    assert verdict(seen, [], None) == Verdict("out-of-memory", {"times": 3, "seconds": 10})


@pytest.mark.parametrize(("answers", "sick"), [("200 500 500 500 500", "unhealthy"), ("500 500 200 500 200", "")])
def test_a_health_path_that_answers_otherwise_for_a_while_is_unhealthy(answers: str, sick: str) -> None:
    """One slow answer is none, and one right answer begins anew."""
    seen = [replace(look, answer=answer) for look, answer in zip(looks(0, 0, 0, 0, 0), answers.split(), strict=True)]
    assert verdict(seen, [], None).sick == sick


def test_no_answer_is_told_as_status_nought() -> None:
    """There is no status then."""
    seen = [replace(look, answer="") for look in looks(0, 0, 0, 0)]
    assert verdict(seen, [], None) == Verdict("unhealthy", {"seconds": 15, "status": 0})


@pytest.mark.parametrize(("count", "errors", "sick"), [(40, 8, "errors"), (40, 2, ""), (10, 10, "")])
def test_a_share_of_errors_needs_requests(count: int, errors: int, sick: str) -> None:
    """One in ten of at least twenty."""
    assert verdict(looks(0), requests(count, errors=errors), None).sick == sick


@pytest.mark.parametrize(
    ("seconds", "before", "sick"),
    [(0.5, 0.05, "slow"), (0.5, None, ""), (0.5, 0.2, ""), (0.05, 0.001, "")],
)
def test_slow_is_slower_than_the_release_before(seconds: float, before: float | None, sick: str) -> None:
    """Five times and a fifth of a second; without a release before nobody knows what is slow."""
    assert verdict(looks(0), requests(30, seconds=seconds), before).sick == sick


def test_a_disk_that_is_nearly_full_is_told_last() -> None:
    """What the release does itself is told before."""
    (look,) = looks(0)
    assert verdict([replace(look, disk_percent=3)], [], None) == Verdict("disk", {"percent": 3})
    assert verdict([replace(look, disk_percent=3)], requests(30, errors=30), None).sick == "errors"


def test_a_sick_container_is_well_after_a_while_without_a_sign() -> None:
    """Its since stays while it is the same; a moment without a sign of it is no end of it."""
    sick = Verdict("errors", {"times": 5})
    state = following(Condition(WELL, 0.0, 0.0), sick, 10.0)
    assert (state.verdict, state.since) == (sick, 10.0)
    state = following(following(state, WELL, 20.0), Verdict("errors", {"times": 9}), 30.0)
    assert (state.verdict.figures, state.since) == ({"times": 9}, 10.0)
    state = following(state, WELL, 30.0 + WELL_SECONDS)
    assert (state.verdict, state.since) == (WELL, 30.0 + WELL_SECONDS)


def write(path: Path, lines: Iterable[str]) -> None:
    with path.open("a") as file:
        file.write("".join(lines))


def test_the_log_is_followed_over_its_turns(tmp_path: Path) -> None:
    """Half a line waits for its rest; a file that was turned over or cut is read from its beginning."""
    path = tmp_path / "esteira-heart.log"
    log = AccessLog(path)
    log.read()
    write(path, ["1700000000.123 heart-v1-18080 200 0.100 GET /a\n", "1700000001.123 heart-v1-180"])
    log.read()
    assert [r.seconds for r in log.of("heart-v1-18080")] == [0.1]
    write(path, ["80 502 0.200 GET /b c\n", "no line of ours\n"])
    log.read()
    assert [r.status for r in log.of("heart-v1-18080")] == [200, 502]
    path.rename(tmp_path / "esteira-heart.log.1")
    write(path, ["1700000002.123 heart-v2-18081 200 0.001 GET /\n"] * 2)
    log.read()
    assert len(log.of("heart-v2-18081")) == 2
    assert log.median_before("heart-v2-18081") is None
    path.write_text("1700000003.000 heart-v2-18081 200 0.001 GET /\n")
    log.read()
    assert len(log.of("heart-v2-18081")) == 3


def test_what_was_usual_before_is_the_median_of_others(tmp_path: Path) -> None:
    """A new release is compared with the answers of those before it, errors left out."""
    log = AccessLog(tmp_path / "esteira-heart.log")
    seconds = [0.01] * 15 + [0.03] * 10
    lines = [f"1700000000.000 heart-v1-18080 200 {each:.3f} GET /\n" for each in seconds]
    lines += ["1700000000.000 heart-v1-18080 502 9.000 GET /\n"] * 40
    write(tmp_path / "esteira-heart.log", lines)
    log.read()
    assert log.median_before("heart-v2-18081") == 0.01


@pytest.mark.parametrize("place", ["esteira-heart.containers/heart-v2-18081", "esteira-heart=heart-v2-18081"])
def test_what_is_live_is_where_the_link_points(tmp_path: Path, place: str) -> None:
    """The file there tells what its health path answered when it was accepted."""
    link = tmp_path / "esteira-heart"
    assert live(link) == ("", "")
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text("/ping 200\n")
    link.symlink_to(place)
    assert live(link) == ("heart-v2-18081", "/ping 200\n")
