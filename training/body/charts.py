"""U, V on each part of the left half: discs laid flat onto the unit square, hands and feet as two sheets.

Every chart is laid out as one sees it from outside with the head up: U to the right, V down. Its outline goes,
with the surface on the left hand, down the left side, along the bottom, up the right side, back along the top.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bodystream.training.body import flatten
from bodystream.training.body.cut import Cut
from bodystream.training.body.parts import BACK_OF_HAND, HEAD, PALM, SOLE_SHEET, UPPER

Array = NDArray[np.float64]

# Corners top left, bottom left, bottom right, top right: where the outline passes from one neighbour to the
# next (0: the middle plane), or the outline's furthest vertex in a direction.
CORNERS: dict[int, tuple[tuple[int, int] | tuple[float, float, float], ...]] = {
    1: ((2, 17), (2, 8), (8, 0), (0, HEAD)),
    2: ((HEAD, 0), (0, 8), (10, 8), (17, 1)),
    8: ((1, 2), (10, 12), (12, 10), (0, 1)),
    10: ((2, 8), (8, 14), (14, 8), (8, 2)),
    12: ((8, 14), (14, SOLE_SHEET), (SOLE_SHEET, 14), (14, 8)),
    14: ((10, 12), (12, UPPER), (UPPER, 12), (12, 10)),
    15: ((1, 17), (17, 19), (19, 17), (17, 2)),
    17: ((2, 15), (15, 21), (21, 15), (15, 1)),
    19: ((15, 21), (21, PALM), (PALM, 21), (21, 15)),
    21: ((17, 19), (19, BACK_OF_HAND), (BACK_OF_HAND, 19), (19, 17)),
    HEAD: ((0.0, -0.8, -0.6), (0, 2), (1, 0), (0.0, -0.8, 0.6)),  # the hairline; as high at the back
    UPPER: ((14, SOLE_SHEET), (-0.75, 0.0, -0.66), (0.85, 0.0, -0.53), (SOLE_SHEET, 14)),
    SOLE_SHEET: ((12, UPPER), (0.85, 0.0, -0.53), (-0.75, 0.0, -0.66), (UPPER, 12)),
}
# Where a part's square lies in its chart: part, and U from and to.
PLACE = {
    1: (1, 0.0, 0.5), 2: (2, 0.5, 1.0), HEAD: (24, 0.0, 1.0),
    PALM: (4, 0.0, 0.5), BACK_OF_HAND: (4, 0.5, 1.0), SOLE_SHEET: (5, 0.0, 0.5), UPPER: (5, 0.5, 1.0),
}  # fmt: skip
SPECK = 0.004  # m: shorter runs of the outline come of borders that meet a hair's breadth apart
MARGIN = 0.01  # in U, V between the two free sheets of a hand, and round them
ROUNDS, STEPS = 3, 25  # the energy is steady to 1e-6 after these


@dataclass(frozen=True)
class Charts:
    """Chart vertices of the left half: triangles (T, 3) into them, their vertex, part and uv (C, 2)."""

    triangles: NDArray[np.int64]
    vertex: NDArray[np.int64]
    part: NDArray[np.int64]
    uv: Array


def charted(work: Cut) -> Charts:
    """U, V for every region of the cut left half."""
    beyond = {(int(t[k]), int(t[(k + 1) % 3])): int(label)
              for t, label in zip(work.triangles, work.labels, strict=True) for k in range(3)}  # fmt: skip
    triangles = np.zeros_like(work.triangles)
    vertices, parts, uvs, count = [], [], [], 0
    for label in np.unique(work.labels):
        own = work.labels == label
        used, local = np.unique(work.triangles[own], return_inverse=True)
        local = local.reshape(-1, 3)
        points = work.points[used]
        outline, neighbours = outlined(local, used, beyond)
        if label in CORNERS:
            uv = squared(points, local, outline, corners(points, outline, neighbours, CORNERS[int(label)]))
        else:
            uv = free_sheet(points, local, outline, neighbours)
        part, start, end = PLACE.get(int(label), (int(label), 0.0, 1.0))
        uv[:, 0] = start + (end - start) * uv[:, 0]
        triangles[own] = local + count
        vertices.append(used)
        parts.append(np.full(len(used), part))
        uvs.append(uv)
        count += len(used)
    return Charts(triangles, np.concatenate(vertices), np.concatenate(parts), np.concatenate(uvs))


def outlined(
    triangles: NDArray[np.int64], used: NDArray[np.int64], beyond: dict[tuple[int, int], int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The outline's vertices in order, and for the edge from each to the next the neighbour's label."""
    edges = {(int(t[k]), int(t[(k + 1) % 3])) for t in triangles for k in range(3)}
    follow = {a: b for a, b in edges if (b, a) not in edges}
    loop = [min(follow)]
    while (after := follow[loop[-1]]) != loop[0]:
        loop.append(after)
    if len(loop) != len(follow):
        raise ValueError(f"a part has more than one outline: {len(loop)} of {len(follow)} edges in the first")
    labels = [
        beyond.get((int(used[b]), int(used[a])), 0) for a, b in zip(loop, loop[1:] + loop[:1], strict=True)
    ]
    return np.array(loop), np.array(labels)


