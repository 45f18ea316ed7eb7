"""The skeleton as other programs know it: bones for animation, markers for movement science."""

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.data import load
from bodystream.models.body.kinematics import Skeleton, height_of
from bodystream.models.body.skeleton import HEAD, PARENTS, SEGMENTS, landmark
from bodystream.pipeline.clip import FLIP, Motion

Floats = NDArray[np.float32]

# Bones as Mixamo and those who follow it name them, which tools map to their own skeletons by themselves.
_NAMES = {
    "pelvis": "Hips", "chest": "Spine", "head": "Head", "upper_arm": "Arm", "forearm": "ForeArm",
    "forearm_twist": "ForeArmRoll", "hand": "Hand", "thigh": "UpLeg", "shank": "Leg", "foot": "Foot",
}  # fmt: skip


def _bone(segment: str) -> str:
    side, _, rest = segment.partition("_")
    return f"{side.capitalize()}{_NAMES[rest]}" if rest in _NAMES else _NAMES[segment]


# The ends of the last segments, by the segment that they are on.
ENDS = {
    "HeadTop": HEAD,
    **{f"{side.capitalize()}HandEnd": SEGMENTS.index(f"{side}_hand") for side in ("left", "right")},
    **{f"{side.capitalize()}ToeBase": SEGMENTS.index(f"{side}_foot") for side in ("left", "right")},
}
BONES: tuple[str, ...] = (*(_bone(segment) for segment in SEGMENTS), *ENDS)  # 17 that turn, 5 that end them
BONE_PARENTS: tuple[int, ...] = (*PARENTS, *ENDS.values())

# Pose2Sim's skeleton HALPE_26 in its order: its markers' names in .trc files, which its OpenSim setups know.
# By the segment that each is fixed to, and what is there: where the segment starts, a landmark, or a place of its own.
_MARKERS = """
Hip pelvis start | RHip right_thigh start | RKnee right_shank start | RAnkle right_foot start
RBigToe right_foot right_foot_index | RSmallToe right_foot small_toe | RHeel right_foot right_heel
LHip left_thigh start | LKnee left_shank start | LAnkle left_foot start
LBigToe left_foot left_foot_index | LSmallToe left_foot small_toe | LHeel left_foot left_heel
Neck head start | Head head crown | Nose head nose
RShoulder right_upper_arm start | RElbow right_forearm start | RWrist right_hand start
LShoulder left_upper_arm start | LElbow left_forearm start | LWrist left_hand start
"""
_TABLE = [entry.split() for entry in _MARKERS.replace("\n", "|").split("|") if entry.strip()]
MARKERS: tuple[str, ...] = tuple(name for name, _, _ in _TABLE)
_ON = np.array([SEGMENTS.index(segment) for _, segment, _ in _TABLE])  # (22,)
# Tip of the rest body's left small toe from where the foot starts, m, rest axes: read off the surface.
SMALL_TOE = np.array([0.043, 0.086, -0.166], np.float32)


def rest_bones(skeleton: Skeleton) -> Floats:
    """Where the 22 BONES begin at rest, (22, 3), m: x to the person's left, y up, z to their front."""
    marks = skeleton.landmarks
    ends = [skeleton.starts[HEAD] + _size(skeleton) * _crown()]
    ends += [
        marks[[landmark(f"{side}_{name}") for name in ("index", "pinky")]].mean(0)
        for side in ("left", "right")
    ]
    ends += [marks[landmark(f"{side}_foot_index")] for side in ("left", "right")]
    return np.concatenate([skeleton.starts, ends]).astype(np.float32) * FLIP


def markers(motion: Motion) -> Iterator[Floats]:
    """Where the 22 MARKERS are, (t, 22, 3), m, in order, some frames at a time; NaN in gaps."""
    offsets, begin = _offsets(motion.skeleton), 0
    for starts, turns, _ in motion.points():
        places = starts[:, _ON] + (turns[:, _ON] @ offsets[..., None])[..., 0]
        places[~motion.known[begin : begin + len(places)]] = np.nan
        yield places
        begin += len(places)


def _offsets(skeleton: Skeleton) -> Floats:
    """Of each marker from the start of its segment, (22, 3), rest axes."""
    size = _size(skeleton)

    def offset(segment: str, what: str) -> Floats:
        start = skeleton.starts[SEGMENTS.index(segment)]
        if what == "start":
            return np.zeros(3, np.float32)
        if what == "crown":
            return size * _crown()
        if what == "small_toe":
            return size * SMALL_TOE * np.array([1 if segment.startswith("left") else -1, 1, 1], np.float32)
        return skeleton.landmarks[landmark(what)] - start

    return np.stack([offset(segment, what) for _, segment, what in _TABLE])


def _size(skeleton: Skeleton) -> float:
    """How many times as large as the rest body."""
    return float(height_of(skeleton.lengths) / np.ptp(load().vertices[:, 1]))


@cache
def _crown() -> Floats:
    start, end = load().joints[HEAD]
    return np.asarray(end - start, np.float32)
