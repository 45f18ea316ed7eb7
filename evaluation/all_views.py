"""A reference for 3D pose out of calibrated cameras that all look at the same people: made, and its error told.

Landmarks of every view, robust triangulation, cameras turned until rays meet, a filter without lag.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bodystream.errors import SourceUnreadable
from bodystream.evaluation.joints import LANDMARKS
from bodystream.evaluation.multiview import pick
from bodystream.evaluation.pose3d import Motion, at, later, procrustes, rooted
from bodystream.evaluation.refine import refined, turned_by
from bodystream.evaluation.triangulate import reprojection, smoothed, triangulated
from bodystream.models.body.skeleton import bone_lengths
from bodystream.pipeline.calibration import Camera, Doubles
from bodystream.pipeline.flips import LIMBS
from bodystream.pipeline.types import Floats, Person

# What a walking person's joints do is below: Winter, Biomechanics and Motor Control of Human Movement, 2009.
CUTOFF_HZ = 6.0
# A view that a person's joints miss by more, in parts of the person's height in the picture, is of somebody else.
OTHER = 0.15
LANDMARK_COUNT = 33


@dataclass(frozen=True, slots=True)
class Trust:
    """How far a reference is to be trusted; lists are by camera."""

    turned_deg: list[float]
    reprojection_px: list[float]  # mean distance of what each camera sees from where the reference projects
    left_out_mm: list[float]  # how far the reference's joints move, mean, when it is made without the camera
    left_out_rooted_mm: list[float]  # the same, mid hips on mid hips
    left_out_pa_mm: list[float]  # the same, after the best rotation and scale


@dataclass(frozen=True, slots=True)
class Reference:
    """What all cameras together say: `people`, by person, in the axes of the turned `cameras`' world.

    `landmarks` (P, F, 33, 3) m, NaN where not known; `bones` (P, 7) m, of skeleton.BONES, medians over time.
    """

    cameras: tuple[Camera, ...]
    people: tuple[Motion, ...]
    landmarks: Doubles
    bones: Floats
    trust: Trust


def together(cameras: Sequence[Camera], moments: Sequence[Sequence[Sequence[Person]]], people: int) -> Floats:
    """Who is seen by all cameras: landmarks (people, F, cameras, 33, 3), px and confidence; NaN where not found.

    `moments` gives, for every frame and camera, the people found. In each frame those are taken for one whose
    rays meet best, then for the next; from frame to frame the nearest in space are one person.
    """
    out = np.full((people, len(moments), len(cameras), LANDMARK_COUNT, 3), np.nan, np.float32)
    last = np.full((people, 3), np.nan)
    for frame, views in enumerate(moments):
        found = _groups(cameras, views, people)
        centres = [_centre(cameras, landmarks) for landmarks in found]
        for slot, i in _continued(last, centres):
            out[slot, frame] = found[i]
            last[slot] = centres[i]
    return out


def _groups(cameras: Sequence[Camera], views: Sequence[Sequence[Person]], people: int) -> list[Floats]:
    """Landmarks (cameras, 33, 3) of up to `people` people of one moment, each seen by two cameras or more."""
    left = [list(seen) for seen in views]
    found = []
    for _ in range(people):
        chosen = pick(cameras, left)
        landmarks = np.full((len(cameras), LANDMARK_COUNT, 3), np.nan, np.float32)
        for camera, which in enumerate(chosen):
            if which is not None and (seen := left[camera].pop(which).landmarks) is not None:
                landmarks[camera] = seen
        landmarks = _without_strangers(cameras, landmarks)
        if np.isfinite(landmarks[:, 0, 0]).sum() >= 2:
            found.append(landmarks)
    return found


def _without_strangers(cameras: Sequence[Camera], landmarks: Floats) -> Floats:
    """The landmarks (cameras, 33, 3) without those of cameras that see somebody else."""
    limbs = landmarks[None][:, :, LIMBS]
    miss = reprojection(cameras, limbs, triangulated(cameras, limbs))[0]  # (C, J)
    height = np.ptp(limbs[0, :, :, 1], axis=1)
    known = np.isfinite(miss).any(1)
    middle = np.array([np.nanmedian(row) if ok else np.nan for row, ok in zip(miss, known, strict=True)])
    out = landmarks.copy()
    out[known & (middle > OTHER * height)] = np.nan
    return out


def _centre(cameras: Sequence[Camera], landmarks: Floats) -> Doubles:
    """The middle of a person's limbs, (3,) m."""
    points = triangulated(cameras, landmarks[None][:, :, LIMBS])[0]
    return np.asarray(np.nanmean(points, axis=0)) if np.isfinite(points).any() else np.full(3, np.nan)


