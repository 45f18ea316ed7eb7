"""3D pose of each camera by itself, scored by what all cameras together say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bodystream.evaluation.all_views import Reference, in_view
from bodystream.evaluation.joints import JOINTS, SCORED, joints_of
from bodystream.evaluation.pose3d import (
    Motion,
    Scores,
    bootstrap,
    frame_errors,
    later,
    mean_of,
    rooted,
    score,
)
from bodystream.pipeline.calibration import Camera, Doubles
from bodystream.pipeline.flips import LIMBS
from bodystream.pipeline.matching import match
from bodystream.pipeline.types import Person, Result

# Chains begin with nothing learnt, and the reference's filter knows one side only at its ends.
WARM_UP_S, END_S = 10 / 60, 4 / 60
# Who is further than this from where the reference projects, in parts of its height in the picture, is another.
NEAR = 0.3


@dataclass(frozen=True, slots=True)
class Seen:
    """What one camera's chain gave in one frame, without its maps."""

    pts: Fraction
    people: tuple[Person, ...]


@dataclass(frozen=True, slots=True)
class Followed:
    """One reference person as one camera's chain saw them: joints in the camera's axes and ids, 0 where not found."""

    motion: Motion
    ids: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Identity:
    """How well ids were kept for one person in one camera."""

    found: int  # frames in which the person was found
    frames: int  # in which the reference knows the person
    changes: int  # how often the id became another one
    swaps: int  # how often it became one that another person had had


@dataclass(frozen=True, slots=True)
class View:
    """A camera's scores for one person, and the frames' own errors."""

    scores: Scores
    identity: Identity
    errors: Doubles  # (F, 2) mm: PA-MPJPE and MPJPE, NaN where not known
    motion: Motion  # of all frames, in the camera's axes


def kept(result: Result) -> Seen:
    """The result without masks and dense maps, of which a clip's would not fit into memory."""
    people = (replace(person, mask=None, dense=None, body=None) for person in result.people)
    return Seen(result.pts, tuple(people))


def scored(
    reference: Reference, moments: Sequence[Sequence[Seen]], times: Doubles, rate: float
) -> list[list[View]]:
    """A view for each camera and person; `moments` gives one Seen a camera for every one of `times`, s."""
    inside = (times >= times[0] + WARM_UP_S) & (times <= times[-1] - END_S)
    return [
        _camera(reference, camera, [moment[i] for moment in moments], times, inside, rate)
        for i, camera in enumerate(reference.cameras)
    ]


def _camera(
    reference: Reference,
    camera: Camera,
    seen: Sequence[Seen],
    times: Doubles,
    inside: NDArray[np.bool_],
    rate: float,
) -> list[View]:
    followed = follow(reference, camera, seen, times)
    views = []
    for person, (mine, truth) in enumerate(zip(followed, reference.people, strict=True)):
        theirs = in_view(truth, camera)
        cut = Motion(times[inside], mine.motion.points[inside])
        others = [other.ids for i, other in enumerate(followed) if i != person]
        views.append(
            View(
                score(cut, theirs, rate),
                _identity(mine.ids, theirs, others),
                frame_errors(cut, theirs),
                mine.motion,
            )
        )
    return views


def follow(
    reference: Reference, camera: Camera, seen: Sequence[Seen], times: Doubles
) -> tuple[Followed, ...]:
    """Give each person whom a camera found to the reference's person who is nearest in the picture."""
    count, own = len(reference.people), replace(camera, R=np.eye(3), t=np.zeros(3))
    points = np.full((count, len(times), len(JOINTS), 3), np.nan)
    ids = np.zeros((count, len(times)), np.int64)
    for frame, moment in enumerate(seen):
        truths = [camera.project(person.points[frame, : len(SCORED)]) for person in reference.people]
        for which, at in match(_likeness(truths, moment.people), 1 - NEAR):
            points[which, frame] = joints_of(moment.people[at], own)
            ids[which, frame] = moment.people[at].id
    return tuple(Followed(Motion(times, *each[:1]), each[1]) for each in zip(points, ids, strict=True))


def _likeness(truths: Sequence[Doubles], people: Sequence[Person]) -> NDArray[np.float32]:
    """One minus the median distance, in heights of the reference: (persons, people); 0 where not known.

    Of the middles between left and right limbs: somebody seen front to back is nobody else.
    """
    out = np.zeros((len(truths), len(people)), np.float32)
    for row, truth in enumerate(truths):
        height = max(float(np.ptp(truth[:, 1])), 1.0)
        for column, person in enumerate(people):
            if person.landmarks is not None:
                apart = _middles(person.landmarks[LIMBS, :2]) - _middles(truth)
                out[row, column] = 1 - np.median(np.linalg.norm(apart, axis=1)) / height
    return np.nan_to_num(out)


def _middles(limbs: NDArray[np.floating]) -> NDArray[np.floating]:
    """Between left and right of limbs (12, 2), which take turns: (6, 2)."""
    return limbs.reshape(-1, 2, 2).mean(1)


def _identity(ids: NDArray[np.int64], truth: Motion, others: Sequence[NDArray[np.int64]]) -> Identity:
    known = np.isfinite(truth.points[:, : len(SCORED)]).all((1, 2))
    found = np.flatnonzero(ids)
    changes = [frame for before, frame in pairwise(found) if ids[frame] != ids[before]]
    swaps = sum(any((other[:frame] == ids[frame]).any() for other in others) for frame in changes)
    return Identity(len(found), int(known.sum()), len(changes), swaps)


def mean_view(views: Sequence[Sequence[View]]) -> Scores:
    """The mean over cameras and persons."""
    return mean_of([view.scores for camera in views for view in camera])


def behind(one: Sequence[Sequence[View]], other: Sequence[Sequence[View]]) -> list[list[float]]:
    """How much later `one` moves than `other`, ms, by camera and person.

    Both see the same pictures, so that what depth errs by, in the rhythm of a walk, is hardly in it. It is `one`
    that is shifted, the smoother of the two: between frames, straight lines would smooth what shakes, and half a
    frame would always seem the best.
    """
    return [
        [
            -1000 * later(_from_hips(b.motion), _from_hips(a.motion), steady_off=True)
            for a, b in zip(x, y, strict=True)
        ]
        for x, y in zip(one, other, strict=True)
    ]


def _from_hips(motion: Motion) -> Motion:
    return replace(motion, points=rooted(motion.points)[:, : len(SCORED)])


def difference(
    one: Sequence[Sequence[View]], other: Sequence[Sequence[View]], rate: float
) -> Mapping[str, tuple[float, float, float]]:
    """How much more `one` errs than `other`, mm, with its 95 % range: PA-MPJPE and MPJPE."""
    pairs = [(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x, y, strict=True)]
    return {
        name: bootstrap([a.errors[:, i] - b.errors[:, i] for a, b in pairs], rate)
        for i, name in enumerate(("pa_mm", "mpjpe_mm"))
    }
