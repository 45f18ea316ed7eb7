import numpy as np
import pytest

from bodystream.models.body.data import load
from bodystream.models.body.kinematics import skeleton_of
from bodystream.models.body.mesh import own_segments, own_surface
from bodystream.models.body.pose import turns_of
from bodystream.models.body.skeleton import bone_lengths
from bodystream.models.body.skin import blend, landmarks_on, weighted
from bodystream.pipeline.ground import lowest_soles, up_of, world_axes
from tests import recordings

LENGTHS = bone_lengths(landmarks_on(load().vertices), np.ones(33, np.float32))
SMALL = (LENGTHS * [0.7, 0.8, 0.75, 0.72, 0.7, 0.68, 0.74]).astype(np.float32)


def test_a_level_camera_s_picture_is_the_world_s_front():
    """x right stays, down becomes up, away becomes towards."""
    assert world_axes([0, -1, 0]) == pytest.approx(np.diag([1, -1, -1]))


@pytest.mark.parametrize("degrees", [-80, -20, 0, 35, 89.9])
@pytest.mark.parametrize("roll", [0, 90, -30])
def test_up_is_up_and_away_stays_away(degrees, roll):
    pitch, tilt = np.radians([degrees, roll])
    up = np.array([np.sin(tilt) * np.cos(pitch), -np.cos(tilt) * np.cos(pitch), -np.sin(pitch)])
    axes = world_axes(up)
    assert axes @ up == pytest.approx([0, 1, 0], abs=1e-12)
    assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    ahead = axes @ [0, 0, 1]
    assert ahead[0] == pytest.approx(0, abs=1e-9) and ahead[2] < 0


@pytest.mark.parametrize(("up", "towards"), [([0, 0, -1], [0, 1, 0]), ([0, 0, 1], [0, -1, 0])])
def test_a_camera_that_looks_straight_down_or_up(up, towards):
    axes = world_axes(up)
    assert axes @ towards == pytest.approx([0, 0, 1], abs=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)


def test_up_comes_from_the_header():
    assert up_of(recordings.header()) == pytest.approx([0, -1, 0])


@pytest.mark.parametrize("lengths", [LENGTHS, SMALL])
def test_the_sole_of_a_standing_person_is_that_of_their_surface(lengths):
    skeleton = skeleton_of(lengths)
    flip = np.diag([1.0, -1, -1]).astype(np.float32)  # standing in a world with y up
    turns = np.repeat(flip[None], 17, axis=0)
    root = np.array([0.3, 0.9, -3], np.float32)
    body = blend(weighted(own_surface(skeleton)), own_segments(skeleton, turns, root))
    sole = lowest_soles(skeleton, turns[None], root[None])[0]
    assert sole == pytest.approx(body[:, 1].min(), abs=0.006)


@pytest.mark.parametrize("lengths", [LENGTHS, SMALL])
def test_a_person_s_own_surface_has_their_landmarks(lengths):
    skeleton = skeleton_of(lengths)
    surface = own_surface(skeleton)
    found = landmarks_on(surface)
    limbs = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
    assert found[limbs] == pytest.approx(skeleton.landmarks[limbs], abs=0.012)
    assert turns_of(skeleton.landmarks[None])[0] == pytest.approx(
        np.eye(3)[None].repeat(17, 0), abs=0.08
    )  # the shanks' roll
    assert np.ptp(surface[:, 1]) == pytest.approx(
        np.ptp(load().vertices[:, 1]) * (lengths / LENGTHS)[[0, 5, 6]].mean(), rel=0.03
    )
