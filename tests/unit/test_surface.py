"""The charts: there and back again, outside them, mirrored, and fast."""

import numpy as np
import pytest

from bodystream.models.body.data import load
from bodystream.models.body.surface import (
    NODES,
    iuv_of,
    locate,
    mirrored,
    points_of,
    rest_points,
    rest_points_exact,
    rest_table,
)


def places(count: int = 5000):
    """Triangles and barycentrics, spread evenly over the triangles."""
    random = np.random.default_rng(4)
    triangle = random.integers(0, len(load().triangles), count).astype(np.int32)
    return triangle, random.dirichlet([1, 1, 1], count)


def test_uv_through_triangles_and_back():
    part, uv = iuv_of(*places())
    again_part, again = iuv_of(*locate(part, uv))
    assert (again_part == part).all()
    assert np.abs(again - uv).max() < 1e-4


def test_space_through_charts_and_back():
    triangle, barycentric = places(20000)
    there = points_of(triangle, barycentric)
    away = np.linalg.norm(rest_points_exact(*iuv_of(triangle, barycentric)) - there, axis=1)
    assert away.max() < 1e-3  # no chart laps over itself
    quick = np.linalg.norm(rest_points(*iuv_of(triangle, barycentric)) - there, axis=1)
    assert np.median(quick) < 3e-4
    assert np.quantile(quick, 0.99) < 4e-3


def test_the_mirrored_place_is_the_mirrored_point():
    part, uv = iuv_of(*places())
    away = np.linalg.norm(
        rest_points_exact(*mirrored(part, uv)) * [-1, 1, 1] - rest_points_exact(part, uv), axis=1
    )
    assert away.max() < 1e-3


def test_corners_of_triangles_are_found_too():
    body = load()
    part, uv = iuv_of(*locate(body.part, body.uv))
    assert (part == body.part).all()
    assert np.abs(uv - body.uv).max() < 1e-4


def test_shapes_are_kept_and_no_part_is_the_origin():
    part = np.array([[0, 1, 2], [23, 24, 0]], np.uint8)
    uv = np.full((2, 3, 2), 0.5, np.float32)
    triangle, barycentric = locate(part, uv)
    assert triangle.shape == (2, 3)
    assert barycentric.shape == (2, 3, 3)
    assert (triangle == -1).tolist() == [[True, False, False], [False, False, True]]
    for points in (rest_points(part, uv), rest_points_exact(part, uv)):
        assert points.shape == (2, 3, 3)
        assert points.dtype == np.float32
        assert not points[part == 0].any()


@pytest.mark.parametrize("shape", [(0,), (0, 4)])
def test_nothing_gives_nothing(shape):
    part, uv = np.zeros(shape, np.uint8), np.zeros((*shape, 2), np.float32)
    assert rest_points(part, uv).shape == (*shape, 3)
    assert locate(part, uv)[0].shape == shape


def test_outside_a_chart_its_nearest_place_is_taken():
    body = load()
    part = np.full(4, 1, np.uint8)
    uv = np.array([[-0.5, 0.5], [1.5, 0.5], [0.5, -0.5], [0.5, 1.5]])
    _, found = iuv_of(*locate(part, uv))
    chart = body.uv[body.part == 1]
    best = np.linalg.norm(uv[:, None] - chart, axis=2).min(1)
    assert (np.linalg.norm(found - uv, axis=1) <= best + 1e-6).all()


def test_the_mirror_of_the_mirror_is_the_place_itself():
    part, uv = iuv_of(*places())
    back_part, back = mirrored(*mirrored(part, uv))
    assert (back_part == part).all()
    np.testing.assert_allclose(back, uv, atol=1e-7)


def test_torsos_turn_round_and_limbs_change_sides():
    part, uv = mirrored(np.array([1, 2, 3, 15, 24], np.uint8), np.full((5, 2), 0.25, np.float32))
    assert part.tolist() == [1, 2, 4, 16, 23]
    assert uv[:, 0].tolist() == [0.75, 0.75, 0.25, 0.25, 0.25]
    assert uv[:, 1].tolist() == [0.25] * 5


def test_the_table_is_exact_at_its_nodes():
    part = np.array([1, 2, 24], np.uint8)
    steps = np.array([[10, 40], [31, 31], [63, 0]])
    np.testing.assert_allclose(
        rest_points(part, steps / (NODES - 1)), rest_table()[part, steps[:, 1], steps[:, 0]], atol=1e-6
    )


def test_points_lie_on_the_body():
    points = points_of(*places())
    assert (points.min(0) >= load().vertices.min(0)).all()
    assert (points.max(0) <= load().vertices.max(0)).all()
