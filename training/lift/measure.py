"""Measure the landmark net's errors on people that are drawn: what `noise.Fitted` is made of.

    python -m bodystream.training.lift.measure look DIR --poses MOCAP --backgrounds IMAGES --clips 300
    python -m bodystream.training.lift.measure fit DIR

`look` draws short clips of people in motion before photographs, follows each with BlazePose as the pipeline does,
and notes what is so and what it says. `fit` makes training/lift/noise.npz of what lies in DIR and below.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.export.prepare import prepare
from bodystream.models.crop import Crop, crop_of_box
from bodystream.models.keypoints import SWAP
from bodystream.models.lift_layout import LANDMARKS
from bodystream.models.pose import Pose, PoseNet
from bodystream.models.runtime import open_session
from bodystream.training.lift.clips import HELD_OUT, LEARNT, NETS, Clip, kept, pairs, read_clips, write
from bodystream.training.lift.noise import FILE, Errors, by_doubt
from bodystream.training.lift.people import DISTANCE_M, cameras, pictures
from bodystream.training.motion import windows
from bodystream.training.people import make_figure
from bodystream.training.poses import HELD_OUT_SUBJECTS, Motion, read_motion
from bodystream.training.rendered import Drawn, Image, drawn, painted

Floats = NDArray[np.float32]

LONG_PX = 960  # side of the pictures
LEAST_PRESENCE = 0.5
# A clip is left out where left and right exchanged fit so much better: flips are mended elsewhere.
FLIPPED = 0.7
RIDGE = 3e-4  # in the mean over people; of 1e-4 to 3e-2, one of the best on clips that were left out
RANK = 30  # of 90
WINSOR = 3.5  # robust deviations, beyond which an error counts as that far off


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("look", "fit"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--poses", type=Path)
    parser.add_argument("--backgrounds", type=Path)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--held-out", type=int, default=150, help="clips of people no net learns from")
    parser.add_argument("--steps", type=int, default=5, help="of a clip, at motion.RATE")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.what == "look":
        given.folder.mkdir(parents=True, exist_ok=True)
        motion = read_motion(given.poses)
        pictures_at = sorted(given.backgrounds.glob("*.jpg"))
        for name, stream, part, count in (
            (LEARNT, 6, motion.without(HELD_OUT_SUBJECTS), given.clips),
            (HELD_OUT, 8, motion.of(HELD_OUT_SUBJECTS), given.held_out),
        ):
            rng = np.random.default_rng([given.seed, stream])
            found = list(clips(part, pictures_at, count, given.steps, rng))
            columns = {key: np.stack([getattr(each, key) for each in found]) for key in Clip._fields}
            write(given.folder / name, columns)
            print(f"{name}: {len(found)} of {count} clips")
    else:
        errors = fit(read_clips(given.folder, LEARNT))
        write(Path(__file__).with_name(FILE), asdict(errors))


def fit(clips: Sequence[Clip]) -> Errors:
    """The errors of each net. The frames of a clip are alike: its first one speaks for all."""
    found = []
    for net, name in enumerate(NETS):
        good = [_first(clip, net) for clip in clips]
        columns = [np.concatenate(each) for each in zip(*good, strict=True)]
        print(f"{name}, {len(columns[0])} frames")
        found.append(_fit_one(*columns))
        world, picture = white_share(clips, net, found[-1].linear)
        print(
            f"share of the variance that is anew from frame to frame: world {world:.2f}, picture {picture:.2f}"
        )
    return Errors(*(np.stack([getattr(each, f.name) for each in found]) for f in fields(Errors)))


def _first(clip: Clip, net: int) -> list[Floats]:
    """`pairs` of the clips' first frames, where they can be learnt from."""
    every = slice(None, None, clip.truth.shape[1])
    good = kept(clip, net)[every]
    return [each[every][good] for each in pairs(clip, net)]


