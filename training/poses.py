"""Poses to train on: motion capture, and a sampler for what it lacks; both as turns of the 17 segments.

A pose is float32 (17, 3, 3): each segment's rotation from the rest body's axes, in the person's own frame, in
which they stand upright and face a viewer (x to their left, y down, z to their back).

Motion capture: CMU Graphics Lab Motion Capture Database (mocap.cs.cmu.edu; created with funding from NSF
EIA-0196217), as the two archives that `--poses DIR` names: cmu_poses.npz and cmu_dance_bvh.npz.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bodystream.errors import SourceNotFound, SourceUnreadable
from bodystream.models.body.kinematics import matrices
from bodystream.models.body.pose import cross, turns_of
from bodystream.models.body.skeleton import LEFT, RIGHT
from bodystream.models.keypoints import KEYPOINTS

Floats = NDArray[np.float32]

ARRAYS = ("quat", "distinct", "seq", "bones", "parents", "offsets")  # that both archives have

# Whose motion no net learns from: an eighth of the poses, everyday actions, walks, martial arts, and one that
# nobody else does.
HELD_OUT_SUBJECTS = ("14", "35", "dance martial", "x_charleston")

# y up, facing +z  to  y down, facing -z
CANONICAL = np.array([1, -1, -1], np.float32)

# Where landmarks lie from the end of a bone, m, in axes with y up, z forward and x to the left; rounded from
# photographs' proportions. They serve for directions only, so a person's own size does not matter.
HEAD_POINTS = {
    "left_ear": (0.075, 0.06, 0.0),
    "right_ear": (-0.075, 0.06, 0.0),
    "nose": (0.0, 0.05, 0.12),
    "mouth_left": (0.025, 0.0, 0.1),
    "mouth_right": (-0.025, 0.0, 0.1),
}
FOOT_POINTS = {"heel": (0.0, -0.06, -0.05), "foot_index": (0.0, -0.07, 0.18)}
# Of a left hand that lies level to the side, palm down: outwards is +x, the thumb's side forward.
HAND_POINTS = {"index": (0.09, 0.0, 0.025), "pinky": (0.08, 0.0, -0.035)}


@dataclass(frozen=True)
class Poses:
    """`turns` float32 (P, 17, 3, 3), and for each the name of who moved, of which held-out sets are made."""

    turns: Floats
    subjects: NDArray[np.str_]

    @cached_property
    def chances(self) -> NDArray[np.float64]:
        """How often to take each, (P,), sum 1: a subject counts as the square root of their poses.

        A fifth of the archive is one man climbing, and a third salsa.
        """
        _, inverse, counts = np.unique(self.subjects, return_inverse=True, return_counts=True)
        chances = np.sqrt(counts)[inverse] / counts[inverse]
        return np.asarray(chances / chances.sum())

    def of(self, subjects: Sequence[str]) -> "Poses":
        """Those of some subjects."""
        chosen = np.isin(self.subjects, list(subjects))
        return Poses(self.turns[chosen], self.subjects[chosen])

    def without(self, subjects: Sequence[str]) -> "Poses":
        """Those of all others."""
        chosen = ~np.isin(self.subjects, list(subjects))
        return Poses(self.turns[chosen], self.subjects[chosen])


@dataclass(frozen=True)
class Motion:
    """Motion capture at 15 Hz, one sequence after another: `turns` float32 (P, 17, 3, 3) as in `Poses`, but
    with their headings; who moved, which sequence it is, and whether the pose differs from those before it.
    """

    turns: Floats
    subjects: NDArray[np.str_]
    sequences: NDArray[np.int64]
    distinct: NDArray[np.bool_]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The first frame of each frame's sequence: (P,)."""
        _, first, inverse = np.unique(self.sequences, return_index=True, return_inverse=True)
        return np.asarray(first[inverse])

    @cached_property
    def poses(self) -> Poses:
        """The distinct ones."""
        return Poses(self.turns[self.distinct], self.subjects[self.distinct])

    def of(self, subjects: Sequence[str]) -> "Motion":
        """Those of some subjects."""
        return self._those(np.isin(self.subjects, list(subjects)))

    def without(self, subjects: Sequence[str]) -> "Motion":
        """Those of all others."""
        return self._those(~np.isin(self.subjects, list(subjects)))

    def _those(self, chosen: NDArray[np.bool_]) -> "Motion":
        return Motion(
            self.turns[chosen], self.subjects[chosen], self.sequences[chosen], self.distinct[chosen]
        )


