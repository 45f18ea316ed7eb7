from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from bodystream.pipeline.masks import silhouettes, skeleton_distance
from bodystream.pipeline.types import Mask, Result
from tests.fakes import person

SIZE = (64, 48)


def rectangle(x0, y0, x1, y1, value=255):
    """A mask whose map is a solid x1-x0 by y1-y0 block with a margin of one, placed at (x0, y0)."""
    probability = np.zeros((y1 - y0 + 2, x1 - x0 + 2), np.uint8)
    probability[1:-1, 1:-1] = value
    return Mask(probability, np.array([[1, 0, x0 - 1], [0, 1, y0 - 1]], np.float64))


def pasted(people, size=SIZE):
    """The silhouettes as whole images."""
    images = []
    for silhouette in silhouettes(people, size):
        image = np.zeros(size[::-1], bool)
        if silhouette is not None:
            h, w = silhouette.inside.shape
            image[silhouette.y : silhouette.y + h, silhouette.x : silhouette.x + w] = silhouette.inside
        images.append(image)
    return images


def test_a_mask_without_scaling_lands_on_exactly_its_pixels():
    (image,) = pasted([replace(person(), mask=rectangle(10, 5, 14, 8))])
    expected = np.zeros((48, 64), bool)
    expected[5:8, 10:14] = True
    assert np.array_equal(image, expected)


def test_a_mask_twice_as_large_in_the_image_has_four_times_the_area():
    mask = Mask(rectangle(0, 0, 8, 8).probability, np.array([[2, 0, 10], [0, 2, 10]], np.float64))
    (image,) = pasted([replace(person(), mask=mask)])
    assert image.sum() == 16 * 16
    assert image[12:28, 12:28].all()  # the map's block begins at (1, 1): 10 + 2


@pytest.mark.parametrize(("x", "y"), [(-3, 5), (60, 5), (10, -2), (10, 46)])
def test_a_mask_over_the_edge_is_cut(x, y):
    (image,) = pasted([replace(person(), mask=rectangle(x, y, x + 6, y + 4))])
    expected = np.zeros((48, 64), bool)
    expected[max(0, y) : y + 4, max(0, x) : x + 6] = True
    assert np.array_equal(image, expected)


def test_outside_empty_and_absent_masks_give_nothing():
    nowhere = [
        replace(person(), mask=rectangle(100, 5, 104, 8)),
        replace(person(), mask=rectangle(10, 5, 14, 8, value=127)),
        person(),
    ]
    assert silhouettes(nowhere, SIZE) == (None, None, None)


def test_no_pixel_is_given_to_two_people_and_none_is_lost():
    left, right = person(20, 24), person(40, 24)
    people = [replace(left, mask=rectangle(10, 8, 38, 40)), replace(right, mask=rectangle(22, 8, 50, 40))]
    a, b = pasted(people)
    assert not (a & b).any()
    union = np.zeros((48, 64), bool)
    union[8:40, 10:50] = True
    assert np.array_equal(a | b, union)
    # Equal masks, so the skeletons decide: the border lies half-way between them, at x = 30.
    assert a[24, 22:29].all()
    assert b[24, 31:38].all()


def test_three_people_on_one_spot_share_it_out():
    people = [replace(person(20 + 10 * i, 24), mask=rectangle(10, 8, 50, 40)) for i in range(3)]
    images = pasted(people)
    assert np.array_equal(sum(image.astype(int) for image in images) > 0, images[0] | images[1] | images[2])
    assert max(sum(image.astype(int) for image in images).ravel()) == 1
    assert all(image.any() for image in images)


def test_a_much_surer_mask_wins_from_a_near_skeleton():
    unsure = replace(person(20, 24), mask=rectangle(10, 8, 38, 40, value=130))
    sure = replace(person(22, 24), mask=rectangle(10, 8, 38, 40))
    a, b = pasted([unsure, sure])
    assert b.sum() > 0.9 * (a.sum() + b.sum())


def test_distance_to_the_skeleton_of_a_person_without_landmarks_is_that_to_the_middle():
    somebody = person(32, 24, 30, pose=False)  # box 15 x 30: a unit is a quarter of sqrt(450)
    distance = skeleton_distance(somebody, (32, 24, 60, 25))
    assert distance.shape == (1, 28)
    assert distance[0, 20] == pytest.approx(20.5 / (0.25 * np.sqrt(450)), abs=0.2)


def test_a_result_pastes_once():
    result = Result(0, Fraction(0), SIZE, (replace(person(), mask=rectangle(1, 1, 4, 4)),))
    assert result.silhouettes is result.silhouettes
