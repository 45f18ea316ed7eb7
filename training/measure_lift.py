"""Measure the landmark net's errors on people that are drawn: what `lift_noise.Fitted` is made of.

    python -m bodystream.training.measure_lift look DIR --poses MOCAP --backgrounds IMAGES --clips 300
    python -m bodystream.training.measure_lift fit DIR

`look` draws short clips of people in motion before photographs, follows each with BlazePose as the pipeline does,
and notes what is so and what it says. `fit` makes training/lift_noise.npz of that.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.export.prepare import prepare
from bodystream.models.crop import Crop, crop_of_box
from bodystream.models.keypoints import SWAP
from bodystream.models.lift_input import turned
from bodystream.models.lift_layout import ANKLES, HIPS, KNEES, LANDMARKS, NOSE, SHOULDERS, SIZE_M
from bodystream.models.pose import Pose, PoseNet
from bodystream.models.runtime import open_session
from bodystream.training.lift_noise import FILE, PX, Errors, Landmarks, by_doubt, views
from bodystream.training.lift_people import DISTANCE_M, Scene, cameras, pictures
from bodystream.training.motion import windows
from bodystream.training.people import make_figure
from bodystream.training.poses import HELD_OUT_SUBJECTS, Motion, read_motion
from bodystream.training.rendered import Image, drawn, painted

Floats = NDArray[np.float32]

STEPS = 5  # of a clip, at motion.RATE
LONG_PX = 960  # side of the pictures
NETS = ("blazepose-full", "blazepose-heavy")
LEAST_PRESENCE = 0.5
FLIPPED = (
    0.7  # a clip is left out where left and right exchanged fit so much better: flips are mended elsewhere
)
RIDGE = 1e-3  # of the mean square of what is so, which is about 0.1
RANK = 30  # of 90
LOST_PX = 8.0  # of the crop, mean over the limbs: beyond it something else was taken for the person
WINSOR = 3.5  # robust deviations, beyond which an error counts as that far off


class Clip(NamedTuple):
    """One person over T steps: what is so, `truth` (T, 33, 3), camera axes, m, and `focal_px`, `size` of the
    pictures; what each of the nets says: `landmarks` (2, T, 33, 3) px, px, confidence, `world` (2, T, 33, 3), m.
    """

    truth: Floats
    focal_px: Floats
    size: NDArray[np.int64]
    landmarks: Floats
    world: Floats


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("look", "fit"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--poses", type=Path)
    parser.add_argument("--backgrounds", type=Path)
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.what == "look":
        given.folder.mkdir(parents=True, exist_ok=True)
        motion = read_motion(given.poses)
        pictures_at = sorted(given.backgrounds.glob("*.jpg"))
        for name, part, count in (
            ("learnt", motion.without(HELD_OUT_SUBJECTS), given.clips),
            ("held-out", motion.of(HELD_OUT_SUBJECTS), given.clips // 2),
        ):
            found = list(clips(part, pictures_at, count, np.random.default_rng([given.seed, len(name)])))
            columns = {key: np.stack([getattr(each, key) for each in found]) for key in Clip._fields}
            write(given.folder / f"{name}.npz", columns)
            print(f"{name}: {len(found)} of {count} clips")
    else:
        errors = fit(read(given.folder / "learnt.npz"))
        write(Path(__file__).with_name(FILE), asdict(errors))


def read(path: Path) -> Clip:
    """The clips that `look` left in a file: the first axis of all arrays."""
    with np.load(path) as stored:
        return Clip(**{key: stored[key] for key in Clip._fields})


def write(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Arrays by name as an .npz file."""
    np.savez_compressed(path, allow_pickle=False, **columns)


def fit(clip: Clip) -> Errors:
    """The errors of each net on many clips, the first axis of all arrays."""
    found = [_fit_one(*(each[kept(clip, k)] for each in pairs(clip, k))) for k in range(len(NETS))]
    return Errors(*(np.stack([getattr(each, f.name) for each in found]) for f in fields(Errors)))


def scene_of(clip: Clip) -> Scene:
    """The truth of many clips as training has it, one person for each frame."""
    joints = clip.truth[:, :, list(LANDMARKS)]  # (N, T, 15, 3)
    steps = joints.shape[1]
    size, focal_px, picture = _size(joints).repeat(steps), *_cameras(clip)
    joints = joints.reshape(-1, *joints.shape[2:])  # (N · T, 15, 3)
    hips = joints[:, HIPS].mean(1, keepdims=True)
    rays = joints[..., :2] / joints[..., 2:]
    inside = (np.abs(rays) * focal_px[:, None, None] < picture[:, None] / 2).all(-1)
    scaled = (joints - hips) / size[:, None, None]
    return Scene(scaled, hips[:, 0, 2] / size, rays, np.ones(len(size), np.float32), inside, size)