def corners(
    points: Array,
    outline: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    rules: tuple[tuple[float, ...], ...],
) -> list[int]:
    """Places in the outline of the four corners."""
    labels = without_specks(points, outline, neighbours)
    found = []
    for rule in rules:
        if len(rule) == 3:
            found.append(int(np.argmax(points[outline] @ np.array(rule))))
            continue
        places = np.flatnonzero((np.roll(labels, 1) == rule[0]) & (labels == rule[1]))
        if len(places) != 1:
            raise ValueError(
                f"the outline passes {len(places)} times from part {rule[0]} to {rule[1]}; once expected"
            )
        found.append(int(places[0]))
    return found


def without_specks(points: Array, outline: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The outline's edge labels with runs shorter than SPECK given to the run before."""
    length = np.linalg.norm(points[np.roll(outline, -1)] - points[outline], axis=1)
    labels = labels.copy()
    first = np.flatnonzero(labels != np.roll(labels, 1))[0]
    turned, long = np.roll(labels, -first), np.roll(length, -first)
    starts = np.flatnonzero(np.r_[True, turned[1:] != turned[:-1]])
    for start, end in zip(starts, [*starts[1:], len(turned)], strict=True):
        if long[start:end].sum() < SPECK:
            turned[start:end] = turned[start - 1]
    return np.roll(turned, first)


def squared(points: Array, triangles: NDArray[np.int64], outline: NDArray[np.int64], at: list[int]) -> Array:
    """uv (V, 2), the outline on the unit square's sides with corners `at`; its vertices slide along them."""
    outline = np.roll(outline, -at[0])
    at = [(place - at[0]) % len(outline) for place in at]
    if sorted(at) != at:
        raise ValueError(f"corners out of order along the outline: {at}")
    step = np.linalg.norm(points[np.roll(outline, -1)] - points[outline], axis=1)
    square = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    uv, fixed, lengths = np.zeros((len(points), 2)), np.zeros((len(points), 2), bool), []
    for k, (start, end) in enumerate(zip(at, [*at[1:], len(outline)], strict=True)):
        along = np.r_[0, np.cumsum(step[start:end])]
        lengths.append(along[-1])
        uv[outline[start:end]] = square[k] + (along[:-1] / along[-1])[:, None] * (square[k + 1] - square[k])
        fixed[outline[start:end], k % 2] = True
        fixed[outline[start]] = True
    on_rim = np.zeros(len(points), bool)
    on_rim[outline] = True
    uv = flatten.convex_map(points, triangles, uv, on_rim)
    # (U, V down) is left-handed as seen from outside; the energy wants it right-handed.
    shape = flatten.disc(points, triangles)
    aspect = (lengths[0] + lengths[2]) / (lengths[1] + lengths[3])  # height to width
    for _ in range(ROUNDS):
        size = np.sqrt(shape.area.sum() / aspect) * np.array([1.0, -aspect])
        uv = flatten.relaxed(shape, uv * size, fixed, STEPS) / size
        j = flatten.jacobians(shape, uv)
        per_u, per_v = (np.sqrt(np.average((j[:, k] ** 2).sum(1), weights=shape.area)) for k in range(2))
        aspect = per_u / per_v
    return uv


def free_sheet(
    points: Array, triangles: NDArray[np.int64], outline: NDArray[np.int64], neighbours: NDArray[np.int64]
) -> Array:
    """uv (V, 2) of a side of the hand, with a free outline: wrist up, fingers down, as large as fits."""
    step = np.linalg.norm(points[np.roll(outline, -1)] - points[outline], axis=1)
    angle = 2 * np.pi * np.r_[0, np.cumsum(step)[:-1]] / step.sum()
    shape = flatten.disc(points, triangles)
    radius = np.sqrt(shape.area.sum() / np.pi)
    uv, rim = np.zeros((len(points), 2)), np.zeros(len(points), bool)
    uv[outline], rim[outline] = radius * np.stack([np.cos(angle), np.sin(angle)], 1), True
    uv = flatten.convex_map(points, triangles, uv, rim)
    uv = flatten.relaxed(shape, uv, np.zeros((len(points), 2), bool), 8 * STEPS)
    if crossings := self_crossings(uv[outline]):
        raise ValueError(f"a side of the hand lies over itself: its outline crosses itself {crossings} times")
    wrist = np.isin(neighbours, (19, 21))
    down = uv.mean(0) - uv[outline[wrist]].mean(0)
    down /= np.linalg.norm(down)
    turned = np.stack([uv @ [-down[1], down[0]], uv @ down], 1)
    low, size = turned.min(0), np.ptp(turned, axis=0)
    margin = np.array([2 * MARGIN, MARGIN])  # U will be halved
    return margin + (turned - low) / size * (1 - 2 * margin)


def self_crossings(outline: Array) -> int:
    """How often a closed line through points (n, 2) crosses itself; with 0 and no flip a sheet is bijective."""
    a, b = outline, np.roll(outline, -1, 0)
    n = len(a)

    def side(p: Array, q: Array, r: Array) -> Array:
        return np.asarray((q - p)[..., 0] * (r - p)[..., 1] - (q - p)[..., 1] * (r - p)[..., 0])

    a1, b1, a2, b2 = a[:, None], b[:, None], a[None], b[None]
    crossed = (side(a1, b1, a2) * side(a1, b1, b2) < 0) & (side(a2, b2, a1) * side(a2, b2, b1) < 0)
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    return int((crossed & (apart > 1) & (apart < n - 1)).sum()) // 2
