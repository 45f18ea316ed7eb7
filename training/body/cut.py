"""Cutting a triangle mesh along the zero curves of scalar fields, so that part borders are smooth.

A cut adds vertices on the edges that the curve crosses and divides the triangles there; every new vertex is
the mean of two older ones with stated shares, so anything given at vertices can be carried along afterwards.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

# A curve that passes a vertex nearer than this share of an edge is led through it: no slivers, and with edges
# of 1 to 2 cm the border moves by 1 to 2 mm at most.
SNAP = 0.08


@dataclass(frozen=True)
class Cut:
    """A mesh under the knife.

    triangles: (T, 3) int64. labels: (T,) int64, the part so far. points: (V, 3), m.
    parents: (n, 2) int64 and shares: (n,): new vertex i, number V - n + i, is parents[i] mixed, the second
    with weight shares[i].
    """

    triangles: NDArray[np.int64]
    labels: NDArray[np.int64]
    points: NDArray[np.float64]
    parents: NDArray[np.int64]
    shares: NDArray[np.float64]


def begun(points: NDArray[np.float64], triangles: NDArray[np.int64]) -> Cut:
    """The uncut mesh, label 0 everywhere."""
    return Cut(triangles, np.zeros(len(triangles), np.int64), points, np.zeros((0, 2), np.int64), np.zeros(0))


def carried(cut: Cut, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (V0, ...) at the uncut mesh's vertices, at the cut one's (V, ...)."""
    out = np.concatenate([values, np.zeros((len(cut.shares), *values.shape[1:]))])
    first = len(values)
    for i, ((a, b), share) in enumerate(zip(cut.parents, cut.shares, strict=True)):
        out[first + i] = (1 - share) * out[a] + share * out[b]
    return out


def split(cut: Cut, field: NDArray[np.float64], where: NDArray[np.bool_], below: int, above: int) -> Cut:
    """Divide the triangles `where` along field = 0 and label them `below` (field < 0) or `above`.

    field: (V,) at the vertices. Triangles outside `where` are divided only as far as they share a cut edge.
    """
    field = snapped(field, cut.triangles[where])
    edges = np.vstack([cut.triangles[where][:, [k, (k + 1) % 3]] for k in range(3)])
    edges = np.unique(np.sort(edges, 1), axis=0)
    edges = edges[field[edges[:, 0]] * field[edges[:, 1]] < 0]
    share = field[edges[:, 0]] / (field[edges[:, 0]] - field[edges[:, 1]])
    v = len(cut.points)
    new = {(int(a), int(b)): v + i for i, (a, b) in enumerate(edges)}
    points = np.vstack([
        cut.points, (1 - share)[:, None] * cut.points[edges[:, 0]] + share[:, None] * cut.points[edges[:, 1]]
    ])  # fmt: skip
    field = np.r_[field, np.zeros(len(edges))]
    triangles, labels, inside = divided(cut, new, points, where)
    side = field[triangles].sum(1)
    labels = np.where(inside, np.where(side < 0, below, above), labels)
    parents, shares = np.vstack([cut.parents, edges]), np.r_[cut.shares, share]
    return Cut(triangles, labels, points, parents, shares)


def snapped(field: NDArray[np.float64], triangles: NDArray[np.int64]) -> NDArray[np.float64]:
    """The field with those values set to 0 next to which the curve would pass."""
    field = field.copy()
    for _ in range(20):
        a, b = (np.concatenate([triangles[:, (k + step) % 3] for k in range(3)]) for step in (0, 1))
        crossing = field[a] * field[b] < 0
        a, b = a[crossing], b[crossing]
        near = np.abs(field[a]) < SNAP * np.abs(field[a] - field[b])
        if not near.any():
            break
        field[a[near]] = 0
    return field


