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

# Bones whose lengths tell one person from another; of limbs, left and right are taken together.
BONES: tuple[str, ...] = ("torso", "shoulders", "hips", "upper_arm", "forearm", "thigh", "shank")
# Their sum is a person's size: widths are left out, which landmark nets know badly from the side.
LONG = np.array([BONES.index(name) for name in ("torso", "upper_arm", "forearm", "thigh", "shank")])

_INDEX = {name: i for i, name in enumerate(KEYPOINTS)}


def landmark(name: str) -> int:
    """Index of a landmark among BlazePose's 33."""
    return _INDEX[name]


def _both(*names: str) -> NDArray[np.intp]:
    """Indices of the left and the right ones: (2, len(names))."""
    return np.array([[landmark(f"{side}_{name}") for name in names] for side in ("left", "right")])


_STARTS, _ENDS = _both("shoulder", "elbow", "hip", "knee"), _both("elbow", "wrist", "knee", "ankle")
_SHOULDERS, _HIPS = _both("shoulder")[:, 0], _both("hip")[:, 0]


def bone_lengths(points: NDArray[np.floating], confidence: NDArray[np.floating]) -> NDArray[np.float32]:
    """Lengths of the seven BONES: float32 (..., 7), in the unit of `points`.

    `points` is (..., 33, 3), `confidence` (..., 33), 0..1. A limb's bone is the mean of the left and the right
    one, each counting as much as its less certain end.
    """
    shoulders, hips = points[..., _SHOULDERS, :], points[..., _HIPS, :]  # (..., 2, 3)
    trunk = [
        shoulders.mean(-2) - hips.mean(-2),
        shoulders[..., 0, :] - shoulders[..., 1, :],
        hips[..., 0, :] - hips[..., 1, :],
    ]
    limbs = np.linalg.norm(points[..., _STARTS, :] - points[..., _ENDS, :], axis=-1)  # (..., 2, 4)
    weight = np.minimum(confidence[..., _STARTS], confidence[..., _ENDS]) + 1e-3
    means = (limbs * weight).sum(-2) / weight.sum(-2)  # (..., 4)
    return np.concatenate([np.linalg.norm(np.stack(trunk, -2), axis=-1), means], axis=-1).astype(np.float32)
