"""People's joints before cameras, many at a time: what lift-s learns from, without the landmark net's errors."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.data import load
from bodystream.models.body.skeleton import CHEST, HEAD, LIMB_SEGMENTS, PARENTS, PELVIS, SEGMENTS
from bodystream.models.body.skin import landmarks_on
from bodystream.models.lift_layout import HIPS, KNEES, LANDMARKS
from bodystream.training.motion import rotations
from bodystream.training.people import SPREAD
from bodystream.training.poses import about_y

Floats = NDArray[np.float32]

# Of the segments that the joints are fixed to; a knee turns with neither thigh nor shank.
_SIDES = ("upper_arm", "forearm_twist", "thigh", "shank")
OWNERS = (
    CHEST,
    CHEST,
    *(SEGMENTS.index(f"{side}_{name}") for name in _SIDES[:2] for side in ("left", "right")),
    PELVIS,
    PELVIS,
    *(SEGMENTS.index(f"{side}_{name}") for name in _SIDES[2:] for side in ("left", "right")),
    HEAD,
    *(SEGMENTS.index(f"{side}_foot") for side in ("left", "right")),
)
# Deviations of the logarithms of bones, beyond those of the body's own shapes: of each segment's, and of widths.
BONE, WIDTH = 0.04, 0.06
TALL = 0.1  # and of the whole person
LEVEL, TILTED = (8.0, 10.0), (-15.0, 50.0)  # degrees that a camera looks down: mean and deviation, or range
ROLL, ROLLED = 5.0, 35.0  # degrees: deviation of most cameras' roll, range of the others'
DISTANCE_M = (2.0, 8.0)
FOCAL = (0.8, 1.6)  # of the long side
ASPECTS = (9 / 16, 3 / 4, 1.0)  # of short to long side
STANDARD_FOCAL = 0.866  # of the long side, 60°: what is taken where nothing is known
NEAREST = 0.15  # units before the camera: what comes nearer is taken to be there
FOCAL_ERROR = 0.04  # where it is known


@dataclass(frozen=True, slots=True)
class Scene:
    """N people, each before their own camera; of units of their own torso, thigh and shank.

    `joints` (N, 15, 3) from between the hips, in camera axes; `depth` (N,) of the hips; `rays` (N, 15, 2),
    x / z and y / z of the joints; `misjudged` (N,), times which the camera's user takes them, who may be wrong
    about the focal length; `inside` (N, 15), whether the picture shows the joint; `size_m` (N,), m of a unit.
    """

    joints: Floats
    depth: Floats
    rays: Floats
    misjudged: Floats
    inside: NDArray[np.bool_]
    size_m: Floats


def scene(turns: Floats, rng: np.random.Generator) -> Scene:
    """Give bodies and cameras to poses (N, 17, 3, 3)."""
    joints, size_m = bodies(turns, rng)
    count = len(turns)
    joints = joints @ cameras(count, rng).swapaxes(1, 2)
    half, focal = pictures(count, rng)
    place = _places(half, focal, size_m, rng)
    there = joints + place[:, None]
    depth = np.maximum(there[..., 2:], NEAREST)
    rays = there[..., :2] / depth
    inside = (np.abs(rays) * focal[:, None, None] < half[:, None]).all(-1)
    inside &= there[..., 2] > NEAREST
    error = np.exp(rng.normal(0, FOCAL_ERROR, count))
    unknown = rng.random(count) < 0.5
    error[unknown] = focal[unknown] / (2 * STANDARD_FOCAL)
    return Scene(joints, place[:, 2], rays.astype(np.float32), error.astype(np.float32), inside, size_m)


def bodies(turns: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Joints (N, 15, 3) of posed people of different shapes, of their sizes, and these in m: (N,)."""
    basis = _basis()
    count = len(turns)
    weights = (SPREAD * rng.normal(size=(count, len(basis.shapes)))).astype(np.float32)
    offsets = basis.mean + np.tensordot(weights, basis.shapes, 1)  # (N, 32, 3)
    offsets *= _stretch(count, rng)[..., None]
    wide = np.exp(rng.normal(0, WIDTH, (count, 2)))
    for which, k in ((_SHOULDER_OFFSETS, 0), (_HIP_OFFSETS, 1)):
        offsets[:, which, 0] *= wide[:, k, None].astype(np.float32)
    size = _sizes(offsets)
    starts, joints = [], []
    for segment, parent in enumerate(PARENTS):
        if parent < 0:
            starts.append(np.zeros((count, 3), np.float32))
        else:
            starts.append(starts[parent] + _turned(turns[:, parent], offsets[:, segment]))
    for joint, owner in enumerate(OWNERS):
        joints.append(starts[owner] + _turned(turns[:, owner], offsets[:, 17 + joint]))
    found = np.stack(joints, axis=1)  # (N, 15, 3)
    found -= found[:, HIPS].mean(1, keepdims=True)
    found /= size[:, None, None]
    return found.astype(np.float32), (size * np.exp(rng.normal(0, TALL, count))).astype(np.float32)


