"""What rcnn-s is trained on and what it is judged by: made-up scenes, or data in COCO's format."""

from functools import partial
from pathlib import Path

import numpy as np
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
        raise SourceNotFound(f"{folder} holds {len(found)} pictures; --backgrounds needs some, without people")
    held_out = found[::10]
    return tuple(each for each in found if each not in set(held_out)), tuple(held_out)
