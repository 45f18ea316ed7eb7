"""`pose3d`: everybody's skeleton, with bones of constant length, in metres in front of the camera."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import cv2
import numpy as np

from bodystream.models.body.fit import COLD, WARM, Figures, Targets, fit, start_of
from bodystream.models.body.freedoms import Doubles, Posture
from bodystream.models.body.joint_sets import BLAZEPOSE
from bodystream.models.body.kinematics import (
    Skeleton,
    height_of,
    joint_confidence,
    joints_at,
    posed,
    skeleton_of,
)
from bodystream.models.body.skeleton import LONG
from bodystream.pipeline.lens import Lens
from bodystream.pipeline.motion import Memory
from bodystream.pipeline.types import Floats, Frame, ModelInfo, Person, Pose3d

HIPS = [23, 24]
MEMORY_S = 2.0  # somebody who is away for longer has another id when they come back
GAP_S = 0.2  # after so long nobody goes on as they went
BLIND = 0.1  # of confidence; held by the last pose, any pull however weak would in time draw a joint away
SLOWING_S = 0.1  # in which a joint that is not seen comes to rest
FRAME_S = 1 / 60  # what the weights were chosen at


@dataclass(frozen=True, slots=True)
class Weights:
    """What the energy's terms weigh against the joints in space, and over which times things are remembered."""

    picture: float = 8.0  # 44, as quoted for VNect, lets limbs flip in depth
    steady: float = 1.0  # at 60 frames a second; falls with the square of the step, as expectations get worse
    root: float = 1.0  # weak: the picture places the root well but for its depth
    memory_s: float = 0.02  # of joints from the root
    root_memory_s: float = 0.3
    returning_s: float = 0.1  # in which a joint that was hidden is trusted again


@dataclass(slots=True)
class _Track:
    """What is remembered of one person."""

    pts: Fraction
    lengths: Floats  # (7,) m
    seen_s: float  # for how long the bones have been seen
    root: Doubles  # (3,)
    balls: Doubles  # (7, 3, 3)
    angles: Doubles  # (14,)
    points: Memory  # (1, J, 3), from the root
    place: Memory  # (1, 3)
    sure: Floats  # (33,) how far each landmark is trusted
    fresh: bool = True  # nothing has been fitted yet


