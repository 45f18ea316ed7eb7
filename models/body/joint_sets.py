"""What the fit can be given: sets of joints of landmark nets, each mapped once to points on the skeleton.

A joint is a weighted mean of the skeleton's own points (starts of segments and the 33 landmarks, at rest), all of
which are fixed to one segment, so that it moves with it rigidly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.freedoms import Doubles, moves_of
from bodystream.models.body.kinematics import OWNER, Skeleton
from bodystream.models.body.skeleton import CHEST, HEAD, PELVIS, SEGMENTS
from bodystream.models.keypoints import COCO_KEYPOINTS, KEYPOINTS

# How much a landmark counts: the twelve of the limbs fully; those that are close to others on a small segment, of
# which nets know little, a fifth; the rest of the face not at all, since nose and ears turn the head.
LIMBS, SMALL = 1.0, 0.2
_LIMB_NAMES = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_SMALL_NAMES = ("nose", "ear", "pinky", "index", "thumb", "heel", "foot_index")

Mixture = Mapping[str, float]  # shares of the skeleton's points


@dataclass(frozen=True)
class JointSet:
    """J joints that a net gives and the fit takes: `names`; `columns` (J,) where they are among the net's own;
    `owners` (J,) the segments they are fixed to; `weights` (J,) how much each counts; `shares` (J, 50) of the 17
    starts and 33 landmarks at rest, sum 1."""

    names: tuple[str, ...]
    columns: NDArray[np.intp]
    owners: NDArray[np.intp]
    weights: Doubles
    shares: Doubles

    def at_rest(self, skeleton: Skeleton) -> Doubles:
        """Places of the joints on rest skeletons of N people: (N, J, 3), m."""
        points = np.concatenate([skeleton.starts, skeleton.landmarks], axis=-2)
        return self.shares @ points.astype(np.float64)

    @cached_property
    def moves(self) -> Doubles:
        """Which of the 35 turning freedoms move which joint: (J, 35)."""
        return moves_of(self.owners)


def _set(joints: Mapping[str, tuple[float, int, Mixture]]) -> JointSet:
    """The joints of a net in its own order; those of no weight are left out."""
    points = [f"start of {name}" for name in SEGMENTS] + list(KEYPOINTS)
    used = {name: joint for name, joint in joints.items() if joint[0]}
    shares = np.zeros((len(used), len(points)))
    for row, (_, _, mixture) in enumerate(used.values()):
        for name, share in mixture.items():
            shares[row, points.index(name)] = share
    weights, owners, _ = zip(*used.values(), strict=True)
    columns = [list(joints).index(name) for name in used]
    return JointSet(tuple(used), np.array(columns), np.array(owners), np.array(weights), shares)


def _landmark(name: str, weight: float) -> tuple[float, int, Mixture]:
    return weight, int(OWNER[KEYPOINTS.index(name)]), {name: 1.0}


def _weight(name: str) -> float:
    if any(name.endswith(part) for part in _LIMB_NAMES):
        return LIMBS
    return SMALL if any(name.endswith(part) for part in _SMALL_NAMES) else 0.0


def _halves(a: str, b: str) -> Mixture:
    return {a: 0.5, b: 0.5}


def _vnect_side(side: str) -> dict[str, tuple[float, int, Mixture]]:
    return {f"{side}_{name}": _landmark(f"{side}_{name}", LIMBS) for name in _LIMB_NAMES}


_RIGHT, _LEFT = _vnect_side("right"), _vnect_side("left")
_HAND = {side: _halves(f"{side}_index", f"{side}_pinky") for side in ("left", "right")}

# BlazePose's 33, without eyes and mouth.
BLAZEPOSE: JointSet = _set({name: _landmark(name, _weight(name)) for name in KEYPOINTS})

# COCO's 17: eyes are all but ears and nose that turn the head, so they count too.
COCO_17: JointSet = _set({name: _landmark(name, _weight(name) or SMALL) for name in COCO_KEYPOINTS})

# VNect's 21, in the order of keypoints.VNECT_KEYPOINTS. Its neck
# lies between the shoulders' middle and the head's joint; the top of the head as far above the ears as they are
# above that joint.
VNECT_21: JointSet = _set(
    {
        "head_top": (SMALL, HEAD, {"left_ear": 1.0, "right_ear": 1.0, "start of head": -1.0}),
        "neck": (
            LIMBS,
            CHEST,
            {"left_shoulder": 0.25, "right_shoulder": 0.25, "start of head": 0.5},
        ),
        **{f"right_{name}": _RIGHT[f"right_{name}"] for name in _LIMB_NAMES[:3]},
        **{f"left_{name}": _LEFT[f"left_{name}"] for name in _LIMB_NAMES[:3]},
        **{f"right_{name}": _RIGHT[f"right_{name}"] for name in _LIMB_NAMES[3:]},
        **{f"left_{name}": _LEFT[f"left_{name}"] for name in _LIMB_NAMES[3:]},
        "pelvis": (LIMBS, PELVIS, _halves("left_hip", "right_hip")),
        "spine": (SMALL, CHEST, {"start of chest": 1.0}),
        "head": (SMALL, HEAD, _halves("left_ear", "right_ear")),
        "right_hand": (SMALL, SEGMENTS.index("right_hand"), _HAND["right"]),
        "left_hand": (SMALL, SEGMENTS.index("left_hand"), _HAND["left"]),
        "right_foot": _landmark("right_foot_index", SMALL),
        "left_foot": _landmark("left_foot_index", SMALL),
    }
)