def read_poses(folder: Path) -> Poses:
    """Read the distinct poses of both archives. Raises SourceNotFound, SourceUnreadable."""
    turns, subjects = [], []
    for data, points_of in archives(folder):
        turns.append(_in_own_frame(turns_of(points_of(data) * CANONICAL)))
        subjects.append(_subjects(data))
    return Poses(np.concatenate(turns), np.concatenate(subjects))


def read_motion(folder: Path) -> "Motion":
    """Read all frames of both archives. Raises SourceNotFound, SourceUnreadable."""
    turns, subjects, distinct = [], [], []
    sequences: list[NDArray[np.int64]] = []
    for data, points_of in archives(folder):
        every = {**data, "distinct": np.ones_like(data["distinct"])}
        turns.append(turns_of(points_of(every) * CANONICAL))
        subjects.append(_subjects(every))
        sequences.append(data["seq"].astype(np.int64) + 1000 * len(sequences))
        distinct.append(data["distinct"])
    return Motion(*(np.concatenate(each) for each in (turns, subjects, sequences, distinct)))


def archives(folder: Path) -> Iterator[tuple[dict[str, NDArray[Any]], Callable[..., Floats]]]:
    """Yield the arrays of both archives, and what makes BlazePose's landmarks of them."""
    for name, points_of in (("cmu_poses.npz", _cmu_points), ("cmu_dance_bvh.npz", _dance_points)):
        path = folder / name
        if not path.is_file():
            raise SourceNotFound(f"no {name} in {folder}; --poses needs the folder of both pose archives")
        try:
            with np.load(path, allow_pickle=False) as archive:
                data = {key: archive[key] for key in archive.files}
                missing = [key for key in ARRAYS if key not in data]
                if missing:
                    raise KeyError(missing[0])
        except (KeyError, ValueError, OSError) as error:
            raise SourceUnreadable(
                f"{path} is no archive of poses ({type(error).__name__}: {error})"
            ) from error
        yield data, points_of


def _subjects(data: Mapping[str, NDArray[Any]]) -> NDArray[np.str_]:
    """Who moved, of each distinct frame: CMU's subject, or the kind of dance."""
    sequence = data["seq"][data["distinct"]]
    if "subject" in data:
        return data["subject"].astype(str)[data["seq_subject"]][sequence]
    kinds = np.array([str(text).split()[0].lower().strip(",-") for text in data["seq_desc"]])
    return np.char.add("dance ", kinds)[sequence]


def _in_own_frame(turns: Floats) -> Floats:
    """Take the heading away, so that everybody faces the viewer: the camera brings its own."""
    forward = -turns[:, 0, :, 2]  # the pelvis' own forward, -z
    heading = np.arctan2(forward[:, 0], -forward[:, 2])
    return (about_y(heading)[:, None] @ turns).astype(np.float32)


def about_y(angles: NDArray[np.floating]) -> Floats:
    """Rotations (..., 3, 3) about the vertical, positive from the viewer's right towards them."""
    cos, sin, zero = np.cos(angles), np.sin(angles), np.zeros_like(angles)
    rows = [cos, zero, sin, zero, zero + 1, zero, -sin, zero, cos]
    return np.stack(rows, axis=-1).reshape(*np.shape(angles), 3, 3).astype(np.float32)


def _quaternions(data: Mapping[str, NDArray[Any]]) -> Floats:
    """Local rotations of the distinct frames as matrices (P, B, 3, 3)."""
    return matrices(data["quat"][data["distinct"]].astype(np.float32))