def _fit_one(joints: Floats, told: Floats, logit: Floats) -> Errors:
    known = _known(joints)
    linear = _ridge(known, told)
    off = told - known @ linear.T
    sure = logit.mean(0)
    logit = logit - sure
    parts = ((slice(45), 3), (slice(45, 75), 2))
    doubt = np.array([_slope(off[:, part], logit, axes) for part, axes in parts], np.float32)
    off = off / by_doubt(logit, doubt)
    bound = WINSOR * 1.48 * np.median(np.abs(off), 0)
    off = np.clip(off, -bound, bound)
    size = np.log(np.sqrt(((off / off.std(0)) ** 2).mean(1)))  # (M,)
    off = np.concatenate([off / np.exp(size)[:, None], logit], -1)  # (M, 90)
    print(f"size of the errors: deviation of its logarithm {size.std():.2f}; doubt {doubt.round(2)}")
    print(f"what is left: world {off[:, :45].std():.3f} of SIZE_M; picture {off[:, 45:75].std():.2f} px")
    factor, own = _low_rank(off.T @ off / len(off))
    sizes = np.array([size.mean(), size.std()])
    return Errors(*(np.asarray(each, np.float32) for each in (linear, sure, factor, own, sizes, doubt)))


def white_share(clips: Sequence[Clip], net: int, linear: Floats) -> tuple[float, float]:
    """How much of what the map leaves differs from frame to frame, in the world and in the picture.

    Of clips of several frames; no number where there are none.
    """
    steps, every = [np.zeros((0, 75))], [np.zeros((0, 75))]
    for clip in clips:
        joints, told, _ = pairs(clip, net)
        off = (told - _known(joints) @ linear.T).reshape(*clip.truth.shape[:2], -1)
        off = off[kept(clip, net).reshape(off.shape[:2]).all(1)]
        if off.shape[1] > 1:
            steps.append((off[:, 1:] - off[:, :-1]).reshape(-1, off.shape[-1]))
            every.append(off.reshape(-1, off.shape[-1]))
    if len(every) == 1:
        return np.nan, np.nan
    share = (np.concatenate(steps) ** 2).mean(0) / 2 / np.concatenate(every).var(0)
    return float(share[:45].mean()), float(share[45:].mean())


def _known(joints: Floats) -> Floats:
    return np.concatenate([joints, np.ones_like(joints[:, :1])], axis=1)  # (M, 46)


def _ridge(known: Floats, told: Floats) -> Floats:
    """The linear map (75, 46) from what is so, near to saying just that."""
    prior = np.eye(told.shape[-1], known.shape[-1])
    prior[45:] = 0
    x, y = known.astype(np.float64), told.astype(np.float64)
    gram = x.T @ x + RIDGE * len(x) * np.diag([*[1.0] * (x.shape[1] - 1), 0.0])
    return np.asarray(prior + np.linalg.solve(gram, x.T @ (y - x @ prior.T)).T, np.float32)


def _slope(off: Floats, logit: Floats, axes: int) -> float:
    """By how much the logarithm of a joint's error falls with its logit."""
    size = np.log(np.linalg.norm(off.reshape(*logit.shape, axes), axis=-1) + 1e-4)
    size, bounded = size - size.mean(0), np.clip(logit, -4, 4)
    return -float((size * bounded).sum() / (bounded**2).sum())