def _continued(last: Doubles, centres: Sequence[Doubles]) -> list[tuple[int, int]]:
    """Which person (slot, index) each of the found ones is: the nearest pairs first, newcomers in what is left."""
    pairs = sorted(
        (float(np.linalg.norm(last[slot] - centre)), slot, i)
        for slot in range(len(last))
        for i, centre in enumerate(centres)
        if np.isfinite(last[slot]).all() and np.isfinite(centre).all()
    )
    taken: dict[int, int] = {}
    for _, slot, i in pairs:
        if slot not in taken and i not in taken.values():
            taken[slot] = i
    for i, centre in enumerate(centres):
        free = [slot for slot in range(len(last)) if slot not in taken and np.isnan(last[slot]).any()]
        if i not in taken.values() and free and np.isfinite(centre).all():
            taken[free[0]] = i
    return sorted(taken.items())


def with_keypoints(
    keypoints: Sequence[Sequence[Sequence[Floats]]],
    calibrated: Sequence[Camera],
    fitted: Sequence[Camera],
    landmarks: Floats,
) -> Floats:
    """Of other keypoints, those of the people of `landmarks` (people, F, cameras, 33, 3): the same shape.

    `keypoints` are lists by camera, frame and person of (33, 3), in pixels of the calibration's pictures; given
    back are those of the `fitted` cameras' pictures. In each picture the nearest are taken.
    """
    out = np.full_like(landmarks, np.nan)
    for person, frame, camera in np.ndindex(landmarks.shape[:3]):
        seen = landmarks[person, frame, camera]
        if np.isnan(seen).all() or frame >= len(keypoints[camera]):
            continue
        others = [_moved(each, calibrated[camera], fitted[camera]) for each in keypoints[camera][frame]]
        others = [each for each in others if np.isfinite(each[LIMBS]).any()]
        away = [
            float(np.nanmedian(np.linalg.norm(each[LIMBS, :2] - seen[LIMBS, :2], axis=1))) for each in others
        ]
        if away and min(away) < OTHER * float(np.ptp(seen[LIMBS, 1])):
            out[person, frame, camera] = others[int(np.argmin(away))]
    return out


def in_time(keypoints: Floats, landmarks: Floats, times: Doubles) -> tuple[Floats, float]:
    """Keypoints (people, F, cameras, 33, 3) moved in time onto the landmarks, and how much later they were, s.

    Files of keypoints may begin at another frame than the videos. Nothing is moved where nobody moves enough.
    """

    def limbs(seen: Floats) -> Motion:
        flat = np.moveaxis(seen[..., LIMBS, :2].astype(np.float64), 1, 0)  # (F, P, C, 12, 2)
        return Motion(times, flat.reshape(len(times), -1, 2))

    late = later(limbs(keypoints), limbs(landmarks), steady_off=True)
    if np.isnan(late):
        return keypoints, late
    people = [Motion(times, person.reshape(len(times), -1, 3).astype(np.float64)) for person in keypoints]
    moved = np.stack([at(person, times + late) for person in people])
    return moved.reshape(keypoints.shape).astype(np.float32), late


def _moved(seen: Floats, source: Camera, target: Camera) -> Floats:
    """Pixels (33, 3) of one picture in another of the same camera, larger or smaller."""
    out = seen.copy()
    out[:, :2] = (seen[:, :2] - source.K[:2, 2]) * (np.diag(target.K) / np.diag(source.K))[:2] + target.K[
        :2, 2
    ]
    return out