def divided(
    cut: Cut, new: dict[tuple[int, int], int], points: NDArray[np.float64], where: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Triangles with the new vertices on their edges, labels and `where` inherited."""
    triangles, origin = [], []
    for index, (a, b, c) in enumerate(cut.triangles.tolist()):
        middles = [new.get((min(e), max(e))) for e in ((a, b), (b, c), (c, a))]
        for piece in pieces((a, b, c), middles, points):
            triangles.append(piece)
            origin.append(index)
    return np.array(triangles), cut.labels[origin], where[origin]


def pieces(
    corners: tuple[int, int, int], middles: list[int | None], points: NDArray[np.float64]
) -> list[tuple[int, int, int]]:
    """One triangle divided at the vertices on its edges (a b, b c, c a; None: none there)."""
    count = sum(m is not None for m in middles)
    if count == 0:
        return [corners]
    while middles[0] is None or (count == 2 and middles[2] is None):
        corners, middles = (corners[1], corners[2], corners[0]), [*middles[1:], middles[0]]
    (a, b, c), (ab, bc, ca) = corners, middles
    assert ab is not None
    if count == 1:
        return [(a, ab, c), (ab, b, c)]
    assert ca is not None
    if count == 3:
        assert bc is not None
        return [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    first = np.linalg.norm(points[ab] - points[c]) <= np.linalg.norm(points[ca] - points[b])
    quad = [(ab, b, c), (ab, c, ca)] if first else [(ab, b, ca), (b, c, ca)]
    return [(a, ab, ca), *quad]


def pieces_of(triangles: NDArray[np.int64], within: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Which piece, joined by edges, each triangle of `within` lies in, (T,); -1 outside."""
    edges: dict[tuple[int, int], int] = {}
    pairs = []
    for t in np.flatnonzero(within).tolist():
        a, b, c = triangles[t].tolist()
        for edge in ((a, b), (b, c), (c, a)):
            other = edges.setdefault((min(edge), max(edge)), t)
            if other != t:
                pairs.append((other, t))
    n = len(triangles)
    row, column = np.array(pairs).reshape(-1, 2).T
    label = connected_components(coo_matrix((np.ones(len(row)), (row, column)), (n, n)), directed=False)[1]
    return np.where(within, label, -1)


def joined(cut: Cut) -> Cut:
    """The mesh with only the largest piece of each part kept; a stray piece takes its longest neighbour's."""
    labels = cut.labels.copy()
    for part in np.unique(labels):
        piece = pieces_of(cut.triangles, labels == part)
        found, size = np.unique(piece[piece >= 0], return_counts=True)
        for stray in found[np.argsort(-size, kind="stable")][1:]:
            around = np.isin(cut.triangles, cut.triangles[piece == stray]).sum(1) >= 2
            labels[piece == stray] = np.bincount(labels[around & (labels != part)]).argmax()
    return replace(cut, labels=labels)


def without_chords(cut: Cut) -> Cut:
    """Every edge inside a part whose two ends lie on the part's outline gets a vertex in its middle.

    A triangle with all its corners on one side of a chart's square would have no area there.
    """
    sides: dict[tuple[int, int], list[int]] = {}
    for (a, b, c), label in zip(cut.triangles.tolist(), cut.labels.tolist(), strict=True):
        for edge in ((a, b), (b, c), (c, a)):
            sides.setdefault((min(edge), max(edge)), []).append(label)
    rim: dict[int, set[int]] = {}  # the parts on whose outlines a vertex lies
    for (a, b), labels in sides.items():
        if len(labels) == 1 or labels[0] != labels[1]:
            rim.setdefault(a, set()).update(labels)
            rim.setdefault(b, set()).update(labels)
    chords = [
        edge for edge, labels in sides.items()
        if len(labels) == 2 and labels[0] == labels[1]
        and all(labels[0] in rim.get(end, ()) for end in edge)
    ]  # fmt: skip
    edges = np.array(sorted(chords)).reshape(-1, 2)
    points = np.vstack([cut.points, cut.points[edges].mean(1)])
    new = {(int(a), int(b)): len(cut.points) + i for i, (a, b) in enumerate(edges)}
    triangles, labels_now, _ = divided(cut, new, points, np.ones(len(cut.triangles), bool))
    shares = np.r_[cut.shares, np.full(len(edges), 0.5)]
    return Cut(triangles, labels_now, points, np.vstack([cut.parents, edges]), shares)
