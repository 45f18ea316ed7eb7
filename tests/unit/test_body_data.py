"""The shipped body file: what `models/body/data.py` promises of it."""

from dataclasses import fields

import numpy as np
import pytest

from bodystream.models.body import data
from bodystream.models.body.parts import MIRROR_PART, PARTS

BODY = data.load()
V, T, C, K = (len(BODY.vertices), len(BODY.triangles), len(BODY.chart_vertex), len(BODY.shapes))
SURFACE = BODY.chart_vertex[BODY.triangles].astype(int)  # (T, 3)
PART = BODY.part[BODY.triangles[:, 0]]
POINTS = BODY.vertices.astype(float)
ACROSS = np.array([-1.0, 1.0, 1.0])


def flat_areas() -> np.ndarray:
    a, b, c = (BODY.uv[BODY.triangles[:, k]].astype(float) for k in range(3))
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def landmarks() -> np.ndarray:
    return np.einsum("lm,lmx->lx", BODY.landmark_weights, POINTS[BODY.landmark_vertices])


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("vertices", (V, 3), np.float32),
        ("shapes", (K, V, 3), np.float16),
        ("triangles", (T, 3), np.uint16),
        ("chart_vertex", (C,), np.uint16),
        ("part", (C,), np.uint8),
        ("uv", (C, 2), np.float32),
        ("weights", (V, 4), np.float32),
        ("segments", (V, 4), np.uint8),
        ("joints", (17, 2, 3), np.float32),
        ("joint_shapes", (K, 17, 2, 3), np.float32),
        ("landmark_vertices", (33, 16), np.uint16),
        ("landmark_weights", (33, 16), np.float32),
        ("mirror", (V,), np.uint16),
        ("samples", (len(BODY.samples),), np.uint16),
        ("geodesic", (len(BODY.samples),) * 2, np.uint16),
    ],
)
def test_shapes_and_types(name, shape, dtype):
    array = getattr(BODY, name)
    assert array.shape == shape
    assert array.dtype == dtype
    assert not array.flags.writeable


def test_every_field_is_held_and_the_files_are_small():
    assert len(fields(BODY)) == 15
    folder = data.resources.files("bodystream.models.body")
    assert len(folder.joinpath(data.FILE).read_bytes()) < 4e6
    assert all(len(folder.joinpath(f"{name}.png").read_bytes()) < 150e3 for name in ("charts", "jersey"))


def test_closed_and_oriented_outwards():
    edges = np.concatenate([SURFACE[:, [k, (k + 1) % 3]] for k in range(3)])
    there = set(map(tuple, edges.tolist()))
    assert len(there) == len(edges)
    assert all((b, a) in there for a, b in there)
    volume = (
        np.einsum("tx,tx->", POINTS[SURFACE[:, 0]], np.cross(POINTS[SURFACE[:, 1]], POINTS[SURFACE[:, 2]]))
        / 6
    )
    assert 0.05 < volume < 0.08  # m³: positive, so cross(b - a, c - a) points outwards
    assert len(np.unique(SURFACE)) == V


def test_the_mirror_is_an_involution_and_exact():
    np.testing.assert_array_equal(BODY.mirror[BODY.mirror], np.arange(V))
    np.testing.assert_array_equal(BODY.vertices[BODY.mirror], BODY.vertices * np.float32(ACROSS))
    there = {tuple(np.roll(t, -t.argmin()).tolist()) for t in SURFACE}
    image = BODY.mirror[SURFACE][:, [0, 2, 1]].astype(int)
    assert {tuple(np.roll(t, -t.argmin()).tolist()) for t in image} == there


def test_a_sampled_shape_is_as_symmetric_and_keeps_its_joints_inside():
    for k in range(K):
        np.testing.assert_allclose(
            BODY.shapes[k][BODY.mirror], BODY.shapes[k] * np.float16(ACROSS), atol=2e-4
        )
    limbs = [*range(3), *range(10, 17), *range(3, 10)]
    np.testing.assert_allclose(BODY.joints[limbs], BODY.joints * np.float32(ACROSS), atol=1e-6)
    tall = BODY.joints + 2 * np.sign(BODY.joint_shapes[0, 9, 1, 1]) * BODY.joint_shapes[0]
    assert tall[9, 1, 1] - tall[2, 1, 1] > BODY.joints[9, 1, 1] - BODY.joints[2, 1, 1] + 0.1


def test_skin_weights():
    np.testing.assert_allclose(BODY.weights.sum(1), 1, atol=1e-6)
    assert BODY.weights.min() >= 0
    assert BODY.segments.max() == 16
    # The heaviest segment of each part's middle is the one that the part is named for.
    named = {4: 6, 5: 9, 8: 7, 10: 7, 12: 8, 14: 8, 15: 3, 17: 3, 24: 2, 3: 13, 6: 16, 7: 14}
    for part, segment in named.items():
        own = BODY.segments[np.unique(SURFACE[part == PART]), 0]
        assert np.bincount(own).argmax() == segment, PARTS[part - 1]


def test_parts_are_where_their_names_say():
    middle = {k: POINTS[SURFACE[k == PART]].mean((0, 1)) for k in range(1, 25)}
    assert sorted(middle) == sorted(set(PART.tolist()))
    for k, name in enumerate(PARTS, 1):
        side = {"left": 1, "right": -1}.get(name.split()[0], 0)
        assert np.sign(round(float(middle[k][0]), 6)) == side, name
    for front, back in ((2, 1), (10, 8), (14, 12)):
        assert middle[front][2] < middle[back][2] - 0.03
    assert middle[15][0] < middle[17][0]
    assert middle[19][0] < middle[21][0]
    assert middle[24][1] < middle[17][1] < middle[21][1] < middle[8][1] < middle[12][1] < middle[5][1]
    np.testing.assert_array_equal(BODY.part[BODY.triangles], np.repeat(PART[:, None], 3, 1))


