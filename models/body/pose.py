"""The body posed in closed form from 33 landmarks: no iteration, no learning, many people at once.

Every segment gets a frame from landmarks: an axis and a second direction. The same construction on the rest
body gives the rotation; the segment is stretched along its axis so that its ends meet the landmarks. Method:
shared in outline by many inverse-kinematics solvers (e.g. Aristidou et al., Inverse Kinematics Techniques in
Computer Graphics, 2018, section 3); weights and order are this project's.
"""

from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.data import load
from bodystream.models.body.skeleton import (
    CHEST,
    LEFT,
    LONG,
    PELVIS,
    RIGHT,
    SEGMENTS,
    bone_lengths,
    landmark,
)
from bodystream.models.body.skin import landmarks_on

Floats = NDArray[np.float32]
Real = TypeVar("Real", np.float32, np.float64)

STRETCH = (0.5, 1.6)  # of a limb: beyond it a landmark is wrong, not the limb
WIDEN = (0.75, 1.3)  # of the trunk across, likewise
HALF = np.float32(0.5)
FOOT_STRETCH = (0.7, 1.3)  # heel and toe are the shakiest landmarks, and feet differ little
# Torso and legs tell the scale: the longest bones, and the surest landmarks.
SCALE_LANDMARKS = np.array(
    [
        landmark(f"{side}_{name}")
        for side in ("left", "right")
        for name in ("shoulder", "hip", "knee", "ankle")
    ]
)
# A joint bent by less says nothing of the axis it bends about; by more than the second, all.
BENT = (np.sin(np.radians(12)), np.sin(np.radians(40)))


@dataclass(frozen=True, slots=True)
class Body:
    """A person's body, posed in the image.

    `segments`: float32 (17, 3, 4), takes rest positions (x, y, z, 1), m, to the image: x px, y px, and depth
    in px of the same scale, 0 at the hips, growing away from the camera. `points`: float32 (33, 3), the
    landmarks that it was posed to, in the same frame. `lengths`: float32 (7,), this person's bones
    (skeleton.BONES), m. `px_per_m`: of the person's own metres, at the hips.
    """

    segments: Floats
    points: Floats
    lengths: Floats
    px_per_m: float


def lift(landmarks: Floats, world: Floats) -> tuple[Floats, Floats]:
    """Put 2D landmarks and metric depth into one frame.

    `landmarks` (..., 33, 3): px, px, confidence; `world` (..., 33, 4): m, hip-centred. Returns points float32
    (..., 33, 3): x px, y px, depth px from the hips, and the scale float32 (...): px per metre, from the
    spread of torso and legs in both. x and y are exactly those of the landmarks.
    """
    weight = landmarks[..., SCALE_LANDMARKS, 2:] + 0.05  # (..., 8, 1)
    spread2 = [_spread2(points[..., SCALE_LANDMARKS, :2], weight) for points in (landmarks, world)]
    scale = np.sqrt(spread2[0] / np.maximum(spread2[1], 1e-6))  # (...)
    depth = world[..., 2:3] * scale[..., None, None]
    return np.concatenate([landmarks[..., :2], depth], axis=-1).astype(np.float32), scale.astype(np.float32)


def _spread2(points: Floats, weight: Floats) -> Floats:
    total = weight.sum(-2, keepdims=True)
    away = points - (points * weight).sum(-2, keepdims=True) / total
    return ((away**2 * weight).sum((-2, -1)) / total[..., 0, 0]).astype(np.float32)


def pose_body(landmarks: Floats, world: Floats, lengths: Floats | None = None) -> Body | None:
    """Pose the body of one person; `lengths` are the person's bones over time, this frame's if not given.

    None where a landmark is not finite or the person has no extent.
    """
    points, scale = lift(landmarks, world)
    if not (np.isfinite(points).all() and scale > 0):
        return None
    if lengths is None:
        lengths = bone_lengths(world[:, :3], landmarks[:, 2])
    segments = pose_bodies(points[None], girth(lengths[None], scale[None]))[0]
    return Body(segments, points, lengths, float(scale))


def girth(lengths: Floats, px_per_m: Floats) -> Floats:
    """Px per metre of the rest body, across its segments: float32 (...), for people of `lengths` (..., 7)."""
    rest = _rest().lengths
    ratio = lengths[..., LONG].sum(-1) / rest[LONG].sum()
    return (px_per_m * ratio).astype(np.float32)