def _cmu_points(data: Mapping[str, NDArray[Any]]) -> Floats:
    """BlazePose's landmarks of the asf/amc poses: a bone's rotation turns its own offset."""
    local, names = _quaternions(data), [str(name) for name in data["bones"]]
    offsets = data["offsets"][data["seq_subject"]][data["seq"][data["distinct"]]]  # (P, B, 3)
    turn, end = np.empty_like(local), np.zeros((*local.shape[:2], 3), np.float32)
    turn[:, 0] = local[:, 0]
    for bone, parent in enumerate(data["parents"][1:], start=1):
        turn[:, bone] = turn[:, parent] @ local[:, bone]
        end[:, bone] = end[:, parent] + (turn[:, bone] @ offsets[:, bone, :, None])[..., 0]
    at = {name: (end[:, i], turn[:, i]) for i, name in enumerate(names)}
    joints = {"": (at["upperneck"][0], at["head"][1])}
    for side in "lr":
        joints |= {
            f"{side} shoulder": at[f"{side}clavicle"],
            f"{side} elbow": at[f"{side}humerus"],
            f"{side} wrist": (at[f"{side}wrist"][0], at[f"{side}hand"][1]),
            f"{side} hip": at[f"{side}hipjoint"],
            f"{side} knee": at[f"{side}femur"],
            f"{side} ankle": (at[f"{side}tibia"][0], at[f"{side}foot"][1]),
        }
    return _landmarks(joints)


def _dance_points(data: Mapping[str, NDArray[Any]]) -> Floats:
    """BlazePose's landmarks of the BVH poses: an offset leads to the joint and is turned by the parent."""
    local, names = _quaternions(data), [str(name) for name in data["bones"]]
    turn, place = np.empty_like(local), np.zeros((*local.shape[:2], 3), np.float32)
    turn[:, 0] = local[:, 0]
    for joint, parent in enumerate(data["parents"][1:], start=1):
        place[:, joint] = place[:, parent] + turn[:, parent] @ data["offsets"][joint]
        turn[:, joint] = turn[:, parent] @ local[:, joint]
    at = {name: (place[:, i], turn[:, i]) for i, name in enumerate(names)}
    joints = {"": at["head"]}
    for side in "lr":
        bones = {"shoulder": "Shldr", "elbow": "ForeArm", "wrist": "Hand", "hip": "Thigh", "knee": "Shin"}
        joints |= {f"{side} {name}": at[side + bone] for name, bone in (bones | {"ankle": "Foot"}).items()}
    return _landmarks(joints)


def _landmarks(joints: Mapping[str, tuple[Floats, Floats]]) -> Floats:
    """Points (P, 33, 3) from joints: places (P, 3) and the turns (P, 3, 3) of what hangs on them."""
    place, turn = joints[""]
    points = np.repeat(place[:, None], len(KEYPOINTS), axis=1)  # eyes and thumbs are not asked for
    for name, offset in HEAD_POINTS.items():
        points[:, KEYPOINTS.index(name)] = place + turn @ _vector(offset)
    for side, word in (("l", "left"), ("r", "right")):
        for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            points[:, KEYPOINTS.index(f"{word}_{name}")] = joints[f"{side} {name}"][0]
        for joint, offsets in (("wrist", HAND_POINTS), ("ankle", FOOT_POINTS)):
            place, turn = joints[f"{side} {joint}"]
            for name, offset in offsets.items():
                mirrored = _vector(offset) * (1 if side == "l" or joint == "ankle" else _vector([-1, 1, 1]))
                points[:, KEYPOINTS.index(f"{word}_{name}")] = place + turn @ mirrored
    return points


# What motion capture of walkers and dancers lacks: (share, direction of the bone at its mode, spread in degrees).
# Directions are x outwards, y down, z to the back, in the frame of chest or pelvis.
ARMS = (
    (0.34, (0.15, 1.0, 0.05), 14),  # hanging
    (0.12, (0.5, 0.85, 0.3), 14),  # hand on the hip, elbow out and back
    (0.14, (1.0, 0.1, -0.1), 22),  # to the side
    (0.16, (0.15, 0.2, -1.0), 25),  # forward
    (0.10, (0.25, -1.0, -0.1), 22),  # up
    (0.09, (0.6, -0.5, -0.6), 25),  # diagonal
    (0.05, (0.2, 0.7, 0.7), 15),  # behind the back
)
LEGS = (
    (0.46, (0.06, 1.0, 0.0), 9),  # standing
    (0.20, (0.15, 0.25, -1.0), 14),  # sitting, crouching
    (0.14, (0.15, 0.75, -0.65), 16),  # a step up, half bent
    (0.08, (0.35, 0.9, -0.1), 14),  # apart
    (0.05, (0.8, 0.55, -0.3), 16),  # wide
    (0.07, (0.08, 0.9, 0.4), 14),  # back
)


