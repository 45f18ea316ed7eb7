"""Posed, dressed, seen and rendered people, with the errors that the pipeline's own inputs have.

One sample is what the dense stage would be given of a person, made by the stage's own functions from
disturbed landmarks and a disturbed mask, and the truth for every pixel of the grid. Everything follows from
the seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.pose import Body, girth, lift, pose_bodies
from bodystream.models.body.raster import Render, render
from bodystream.models.body.skeleton import CHEST, LEFT, RIGHT, bone_lengths
from bodystream.models.body.skin import blend
from bodystream.models.dense_input import HALF, Baseline, View, baseline_of, filled, net_input
from bodystream.models.dense_layout import CELLS, CHANNELS, GRID
from bodystream.training.dense.loss import IGNORE
from bodystream.training.dense.silhouette import seen_mask
from bodystream.training.errors import disturbed, disturbed_world, swapped
from bodystream.training.people import Figure, articulated, landmarks_of, make_figure
from bodystream.training.poses import Poses, about_x, about_y, jittered_pose, mirrored_pose, sampled_pose

Floats = NDArray[np.float32]

MOTION = 0.5  # share of poses from motion capture, where there is any
OTHER_ARMS = 0.25  # of these, the share that get the arms of another moment
POOL, NEW_FIGURE = 48, 0.1  # figures at a time, and the chance that one is replaced at a pose
CROWD = 512  # posed people that are kept to be looked at again: 0.1 GB
MARGIN = (1.06, 1.28)  # of the grid round the person, see `dense_input.MARGIN`
CUT = 0.15  # share of people whom the picture's border cuts
REACH_PX = 6.0  # a mask's pixel this far from the body, grid px, still belongs to it: hair, cloth, blur
CROP_M = 2.25  # side of the landmark net's crop for a person of 1.7 m: 1.25 times the circle round the hips
TALL = 1.7
MIDDLE = np.array([[1.0, 0, 0], [0, 1, 0]])  # the grid is its own image


@dataclass(frozen=True, slots=True)
class Truth:
    """A person as they are: `whole`, drawn in the grid and filled; landmarks `points` (33, 3), px and depth in
    grid px, `world` (33, 3), m, hip-centred; which landmarks are `hidden` by the body or `outside` the picture;
    pixels of the grid inside the `picture`; px of the grid a metre.
    """

    figure: Figure
    whole: Baseline
    points: Floats
    world: Floats
    hidden: NDArray[np.bool_]
    outside: NDArray[np.bool_]
    picture: NDArray[np.bool_]
    px_per_m: float


@dataclass(frozen=True, slots=True)
class Sample:
    """What the stage sees of a person and what is so: `view`, `baseline`, the `body` it was made from; `part`
    uint8 (128, 128), 0 none, IGNORE unknown, and `uv` float32 (2, 128, 128).
    """

    view: View
    body: Body
    baseline: Baseline
    part: NDArray[np.uint8]
    uv: Floats

    def input(self) -> Floats:
        """What the net is given: float32 (48, 64, 64)."""
        return net_input(self.view.mask, self.baseline, self.body.points)


class Generator:
    """An endless source of samples. `poses` None: from the sampler alone. `exact` leaves all errors out.

    Every person is observed `looks` times, with other errors each time, in batches that lie apart: making a
    person costs as much as observing one.
    """

    def __init__(self, poses: Poses | None, *, exact: bool = False, looks: int = 1) -> None:
        self._poses, self._exact, self._looks = poses, exact, looks

    def batches(self, seed: int, rank: int, size: int) -> Iterator[tuple[Floats, NDArray[np.uint8], Floats]]:
        """Yield inputs (N, 48, 64, 64), parts (N, 128, 128) and uvs (N, 2, 128, 128), `size` at a time."""
        samples = self.samples(seed, rank, size)
        while True:
            inputs = np.empty((size, CHANNELS, CELLS, CELLS), np.float32)
            parts = np.empty((size, GRID, GRID), np.uint8)
            uvs = np.empty((size, 2, GRID, GRID), np.float32)
            for i in range(size):
                sample = next(samples)
                inputs[i], parts[i], uvs[i] = sample.input(), sample.part, sample.uv
            yield inputs, parts, uvs

    def samples(self, seed: int, rank: int = 0, together: int = 16) -> Iterator[Sample]:
        """Yield samples. Bodies are posed `together` at a time."""
        rng = np.random.default_rng([seed, rank])
        people = self._people(rng)
        if self._looks == 1:
            while True:
                yield from _observed([next(people) for _ in range(together)], rng, exact=self._exact)
        pool = [next(people) for _ in range(4 * together)]
        while True:
            for _ in range(-(-together // self._looks)):
                # The oldest tenth goes first, but not in order: a person's looks are many batches apart.
                if len(pool) >= CROWD:
                    pool.pop(int(rng.integers(CROWD // 10)))
                pool.append(next(people))
            chosen = rng.choice(len(pool), together, replace=False)
            yield from _observed([pool[i] for i in chosen], rng, exact=self._exact)

    def _people(self, rng: np.random.Generator) -> Iterator[Truth]:
        figures: list[Figure] = []
        while True:
            if len(figures) < POOL or rng.random() < NEW_FIGURE:
                figures = [make_figure(rng), *figures][:POOL]
            yield _truth(figures[rng.integers(len(figures))], self._pose(rng), rng)

    def _pose(self, rng: np.random.Generator) -> Floats:
        poses = self._poses
        if poses is not None and rng.random() < MOTION:
            turns = poses.turns[rng.choice(len(poses.turns), p=poses.chances)]
            if rng.random() < OTHER_ARMS:
                turns = _with_arms(turns, poses.turns[rng.choice(len(poses.turns), p=poses.chances)])
        else:
            turns = sampled_pose(rng)
        return jittered_pose(mirrored_pose(turns) if rng.random() < 0.5 else turns, rng)


def _with_arms(turns: Floats, other: Floats) -> Floats:
    """A pose with another one's arms, moved from the other's chest to this one's."""
    carry = turns[CHEST] @ other[CHEST].T
    out = turns.copy()
    for begin in (LEFT, RIGHT):
        out[begin : begin + 4] = carry @ other[begin : begin + 4]
    return out


