"""The landmark net's errors, as lift-s meets them: set by hand, and fitted to what it says of people that are drawn.

Sizes set by hand are those of a trial on photographs and one calibrated clip: px of the landmark net's crop of
256, m of an adult.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bodystream.models.lift_input import looking, turned, uprighting
from bodystream.models.lift_layout import (
    ANKLES,
    ELBOWS,
    HIPS,
    KNEES,
    NOSE,
    SHOULDERS,
    SIZE_M,
    TOES,
    WRISTS,
)
from bodystream.training.lift.people import Scene
from bodystream.training.motion import rotations

Floats = NDArray[np.float32]

CROP_M = 2.25  # side of the crop for an adult
PX = CROP_M / 256 / SIZE_M  # one px of it, in units of torso, thigh and shank
# px, one deviation, of shoulders, elbows, wrists, hips, knees, ankles, nose, toes
OWN = np.array([2.1, 2.1, 2.6, 2.6, *[2.8] * 8, 1.8, 3.6, 3.6], np.float32)
CHAIN = 1.6  # px, shared by a limb
ALONG = {"hips": 0.035, "shoulders": 0.03}  # of the torso's length, along it
OVERALL = 0.45  # deviation of the logarithm of all of it
CLEAN, CLEAN_TIMES = 0.1, 0.15  # of people, nearly without errors
BAD, BAD_TIMES = 0.05, 3.0  # of joints, somewhere else, and with little confidence
HIDDEN, HIDDEN_TIMES = 0.08, 1.5
OUTSIDE_TIMES = 3.0

TRUNK, LIMB = (0.82, 1.1), (0.88, 1.1)  # how bones come out, times
UNEVEN = 0.03  # deviation of what is left of differences between left and right
FLAT = (0.6, 1.1)  # how depths come out, times
MIRRORED = 0.05  # of limbs, bent away where they are bent towards
TILT = (8.0, 5.0, 3.0)  # degrees, about the view's x, y and z
SIZE = 0.06  # deviation of the logarithm of the whole
# m, one deviation: of depth and across it, of shoulders, elbows, wrists, hips, knees, ankles, nose, toes
DEEP = np.array([0.025, 0.025, 0.05, 0.05, 0.09, 0.09, 0.01, 0.01, 0.05, 0.05, 0.09, 0.09, 0.05, 0.11, 0.11])
ACROSS = np.array(
    [0.02, 0.02, 0.025, 0.025, 0.03, 0.03, 0.01, 0.01, 0.02, 0.02, 0.03, 0.03, 0.02, 0.035, 0.035]
)
JITTER = 0.009  # m, of every coordinate for itself
DEEP_OVERALL = 0.3

# Limbs from the trunk outwards.
_ARM, _LEG = (SHOULDERS, ELBOWS, WRISTS), (HIPS, KNEES, ANKLES, TOES)


@dataclass(frozen=True, slots=True)
class Landmarks:
    """What the landmark net says of a scene: `rays` (N, 15, 2), `sure` (N, 15), and `world`
    (N, 15, 3), m, hip-centred, in the picture's axes.
    """

    rays: Floats
    sure: Floats
    world: Floats


class HandSet:
    """Errors by the numbers above."""

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Landmarks:
        """Disturb a scene."""
        upright, view = views(scene)
        clean = np.where(rng.random(len(view)) < CLEAN, CLEAN_TIMES, 1.0)
        error, sure = _flat_errors(scene, view, rng)
        world = SIZE_M * _world(view, clean, rng)
        return landmarks(scene, upright, clean[:, None, None] * error, sure, world)


def views(scene: Scene) -> tuple[Floats, Floats]:
    """The turn that brings each picture upright (N, 2, 2), and the joints as the crop sees them (N, 15, 3)."""
    view = scene.joints @ looking(scene.rays).swapaxes(1, 2)
    upright = uprighting(view[..., :2])
    return upright, turned(view, upright)


def landmarks(scene: Scene, upright: Floats, error: Floats, sure: Floats, world: Floats) -> Landmarks:
    """Put errors (N, 15, 2), units at the hips, and joints (N, 15, 3), m, of upright views into pictures."""
    rays = scene.rays + (error @ upright) / scene.depth[:, None, None]
    rays = rays * scene.misjudged[:, None, None]
    world = turned(world, upright.swapaxes(1, 2))
    return Landmarks(rays.astype(np.float32), sure.astype(np.float32), world.astype(np.float32))


def _flat_errors(scene: Scene, view: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Errors (N, 15, 2), units, and confidences (N, 15)."""
    count = len(view)
    bad, hidden = rng.random((count, 15)) < BAD, rng.random((count, 15)) < HIDDEN
    times = OWN * np.where(bad, BAD_TIMES, np.where(hidden, HIDDEN_TIMES, 1))
    error = times[..., None] * rng.normal(size=(count, 15, 2))
    for chain in (_ARM, _LEG):
        shared = CHAIN * rng.normal(size=(count, 2, 2))
        for pair in chain[1:]:
            error[:, pair] += shared
    error *= np.where(scene.inside, 1, OUTSIDE_TIMES)[..., None]
    error *= np.exp(rng.normal(0, OVERALL, (count, 1, 1)))
    error *= PX
    up = view[:, SHOULDERS, :2].mean(1) - view[:, HIPS, :2].mean(1)  # (N, 2)
    for pair, share in ((HIPS, ALONG["hips"]), (SHOULDERS, ALONG["shoulders"])):
        error[:, pair] += (share * rng.normal(size=(count, 1)) * up)[:, None]
    doubtful = bad | hidden
    least = np.where(scene.inside, np.where(doubtful, 0.2, 0.9), 0.0)
    most = np.where(scene.inside, np.where(doubtful, 0.95, 1.0), 0.5)
    sure = least + (most - least) * rng.random((count, 15))
    return error.astype(np.float32), sure.astype(np.float32)