def pose_bodies(points: Floats, scale: Floats) -> Floats:
    """Pose bodies so that their landmarks come to `points`: float32 (N, 17, 3, 4), as in `Body.segments`.

    `points` is float32 (N, 33, 3), x, y and depth in one unit; `scale` (N,), that unit per metre of the rest
    body across its segments: along its axis each segment is stretched to reach its landmarks.
    """
    rest, at = _rest(), _Joints(points)
    starts, bones = _bones(at)
    lengths = np.linalg.norm(bones, axis=-1) / (scale[:, None] * rest.sizes)  # (N, 17), of the rest body's
    stretch = np.clip(lengths, *_limits())
    # x' = start + scale R (I + (k - 1) a aᵀ) (x - rest start)
    along = rest.axes[:, :, None] * rest.axes[:, None, :]  # (17, 3, 3)
    shape = np.eye(3, dtype=np.float32) + (stretch[..., None, None] - 1) * along  # (N, 17, 3, 3)
    shape[:, [PELVIS, CHEST]] += (_widening(at, scale) - 1)[..., None, None] * rest.across
    linear = scale[:, None, None, None] * (turns_of(points) @ shape)  # (N, 17, 3, 3)
    offset = starts - (linear @ rest.starts[..., None])[..., 0]
    return np.concatenate([linear, offset[..., None]], axis=-1).astype(np.float32)


def turns_of(points: Floats) -> Floats:
    """Rotations of the segments from the rest body's axes: float32 (N, 17, 3, 3), for landmarks (N, 33, 3)."""
    at, rest, turns = _Joints(points), _rest().frames, np.empty((len(points), 17, 3, 3), np.float32)
    up = at.middle("shoulder") - at.middle("hip")
    axes = np.stack([up, up, at.line("ear")], axis=1)
    seconds = np.stack([at.line("hip"), at.line("shoulder"), at.face() - at.middle("ear")], axis=1)
    turns[:, :3] = frame(axes, seconds) @ rest[:3].swapaxes(-1, -2)
    limbs = np.concatenate([_arm_turns(at, turns[:, CHEST]), _leg_turns(at)], axis=2)  # (N, 2, 7, 3, 3)
    turns[:, LEFT:] = limbs.reshape(-1, 14, 3, 3)
    return turns


def _arm_turns(at: "_Joints", chest: Floats) -> Floats:
    """Of upper arms, forearms, twists and hands: (N, 2, 4, 3, 3), left then right."""
    upper, fore, twist, hand = _rest().limbs[:, :4].swapaxes(0, 1)  # (2, 3, 3) each
    arm, forearm = (
        at.sides("elbow") - at.sides("shoulder"),
        at.sides("wrist") - at.sides("elbow"),
    )  # (N, 2, 3)
    # The chest carries the arm by the smallest turn; a bent elbow tells the turn about the upper arm's axis.
    carried = least_turn((chest[:, None] @ upper[..., :1])[..., 0], arm) @ chest[:, None]
    hinge = cross(unit(arm), unit(forearm))  # as long as the sine of the bend
    second = _mixed((carried @ upper[..., 1:2])[..., 0], hinge)
    turn = frame(arm, second) @ upper.swapaxes(-1, -2)
    lower = least_turn((turn @ fore[..., :1])[..., 0], forearm) @ turn
    across = at.sides("index") - at.sides("pinky")
    palm = at.palm() - at.sides("wrist")
    twisted = frame(forearm, across) @ twist.swapaxes(-1, -2)
    return np.stack([turn, lower, twisted, frame(palm, across) @ hand.swapaxes(-1, -2)], axis=2)


