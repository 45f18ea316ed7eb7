"""The 17 rigid segments of the body, and the few lengths by which people differ."""

import numpy as np
from numpy.typing import NDArray

from bodystream.models.keypoints import KEYPOINTS

LIMB_SEGMENTS = ("upper_arm", "forearm", "forearm_twist", "hand", "thigh", "shank", "foot")
SEGMENTS: tuple[str, ...] = (
    "pelvis",
    "chest",
    "head",
    *(f"left_{name}" for name in LIMB_SEGMENTS),
    *(f"right_{name}" for name in LIMB_SEGMENTS),
)
PELVIS, CHEST, HEAD, LEFT, RIGHT = 0, 1, 2, 3, 10  # LEFT and RIGHT are where a side's seven begin
# The forearm's far half turns with the hand, so it is a segment of its own that hangs on the near one.
PARENTS: tuple[int, ...] = (-1, 0, 1, 1, 3, 4, 5, 0, 7, 8, 1, 10, 11, 12, 0, 14, 15)

# Bones whose lengths tell one person from another: ends as means of landmarks, left and right taken together.
_HIPS, _SHOULDERS = ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")
BONES: tuple[str, ...] = ("torso", "shoulders", "hips", "upper_arm", "forearm", "thigh", "shank")
_PAIRS = {
    "upper_arm": ("shoulder", "elbow"),
    "forearm": ("elbow", "wrist"),
    "thigh": ("hip", "knee"),
    "shank": ("knee", "ankle"),
}
# Their sum is a person's size: widths are left out, which landmark nets know badly from the side.
LONG = np.array([BONES.index(name) for name in ("torso", *_PAIRS)])


_INDEX = {name: i for i, name in enumerate(KEYPOINTS)}


def landmark(name: str) -> int:
    """Index of a landmark among BlazePose's 33."""
    return _INDEX[name]


def bone_lengths(points: NDArray[np.floating], confidence: NDArray[np.floating]) -> NDArray[np.float32]:
    """Lengths of the seven BONES: float32 (..., 7), in the unit of `points`.

    `points` is (..., 33, 3), `confidence` (..., 33), 0..1. A limb bone is the mean of the left and the right
    one, each counting as much as its less certain end.
    """
    at = {name: points[..., i, :] for i, name in enumerate(KEYPOINTS)}
    sure = {name: confidence[..., i] + 1e-3 for i, name in enumerate(KEYPOINTS)}

    def apart(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.linalg.norm(a - b, axis=-1)

    lengths = [
        apart(at["left_hip"] + at["right_hip"], at["left_shoulder"] + at["right_shoulder"]) / 2,
        apart(at["left_shoulder"], at["right_shoulder"]),
        apart(at["left_hip"], at["right_hip"]),
    ]
    for start, end in _PAIRS.values():
        total, weights = 0.0, 0.0
        for side in ("left", "right"):
            a, b = f"{side}_{start}", f"{side}_{end}"
            weight = np.minimum(sure[a], sure[b])
            total, weights = total + weight * apart(at[a], at[b]), weights + weight
        lengths.append(total / weights)
    return np.stack(lengths, axis=-1).astype(np.float32)
