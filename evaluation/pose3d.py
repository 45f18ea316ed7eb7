"""How far a person's joints are from a reference's, in space and in time: the measures of 3D pose.

Everything is in metres and seconds inside, and told in the units of the literature: mm, mm/frame², ms, cm.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bodystream.evaluation.joints import FEET_ENDS, HIPS, SCORED, indices
from bodystream.pipeline.calibration import Doubles

RIGHT_MM = 150.0  # PCK's and AUC's limit: Mehta et al., MPI-INF-3DHP, 2017, section 6
STEP_MM = 5.0  # of AUC's thresholds, likewise
FAR_S = 0.25  # no filter that is meant for live use lags by more
# Two neighbouring times further apart have nothing known between them.
GAP_S = 0.1
# A foot stands while the reference's moves slower: walking, it swings at 2 to 4 m/s.
STANDS_M_S = 0.2
BLOCK_S = 0.25  # of the bootstrap: errors of neighbouring frames are nearly the same error

_ANKLES = indices("left_ankle", "right_ankle")
_FEET = indices(*FEET_ENDS)
# Only bones that are rigid in a body: between hips and shoulders lies the spine.
_BONES = np.array(
    [
        indices(f"{side}_{a}", f"{side}_{b}")
        for side in ("left", "right")
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    ]
    + [indices("left_shoulder", "right_shoulder"), HIPS]
)


@dataclass(frozen=True, slots=True)
class Motion:
    """One person's joints over time.

    `times` (F,) s, rising. `points` (F, 16, 3) m, of `JOINTS`; NaN where not known. `placed` tells whether they
    are where the person is, or hang on the mid hips.
    """

    times: Doubles
    points: Doubles
    placed: bool = True


@dataclass(frozen=True, slots=True)
class Scores:
    """One person against a reference; every field is a mean over frames and joints. NaN where not known."""

    frames: int  # in which all of the reference's joints are known on both sides
    pa_mm: float  # PA-MPJPE: after each frame's best rotation, scale and shift
    mpjpe_mm: float  # mid hips laid on mid hips
    pck: float  # 0..1: the share of joints within 150 mm, mid hips on mid hips
    auc: float  # 0..1: the mean of that share over limits from 0 to 150 mm
    acceleration_mm: (
        float  # mm/frame² at `rate`: length of the accelerations' difference, mid hips on mid hips
    )
    acceleration_m_s2: float
    rate: float  # frames a second that mm/frame² counts in
    lag_ms: float  # how much later the person moves than the reference
    bone_spread: float  # 0..1: standard deviation over mean of a bone's length, mean over ten bones
    root_cm: float  # distance of the mid hips
    slide_mm_s: float  # speed of feet whose reference stands


def score(predicted: Motion, reference: Motion, rate: float | None = None) -> Scores:
    """Compare a person with the reference at the person's own times; axes and origin have to be the same.

    `rate` is that of mm/frame², the frames' own if not given.
    """
    if rate is None:
        rate = 1 / float(np.median(np.diff(predicted.times))) if len(predicted.times) > 1 else np.nan
    truth = at(reference, predicted.times)
    joints = _known(truth)
    times, mine, theirs = _common(predicted, truth, joints)
    errors = _distance(mine, theirs)[:, joints]  # (F, J) m
    acceleration = _mean(_distance(_acceleration(times, mine), _acceleration(times, theirs))[:, joints])
    pck, auc = _pck(errors)
    return Scores(
        frames=len(times),
        pa_mm=1000 * _mean(_distance(procrustes(mine[:, joints], theirs[:, joints]), theirs[:, joints])),
        mpjpe_mm=1000 * _mean(errors),
        pck=pck,
        auc=auc,
        acceleration_mm=1000 * acceleration / rate**2,
        acceleration_m_s2=acceleration,
        rate=rate,
        lag_ms=1000 * lag(predicted, reference),
        bone_spread=bone_spread(mine),
        root_cm=100 * _root(predicted, truth),
        slide_mm_s=1000 * slide(predicted, reference),
    )


def frame_errors(predicted: Motion, reference: Motion) -> Doubles:
    """PA-MPJPE and MPJPE of every time of `predicted`: (F, 2) mm, NaN where something is not known."""
    truth = at(reference, predicted.times)
    joints = _known(truth)
    mine, theirs = rooted(predicted.points), rooted(truth)
    whole = np.isfinite(mine[:, joints]).all((1, 2)) & np.isfinite(theirs[:, joints]).all((1, 2))
    out = np.full((len(mine), 2), np.nan)
    a, b = mine[whole][:, joints], theirs[whole][:, joints]
    out[whole] = 1000 * np.stack(
        [_distance(procrustes(a, b), b).mean(1), _distance(a, b).mean(1)], axis=1
    ).reshape(-1, 2)
    return out


def rooted(points: Doubles) -> Doubles:
    """The points (F, 16, 3) from their mid hips."""
    return points - points[:, HIPS].mean(1, keepdims=True)


def procrustes(points: Doubles, others: Doubles) -> Doubles:
    """Points (F, J, 3) after the rotation, scale and shift of each frame that bring them closest to the others.

    No reflection. Source: Umeyama, Least-squares estimation of transformation parameters, 1991.
    """
    centre, other_centre = points.mean(1, keepdims=True), others.mean(1, keepdims=True)
    a, b = points - centre, others - other_centre
    u, s, vt = np.linalg.svd(a.swapaxes(1, 2) @ b)  # (F, 3, 3)
    s[:, 2] *= (sign := np.sign(np.linalg.det(u @ vt)))
    u[:, :, 2] *= sign[:, None]
    scale = s.sum(1) / np.maximum((a**2).sum((1, 2)), 1e-12)
    return np.asarray(scale[:, None, None] * (a @ (u @ vt)) + other_centre)


def turn_between(points: Doubles, others: Doubles) -> Doubles:
    """The one rotation (3, 3) that best takes points (..., 3) to others, both from their roots; NaN is left out.

    points @ rotation.T are the turned ones. Source: Kabsch, 1976.
    """
    a, b = points.reshape(-1, 3), others.reshape(-1, 3)
    both = np.isfinite(a).all(1) & np.isfinite(b).all(1)
    u, _, vt = np.linalg.svd(b[both].T @ a[both])
    return np.asarray(u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt)


def aligned(predicted: Motion, reference: Motion) -> Motion:
    """The person in the reference's axes: one rotation and one shift for the whole clip, no scale.

    The rotation is found from joints that hang on the mid hips, so a wrong path does not turn the body; the shift
    lays the mean of the mid hips on the reference's.
    """
    truth = at(reference, predicted.times)
    turn = turn_between(rooted(predicted.points), rooted(truth))
    turned = predicted.points @ turn.T
    apart = (truth[:, HIPS] - turned[:, HIPS]).mean(1)  # (F, 3)
    known = np.isfinite(apart).all(1)
    shift = apart[known].mean(0) if known.any() else np.zeros(3)
    return Motion(predicted.times, turned + shift, predicted.placed)


def at(motion: Motion, times: Doubles) -> Doubles:
    """Points at other times, (T, J, D), by straight lines; NaN before, behind, and in gaps over GAP_S."""
    known, points = motion.times, motion.points
    if not len(known):
        return np.full((len(times), *points.shape[1:]), np.nan)
    after = np.clip(np.searchsorted(known, times), 1, max(len(known) - 1, 1))
    if len(known) == 1:
        after = np.zeros(len(times), np.intp)
    before = np.maximum(after - 1, 0)
    span = known[after] - known[before]
    share = np.clip((times - known[before]) / np.maximum(span, 1e-12), 0, 1)
    share = np.where(np.abs(share - np.rint(share)) < 1e-6, np.rint(share), share)[:, None, None]
    # A time that is one of the motion's own asks nothing of its neighbour.
    mixed = np.where(share < 1, (1 - share) * points[before], 0) + np.where(
        share > 0, share * points[after], 0
    )
    off = (times < known[0] - 1e-6) | (times > known[-1] + 1e-6) | (_inside(share) & (span > GAP_S))
    mixed[off] = np.nan
    return np.asarray(mixed)


def _inside(share: Doubles) -> NDArray[np.bool_]:
    return np.asarray((share[:, 0, 0] > 0) & (share[:, 0, 0] < 1))


def bone_spread(points: Doubles) -> float:
    """Standard deviation over mean of a bone's length in (F, 16, 3), mean over the bones that are known."""
    lengths = np.linalg.norm(points[:, _BONES[:, 0]] - points[:, _BONES[:, 1]], axis=-1)  # (F, 10)
    known = np.isfinite(lengths).sum(0) > 1
    if not known.any():
        return float("nan")
    return float((np.nanstd(lengths[:, known], axis=0) / np.nanmean(lengths[:, known], axis=0)).mean())