def _truth(figure: Figure, turns: Floats, rng: np.random.Generator) -> Truth:
    """Put a posed figure before a camera, upright in the grid as the landmark net's crop shows them."""
    segments = articulated(turns, figure.joints)
    turn = _camera(rng)
    distance = rng.uniform(1.8, 8.0) * figure.height / TALL  # m
    vertices = _seen(blend(figure.body, segments), turn, distance)
    landmarks = landmarks_of(figure, segments)
    world, points = landmarks @ turn.T, _seen(landmarks, turn, distance)
    upright = _upright(points, rng)
    vertices[:, :2], points[:, :2] = vertices[:, :2] @ upright.T, points[:, :2] @ upright.T
    world[:, :2] = world[:, :2] @ upright.T
    low, high = vertices[:, :2].min(0), vertices[:, :2].max(0)
    scale = GRID / (float((high - low).max()) * rng.uniform(*MARGIN))  # grid px a metre
    corner = (low + high) / 2 - GRID / 2 / scale
    for each in (vertices, points):
        each[:, :2] -= corner
        each *= scale
    drawn = render(vertices, MIDDLE, GRID)
    picture = _picture(drawn.part > 0, rng)
    return Truth(
        figure=figure,
        whole=filled(drawn),
        points=points,
        world=(world - world[[23, 24]].mean(0)).astype(np.float32),
        hidden=_hidden(drawn, points, scale),
        outside=~_at(picture, points, beyond=True),
        picture=picture,
        px_per_m=scale,
    )


def _camera(rng: np.random.Generator) -> Floats:
    """How the camera sees the person's frame: any side, mostly level, at times from far above or below."""
    elevation = rng.normal(6, 10) if rng.random() < 0.7 else rng.uniform(-25, 60)  # degrees, of the camera
    return np.asarray(
        about_x(np.radians(elevation)) @ about_y(np.asarray(rng.uniform(-np.pi, np.pi))), np.float32
    )


def _seen(points: Floats, turn: Floats, distance: float) -> Floats:
    """Perspective: (N, 3), x and y as at the hips' distance, m, and the depth from them."""
    there = points @ turn.T
    near = distance / np.maximum(distance + there[:, 2], 0.3)
    return np.column_stack([there[:, :2] * near[:, None], there[:, 2]]).astype(np.float32)


