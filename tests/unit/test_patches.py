"""Patches of the body surface, and the fit that is drawn to where they are seen."""

from dataclasses import replace

import numpy as np
import pytest

from bodystream.models.body import patches
from bodystream.models.body.data import load
from bodystream.models.body.kinematics import posed, rest_lengths, skeleton_of
from bodystream.models.body.raster import render
from bodystream.models.body.skeleton import SEGMENTS
from bodystream.models.body.skin import skinned
from bodystream.pipeline.stages.pose3d import FitPose3d
from bodystream.pipeline.types import Dense
from bodystream.training.people import articulated
from tests.unit.test_pose3d_stage import LENS, SIZE, Walk, frame, off, seen

PIXELS = 128


class Mean(Walk):
    """The mean body itself, standing."""

    def __init__(self, **options):
        super().__init__(moving=0, **options)
        self.lengths = rest_lengths()
        self.skeleton = skeleton_of(self.lengths)


def dense_of(walk):
    """A true dense map of somebody who stands there."""
    _, _, turns = walk.at(0.0)
    root = np.array([walk.x, 0.1, walk.z])
    vertices = skinned(articulated(turns.astype(np.float32), load().joints[:, 0])) + root
    pixels = LENS.of(SIZE).project(vertices)
    scale = LENS.of(SIZE).K[0, 0] / walk.z
    flat = np.column_stack([pixels, (vertices[:, 2] - walk.z) * scale]).astype(np.float32)
    low, high = flat[:, :2].min(0), flat[:, :2].max(0)
    step = 1.1 * (high - low).max() / PIXELS
    corner = (low + high) / 2 - step * PIXELS / 2
    drawn = render(
        flat, np.array([[1 / step, 0, -corner[0] / step], [0, 1 / step, -corner[1] / step]]), PIXELS
    )
    to_image = np.array([[step, 0, corner[0]], [0, step, corner[1]]])
    return Dense(drawn.part, drawn.uv, np.full((PIXELS, PIXELS), 250, np.uint8), to_image)


def test_patches_lie_where_the_surface_is():
    walk = Mean()
    dense = dense_of(walk)
    shown = patches.shown(dense.part, dense.uv, dense.confidence, dense.to_image)
    seen_ones = shown.weights > 0
    assert 25 < seen_ones.sum() < patches.PATCHES
    arms = patches.arms(shown.places[None], rest_lengths()[None])[0]
    _, _, turns = walk.at(0.0)
    starts, _ = posed(walk.skeleton, turns, np.array([walk.x, 0.1, walk.z]))
    own = patches.owners()
    points = starts[own] + (turns[own] @ arms[..., None])[..., 0]
    away = np.linalg.norm(LENS.of(SIZE).project(points) - shown.pixels, axis=1)[seen_ones]
    metre = LENS.of(SIZE).K[0, 0] / walk.z
    assert np.median(away) < 0.015 * metre
    assert away.max() < 0.06 * metre


def test_arms_grow_with_the_person():
    places = np.broadcast_to(load().vertices.mean(0), (1, patches.PATCHES, 3)).astype(np.float64)
    lengths = rest_lengths()[None]
    once, twice = patches.arms(places, lengths), patches.arms(places, 2 * lengths)
    assert np.allclose(twice, 2 * once)


def test_every_segment_that_is_large_has_patches():
    names = {SEGMENTS[i] for i in patches.owners()}
    wanted = ("upper_arm", "forearm", "thigh", "shank", "foot", "hand")
    assert {f"{side}_{name}" for side in ("left", "right") for name in wanted} <= names


def test_no_pixel_no_patch():
    nothing = patches.shown(
        np.zeros((4, 4), np.uint8), np.zeros((2, 4, 4), np.float32), np.zeros((4, 4), np.uint8), np.eye(2, 3)
    )
    assert not nothing.weights.any()


@pytest.mark.parametrize("dense", [True, False])
def test_landmarks_that_err_are_mended_by_the_surface(dense):
    walk = Mean(heading=0.4)
    person = seen(walk, 0.0)
    landmarks = person.landmarks.copy()
    landmarks[[13, 14, 25, 26], 0] += 25  # elbows and knees, 9 cm to the right
    person = replace(person, landmarks=landmarks, dense=dense_of(walk) if dense else None)
    errors = []
    for refine in (False, True):
        stage = FitPose3d(LENS, contacts=False, refine=refine)
        for i in range(5):
            (found,) = stage(frame(i / 30), [person])
        errors.append(off(found.pose3d.joints, walk.at(0.0)[0]).mean())
    assert (errors[1] < 0.8 * errors[0]) if dense else errors[1] == errors[0]


def test_people_with_and_without_a_dense_map_together():
    walk, other = Mean(), Walk(x=1.0)
    people = [replace(seen(walk, 0.0), dense=dense_of(walk)), seen(other, 0.0, id=2)]
    stage = FitPose3d(LENS, refine=True)
    for i in range(3):
        found = stage(frame(i / 30), people)
    for who, person in zip((walk, other), found, strict=True):
        assert off(person.pose3d.joints, who.at(0.0)[0]).mean() < 0.03