def lag(predicted: Motion, reference: Motion) -> float:
    """How much later the person moves than the reference, s: the shift with the least MPJPE, mid hips on mid hips.

    What it errs by shows in a net that sees one frame at a time, which cannot be late: up to 20 ms in a single view
    of a walk of 1.5 s, where depth errs in the rhythm of the walk (docs/evaluation.md).
    """
    truth = Motion(reference.times, rooted(reference.points))
    joints = _known(truth.points)
    return later(
        Motion(predicted.times, rooted(predicted.points)[:, joints]),
        Motion(truth.times, truth.points[:, joints]),
    )


def later(one: Motion, other: Motion, *, steady_off: bool = False) -> float:
    """How much later points (F, J, D) of `one` move than those of `other`, s: the shift with the least distance.

    Shifts of half frames, a parabola between them. NaN where no shift within FAR_S is the best, so where nobody
    moves enough to tell. With `steady_off` every point's own steady distance (its median over time) is taken off
    first: for points that are defined differently.
    """
    if len(one.times) < 3 or len(other.times) < 3:
        return float("nan")
    step = float(np.median(np.diff(one.times))) / 2
    count = int(FAR_S / step)
    shifts = step * np.arange(-count, count + 1)
    apart = one.points - np.stack([at(other, one.times - shift) for shift in shifts])  # (S, F, J, D)
    # Only what is known at every shift, so that all of them are judged by the same points.
    known = np.asarray(np.isfinite(apart).all((0, 3)))  # (F, J)
    points = known.sum(0) > 2
    if not points.any():
        return float("nan")
    apart, known = apart[:, :, points], known[:, points]
    if steady_off:
        apart -= np.nanmedian(np.where(known[None, ..., None], apart, np.nan), axis=1, keepdims=True)
    errors = np.linalg.norm(apart[:, known], axis=-1).mean(1)  # (S,)
    best = int(np.argmin(errors))
    if not 0 < best < len(shifts) - 1:
        return float("nan")
    low, mid, high = errors[best - 1 : best + 2]
    bend = low - 2 * mid + high
    return float(shifts[best] + (step * (low - high) / (2 * bend) if bend > 1e-9 else 0.0))


