"""The body's 38 degrees of freedom: how it can move, where its points come to, and how these follow from each.

Root 3, then seven ball joints of 3 (pelvis, chest, head, upper arms, thighs), then seven hinges a side: elbow,
the forearm's twist about itself, wrist (bend, then sideways), knee, ankle (bend, then toes in and out). Ball
joints are matrices that are turned by small vectors, R <- R exp(delta), so that no angles of Euler meet their
poles; hinges are angles, and a pair of them has its pole where no wrist or ankle gets.

People come as a batch, N; everything is float64, since the fit solves normal equations.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.data import load
from bodystream.models.body.pose import cross, unit
from bodystream.models.body.skeleton import CHEST, HEAD, LEFT, PARENTS, PELVIS, RIGHT, landmark
from bodystream.models.body.skin import landmarks_on

Doubles = NDArray[np.float64]

BALLS = np.array([PELVIS, CHEST, HEAD, LEFT, LEFT + 4, RIGHT, RIGHT + 4])
HINGE_NAMES = ("elbow", "twist", "wrist_bend", "wrist_side", "knee", "ankle_bend", "ankle_turn")
_OFFSETS = np.array([1, 2, 3, 3, 4 + 1, 4 + 2, 4 + 2])  # of the hinges' segments from their side's first
HINGES = np.concatenate([LEFT + _OFFSETS, RIGHT + _OFFSETS])  # (14,) segments
PAIRED = np.array([2, 5, 9, 12])  # hinges whose segment has a second one, which follows in the list
SINGLE = np.array([0, 1, 4, 7, 8, 11])

ROOT, TURNS, ANGLES = slice(0, 3), slice(3, 24), slice(24, 38)  # where each kind lies among the 38
FREEDOMS = 38

# Radians from straight. Elbows and knees as VNect's: they do not bend backwards. The others are what a supple
# person reaches; the closed form on motion capture stays within them 99 % of the time.
STRAIGHT, FOLDED = 0.0, 2.6
TWIST = 1.6
WRIST = (1.4, 0.7)
ANKLE = (0.9, 0.8)
# A joint bent by less than the first (sine) tells nothing of the axis it bends about, by more than the second all.
BENT = (np.sin(np.radians(3)), np.sin(np.radians(12)))

_EYE = np.eye(3)
_PARENTS = np.array(PARENTS)
# Segments by their distance from the pelvis: each level needs only the one before it.
_LEVELS = (
    np.array([CHEST, LEFT + 4, RIGHT + 4]),
    np.array([HEAD, LEFT, RIGHT, LEFT + 5, RIGHT + 5]),
    np.array([LEFT + 1, RIGHT + 1, LEFT + 6, RIGHT + 6]),
    np.array([LEFT + 2, RIGHT + 2]),
    np.array([LEFT + 3, RIGHT + 3]),
)


def _ancestors() -> NDArray[np.bool_]:
    """Whether a segment (row) hangs on another (column) or is it: (17, 17)."""
    table = np.eye(17, dtype=bool)
    for segment, parent in enumerate(PARENTS):
        if parent >= 0:
            table[segment] |= table[parent]
    return table


ANCESTORS = _ancestors()
_HANGS = ANCESTORS.astype(np.float64)
# The segment that each turning freedom belongs to: (35,)
SEGMENT_OF = np.concatenate([np.repeat(BALLS, 3), HINGES])
# Axes of the first of a pair turn with the parent, all others with the segment itself.
_CARRIERS = HINGES.copy()
_CARRIERS[PAIRED] = _PARENTS[HINGES[PAIRED]]


@dataclass(frozen=True, slots=True)
class Posture:
    """How N people stand: root (N, 3), m, camera axes; balls (N, 7, 3, 3), each to its parent's axes, the
    pelvis' to the camera's; angles (N, 14), rad, 0 at rest."""

    root: Doubles
    balls: Doubles
    angles: Doubles

    def of(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Posture":
        """Some of the people."""
        return Posture(self.root[chosen], self.balls[chosen], self.angles[chosen])

    def where(self, chosen: NDArray[np.bool_], other: "Posture") -> "Posture":
        """These people where chosen (N,), the others' else."""
        return Posture(
            np.where(chosen[:, None], self.root, other.root),
            np.where(chosen[:, None, None, None], self.balls, other.balls),
            np.where(chosen[:, None], self.angles, other.angles),
        )

    def moved(self, steps: Doubles) -> "Posture":
        """The postures after steps (N, 38)."""
        turned = self.balls @ exponential(steps[:, TURNS].reshape(-1, len(BALLS), 3))
        return Posture(self.root + steps[:, ROOT], turned, self.angles + steps[:, ANGLES])


@dataclass(frozen=True, slots=True)
class Hinges:
    """What is known of the 14 hinges: `axes` (14, 3), unit, rest axes, `cross` (14, 3, 3) their cross products
    as matrices and `square` those squared; `low` and `high` (14,), rad from rest."""

    axes: Doubles
    cross: Doubles
    square: Doubles
    low: Doubles
    high: Doubles


