"""What rcnn-s is trained on and what it is judged by: made-up scenes, or data in COCO's format."""

from pathlib import Path

import torch
from torch import Tensor

from bodystream.errors import SourceNotFound
from bodystream.models.nets.rcnn.losses import Targets, rcnn_losses
from bodystream.models.nets.rcnn.system import SYSTEMS, Rcnn
from bodystream.training.poses import HELD_OUT_SUBJECTS, read_motion
from bodystream.training.rcnn import coco
from bodystream.training.rcnn.samples import UNKNOWN, MadeUp
from bodystream.training.rcnn.scenes import Scenes
from bodystream.training.rcnn.validation import COUNTS, counted, figures
from bodystream.training.source import Source
from bodystream.training.task import Task

SYSTEM = "rcnn-s"
SIZE = (SYSTEMS[SYSTEM].short_side, SYSTEMS[SYSTEM].long_side)  # of the pictures, px
PICTURES = (".jpg", ".jpeg", ".png")


def sources(
    poses: Path | None, data: Path | None = None, backgrounds: Path | None = None
) -> tuple[Source, Source]:
    """The source to learn from and the held-out one: scenes, with motion capture or made-up poses, or `data`.

    Raises what `read_motion` and `coco.sources` raise, and SourceNotFound for a folder without pictures.
    """
    if data is not None:
        return coco.sources(data, SIZE)
    motion = None if poses is None else read_motion(poses)
    known = None if motion is None else motion.without(HELD_OUT_SUBJECTS)
    unseen = None if motion is None else motion.of(HELD_OUT_SUBJECTS)
    learnt, held_out = _pictures(backgrounds)
    return MadeUp(Scenes(known, SIZE, learnt)), MadeUp(Scenes(unseen, SIZE, held_out))


def _pictures(folder: Path | None) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Backgrounds to learn before and to be judged before, every tenth."""
    if folder is None:
        return (), ()
    found = sorted(each for each in folder.rglob("*") if each.suffix.lower() in PICTURES)
    if len(found) < 2:
        raise SourceNotFound(
            f"{folder} holds {len(found)} pictures; --backgrounds needs some, without people"
        )
    held_out = found[::10]
    return tuple(each for each in found if each not in set(held_out)), tuple(held_out)


def loss(net: Rcnn, batch: tuple[Tensor, ...], draw: torch.Generator, bf16: bool) -> Tensor:
    """The sum of `rcnn_losses`, weighted, and each of them, of what a source of `Sample` yields: (1 + L,)."""
    images, *people = batch
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        pictures = net.normalised(images).contiguous(memory_format=torch.channels_last)
        parts = rcnn_losses(net, pictures, targets(*people), draw)
    told = torch.stack([parts[name].float() for name in LOSSES])
    weights = torch.tensor([WEIGHTS.get(name, 1.0) for name in LOSSES], device=told.device)
    return torch.cat([(told * weights).sum()[None], told])


def targets(
    counts: Tensor, boxes: Tensor, masks: Tensor, keypoints: Tensor, part: Tensor, uv: Tensor
) -> list[Targets]:
    """Of each picture; a picture that shows people whose parts are not known says nothing of parts."""
    found = []
    for k, count in enumerate(counts.tolist()):
        own = masks[k, :count]  # (N, H, W)
        height, width = own.shape[1:]
        frame = torch.tensor([0.0, 0.0, width, height], device=own.device)
        known = not bool((part[k] == UNKNOWN).any())
        found.append(
            Targets(
                boxes=boxes[k, :count],
                labels=torch.zeros(count, dtype=torch.int64, device=own.device),
                frames=frame.expand(count, 4),
                masks=own,
                parts=part[k] * own if known else None,
                uv=uv[k].expand(count, -1, -1, -1) if known else None,
                keypoints=keypoints[k, :count],
            )
        )
    return found


LOSSES = ("objectness", "rpn_box", "class", "box", "mask", "coarse", "fine", "uv")
# After 4,000 samples the gradient of "coarse", which says what the mask says, was the largest in the trunk, half as
# large again as that of the parts, which are learnt last. Now it is the parts' that is largest.
WEIGHTS = {"coarse": 0.5, "fine": 4.0, "uv": 2.0}


def made() -> Rcnn:
    """rcnn-s, untrained."""
    return Rcnn(SYSTEMS[SYSTEM])


def named_figures(counts: Tensor) -> dict[str, float]:
    """`validation.figures` by name."""
    return figures(counts)._asdict()


def weights(net: Rcnn) -> dict[str, Tensor]:
    """All of them."""
    return dict(net.state_dict())


RCNN = Task(
    name=SYSTEM,
    make=made,
    losses=("loss", *LOSSES),
    loss=loss,
    counts=COUNTS,
    counted=counted,
    figures=named_figures,
    weights=weights,
    metadata={"system": SYSTEM},
    weight_decay=1e-3,
    warm_up=1000,
    ema=0.998,
    clip=10.0,
)
