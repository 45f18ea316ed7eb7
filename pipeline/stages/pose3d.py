"""`pose3d`: everybody's skeleton, with bones of constant length, in metres in front of the camera."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body import patches
from bodystream.models.body.fit import Figures
from bodystream.models.body.joint_sets import BLAZEPOSE, JointSet
from bodystream.models.body.kinematics import (
    Skeleton,
    height_of,
    joint_confidence,
    joints_at,
    posed,
    rest_lengths,
    skeleton_of,
)
from bodystream.models.body.skeleton import LONG, bone_lengths
from bodystream.pipeline.lens import Lens
from bodystream.pipeline.matching import MEMORY_S
from bodystream.pipeline.poses import Seen, State, Surface, Weights, begun, followed
from bodystream.pipeline.types import Dense, Floats, Frame, ModelInfo, Person, Pose3d

Doubles = NDArray[np.float64]

# Bones follow what is known of the person until they have been seen for so long, and then by a thousandth a second.
SETTLING_S, FOLLOWING_S, CREEPING_A_S = 0.5, 0.15, 0.001
SIZE_S = (
    1.0  # over which it is learnt how large joints in space are: bones seem shorter or longer as they turn
)
SURE = 0.5  # of a limb's landmark: time in which fewer are seen counts less


@dataclass(slots=True)
class _Track:
    """What is remembered of one person."""

    pts: Fraction
    lengths: Floats  # (7,) m
    seen_s: float = 0.0  # for how long the limbs have been seen
    size_m: float = 0.0  # sum of the LONG bones of joints in space; 0 until seen
    state: State | None = None  # of one person; None until something has been fitted


class FitPose3d:
    """Gives `pose3d`, to people who have been seen once with landmarks that are numbers.

    `joints` are those that the landmark net gives. BlazePose's come with a posed body, and with it the person's
    proportions; others do not, and the mean body's are taken.

    Metres are in proportion to the person's size, `height_m` if it is known, else as the landmarks have it, and in
    depth to the lens' focal length too. `contacts` holds feet that stand, for cameras that stand too. `refine` draws
    the body's surface to where dense maps show it.
    """

    name = "pose3d"
    gives = frozenset({"pose3d"})
    models: tuple[ModelInfo, ...] = ()

    def __init__(
        self,
        lens: Lens,
        height_m: float | None = None,
        contacts: bool = True,
        refine: bool = True,
        weights: Weights | None = None,
        joints: JointSet = BLAZEPOSE,
    ) -> None:
        self.needs = frozenset({"id", "landmarks", "world"} | ({"body"} if joints is BLAZEPOSE else set()))
        self._joints = joints
        self._lens, self._height_m, self._contacts, self._refine = lens, height_m, contacts, refine
        self._weights = weights or Weights()
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._tracks: dict[int, _Track] = {}

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        """Return all people, in order."""
        self._tracks = {i: t for i, t in self._tracks.items() if 0 <= frame.pts - t.pts <= MEMORY_S}
        known = [i for i, person in enumerate(people) if self._known(person, frame.pts)]
        height, width = frame.image.shape[:2]
        poses = self._fitted([people[i] for i in known], frame.pts, (width, height)) if known else []
        found = dict(zip(known, poses, strict=True))
        return [replace(person, pose3d=found.get(i)) for i, person in enumerate(people)]

    def _known(self, person: Person, pts: Fraction) -> bool:
        """Whether there is a track for a person; one is begun if there can be."""
        if person.id in self._tracks:
            return True
        if person.landmarks is None or person.world is None or (person.body is None and "body" in self.needs):
            return False
        bones = rest_lengths() if person.body is None else person.body.lengths
        self._tracks[person.id] = _Track(pts, self._lengths(bones))
        return True

    def _fitted(self, people: Sequence[Person], pts: Fraction, size: tuple[int, int]) -> list[Pose3d]:
        tracks = [self._tracks[person.id] for person in people]
        for track, person in zip(tracks, people, strict=True):
            self._grow(track, person, pts)
        skeleton = skeleton_of(np.stack([track.lengths for track in tracks]))
        joints, count = self._joints, len(self._joints.keypoints)
        figures = Figures.of(joints, skeleton)
        world = np.stack(
            [self._world(track, person, pts) for track, person in zip(tracks, people, strict=True)]
        )
        landmarks = np.stack([_numbers(person.landmarks, (count, 3)) for person in people])
        step_s = np.array([float(pts - track.pts) for track in tracks])
        sure = np.where(np.isfinite(landmarks).all(-1), np.clip(landmarks[..., 2], 0, 1), 0.0)  # (N, K)
        rays = self._rays(landmarks[:, joints.columns, :2], size)
        surface = self._surface(people, skeleton, size) if self._refine else None
        seen = Seen(joints, world[:, joints.columns], rays, sure[:, joints.columns], step_s, surface)
        state = self._begin(tracks, skeleton, figures, seen, world)
        found, state = followed(figures, state, seen, self._weights, self._contacts)
        for i, track in enumerate(tracks):
            track.state, track.pts = state.one(i), pts
        sure[:, joints.columns] = state.sure
        return _poses(skeleton, found.turns, found.posture.root, sure[:, joints.nearest])

    def _begin(
        self, tracks: Sequence[_Track], skeleton: Skeleton, figures: Figures, seen: Seen, world: Doubles
    ) -> State:
        """The state of everybody; new people's is looked for first."""
        for i, track in enumerate(tracks):
            if track.state is None:
                one = slice(i, i + 1)
                first = Seen(seen.joints, seen.places[one], seen.rays[one], seen.sure[one], seen.step_s[one])
                own = Skeleton(skeleton.lengths[one], skeleton.starts[one], skeleton.landmarks[one])
                landmarks = self._joints.landmarks(np.nan_to_num(world[one]), own)
                track.state = begun(figures.some(one), first, landmarks, self._weights)
        return State.joined([track.state for track in tracks if track.state is not None])

    def _lengths(self, lengths: Floats) -> Floats:
        if self._height_m is None:
            return lengths
        return (lengths * (self._height_m / height_of(lengths))).astype(np.float32)

    def _grow(self, track: _Track, person: Person, pts: Fraction) -> None:
        """Let a person's bones follow what is known of them: soon at first, then hardly, so that nothing jumps."""
        step_s = float(pts - track.pts)
        if person.body is None or person.landmarks is None or not step_s:
            return
        away = self._lengths(person.body.lengths) - track.lengths
        track.seen_s += step_s * float((person.landmarks[self._joints.limbs, 2] > SURE).mean())
        if track.seen_s < SETTLING_S:
            grown = min(1.0, step_s / FOLLOWING_S) * away
        else:
            most = CREEPING_A_S * step_s * track.lengths
            grown = np.clip(away, -most, most)
        track.lengths = (track.lengths + grown).astype(np.float32)

    def _world(self, track: _Track, person: Person, pts: Fraction) -> Doubles:
        """World landmarks (K, 3) from between the hips, m, of the size of the bones that are fitted."""
        joints = self._joints
        world = _numbers(person.world, (len(joints.keypoints), 4))
        if "body" not in self.needs:
            _measure(track, world[joints.nearest], float(pts - track.pts))
            size_m = track.size_m or float(track.lengths[LONG].sum())
        else:
            size_m = float((track.lengths if person.body is None else person.body.lengths)[LONG].sum())
        return (world[:, :3] - world[joints.hips, :3].mean(0)) * (float(track.lengths[LONG].sum()) / size_m)

    def _surface(self, people: Sequence[Person], skeleton: Skeleton, size: tuple[int, int]) -> Surface | None:
        """The patches of everybody's surface that are seen of anybody."""
        each = [_shown(person.dense) for person in people]
        weights = np.stack([one.weights for one in each])  # (N, PATCHES)
        seen = np.flatnonzero(weights.any(0))
        if not len(seen):
            return None
        rays = self._rays(np.stack([one.pixels for one in each])[:, seen], size)
        arms = patches.arms(np.stack([one.places for one in each]), skeleton.lengths)
        return Surface(rays, weights[:, seen], patches.owners()[seen], arms[:, seen])

    def _rays(self, pixels: Doubles, size: tuple[int, int]) -> Doubles:
        """Where pixels (N, J, 2) look, distortion undone: x / z, y / z; NaN where a pixel is none."""
        camera = self._lens.of(size)
        known = np.isfinite(pixels).all(-1)
        rays = np.full(pixels.shape, np.nan)
        rays[known] = camera.straight(pixels[known])
        return rays