def _leg_turns(at: "_Joints") -> Floats:
    """Of thighs, shanks and feet: (N, 2, 3, 3, 3), left then right."""
    thigh, shank, foot = _rest().limbs[:, 4:].swapaxes(0, 1)  # (2, 3, 3) each
    upper, lower = at.sides("knee") - at.sides("hip"), at.sides("ankle") - at.sides("knee")
    sole, heel = at.sides("foot_index") - at.sides("heel"), at.sides("heel")
    foot_across = unit(
        cross(unit(sole), unit(lower))
    )  # to the person's left, as all second directions of legs
    second = _mixed(0.7 * unit(at.line("hip"))[:, None] + 0.5 * foot_across, cross(unit(upper), unit(lower)))
    turn = frame(upper, second) @ thigh.swapaxes(-1, -2)
    carried = least_turn((turn @ shank[..., :1])[..., 0], lower) @ turn
    second = (carried @ shank[..., 1:2])[..., 0] + foot_across
    under = frame(lower, second) @ shank.swapaxes(-1, -2)
    return np.stack([turn, under, frame(sole, at.sides("ankle") - heel) @ foot.swapaxes(-1, -2)], axis=2)


def _bones(at: "_Joints") -> tuple[Floats, Floats]:
    """The point of each segment that is held to a landmark, and the landmarks' distance along it: (N, 17, 3) each."""
    names = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    shoulder, elbow, wrist, hip, knee, ankle = (at.sides(name) for name in names)  # (N, 2, 3) each
    palm = at.palm() - wrist
    sole = at.sides("foot_index") - at.sides("heel")
    up = at.middle("shoulder") - at.middle("hip")
    trunk = [np.stack([at.middle("hip"), at.middle("shoulder"), at.middle("ear")], axis=1)]
    trunk += [np.stack([up, up, at.line("ear")], axis=1)]
    limbs = [np.stack([shoulder, elbow, elbow, wrist, hip, knee, ankle], axis=2)]  # (N, 2, 7, 3)
    limbs += [
        np.stack(
            [elbow - shoulder, wrist - elbow, wrist - elbow, palm, knee - hip, ankle - knee, sole], axis=2
        )
    ]
    starts, bones = (
        np.concatenate([middle, sides.reshape(-1, 14, 3)], axis=1)
        for middle, sides in zip(trunk, limbs, strict=True)
    )
    return starts, bones


@cache
def _limits() -> tuple[Floats, Floats]:
    """Least and greatest stretch of each segment: (17,) each."""
    limits = dict.fromkeys(SEGMENTS, STRETCH)
    # Landmarks of ears and knuckles are too close together to tell a length.
    limits |= dict.fromkeys(("head", "left_hand", "right_hand"), (1.0, 1.0))
    limits |= {f"{side}_foot": FOOT_STRETCH for side in ("left", "right")}
    low, high = zip(*(limits[name] for name in SEGMENTS), strict=True)
    return np.array(low, np.float32), np.array(high, np.float32)


def _widening(at: "_Joints", scale: Floats) -> Floats:
    """How much wider hips and shoulders are than the rest body's: (N, 2)."""
    widths = np.stack([np.linalg.norm(at.line(name), axis=-1) for name in ("hip", "shoulder")], axis=-1)
    return np.clip(widths / (scale[:, None] * _rest().lengths[[2, 1]]), *WIDEN).astype(np.float32)


class _Joints:
    """Landmarks (N, 33, 3) by name, and the points between them."""

    def __init__(self, points: Floats) -> None:
        self._points = points

    def __getitem__(self, name: str) -> Floats:
        return self._points[:, landmark(name)]

    def middle(self, name: str) -> Floats:
        """Between the left and the right one."""
        return (self[f"left_{name}"] + self[f"right_{name}"]) * HALF

    def line(self, name: str) -> Floats:
        """From the right one to the left one."""
        return self[f"left_{name}"] - self[f"right_{name}"]

    def sides(self, name: str) -> Floats:
        """The left and the right one: (N, 2, 3)."""
        return self._points[:, [landmark(f"left_{name}"), landmark(f"right_{name}")]]

    def face(self) -> Floats:
        """A point in front of the ears: the nose and the mouth."""
        return 0.7 * self["nose"] + 0.15 * (self["mouth_left"] + self["mouth_right"])

    def palm(self) -> Floats:
        """Between the first joints of index finger and little finger, of both hands: (N, 2, 3)."""
        return (self.sides("index") + self.sides("pinky")) * HALF