def _size(joints: Floats) -> Floats:
    """Torso, thigh and shank, m, of people whose joints (N, T, 15, 3) are known over time: (N,)."""
    torso = joints[:, :, SHOULDERS].mean(2) - joints[:, :, HIPS].mean(2)
    thigh, shank = joints[:, :, KNEES] - joints[:, :, HIPS], joints[:, :, ANKLES] - joints[:, :, KNEES]
    lengths = [
        np.linalg.norm(each, axis=-1).reshape(len(joints), -1).mean(1) for each in (torso, thigh, shank)
    ]
    return np.sum(lengths, axis=0, dtype=np.float32)


def _cameras(clip: Clip) -> tuple[Floats, NDArray[np.int64]]:
    """Focal lengths (N · T,) and pictures' sizes (N · T, 2), px, of each frame."""
    steps = clip.truth.shape[1]
    return clip.focal_px.repeat(steps), clip.size.repeat(steps, axis=0)


def heard(clip: Clip, net: int) -> Landmarks:
    """What one of the nets says, in the order of `scene_of`."""
    marks, world = (
        each[:, net].reshape(-1, *each.shape[3:])[:, list(LANDMARKS)] for each in (clip.landmarks, clip.world)
    )
    focal_px, picture = _cameras(clip)
    rays = (marks[..., :2] - picture[:, None] / 2) / focal_px[:, None, None]
    world = world - world[:, HIPS].mean(1, keepdims=True)
    return Landmarks(rays.astype(np.float32), marks[..., 2], world)


def pairs(clip: Clip, net: int) -> tuple[Floats, Floats, Floats]:
    """True joints (N, T, 45), what the net says (N, T, 75), logits of confidences (N, T, 15); see `Errors`."""
    scene, said = scene_of(clip), heard(clip, net)
    upright, view = views(scene)
    world = turned(said.world, upright) / SIZE_M
    error = (said.rays - scene.rays) @ upright.swapaxes(1, 2) * scene.depth[:, None, None] / PX
    told = np.concatenate([each.reshape(len(each), -1) for each in (world, error)], axis=1)
    sure = np.clip(said.sure, 0.01, 0.999)
    columns = (view.reshape(len(view), -1), told, np.log(sure / (1 - sure)))
    joints, told, logit = (each.reshape(*clip.truth.shape[:2], -1) for each in columns)
    return joints, told, logit


def kept(clip: Clip, net: int) -> NDArray[np.bool_]:
    """The clips (N,) that errors are learnt from: those that show the whole person, whom the net has found.

    The others are few and far off, and would speak louder than all the rest.
    """
    inside = scene_of(clip).inside.reshape(*clip.truth.shape[:2], -1)[..., :NOSE].all((1, 2))
    off = pairs(clip, net)[1][..., 45:].reshape(*clip.truth.shape[:2], -1, 2)
    return np.asarray(inside & (np.linalg.norm(off, axis=-1)[..., :NOSE].mean((1, 2)) < LOST_PX))


def _fit_one(joints: Floats, told: Floats, logit: Floats) -> Errors:
    known = np.concatenate([joints, np.ones_like(joints[..., :1])], -1)  # (N, T, 46)
    linear = _ridge(known, told)
    off = (told - known @ linear.T).astype(np.float32)
    sure = logit.mean((0, 1))
    logit = logit - sure
    parts = ((slice(45), 3), (slice(45, 75), 2))
    doubt = np.array([_slope(off[..., part], logit, axes) for part, axes in parts], np.float32)
    off = off / by_doubt(logit, doubt)
    bound = WINSOR * 1.48 * np.median(np.abs(off), (0, 1))
    off = np.clip(off, -bound, bound)
    size = np.log(np.sqrt(((off / off.std((0, 1))) ** 2).mean((1, 2))))  # (N,)
    off = np.concatenate([off / np.exp(size)[:, None, None], logit], -1)  # (N, T, 90)
    steps = (off[:, 1:] - off[:, :-1]).reshape(-1, off.shape[-1])
    every = off.reshape(-1, off.shape[-1])
    covariance = every.T @ every / len(every)
    white = (steps**2).mean(0) / 2 / np.diag(covariance)
    shares = [float(white[part].mean()) for part, _ in parts]
    print("white share of the variance from frame to frame: world {:.2f}, picture {:.2f}".format(*shares))
    print(f"size of a clip: deviation of its logarithm {size.std():.2f}; doubt {doubt.round(2)}")
    print(f"what is left: world {off[..., :45].std():.3f} of SIZE_M; picture {off[..., 45:75].std():.2f} px")
    factor, own = _low_rank(covariance)
    sizes = np.array([size.mean(), size.std()])
    return Errors(*(np.asarray(each, np.float32) for each in (linear, sure, factor, own, sizes, doubt)))


