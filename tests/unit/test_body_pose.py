"""The closed-form pose, skinning and the renderer."""

import numpy as np
import pytest

from bodystream.models.body import pose
from bodystream.models.body.data import load
from bodystream.models.body.parts import MIRROR_PART
from bodystream.models.body.raster import render
from bodystream.models.body.skeleton import BONES, SEGMENTS, bone_lengths, landmark
from bodystream.models.body.skin import landmarks_on, skinned
from bodystream.models.keypoints import SWAP
from bodystream.training.people import articulated, landmarks_of, make_figure
from bodystream.training.poses import about_y, sampled_pose

ONE = np.ones(1, np.float32)
TO_GRID = np.array([[60.0, 0, 64], [0, 60, 62]])  # the rest body, m, into 128 px


def test_the_rest_body_is_posed_by_its_own_landmarks():
    body = load().vertices
    posed = skinned(pose.pose_bodies(landmarks_on(body)[None], ONE)[0])
    assert (
        np.abs(posed - body).max() < 0.008
    )  # thighs turn a little about their axes: knees are straight at rest


@pytest.mark.parametrize("seed", range(6))
def test_a_posed_body_is_recovered_from_its_landmarks(seed):
    rng = np.random.default_rng(seed)
    turns = sampled_pose(rng)
    model = load()
    truth = articulated(turns, model.joints[:, 0])
    vertices = skinned(truth)
    found = skinned(pose.pose_bodies(landmarks_on(vertices)[None], ONE)[0])
    apart = np.linalg.norm(found - vertices, axis=1)
    assert np.median(apart) < 0.02
    assert np.quantile(apart, 0.95) < 0.06


def test_landmarks_are_met_exactly_in_the_picture():
    points = _points()
    body = pose.pose_body(*_as_seen(points))
    assert body is not None
    found = landmarks_on(skinned(body.segments))
    limbs = [landmark(f"{side}_{name}") for side in ("left", "right") for name in ("elbow", "knee", "ankle")]
    assert np.abs(found[limbs, :2] - points[limbs, :2]).max() < 3  # px of a body 170 px tall


def test_exchanged_landmarks_pose_the_mirrored_body():
    points = landmarks_on(load().vertices) + np.random.default_rng(0).normal(0, 0.01, (33, 3)).astype(
        np.float32
    )
    mirrored = points[SWAP] * np.array([-1, 1, 1], np.float32)
    one, other = (skinned(pose.pose_bodies(p[None], ONE)[0]) for p in (points, mirrored))
    assert np.allclose(one[load().mirror] * [-1, 1, 1], other, atol=1e-3)


def test_turning_the_landmarks_turns_the_body():
    points = landmarks_on(load().vertices)
    turn = about_y(np.asarray(0.7))
    straight, turned = (skinned(pose.pose_bodies(p[None], ONE)[0]) for p in (points, points @ turn.T))
    assert np.allclose(straight @ turn.T, turned, atol=2e-3)


def test_people_are_posed_alike_alone_and_together():
    points = np.stack([_points(seed) for seed in range(3)])
    scale = np.full(3, 90, np.float32)
    together = pose.pose_bodies(points, scale)
    alone = np.concatenate([pose.pose_bodies(p[None], s[None]) for p, s in zip(points, scale, strict=True)])
    assert np.allclose(together, alone, atol=1e-4)
    assert together.shape == (3, len(SEGMENTS), 3, 4)


@pytest.mark.parametrize("what", ["nan", "point"])
def test_no_body_without_landmarks(what):
    landmarks, world = _as_seen(_points())
    if what == "nan":
        landmarks[13, 0] = np.nan
    else:
        landmarks[:, :2] = 5
    assert pose.pose_body(landmarks, world) is None


def test_lift_keeps_the_picture_and_scales_depth():
    points = _points()
    lifted, scale = pose.lift(*_as_seen(points))
    assert scale == pytest.approx(100, rel=1e-4)
    assert np.allclose(lifted, points, atol=1e-2)


