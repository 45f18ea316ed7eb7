"""The body's surface: (part, U, V), triangle and barycentric, canonical point in metres, one into the other.

Coordinates are those of the rest body (`data.py`): metres, x to the person's left, y down, z to their back.
Arrays of points keep their leading shape. Everything is built from `data.load()` when first asked for.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bodystream.models.body.data import BodyModel, load
from bodystream.models.body.parts import MIRROR_PART

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Parts = NDArray[np.uint8]
Triangles = NDArray[np.int32]

TORSO = (1, 2)  # the parts that the mirror maps onto themselves: there U turns round, (1 - U, V)

CELLS = 64  # a side of the grid over a chart: a few candidate triangles a cell
# A point may lie this far outside a triangle, in barycentric units, and count as inside: rounding of float32.
SLACK = 1e-6
NODES = 64  # a side of the fast table
# Hands and feet are two sheets that meet at U = 0.5, between these columns of the table: nothing goes across.
SHEETS = (3, 4, 5, 6)
SEAM = 31


def mirrored(part: Parts, uv: ArrayLike) -> tuple[Parts, Floats]:
    """The same place on the other side of the body: part (...) uint8, uv (..., 2) float32."""
    middle = np.isin(part, TORSO)
    other = np.array(uv, np.float32)
    other[..., 0] = np.where(middle, 1 - other[..., 0], other[..., 0])
    return MIRROR_PART[part], other


def locate(part: Parts, uv: ArrayLike) -> tuple[Triangles, Doubles]:
    """Triangle and barycentric coordinates of places on the charts; the chart's nearest where uv is outside it.

    part is uint8 (...), 1..24, uv (..., 2), 0..1. Gives triangle int32 (...), an index into
    `BodyModel.triangles`, and float64 (..., 3) that are at least 0 and sum to 1.
    Where part is 0: -1 and zeros.
    """
    flat_part = np.ravel(part).astype(np.intp)
    flat_uv = np.asarray(uv, np.float64).reshape(-1, 2)
    triangle, barycentric = _inside(flat_part, flat_uv)
    outside = np.flatnonzero((triangle < 0) & (flat_part > 0))
    if len(outside):
        triangle[outside], barycentric[outside] = _nearest_on_border(flat_part[outside], flat_uv[outside])
    return triangle.reshape(np.shape(part)), barycentric.reshape(*np.shape(part), 3)


def iuv_of(triangle: Triangles, barycentric: ArrayLike) -> tuple[Parts, Floats]:
    """Part uint8 (...) and uv float32 (..., 2) of places on triangles; the inverse of `locate`."""
    body = load()
    corners = body.triangles[triangle]  # (..., 3)
    uv = np.einsum("...k,...kc->...c", np.asarray(barycentric, np.float64), body.uv[corners])
    return body.part[corners[..., 0]], uv.astype(np.float32)


def points_of(triangle: Triangles, barycentric: ArrayLike) -> Floats:
    """Canonical points float32 (..., 3), m, of places on triangles."""
    body = load()
    corners = body.vertices[body.chart_vertex[body.triangles[triangle]]]  # (..., 3, 3)
    return np.einsum("...k,...kc->...c", np.asarray(barycentric, np.float64), corners).astype(np.float32)


def rest_points_exact(part: Parts, uv: ArrayLike) -> Floats:
    """Canonical points float32 (..., 3), m, through the triangles; the origin where part is 0."""
    triangle, barycentric = locate(part, uv)
    return points_of(triangle, barycentric)  # the barycentrics of part 0 are zeros


def rest_points(part: Parts, uv: ArrayLike) -> Floats:
    """Canonical points float32 (..., 3), m, by a table of 64 × 64 nodes a chart; the origin where part is 0.

    20,000 places spread over the body are 0.09 mm off in the mean, 99 % within 1 mm; 0.14 µs a place, 3 exactly.
    """
    flat_part = np.ravel(part)
    scaled = np.clip(np.asarray(uv, np.float32).reshape(-1, 2), 0, 1) * np.float32(NODES - 1)
    low = np.minimum(scaled.astype(np.int32), NODES - 2)
    at_seam = (low[:, 0] == SEAM) & (flat_part >= SHEETS[0]) & (flat_part <= SHEETS[-1])
    low[:, 0] += at_seam * np.where(scaled[:, 0] < SEAM + 0.5, -1, 1)
    right, down = np.split(scaled - low.astype(np.float32), 2, axis=1)  # (N, 1) each
    node = (flat_part.astype(np.int32) * NODES + low[:, 1]) * NODES + low[:, 0]
    table = rest_table().reshape(-1, 3)
    top = table[node] + (table[node + 1] - table[node]) * right
    bottom = table[node + NODES] + (table[node + NODES + 1] - table[node + NODES]) * right
    return (top + (bottom - top) * down).reshape(*np.shape(part), 3)


@cache
def rest_table() -> Floats:
    """Canonical points at the nodes (U, V) = (column, row) / 63 of every chart: float32 (25, 64, 64, 3), m.

    Nodes outside a chart hold its nearest point. Part 0: zeros.
    """
    steps = np.arange(NODES) / (NODES - 1)
    uv = np.broadcast_to(np.stack(np.meshgrid(steps, steps), axis=-1), (24, NODES, NODES, 2))
    part = np.broadcast_to(np.arange(1, 25, dtype=np.uint8)[:, None, None], uv.shape[:3])
    table = np.zeros((25, NODES, NODES, 3), np.float32)
    table[1:] = rest_points_exact(part, uv)
    return table


@dataclass(frozen=True, slots=True)
class _Charts:
    """What `locate` looks into."""

    corners: Doubles  # (T, 3, 2) uv
    to_barycentric: Doubles  # (T, 2, 2): times (uv - first corner), the second and third coordinate
    starts: Triangles  # (24 · CELLS² + 1,): where the candidates of a cell begin in `members`
    members: Triangles  # triangles whose bounding box meets a cell, cell by cell
    edges: Triangles  # (E, 2): triangle, and which of its corners begins the edge; the charts' borders
    edge_starts: Triangles  # (26,): where a part's edges begin


@cache
def _charts() -> _Charts:
    body = load()
    corners = body.uv[body.triangles].astype(np.float64)  # (T, 3, 2)
    part = body.part[body.triangles[:, 0]].astype(np.intp)
    sides = np.moveaxis(corners[:, 1:] - corners[:, :1], 1, 2)  # (T, 2, 2), the sides as columns
    flat = np.abs(np.linalg.det(sides)) < 1e-12  # a triangle of no area holds no point
    sides[flat] = np.eye(2)
    starts, members = _cells(corners, part, ~flat)
    edges = _border(body)
    edges = edges[np.argsort(part[edges[:, 0]], kind="stable")]
    edge_starts = np.searchsorted(part[edges[:, 0]], np.arange(26)).astype(np.int32)
    to_barycentric = np.linalg.inv(sides).astype(np.float64)
    return _Charts(corners, to_barycentric, starts, members, edges, edge_starts)


def _cells(corners: Doubles, part: NDArray[np.intp], use: NDArray[np.bool_]) -> tuple[Triangles, Triangles]:
    """Candidate triangles by cell: starts (cells + 1,), and the triangles, cell by cell."""
    low = np.clip((corners.min(1) - SLACK) * CELLS, 0, CELLS - 1).astype(np.intp)  # (T, 2)
    high = np.clip((corners.max(1) + SLACK) * CELLS, 0, CELLS - 1).astype(np.intp)
    wide, tall = (high - low + 1).T
    count = np.where(use, wide * tall, 0)
    member = np.repeat(np.arange(len(part)), count)
    nth = np.arange(len(member)) - np.repeat(np.cumsum(count) - count, count)
    column = low[member, 0] + nth % wide[member]
    row = low[member, 1] + nth // wide[member]
    cell = ((part[member] - 1) * CELLS + row) * CELLS + column
    order = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[order], np.arange(24 * CELLS * CELLS + 1))
    return starts.astype(np.int32), member[order].astype(np.int32)


def _border(body: BodyModel) -> Triangles:
    """Edges of charts that belong to one triangle only: (E, 2) triangle and first corner."""
    corners = body.triangles.astype(np.int64)
    ends = np.stack([corners, np.roll(corners, -1, axis=1)], axis=-1).reshape(-1, 2)  # (3T, 2)
    key = ends.min(1) * len(body.part) + ends.max(1)
    _, first, count = np.unique(key, return_index=True, return_counts=True)
    single = first[count == 1]
    return np.stack([single // 3, single % 3], axis=1).astype(np.int32)


def _inside(part: NDArray[np.intp], uv: Doubles) -> tuple[Triangles, Doubles]:
    """The triangles that hold the points, -1 for none: (N,) and barycentrics (N, 3)."""
    charts = _charts()
    triangle = np.full(len(part), -1, np.int32)
    barycentric = np.zeros((len(part), 3))
    column, row = np.clip(uv * CELLS, 0, CELLS - 1).astype(np.intp).T
    cell = ((np.maximum(part, 1) - 1) * CELLS + row) * CELLS + column
    candidate, last = charts.starts[cell], charts.starts[cell + 1]
    waiting = np.flatnonzero(part > 0)
    while len(waiting := waiting[candidate[waiting] < last[waiting]]):
        tried = charts.members[candidate[waiting]]
        found = _barycentric(charts, tried, uv[waiting])
        holds = found.min(1) >= -SLACK
        triangle[waiting[holds]] = tried[holds]
        barycentric[waiting[holds]] = _at_least_0(found[holds])
        waiting = waiting[~holds]
        candidate[waiting] += 1
    return triangle, barycentric


def _barycentric(charts: _Charts, triangle: Triangles, uv: Doubles) -> Doubles:
    away = uv - charts.corners[triangle, 0]
    second_third = np.einsum("nij,nj->ni", charts.to_barycentric[triangle], away)
    return np.concatenate([1 - second_third.sum(1, keepdims=True), second_third], axis=1)


def _at_least_0(barycentric: Doubles) -> Doubles:
    clipped = np.maximum(barycentric, 0)
    return clipped / clipped.sum(1, keepdims=True)


def _nearest_on_border(part: NDArray[np.intp], uv: Doubles) -> tuple[Triangles, Doubles]:
    """The nearest place of the chart to points outside it, which is on its border: triangle, barycentric."""
    charts = _charts()
    triangle = np.full(len(part), -1, np.int32)
    barycentric = np.zeros((len(part), 3))
    for number in np.unique(part):
        here = np.flatnonzero(part == number)
        edges = charts.edges[charts.edge_starts[number] : charts.edge_starts[number + 1]]
        if not len(edges):  # a closed chart, or none
            continue
        start = charts.corners[edges[:, 0], edges[:, 1]]  # (E, 2)
        along = charts.corners[edges[:, 0], (edges[:, 1] + 1) % 3] - start
        length2 = np.maximum((along**2).sum(1), 1e-18)
        forth = uv[here] @ along.T - (start * along).sum(1)  # (n, E), from the edge's start, times its length
        share = np.clip(forth / length2, 0, 1)
        # The squared distance, less that of the point from the origin, which does not matter for which is least.
        away2 = (start**2).sum(1) - 2 * uv[here] @ start.T + share * (share * length2 - 2 * forth)
        best = away2.argmin(1)  # (n,)
        share = share[np.arange(len(here)), best]
        triangle[here], first = edges[best].T
        barycentric[here, first] = 1 - share
        barycentric[here, (first + 1) % 3] = share
    return triangle, barycentric
