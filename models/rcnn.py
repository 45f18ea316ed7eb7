"""What lies between the networks of an R-CNN, in numpy: sizes, suppression, places in the picture.

Every network of the family is a file with fixed shapes, cut where the number of boxes would change. Coordinates are
px of the networks' input, the canvas, unless they are said to be the picture's.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.errors import UsageError
from bodystream.models.boxes import nms

Floats = NDArray[np.float32]


MULTIPLE = 32  # px: sides of the canvas, so that every level of the pyramid is half of the one before


@dataclass(frozen=True, slots=True)
class Shape:
    """What is chosen when an R-CNN is exported: the canvas in px, how many proposals and how many people."""

    height: int = 480
    width: int = 640
    proposals: int = 100
    people: int = 5

    def __post_init__(self) -> None:
        """Raises UsageError for what no network takes."""
        if self.height % MULTIPLE or self.width % MULTIPLE or min(self.height, self.width) < 2 * MULTIPLE:
            raise UsageError(
                f"a network size of {self.width}x{self.height}: expected multiples of {MULTIPLE} px from "
                f"{2 * MULTIPLE} on, as 640x480"
            )
        if min(self.proposals, self.people) < 1:
            raise UsageError(
                f"{self.proposals} proposals and {self.people} people: expected 1 or more of each"
            )


@dataclass(frozen=True, slots=True)
class Conventions:
    """What a system's configuration says of the steps between its networks, and the shapes of its files.

    `export` writes it into the metadata of each. The defaults of torchvision and of detectron2 differ in
    `min_side` and `box_min_side` alone.
    """

    height: int  # px of the canvas
    width: int
    proposals: int  # K, boxes that the box head looks at
    people: int  # D, boxes that the other heads look at
    person: int  # which of the classes
    short_side: int  # px that the shorter side of a picture was scaled to in training
    long_side: int  # and what the longer one was not to exceed
    nms_iou: float  # of proposals, within a level of the pyramid
    min_side: float  # px, of proposals
    box_nms_iou: float  # of people
    box_min_side: float
    min_score: float
    detections: int  # at most, in a picture

    def text(self) -> str:
        """As metadata."""
        return json.dumps(asdict(self))


def conventions(metadata: Mapping[str, str]) -> Conventions:
    """What the metadata of a file says; KeyError where it is not one of the family."""
    return Conventions(**json.loads(metadata["conventions"]))


# -- the picture


def scaled(image_bgr: NDArray[np.uint8], conv: Conventions) -> tuple[NDArray[np.uint8], Floats, Floats]:
    """A picture uint8 (H, W, 3) in the upper left corner of the canvas, its aspect kept, and black beside it.

    Returns the canvas uint8 (1, height, width, 3); the size of its valid part, float32 (2,): height, width; and
    the scale, float32 (2,): px of the canvas to one of the picture, along x and along y.
    Pictures become as large as fits, and no larger than in training. Linear, as in torchvision's
    GeneralizedRCNNTransform, on 8 bits.
    """
    height, width = image_bgr.shape[:2]
    short, long = sorted((height, width))
    factor = min(conv.height / height, conv.width / width, conv.short_side / short, conv.long_side / long)
    # Rounded down, as there, but not where a factor like 640 / 1768 has lost its last bit.
    size = np.maximum(np.floor(np.array([height, width]) * factor + 1e-6), 1).astype(int)
    canvas = np.zeros((1, conv.height, conv.width, 3), np.uint8)
    inside = canvas[0, : size[0], : size[1]]
    inside[...] = cv2.resize(image_bgr, (int(size[1]), int(size[0])), interpolation=cv2.INTER_LINEAR)
    scale = size[::-1] / np.array([width, height])
    return canvas, size.astype(np.float32), scale.astype(np.float32)


def to_picture(boxes: Floats, scale: Floats) -> Floats:
    """Boxes (..., 4) of the canvas in px of the picture."""
    return np.divide(boxes, np.tile(scale, 2), dtype=np.float32)


# -- boxes


def proposals(boxes: Floats, logits: Floats, levels: NDArray[np.int64], conv: Conventions) -> Floats:
    """Which of the RPN's boxes the box head is shown: float32 (K, 4), best first, then zeros.

    `boxes` is (M, 4), `logits` (M,) of their objectness, `levels` (M,) of the pyramid: a level suppresses its own
    (Lin et al., FPN, 2017, arXiv:1612.03144, section 5.1).
    """
    wide = _large(boxes, conv.min_side)
    kept = []
    for level in np.unique(levels):
        here = np.flatnonzero(wide & (levels == level))
        kept.append(here[nms(boxes[here], logits[here], conv.nms_iou, conv.proposals)])
    found = np.concatenate(kept) if kept else np.empty(0, np.intp)
    best = found[np.argsort(-logits[found], kind="stable")][: conv.proposals]
    return padded(boxes[best], conv.proposals)


def detections(scores: Floats, boxes: Floats, conv: Conventions) -> tuple[Floats, Floats]:
    """The people among what the box head said of K proposals: boxes (N, 4) and scores (N,), best first.

    `scores` is (K, C), `boxes` (K, C, 4), for each class.
    """
    scores, boxes = scores[:, conv.person], boxes[:, conv.person]  # (K,), (K, 4)
    sure = np.flatnonzero((scores > conv.min_score) & _large(boxes, conv.box_min_side))
    best = sure[nms(boxes[sure], scores[sure], conv.box_nms_iou, conv.detections)]
    return boxes[best], scores[best]


def padded(boxes: Floats, count: int) -> Floats:
    """The first `count` of the boxes (N, 4), and zeros where there are not so many: float32 (count, 4)."""
    filled = np.zeros((count, 4), np.float32)
    filled[: len(boxes)] = boxes[:count]
    return filled


def _large(boxes: Floats, min_side: float) -> NDArray[np.bool_]:
    """Whether boxes (N, 4) have an area and no side below `min_side`. Empty ones are padding."""
    sides = boxes[:, 2:] - boxes[:, :2]  # (N, 2)
    return np.logical_and.reduce((sides > 0) & (sides >= min_side), axis=1)


# -- what the heads say of a box


def to_picture_from_map(box: Floats, side: int, scale: Floats) -> NDArray[np.float64]:
    """Where a head's square map of a box lies in the picture: float64 (2, 3).

    It takes continuous px (x, y, 1) of the map, `side` to a side, to the picture's. The map covers the box: Mask
    R-CNN, 2017, arXiv:1703.06870, section 3.
    """
    x0, y0, x1, y1 = to_picture(box, scale).astype(np.float64)
    return np.array([[(x1 - x0) / side, 0, x0], [0, (y1 - y0) / side, y0]])


NEAR = 2  # cells


def keypoints_of(heatmaps: Floats, boxes: Floats) -> Floats:
    """Where the keypoints of N people are: float32 (N, J, 3), x and y in px of the canvas, confidence 0..1.

    `heatmaps` is float32 (N, J, 56, 56), logits over the box, `boxes` (N, 4). The place is that of the greatest
    value after the map was made as large as the box, cubically: `heatmaps_to_keypoints` of torchvision and of
    detectron2. The confidence is the map's probability (its softmax) within 2 cells of there.
    """
    found = np.zeros((*heatmaps.shape[:2], 3), np.float32)
    for person, (maps, box) in enumerate(zip(heatmaps, boxes, strict=True)):
        found[person] = _keypoints(maps, box)
    return found


def _keypoints(maps: Floats, box: Floats) -> Floats:
    """Those of one person: (J, 3) from (J, 56, 56)."""
    sides = np.maximum(box[2:] - box[:2], 1)
    pixels = np.ceil(sides).astype(int)  # as many as the box has, and each stands for its middle
    joints, rows, columns = maps.shape
    found = np.empty((joints, 3), np.float32)
    for joint, each in enumerate(maps):
        large = cv2.resize(each, tuple(map(int, pixels)), interpolation=cv2.INTER_CUBIC)
        y, x = np.unravel_index(np.argmax(large), large.shape)
        middle = (np.array([x, y]) + 0.5) / pixels  # 0..1 of the box
        column, row = (middle * [columns, rows]).astype(int)
        odds = np.exp(each - each.max())
        near = odds[max(row - NEAR, 0) : row + NEAR + 1, max(column - NEAR, 0) : column + NEAR + 1]
        found[joint] = *(box[:2] + middle * sides), near.sum() / odds.sum()
    return found