def test_bone_lengths_by_hand():
    points = np.zeros((33, 3), np.float32)
    for name, place in {
        "left_shoulder": (2, -5, 0), "right_shoulder": (-2, -5, 0), "left_hip": (1, 0, 0), "right_hip": (-1, 0, 0),
        "left_elbow": (2, -2, 0), "right_elbow": (-2, -4, 0),
    }.items():  # fmt: skip
        points[landmark(name)] = place
    sure = np.ones(33, np.float32)
    lengths = dict(zip(BONES, bone_lengths(points, sure), strict=True))
    assert lengths["torso"] == pytest.approx(5)
    assert lengths["shoulders"] == pytest.approx(4)
    assert lengths["hips"] == pytest.approx(2)
    assert lengths["upper_arm"] == pytest.approx(2)  # (3 + 1) / 2
    sure[landmark("right_elbow")] = 0
    assert bone_lengths(points, sure)[3] == pytest.approx(
        3, abs=0.01
    )  # the left one, since the right is not seen


def test_frames_and_least_turns():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50, 3)).astype(np.float32)
    frames = pose.frame(a, b)
    assert np.allclose(frames @ frames.swapaxes(-1, -2), np.eye(3), atol=1e-5)
    assert np.allclose(np.linalg.det(frames), 1, atol=1e-5)
    turned = (pose.least_turn(a, b) @ pose.unit(a)[..., None])[..., 0]
    assert np.allclose(turned, pose.unit(b), atol=1e-4)
    assert np.isfinite(pose.frame(a, a)).all()  # both directions the same
    assert np.isfinite(pose.least_turn(a, -a)).all()


def test_the_front_is_seen_from_the_front_and_the_back_from_behind():
    body = load().vertices
    front = render(body, TO_GRID, 128)
    back = render(body @ about_y(np.asarray(np.pi)).T, TO_GRID, 128)
    assert {2, 9, 10, 13, 14} <= set(np.unique(front.part)) and not (front.part == 1).sum() > 30
    assert {1, 7, 8, 11, 12} <= set(np.unique(back.part)) and not (back.part == 2).sum() > 30
    assert (
        np.array_equal(front.part > 0, (back.part > 0)[:, ::-1])
        or ((front.part > 0) ^ (back.part > 0)[:, ::-1]).sum() < 60
    )


def test_a_mirrored_body_shows_mirrored_parts():
    body = load().vertices
    points = landmarks_on(body) + np.random.default_rng(1).normal(0, 0.02, (33, 3)).astype(np.float32)
    mirrored = points[SWAP] * np.array([-1, 1, 1], np.float32)
    one, other = (
        render(skinned(pose.pose_bodies(p[None], ONE)[0]), TO_GRID, 128) for p in (points, mirrored)
    )
    flipped = MIRROR_PART[other.part[:, ::-1]]
    assert (flipped != one.part).mean() < 0.01


def test_what_is_nearer_hides_what_is_further():
    body = load().vertices
    alone = render(body, TO_GRID, 128)
    middle = alone.part[50, 64]
    assert middle == 2 and alone.depth[50, 64] < 0  # the chest's front lies before the hips' middle
    assert (alone.depth[alone.part == 0] == 0).all()


def test_nothing_is_drawn_outside_the_grid():
    empty = render(load().vertices, np.array([[60.0, 0, 900], [0, 60, 62]]), 128)
    assert not empty.part.any()


def test_figures_differ_and_keep_their_landmarks_on_the_skin():
    rng = np.random.default_rng(0)
    figures = [make_figure(rng) for _ in range(3)]
    assert len({round(figure.height, 3) for figure in figures}) == 3
    figure = figures[0]
    identity = np.broadcast_to(np.eye(3, 4, dtype=np.float32), (17, 3, 4))
    assert np.allclose(bone_lengths(landmarks_of(figure, identity), np.ones(33)), figure.lengths, atol=1e-3)


def _points(seed: int = 0) -> np.ndarray:
    """Landmarks of a posed body in px, 100 to the metre, hips at the origin."""
    turns = sampled_pose(np.random.default_rng(seed))
    points = landmarks_on(skinned(articulated(turns, load().joints[:, 0])))
    return (100 * (points - points[[23, 24]].mean(0))).astype(np.float32)


def _as_seen(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sure = np.ones((33, 1), np.float32)
    return np.hstack([points[:, :2], sure]), np.hstack([points / 100, sure])