def _world(view: Floats, clean: NDArray[np.float64], rng: np.random.Generator) -> Floats:
    """Joints (N, 15, 3) as the landmark net gives them, units."""
    count = len(view)

    def factor(low: float, high: float) -> NDArray[np.float64]:
        return rng.uniform(low, high, (count, 1, 1)) ** clean[:, None, None]

    trunk = factor(*TRUNK)
    out = np.empty_like(view)
    out[:, HIPS] = factor(*TRUNK) * view[:, HIPS]
    middle = view[:, SHOULDERS].mean(1, keepdims=True)
    out[:, SHOULDERS] = trunk * middle + factor(*TRUNK) * (view[:, SHOULDERS] - middle)
    out[:, NOSE] = (trunk * middle + factor(*LIMB) * (view[:, NOSE, None] - middle))[:, 0]
    for parent, pair in (*pairwise(_ARM), *pairwise(_LEG)):
        length = factor(*LIMB) * np.exp(rng.normal(0, UNEVEN, (count, 2, 1)))
        out[:, pair] = out[:, parent] + length * (view[:, pair] - view[:, parent])
    for chain in (_ARM, _LEG):
        away = rng.random((count, 2)) < MIRRORED * clean[:, None]
        root = out[:, chain[0], 2]
        for pair in chain[1:]:
            out[:, pair, 2] = np.where(away, 2 * root - out[:, pair, 2], out[:, pair, 2])
    out[..., 2:] *= factor(*FLAT)
    tilt = np.radians(rng.normal(0, TILT, (count, 3))) * clean[:, None]
    out = out @ rotations(tilt).swapaxes(1, 2)
    spread = np.stack([ACROSS, ACROSS, DEEP], axis=-1) / SIZE_M
    spread = spread * np.exp(rng.normal(0, DEEP_OVERALL, (count, 1, 1))) * clean[:, None, None]
    error = spread * rng.normal(size=(count, 15, 3))
    # What a limb's inner joint is off by, its outer one is off by too.
    for pair, parent in ((WRISTS, ELBOWS), (ANKLES, KNEES), (TOES, ANKLES)):
        error[:, pair, 2] = 0.6 * error[:, parent, 2] + 0.8 * error[:, pair, 2]
    error += JITTER / SIZE_M * rng.normal(size=error.shape)
    size = np.exp(rng.normal(0, SIZE, (count, 1, 1)))
    return np.asarray((out + error) * size, np.float32)


