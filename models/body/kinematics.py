"""The skeleton that moves: 17 rigid segments of one person's lengths, turned about each other.

`skeleton_of` gives a person's skeleton at rest, `posed` puts it anywhere. A segment's turn is its rotation from
the rest body's axes (x to the person's left, y down, z to the back) to the axes that the pose is in;
`local_turns` tells it relative to the parent, as animation files want it. All of this works on one pose and on
any number at once: leading axes, here `...`, are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.data import load
from bodystream.models.body.skeleton import (
    BONES,
    CHEST,
    HEAD,
    LONG,
    PARENTS,
    PELVIS,
    SEGMENTS,
    bone_lengths,
    landmark,
)
from bodystream.models.body.skin import landmarks_on
from bodystream.models.keypoints import KEYPOINTS

Floats = NDArray[np.float32]

SIDES = ("left", "right")
_MIDDLE_PARENTS = {"spine": "pelvis", "neck": "spine", "head": "neck", "nose": "head"}
_LIMB_PARENTS = {
    "shoulder": "neck", "elbow": "shoulder", "wrist": "elbow", "hand": "wrist",
    "hip": "pelvis", "knee": "hip", "ankle": "knee", "heel": "ankle", "toe": "ankle",
}  # fmt: skip
# Points on the skeleton that results tell; `joints_at` says where they are.
JOINTS: tuple[str, ...] = (
    "pelvis",
    *_MIDDLE_PARENTS,
    *(f"{side}_{name}" for side in SIDES for name in _LIMB_PARENTS),
)
JOINT_PARENTS: tuple[int, ...] = (
    -1,
    *(JOINTS.index(parent) for parent in _MIDDLE_PARENTS.values()),
    *(
        JOINTS.index(parent if parent in JOINTS else f"{side}_{parent}")
        for side in SIDES
        for parent in _LIMB_PARENTS.values()
    ),
)

# The segment that a landmark is fixed to, by the words of its name. A joint is fixed to the segment before it.
_FIXED_TO = {
    "shoulder": "chest", "elbow": "upper_arm", "wrist": "forearm_twist", "pinky": "hand", "index": "hand",
    "thumb": "hand", "hip": "pelvis", "knee": "thigh", "ankle": "shank", "heel": "foot", "foot_index": "foot",
}  # fmt: skip


def _owner(name: str) -> int:
    side, _, rest = name.partition("_")
    segment = _FIXED_TO.get(rest, "head")
    return SEGMENTS.index(segment if segment in SEGMENTS else f"{side}_{segment}")


OWNER: NDArray[np.intp] = np.array([_owner(name) for name in KEYPOINTS])  # (33,), of SEGMENTS


@dataclass(frozen=True, slots=True)
class Skeleton:
    """One person's skeleton at rest, or those of many: m, the rest body's axes, origin between the hips.

    `lengths`: float32 (..., 7), of skeleton.BONES. `starts`: float32 (..., 17, 3), about which the segments
    turn. `landmarks`: float32 (..., 33, 3), BlazePose's, each fixed to the segment OWNER.
    """

    lengths: Floats
    starts: Floats
    landmarks: Floats


def skeleton_of(lengths: Floats) -> Skeleton:
    """The skeleton of people with bones `lengths`, (..., 7), m: left and right alike.

    Bones have the rest body's directions; head, hands and feet grow with the person's size.
    """
    points = np.tensordot(lengths, _points_a_metre(), 1).astype(np.float32)  # (..., 50, 3)
    return Skeleton(lengths, points[..., : len(SEGMENTS), :], points[..., len(SEGMENTS) :, :])


def height_of(lengths: Floats) -> Floats:
    """How tall people with bones `lengths`, (..., 7), stand barefoot: (...), m."""
    size = lengths[..., LONG].sum(-1) / rest_lengths()[LONG].sum()
    return np.asarray(size * np.ptp(load().vertices[:, 1]), np.float32)


def posed(skeleton: Skeleton, turns: Floats, root: Floats) -> tuple[Floats, Floats]:
    """Starts (..., 17, 3) and landmarks (..., 33, 3) of people whose segments are turned by `turns`.

    `turns` is (..., 17, 3, 3); `root` (..., 3), m, is the point between the hips.
    """
    starts = np.empty((*turns.shape[:-3], len(SEGMENTS), 3), turns.dtype)
    starts[..., PELVIS, :] = root
    bones = skeleton.starts[..., 1:, :] - skeleton.starts[..., PARENTS[1:], :]  # (..., 16, 3)
    arms = (turns[..., PARENTS[1:], :, :] @ bones[..., None])[..., 0]  # (..., 16, 3)
    for segment, parent in enumerate(PARENTS[1:], start=1):
        starts[..., segment, :] = starts[..., parent, :] + arms[..., segment - 1, :]
    offsets = skeleton.landmarks - skeleton.starts[..., OWNER, :]  # (..., 33, 3)
    return starts, starts[..., OWNER, :] + (turns[..., OWNER, :, :] @ offsets[..., None])[..., 0]


def joints_at(starts: Floats, landmarks: Floats) -> Floats:
    """The JOINTS (..., 23, 3) of a posed skeleton: starts (..., 17, 3) and landmarks (..., 33, 3).

    Pelvis, spine and neck are where pelvis, chest and head start; head is between the ears, a hand between the
    knuckles of index and little finger, a toe the first joint of the big one.
    """
    return (_joint_shares() @ np.concatenate([starts, landmarks], axis=-2)).astype(np.float32)


def joint_confidence(confidence: Floats) -> Floats:
    """Confidence of the JOINTS, (..., 23), from that of the landmarks, (..., 33): both 0..1.

    Pelvis, spine and neck, which no landmark shows, are as sure as the surest hip and shoulder make them.
    """
    hips, shoulders = confidence[..., [23, 24]].max(-1), confidence[..., [11, 12]].max(-1)
    trunk = np.stack([hips, np.minimum(hips, shoulders), shoulders], axis=-1)  # (..., 3)
    limbs = confidence @ _joint_shares()[3:, len(SEGMENTS) :].T  # (..., 20)
    return np.concatenate([trunk, limbs], axis=-1).astype(np.float32)


def local_turns(turns: Floats) -> Floats:
    """Turns (..., 17, 3, 3) relative to the parent's; the pelvis' as it is."""
    local = np.array(turns)
    local[..., 1:, :, :] = turns[..., PARENTS[1:], :, :].swapaxes(-1, -2) @ turns[..., 1:, :, :]
    return local


def global_turns(local: Floats) -> Floats:
    """The inverse of `local_turns`."""
    turns = np.array(local)
    for segment, parent in enumerate(PARENTS[1:], start=1):
        turns[..., segment, :, :] = turns[..., parent, :, :] @ local[..., segment, :, :]
    return turns


def quaternions(turns: Floats) -> Floats:
    """Rotations (..., 3, 3) as unit quaternions (..., 4): w x y z, w at least 0.

    Source: Shepperd, Quaternion from Rotation Matrix, 1978: the largest of the four is found first.
    """
    diagonal = np.diagonal(turns, axis1=-2, axis2=-1)  # (..., 3)
    trace = diagonal.sum(-1, keepdims=True)
    squares = np.concatenate([trace, 2 * diagonal - trace], axis=-1) + 1  # 4 w², 4 x², 4 y², 4 z²
    products = np.empty((*turns.shape[:-2], 4, 4), np.float64)  # 4 times quaternion times itself
    for i in range(4):
        products[..., i, i] = squares[..., i]
    for i, (a, b) in enumerate(((2, 1), (0, 2), (1, 0)), start=1):
        products[..., 0, i] = products[..., i, 0] = turns[..., a, b] - turns[..., b, a]
    for i, j in ((1, 2), (1, 3), (2, 3)):
        products[..., i, j] = products[..., j, i] = turns[..., i - 1, j - 1] + turns[..., j - 1, i - 1]
    largest = squares.argmax(-1)[..., None, None]
    found = np.take_along_axis(products, largest, axis=-2)[..., 0, :]
    found /= np.linalg.norm(found, axis=-1, keepdims=True)
    return np.where(found[..., :1] < 0, -found, found).astype(np.float32)


def matrices(quaternion: Floats) -> Floats:
    """Rotations (..., 3, 3) of quaternions (..., 4), w x y z, of any length but 0."""
    w, x, y, z = np.moveaxis(quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True), -1, 0)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return np.stack(rows, axis=-1).reshape(*w.shape, 3, 3).astype(np.float32)


@cache
def _rest_points() -> Mapping[str, Floats]:
    """The rest body's points by name: segments' starts, landmarks, and the middles between shoulders and ears."""
    model = load()
    marks = landmarks_on(model.vertices)
    points = dict(zip(SEGMENTS, model.joints[:, 0], strict=True))
    points |= dict(zip(KEYPOINTS, marks, strict=True))
    return points | {"shoulders": marks[[11, 12]].mean(0)}


@cache
def rest_lengths() -> Floats:
    """Bones of the rest body: (7,), m."""
    marks = landmarks_on(load().vertices)
    return bone_lengths(marks, np.ones(len(marks), np.float32))


@cache
def _points_a_metre() -> Floats:
    """What a metre of each bone adds to each point of a skeleton, (7, 50, 3): a skeleton is a sum of its bones."""
    return np.stack([_points_of(bone) for bone in np.eye(len(BONES), dtype=np.float32)])


def _points_of(lengths: Floats) -> Floats:
    """Starts, then landmarks, (50, 3), of a skeleton at rest with bones `lengths` (7,)."""
    rest, bone = _rest_points(), dict(zip(BONES, lengths, strict=True))
    size = lengths[LONG].sum() / rest_lengths()[LONG].sum()
    shoulders, across = rest["shoulders"], np.array([1, 0, 0], np.float32)
    at = {"pelvis": np.zeros(3), "shoulders": bone["torso"] * _direction(shoulders)}
    at["chest"] = bone["torso"] / np.linalg.norm(shoulders) * rest["chest"]

    def hang(name: str, on: str, length: float | None = None) -> None:
        """Place a point from another one; as far as on the rest body, times the person's size, if not said."""
        away = rest[name] - rest[on]
        at[name] = at[on] + (size * away if length is None else length * _direction(away))

    for name in ("head", *KEYPOINTS[:11]):
        hang(name, "shoulders")
    for side, sign in (("left", 0.5), ("right", -0.5)):
        at[f"{side}_shoulder"] = at["shoulders"] + sign * bone["shoulders"] * across
        at[f"{side}_hip"] = sign * bone["hips"] * across
        hang(f"{side}_elbow", f"{side}_shoulder", bone["upper_arm"])
        hang(f"{side}_wrist", f"{side}_elbow", bone["forearm"])
        hang(f"{side}_knee", f"{side}_hip", bone["thigh"])
        hang(f"{side}_ankle", f"{side}_knee", bone["shank"])
        for names, joint in ((("pinky", "index", "thumb"), "wrist"), (("heel", "foot_index"), "ankle")):
            for name in names:
                hang(f"{side}_{name}", f"{side}_{joint}")
        for segment, joint in _STARTS.items():
            at[f"{side}_{segment}"] = at[f"{side}_{joint}"]
        at[f"{side}_forearm_twist"] = (at[f"{side}_elbow"] + at[f"{side}_wrist"]) / 2
    return np.array([at[name] for name in (*SEGMENTS, *KEYPOINTS)], np.float32)


# Which landmark a limb's segment starts at.
_STARTS = {
    "upper_arm": "shoulder", "forearm": "elbow", "hand": "wrist", "thigh": "hip", "shank": "knee", "foot": "ankle",
}  # fmt: skip


@cache
def _joint_shares() -> Floats:
    """Of what each joint is the mean: (23, 50), starts and landmarks, each row with the sum 1."""
    limb = {name: (name,) for name in _LIMB_PARENTS} | {"hand": ("index", "pinky"), "toe": ("foot_index",)}
    shares = np.zeros((len(JOINTS), len(SEGMENTS) + len(KEYPOINTS)), np.float32)
    shares[[0, 1, 2], [PELVIS, CHEST, HEAD]] = 1
    sources = {"head": ("left_ear", "right_ear"), "nose": ("nose",)}
    sources |= {
        f"{side}_{name}": tuple(f"{side}_{part}" for part in parts)
        for side in SIDES
        for name, parts in limb.items()
    }
    for joint, names in sources.items():
        for name in names:
            shares[JOINTS.index(joint), len(SEGMENTS) + landmark(name)] = 1 / len(names)
    return shares


def _direction(vector: Floats) -> Floats:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)
