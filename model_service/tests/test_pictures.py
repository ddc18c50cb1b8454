"""The pictures are well-formed, and their texts and shapes agree."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from serving import pictures
from serving.pictures import Line

SVG = "{http://www.w3.org/2000/svg}"
FEW = [(0.0, False), (0.1, False), (0.1, True), (0.9, True), (1.0, True)]
TICKS = ("0%", "50%", "100%")


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)


def dots(picture: ET.Element, kind: str) -> int:
    """The number of dots of a kind; the ring and the point of a dot are not counted."""
    found = [group for group in picture.iter(f"{SVG}g") if group.get("class") == f"dots {kind}"]
    return sum(group[0].get("d", "").count("M") for group in found)


def standing(probability: float = 0.5, patients: list[tuple[float, bool]] = FEW, here: str = "Here: 50%") -> ET.Element:
    return parsed(
        pictures.standing(Line(patients, 0, 1, TICKS), probability, (0.4, 0.6), (0.2, 0.9), here, "an alternative")
    )


@pytest.mark.parametrize(
    ("figures", "counts"),
    [
        ((0.53, 0.40, 0.61), (40, 13, 8, 39)),
        ((0.0, 0.0, 0.04), (0, 0, 4, 96)),
        ((1.0, 0.9, 1.0), (90, 10, 0, 0)),
    ],
)
def test_of_a_hundred_people_as_many_are_filled_as_are_ill(
    figures: tuple[float, float, float], counts: tuple[int, int, int, int]
) -> None:
    """One dot is one person, and no person is lost to rounding."""
    picture = parsed(pictures.hundred(*figures, "an alternative"))
    kinds = ("ill", "ill unsure", "well unsure", "well")
    assert tuple(dots(picture, kind) for kind in kinds) == counts


def test_every_patient_is_a_dot_of_their_kind() -> None:
    """The patients at both ends of the line are included."""
    picture = standing()
    assert (dots(picture, "well"), dots(picture, "ill")) == (2, 3)


def test_ill_and_healthy_differ_in_shape() -> None:
    """They differ without colours: the healthy have a ring."""
    groups = {group.get("class"): len(group) for group in standing().iter(f"{SVG}g")}
    assert groups == {"dots well": 2, "dots ill": 1}


def test_a_large_data_set_keeps_its_picture_small() -> None:
    """With ten thousand patients a dot represents several, and every column fits into the picture."""
    many = [(0.5, at % 2 == 0) for at in range(10_000)]
    per = Line(many, 0, 1, TICKS).per
    picture = standing(patients=many)
    assert per == 295
    assert dots(picture, "ill") == dots(picture, "well") == 17
    assert float(picture.get("viewBox", "").split()[3]) < 300


@pytest.mark.parametrize("probability", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_the_marker_and_its_words_stay_within_the_picture(probability: float) -> None:
    """Also at both ends of the line."""
    picture = standing(probability, here="Aqui: >99%")
    words = next(text for text in picture.iter(f"{SVG}text") if text.get("class") == "here")
    at, room = float(words.get("x", "")), 7.5 * len("Aqui: >99%")
    left = {"start": at, "middle": at - room / 2, "end": at - room}[words.get("text-anchor", "")]
    assert left >= 0
    assert left + room <= pictures.WIDTH


def test_an_image_has_its_alternative_in_words() -> None:
    """A screen reader finds one image with a text, which is escaped in its attribute."""
    alt = 'Ill: "3" <of 5> & more'
    picture = parsed(pictures.hundred(0.5, 0.4, 0.6, alt))
    assert picture.get("role") == "img"
    assert picture.get("aria-label") == alt


def test_a_bar_beside_its_words_is_not_read_twice() -> None:
    """The row's words already have the content of its bar."""
    for bar in (pictures.change(0.1, 0.2), pictures.whisker(0.9, 0.88, 0.95)):
        assert parsed(bar).get("aria-hidden") == "true"


def test_what_raises_points_right_and_what_lowers_left() -> None:
    """The longest fills its half."""
    right = parsed(pictures.change(0.2, 0.2))[1]
    left = parsed(pictures.change(-0.1, 0.2))[1]
    assert (right.get("class"), right.get("x"), right.get("width")) == ("raises", "100", "100")
    assert (left.get("class"), left.get("x"), left.get("width")) == ("lowers", "50", "50")


def test_a_share_below_chance_stays_on_its_line() -> None:
    """A model worse than chance has its point at the beginning of the line."""
    interval, point = parsed(pictures.whisker(0.45, 0.4, 0.6, 0.5))[1:]
    assert (interval.get("x"), interval.get("width"), point.get("x")) == ("0", "40", "0")
