"""The 33 landmarks of BlazePose: names, pairs, the skeleton's edges, and which of them are COCO's 17."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Side = Literal["left", "right", "middle"]  # of the person, not of the picture

KEYPOINTS: tuple[str, ...] = (
    "nose",
    "left_eye_inner",
    "left_eye",
    "left_eye_outer",
    "right_eye_inner",
    "right_eye",
    "right_eye_outer",
    "left_ear",
    "right_ear",
    "mouth_left",
    "mouth_right",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_pinky",
    "right_pinky",
    "left_index",
    "right_index",
    "left_thumb",
    "right_thumb",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "left_heel",
    "right_heel",
    "left_foot_index",
    "right_foot_index",
)

# Chains of names, each drawn from one to the next.
_CHAINS = (
    "nose left_eye_inner left_eye left_eye_outer left_ear",
    "nose right_eye_inner right_eye right_eye_outer right_ear",
    "mouth_left mouth_right",
    "left_shoulder left_elbow left_wrist left_pinky left_index left_wrist left_thumb",
    "right_shoulder right_elbow right_wrist right_pinky right_index right_wrist right_thumb",
    "right_shoulder left_shoulder left_hip right_hip right_shoulder",
    "left_hip left_knee left_ankle left_heel left_foot_index left_ankle",
    "right_hip right_knee right_ankle right_heel right_foot_index right_ankle",
)

COCO_KEYPOINTS: tuple[str, ...] = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)


def _side(*names: str) -> Side:
    sides = {side for side in ("left", "right") for name in names if side in name.split("_")}
    if sides == {"left"}:
        return "left"
    return "right" if sides == {"right"} else "middle"


def _mirrored(name: str) -> str:
    other = {"left": "right", "right": "left"}
    return "_".join(other.get(word, word) for word in name.split("_"))


def _indices(names: tuple[str, ...]) -> NDArray[np.intp]:
    found = np.array([KEYPOINTS.index(name) for name in names])
    found.flags.writeable = False
    return found


# Pairs of landmarks to be joined by a line, and the side of the body that the line is on.
EDGES: tuple[tuple[int, int, Side], ...] = tuple(
    (KEYPOINTS.index(a), KEYPOINTS.index(b), _side(a, b))
    for chain in _CHAINS
    for a, b in zip(chain.split(), chain.split()[1:], strict=False)
)

# landmarks[SWAP] are those of the mirrored person: int (33,), left and right exchanged
SWAP: NDArray[np.intp] = _indices(tuple(_mirrored(name) for name in KEYPOINTS))

# landmarks[COCO] are COCO's 17 in COCO's order: int (17,)
COCO: NDArray[np.intp] = _indices(COCO_KEYPOINTS)
