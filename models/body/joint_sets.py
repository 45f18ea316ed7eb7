"""What the fit can be given: sets of joints of landmark nets, each mapped once to points on the skeleton.

A joint is a weighted mean of the skeleton's own points (starts of segments and the 33 landmarks, at rest), all of
which are fixed to one segment, so that it moves with it rigidly.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.freedoms import Doubles, moves_of
from bodystream.models.body.kinematics import OWNER, Skeleton
from bodystream.models.body.pose import frame
from bodystream.models.body.skeleton import CHEST, HEAD, PELVIS, SEGMENTS
from bodystream.models.keypoints import COCO_KEYPOINTS, KEYPOINTS

# How much a landmark counts: the twelve of the limbs fully; those that are close to others on a small segment, of
# which nets know little, a fifth; the rest of the face not at all, since nose and ears turn the head.
LIMBS, SMALL = 1.0, 0.2
_SOLE_NAMES = ("heel", "foot_index", "foot")
_LIMB_NAMES = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_SMALL_NAMES = ("nose", "ear", "pinky", "index", "thumb", "heel", "foot_index")

Mixture = Mapping[str, float]  # shares of the skeleton's points


@dataclass(frozen=True)
class JointSet:
    """J joints that a net gives and the fit takes: `keypoints`, the K names of all that the net gives; of these
    `names` are taken, `columns` (J,) of them; `owners` (J,) the segments they are fixed to; `weights` (J,) how much
    each counts; `shares` (J, 50) of the 17 starts and 33 landmarks at rest, sum 1."""

    keypoints: tuple[str, ...]
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

    @cached_property
    def feet(self) -> NDArray[np.intp]:
        """Those of the joints that stand: (F,)."""
        return np.array([i for i, name in enumerate(self.names) if name.endswith(_SOLE_NAMES)], np.intp)

    @cached_property
    def hips(self) -> NDArray[np.intp]:
        """The hips among the keypoints: (2,)."""
        return np.array([self.keypoints.index(f"{side}_hip") for side in ("left", "right")])

    @cached_property
    def limbs(self) -> NDArray[np.intp]:
        """The twelve of the limbs among the keypoints."""
        return np.array([i for i, name in enumerate(self.keypoints) if name.endswith(_LIMB_NAMES)])

    @cached_property
    def nearest(self) -> NDArray[np.intp]:
        """Which keypoint tells most of each of BlazePose's landmarks: (33,), itself where the net gives it."""
        return np.array([_nearest(name, self.keypoints) for name in KEYPOINTS])

    def landmarks(self, points: Doubles, skeleton: Skeleton) -> Doubles:
        """BlazePose's landmarks (N, 33, 3) by the keypoints (N, K, 3), m, of people with these skeletons.

        What the net does not give is put where it is on the rest body beside the nearest keypoint, turned as the
        torso: good enough to begin a search from.
        """
        if self.keypoints == KEYPOINTS:
            return points
        torso = _torso(self, points) @ _torso(BLAZEPOSE, skeleton.landmarks).swapaxes(-1, -2)  # (N, 3, 3)
        rest = np.zeros_like(points)
        rest[:, self.columns] = self.at_rest(skeleton)
        beside = skeleton.landmarks - rest[:, self.nearest]  # (N, 33, 3)
        return np.asarray(points[:, self.nearest] + beside @ torso.swapaxes(-1, -2))


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
    return JointSet(
        tuple(joints), tuple(used), np.array(columns), np.array(owners), np.array(weights), shares
    )


def _nearest(name: str, keypoints: tuple[str, ...]) -> int:
    side, _, rest = name.partition("_")
    beside = {"pinky": "hand", "index": "hand", "thumb": "hand", "foot_index": "foot", "heel": "ankle"}
    for candidate in (name, f"{side}_{beside.get(rest)}", "head", "nose"):
        if candidate in keypoints:
            return keypoints.index(candidate)
    raise ValueError(f"no keypoint stands for {name}")


def _torso(joints: JointSet, points: NDArray[Any]) -> Doubles:
    """How the torso of keypoints (N, K, 3) is turned: (N, 3, 3), its first axis up, its second to the left."""
    left, right = (
        [joints.keypoints.index(f"{side}_{name}") for name in ("shoulder", "hip")]
        for side in ("left", "right")
    )
    middle = (points[:, left] + points[:, right]) / 2  # (N, 2, 3)
    across = (points[:, left] - points[:, right]).sum(1)
    return frame(middle[:, 0] - middle[:, 1], across).astype(np.float64)


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
