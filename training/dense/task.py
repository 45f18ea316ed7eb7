"""What dense-s is trained on and what it is judged by: people in different poses, moved by different people."""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from bodystream.models.body.data import load
from bodystream.models.dense_layout import GROUPS
from bodystream.models.nets.correspondence import SUB, Correspondence
from bodystream.training.dense.generator import Generator
from bodystream.training.dense.loss import chart_sizes, loss_of
from bodystream.training.dense.validation import COUNTS, counted, figures
from bodystream.training.poses import HELD_OUT_SUBJECTS, read_poses
from bodystream.training.task import Task

LOOKS = 3  # at each posed person: the errors are drawn anew, which costs less than another person
# Shares of samples whose input lacks one of its sources, so that the net does not stand on one alone.
DROPPED = {"mask": 0.03, "render": 0.03, "bones": 0.06}
# How much of the offsets that the net has learned for the baseline's U, V is kept in the weights that are used.
# In training most landmarks are wrong, so it moves those that are right as well: on held-out people without errors
# the whole offset made the median error of dense-s 2.17 cm, half of it 1.85, none 1.96, where the baseline has 1.87;
# with errors 4.08, 4.24 and 4.76 (docs/dense-s.md).
OFFSETS_KEPT = 0.5


def sources(poses: Path | None) -> tuple[Generator, Generator]:
    """The source to learn from and the held-out one, from the archives in a folder or from the sampler alone.

    Raises what `read_poses` raises.
    """
    known = None if poses is None else read_poses(poses).without(HELD_OUT_SUBJECTS)
    return Generator(known, looks=LOOKS), held_out_source(poses)


def held_out_source(poses: Path | None, *, exact: bool = False) -> Generator:
    """The held-out one; `exact` leaves the errors of landmarks and masks out. Raises what `read_poses` raises."""
    return Generator(None if poses is None else read_poses(poses).of(HELD_OUT_SUBJECTS), exact=exact)


def loss(net: Correspondence, batch: tuple[Tensor, ...], draw: torch.Generator, bf16: bool) -> Tensor:
    """The loss and its two parts, (3,), of what `Generator.batches` yields."""
    inputs, part, uv = batch
    inputs = with_gaps(inputs, draw).contiguous(memory_format=torch.channels_last)
    return torch.stack(loss_of(net, inputs, part, uv, _sizes(inputs.device), bf16=bf16))


@cache
def _sizes(device: torch.device) -> Tensor:
    return torch.from_numpy(chart_sizes(load())).to(device)


def with_gaps(inputs: Tensor, draw: torch.Generator) -> Tensor:
    """The inputs (N, 48, 64, 64), and in some of them all channels of one source zero (see `DROPPED`)."""
    chance = torch.rand(len(inputs), generator=draw)  # (N,)
    out, low = inputs.clone(), 0.0
    for group, share in DROPPED.items():
        missing = ((chance >= low) & (chance < low + share)).to(inputs.device)  # (N,)
        for channels in GROUPS[group]:
            out[missing, channels] = 0
        low += share
    return out


def weights(net: Correspondence) -> dict[str, Tensor]:
    """What `models.weights.correspondence` reads."""
    tensors = dict(net.state_dict())
    for name in ("shifts.weight", "shifts.bias"):
        kept = tensors[name].clone()
        kept[: 2 * SUB] *= OFFSETS_KEPT  # the first half of `shifts` are offsets, the second slopes
        tensors[name] = kept
    return tensors


def named_figures(counts: Tensor) -> dict[str, float]:
    """`validation.figures` by name."""
    return figures(counts)._asdict()


DENSE = Task(
    name="dense-s",
    make=Correspondence,
    losses=("loss", "part_loss", "place_loss"),
    loss=loss,
    counts=COUNTS,
    counted=counted,
    figures=named_figures,
    weights=weights,
    weight_decay=1e-3,  # this and the warm-up: as in the trial of 100 000 samples that came before (docs/dense.md)
    warm_up=20_000,
    ema=0.999,  # the mean over the last thousand steps
)
