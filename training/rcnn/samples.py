"""What an R-CNN learns from one picture, as arrays of fixed size: people beyond the number are left out.

A batch, as a `Source` yields it, is the fields of `Sample` in order, each with N before it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bodystream.training.rcnn.scenes import MOST, Scene, Scenes
from bodystream.training.task import Batch

Floats = NDArray[np.float32]

UNKNOWN = 255  # in `Sample.part`: a pixel of a person of whom only the mask is known


class Sample(NamedTuple):
    """A picture uint8 (H, W, 3), BGR, and `number` int64 () of people in it: `boxes` float32 (P, 4), px, `masks` bool
    (P, H, W), `keypoints` float32 (P, 17, 3), px, px, 0 unknown, 1 hidden, 2 visible; the rest of P are zeros.
    What each pixel shows of whoever it belongs to: `part` uint8 (H, W), 0 none, UNKNOWN; `uv` float32 (2, H, W).
    """

    image: NDArray[np.uint8]
    number: NDArray[np.int64]
    boxes: Floats
    masks: NDArray[np.bool_]
    keypoints: Floats
    part: NDArray[np.uint8]
    uv: Floats


@dataclass(frozen=True)
class MadeUp:
    """Scenes as a `Source`."""

    made: Scenes

    def batches(self, seed: int, rank: int, size: int) -> Iterator[Batch]:
        """Yield batches, see `Sample`."""
        samples = map(sample_of, self.made.scenes(seed, rank))
        while True:
            yield stacked([next(samples) for _ in range(size)])


def sample_of(scene: Scene) -> Sample:
    """All people of a scene."""
    people = scene.people
    part = np.zeros(scene.image.shape[:2], np.uint8)
    uv = np.zeros((2, *part.shape), np.float32)
    for each in people:  # no pixel is two people's
        part += each.part
        uv += each.uv
    return padded(
        scene.image,
        MOST,
        [each.box for each in people],
        [each.mask for each in people],
        [each.keypoints for each in people],
        part,
        uv,
    )


def padded(
    image: NDArray[np.uint8],
    most: int,
    boxes: Sequence[Floats],
    masks: Sequence[NDArray[np.bool_]],
    keypoints: Sequence[Floats],
    part: NDArray[np.uint8],
    uv: Floats,
) -> Sample:
    """A sample of at most `most` people, those with the largest boxes."""
    order = sorted(range(len(boxes)), key=lambda k: -float(np.prod(boxes[k][2:] - boxes[k][:2])))[:most]
    count = len(order)
    all_boxes = np.zeros((most, 4), np.float32)
    all_masks = np.zeros((most, *image.shape[:2]), np.bool_)
    all_keypoints = np.zeros((most, 17, 3), np.float32)
    for place, k in enumerate(order):
        all_boxes[place], all_masks[place], all_keypoints[place] = boxes[k], masks[k], keypoints[k]
    return Sample(image, np.asarray(count, np.int64), all_boxes, all_masks, all_keypoints, part, uv)


def stacked(samples: Sequence[Sample]) -> Batch:
    """Samples as a batch."""
    return tuple(np.stack(each) for each in zip(*samples, strict=True))


def apart(batch: Batch) -> Iterator[Sample]:
    """Yield the samples of a batch."""
    for fields in zip(*batch, strict=True):
        yield Sample(*fields)