def _upright(points: Floats, rng: np.random.Generator) -> Floats:
    """Turn of the picture (2, 2) that brings the torso upright, about as well as the landmark net's crop does."""
    x, y = points[[11, 12], :2].mean(0) - points[[23, 24], :2].mean(0)
    error = rng.normal(0, 6) if rng.random() < 0.85 else rng.normal(0, 25)
    angle = np.arctan2(x, -y) + np.radians(error)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]], np.float32)


def _picture(body: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which pixels of the grid lie inside the picture: for most people all."""
    if rng.random() >= CUT:
        return np.ones_like(body)
    y, x = np.mgrid[:GRID, :GRID]
    angle = rng.choice([0, 0.5, 1, 1.5]) * np.pi + rng.normal(0, 0.15)
    along = x * np.cos(angle) + y * np.sin(angle)
    return np.asarray(along < np.quantile(along[body], rng.uniform(0.45, 0.95)))


def _at(image: NDArray[np.bool_], points: Floats, *, beyond: bool) -> NDArray[np.bool_]:
    """The image's values at points (L, 2+), and `beyond` where they lie outside the grid."""
    column, row = np.floor(points[:, :2]).astype(int).T
    within = (column >= 0) & (row >= 0) & (column < GRID) & (row < GRID)
    return np.where(within, image[np.clip(row, 0, GRID - 1), np.clip(column, 0, GRID - 1)], beyond)


def _hidden(drawn: Render, points: Floats, scale: float) -> NDArray[np.bool_]:
    """Landmarks that lie deeper behind the nearest surface than a limb is thick: (33,)."""
    column, row = np.clip(np.floor(points[:, :2]), 0, GRID - 1).astype(int).T
    behind = points[:, 2] - drawn.depth[row, column]
    return np.asarray((drawn.part[row, column] > 0) & (behind > 0.1 * scale))


def _observed(truths: list[Truth], rng: np.random.Generator, *, exact: bool) -> Iterator[Sample]:
    """What the pipeline makes of people: their landmarks and masks with errors, and the posed bodies."""
    noted = [_landmarks(truth, rng, exact=exact) for truth in truths]
    landmarks, worlds = (np.stack(each) for each in zip(*noted, strict=True))
    points, px_per_m = lift(landmarks, worlds)
    lengths = bone_lengths(worlds[..., :3], landmarks[..., 2])
    if not exact:
        lengths = _over_time(lengths, truths, rng)
    segments = pose_bodies(points, girth(lengths, px_per_m))
    for i, truth in enumerate(truths):
        body = Body(segments[i], points[i], lengths[i], float(px_per_m[i]))
        yield _sample(truth, body, rng, exact=exact)


def _landmarks(truth: Truth, rng: np.random.Generator, *, exact: bool) -> tuple[Floats, Floats]:
    if exact:
        sure = np.ones((33, 1), np.float32)
        return np.hstack([truth.points[:, :2], sure]), np.hstack([truth.world, sure])
    crop_px = truth.px_per_m * CROP_M * truth.figure.height / TALL / 256
    landmarks = disturbed(truth.points[:, :2], truth.hidden, truth.outside, crop_px, rng)
    return swapped(landmarks, disturbed_world(truth.world, landmarks, rng), rng)


def _over_time(lengths: Floats, truths: list[Truth], rng: np.random.Generator) -> Floats:
    """Bone lengths as `track` knows them: this frame's at first, later steadier and nearer to the truth."""
    out = lengths.copy()
    for i, truth in enumerate(truths):
        if rng.random() < 0.75:
            ratio = np.median(lengths[i] / truth.figure.lengths)  # the landmark net's own idea of the size
            out[i] = truth.figure.lengths * ratio * np.exp(rng.normal(0, 0.05, 7))
    return out


def _sample(truth: Truth, body: Body, rng: np.random.Generator, *, exact: bool) -> Sample:
    whole = truth.whole
    inside = (whole.distance == 0) & truth.picture
    if exact:
        mask, covered = (inside * np.uint8(255)), np.zeros_like(inside)
    else:
        mask, covered = seen_mask(inside, truth.points[[15, 16, 27, 28], :2], rng)
        mask[~truth.picture] = 0
    view = View(mask, MIDDLE)
    near = (whole.distance <= REACH_PX) & truth.picture
    part = np.where(inside | (near & (mask > HALF)), whole.part, 0).astype(np.uint8)
    part[covered & inside] = IGNORE  # something else is seen there, and the mask may or may not say so
    return Sample(view, body, baseline_of(body, view), part, whole.uv)
