"""Dense correspondence against geometry: one surface point seen by two calibrated cameras lies on meeting rays.

First `collect` what the cameras see, frame by frame; then `score` it, all rows of a report together, since
their gaps are to be compared at one share of matched pixels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.distance import tree
from bodystream.models.body.surface import rest_points
from bodystream.pipeline.calibration import Camera, Doubles, gaps, meeting_points
from bodystream.pipeline.flips import LIMBS
from bodystream.pipeline.types import Floats, Iuv, Person, Result

SAME_M = 0.015  # rest surface points this near count as one; a pixel of the 128 px map is about as large
# Every other pixel of every other row: at 3 m a pixel is 2 mm, so what is skipped is small beside 15 mm.
STEP = 2
MOST_PEOPLE = 4  # the largest of a picture; combinations of more, over all cameras, grow too many


K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class View:
    """One person in one picture: pixels (N, 2), continuous, and where they lie on the rest surface, (N, 3) m."""

    pixels: Floats
    points: Floats


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pixels of one camera and those of another whose surface points are the nearest, within SAME_M."""

    pixels: Floats  # (M, 2) of the first camera
    others: Floats  # (M, 2) of the second
    thirds: Floats  # (M, cameras, 2): where every camera sees the point, NaN where it does not
    away: Floats  # (M,) m, between the two surface points
    looked: int  # pixels of the first camera, matched or not


@dataclass(frozen=True, slots=True)
class Collected:
    """What the cameras saw of the one person, over the clip."""

    frames: int
    landmarks: Floats  # (F, cameras, 33, 3): px and confidence; NaN where the person is not found
    pairs: Mapping[tuple[int, int], Sequence[Pairs]]  # by two neighbouring cameras, either way round
    changed: NDArray[np.int64]  # (cameras,): pixels that changed their part between neighbouring frames
    compared: NDArray[np.int64]  # (cameras,): of so many


@dataclass(frozen=True, slots=True)
class PairScore:
    """Two cameras; lengths in mm and px are medians, shares 0..1. NaN where nothing matched."""

    cameras: tuple[str, str]
    frames: int
    share: float  # of the pixels of either camera, those with a match in the other
    gap_mm: float  # between the two rays
    equal_share: float  # the least share of all rows
    gap_at_equal_share_mm: float  # of that share's best matches
    third_px: float  # from where a third camera sees the surface point to where the rays say that it is


def neighbours(cameras: Sequence[Camera]) -> list[tuple[int, int]]:
    """Pairs of cameras that stand side by side on the ring round what they see."""
    centres = np.array([camera.centre for camera in cameras])
    centred = centres - centres.mean(0)
    flat = centred @ np.linalg.svd(centred)[2][:2].T  # (cameras, 2): the plane that holds them best
    order = np.argsort(np.arctan2(flat[:, 1], flat[:, 0])).tolist()
    ring = pairwise([*order, order[0]] if len(order) > 2 else order)
    return sorted((min(pair), max(pair)) for pair in ring)


def view(iuv: Iuv | None, step: int = STEP) -> View:
    """The pixels of a pasted dense map, thinned out to every `step`-th row and column."""
    if iuv is None:
        return View(np.zeros((0, 2), np.float32), np.zeros((0, 3), np.float32))
    part = iuv.part[::step, ::step]
    rows, columns = np.nonzero(part)
    pixels = np.stack([columns * step + iuv.x + 0.5, rows * step + iuv.y + 0.5], axis=1).astype(np.float32)
    uv = iuv.uv[:, ::step, ::step][:, rows, columns].T  # (N, 2)
    return View(pixels, rest_points(part[rows, columns], uv))


def pick(cameras: Sequence[Camera], people: Sequence[Sequence[Person]]) -> tuple[int | None, ...]:
    """Which person of each camera is the one that all see: whose landmarks' rays meet best.

    None for a camera that sees nobody. `people` are one sequence a camera.
    """
    choices = [_largest(seen) for seen in people]
    best: tuple[int | None, ...] = ()
    least = np.inf
    for combination in product(*choices):
        chosen = [None if i is None else seen[i] for seen, i in zip(people, combination, strict=True)]
        if (miss := _miss(cameras, chosen)) < least:
            best, least = combination, miss
    return best


def _largest(people: Sequence[Person]) -> Sequence[int | None]:
    if not people:
        return [None]
    areas = [float(np.prod(person.box[2:] - person.box[:2])) for person in people]
    return sorted(range(len(people)), key=lambda i: -areas[i])[:MOST_PEOPLE]


def _miss(cameras: Sequence[Camera], people: Sequence[Person | None]) -> float:
    """Sum over pairs of cameras of the median gap between rays to the same landmarks, m."""
    rays = [
        (camera, camera.rays(_landmarks(person)[LIMBS, :2]))
        for camera, person in zip(cameras, people, strict=True)
        if person is not None
    ]
    return sum(float(np.median(gaps(*one, *other))) for one, other in combinations(rays, 2))


def _landmarks(person: Person | None) -> Floats:
    """(33, 3) px and confidence; NaN of nobody."""
    if person is None or person.landmarks is None:
        return np.full((33, 3), np.nan, np.float32)
    return person.landmarks