class FitPose3d:
    """Gives `pose3d`, to people who have been seen once with landmarks that are numbers.

    Metres in depth are in proportion to the lens' focal length and to the person's size: `height_m` if it is
    known, else as the landmarks have it. `contacts` holds feet that stand, for cameras that stand too.
    """

    name = "pose3d"
    needs = frozenset({"id", "landmarks", "world", "body"})
    gives = frozenset({"pose3d"})
    models: tuple[ModelInfo, ...] = ()

    def __init__(
        self, lens: Lens, height_m: float | None = None, contacts: bool = True, weights: Weights | None = None
    ) -> None:
        self._lens, self._height_m, self._contacts = lens, height_m, contacts
        self._weights = weights or Weights()
        self.reset()

    def reset(self) -> None:
        """Forget everybody."""
        self._tracks: dict[int, _Track] = {}

    def __call__(self, frame: Frame, people: Sequence[Person]) -> Sequence[Person]:
        """Return all people, in order."""
        self._tracks = {i: t for i, t in self._tracks.items() if 0 <= frame.pts - t.pts <= MEMORY_S}
        fitted = [person for person in people if self._known(person, frame.pts)]
        if not fitted:
            return [replace(person, pose3d=None) for person in people]
        height, width = frame.image.shape[:2]
        poses = self._fit(fitted, frame.pts, (width, height))
        found = {id(person): pose for person, pose in zip(fitted, poses, strict=True)}
        return [replace(person, pose3d=found.get(id(person))) for person in people]

    def _known(self, person: Person, pts: Fraction) -> bool:
        """Whether there is a track for a person; one is begun if there can be."""
        if person.id in self._tracks:
            return True
        if person.body is None or person.landmarks is None or person.world is None:
            return False
        nothing = np.zeros((1, len(BLAZEPOSE.names), 3))
        self._tracks[person.id] = _Track(
            pts,
            self._lengths(person.body.lengths),
            0.0,
            np.zeros(3),
            np.zeros((7, 3, 3)),
            np.zeros(14),
            Memory.at(nothing),
            Memory.at(np.zeros((1, 3))),
            person.landmarks[:, 2],
        )
        return True

    def _lengths(self, lengths: Floats) -> Floats:
        if self._height_m is None:
            return lengths
        return (lengths * (self._height_m / height_of(lengths))).astype(np.float32)

    def _fit(self, people: Sequence[Person], pts: Fraction, size: tuple[int, int]) -> list[Pose3d]:
        tracks = [self._tracks[person.id] for person in people]
        steps_s = np.array([float(pts - track.pts) for track in tracks])
        landmarks = np.stack([_numbers(person.landmarks, (33, 3)) for person in people])
        world = np.stack([_numbers(person.world, (33, 4)) for person in people])
        for person, track, step_s in zip(people, tracks, steps_s, strict=True):
            self._grow(track, person, float(step_s))
        skeleton = skeleton_of(np.stack([track.lengths for track in tracks]))
        figures = Figures.of(BLAZEPOSE, skeleton)
        sure = self._trusted(tracks, landmarks, steps_s)
        scales = [self._scale(track, person) for track, person in zip(tracks, people, strict=True)]
        places = (world[..., :3] - world[:, HIPS, :3].mean(1, keepdims=True)) * np.array(scales)[
            :, None, None
        ]
        targets = self._targets(tracks, landmarks, places, sure, steps_s, size)
        fresh = np.array([track.fresh for track in tracks])
        start = Posture(
            *(np.stack([getattr(t, name) for t in tracks]) for name in ("root", "balls", "angles"))
        )
        if fresh.any():
            start = self._begun(figures, np.nan_to_num(places), targets, fresh, start)
        result = fit(figures, targets, start, WARM)
        self._remember(tracks, result.posture, result.points, sure, steps_s, pts)
        return _poses(skeleton, result.turns, result.posture.root, sure)

    def _begun(
        self, figures: Figures, places: Doubles, targets: Targets, fresh: np.ndarray, start: Posture
    ) -> Posture:
        """The postures to search from, of which those of new people are searched for at length."""
        new = Figures(figures.joints, figures.bones[fresh], figures.arms[fresh])
        theirs = targets.of(fresh)
        found = fit(new, theirs, start_of(new, places[fresh], theirs), COLD).posture
        start.root[fresh], start.balls[fresh], start.angles[fresh] = found.root, found.balls, found.angles
        return start

    def _grow(self, track: _Track, person: Person, step_s: float) -> None:
        """Let a person's bones follow what is known of them: soon at first, then hardly."""
        if person.body is None or track.fresh:
            return
        wanted = self._lengths(person.body.lengths)
        track.seen_s += step_s
        if track.seen_s < SETTLING_S:
            share = min(1.0, step_s / FOLLOWING_S)
            track.lengths = (track.lengths + share * (wanted - track.lengths)).astype(np.float32)
        else:
            most = CREEPING_A_S * step_s * track.lengths
            track.lengths = (track.lengths + np.clip(wanted - track.lengths, -most, most)).astype(np.float32)

    def _scale(self, track: _Track, person: Person) -> float:
        """What the world landmarks are to be multiplied by: the bones that are fitted to those that they have."""
        if person.body is None:
            return 1.0
        return float(track.lengths[LONG].sum() / person.body.lengths[LONG].sum())

    def _trusted(self, tracks: Sequence[_Track], landmarks: Doubles, steps_s: Doubles) -> Doubles:
        """How far each landmark is trusted, (N, 33): less at once, more by and by."""
        seen = np.where(np.isfinite(landmarks).all(-1), np.clip(landmarks[..., 2], 0, 1), 0.0)
        before = np.stack([track.sure for track in tracks]).astype(np.float64)
        fresh = np.array([track.fresh for track in tracks])[:, None]
        share = 1 - np.exp(-steps_s / self._weights.returning_s)[:, None]
        return np.where(fresh, seen, np.minimum(seen, before + share * np.maximum(seen - before, 0)))

    def _targets(
        self,
        tracks: Sequence[_Track],
        landmarks: Doubles,
        places: Doubles,
        sure: Doubles,
        steps_s: Doubles,
        size: tuple[int, int],
    ) -> Targets:
        weights, columns = self._weights, BLAZEPOSE.columns
        landmarks, places = landmarks[:, columns], places[:, columns]
        trust = trusted(sure[:, columns]) * BLAZEPOSE.weights
        rays = self._rays(landmarks[..., :2], size)
        fresh = np.array([track.fresh for track in tracks])
        points = _joined([track.points for track in tracks], steps_s)
        root = _joined([track.place for track in tracks], steps_s)
        expected, home = points.ahead(steps_s), root.ahead(steps_s)
        # An expectation gets worse with the square of the time that it looks ahead.
        ahead = np.where(fresh, 0, (FRAME_S / np.maximum(steps_s, 1e-3)) ** 2)
        steady = weights.steady * ahead[:, None]
        seen = np.where(np.isfinite(places).all(-1), trust, 0.0)
        total = seen + steady
        mixed = (seen[..., None] * np.nan_to_num(places) + steady[..., None] * expected) / np.maximum(
            total, 1e-9
        )[..., None]
        ray_trust = np.where(np.isfinite(rays).all(-1), trust, 0.0)
        depth = np.where(fresh, 1.0, home[:, 2])
        nothing = np.zeros_like(mixed)
        return Targets(
            places=mixed,
            place_weights=total,
            rays=np.nan_to_num(rays),
            ray_weights=weights.picture * ray_trust * (depth * depth)[:, None],
            root=home,
            root_weights=weights.root * ahead,
            anchors=nothing,
            anchor_weights=nothing,
        )

    def _rays(self, pixels: Doubles, size: tuple[int, int]) -> Doubles:
        """Where pixels (N, J, 2) look, distortion undone: x / z, y / z; NaN where a pixel is none."""
        camera = self._lens.of(size)
        known = np.isfinite(pixels).all(-1)
        rays = np.full(pixels.shape, np.nan)
        if known.any():
            rays[known] = cv2.undistortPoints(pixels[known][:, None], camera.K, camera.distortion)[:, 0]
        return rays

    def _remember(
        self,
        tracks: Sequence[_Track],
        posture: Posture,
        points: Doubles,
        sure: Doubles,
        steps_s: Doubles,
        pts: Fraction,
    ) -> None:
        away = points - posture.root[:, None]
        seen = trusted(sure[:, BLAZEPOSE.columns])[..., None]
        relative = _joined([track.points for track in tracks], steps_s).after(
            away, steps_s, self._weights.memory_s
        )
        place = _joined([track.place for track in tracks], steps_s).after(
            posture.root, steps_s, self._weights.root_memory_s
        )
        for i, track in enumerate(tracks):
            one = slice(i, i + 1)
            if track.fresh:
                track.points, track.place = Memory.at(away[one]), Memory.at(posture.root[one])
            else:
                rest = np.exp(-(1 - seen[one]) * steps_s[i] / SLOWING_S)
                track.points = Memory(relative.place[one], relative.velocity[one] * rest)
                track.place = Memory(place.place[one], place.velocity[one])
            track.root, track.balls, track.angles = posture.root[i], posture.balls[i], posture.angles[i]
            track.sure, track.pts, track.fresh = sure[i], pts, False


