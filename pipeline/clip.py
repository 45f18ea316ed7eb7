"""People's motion on an even clock, in the world of 3D files: what their writers are given.

A run tells each person's pose at the times of the frames that it worked on; files of motion have one rate. So
poses are interpolated on media time, and what lies further from its neighbours than a moment is a gap.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.kinematics import Skeleton, matrices, posed, quaternions, skeleton_of
from bodystream.models.body.skeleton import BONES, PARENTS, SEGMENTS
from bodystream.pipeline.ground import FLOOR_PERCENTILE, lowest_soles
from bodystream.pipeline.time import snap_rate

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# A pose as it was found: media time s, id; root, m, and turns, quaternions w x y z, in the camera's axes; bones, m.
ROW = np.dtype(
    [
        ("time", np.float64),
        ("id", np.int32),
        ("root", np.float32, 3),
        ("turns", np.float32, (len(SEGMENTS), 4)),
        ("lengths", np.float32, len(BONES)),
    ]
)
Rows = NDArray[np.void]

GAP_S = 0.2  # the longest time that is bridged; a blink of a detector, not a person who was away
DEFAULT_RATE = Fraction(30)  # of a single picture
CHUNK = 4096  # poses whose points are computed at once: some MB
# The rest body of files faces a viewer as z comes towards them: y up, z to the person's front.
FLIP = np.array([1, -1, -1], np.float32)


@dataclass(frozen=True, slots=True)
class Clock:
    """Even times: frame k is at `start` + k / `rate`, seconds of media time; `count` frames."""

    start: float
    rate: Fraction
    count: int
    gap_s: float = GAP_S

    @property
    def times(self) -> Doubles:
        return self.start + np.arange(self.count) / float(self.rate)


@dataclass(frozen=True, slots=True)
class Motion:
    """One person's motion, T frames, in axes with y up and the floor at 0, m.

    `skeleton` is theirs over the whole clip, in the rest body's axes. `known`: bool (T,), False in gaps, where
    the pose before is held (at the beginning the first one). `root`: (T, 3). `turns`: (T, 17, 4) quaternions
    w x y z from the rest body's axes to the world's; each is next to the one before (no change of sign).
    """

    id: int
    clock: Clock
    skeleton: Skeleton
    known: NDArray[np.bool_]
    root: Floats
    turns: Floats

    def points(self) -> Iterator[tuple[Floats, Floats, Floats]]:
        """Segments' starts (t, 17, 3), turns (t, 17, 3, 3) and landmarks (t, 33, 3) in order, some frames at a time."""
        for begin in range(0, len(self.root), CHUNK):
            turns = matrices(self.turns[begin : begin + CHUNK])
            starts, landmarks = posed(self.skeleton, turns, self.root[begin : begin + CHUNK])
            yield starts, turns, landmarks

    def local(self) -> Floats:
        """Turns relative to the parent's, (T, 17, 4), both in the axes of a rest body with y up and z in front."""
        # With F the flip: (F Rᵖᵀ F)(F R F) = F (Rᵖᵀ R) F, and F q F is q with two signs changed.
        local = product(inverse(self.turns[:, list(PARENTS)]), self.turns)
        local[:, 0] = product(self.turns[:, 0], np.array([0, 1, 0, 0], np.float32))
        local[:, 1:, 2:] *= -1
        return continuous(local)


def clock_of(times: Doubles, nominal: Fraction | None) -> Clock:
    """An even clock over frames at `times`, (F,), s.

    Its rate is the source's nominal one, or the part of it (a half, a third) at which frames were worked on; that
    of the middle frame where there is no nominal rate.
    """
    if not len(times):
        return Clock(0.0, nominal or DEFAULT_RATE, 0)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    rate = nominal or (snap_rate(1 / step) if step > 0 else DEFAULT_RATE)
    if nominal is not None:
        rate = nominal / max(1, round(step * nominal))
    count = round((times[-1] - times[0]) * float(rate)) + 1
    return Clock(float(times[0]), rate, count, max(GAP_S, 1.5 * step))