def test_uv_triangles_have_one_sense_in_each_chart():
    areas = flat_areas()
    left = [k for k, name in enumerate(PARTS, 1) if not name.startswith("right")]
    assert (areas[np.isin(PART, left)] < 0).all()  # U right, V down: clockwise reads counter-clockwise
    assert (areas[~np.isin(PART, left)] > 0).all()


@pytest.mark.parametrize("part", range(1, 25))
def test_charts_are_bijective_and_cover_their_square(part):
    covered = np.abs(flat_areas()[part == PART]).sum()
    assert covered > (0.4 if part in (3, 4) else 0.999)
    # Random places lie in the one triangle that they were taken from.
    corners = BODY.uv[BODY.triangles[part == PART]].astype(float)  # (T, 3, 2)
    shares = np.random.default_rng(part).dirichlet((1, 1, 1), len(corners))
    places = np.einsum("tk,tkx->tx", shares, corners)
    start, one, other = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    double = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    for batch in np.array_split(places, len(places) // 500 + 1):
        away = batch[:, None] - start
        first = (away[..., 0] * other[:, 1] - away[..., 1] * other[:, 0]) / double
        second = (one[:, 0] * away[..., 1] - one[:, 1] * away[..., 0]) / double
        inside = (first > 1e-9) & (second > 1e-9) & (first + second < 1 - 1e-9)
        assert (inside.sum(1) <= 1).all()


def test_mirrored_charts():
    def started(triangles):  # each from its lowest vertex on: turns
        return (triangles.argmin(1)[:, None] + np.arange(3)) % 3

    turn = started(SURFACE)
    place = {tuple(t): i for i, t in enumerate(np.take_along_axis(SURFACE, turn, 1).tolist())}
    image = BODY.mirror[SURFACE].astype(int)[:, [0, 2, 1]]
    back = started(image)
    other = np.array([place[tuple(t)] for t in np.take_along_axis(image, back, 1).tolist()])
    np.testing.assert_array_equal(PART[other], MIRROR_PART[PART])
    uv = np.take_along_axis(BODY.uv[BODY.triangles][:, [0, 2, 1]], back[..., None], 1)
    other_uv = np.take_along_axis(BODY.uv[BODY.triangles[other]], turn[other][..., None], 1)
    torso = PART <= 2
    np.testing.assert_array_equal(other_uv[~torso], uv[~torso])
    np.testing.assert_array_equal(other_uv[torso], np.float32([1, 0]) + uv[torso] * np.float32([-1, 1]))


def test_v_runs_down_the_body_and_u_from_the_fronts_right():
    for part in (1, 2, 4, 8, 10, 12, 14, 15, 17, 19, 21, 24):
        own = BODY.part == part
        y = BODY.vertices[BODY.chart_vertex[own], 1]
        assert np.corrcoef(BODY.uv[own, 1], y)[0, 1] > 0.7, PARTS[part - 1]
    feet = BODY.part == 5
    assert (
        np.corrcoef(BODY.uv[feet, 1], BODY.vertices[BODY.chart_vertex[feet], 2])[0, 1] < -0.8
    )  # to the toes
    front = BODY.part == 2
    assert np.corrcoef(BODY.uv[front, 0], BODY.vertices[BODY.chart_vertex[front], 0])[0, 1] > 0.9
    face = BODY.part == 24
    assert np.corrcoef(BODY.uv[face, 0], BODY.vertices[BODY.chart_vertex[face], 2])[0, 1] > 0.7


def test_landmarks_lie_where_blazepose_has_them():
    at = landmarks()
    np.testing.assert_allclose(BODY.landmark_weights.sum(1), 1, atol=1e-6)
    left, right = [*range(1, 4), *range(7, 33, 2)], [*range(4, 7), *range(8, 33, 2)]
    np.testing.assert_allclose(at[left], at[right] * ACROSS, atol=1e-6)
    assert (at[left, 0] > 0).all()
    assert abs(at[0, 0]) < 1e-6
    assert at[0, 2] < at[[1, 3, 7], 2].min()  # the nose in front
    assert at[1, 0] < at[2, 0] < at[3, 0]  # inner, middle, outer eye
    assert (np.diff(at[[0, 9, 11, 23, 25, 27, 29], 1]) > 0).all()
    assert at[31, 2] < at[27, 2] < at[29, 2]  # toe, ankle, heel
    assert np.linalg.norm(at[23:25].mean(0)) < 3e-3  # the origin
    for landmark, segment in ((11, 3), (13, 4), (23, 7), (25, 8), (27, 9)):
        assert np.linalg.norm(at[landmark] - BODY.joints[segment, 0]) < 3e-3
    height = BODY.vertices[:, 1]
    assert 1.6 < np.ptp(height) < 1.8


def test_geodesics():
    metres = BODY.geodesic / 1000
    np.testing.assert_array_equal(BODY.geodesic, BODY.geodesic.T)
    assert (np.diag(BODY.geodesic) == 0).all()
    at = POINTS[BODY.samples]
    straight = np.linalg.norm(at[:, None] - at[None], axis=2)
    assert (metres - straight).min() > -6e-4  # rounded to a millimetre
    hand, foot = at[:, 0].argmax(), at[:, 1].argmax()
    assert 1.9 < metres[hand, foot] < 2.3
    gaps = np.where(np.eye(len(at), dtype=bool), np.inf, metres).min(1)
    assert 0.03 < np.median(gaps) < 0.07
