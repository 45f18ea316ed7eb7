"""What lift-s is trained on and what it is judged by: people before cameras, moved by different people."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bodystream.errors import UsageError
from bodystream.evaluation.pose3d import procrustes
from bodystream.models.lift_input import seen
from bodystream.models.lift_layout import (
    ANKLES,
    ELBOWS,
    HIPS,
    JOINTS,
    KNEES,
    NOSE,
    SHOULDERS,
    SIZE_M,
    TOES,
    WORLD,
    WRISTS,
)
from bodystream.models.nets.lift import Lift
from bodystream.training.lift.noise import Fitted, HandSet, Landmarks, Mixed
from bodystream.training.lift.people import Scene, scene
from bodystream.training.motion import windows
from bodystream.training.poses import HELD_OUT_SUBJECTS, Motion, read_motion
from bodystream.training.task import Batch, Task

Floats = NDArray[np.float32]

# Bones, as pairs of joints: the limbs', the trunk's sides, shoulders and hips across, nose to shoulders.
_LIMBS = (
    (SHOULDERS, ELBOWS),
    (ELBOWS, WRISTS),
    (HIPS, KNEES),
    (KNEES, ANKLES),
    (ANKLES, TOES),
    (HIPS, SHOULDERS),
)
_LEFT, _RIGHT = SHOULDERS.start, SHOULDERS.start + 1
BONES = (
    *((a.start + side, b.start + side) for a, b in _LIMBS for side in (0, 1)),
    *((_LEFT, _RIGHT), (HIPS.start, HIPS.start + 1), (NOSE, _LEFT), (NOSE, _RIGHT)),
)
BONE_WEIGHT = 0.3  # of their errors, to that of the joints


class Noise(Protocol):
    """What makes the landmark net's answer out of a scene."""

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Landmarks:
        """Disturb it."""


class People:
    """An endless source of people. `motion` None: made-up poses alone."""

    def __init__(self, motion: Motion | None, noise: Noise) -> None:
        self._motion, self._noise = motion, noise

    def batches(self, seed: int, rank: int, size: int) -> Iterator[tuple[Floats, Floats]]:
        """Yield inputs (N, 93) and joints (N, 15, 3) in the view's axes, units of `lift_layout.SIZE_M`."""
        rng = np.random.default_rng([seed, rank])
        while True:
            there = scene(windows(self._motion, size, 1, rng)[:, 0], rng)
            found = self._noise(there, rng)
            view = seen(found.rays, found.sure, found.world)
            yield view.inputs, there.joints @ view.turns.swapaxes(1, 2)


NOISES: Mapping[str, Noise] = {"hand": HandSet(), "fitted": Fitted(), "mixed": Mixed((HandSet(), Fitted()))}


def sources(poses: Path | None, noise: str) -> tuple[People, People]:
    """The source to learn from and the held-out one, with a noise of NOISES.

    Raises UsageError for another noise, and what `read_motion` raises.
    """
    if noise not in NOISES:
        raise UsageError(f"--noise {noise}: expected {', '.join(NOISES)}")
    motion = None if poses is None else read_motion(poses)
    known = None if motion is None else motion.without(HELD_OUT_SUBJECTS)
    unseen = None if motion is None else motion.of(HELD_OUT_SUBJECTS)
    return People(known, NOISES[noise]), People(unseen, NOISES[noise])


def loss(net: Lift, batch: tuple[Tensor, ...], draw: torch.Generator, bf16: bool) -> Tensor:  # noqa: ARG001
    """Of joints and bones, and the sum before them: (3,)."""
    inputs, truth = batch
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=bf16):
        features = net.features(inputs)  # (N, 512)
    found = net.joints(features.float(), inputs)  # (N, 15, 3)
    joints = _length(found - truth).mean()
    bones = (_bones(found) - _bones(truth)).abs().mean()
    return torch.stack([joints + BONE_WEIGHT * bones, joints, bones])


def _bones(joints: Tensor) -> Tensor:
    a, b = zip(*BONES, strict=True)
    return _length(joints[:, a] - joints[:, b])  # (N, B)


def _length(vectors: Tensor) -> Tensor:
    return (vectors.square().sum(-1) + 1e-8).sqrt()


COUNTS = 7


def counted(net: Lift, held_out: Sequence[Batch], device: torch.device) -> Tensor:
    """Sums, (7,): how many people; mm of joints, after alignment, of depth; the same of the input's."""
    counts = torch.zeros(COUNTS)
    for batch in held_out:
        inputs, truth = (torch.from_numpy(each).to(device) for each in batch)
        with torch.inference_mode():
            found = net(inputs)  # (N, 15, 3)
        given = inputs[:, WORLD].reshape(-1, JOINTS, 3)  # (N, 15, 3)
        sums = [errors_mm(each, truth).sum(0) for each in (found, given)]
        counts += torch.cat([torch.tensor([float(len(inputs))]), *(each.cpu() for each in sums)])
    return counts


def errors_mm(found: Tensor, truth: Tensor) -> Tensor:
    """Of poses (N, 15, 3), SIZE_M: mean distance, the same after the best similarity, mean depth error: (N, 3)."""
    direct = (found - truth).norm(dim=-1).mean(-1)
    after = (aligned(found, truth) - truth).norm(dim=-1).mean(-1)
    deep = (found - truth)[..., 2].abs().mean(-1)
    return 1000 * SIZE_M * torch.stack([direct, after, deep], dim=-1)


def aligned(found: Tensor, truth: Tensor) -> Tensor:
    """Poses (N, J, 3) moved, turned and scaled onto others, each for itself."""
    return torch.from_numpy(procrustes(*(each.cpu().double().numpy() for each in (found, truth)))).to(found)


def figures(counts: Tensor) -> dict[str, float]:
    """Means, of the net and of what it was given."""
    names = ("mpjpe_mm", "pa_mm", "depth_mm", "raw_mpjpe_mm", "raw_pa_mm", "raw_depth_mm")
    people, *sums = counts.tolist()
    return {name: value / max(people, 1.0) for name, value in zip(names, sums, strict=True)}


def weights(net: Lift) -> dict[str, Tensor]:
    """What `models.weights.lift` reads."""
    return dict(net.state_dict())


LIFT = Task(
    name="lift-s",
    make=Lift,
    losses=("loss", "joints_loss", "bones_loss"),
    loss=loss,
    counts=COUNTS,
    counted=counted,
    figures=figures,
    weights=weights,
    weight_decay=1e-2,
    warm_up=20_000,
    ema=0.998,
)
