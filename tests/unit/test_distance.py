"""Distances to the rest surface and along it."""

import numpy as np

from bodystream.models.body import distance
from bodystream.models.body.data import load
from bodystream.models.body.distance import geodesic, geodesic_on_triangles, nearest_on_triangles
from bodystream.models.body.surface import iuv_of, mirrored, points_of
from tests.unit.test_surface import places


def test_a_point_of_the_surface_is_its_own_nearest():
    triangle, barycentric = places(1000)
    points = points_of(triangle, barycentric)
    found, at, away = nearest_on_triangles(points)
    assert away.max() < 5e-4
    np.testing.assert_allclose(points_of(found, at), points, atol=5e-4)


def test_the_nearest_is_the_nearest_of_all_triangles():
    random = np.random.default_rng(2)
    points = points_of(*places(50)) + random.normal(0, 0.02, (50, 3))
    _, _, away = nearest_on_triangles(points)
    body = load()
    corners = body.vertices[body.chart_vertex[body.triangles]].astype(np.float64)
    for point, found in zip(points, away, strict=True):
        reached = (distance._closest(point[None], corners)[..., None] * corners).sum(1)
        assert abs(np.linalg.norm(reached - point, axis=1).min() - found) < 5e-4


def test_nothing_has_no_nearest():
    part, uv = distance.nearest(np.zeros((0, 3)))
    assert part.shape == (0,)
    assert uv.shape == (0, 2)


def test_distances_between_samples_are_the_stored_ones():
    body = load()
    corners = body.chart_vertex[body.triangles]
    triangle, corner = (
        np.array(found)
        for found in zip(*[np.argwhere(corners == v)[0] for v in body.samples[:100]], strict=True)
    )
    one, other = np.arange(50), np.arange(50, 100)
    stored = body.geodesic[one, other] / 1000
    found = geodesic_on_triangles(
        triangle[one], np.eye(3)[corner[one]], triangle[other], np.eye(3)[corner[other]]
    )
    assert np.abs(found - stored)[stored > distance.FAR].max() < 0.03
    assert np.median(np.abs(found - stored)) < 0.003


def test_along_the_surface_is_no_shorter_than_straight_and_the_same_both_ways():
    one, other = places(1000), tuple(values[::-1] for values in places(1000))
    there, back = geodesic_on_triangles(*one, *other), geodesic_on_triangles(*other, *one)
    np.testing.assert_allclose(there, back, atol=1e-5)
    straight = np.linalg.norm(points_of(*one) - points_of(*other), axis=1)
    assert (there >= straight - 1e-5).all()


def test_a_place_is_nowhere_from_itself_and_nothing_is_infinitely_far():
    part, uv = iuv_of(*places(100))
    assert geodesic(part, uv, part, uv).max() < 1e-4
    assert np.isinf(geodesic(part, uv, np.zeros_like(part), uv)).all()


def test_mirrored_places_are_as_far_apart():
    a, b = iuv_of(*places(400)), tuple(values[::-1] for values in iuv_of(*places(400)))
    as_is, other_side = geodesic(*a, *b), geodesic(*mirrored(*a), *mirrored(*b))
    assert np.median(np.abs(as_is - other_side)) < 0.005
