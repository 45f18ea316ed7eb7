"""Measure the kinematic fit on motion capture seen through simulated errors of the landmark net.

    python -m bodystream.training.measure_fit --poses mocap --clips 40

Motion of people other than those that weights were chosen on (--chosen: those) drives synthetic people (`people`)
in front of a level or pitched camera. Errors are what trials on footage found (BlazePose's are steady): mostly
constant or slow, a little white, in depth far more than across. Everything goes through the stages of a run from the
one-euro filter on. It prints, over all clips, what the landmark net gives, what the filter leaves, and the fits.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from time import process_time

import numpy as np
from numpy.typing import NDArray

from bodystream.models.body.kinematics import JOINTS
from bodystream.models.body.pose import turns_of
from bodystream.models.body.skeleton import landmark
from bodystream.models.crop import Crop
from bodystream.pipeline.filters import MEDIAPIPE, Filtered, one_euro
from bodystream.pipeline.lens import LEVEL, Lens
from bodystream.pipeline.poses import Weights
from bodystream.pipeline.stages.body import PoseBody
from bodystream.pipeline.stages.pose3d import FitPose3d
from bodystream.pipeline.types import Floats, Frame, Person
from bodystream.training import errors, poses
from bodystream.training.people import Figure, articulated, landmarks_of, make_figure

SIZE = (1280, 720)
LENS = Lens(60.0, None, None, "simulated", False, np.array(LEVEL), "level")
LIMBS = np.array(
    [
        landmark(f"{side}_{name}")
        for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ]
)
LIMB_JOINTS = np.array(
    [
        JOINTS.index(f"{side}_{name}")
        for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
        for side in ("left", "right")
    ]
)
FEET = np.array([landmark(f"{side}_{name}") for side in ("left", "right") for name in ("heel", "foot_index")])
FOOT_JOINTS = np.array(
    [JOINTS.index(f"{side}_{name}") for side in ("left", "right") for name in ("heel", "toe")]
)
STANDS = 0.1  # m/s: a slower foot stands


@dataclass(frozen=True)
class Motion:
    """One sequence: turns (T, 17, 3, 3) and root (T, 3), m, of a person as tall as who moved, in axes with y down."""

    subject: str
    name: str
    turns: Floats
    root: Floats
    legs: float  # m, the mover's


@dataclass(frozen=True)
class Clip:
    """A synthetic person in front of the camera, true landmarks (T, 33, 3), m, camera axes; and as seen, landmarks
    (T, 33, 3) and world (T, 33, 4)."""

    rate: int
    height: float
    truth: Floats
    landmarks: Floats
    world: Floats


def motions(folder: Path) -> list[Motion]:
    """All sequences of both archives, at 15 Hz."""
    found = []
    for name, points_of in (("cmu_poses.npz", poses._cmu_points), ("cmu_dance_bvh.npz", poses._dance_points)):
        with np.load(folder / name, allow_pickle=False) as archive:
            data = {key: archive[key] for key in archive.files}
        data["distinct"] = np.ones(len(data["quat"]), bool)
        points = points_of(data) * poses.CANONICAL
        hips = points[:, [23, 24]].mean(1)
        turns, root = turns_of(points), hips + data["root_pos"] * poses.CANONICAL
        subjects = poses._subjects(data)
        for sequence in np.unique(data["seq"]):
            here = np.flatnonzero(data["seq"] == sequence)
            leg = np.linalg.norm(np.diff(points[here[0], [23, 25, 27]], axis=0), axis=1).sum()
            found.append(
                Motion(
                    str(subjects[here[0]]),
                    str(data["seq_name"][sequence]),
                    turns[here],
                    root[here],
                    float(leg),
                )
            )
    return found


def resampled(values: Floats, rate: int, seconds: float, start: int) -> Floats:
    """Values at 15 Hz from frame `start` on, at another rate, by Catmull and Rom's spline."""
    at = start + np.arange(int(seconds * rate)) * 15 / rate
    low = at.astype(int)
    t = (at - low).reshape(-1, *(1,) * (values.ndim - 1))
    before, a, b, after = (values[np.clip(low + k, 0, len(values) - 1)] for k in (-1, 0, 1, 2))
    return (
        a
        + 0.5
        * t
        * (b - before + t * (2 * before - 5 * a + 4 * b - after + t * (3 * (a - b) + after - before)))
    ).astype(np.float32)


def rotations(matrices: Floats) -> Floats:
    """The rotations nearest to matrices (..., 3, 3)."""
    u, _, v = np.linalg.svd(matrices)
    u[..., 2] *= np.linalg.det(u @ v)[..., None]
    return (u @ v).astype(np.float32)