def sampled_pose(rng: np.random.Generator) -> Floats:
    """One pose within the joints' limits: (17, 3, 3). Standing, sitting, lying, crouching, bending, reaching."""
    symmetric = rng.random() < 0.35
    trunk = _sampled_trunk(rng)
    points = np.zeros((33, 3), np.float32)
    chest, pelvis = trunk["chest"], trunk["pelvis"]
    neck = pelvis @ _vector([0, -0.25, 0]) + chest @ _vector([0, -0.25, 0])
    _put_head(points, neck, chest @ small_turn(rng, 14))
    left_seed, right_seed = rng.integers(1 << 31, size=2)
    for word, sign in (("left", 1.0), ("right", -1.0)):
        own = np.random.default_rng(left_seed if symmetric or word == "left" else right_seed)
        mirror = _vector([sign, 1, 1])
        _put_arm(points, word, neck, chest, mirror, own)
        _put_leg(points, word, pelvis, mirror, own)
    return turns_of(points[None])[0]


def _sampled_trunk(rng: np.random.Generator) -> dict[str, Floats]:
    """Rotations of pelvis and chest: mostly upright, at times bent far forward or lying."""
    lean = rng.normal(5, 12) if rng.random() < 0.85 else rng.uniform(30, 95)  # degrees, forward
    pelvis = about_x(np.radians(lean * rng.uniform(0.2, 0.6)))
    if rng.random() < 0.06:  # lying, on the back, the belly or a side
        lying = about_x(np.radians(rng.choice([-85.0, 85.0])))
        pelvis = _vector(small_turn(rng, 12) @ lying @ about_y(np.asarray(rng.uniform(-np.pi, np.pi))))
    chest = (
        pelvis
        @ about_x(np.radians(lean * 0.5))
        @ about_y(np.asarray(rng.normal(0, 0.25)))
        @ small_turn(rng, 6)
    )
    return {"pelvis": pelvis @ small_turn(rng, 4), "chest": chest}


def _put_head(points: Floats, neck: Floats, turn: Floats) -> None:
    for name, offset in HEAD_POINTS.items():
        points[KEYPOINTS.index(name)] = neck + turn @ (_vector([0, -0.08, 0]) + _vector(offset) * CANONICAL)


def _put_arm(
    points: Floats, side: str, neck: Floats, chest: Floats, mirror: Floats, rng: np.random.Generator
) -> None:
    upper = _direction(ARMS, rng)
    flexion = abs(rng.normal(0, 35)) if rng.random() < 0.5 else rng.uniform(10, 145)
    # The forearm bends forward of the upper arm, turned about it by the shoulder's own rotation.
    forward = _vector([-0.3, -0.2, -1.0])
    swing = _about(upper, np.radians(rng.normal(0, 40))) @ _across(upper, forward)
    angle = np.radians(min(flexion, 150))
    fore = np.cos(angle) * upper + np.sin(angle) * swing
    hinge = cross(upper, swing)
    # The palm faces the hinge's side when relaxed; pronation turns it by up to a right angle each way.
    across = _about(fore, np.radians(rng.normal(0, 40))) @ _across(fore, _vector(swing + 0.3 * hinge))
    shoulder = _vector([0.17, 0, 0])
    hand = _unit(fore + _vector(rng.normal(0, 0.25, 3)))
    for name, place in (
        ("shoulder", shoulder),
        ("elbow", shoulder + 0.28 * upper),
        ("wrist", shoulder + 0.28 * upper + 0.25 * fore),
        ("index", shoulder + 0.28 * upper + 0.25 * fore + 0.09 * hand + 0.03 * across),
        ("pinky", shoulder + 0.28 * upper + 0.25 * fore + 0.08 * hand - 0.03 * across),
    ):
        points[KEYPOINTS.index(f"{side}_{name}")] = neck + chest @ (place * mirror)


