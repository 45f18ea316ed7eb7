"""People drawn for the landmark net to look at, and what is taken of its looks."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from bodystream.models.crop import Crop
from bodystream.models.keypoints import SWAP
from bodystream.training.lift.measure import Shot, background, followed, is_flipped
from bodystream.training.people import make_figure
from bodystream.training.rendered import drawn, painted

FOCAL_PX, SIZE = 400.0, np.array([320, 240])


@pytest.fixture(scope="module")
def shot() -> Shot:
    rng = np.random.default_rng(0)
    figure = make_figure(rng)
    upright = np.repeat(np.eye(3, dtype=np.float32)[None], 17, axis=0)
    ground = np.full((240, 320, 3), 255, np.uint8)
    place = np.array([0.3, 0.1, 4], np.float32)
    one = drawn(figure, painted(rng), upright, np.eye(3, dtype=np.float32), place, FOCAL_PX, ground)
    return Shot([one, one], FOCAL_PX, SIZE)


def test_a_person_is_drawn_where_their_landmarks_are(shot: Shot):
    changed = (shot.frames[0].picture < 250).any(2)
    low, high = np.argwhere(changed).min(0)[::-1], np.argwhere(changed).max(0)[::-1]
    flat = shot.flat[0]
    assert (flat > low - 3).all() and (flat < high + 3).all()
    column, row = flat[[11, 12, 23, 24, 25, 26]].astype(int).T
    assert changed[row, column].all()
    assert 0.05 < changed.mean() < 0.25
    vertices = shot.frames[0].vertices
    assert np.allclose(vertices[:, :2].min(0), low, atol=3) and np.allclose(
        vertices[:, :2].max(0), high, atol=3
    )
    assert abs(vertices[:, 2].mean()) < 0.2 * FOCAL_PX / 4  # most are fingers and the face
    assert np.array_equal(shot.box[:2], flat.min(0)) and np.array_equal(shot.box[2:], flat.max(0))


def test_the_light_comes_from_a_side():
    rng = np.random.default_rng(1)
    figure, paint = make_figure(rng), painted(rng)
    upright = np.repeat(np.eye(3, dtype=np.float32)[None], 17, axis=0)
    black = np.zeros((240, 320, 3), np.uint8)
    front, back = (
        drawn(
            figure,
            replace(paint, ambient=0.2, light=np.array([0, 0, z], np.float32)),
            upright,
            np.eye(3, dtype=np.float32),
            np.array([0, 0, 4], np.float32),
            FOCAL_PX,
            black,
        ).picture
        for z in (-1, 1)
    )
    assert front.sum() > 2 * back.sum()


def test_a_background_is_a_part_of_a_photograph_upside_down(tmp_path):
    import cv2

    picture = np.zeros((100, 100, 3), np.uint8)
    picture[50:] = 255
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    found = background([tmp_path / "a.png"], SIZE, np.random.default_rng(0))
    assert found.shape == (240, 320, 3)
    assert found[0].mean() > found[-1].mean()


def test_a_person_is_followed_by_their_own_landmarks_until_they_are_lost(shot: Shot):
    looks = []

    def net(image, crops):
        looks.append(crops[0].size)
        return [SimpleNamespace(presence=presences[len(looks) - 1], next_crop=Crop(0, 0, 100.0 + len(looks)))]

    presences = [0.1, 0.9, 0.9]
    assert len(followed(net, shot)) == 2
    assert looks[1:] == [101, 102]
    looks, presences = [], [0.9, 0.9, 0.2]
    assert followed(net, shot) == []


def test_a_back_that_is_taken_for_a_front_is_seen(shot: Shot):
    right = np.concatenate([shot.flat, np.ones((2, 33, 1), np.float32)], axis=-1)[None]
    assert not is_flipped(right, shot.flat)
    assert not is_flipped(right + 2, shot.flat)
    wrong = right.copy()
    wrong[0, 1] = wrong[0, 1, SWAP]
    assert is_flipped(wrong, shot.flat)