def make_clip(
    motion: Motion, rng: np.random.Generator, rate: int, seconds: float, clean: bool = False
) -> Clip:
    """Draw a person, a camera and errors."""
    figure = make_figure(rng)
    seconds = min(seconds, (len(motion.root) - 2) / 15)
    start = int(rng.integers(0, max(1, len(motion.root) - int(seconds * 15) - 1)))
    turns = rotations(resampled(motion.turns, rate, seconds, start))
    rest = _rest_landmarks(figure)
    legs = np.linalg.norm(np.diff(rest[[23, 25, 27]], axis=0), axis=1).sum()
    root = resampled(motion.root, rate, seconds, start) * float(legs / motion.legs)
    own = np.stack([landmarks_of(figure, articulated(turn, figure.joints)) for turn in turns])
    own += (root - own[:, [23, 24]].mean(1))[:, None]
    pitch = np.radians(rng.normal(8, 8))
    view = poses.about_x(-pitch) @ poses.about_y(np.asarray(rng.uniform(-np.pi, np.pi)))
    truth = (own - own.mean((0, 1))) @ view.T
    truth += _place(truth, rng)
    landmarks, world = seen(truth, rng, rate, clean)
    return Clip(rate, figure.height, truth.astype(np.float32), landmarks, world)


def _rest_landmarks(figure: Figure) -> Floats:
    identity = np.broadcast_to(np.eye(3, 4, dtype=np.float32), (17, 3, 4))
    return landmarks_of(figure, identity)


def _place(truth: Floats, rng: np.random.Generator) -> Floats:
    """Where the middle of the clip goes so that the person stays in the picture: (3,)."""
    focal = LENS.of(SIZE).K[0, 0]
    for distance in np.linspace(rng.uniform(2.5, 4.5), 20, 60):
        there = truth + np.array([0, 0, distance], np.float32)
        if there[..., 2].min() < 1:
            continue
        pixels = there[..., :2] / there[..., 2:] * focal
        if (np.abs(pixels) < 0.48 * np.array(SIZE)).all():
            break
    return np.array([0, 0, distance], np.float32)


def wander(shape: tuple[int, ...], rng: np.random.Generator, rate: int, white: float) -> Floats:
    """Errors (T, ...) of deviation one over clips: half constant, half slower than 1.5 Hz; and white on top."""
    count = shape[0]
    time = np.arange(count)[:, None] / rate
    flat = int(np.prod(shape[1:]))
    slow = rng.normal(size=flat) * np.sqrt(0.5) + np.sin(
        2 * np.pi * (rng.uniform(0.1, 1.5, flat) * time + rng.random(flat))
    ) * rng.normal(size=flat)
    return (slow + white * rng.normal(size=(count, flat))).reshape(shape).astype(np.float32)


def seen(truth: Floats, rng: np.random.Generator, rate: int, clean: bool) -> tuple[Floats, Floats]:
    """What the landmark net makes of true landmarks (T, 33, 3): landmarks (T, 33, 3) and world (T, 33, 4).

    Sizes are those of `errors` and of this project's trials; here they go on over time.
    """
    camera, count = LENS.of(SIZE), len(truth)
    pixels = truth[..., :2] / truth[..., 2:] * camera.K[0, 0] + camera.K[:2, 2]
    world = truth - truth[:, [23, 24]].mean(1, keepdims=True)
    sure = np.full((count, 33), 0.95, np.float32)
    if clean:
        return np.dstack([pixels, sure]).astype(np.float32), np.dstack([world, sure]).astype(np.float32)
    crop_px = 1.25 * np.ptp(pixels, axis=1).max() / 256
    size = errors.EASE * min(np.exp(rng.normal(0, errors.OVERALL / 2)), 2.0)
    chains = np.zeros((count, 33, 2), np.float32)
    for chain in (*errors.ARMS, *errors.LEGS):
        chains[:, list(chain)] = errors.CHAIN * wander((count, 1, 2), rng, rate, 0.2)
    off = errors.SIGMA[:, None] * wander((count, 33, 2), rng, rate, 0.25) + chains
    hidden = _hidden(count, rng, rate)
    off = off * np.where(hidden, errors.HIDDEN, 1.0)[..., None]
    sure = (np.where(hidden, 0.25, sure) * rng.uniform(0.9, 1.0, sure.shape)).astype(np.float32)
    landmarks = np.dstack([pixels + crop_px * size * off, sure]).astype(np.float32)

    deep = np.exp(rng.normal(0, errors.DEPTH_OVERALL / 2))
    error = 0.02 * wander((count, 33, 3), rng, rate, 0.4)
    depth = np.zeros((count, 33), np.float32)
    limbs = ((errors.ARMS, ("shoulder", "elbow", "wrist")), (errors.LEGS, ("hip", "knee", "ankle")))
    for both, names in limbs:
        for limb in both:
            steps = np.stack([errors.DEPTH[name] * wander((count,), rng, rate, 0.1) for name in names])
            depth[:, list(limb[:3])] = np.cumsum(steps, axis=0).T
            depth[:, list(limb[3:])] = depth[:, limb[2], None]
    error[..., 2] += 1.6 * depth  # footage shows 83 to 108 mm where `errors` has 50 to 60
    out = world * np.array([1, 1, rng.uniform(*errors.DEPTH_SCALE)], np.float32)
    out = out + deep * error * np.where(hidden, 1.6, 1.0)[..., None]
    tilt = np.radians(rng.normal(0, errors.TILT))
    out = (out + np.cross(np.broadcast_to(tilt, out.shape), out)) * rng.uniform(0.85, 1.1)
    return landmarks, np.dstack([out, sure]).astype(np.float32)