@cache
def hinges() -> Hinges:
    """The hinges of the rest body: bent elbows and knees take forearm and shank further by positive angles."""
    points = landmarks_on(load().vertices).astype(np.float64)
    axes, low, high = [], [], []
    for side, mirror in (("left", 1.0), ("right", -1.0)):
        at = {name: points[landmark(f"{side}_{name}")] for name in _LIMB}
        arm, forearm = at["elbow"] - at["shoulder"], at["wrist"] - at["elbow"]
        thigh, shank = at["knee"] - at["hip"], at["ankle"] - at["knee"]
        along, across = unit(forearm), at["index"] - at["pinky"]
        bend = unit(across - (across @ along) * along)
        under = unit(shank)
        back = np.array([0.0, 0.0, 1.0])
        level = unit(np.array([1.0, 0.0, 0.0]) - under[0] * under)
        # Turns mirror differently from directions: with the sign, both sides do the same by the same angle.
        axes += [cross(arm, forearm), mirror * along, mirror * bend, cross(along, bend)]
        axes += [cross(thigh, back), level, mirror * under]
        bent = [_angle(arm, forearm), _angle(thigh, shank)]
        reach = [(-TWIST, TWIST), (-WRIST[0], WRIST[0]), (-WRIST[1], WRIST[1])]
        reach = [(STRAIGHT - bent[0], FOLDED - bent[0]), *reach, (STRAIGHT - bent[1], FOLDED - bent[1])]
        reach += [(-ANKLE[0], ANKLE[0]), (-ANKLE[1], ANKLE[1])]
        low += [limits[0] for limits in reach]
        high += [limits[1] for limits in reach]
    directions = unit(np.array(axes))
    skews = skew(directions)
    return Hinges(directions, skews, skews @ skews, np.array(low), np.array(high))


_LIMB = ("shoulder", "elbow", "wrist", "index", "pinky", "hip", "knee", "ankle")


def _angle(a: Doubles, b: Doubles) -> float:
    return float(np.arccos(np.clip(unit(a) @ unit(b), -1, 1)))


def turns_of_posture(posture: Posture) -> Doubles:
    """Global rotations of the segments, rest axes to camera axes: (N, 17, 3, 3)."""
    known = hinges()
    sine, cosine = np.sin(posture.angles)[..., None, None], np.cos(posture.angles)[..., None, None]
    bent = _EYE + sine * known.cross + (1 - cosine) * known.square  # (N, 14, 3, 3)
    local = np.empty((len(posture.root), 17, 3, 3))
    local[:, BALLS] = posture.balls
    local[:, HINGES[SINGLE]] = bent[:, SINGLE]
    local[:, HINGES[PAIRED]] = bent[:, PAIRED] @ bent[:, PAIRED + 1]
    for level in _LEVELS:
        local[:, level] = local[:, _PARENTS[level]] @ local[:, level]  # now global
    return local


def posture_of(turns: NDArray[np.floating], root: Doubles) -> Posture:
    """The nearest posture to global rotations (N, 17, 3, 3): of a hinge the angle about its axis is taken.

    Upper arms and thighs are turned about themselves until elbows and knees can bend to where forearms and shanks
    point; what hinges cannot do beyond that is left out.
    """
    turns = np.asarray(turns, np.float64)
    known, found = hinges(), np.empty((len(turns), 17, 3, 3))
    balls, angles = np.empty((len(turns), len(BALLS), 3, 3)), np.zeros((len(turns), len(HINGES)))
    for segment, parent in enumerate(PARENTS):
        above = found[:, parent] if parent >= 0 else np.eye(3)
        wanted = turns[:, segment]
        members = np.flatnonzero(segment == HINGES)
        if not len(members):
            below = np.flatnonzero((segment == _PARENTS) & np.isin(np.arange(17), HINGES))
            if len(below):
                wanted = _with_hinge(wanted, turns[:, below[0]], int(np.flatnonzero(below[0] == HINGES)[0]))
            balls[:, np.flatnonzero(segment == BALLS)[0]] = np.swapaxes(above, -1, -2) @ wanted
            found[:, segment] = wanted
            continue
        local, found[:, segment] = np.swapaxes(above, -1, -2) @ wanted, above
        for hinge in members:  # of a pair, the second has what is left when the first is undone
            angles[:, hinge] = np.clip(
                _angle_about(local, known, int(hinge)), known.low[hinge], known.high[hinge]
            )
            turn = exponential(angles[:, hinge, None] * known.axes[hinge])
            local, found[:, segment] = turn.swapaxes(-1, -2) @ local, found[:, segment] @ turn
    return Posture(root.astype(np.float64), balls, angles)