@dataclass(frozen=True)
class _Rest:
    """What the construction gives on the rest body."""

    lengths: Floats  # (7,)
    starts: Floats  # (17, 3)
    axes: Floats  # (17, 3) unit
    sizes: Floats  # (17,) m, between the landmarks of each segment
    frames: Floats  # (17, 3, 3)
    limbs: Floats  # (2, 7, 3, 3), those of the left and the right limbs again
    across: Floats  # (3, 3) projector on the left-right axis


@cache
def _rest() -> _Rest:
    """The construction's own view of the rest body, from its landmarks."""
    points = landmarks_on(load().vertices)
    at = _Joints(points[None])
    starts, axes = (each[0] for each in _bones(at))  # (17, 3) each
    up, left = at.middle("shoulder") - at.middle("hip"), at.line("hip")
    first, second = [up, up, at.line("ear")], [left, at.line("shoulder"), at.face() - at.middle("ear")]
    back = np.array([[0, 0, 1]], np.float32)
    for side, begin in (("left", LEFT), ("right", RIGHT)):
        arm, forearm, _, hand, thigh, shank, sole = (axes[None, begin + i] for i in range(7))
        # At rest elbows are bent; legs are straight, and a knee takes the shank back.
        bend, across = cross(arm, forearm), at[f"{side}_index"] - at[f"{side}_pinky"]
        first += [arm, forearm, forearm, hand, thigh, shank, sole]
        second += [bend, bend, across, across, cross(thigh, back), cross(shank, back)]
        second += [at[f"{side}_ankle"] - at[f"{side}_heel"]]
    axis = unit(left)[0]
    frames = frame(np.concatenate(first), np.concatenate(second))
    return _Rest(
        lengths=bone_lengths(points, np.ones(len(points), np.float32)),
        starts=starts,
        axes=unit(axes),
        sizes=np.linalg.norm(axes, axis=-1),
        frames=frames,
        limbs=frames[LEFT:].reshape(2, 7, 3, 3),
        across=np.outer(axis, axis),
    )


def frame(axis: Floats, second: Floats) -> Floats:
    """Rotations whose first column is `axis` and whose second is as near to `second` as can be: (..., 3, 3)."""
    first = unit(axis)
    across = second - (second * first).sum(-1, keepdims=True) * first
    # Where both point the same way, any direction across will do.
    short = (
        np.linalg.norm(across, axis=-1, keepdims=True)
        < 1e-6 * (1 + np.linalg.norm(second, axis=-1))[..., None]
    )
    if short.any():
        across = np.where(short, cross(first, np.roll(first, 1, axis=-1) + np.float32(0.1)), across)
    across = unit(across)
    return np.stack([first, across, cross(first, across)], axis=-1)


def least_turn(start: Floats, end: Floats) -> Floats:
    """The rotations (..., 3, 3) by the smallest angle that take the direction `start` to `end`, (..., 3) each."""
    a, b = unit(start), unit(end)
    axis = cross(a, b)
    cos = (a * b).sum(-1)[..., None, None]
    x, y, z = axis[..., 0], axis[..., 1], axis[..., 2]
    zero = np.zeros_like(x)
    skew = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    # Rodrigues; exactly opposite directions have no smallest turn: the denominator keeps it finite.
    return (np.eye(3, dtype=np.float32) + skew + skew @ skew / np.maximum(1 + cos, 1e-4)).astype(np.float32)


def _mixed(guess: Floats, hinge: Floats) -> Floats:
    """A second direction: the guess for a straight joint, the hinge for one that is clearly bent."""
    sine = np.linalg.norm(hinge, axis=-1, keepdims=True)
    share = np.clip((sine - BENT[0]) / (BENT[1] - BENT[0]), 0, 1)
    return (1 - share) * unit(guess) + share * unit(hinge)


def unit(vectors: NDArray[Real]) -> NDArray[Real]:
    """Directions: (..., 3); a vector of no length stays one."""
    return vectors / np.maximum(np.sqrt((vectors * vectors).sum(-1, keepdims=True)), 1e-9)


def cross(a: NDArray[Real], b: NDArray[Real]) -> NDArray[Real]:
    """The cross product along the last axis; numpy's own takes ten times as long for a few vectors."""
    return a[..., _NEXT] * b[..., _LAST] - a[..., _LAST] * b[..., _NEXT]


_NEXT, _LAST = [1, 2, 0], [2, 0, 1]