# Bones follow what is known of the person within FOLLOWING_S while they settle, and then by a thousandth a second.
SETTLING_S, FOLLOWING_S, CREEPING_A_S = 1.0, 0.25, 0.001


def trusted(confidence: Doubles) -> Doubles:
    """What landmarks of a confidence 0..1 count: nothing below BLIND, where the net has not seen them."""
    seen = np.clip((confidence - BLIND) / (1 - BLIND), 0, 1)
    return seen * seen


def _numbers(array: Floats | None, shape: tuple[int, ...]) -> Doubles:
    return np.full(shape, np.nan) if array is None else array.astype(np.float64)


def _joined(memories: Sequence[Memory], steps_s: Doubles) -> Memory:
    """Memories of one person each, together; after a gap nobody has a velocity."""
    going = (steps_s <= GAP_S).astype(np.float64)
    place = np.concatenate([memory.place for memory in memories])
    velocity = np.concatenate([memory.velocity for memory in memories])
    return Memory(place, velocity * going.reshape(-1, *(1,) * (place.ndim - 1)))


def _poses(skeleton: Skeleton, turns: Doubles, root: Doubles, sure: Doubles) -> list[Pose3d]:
    turns32, root32 = turns.astype(np.float32), root.astype(np.float32)
    joints = joints_at(*posed(skeleton, turns32, root32))
    joints = np.concatenate([joints, joint_confidence(sure.astype(np.float32))[..., None]], axis=-1)
    return [Pose3d(joints[i], root32[i], turns32[i], skeleton.lengths[i]) for i in range(len(joints))]
