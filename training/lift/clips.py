"""What the landmark net said of drawn people, beside what is so: as `lift.measure` notes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bodystream.errors import SourceNotFound, SourceUnreadable
from bodystream.models.lift_input import seen, turned
from bodystream.models.lift_layout import ANKLES, HIPS, KNEES, LANDMARKS, NOSE, SHOULDERS, SIZE_M
from bodystream.training.lift.noise import PX, Landmarks, views
from bodystream.training.lift.people import Scene

Floats = NDArray[np.float32]

NETS = ("blazepose-full", "blazepose-heavy")
LEARNT, HELD_OUT = "learnt.npz", "held-out.npz"  # in the folder of a look
LOST_PX = 8.0  # of the crop, mean over the limbs: beyond it something else was taken for the person


class Clip(NamedTuple):
    """One person over T steps: what is so, `truth` (T, 33, 3), camera axes, m, and `focal_px`, `size` of the
    pictures; what each of the nets says: `landmarks` (2, T, 33, 3) px, px, confidence, `world` (2, T, 33, 3), m.
    """

    truth: Floats
    focal_px: Floats
    size: NDArray[np.int64]
    landmarks: Floats
    world: Floats


def read_clips(folder: Path, name: str) -> list[Clip]:
    """All clips in files of that name in a folder and those below. Raises SourceNotFound, SourceUnreadable."""
    paths = sorted(folder.rglob(name))
    if not paths:
        raise SourceNotFound(
            f"no {name} in {folder}; make it with python -m bodystream.training.lift.measure"
        )
    try:
        return [_read(path) for path in paths]
    except (KeyError, ValueError, OSError) as error:
        raise SourceUnreadable(
            f"{folder} holds a {name} that is none ({type(error).__name__}: {error})"
        ) from error


def _read(path: Path) -> Clip:
    with np.load(path, allow_pickle=False) as stored:
        return Clip(**{key: stored[key] for key in Clip._fields})


def write(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Arrays by name as an .npz file."""
    np.savez_compressed(path, allow_pickle=False, **columns)


def examples(clip: Clip, net: int) -> tuple[Floats, Floats]:
    """What lift-s is given of each frame that is kept, (M, 93), and the joints as they are, (M, 15, 3)."""
    scene, said, good = scene_of(clip), heard(clip, net), kept(clip, net)
    view = seen(said.rays, said.sure, said.world)
    joints = scene.joints @ view.turns.swapaxes(1, 2)
    return view.inputs[good], joints[good].astype(np.float32)


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
    """True joints (M, 45), what the net says (M, 75), logits of confidences (M, 15), of each frame; see `Errors`."""
    scene, said = scene_of(clip), heard(clip, net)
    upright, view = views(scene)
    world = turned(said.world, upright) / SIZE_M
    error = (said.rays - scene.rays) @ upright.swapaxes(1, 2) * scene.depth[:, None, None] / PX
    told = np.concatenate([each.reshape(len(each), -1) for each in (world, error)], axis=1)
    sure = np.clip(said.sure, 0.01, 0.999)
    return view.reshape(len(view), -1), told, np.log(sure / (1 - sure))


def kept(clip: Clip, net: int) -> NDArray[np.bool_]:
    """The frames (M,) that errors are learnt from: those that show the whole person, whom the net has found.

    The others are few and far off, and would speak louder than all the rest.
    """
    inside = np.asarray(scene_of(clip).inside[:, :NOSE].all(1))
    off = pairs(clip, net)[1][:, 45:].reshape(len(inside), -1, 2)
    return np.asarray(inside & (np.linalg.norm(off, axis=-1)[:, :NOSE].mean(1) < LOST_PX))