def _hidden(count: int, rng: np.random.Generator, rate: int) -> NDArray[np.bool_]:
    """Limbs that are hidden for up to a second, one in a clip or none: (T, 33)."""
    hidden = np.zeros((count, 33), bool)
    if rng.random() < 0.5:
        limb = (*errors.ARMS, *errors.LEGS)[rng.integers(4)]
        start = int(rng.integers(count))
        hidden[start : start + int(rng.uniform(0.2, 1.0) * rate), list(limb[1:])] = True
    return hidden


def run(clip: Clip, stage: FitPose3d, smooth: bool = True) -> tuple[Floats, Floats, float]:
    """World landmarks after the filter (T, 33, 3), joints of the fit (T, 23, 4), and its ms a frame."""
    body, last2d, last3d = PoseBody(), None, None
    image = np.broadcast_to(np.uint8(0), (SIZE[1], SIZE[0], 3))
    filtered, joints, spent = [], [], 0.0
    for i, (landmarks, world) in enumerate(zip(clip.landmarks, clip.world, strict=True)):
        pts = Fraction(i, clip.rate)
        if smooth:
            last2d, last3d, landmarks, world = _smoothed(last2d, last3d, landmarks, world, pts)
        person = Person(np.zeros(4, np.float32), 1.0, 1, None, landmarks, world, Crop(0, 0, 1))
        frame = Frame(i, pts, 0, image, "")
        people = body(frame, [person])
        begin = process_time()
        (person,) = stage(frame, people)
        spent += process_time() - begin
        assert person.pose3d is not None
        filtered.append(world[:, :3])
        joints.append(person.pose3d.joints)
    return np.stack(filtered), np.stack(joints), 1000 * spent / len(joints)


def _smoothed(
    last2d: Filtered | None, last3d: Filtered | None, landmarks: Floats, world: Floats, pts: Fraction
) -> tuple[Filtered, Filtered, Floats, Floats]:
    """What `track` does with --smooth mediapipe."""
    size = 1.25 * float(np.ptp(landmarks[:, :2], axis=0).max())
    flat = one_euro(last2d, landmarks[:, :2], pts, MEDIAPIPE.landmarks, size)
    deep = one_euro(last3d, world[:, :3], pts, MEDIAPIPE.world)
    return (
        flat,
        deep,
        np.concatenate([flat.value, landmarks[:, 2:]], axis=1),
        np.concatenate([deep.value, world[:, 3:]], axis=1),
    )


@dataclass(frozen=True)
class Scores:
    """Of one clip: mm, mm, mm a frame² (of joints from the root), ms, per cent, cm, mm a frame², cm/s."""

    pa: float
    mpjpe: float
    acc: float
    lag: float
    spread: float
    root: float
    root_acc: float
    slide: float


