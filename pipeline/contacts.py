"""Feet that stand: which points of the feet rest on something, and where.

A camera that stands is assumed. Whether a point rests is told by where it is seen, not by where the fit has it: what
is held would never be let go. Along the line of sight that is far less certain than across.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bodystream.pipeline.motion import Memory

Doubles = NDArray[np.float64]

# m/s across and along the line of sight, to be taken and to be let go: a foot that rests shakes with its landmarks,
# a foot that swings moves at 2 to 4.
SLOW, FAST = (0.4, 0.8), (0.6, 1.0)
SPEED_MEMORY_S = 0.05
# A point must be slow for so long: where a leg swings back, its foot is slow for a moment too.
PATIENCE_S = 0.06
# m, across and along: the further it is seen from where it rested, the less it is held, and so far off not at all.
AWAY = (0.06, 0.12)
TAKEN_S, RELEASED_S = 0.15, 0.06  # in which a point is held, and let go, so that nothing jumps
# Where it rests is a mean over the time that it has, and over no more than this: a slow drift is the landmarks'.
SETTLING_S = 2.0


@dataclass(frozen=True, slots=True)
class Contacts:
    """Of N people and their F points of the feet, m, camera axes: where they are `seen` over time (N, F, 3);
    `slow_s` (N, F) for how long each has been slow, `marks` where it was seen since, and `near` (N, F), 0..1, how
    near to that it is seen now; `taken` (N, F), 0..1, how far it has been taken to rest, and `anchors` (N, F, 3)
    where."""

    seen: Memory
    slow_s: Doubles
    marks: Doubles
    near: Doubles
    taken: Doubles
    anchors: Doubles

    @property
    def hold(self) -> Doubles:
        """How strongly each point is to be held: (N, F), 0..1."""
        return self.taken * self.near

    @staticmethod
    def none(points: Doubles) -> "Contacts":
        """Of people who have just come, with points (N, F, 3); nothing is held."""
        zero = np.zeros(points.shape[:2])
        return Contacts(Memory.at(points), zero, points, zero, zero, points)

    def watched(self, points: Doubles, known: NDArray[np.bool_], step_s: Doubles) -> "Contacts":
        """With points (N, F, 3) as they are seen now, where `known` (N, F): what is not seen is let go."""
        step, sight = step_s[:, None], _directions(points)
        seen = self.seen.after(
            np.where(known[..., None], points, self.seen.ahead(step_s)), step_s, SPEED_MEMORY_S
        )
        held = self.taken > 0
        near = np.maximum(1 - _square(points - self.marks, sight, AWAY), 0) ** 2
        limit = np.where(held, _square(seen.velocity, sight, FAST), _square(seen.velocity, sight, SLOW))
        slow = known & (limit < 1) & (~held | (near > 0))
        slow_s = np.where(slow, self.slow_s + step, 0.0)
        marks = _mean(self.marks, points, slow_s, step)
        change = np.where(slow_s > PATIENCE_S, step / TAKEN_S, -step / RELEASED_S)
        taken = np.clip(self.taken + change, 0, 1)
        return Contacts(seen, slow_s, marks, near * known, taken, self.anchors)

    def settled(self, points: Doubles, step_s: Doubles) -> "Contacts":
        """With the points (N, F, 3) as they have been fitted: where a foot has begun to rest, or goes on to."""
        leaving = (self.taken > 0) & (self.slow_s == 0)
        anchors = _mean(self.anchors, points, np.where(leaving, SETTLING_S, self.slow_s), step_s[:, None])
        return replace(self, anchors=anchors)


def _mean(before: Doubles, points: Doubles, slow_s: Doubles, step: Doubles) -> Doubles:
    """The mean of points (N, F, 3) over the time `slow_s` (N, F) that they rest, the point itself where that is 0."""
    share = np.clip(step / np.clip(slow_s, 1e-3, SETTLING_S), 0, 1)
    return before + np.where(slow_s > 0, share, 1.0)[..., None] * (points - before)


def _directions(points: Doubles) -> Doubles:
    """Unit vectors from the camera to points: (..., 3)."""
    return points / np.maximum(np.linalg.norm(points, axis=-1, keepdims=True), 1e-9)


def _square(vectors: Doubles, sight: Doubles, limits: tuple[float, float]) -> Doubles:
    """Squared lengths of vectors (..., 3) in units of the limits across and along the line of sight."""
    along = (vectors * sight).sum(-1)
    across2 = np.maximum((vectors * vectors).sum(-1) - along * along, 0)
    return np.asarray(across2 / limits[0] ** 2 + along * along / limits[1] ** 2)