def _put_leg(points: Floats, side: str, pelvis: Floats, mirror: Floats, rng: np.random.Generator) -> None:
    thigh = _direction(LEGS, rng)
    raised = max(0.0, float(-thigh[2]))
    flexion = np.radians(
        np.clip(rng.normal(85 * raised, 25) if rng.random() < 0.8 else rng.uniform(0, 135), 0, 140)
    )
    back = _about(thigh, np.radians(rng.normal(0, 14))) @ _across(thigh, _vector([0, 0.2, 1.0]))
    shank = np.cos(flexion) * thigh + np.sin(flexion) * back
    # The foot points forward at a right angle to the shank, give or take.
    front = _about(shank, np.radians(rng.normal(-8, 14))) @ (np.sin(flexion) * thigh - np.cos(flexion) * back)
    pitch = np.radians(rng.normal(-10, 18))
    sole = _unit(np.cos(pitch) * front - np.sin(pitch) * shank)
    up = _unit(-np.cos(pitch) * shank - np.sin(pitch) * front)
    hip = _vector([0.1, 0, 0])
    ankle = hip + 0.42 * thigh + 0.42 * shank
    heel = ankle - 0.05 * sole - 0.06 * up
    for name, place in (
        ("hip", hip),
        ("knee", hip + 0.42 * thigh),
        ("ankle", ankle),
        ("heel", heel),
        ("foot_index", heel + 0.22 * sole),
    ):
        points[KEYPOINTS.index(f"{side}_{name}")] = pelvis @ (place * mirror)


def mirrored_pose(turns: Floats) -> Floats:
    """The same pose with left and right exchanged: (17, 3, 3)."""
    order = [0, 1, 2, *range(RIGHT, RIGHT + 7), *range(LEFT, LEFT + 7)]
    mirror = np.array([-1, 1, 1], np.float32)
    return turns[order] * mirror[:, None] * mirror


def jittered_pose(
    turns: Floats, rng: np.random.Generator, degrees: float = 3.0, roll: float = 34.0
) -> Floats:
    """The pose with every segment turned a little, and the hands rolled about the forearms."""
    turns = np.stack([turn @ small_turn(rng, degrees) for turn in turns])
    for begin in (LEFT, RIGHT):
        axis = _unit(turns[begin + 2] @ _vector([1 if begin == LEFT else -1, 0, 0]))
        turns[begin + 2 : begin + 4] = (
            _about(axis, np.radians(rng.normal(0, roll))) @ turns[begin + 2 : begin + 4]
        )
    return turns


def small_turn(rng: np.random.Generator, degrees: float) -> Floats:
    """A rotation (3, 3) about a random axis, each component of the angle normal with that deviation."""
    vector = rng.normal(0, np.radians(degrees), 3)
    return _about(vector, float(np.linalg.norm(vector)))


def about_x(angle: float) -> Floats:
    """Rotation (3, 3) about the axis to the person's left; positive leans forward."""
    return _about(_vector([1, 0, 0]), angle)


def _direction(
    modes: Sequence[tuple[float, tuple[float, float, float], float]], rng: np.random.Generator
) -> Floats:
    shares = np.array([share for share, _, _ in modes])
    _, mode, spread = modes[rng.choice(len(modes), p=shares / shares.sum())]
    return small_turn(rng, spread) @ _unit(_vector(mode))


def _across(axis: Floats, wanted: Floats) -> Floats:
    """The unit vector across `axis` that is nearest to `wanted`."""
    return _unit(wanted - (wanted @ axis) * axis + np.float32(1e-6))


def _about(axis: NDArray[np.floating], angle: float) -> Floats:
    x, y, z = _unit(axis)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return (np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew).astype(np.float32)


def _vector(values: ArrayLike) -> Floats:
    return np.asarray(values, np.float32)


def _unit(vector: NDArray[np.floating]) -> Floats:
    return (vector / max(float(np.linalg.norm(vector)), 1e-9)).astype(np.float32)