def collect(
    cameras: Sequence[Camera],
    moments: Iterable[Sequence[Result]],
    stride: int,
) -> Collected:
    """Follow the one person whom all cameras see.

    `moments` gives, for every frame, one result a camera. Pixels are matched in every `stride`-th of them,
    flicker is counted in all.
    """
    sides = neighbours(cameras)
    pairs: dict[tuple[int, int], list[Pairs]] = {side: [] for a, b in sides for side in ((a, b), (b, a))}
    landmarks: list[Floats] = []
    changed, compared = np.zeros((2, len(cameras)), np.int64)
    last: list[Iuv | None] = [None] * len(cameras)
    for number, results in enumerate(moments):
        picked = pick(cameras, [result.people for result in results])
        chosen = list(zip(results, picked, strict=True))
        surfaces = [None if i is None else result.surfaces[i] for result, i in chosen]
        landmarks.append(np.stack([_landmarks(None if i is None else r.people[i]) for r, i in chosen]))
        for camera, (before, now) in enumerate(zip(last, surfaces, strict=True)):
            flickering = flicker(before, now)
            changed[camera] += flickering[0]
            compared[camera] += flickering[1]
        last = surfaces
        if number % stride == 0:
            both = [side for side in pairs if all(surfaces[i] is not None for i in side)]
            for side, found in matched([view(iuv) for iuv in surfaces], both).items():
                pairs[side].append(found)
    return Collected(len(landmarks), np.array(landmarks, np.float32), pairs, changed, compared)


def matched(views: Sequence[View], sides: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Pairs]:
    """For each ordered pair of views, the first one's pixels with their nearest in the second.

    One way, and the pairs of both ways pooled in `score`: of two even samplings of one surface only half the
    points are each other's nearest, however good the maps are.
    """
    trees = [tree(seen.points) if len(seen.points) else None for seen in views]
    nearest = {
        (a, b): _nearest(views[a].points, trees[b])
        for a, b in product(range(len(views)), repeat=2)
        if a != b and any(a == side[0] for side in sides)
    }
    out = {}
    for a, b in sides:
        at, away = nearest[a, b]
        close = np.flatnonzero(away < SAME_M)
        thirds = np.full((len(close), len(views), 2), np.nan, np.float32)
        for c in range(len(views)):
            if c not in (a, b):
                seen = nearest[a, c][1][close] < SAME_M
                thirds[seen, c] = views[c].pixels[nearest[a, c][0][close][seen]]
        out[a, b] = Pairs(
            views[a].pixels[close], views[b].pixels[at[close]], thirds, away[close], len(views[a].pixels)
        )
    return out


def _nearest(points: Floats, others: cv2.flann.Index | None) -> tuple[NDArray[np.int32], Floats]:
    """Index (N,) of the nearest in a tree and its distance (N,); infinite where there is no tree."""
    if others is None or not len(points):
        return np.zeros(len(points), np.int32), np.full(len(points), np.inf, np.float32)
    at, squared = others.knnSearch(points, 1, params={"checks": -1})
    return at[:, 0].astype(np.int32), np.sqrt(np.maximum(squared[:, 0], 0)).astype(np.float32)


def flicker(before: Iuv | None, now: Iuv | None) -> tuple[int, int]:
    """Pixels whose part is another than in the frame before, and those that have one in both; motion included."""
    if before is None or now is None:
        return 0, 0
    x0, y0 = max(before.x, now.x), max(before.y, now.y)
    x1 = min(before.x + before.part.shape[1], now.x + now.part.shape[1])
    y1 = min(before.y + before.part.shape[0], now.y + now.part.shape[0])
    if x0 >= x1 or y0 >= y1:
        return 0, 0
    old, new = (iuv.part[y0 - iuv.y : y1 - iuv.y, x0 - iuv.x : x1 - iuv.x] for iuv in (before, now))
    both = (old > 0) & (new > 0)
    return int((both & (old != new)).sum()), int(both.sum())


def score(rows: Mapping[K, Collected], cameras: Sequence[Camera]) -> dict[K, list[PairScore]]:
    """Score every row of a report, a PairScore for each two neighbouring cameras."""
    out: dict[K, list[PairScore]] = {name: [] for name in rows}
    for a, b in neighbours(cameras):
        measured = {name: _measure(row, a, b, cameras) for name, row in rows.items()}
        equal = min(len(away) / max(looked, 1) for _, away, _, looked in measured.values())
        for name, (gap, away, third, looked) in measured.items():
            best = np.argsort(away, kind="stable")[: round(equal * looked)]
            out[name].append(
                PairScore(
                    (cameras[a].name, cameras[b].name),
                    len(rows[name].pairs[a, b]),
                    len(gap) / max(looked, 1),
                    1000 * _median(gap),
                    equal,
                    1000 * _median(gap[best]),
                    _median(third),
                )
            )
    return out


def _measure(
    row: Collected, a: int, b: int, cameras: Sequence[Camera]
) -> tuple[Doubles, Floats, Doubles, int]:
    """Gap (M,) m and distance on the surface (M,) m of all matches, third-view errors (K,) px, pixels looked at."""
    gap, away, third, looked = [np.zeros(0)], [np.zeros(0, np.float32)], [np.zeros(0)], 0
    for one, other in ((a, b), (b, a)):
        for found in row.pairs[one, other]:
            rays = cameras[one].rays(found.pixels), cameras[other].rays(found.others)
            gap.append(gaps(cameras[one], rays[0], cameras[other], rays[1]))
            away.append(found.away)
            looked += found.looked
            points = meeting_points(cameras[one], rays[0], cameras[other], rays[1])
            third += [
                np.linalg.norm(cameras[c].project(points[seen]) - found.thirds[seen, c], axis=1)
                for c in range(len(cameras))
                if (seen := np.isfinite(found.thirds[:, c, 0])).any()
            ]
    return np.concatenate(gap), np.concatenate(away), np.concatenate(third), looked


def _median(values: NDArray[np.floating]) -> float:
    return float(np.median(values)) if len(values) else float("nan")