FILE = "noise.npz"
TOLD = 45 + 30  # numbers a person: world joints and errors in the picture
CONFIDENCE = 15


@dataclass(frozen=True, slots=True)
class Errors:
    """What `lift.measure fit` found, for each of K nets; upright views, units of SIZE_M, px of the crop.

    world, errors = `linear` (K, 75, 46) · (joints, 1) + size · deviation. The deviations and the logits of the
    confidences, less their means `sure` (K, 15), are normal, (90,), of a covariance that is `factor` (K, 90, R) ·
    transposed plus the squares of `own` (K, 90). The size is lognormal for a person, of `size` (K, 2): mean and
    deviation of its logarithm; and times exp(-`doubt` (K, 2) · logit) for a joint, in the world and in the picture.
    """

    linear: Floats
    sure: Floats
    factor: Floats
    own: Floats
    size: Floats
    doubt: Floats


@cache
def fitted_errors() -> Errors:
    """Read the file beside this module."""
    with resources.files(__package__).joinpath(FILE).open("rb") as file, np.load(file) as stored:
        return Errors(**{field.name: stored[field.name] for field in fields(Errors)})


class Fitted:
    """Errors as measured on people that are drawn; which net's is chosen anew for each person."""

    def __init__(self, errors: Errors | None = None) -> None:
        self._errors = errors

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Landmarks:
        """Disturb a scene."""
        errors = self._errors or fitted_errors()
        upright, view = views(scene)
        count = len(view)
        joints = np.concatenate([view.reshape(count, -1), np.ones((count, 1), np.float32)], axis=1)
        told, logit = np.empty((count, TOLD), np.float32), np.empty((count, CONFIDENCE), np.float32)
        net = rng.integers(len(errors.linear), size=count)
        for k in range(len(errors.linear)):
            these = np.flatnonzero(net == k)
            off = _normal(errors.factor[k], errors.own[k], len(these), rng)  # (N, 90)
            logit[these] = off[:, TOLD:] + errors.sure[k]
            mean, deviation = errors.size[k].tolist()
            size = np.exp(rng.normal(mean, deviation, (len(these), 1)))
            told[these] = joints[these] @ errors.linear[k].T
            told[these] += size * off[:, :TOLD] * by_doubt(off[:, TOLD:], errors.doubt[k])
        world = SIZE_M * told[:, :45].reshape(view.shape)
        error = np.float32(PX) * told[:, 45:].reshape(count, -1, 2)
        sure = np.asarray(1 / (1 + np.exp(-logit)), np.float32)
        return landmarks(scene, upright, error, sure, world - world[:, HIPS].mean(1, keepdims=True))


def by_doubt(logit: Floats, doubt: Floats) -> Floats:
    """How much larger deviations are where a joint's logit, less its mean, is low: (..., 15) to (..., 75)."""
    times = np.exp(-np.clip(logit, -4, 4)[..., None] * doubt)  # (..., 15, 2)
    return np.concatenate([np.repeat(times[..., 0], 3, axis=-1), np.repeat(times[..., 1], 2, axis=-1)], -1)


def _normal(factor: Floats, own: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Deviations (N, 90) of a covariance."""
    rank = factor.shape[1]
    draws = rng.standard_normal((count, rank + len(own)), np.float32)
    return draws[:, :rank] @ factor.T + own * draws[:, rank:]


class Mixed:
    """Each person by one of several noises, in equal shares."""

    def __init__(self, noises: Sequence[HandSet | Fitted]) -> None:
        self._noises = noises

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Landmarks:
        """Disturb a scene."""
        which = np.sort(rng.integers(len(self._noises), size=len(scene.joints)))
        parts = [noise(_those(scene, which == k), rng) for k, noise in enumerate(self._noises)]
        return Landmarks(
            *(np.concatenate([getattr(each, f.name) for each in parts]) for f in fields(Landmarks))
        )


def _those(scene: Scene, chosen: NDArray[np.bool_]) -> Scene:
    return Scene(*(getattr(scene, field.name)[chosen] for field in fields(Scene)))
