"""Crops: where they lie, what they show, and that their pixels are where the affine map says."""

import numpy as np
import pytest

from bodystream.models.crop import Crop, crop_of_box, crop_of_landmarks, crop_to_image, warp


def at(crop, pixels, *points):
    """Where points of the crop lie in the image."""
    to_image = crop_to_image(crop, pixels)
    return np.array(points, float) @ to_image[:, :2].T + to_image[:, 2]


def test_the_corners_of_an_upright_crop():
    assert at(Crop(100, 50, 40), 256, (0, 0), (256, 256)).tolist() == [[80, 30], [120, 70]]


def test_up_in_a_turned_crop_is_the_person_s_up():
    # A quarter turn clockwise: the person's head is to the right of the hips.
    head = at(Crop(100, 50, 40, np.pi / 2), 256, (128, 0))
    np.testing.assert_allclose(head, [[120, 50]], atol=1e-9)


def test_crop_of_a_box_is_a_square_round_its_middle():
    assert crop_of_box(np.float32([10, 20, 30, 60])) == Crop(20, 40, 60)
    assert crop_of_box(np.float32([5, 5, 5, 5])).size > 0


@pytest.mark.parametrize(
    ("top", "angle"),
    [((100, 10), 0.0), ((140, 50), np.pi / 2), ((100, 90), np.pi), ((60, 50), -np.pi / 2)],
)
def test_crop_of_landmarks_turns_with_the_person(top, angle):
    crop = crop_of_landmarks(np.float32([100, 50]), np.float32(top))
    assert (crop.x, crop.y, crop.size) == (100, 50, 100)
    assert np.cos(crop.angle - angle) == pytest.approx(1)


def test_the_auxiliary_points_find_their_own_crop_again():
    crop = Crop(60, 70, 50, 2.5)
    hip, top = at(crop, 256, (128, 128), (128, 128 - 256 / 2.5)).astype(np.float32)
    again = crop_of_landmarks(hip, top)
    np.testing.assert_allclose((again.x, again.y, again.size, again.angle), (60, 70, 50, 2.5), rtol=1e-5)


def test_a_body_without_extent_still_has_a_crop():
    crop = crop_of_landmarks(np.float32([3, 4]), np.float32([3, 4]))
    assert crop.size == 1


def test_a_crop_of_whole_pixels_shows_them_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    np.testing.assert_array_equal(warp(image, Crop(8, 6, 8), 8), image[2:10, 4:12])
    np.testing.assert_array_equal(warp(image, Crop(8, 6, 8, np.pi), 8), image[2:10, 4:12][::-1, ::-1])
    np.testing.assert_array_equal(warp(image, Crop(8, 6, 8, np.pi / 2), 8), np.rot90(image[2:10, 4:12]))


def test_outside_the_image_is_black():
    image = np.full((4, 4, 3), 200, np.uint8)
    crop = warp(image, Crop(0, 0, 8), 8)
    np.testing.assert_array_equal(crop[4:, 4:], image)
    assert crop[:4].max() == crop[:, :4].max() == 0


@pytest.mark.parametrize("size", [16, 24, 100])
def test_a_dot_is_shown_where_the_map_says_at_every_scale(size):
    # A soft dot, wide against the sampling, so that its centre of gravity survives.
    ys, xs = np.mgrid[:200, :200] + 0.5
    dot = 255 * np.exp(-((xs - 108) ** 2 + (ys - 93) ** 2) / (2 * (size / 12) ** 2))
    image = np.repeat(dot[..., None], 3, axis=2).astype(np.uint8)
    crop = Crop(105, 95, size, 0.6)
    shown = warp(image, crop, 24)[..., 0].astype(float)
    found = [(shown.sum(axis) * (np.arange(24) + 0.5)).sum() / shown.sum() for axis in (0, 1)]
    np.testing.assert_allclose(at(crop, 24, found)[0], [108, 93], atol=0.02 * size / 24 + 0.05)


def test_a_much_larger_crop_averages_its_pixels():
    noise = np.random.default_rng(0).normal(128, 30, (400, 400, 3)).clip(0, 255).astype(np.uint8)
    close, far = warp(noise, Crop(200, 200, 60), 32), warp(noise, Crop(200, 200, 256), 32)
    assert far.std() < 0.7 * close.std()


def test_the_result_is_written_where_it_is_asked_for():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for size in (10, 64):
        batch = np.zeros((2, 8, 8, 3), np.uint8)
        warp(image, Crop(32, 32, size), 8, out=batch[1])
        np.testing.assert_array_equal(batch[1], warp(image, Crop(32, 32, size), 8))
        assert batch[0].max() == 0


def test_a_crop_far_outside_the_image_is_black():
    assert warp(np.full((4, 4, 3), 200, np.uint8), Crop(1e5, -1e5, 50), 16).max() == 0