def _turned(turns: Floats, vectors: Floats) -> Floats:
    return (turns @ vectors[..., None])[..., 0]


@dataclass(frozen=True)
class _Basis:
    """Offsets of 17 segments from their parents and of 15 joints from their segments' starts: mean (32, 3), and
    what a unit of each shape adds (K, 32, 3), m.
    """

    mean: Floats
    shapes: Floats


@cache
def _basis() -> _Basis:
    model = load()
    near = model.shapes.astype(np.float32)[:, model.landmark_vertices]  # (K, 33, M, 3)
    marks = (near * model.landmark_weights[..., None]).sum(2)  # (K, 33, 3)
    mean = _offsets(model.joints[None, :, 0], landmarks_on(model.vertices)[None])[0]
    return _Basis(mean, _offsets(model.joint_shapes[:, :, 0], marks))


def _offsets(starts: Floats, marks: Floats) -> Floats:
    """(K, 17, 3) and (K, 33, 3) to (K, 32, 3)."""
    parents = np.array(PARENTS)
    own = starts - np.where(parents[:, None] >= 0, starts[:, parents], 0)
    return np.concatenate([own, marks[:, list(LANDMARKS)] - starts[:, list(OWNERS)]], axis=1)


_ARMS = [SEGMENTS.index(f"{side}_upper_arm") for side in ("left", "right")]
_LEGS = [SEGMENTS.index(f"{side}_thigh") for side in ("left", "right")]
_SHOULDER_OFFSETS = [*_ARMS, 17, 18]
_HIP_OFFSETS = [*_LEGS, 17 + HIPS.start, 17 + HIPS.start + 1]


def _stretch(count: int, rng: np.random.Generator) -> Floats:
    """Factors of the offsets (N, 32): each kind of segment its own, left and right alike."""
    kinds = ("pelvis", "chest", "head", *LIMB_SEGMENTS)
    factor = dict(zip(kinds, np.exp(rng.normal(0, BONE, (len(kinds), count))), strict=True))
    factor["forearm_twist"] = factor["forearm"]
    factor["pelvis"] = factor["chest"]  # the trunk is one
    own = [next(k for k in kinds if name == k or name.endswith(f"_{k}")) for name in SEGMENTS]
    by = [own[parent] if parent >= 0 else own[i] for i, parent in enumerate(PARENTS)]
    by += [own[owner] for owner in OWNERS]
    return np.stack([factor[name] for name in by], axis=1).astype(np.float32)


def _sizes(offsets: Floats) -> Floats:
    """Torso, thigh and shank at rest: (N,)."""
    chest = offsets[:, CHEST]
    torso = np.linalg.norm(chest + offsets[:, [17, 18]].mean(1), axis=-1)
    thigh = np.linalg.norm(offsets[:, 17 + KNEES.start], axis=-1)
    shank = np.linalg.norm(offsets[:, 17 + KNEES.start + 2], axis=-1)
    return np.asarray(torso + thigh + shank, np.float32)


def cameras(count: int, rng: np.random.Generator) -> Floats:
    """Turns (N, 3, 3) from upright axes to the camera's: any heading, pitched and rolled."""
    pitch = np.where(rng.random(count) < 0.5, rng.normal(*LEVEL, count), rng.uniform(*TILTED, count))
    roll = np.where(rng.random(count) < 0.6, rng.normal(0, ROLL, count), rng.uniform(-ROLLED, ROLLED, count))
    heading = about_y(rng.uniform(-np.pi, np.pi, count))
    return np.asarray(_about(2, np.radians(roll)) @ _about(0, np.radians(pitch)) @ heading, np.float32)


def _about(axis: int, angles: NDArray[np.floating]) -> Floats:
    """Rotations (N, 3, 3) about an axis."""
    return rotations(angles[:, None] * np.eye(3)[axis])


def pictures(count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Half sides (N, 2) of pictures, x and y, of half the long one; focal lengths (N,) in the same unit."""
    half = np.ones((count, 2), np.float32)
    half[np.arange(count), rng.integers(2, size=count)] = rng.choice(ASPECTS, count)
    return half, (2 * rng.uniform(*FOCAL, count)).astype(np.float32)


def _places(half: Floats, focal: Floats, size_m: Floats, rng: np.random.Generator) -> Floats:
    """Where the hips are, in units of the people's sizes: (N, 3). Anywhere in the picture, rather in its middle."""
    count = len(half)
    nearest, furthest = np.log(DISTANCE_M)
    away = np.exp(rng.uniform(nearest, furthest, count))
    spread = np.clip(rng.normal(0, 0.4, (count, 2)), -0.85, 0.85)
    place = np.ones((count, 3), np.float32)
    place[:, :2] = spread * half / focal[:, None]
    return np.asarray(place * (away / size_m)[:, None], np.float32)
