"""The stage dense: the grid round a person, the baseline, the net's input, and who gets a map."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from bodystream.models.body.data import load
from bodystream.models.body.pose import pose_body
from bodystream.models.body.raster import Render
from bodystream.models.body.skin import landmarks_on, skinned
from bodystream.models.dense_input import (
    baseline_of,
    bone_maps,
    compose,
    filled,
    inverse,
    net_input,
    points_in_grid,
    view_of,
)
from bodystream.models.dense_layout import (
    BONE,
    BONES,
    CHANNELS,
    DEPTH,
    GRID,
    MASK,
    PART,
    RENDERED,
    XYZ,
    U,
    V,
)
from bodystream.pipeline.stages.body import PoseBody
from bodystream.pipeline.stages.dense import DenseCorrespondence
from bodystream.pipeline.types import Frame, Mask, Person

SCALE = 130.0  # px a metre
TO_IMAGE = np.array([[1.5, 0.0, 40.0], [0.0, 1.5, 20.0]])


def person(mask: np.ndarray | None = None, shift: float = 0.0) -> Person:
    """The rest body, 230 px tall, seen from the front, with its true mask or another one."""
    points = landmarks_on(load().vertices)
    sure = np.ones((33, 1), np.float32)
    at = points[:, :2] * SCALE + [230 + shift, 200]
    landmarks = np.hstack([at, sure]).astype(np.float32)
    world = np.hstack([points, sure]).astype(np.float32)
    body = pose_body(landmarks, world)
    assert body is not None
    if mask is None:
        inside = (skinned(body.segments)[:, :2] - TO_IMAGE[:, 2] - [shift, 0]) / 1.5
        mask = np.zeros((256, 256), np.uint8)
        column, row = inside.astype(int).T
        for dx in range(-3, 4):
            mask[row, np.clip(column + dx, 0, 255)] = 255
    to_image = np.add(TO_IMAGE, [[0, 0, shift], [0, 0, 0]])
    return Person(np.zeros(4, np.float32), 0.9, 1, Mask(mask, to_image), landmarks, world, body=body)


def frame() -> Frame:
    return Frame(0, Fraction(0), 0, np.zeros((400, 500, 3), np.uint8), "test")


def test_the_grid_is_tight_round_mask_and_sure_landmarks():
    mask = np.zeros((256, 256), np.uint8)
    mask[100:200, 120:160] = 255
    nowhere = np.zeros((33, 3), np.float32)
    view = view_of(mask, np.eye(2, 3), nowhere, margin=1.28)
    assert view is not None
    assert np.allclose(
        view.to_image, [[1, 0, 76], [0, 1, 86]]
    )  # 128 px round (140, 150), of which the mask is 100
    assert view.mask[14:114, 44:84].min() == 255 and (view.mask > 127).sum() == 4000
    seen = nowhere.copy()
    seen[0] = 140, 50, 0.9  # a head that the mask lacks
    taller = view_of(mask, np.eye(2, 3), seen, margin=1.28)
    assert taller is not None and taller.to_image[0, 0] == pytest.approx(1.5)


@pytest.mark.parametrize("value", [0, 127])
def test_no_grid_without_a_mask(value):
    assert view_of(np.full((256, 256), value, np.uint8), np.eye(2, 3), np.zeros((33, 3), np.float32)) is None


@pytest.mark.parametrize(("pixels", "least", "most"), [("one", 1, 16), ("all", 0.6 * GRID**2, GRID**2)])
def test_a_mask_of_one_pixel_and_one_of_all(pixels, least, most):
    mask = np.zeros((256, 256), np.uint8)
    mask[128, 128] = 255
    if pixels == "all":
        mask[:] = 255
    (found,) = DenseCorrespondence()(frame(), [person(mask)])
    assert found.dense is not None
    # The grid reaches 6 % beyond the mask on each side, and beyond the mask's one pixel of soft rim nothing is said.
    assert least <= (found.dense.part > 0).sum() <= most


def test_affine_maps_by_hand():
    twice, moved = np.array([[2.0, 0, 0], [0, 2, 0]]), np.array([[1.0, 0, 3], [0, 1, 5]])
    assert np.array_equal(compose(twice, moved), [[2, 0, 6], [0, 2, 10]])
    assert np.allclose(compose(inverse(TO_IMAGE), TO_IMAGE), np.eye(2, 3))


def test_empty_pixels_take_the_nearest_rendered_ones():
    part = np.zeros((128, 128), np.uint8)
    part[10, 10], part[10, 100] = 3, 7
    uv = np.zeros((2, 128, 128), np.float32)
    uv[:, 10, 10], uv[:, 10, 100] = 0.25, 0.75
    found = filled(Render(part, uv, np.zeros((128, 128), np.float32)))
    assert (found.part[:, :50] == 3).all() and (found.part[:, 60:] == 7).all()
    assert found.uv[0, 90, 20] == 0.25 and found.uv[1, 0, 127] == 0.75
    assert found.distance[10, 10] == 0 and found.distance[10, 14] == pytest.approx(4, abs=0.1)


def test_nothing_rendered_is_a_baseline_of_zeros():
    nothing = filled(
        Render(
            *(
                np.zeros(s, d)
                for s, d in (((128, 128), np.uint8), ((2, 128, 128), np.float32), ((128, 128), np.float32))
            )
        )
    )
    assert not nothing.part.any() and (nothing.distance == 128).all()
    inputs = net_input(np.full((128, 128), 255, np.uint8), nothing, np.full((33, 3), np.nan, np.float32))
    assert inputs[MASK].all() and not inputs[PART].any() and not inputs[XYZ].any() and not inputs[BONE].any()


def test_the_input_holds_what_the_layout_says():
    someone = person()
    view = view_of(someone.mask.probability, someone.mask.to_image, someone.landmarks)
    baseline = baseline_of(someone.body, view)
    inputs = net_input(view.mask, baseline, points_in_grid(someone.body, view))
    assert inputs.shape == (CHANNELS, 64, 64) and inputs.dtype == np.float32 and np.isfinite(inputs).all()
    assert inputs[PART][2, 20, 30] == baseline.part[41, 60]  # channel 2 r + c holds (2 i + r, 2 j + c)
    assert inputs[U][1, 20, 30] == baseline.uv[0, 40, 61] and inputs[V][3, 20, 30] == baseline.uv[1, 41, 61]
    assert inputs[MASK].max() == 1
    assert inputs[RENDERED][0, 20, 32] == (baseline.distance[40, 64] == 0)
    assert np.abs(inputs[DEPTH]).max() < 1
    assert np.abs(inputs[XYZ]).max() < 1  # the rest body's own metres


def test_bone_maps_by_hand():
    points = np.full((33, 3), np.nan, np.float32)
    points[13], points[15] = (20, 40, 10), (100, 40, -30)  # the left forearm, level, coming nearer
    near, depth = bone_maps(points)
    forearm = [name for name, _, _ in BONES].index("left forearm")
    assert not np.delete(near, forearm, axis=0).any()  # the other bones were not seen
    assert near[forearm, 20, 30] == pytest.approx((1 - 0.5**2 / 25) ** 2)  # half a cell off the line
    assert near[forearm, 25, 30] == 0  # over five cells off
    middle = 10 + (30.5 - 10) / 40 * -40  # px of 128, at cell 30.5 of 10 to 50
    assert depth[forearm, 20, 30] == pytest.approx(near[forearm, 20, 30] * middle / 64, abs=1e-5)


def test_the_baseline_shows_the_front_of_a_person_who_faces_the_camera():
    (found,) = DenseCorrespondence()(frame(), [person()])
    dense = found.dense
    assert dense is not None and dense.part.shape == (GRID, GRID) and dense.uv.shape == (2, GRID, GRID)
    counts = np.bincount(dense.part.ravel(), minlength=25)
    assert counts[2] > 300 and counts[9] > 100 and counts[10] > 100 and counts[1] < 60
    assert dense.confidence[dense.part > 0].max() > 150
    hips = inverse(dense.to_image) @ [230, 190, 1]
    assert dense.part[int(hips[1]), int(hips[0])] == 2


def test_the_net_is_given_all_people_at_once_and_its_words_are_kept():
    calls = []

    def net(inputs):
        calls.append(inputs.shape)
        n = len(inputs)
        return (
            np.full((n, 128, 128), 5, np.uint8),
            np.full((n, 2, 128, 128), 0.5, np.float32),
            np.full((n, 128, 128), 200, np.uint8),
        )

    people = [person(), person(np.zeros((256, 256), np.uint8)), person(shift=60)]
    found = DenseCorrespondence(net)(frame(), people)
    assert calls == [(2, CHANNELS, 64, 64)]
    assert found[1].dense is None  # an empty mask
    for one in (found[0], found[2]):
        assert set(np.unique(one.dense.part)) == {0, 5} and (one.dense.confidence == 200).all()


@pytest.mark.parametrize("count", [0, 1, 12])
def test_any_number_of_people(count):
    found = DenseCorrespondence()(frame(), [person(shift=3 * i) for i in range(count)])
    assert len(found) == count and all(one.dense is not None for one in found)


def test_a_person_without_landmarks_has_no_map():
    someone = person()
    (found,) = DenseCorrespondence()(frame(), [Person(someone.box, 0.9, 1, someone.mask)])
    assert found.dense is None


def test_body_has_the_persons_own_proportions_over_time():
    stage = PoseBody()
    someone = replace(person(), body=None, id=1)
    bent = someone.world.copy()
    bent[25, 2] -= 0.5  # one frame in which a knee is much too near
    for index, world in enumerate([someone.world, someone.world, bent]):
        at = Frame(index, Fraction(index, 30), 0, frame().image, "test")
        (found,) = stage(at, [replace(someone, world=world)])
        assert found.body is not None
        if not index:
            first = found.body.lengths
    assert np.allclose(found.body.lengths, first, atol=1e-4)


def test_landmarks_that_are_no_numbers_have_no_body_and_spoil_no_proportions():
    stage = PoseBody()
    someone = replace(person(), body=None, id=1)
    at = [Frame(i, Fraction(i, 30), 0, frame().image, "test") for i in range(3)]
    broken = replace(someone, world=np.full_like(someone.world, np.nan))
    (before,) = stage(at[0], [someone])
    assert stage(at[1], [broken])[0].body is None
    (after,) = stage(at[2], [someone])
    assert np.array_equal(before.body.lengths, after.body.lengths)


def test_proportions_are_forgotten_with_the_scene():
    stage = PoseBody()
    someone = replace(person(), body=None, id=1)
    at = Frame(0, Fraction(0), 0, frame().image, "test")
    stage(at, [replace(someone, world=someone.world * np.float32([1.2, 1.2, 1.2, 1]))])
    stage.reset()
    (found,) = stage(at, [someone])
    (fresh,) = PoseBody()(at, [someone])
    assert np.array_equal(found.body.lengths, fresh.body.lengths)
