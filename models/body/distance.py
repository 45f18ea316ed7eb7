"""Distances on the rest body: to its surface, and along it."""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import ArrayLike

from bodystream.models.body.data import load
from bodystream.models.body.surface import Doubles, Floats, Parts, Triangles, iuv_of, locate

KD_TREE = 4  # FLANN_INDEX_KDTREE_SINGLE: exact, unlike FLANN's other trees
TRIED = 12  # of the middles near a point, whose triangles are measured
# Barycentrics of the middles of a triangle's four quarters: they stand for it in the k-d tree.
MIDDLES = np.array([[2, 2, 2], [4, 1, 1], [1, 4, 1], [1, 1, 4]]) / 6
# Under NEAR metres the straight line stands for the way along the surface, over FAR the sampled distances do.
# Measured: at 8 to 12 cm the straight line is up to 4 cm short (fingers, folds), at 2 cm samples are off by 2 cm.
NEAR, FAR = 0.02, 0.07
SUPPORT = 8  # samples from which a distance is interpolated


def nearest(points: ArrayLike) -> tuple[Parts, Floats]:
    """The places of the rest surface nearest to points (N, 3), m: part (N,) uint8, uv (N, 2) float32.

    Of 20,000 points on the surface 2 came out elsewhere, 0.12 mm away at most; 20 µs a point.
    """
    triangle, barycentric, _ = nearest_on_triangles(points)
    return iuv_of(triangle, barycentric)


def nearest_on_triangles(points: ArrayLike) -> tuple[Triangles, Doubles, Doubles]:
    """As `nearest`: triangle (N,), barycentric (N, 3) and the distance (N,), m."""
    flat = np.asarray(points, np.float64).reshape(-1, 3)
    corners, middles = _triangles()
    if not len(flat):
        return np.zeros(0, np.int32), np.zeros((0, 3)), np.zeros(0)
    near, _ = middles.knnSearch(flat.astype(np.float32), TRIED, params={"checks": -1})
    tried = near // len(MIDDLES)  # (N, TRIED)
    barycentric = _closest(flat[:, None], corners[tried])  # (N, TRIED, 3)
    reached = np.einsum("nkc,nkcx->nkx", barycentric, corners[tried])
    away2 = ((reached - flat[:, None]) ** 2).sum(-1)
    best = away2.argmin(1)
    rows = np.arange(len(flat))
    return tried[rows, best], barycentric[rows, best], np.sqrt(away2[rows, best])


@cache
def _triangles() -> tuple[Doubles, cv2.flann.Index]:
    body = load()
    corners = body.vertices[body.chart_vertex[body.triangles]].astype(np.float64)  # (T, 3, 3)
    return corners, tree((MIDDLES @ corners).reshape(-1, 3))


def tree(points: ArrayLike) -> cv2.flann.Index:
    """An exact k-d tree of points (N, 3), asked by `knnSearch(points, k, params={"checks": -1})`."""
    return cv2.flann.Index(np.ascontiguousarray(points, np.float32), {"algorithm": KD_TREE})


def _closest(point: Doubles, corners: Doubles) -> Doubles:
    """Barycentrics (..., 3) of the place of triangles (..., 3, 3) nearest to points (..., 3)."""
    a, b, c = np.moveaxis(corners, -2, 0)
    inner = _in_plane(point, a, b - a, c - a)
    choices = np.stack(
        [
            np.where(inner.min(-1, keepdims=True) >= 0, inner, [1.0, 0.0, 0.0]),
            _on_edge(point, a, b) @ np.array([[1.0, 0, 0], [0, 1, 0]]),
            _on_edge(point, b, c) @ np.array([[0, 1.0, 0], [0, 0, 1]]),
            _on_edge(point, c, a) @ np.array([[0, 0, 1.0], [1, 0, 0]]),
        ],
        axis=-2,
    )  # (..., 4, 3)
    reached = np.einsum("...kc,...cx->...kx", choices, corners)
    best = ((reached - point[..., None, :]) ** 2).sum(-1).argmin(-1)
    return np.take_along_axis(choices, best[..., None, None], axis=-2)[..., 0, :]


def _in_plane(point: Doubles, a: Doubles, ab: Doubles, ac: Doubles) -> Doubles:
    """Barycentrics of the foot of the perpendicular (Ericson, Real-Time Collision Detection, 2005, 3.4)."""
    away = point - a
    d00, d01, d11 = (ab * ab).sum(-1), (ab * ac).sum(-1), (ac * ac).sum(-1)
    d20, d21 = (away * ab).sum(-1), (away * ac).sum(-1)
    area2 = np.maximum(d00 * d11 - d01 * d01, 1e-24)
    second, third = (d11 * d20 - d01 * d21) / area2, (d00 * d21 - d01 * d20) / area2
    return np.stack([1 - second - third, second, third], axis=-1)


def _on_edge(point: Doubles, start: Doubles, end: Doubles) -> Doubles:
    """Shares (..., 2) of start and end at the nearest place between them."""
    along = end - start
    share = np.clip(((point - start) * along).sum(-1) / np.maximum((along * along).sum(-1), 1e-24), 0, 1)
    return np.stack([1 - share, share], axis=-1)