def _shown(dense: Dense | None) -> patches.Shown:
    if dense is None:
        return patches.Shown.nothing()
    return patches.shown(dense.part, dense.uv, dense.confidence, dense.to_image)


def _measure(track: _Track, world: Doubles, step_s: float) -> None:
    """Learn by world landmarks (33, 4) how large this person's joints in space are."""
    size_m = float(bone_lengths(world[:, :3], np.clip(world[:, 3], 0, 1))[LONG].sum())
    if np.isfinite(size_m) and size_m > 0:
        share = -np.expm1(-step_s / SIZE_S) if track.size_m else 1.0
        track.size_m += share * (size_m - track.size_m)


def _numbers(array: Floats | None, shape: tuple[int, ...]) -> Doubles:
    return np.full(shape, np.nan) if array is None else array.astype(np.float64)


def _poses(skeleton: Skeleton, turns: Doubles, root: Doubles, sure: Doubles) -> list[Pose3d]:
    turns32, root32 = turns.astype(np.float32), root.astype(np.float32)
    joints = joints_at(*posed(skeleton, turns32, root32))
    joints = np.concatenate([joints, joint_confidence(sure.astype(np.float32))[..., None]], axis=-1)
    return [Pose3d(joints[i], root32[i], turns32[i], skeleton.lengths[i]) for i in range(len(joints))]