def score(clip: Clip, points: Floats, feet: Floats | None, root: Floats | None) -> Scores:
    """Of the twelve joints of the limbs (T, 12, 3), any origin; feet (T, 4, 3) and root (T, 3) in camera axes."""
    truth = clip.truth[:, LIMBS]
    a, b = (each - each[:, [6, 7]].mean(1, keepdims=True) for each in (points, truth))
    away = a - b
    speed = np.gradient(b, 1 / clip.rate, axis=0)
    acc = np.linalg.norm(np.diff(away, 2, axis=0), axis=-1).mean()
    lag = -(away * speed).sum() / max(float((speed * speed).sum()), 1e-9)
    bones = np.linalg.norm(points[clip.rate :, [2, 4, 8, 10]] - points[clip.rate :, [0, 2, 6, 8]], axis=-1)
    spread = (bones.std(0) / bones.mean(0)).max()
    slide = np.nan
    if feet is not None:
        true = np.linalg.norm(np.diff(clip.truth[:, FEET], axis=0), axis=-1) * clip.rate
        found = np.linalg.norm(np.diff(feet, axis=0), axis=-1) * clip.rate
        stands = true < STANDS
        slide = found[stands].mean() if stands.sum() > 20 else np.nan
    away_root = root_acc = np.nan
    if root is not None:
        from_root = root - clip.truth[:, [23, 24]].mean(1)
        away_root = np.linalg.norm(from_root, axis=-1).mean()
        root_acc = np.linalg.norm(np.diff(from_root, 2, axis=0), axis=-1).mean()
    return Scores(
        1000 * aligned_error(a, b),
        1000 * float(np.linalg.norm(away, axis=-1).mean()),
        1000 * float(acc),
        1000 * float(lag),
        100 * float(spread),
        100 * float(away_root),
        1000 * float(root_acc),
        100 * float(slide),
    )


def aligned_error(a: Floats, b: Floats) -> float:
    """Mean distance of points (T, J, 3) after the best similarity of every frame. Source: Umeyama 1991."""
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    u, s, v = np.linalg.svd(a.swapaxes(1, 2) @ b)
    sign = np.sign(np.linalg.det(u @ v))
    u[..., 2] *= sign[:, None]
    s[:, 2] *= sign
    scale = s.sum(1) / (a * a).sum((1, 2))
    return float(np.linalg.norm(scale[:, None, None] * (a @ (u @ v)) - b, axis=-1).mean())


def fits(
    clips: Sequence[Clip], weights: Weights | None = None, **options: bool
) -> Iterator[tuple[Scores, float]]:
    """Scores and ms a frame of the fit of every clip."""
    for clip in clips:
        stage = FitPose3d(
            LENS,
            clip.height if options.get("height") else None,
            contacts=options.get("contacts", True),
            weights=weights,
        )
        _, joints, ms = run(clip, stage)
        yield score(clip, joints[:, LIMB_JOINTS, :3], joints[:, FOOT_JOINTS, :3], joints[:, 0, :3]), ms


def mean(scores: Sequence[Scores]) -> dict[str, float]:
    """Their means; the spread's largest, and the lag of clips together."""
    return {name: float(np.nanmean([getattr(s, name) for s in scores])) for name in Scores.__annotations__}


def show(name: str, scores: Sequence[Scores], ms: float = np.nan) -> None:
    """Print a row."""
    told = " ".join(f"{key} {value:6.1f}" for key, value in mean(scores).items())
    print(f"{name:26} {told} ms {ms:.2f}", flush=True)


def draw(
    folder: Path, count: int, rate: int, chosen: bool, seconds: float = 5.0, seed: int = 1
) -> list[Clip]:
    """Clips of half of the subjects: those that weights were chosen on, or the others."""
    rng = np.random.default_rng(seed)
    everything = motions(folder)
    subjects = sorted({motion.subject for motion in everything})
    mine = set(subjects[0::2] if chosen else subjects[1::2])
    theirs = [m for m in everything if m.subject in mine and len(m.root) > 40]
    names = sorted({m.subject for m in theirs})
    clips: list[Clip] = []
    while len(clips) < count:
        subject = names[len(clips) % len(names)]
        motion = rng.choice(np.array([m for m in theirs if m.subject == subject], dtype=object))
        clips.append(make_clip(motion, rng, rate, seconds))
    return clips


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--poses", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--rate", type=int, default=30)
    parser.add_argument("--chosen", action="store_true")
    given = parser.parse_args()
    clips = draw(given.poses, given.clips, given.rate, given.chosen)
    show("raw", [score(clip, clip.world[:, LIMBS, :3], None, None) for clip in clips])
    stage = FitPose3d(LENS)
    filtered = []
    for clip in clips:
        stage.reset()
        filtered.append(score(clip, run(clip, stage)[0][:, LIMBS], None, None))
    show("one-euro", filtered)
    base = Weights()
    rows: list[tuple[str, Weights, dict[str, bool]]] = [
        ("fit", base, {}),
        ("fit, no contacts", base, {"contacts": False}),
        ("fit, no prediction", replace(base, steady=0.0), {"contacts": False}),
        ("fit, known height", base, {"height": True}),
    ]
    for name, weights, options in rows:
        scores, ms = zip(*fits(clips, weights, **options), strict=True)
        show(name, scores, float(np.mean(ms)))


if __name__ == "__main__":
    main()
