"""`pose3d`: everybody's skeleton, with bones of constant length, in metres in front of the camera."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body import patches
from bodystream.models.body.fit import Figures
from bodystream.models.body.kinematics import (
    Skeleton,
    height_of,
    joint_confidence,
    joints_at,
    posed,
    skeleton_of,
)
from bodystream.models.body.skeleton import LONG
from bodystream.pipeline.flips import LIMBS
from bodystream.pipeline.lens import Lens
from bodystream.pipeline.matching import MEMORY_S
from bodystream.pipeline.poses import JOINTS, Seen, State, Surface, Weights, begun, followed
from bodystream.pipeline.types import Dense, Floats, Frame, ModelInfo, Person, Pose3d

Doubles = NDArray[np.float64]

HIPS = [23, 24]
# Bones follow what is known of the person until they have been seen for so long, and then by a thousandth a second.
SETTLING_S, FOLLOWING_S, CREEPING_A_S = 0.5, 0.15, 0.001
SURE = 0.5  # of a limb's landmark: time in which fewer are seen counts less


@dataclass(slots=True)
class _Track:
    """What is remembered of one person."""

    pts: Fraction
    lengths: Floats  # (7,) m
    seen_s: float = 0.0  # for how long the limbs have been seen
    state: State | None = None  # of one person; None until something has been fitted


class FitPose3d:
    """Gives `pose3d`, to people who have been seen once with landmarks that are numbers.

    Metres are in proportion to the person's size, `height_m` if it is known, else as the landmarks have it, and in
    depth to the lens' focal length too. `contacts` holds feet that stand, for cameras that stand too. `refine` draws
    the body's surface to where dense maps show it.
    """

    name = "pose3d"
    needs = frozenset({"id", "landmarks", "world", "body"})
    gives = frozenset({"pose3d"})
    models: tuple[ModelInfo, ...] = ()

    def __init__(
        self,
        lens: Lens,
        height_m: float | None = None,
        contacts: bool = True,
        refine: bool = True,
        weights: Weights | None = None,
    ) -> None:
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
        if person.body is None or person.landmarks is None or person.world is None:
            return False
        self._tracks[person.id] = _Track(pts, self._lengths(person.body.lengths))
        return True

    def _fitted(self, people: Sequence[Person], pts: Fraction, size: tuple[int, int]) -> list[Pose3d]:
        tracks = [self._tracks[person.id] for person in people]
        for track, person in zip(tracks, people, strict=True):
            self._grow(track, person, pts)
        skeleton = skeleton_of(np.stack([track.lengths for track in tracks]))
        figures = Figures.of(JOINTS, skeleton)
        world = np.stack([self._world(track, person) for track, person in zip(tracks, people, strict=True)])
        landmarks = np.stack([_numbers(person.landmarks, (33, 3)) for person in people])
        step_s = np.array([float(pts - track.pts) for track in tracks])
        sure = np.where(np.isfinite(landmarks).all(-1), np.clip(landmarks[..., 2], 0, 1), 0.0)  # (N, 33)
        rays = self._rays(landmarks[:, JOINTS.columns, :2], size)
        surface = self._surface(people, skeleton, size) if self._refine else None
        seen = Seen(world[:, JOINTS.columns], rays, sure[:, JOINTS.columns], step_s, surface)
        state = self._begin(tracks, figures, seen, world)
        found, state = followed(figures, state, seen, self._weights, self._contacts)
        for i, track in enumerate(tracks):
            track.state, track.pts = state.one(i), pts
        sure[:, JOINTS.columns] = state.sure
        return _poses(skeleton, found.turns, found.posture.root, sure)

    def _begin(self, tracks: Sequence[_Track], figures: Figures, seen: Seen, world: Doubles) -> State:
        """The state of everybody; new people's is looked for first."""
        for i, track in enumerate(tracks):
            if track.state is None:
                one = slice(i, i + 1)
                first = Seen(seen.places[one], seen.rays[one], seen.sure[one], seen.step_s[one])
                track.state = begun(figures.some(one), first, np.nan_to_num(world[one]), self._weights)
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
        track.seen_s += step_s * float((person.landmarks[LIMBS, 2] > SURE).mean())
        if track.seen_s < SETTLING_S:
            grown = min(1.0, step_s / FOLLOWING_S) * away
        else:
            most = CREEPING_A_S * step_s * track.lengths
            grown = np.clip(away, -most, most)
        track.lengths = (track.lengths + grown).astype(np.float32)

    def _world(self, track: _Track, person: Person) -> Doubles:
        """World landmarks (33, 3) from between the hips, m, of the size of the bones that are fitted."""
        world = _numbers(person.world, (33, 4))[:, :3]
        lengths = track.lengths if person.body is None else person.body.lengths
        return (world - world[HIPS].mean(0)) * float(track.lengths[LONG].sum() / lengths[LONG].sum())

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


def _numbers(array: Floats | None, shape: tuple[int, ...]) -> Doubles:
    return np.full(shape, np.nan) if array is None else array.astype(np.float64)


def _poses(skeleton: Skeleton, turns: Doubles, root: Doubles, sure: Doubles) -> list[Pose3d]:
    turns32, root32 = turns.astype(np.float32), root.astype(np.float32)
    joints = joints_at(*posed(skeleton, turns32, root32))
    joints = np.concatenate([joints, joint_confidence(sure.astype(np.float32))[..., None]], axis=-1)
    return [Pose3d(joints[i], root32[i], turns32[i], skeleton.lengths[i]) for i in range(len(joints))]