def slide(predicted: Motion, reference: Motion) -> float:
    """Mean speed, m/s, of the person's heels and toes while the reference's stand; NaN where not placed.

    Of ankles where the reference has no feet. A foot's end stands while it moves slower than STANDS_M_S.
    """
    truth = at(reference, predicted.times)
    feet = _FEET if np.isfinite(truth[:, _FEET]).any() else _ANKLES
    if not predicted.placed or len(truth) < 3:
        return float("nan")
    moves, stands = (_speed(predicted.times, points[:, feet]) for points in (predicted.points, truth))
    return _mean(moves[(stands < STANDS_M_S) & np.isfinite(moves)])


def _speed(times: Doubles, points: Doubles) -> Doubles:
    """Of (F, J, 3) m, between the frame before and the one behind: (F - 2, J) m/s."""
    return np.asarray(_distance(points[2:], points[:-2]) / (times[2:] - times[:-2])[:, None])


def _acceleration(times: Doubles, points: Doubles) -> Doubles:
    """Of (F, J, 3) m, from three neighbouring frames that need not be even: (F - 2, J, 3) m/s²."""
    if len(times) < 3:
        return np.zeros((0, *points.shape[1:]))
    step = np.diff(times)[:, None, None]
    velocity = np.diff(points, axis=0) / step
    out = 2 * np.diff(velocity, axis=0) / (step[1:] + step[:-1])
    out[(step[1:] + step[:-1])[:, 0, 0] > 2 * GAP_S] = np.nan  # not over frames in which nobody was seen
    return np.asarray(out)