def reference_of(
    cameras: Sequence[Camera], times: Doubles, views: Sequence[Floats], *, turn_cameras: bool = True
) -> Reference:
    """The reference out of what all cameras see; `views` is one (people, F, cameras, 33, 3) a net.

    Raises SourceUnreadable where no person is seen by two cameras.
    """
    people = len(views[0])
    seen = [np.concatenate(list(view)) for view in views]  # (people F, C, 33, 3) each
    if turn_cameras:
        turned = refined(cameras, np.concatenate([view[:, :, LIMBS] for view in seen], axis=2))
    else:
        turned = tuple(cameras)
    every = [*turned] * len(views)
    stacked = np.concatenate(seen, axis=1)  # (people F, nets C, 33, 3)
    whole = _filtered(every, times, stacked, people)
    if not np.isfinite(whole).any():
        raise SourceUnreadable("no person is seen by two cameras at once: the reference would be empty")
    trust = Trust(
        turned_deg=[turned_by(a, b) for a, b in zip(cameras, turned, strict=True)],
        reprojection_px=_reprojections(every, stacked, whole, len(cameras)),
        **_left_out(turned, times, stacked, whole, people),
    )
    motions = tuple(Motion(times, points[:, LANDMARKS]) for points in whole)
    return Reference(turned, motions, whole, _bones(whole), trust)


def _filtered(cameras: Sequence[Camera], times: Doubles, seen: Floats, people: int) -> Doubles:
    """Landmarks (people, F, 33, 3) m in space of those seen, (people F, C, 33, 3)."""
    points = triangulated(cameras, seen).reshape(people, -1, LANDMARK_COUNT, 3)
    return np.stack([smoothed(times, person, CUTOFF_HZ) for person in points])


def _reprojections(cameras: Sequence[Camera], seen: Floats, whole: Doubles, count: int) -> list[float]:
    """Mean over people, frames, limbs and nets, for each of the `count` cameras, px."""
    miss = reprojection(cameras, seen[:, :, LIMBS], whole.reshape(-1, LANDMARK_COUNT, 3)[:, LIMBS])
    return [float(np.nanmean(miss[:, camera::count])) for camera in range(count)]


def _left_out(
    cameras: Sequence[Camera], times: Doubles, seen: Floats, whole: Doubles, people: int
) -> dict[str, list[float]]:
    """How far joints move when one camera is left out, mean, mm: as they are, mid hips on mid hips, and PA."""
    found: dict[str, list[float]] = {"left_out_mm": [], "left_out_rooted_mm": [], "left_out_pa_mm": []}
    nets = seen.shape[1] // len(cameras)
    for camera in range(len(cameras)):
        kept = [i for i in range(nets * len(cameras)) if i % len(cameras) != camera]
        others = [([*cameras] * nets)[i] for i in kept]
        without = _filtered(others, times, seen[:, kept], people) if len(cameras) > 2 else whole * np.nan
        a, b = (points.reshape(-1, LANDMARK_COUNT, 3)[:, LANDMARKS] for points in (without, whole))
        scored = slice(len(LIMBS))
        known = np.isfinite(a[:, scored]).all((1, 2)) & np.isfinite(b[:, scored]).all((1, 2))
        a, b = a[known], b[known]
        pairs = [(a, b), (rooted(a), rooted(b)), (procrustes(a[:, scored], b[:, scored]), b)]
        for name, (mine, theirs) in zip(found, pairs, strict=True):
            away = np.linalg.norm(mine[:, scored] - theirs[:, scored], axis=-1)
            found[name].append(1000 * float(away.mean()) if away.size else float("nan"))
    return found


def _bones(whole: Doubles) -> Floats:
    """Bones (people, 7) of landmarks (people, F, 33, 3): medians over the frames in which they are known."""
    sure = np.asarray(np.isfinite(whole).all(-1), np.float32)
    lengths = bone_lengths(np.nan_to_num(whole), sure)  # (P, F, 7)
    known = np.asarray(np.isfinite(whole[:, :, LIMBS]).all((2, 3)))
    return np.stack(
        [
            np.median(each[ok], axis=0) if ok.any() else np.full(each.shape[-1], np.nan)
            for each, ok in zip(lengths, known, strict=True)
        ]
    ).astype(np.float32)


def in_view(motion: Motion, camera: Camera) -> Motion:
    """A motion of the world in a camera's axes."""
    return replace(motion, points=motion.points @ camera.R.T + camera.t)