def geodesic(part_a: Parts, uv_a: ArrayLike, part_b: Parts, uv_b: ArrayLike) -> Floats:
    """Distance along the rest surface between places, pair by pair: float32 (N,), m; infinite where a part is 0.

    part is uint8 (N,), uv (N, 2). Places outside a chart count as its nearest. The error is that of
    `geodesic_on_triangles`.
    """
    distance = np.full(len(part_a), np.inf, np.float32)
    both = np.flatnonzero((part_a > 0) & (part_b > 0))
    one = locate(part_a[both], np.asarray(uv_a)[both])
    other = locate(part_b[both], np.asarray(uv_b)[both])
    distance[both] = geodesic_on_triangles(*one, *other)
    return distance


def geodesic_on_triangles(
    triangle_a: Triangles, barycentric_a: ArrayLike, triangle_b: Triangles, barycentric_b: ArrayLike
) -> Floats:
    """Distance along the rest surface between places on triangles, pair by pair: float32 (N,), m.

    Far places: the sampled distances of the body file, interpolated; near ones: the straight line. Against
    shortest paths on the mesh with three more nodes an edge, 120,000 pairs of vertices: median error 2.2 mm, 95 %
    of pairs within 9 mm; of those under 5 cm 0.5 mm and 5 mm. 10 µs a pair.
    """
    one, other = _place(triangle_a, barycentric_a), _place(triangle_b, barycentric_b)
    sampled = _sampled(one, other)
    straight = np.linalg.norm(one.point - other.point, axis=1)
    # Interpolated between samples, a place is 2 to 4 cm away from itself: without that, 0 where both are one.
    apart = sampled - (_sampled(one, one) + _sampled(other, other)) / 2
    share = np.clip((apart - NEAR) / (FAR - NEAR), 0, 1)
    return np.maximum(straight, share * sampled + (1 - share) * straight).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Place:
    """A batch of places, each as a weighted mean of samples near it."""

    point: Doubles  # (N, 3), m
    samples: Triangles  # (N, SUPPORT), indices into `BodyModel.samples`
    weights: Doubles  # (N, SUPPORT), sum to 1


def _place(triangle: Triangles, barycentric: ArrayLike) -> _Place:
    body = load()
    shares = np.asarray(barycentric, np.float64)
    corners = body.chart_vertex[body.triangles[triangle]]  # (N, 3)
    point = np.einsum("nk,nkx->nx", shares, body.vertices[corners])
    own = corners[np.arange(len(corners)), shares.argmax(1)]
    samples = _support()[own]  # (N, SUPPORT)
    return _Place(point, samples, _weights(point, body.vertices[body.samples[samples]].astype(np.float64)))


def _sampled(one: _Place, other: _Place) -> Doubles:
    """Distances (N,), m, interpolated between those of the samples near the places."""
    millimetres = load().geodesic[one.samples[:, :, None], other.samples[:, None, :]]  # (N, SUPPORT, SUPPORT)
    between = millimetres.astype(np.float64) / 1000
    return np.asarray(np.einsum("ni,nij,nj->n", one.weights, between, other.weights), np.float64)


def _weights(point: Doubles, samples: Doubles) -> Doubles:
    """Weights (N, K) of samples (N, K, 3) whose mean is the point, the nearer ones heavier.

    The least sum of (weight · distance)² under the condition; moving least squares (Levin, 1998). Distances so
    interpolated are exact where they change linearly.
    """
    away = samples - point[:, None]  # (N, K, 3)
    trust = 1 / ((away**2).sum(-1) + 1e-6)  # (N, K), 1/m²
    moments = np.concatenate([np.ones((*away.shape[:2], 1)), away], axis=-1)  # (N, K, 4)
    normal = np.einsum("nk,nki,nkj->nij", trust, moments, moments)
    # Samples in one plane leave the direction across it open: a millimetre's worth of resistance.
    normal += np.eye(4) * np.array([0, 1, 1, 1]) * 1e-2
    wanted = np.linalg.solve(normal, np.broadcast_to(np.eye(4)[:, :1], (len(point), 4, 1)))  # (N, 4, 1)
    weights = trust * np.einsum("nki,nij->nk", moments, wanted)
    return weights / weights.sum(1, keepdims=True)


@cache
def _support() -> Triangles:
    """For every vertex the samples next to it along the surface: (V, SUPPORT)."""
    body = load()
    around = np.argsort(body.geodesic, axis=1, kind="stable")[:, :SUPPORT].astype(np.int32)  # itself first
    return around[_nearest_sample()]


def _nearest_sample() -> Triangles:
    """The nearest sample of every vertex along the edges: (V,)."""
    body = load()
    corners = body.chart_vertex[body.triangles].astype(np.intp)
    # Every edge of the closed surface belongs to two triangles, once each way round.
    start, end = np.stack([corners, np.roll(corners, -1, axis=1)], axis=-1).reshape(-1, 2).T
    order = np.argsort(end, kind="stable")
    start, end = start[order], end[order]
    first = np.searchsorted(end, np.arange(len(body.vertices)))  # where a vertex's edges begin
    length = np.linalg.norm(body.vertices[start] - body.vertices[end], axis=1).astype(np.float64)
    away = np.full(len(body.vertices), np.inf)
    label = np.zeros(len(away), np.int32)
    away[body.samples] = 0
    label[body.samples] = np.arange(len(body.samples))
    while True:  # Bellman and Ford: ends after as many rounds as the longest path has edges
        reach = away[start] + length
        best = np.minimum.reduceat(reach, first)
        closer = best < away
        if not closer.any():
            return label
        by = np.flatnonzero((reach == best[end]) & closer[end])
        label[end[by]] = label[start[by]]
        away = np.where(closer, best, away)
