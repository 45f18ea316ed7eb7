"""Samples out of data in COCO's format: FOLDER/annotations.json and the pictures in FOLDER/images.

Lin et al., "Microsoft COCO", 2014 (arXiv:1405.0312). Masks may be polygons or run lengths. There is no dense
correspondence in it, so that a person's pixels are UNKNOWN ones, from which the dense head does not learn. Crowds
(`iscrowd`) are left out; so are people beyond MOST, the smallest.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bodystream.errors import SourceNotFound, UsageError
from bodystream.evaluation.coco import read_annotations, read_picture
from bodystream.models.keypoints import COCO, KEYPOINTS, SWAP
from bodystream.training.rcnn.samples import UNKNOWN, Sample, padded, stacked
from bodystream.training.task import Batch

Floats = NDArray[np.float32]

MOST = 12  # people of a picture
HELD_OUT = 10  # every tenth picture, in the order of their ids, is judged by and not learnt from
SCALE = (
    0.7,
    1.4,
)  # of the picture that fits, as Copy-Paste's small jitter (Ghiasi et al. 2021) but further out
SEEN_PX = 40  # whoever shows less after the picture is cut is not asked for


@dataclass(frozen=True)
class Annotated:
    """A `Source` of pictures of `size` (H, W), px. `exact`: in order, scaled to fit, neither cut nor mirrored."""

    truth: Any  # pycocotools' COCO
    images: Path
    ids: tuple[int, ...]
    size: tuple[int, int]
    exact: bool = False

    def batches(self, seed: int, rank: int, size: int) -> Iterator[Batch]:
        """Yield batches, see `Sample`. Raises SourceNotFound for a picture that is missing."""
        samples = self.samples(seed, rank)
        while True:
            yield stacked([next(samples) for _ in range(size)])

    def samples(self, seed: int, rank: int = 0) -> Iterator[Sample]:
        """Yield samples, all pictures in a new order each time round."""
        rng = np.random.default_rng([seed, rank])
        while True:
            order = np.arange(len(self.ids)) if self.exact else rng.permutation(len(self.ids))
            for k in order:
                yield self._sample(self.ids[int(k)], rng)

    def _sample(self, picture_id: int, rng: np.random.Generator) -> Sample:
        picture = self.truth.loadImgs([picture_id])[0]
        image = read_picture(self.images / picture["file_name"], "annotations")
        people = self.truth.loadAnns(self.truth.getAnnIds(imgIds=[picture_id], iscrowd=False))
        view = self._view(image.shape[:2], rng)
        mirrored = not self.exact and rng.random() < 0.5
        height, width = self.size
        boxes, masks, keypoints = [], [], []
        for person in people:
            mask = _seen(self.truth.annToMask(person), view, self.size) > 0
            if mask.sum() < SEEN_PX:
                continue
            points = _placed(person["keypoints"], view, self.size)
            if mirrored:
                mask, points = mask[:, ::-1], _mirrored(points, width)
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            boxes.append(
                np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32),
            )
            masks.append(mask)
            keypoints.append(points)
        shown = _seen(image, view, self.size)
        part = np.zeros((height, width), np.uint8)
        for mask in masks:
            part[mask] = UNKNOWN
        whole = np.ascontiguousarray(shown[:, ::-1] if mirrored else shown)
        return padded(whole, MOST, boxes, masks, keypoints, part, np.zeros((2, height, width), np.float32))

    def _view(self, shape: Sequence[int], rng: np.random.Generator) -> Floats:
        """Px of the picture to px of the sample, (2, 3): continuous coordinates, a pixel's middle at one half."""
        height, width = shape[:2]
        fit = min(self.size[0] / height, self.size[1] / width)
        if self.exact:
            return np.array([[fit, 0, 0], [0, fit, 0]], np.float32)
        fit *= math.exp(rng.uniform(*np.log(SCALE)))
        free = np.array([self.size[1] - fit * width, self.size[0] - fit * height])
        x, y = free * rng.random(2)
        return np.array([[fit, 0, x], [0, fit, y]], np.float32)


def sources(folder: Path, size: tuple[int, int]) -> tuple[Annotated, Annotated]:
    """The source to learn from and the held-out one. Raises what `read_annotations` raises, SourceNotFound."""
    truth = read_annotations(folder / "annotations.json")
    images = folder / "images"
    if not images.is_dir():
        raise SourceNotFound(f"no folder {images}; --data needs annotations.json and images/ beside it")
    ids = sorted(truth.getImgIds())
    held_out = tuple(ids[::HELD_OUT])
    learnt = tuple(each for each in ids if each not in set(held_out))
    if not learnt:
        raise UsageError(f"{folder} holds {len(ids)} pictures: too few to learn from and to be judged by")
    return (
        Annotated(truth, images, learnt, size),
        Annotated(truth, images, held_out, size, exact=True),
    )


def _seen(image: NDArray[np.uint8], view: Floats, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture, or a mask, as the sample shows it."""
    own = view.astype(np.float64)
    own[:, 2] += 0.5 * own.diagonal() - 0.5  # OpenCV counts from the middle of the first pixel
    if image.ndim == 3 and own[0, 0] < 1:  # else every other row would be thrown away
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / own[0, 0]).astype(np.uint8)
    way = cv2.INTER_LINEAR if image.ndim == 3 else cv2.INTER_NEAREST
    return np.asarray(cv2.warpAffine(image, own, size[::-1], flags=way), np.uint8)


def _placed(keypoints: Sequence[float], view: Floats, size: tuple[int, int]) -> Floats:
    """COCO's keypoints, (17, 3); those beyond the sample's border unknown."""
    points = np.array(keypoints, np.float32).reshape(17, 3)
    points[:, :2] = (points[:, :2] + 0.5) @ view[:, :2].T + view[:, 2]  # COCO's are pixels' indices
    inside = (points[:, :2] >= 0).all(1) & (points[:, :2] < np.array(size[::-1])).all(1)
    points[~inside | (points[:, 2] == 0)] = 0
    return points


_NAMES = [KEYPOINTS[k] for k in COCO]
_OTHER = [_NAMES.index(KEYPOINTS[SWAP[k]]) for k in COCO]


def _mirrored(points: Floats, width: int) -> Floats:
    out = points[_OTHER].copy()
    known = out[:, 2] > 0
    out[known, 0] = width - out[known, 0]
    return out