def floor_of(rows: Rows, axes: Doubles) -> float:
    """Height of the floor, m, below the camera (so below 0) in the world that `axes` (3, 3) turns the camera's to."""
    turn = quaternions(axes.astype(np.float32))
    heights = [
        lowest_soles(
            skeleton_of(part["lengths"]),
            matrices(product(turn, part["turns"])),
            (part["root"] @ axes.T).astype(np.float32),
        )
        for part in (rows[begin : begin + CHUNK] for begin in range(0, len(rows), CHUNK))
    ]
    return float(np.percentile(np.concatenate(heights), FLOOR_PERCENTILE)) if heights else 0.0


def motion_of(rows: Rows, clock: Clock, axes: Doubles, floor: float) -> Motion:
    """The motion of one person, whose `rows` (R,), at least one, are in order of time."""
    rows = rows[np.unique(rows["time"], return_index=True)[1]]  # a pose a moment
    before, after, share, known = _neighbours(rows["time"], clock)
    root = rows["root"][before] + share[:, None] * (rows["root"][after] - rows["root"][before])
    root = root @ axes.T - np.array([0, floor, 0])
    return Motion(
        int(rows["id"][0]),
        clock,
        skeleton_of(np.median(rows["lengths"], axis=0)),
        known,
        root.astype(np.float32),
        continuous(
            product(quaternions(axes.astype(np.float32)), _mixed(rows["turns"], before, after, share))
        ),
    )


def _neighbours(
    times: Doubles, clock: Clock
) -> tuple[NDArray[np.intp], NDArray[np.intp], Doubles, NDArray[np.bool_]]:
    """For each frame of the clock the rows to mix: indices (T,), (T,), the second's share (T,), and whether known."""
    wanted, last = clock.times, len(times) - 1
    after = np.searchsorted(times, wanted, side="right")
    before = np.clip(after - 1, 0, last)
    inside = (after > 0) & (after <= last)
    after = np.minimum(after, last)
    span = times[after] - times[before]
    bridged = inside & (span <= clock.gap_s)
    share = np.where(bridged, (wanted - times[before]) / np.maximum(span, 1e-9), 0.0)
    # Beside a gap a pose counts for the frame that it is nearest to.
    half = 0.5 / float(clock.rate)
    near_before, near_after = (np.abs(times[i] - wanted) <= half for i in (before, after))
    before = np.where(~bridged & near_after & ~near_before, after, before)
    return before, np.where(bridged, after, before), share, bridged | near_before | near_after


def _mixed(turns: Floats, before: NDArray[np.intp], after: NDArray[np.intp], share: Doubles) -> Floats:
    """Quaternions (T, 17, 4) between those of two rows: the chord's, which for neighbours is the arc's."""
    a, b = turns[before], turns[after]
    b = np.where((a * b).sum(-1, keepdims=True) < 0, -b, b)
    mixed = a + share[:, None, None].astype(np.float32) * (b - a)
    return np.asarray(mixed / np.linalg.norm(mixed, axis=-1, keepdims=True), np.float32)


def product(a: Floats, b: Floats) -> Floats:
    """Quaternions a b, (..., 4): the rotation b, then a."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    ).astype(np.float32)


def inverse(a: Floats) -> Floats:
    """Of unit quaternions (..., 4)."""
    return a * np.array([1, -1, -1, -1], np.float32)


def continuous(a: Floats) -> Floats:
    """Quaternions (T, ..., 4) with signs such that each is next to the one before, as tools interpolate."""
    signs = np.ones((*a.shape[:-1], 1), np.float32)
    signs[1:] = np.where((a[1:] * a[:-1]).sum(-1, keepdims=True) < 0, -1, 1)
    return a * np.cumprod(signs, axis=0)
