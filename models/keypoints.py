"""Sets of keypoints: BlazePose's 33, COCO's 17, VNect's 21, each with its names and the skeleton's edges.

Results say by their names which set they hold: `layout_of` knows the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
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
_BLAZEPOSE_CHAINS = (
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

# In the order of VNect's maps (Mehta et al. 2017); the first 17 are MPI-INF-3DHP's relevant joints.
VNECT_KEYPOINTS: tuple[str, ...] = (
    "head_top",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "pelvis",
    "spine",
    "head",
    "right_hand",
    "left_hand",
    "right_foot",
    "left_foot",
)

_COCO_CHAINS = (
    "nose left_eye left_ear",
    "nose right_eye right_ear",
    "left_shoulder left_elbow left_wrist",
    "right_shoulder right_elbow right_wrist",
    "right_shoulder left_shoulder left_hip right_hip right_shoulder",
    "left_hip left_knee left_ankle",
    "right_hip right_knee right_ankle",
)
_VNECT_CHAINS = (
    "head_top head neck spine pelvis",
    "neck left_shoulder left_elbow left_wrist left_hand",
    "neck right_shoulder right_elbow right_wrist right_hand",
    "pelvis left_hip left_knee left_ankle left_foot",
    "pelvis right_hip right_knee right_ankle right_foot",
)
# Words of points that crowd a face and a hand.
_CROWDED = frozenset(["nose", "eye", "ear", "mouth", "pinky", "index", "thumb", "hand"])


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


Edge = tuple[int, int, Side]


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """A set of J keypoints: their names, the pairs that a line joins and the side of the body that it is on.

    `sides` (J,) are the points' own. `crowded` are those of face and hands, which crowd. `coco`: int (17,), where
    COCO's 17 are among them in COCO's order, -1 for one that is not.
    """

    names: tuple[str, ...]
    edges: tuple[Edge, ...]
    sides: tuple[Side, ...]
    crowded: frozenset[int]
    coco: NDArray[np.intp]


@cache
def layout_of(names: tuple[str, ...]) -> Layout:
    """The layout of keypoints with these names; a set that is not known has points and no lines."""
    chains = _CHAINS_OF.get(names, ())
    return Layout(
        names,
        tuple(
            (names.index(a), names.index(b), _side(a, b))
            for chain in chains
            for a, b in zip(chain.split(), chain.split()[1:], strict=False)
        ),
        tuple(_side(name) for name in names),
        frozenset(
            i
            for i, name in enumerate(names)
            if _CROWDED & set(name.split("_")) and not name.endswith("foot_index")
        ),
        np.array([names.index(name) if name in names else -1 for name in COCO_KEYPOINTS]),
    )


_CHAINS_OF: dict[tuple[str, ...], Sequence[str]] = {
    KEYPOINTS: _BLAZEPOSE_CHAINS,
    COCO_KEYPOINTS: _COCO_CHAINS,
    VNECT_KEYPOINTS: _VNECT_CHAINS,
}

# BlazePose's pairs of landmarks to be joined by a line, and the side of the body that the line is on.
EDGES: tuple[Edge, ...] = layout_of(KEYPOINTS).edges

# landmarks[SWAP] are those of the mirrored person: int (33,), left and right exchanged
SWAP: NDArray[np.intp] = _indices(tuple(_mirrored(name) for name in KEYPOINTS))

# landmarks[COCO] are COCO's 17 in COCO's order: int (17,)
COCO: NDArray[np.intp] = _indices(COCO_KEYPOINTS)