def _pck(errors: Doubles) -> tuple[float, float]:
    """The share of errors (F, J), m, within the limit, and the mean share over the limits up to it."""
    if not errors.size:
        return float("nan"), float("nan")
    limits = np.arange(0, RIGHT_MM + STEP_MM / 2, STEP_MM) / 1000
    shares = [float((errors <= limit).mean()) for limit in limits]
    return shares[-1], float(np.mean(shares))


def _root(predicted: Motion, truth: Doubles) -> float:
    if not predicted.placed:
        return float("nan")
    return _mean(_distance(predicted.points[:, HIPS].mean(1), truth[:, HIPS].mean(1)))


def _known(truth: Doubles) -> NDArray[np.intp]:
    """The scored joints that a reference (F, 16, 3) has at all; all of them where it has none."""
    known = np.flatnonzero(np.isfinite(truth[:, : len(SCORED)]).all(-1).any(0))
    return known if len(known) else np.arange(len(SCORED))


def _common(predicted: Motion, truth: Doubles, joints: NDArray[np.intp]) -> tuple[Doubles, Doubles, Doubles]:
    """Times, and joints of both from their mid hips, of the frames in which all of `joints` are known."""
    mine, theirs = rooted(predicted.points), rooted(truth)
    whole = np.isfinite(mine[:, joints]).all((1, 2)) & np.isfinite(theirs[:, joints]).all((1, 2))
    return predicted.times[whole], mine[whole], theirs[whole]


def _distance(a: Doubles, b: Doubles) -> Doubles:
    return np.asarray(np.linalg.norm(a - b, axis=-1))


def _mean(values: Doubles) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else float("nan")


def mean_of(scores: Sequence[Scores]) -> Scores:
    """The mean of several persons' or cameras' scores; frames are summed."""
    columns = {
        name: _mean(np.array([getattr(one, name) for one in scores], np.float64))
        for name in Scores.__slots__
        if name != "frames"
    }
    return Scores(frames=sum(one.frames for one in scores), **columns)


def bootstrap(differences: Sequence[Doubles], rate: float, draws: int = 2000) -> tuple[float, float, float]:
    """Mean of differences between two rows and its 95 % range, by drawing blocks of BLOCK_S with replacement.

    `differences` are frame by frame, one array (F,) a camera; NaN is left out. Source: Künsch, 1989.
    """
    size = max(round(BLOCK_S * rate), 1)
    blocks = [one[i : i + size] for one in differences for i in range(0, len(one), size)]
    blocks = [known for block in blocks if len(known := block[np.isfinite(block)])]
    if not blocks:
        return float("nan"), float("nan"), float("nan")
    sums, counts = np.array([[block.sum(), len(block)] for block in blocks]).T
    drawn = np.random.default_rng(0).integers(0, len(blocks), (draws, len(blocks)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(sums.sum() / counts.sum()), float(low), float(high)
