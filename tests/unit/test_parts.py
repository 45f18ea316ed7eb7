"""Part numbers are for ever: results, nets and textures of users are written in them."""

import pytest

from bodystream.models.body.parts import MIRROR_PART, PARTS

# Name, and the numbers of its right and left, or its only one.
NUMBERS = [
    ("torso back", 1, 1),
    ("torso front", 2, 2),
    ("hand", 3, 4),
    ("foot", 6, 5),
    ("upper leg back", 7, 8),
    ("upper leg front", 9, 10),
    ("lower leg back", 11, 12),
    ("lower leg front", 13, 14),
    ("upper arm inner", 16, 15),
    ("upper arm outer", 18, 17),
    ("lower arm inner", 20, 19),
    ("lower arm outer", 22, 21),
    ("head", 23, 24),
]


@pytest.mark.parametrize(("name", "right", "left"), NUMBERS)
def test_the_numbers_are_densepose_s(name: str, right: int, left: int) -> None:
    sides = ("", "") if right == left else ("right ", "left ")
    assert (PARTS[right - 1], PARTS[left - 1]) == (sides[0] + name, sides[1] + name)
    assert (MIRROR_PART[right], MIRROR_PART[left]) == (left, right)


def test_all_are_there() -> None:
    assert len(set(PARTS)) == 24
    assert sorted({number for _, *numbers in NUMBERS for number in numbers}) == [*range(1, 25)]
    assert sorted(MIRROR_PART) == [*range(25)]