def _with_hinge(upper: NDArray[np.floating], lower: NDArray[np.floating], hinge: int) -> Doubles:
    """Turn upper arms or thighs (N, 3, 3) about themselves so that the hinge below can take its bone to where
    `lower` (N, 3, 3) has it; a straight limb stays, since it tells nothing."""
    axis, (along, below) = hinges().axes[hinge], _bones_at(hinge)
    wanted = (upper.swapaxes(-1, -2) @ (lower @ below)[..., None])[..., 0]  # (N, 3), in the upper's axes
    # along · exp(axis angle) below = along · wanted, the more bent one of both solutions
    level = (below @ axis) * (along @ axis)
    cosine, sine = along @ below - level, along @ cross(axis, below)
    reach = np.clip((wanted @ along - level) / np.hypot(cosine, sine), -1, 1)
    reached = exponential((np.arctan2(sine, cosine) + np.arccos(reach))[:, None] * axis) @ below
    side = cross(along, axis)
    azimuths = [np.arctan2(d @ cross(along, side), d @ side) for d in (wanted, reached)]
    bend = np.linalg.norm(cross(wanted, along), axis=-1)  # its sine
    share = np.clip((bend - BENT[0]) / (BENT[1] - BENT[0]), 0, 1)
    turn = np.angle(np.exp(1j * (azimuths[0] - azimuths[1])))
    return upper @ exponential((share * turn)[:, None] * along)


@cache
def _bones_at(hinge: int) -> tuple[Doubles, Doubles]:
    """Directions of the bones above and below an elbow or a knee, at rest."""
    points = landmarks_on(load().vertices).astype(np.float64)
    names = ("shoulder", "elbow", "wrist") if HINGE_NAMES[hinge % 7] == "elbow" else ("hip", "knee", "ankle")
    side = "left" if hinge < len(HINGE_NAMES) else "right"
    a, b, c = (points[landmark(f"{side}_{name}")] for name in names)
    return unit(b - a), unit(c - b)


def _angle_about(rotations: Doubles, known: Hinges, hinge: int) -> Doubles:
    """Angles (N,) of the rotations about the hinge's axis that are nearest to rotations (N, 3, 3)."""
    # tr([a]ᵀ R) is twice the sine's share, -tr([a]² R) twice the cosine's.
    sine = np.einsum("nij,ij->n", rotations, known.cross[hinge])
    cosine = -np.einsum("nij,ij->n", rotations, known.square[hinge])
    return np.asarray(np.arctan2(sine, cosine))


def starts_of(turns: Doubles, root: Doubles, bones: Doubles) -> Doubles:
    """Starts of the segments: (N, 17, 3); `bones` (N, 17, 3) lead to them from their parents' starts, at rest."""
    steps = (turns[:, _PARENTS] @ bones[..., None])[..., 0]  # (N, 17, 3)
    steps[:, PELVIS] = root
    return _HANGS @ steps


def axes_of(turns: Doubles) -> Doubles:
    """Axes that the 35 turning freedoms turn about, camera axes: (N, 3, 35)."""
    balls = turns[:, BALLS].transpose(0, 2, 1, 3).reshape(len(turns), 3, 21)  # columns are the axes
    bent = (turns[:, _CARRIERS] @ hinges().axes[..., None])[..., 0]  # (N, 14, 3)
    return np.concatenate([balls, bent.swapaxes(1, 2)], axis=2)


def derivatives(turns: Doubles, starts: Doubles, points: Doubles, moves: Doubles) -> Doubles:
    """How points (N, P, 3) follow from the 35 turning freedoms: (N, P, 3, 35).

    `moves` (P, 35) is 1 where a freedom moves a point and 0 where not: see `moves_of`.
    """
    a = axes_of(turns)  # (N, 3, 35)
    p = np.ascontiguousarray(starts[:, SEGMENT_OF].swapaxes(1, 2))  # (N, 3, 35)
    a, r = a[:, None] * moves[:, None], points[..., None] - p[:, None]  # (N, P, 3, 35)
    out = np.empty_like(r)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):  # the cross product
        np.multiply(a[:, :, j], r[:, :, k], out=out[:, :, i])
        out[:, :, i] -= a[:, :, k] * r[:, :, j]
    return out


def moves_of(owners: NDArray[np.intp]) -> Doubles:
    """Which freedoms move points that are fixed to `owners` (P,): float64 (P, 35), 0 or 1."""
    return ANCESTORS[owners][:, SEGMENT_OF].astype(np.float64)


def skew(vectors: Doubles) -> Doubles:
    """Cross products as matrices: (..., 3, 3) with skew(a) @ b = a x b."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*vectors.shape, 3)


def exponential(vectors: Doubles) -> Doubles:
    """Rotations (..., 3, 3) about vectors (..., 3) by their lengths, rad. Source: Rodrigues."""
    angle = np.maximum(np.sqrt((vectors * vectors).sum(-1)), 1e-9)  # (...)
    cosine = np.cos(angle)
    sines = vectors * (np.sin(angle) / angle)[..., None]
    matrix = (vectors * ((1 - cosine) / (angle * angle))[..., None])[..., None] * vectors[..., None, :]
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        matrix[..., i, i] += cosine
        matrix[..., k, j] += sines[..., i]
        matrix[..., j, k] -= sines[..., i]
    return matrix