def _low_rank(covariance: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Its first RANK directions (90, RANK), and the deviations (90,) of what they leave."""
    values, vectors = np.linalg.eigh(covariance)
    factor = vectors[:, -RANK:] * np.sqrt(np.maximum(values[-RANK:], 0))
    return factor, np.sqrt(np.maximum(np.diag(covariance) - (factor**2).sum(1), 0))


class Shot(NamedTuple):
    """One drawn person over T steps: their frames, the camera's focal length, px, and the pictures' size."""

    frames: list[Drawn]
    focal_px: float
    size: NDArray[np.int64]

    @property
    def truth(self) -> Floats:
        """Landmarks (T, 33, 3) in camera axes, m."""
        return np.stack([frame.marks for frame in self.frames])

    @property
    def flat(self) -> Floats:
        """The same in px: (T, 33, 2)."""
        truth = self.truth
        flat = self.focal_px * truth[..., :2] / np.maximum(truth[..., 2:], 0.2) + self.size / 2
        return flat.astype(np.float32)

    @property
    def box(self) -> Floats:
        """Round the landmarks of the first frame, within the picture: (4,)."""
        low, high = self.flat[0].min(0), self.flat[0].max(0)
        return np.clip(np.concatenate([low, high]), 0, [*self.size, *self.size]).astype(np.float32)


def clips(
    motion: Motion, backgrounds: list[Path], count: int, steps: int, rng: np.random.Generator
) -> Iterator[Clip]:
    """Draw and look; clips in which a net loses the person or takes their back for the front are left out."""
    nets = [PoseNet(open_session(prepare(name), device="cpu", threads=1)) for name in NETS]
    for shot in shots(motion, backgrounds, count, steps, rng):
        found = [each for net in nets if (each := followed(net, shot))]
        if len(found) < len(nets):
            continue
        landmarks, world = (
            np.stack([[getattr(pose, name) for pose in poses] for poses in found])
            for name in ("landmarks", "world")
        )
        if not is_flipped(landmarks, shot.flat):
            yield Clip(shot.truth, np.float32(shot.focal_px), shot.size, landmarks, world[..., :3])  # type: ignore[arg-type]


def shots(
    motion: Motion, backgrounds: list[Path], count: int, steps: int, rng: np.random.Generator
) -> Iterator[Shot]:
    """Draw people in motion."""
    turns, turned = windows(motion, count, steps, rng), cameras(count, rng)
    half, focal = pictures(count, rng)
    nearest, furthest = np.log(DISTANCE_M)
    for i in range(count):
        size = np.round(LONG_PX * half[i]).astype(np.int64)
        focal_px = float(focal[i]) * LONG_PX / 2
        away = np.exp(rng.uniform(nearest, furthest))
        aside = np.clip(rng.normal(0, 0.25, 2), -0.6, 0.6) * size / 2 / focal_px
        place = (away * np.array([*aside, 1])).astype(np.float32)
        figure, paint = make_figure(rng), painted(rng)
        ground = background(backgrounds, size, rng)
        frames = [drawn(figure, paint, pose, turned[i], place, focal_px, ground) for pose in turns[i]]
        grain = rng.uniform(1, 8)
        yield Shot(
            [frame._replace(picture=_grainy(frame.picture, grain, rng)) for frame in frames], focal_px, size
        )


def followed(net: PoseNet, shot: Shot) -> list[Pose]:
    """What the net says of the person in each frame, led on by their own landmarks; nothing if it loses them."""
    crop: Crop = net(shot.frames[0].picture, [crop_of_box(shot.box)])[0].next_crop
    poses: list[Pose] = []
    for frame in shot.frames:
        pose = net(frame.picture, [crop])[0]
        if pose.presence < LEAST_PRESENCE:
            return []
        poses.append(pose)
        crop = pose.next_crop
    return poses


def background(paths: list[Path], size: NDArray[np.int64], rng: np.random.Generator) -> Image:
    """A part of a photograph, upside down, so that the people in it are not taken for the one who is drawn."""
    image = np.asarray(cv2.imread(str(paths[rng.integers(len(paths))])), np.uint8)[::-1]
    height, width = image.shape[:2]
    share = rng.uniform(0.5, 1.0)
    x, y = (int(rng.uniform(0, (1 - share) * side)) for side in (width, height))
    part = image[y : y + int(share * height), x : x + int(share * width)]
    return np.asarray(cv2.resize(part, (int(size[0]), int(size[1]))), np.uint8)


def _grainy(image: Image, deviation: float, rng: np.random.Generator) -> Image:
    grain = deviation * rng.standard_normal(image.shape, np.float32)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def is_flipped(landmarks: Floats, flat: Floats) -> bool:
    """Whether left and right are exchanged in some frame: landmarks (K, T, 33, 3) against (T, 33, 2)."""
    limbs = list(LANDMARKS)
    own = np.linalg.norm((landmarks[..., :2] - flat)[:, :, limbs], axis=-1).mean(-1)
    other = np.linalg.norm((landmarks[:, :, SWAP, :2] - flat)[:, :, limbs], axis=-1).mean(-1)
    return bool((other < FLIPPED * own).any())


if __name__ == "__main__":
    main()