def _ridge(known: Floats, told: Floats) -> Floats:
    """The linear map (75, 46) from what is so, near to saying just that."""
    prior = np.eye(told.shape[-1], known.shape[-1])
    prior[45:] = 0
    x, y = known.reshape(-1, known.shape[-1]).astype(np.float64), told.reshape(-1, told.shape[-1])
    gram = x.T @ x + RIDGE * len(x) * np.diag([*[1.0] * (x.shape[1] - 1), 0.0])
    return np.asarray(prior + np.linalg.solve(gram, x.T @ (y - x @ prior.T)).T, np.float32)


def _slope(off: Floats, logit: Floats, axes: int) -> float:
    """By how much the logarithm of a joint's error falls with its logit."""
    size = np.log(np.linalg.norm(off.reshape(*logit.shape, axes), axis=-1) + 1e-4)
    size, bounded = size - size.mean((0, 1)), np.clip(logit, -4, 4)
    return -float((size * bounded).sum() / (bounded**2).sum())


def _low_rank(covariance: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Its first RANK directions (90, RANK), and the deviations (90,) of what they leave."""
    values, vectors = np.linalg.eigh(covariance)
    factor = vectors[:, -RANK:] * np.sqrt(np.maximum(values[-RANK:], 0))
    return factor, np.sqrt(np.maximum(np.diag(covariance) - (factor**2).sum(1), 0))


def clips(motion: Motion, backgrounds: list[Path], count: int, rng: np.random.Generator) -> Iterator[Clip]:
    """Draw and look; clips in which a net loses the person or takes their back for the front are left out."""
    nets = [PoseNet(open_session(prepare(name), device="cpu", threads=1)) for name in NETS]
    turns, turned = windows(motion, count, STEPS, rng), cameras(count, rng)
    half, focal = pictures(count, rng)
    for i in range(count):
        size = np.round(LONG_PX * half[i]).astype(np.int64)
        focal_px = float(focal[i]) * LONG_PX / 2
        away = np.exp(rng.uniform(*np.log(DISTANCE_M)))
        place = away * np.array([*np.clip(rng.normal(0, 0.25, 2), -0.6, 0.6) * size / 2 / focal_px, 1])
        figure, paint = make_figure(rng), painted(rng)
        ground = background(backgrounds, size, rng)
        images, truth = zip(
            *(
                drawn(figure, paint, pose, turned[i], place.astype(np.float32), focal_px, ground)
                for pose in turns[i]
            ),
            strict=True,
        )
        noise = rng.uniform(1, 8)
        images = tuple(_grainy(image, noise, rng) for image in images)
        found = [followed(net, images, _box(truth[0], focal_px, size)) for net in nets]
        if any(each is None for each in found):
            continue
        landmarks, world = (np.stack(each) for each in zip(*(each for each in found if each), strict=True))
        flat = focal_px * np.stack(truth)[..., :2] / np.stack(truth)[..., 2:] + size / 2
        if _is_flipped(landmarks, flat.astype(np.float32)):
            continue
        yield Clip(np.stack(truth), np.float32(focal_px), size, landmarks, world)  # type: ignore[arg-type]


def followed(net: PoseNet, images: tuple[Image, ...], box: Floats) -> tuple[Floats, Floats] | None:
    """Landmarks (T, 33, 3) and world (T, 33, 3) of the person in the box of the first picture; None if lost."""
    crop: Crop = net(images[0], [crop_of_box(box)])[0].next_crop
    poses: list[Pose] = []
    for image in images:
        pose = net(image, [crop])[0]
        if pose.presence < LEAST_PRESENCE:
            return None
        poses.append(pose)
        crop = pose.next_crop
    return np.stack([p.landmarks for p in poses]), np.stack([p.world[:, :3] for p in poses])


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


def _box(truth: Floats, focal_px: float, size: NDArray[np.int64]) -> Floats:
    flat = focal_px * truth[:, :2] / np.maximum(truth[:, 2:], 0.2) + size / 2
    low, high = flat.min(0), flat.max(0)
    return np.clip(np.concatenate([low, high]), 0, [*size, *size]).astype(np.float32)


def _is_flipped(landmarks: Floats, flat: Floats) -> bool:
    """Whether left and right are exchanged in some frame: (2, T, 33, 3) against (T, 33, 2)."""
    limbs = list(LANDMARKS)
    own = np.linalg.norm((landmarks[..., :2] - flat)[:, :, limbs], axis=-1).mean(-1)
    other = np.linalg.norm((landmarks[:, :, SWAP, :2] - flat)[:, :, limbs], axis=-1).mean(-1)
    return bool((other < FLIPPED * own).any())


if __name__ == "__main__":
    main()
