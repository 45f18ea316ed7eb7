"""How good an R-CNN is on held-out scenes: average precision of boxes and masks, parts, places on the body.

Average precision at an overlap of one half as COCO counts it (detections best first, each taking the person it
overlaps most of those still free; precision made monotonous, read at 101 recalls), but from numbers that can be
added up over processes: how many detections, and how many right ones, had which score, to a thousandth.

Part accuracy is over all pixels of all people: the share whose part the detection says that was matched to that
person by its box. Pixels of people who were not detected, or that lie outside the detection's box, are wrong.
Places are judged on those pixels of detected people of which the net says any part: the distance between the
place it says and the true one, straight through the rest body.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bodystream.models.body.surface import rest_points
from bodystream.models.nets.rcnn.boxes import iou
from bodystream.models.nets.rcnn.densepose_head import DenseOutput
from bodystream.models.nets.rcnn.system import Detections, Rcnn
from bodystream.training.rcnn.samples import UNKNOWN, Sample, apart
from bodystream.training.task import Batch

OVERLAP = 0.5
SCORES = 1000  # bins of a detection's score
BINS, BIN_M = 2000, 1e-3  # of the error in place, for its median
RECALLS = np.linspace(0, 1, 101)
COUNTS = 4 + 4 * SCORES + BINS


class Figures(NamedTuple):
    """Of held-out scenes; shares 0..1, and the median distance on the body, cm. See the module."""

    box_ap50: float
    mask_ap50: float
    part_accuracy: float
    median_cm: float


class Found(NamedTuple):
    """What a net says of one picture: N detections, best first. `masks` bool (N, H, W); `part` uint8 (N, H, W)
    and `uv` float32 (N, 2, H, W) in their boxes.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    masks: NDArray[np.bool_]
    part: NDArray[np.uint8]
    uv: NDArray[np.float32]


class Matched(NamedTuple):
    """Which person each detection was matched to by box and by mask, −1 none: int64 (N,)."""

    by_box: NDArray[np.int64]
    by_mask: NDArray[np.int64]


def counted(net: Rcnn, held_out: Sequence[Batch], device: torch.device) -> Tensor:
    """What `figures` are made from, float32 (COUNTS,); may be summed over parts of the held-out set."""
    counts = torch.zeros(COUNTS)
    for batch in held_out:
        for sample in apart(batch):
            counts += _counted(sample, look(net, sample.image, device))
    return counts


def look(net: Rcnn, image: NDArray[np.uint8], device: torch.device) -> Found:
    """Run the net on a picture uint8 (H, W, 3)."""
    with torch.inference_mode():
        said: Detections = net(torch.from_numpy(image)[None].to(device))
    boxes = said.boxes.float().cpu()
    shape = image.shape[:2]
    count = len(boxes)
    masks = np.zeros((count, *shape), np.bool_)
    part = np.zeros((count, *shape), np.uint8)
    uv = np.zeros((count, 2, *shape), np.float32)
    charts = None if said.dense is None else DenseOutput(*(each.float().cpu() for each in said.dense))
    for k in range(count):
        if said.masks is not None:
            masks[k] = (pasted(said.masks[k].float().cpu()[None], boxes[k], shape)[0] > OVERLAP).numpy()
        if charts is not None:
            part[k], uv[k] = _surface(DenseOutput(*(each[k] for each in charts)), boxes[k], shape)
    return Found(boxes.numpy(), said.scores.float().cpu().numpy(), masks, part, uv)


def pasted(maps: Tensor, box: Tensor, shape: tuple[int, int], mode: str = "bilinear") -> Tensor:
    """Maps (C, h, w) over a box (4,) as a picture of `shape` shows them: (C, H, W), 0 outside the box."""
    x0, y0, x1, y1 = box.tolist()
    columns = torch.arange(max(int(x0), 0), min(int(np.ceil(x1)), shape[1]))
    rows = torch.arange(max(int(y0), 0), min(int(np.ceil(y1)), shape[0]))
    out = torch.zeros(len(maps), *shape)
    if not len(columns) or not len(rows) or x1 <= x0 or y1 <= y0:
        return out
    across = (columns + 0.5 - x0) / (x1 - x0) * 2 - 1  # −1..1 over the box
    down = (rows + 0.5 - y0) / (y1 - y0) * 2 - 1
    grid = torch.stack(torch.meshgrid(down, across, indexing="ij")[::-1], dim=-1)  # (h, w, 2)
    read = F.grid_sample(maps[None], grid[None], mode=mode, padding_mode="border", align_corners=False)[0]
    inside = (grid.abs() <= 1).all(-1)
    out[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = torch.where(inside, read, 0.0)
    return out


def _surface(
    charts: DenseOutput, box: Tensor, shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Part (H, W) and uv (2, H, W): the likeliest part where the coarse head sees a person."""
    part = torch.where(charts.coarse.argmax(0) > 0, charts.fine.argmax(0), 0)  # (112, 112)
    u, v = (each.gather(0, part[None])[0].clamp(0, 1) for each in (charts.u, charts.v))
    seen = pasted(torch.stack([part.float(), u, v]), box, shape, "nearest")
    return seen[0].numpy().astype(np.uint8), seen[1:].numpy()


def match(sample: Sample, found: Found) -> Matched:
    """Give detections, best first, the person whom they overlap most of those that are free still."""
    count = int(sample.number)
    pixels = sample.part.size
    by_box = iou(torch.from_numpy(found.boxes), torch.from_numpy(sample.boxes[:count])).numpy()
    truth = sample.masks[:count].reshape(count, pixels).astype(np.float32)
    said = found.masks.reshape(len(found.masks), pixels).astype(np.float32)
    shared = said @ truth.T
    by_mask = shared / np.maximum(said.sum(1)[:, None] + truth.sum(1)[None] - shared, 1)
    return Matched(_greedy(by_box), _greedy(by_mask))


def _greedy(overlaps: NDArray[np.floating]) -> NDArray[np.int64]:
    """Overlaps (N, M) to the person of each detection, −1 for none: (N,)."""
    out = np.full(len(overlaps), -1, np.int64)
    free = np.ones(overlaps.shape[1], bool)
    for k, row in enumerate(overlaps):
        left = np.where(free, row, -1)
        if left.size and left.max() >= OVERLAP:
            out[k] = left.argmax()
            free[out[k]] = False
    return out


def _counted(sample: Sample, found: Found) -> Tensor:
    matched = match(sample, found)
    pixels, right, errors = surface_errors(sample, found, matched.by_box)
    bins = np.minimum((found.scores * SCORES).astype(np.int64), SCORES - 1)
    rows = [
        np.bincount(bins[chosen], minlength=SCORES)
        for chosen in (
            np.ones(len(bins), bool),
            matched.by_box >= 0,
            np.ones(len(bins), bool),
            matched.by_mask >= 0,
        )
    ]
    places = np.histogram(np.minimum(errors, BINS * BIN_M), BINS, (0, BINS * BIN_M))[0]
    head = [int(sample.number), pixels, right, len(errors)]
    return torch.from_numpy(np.concatenate([head, *rows, places]).astype(np.float32))


def surface_errors(
    sample: Sample, found: Found, owner: NDArray[np.int64]
) -> tuple[int, int, NDArray[np.float32]]:
    """Pixels of people with a known part, how many of them right, and errors in place, m, of those with any."""
    truth, part, true_uv, uv = surface_said(sample, found, owner)
    said = part > 0
    there, right_there = rest_points(part[said], uv[said]), rest_points(truth[said], true_uv[said])
    errors = np.linalg.norm(there - right_there, axis=1).astype(np.float32)
    return len(truth), int((part == truth).sum()), errors


def surface_said(
    sample: Sample, found: Found, owner: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Of all pixels with a known part: it and the part said, (K,), 0 none; the true uv and that said, (K, 2)."""
    asked = (sample.part > 0) & (sample.part < UNKNOWN)
    part, uv = np.zeros_like(sample.part), np.zeros_like(sample.uv)
    for k, person in enumerate(owner):
        if person >= 0:
            own = sample.masks[person]
            part[own], uv[:, own] = found.part[k][own], found.uv[k][:, own]
    return sample.part[asked], part[asked], sample.uv[:, asked].T, uv[:, asked].T


def figures(counts: Tensor) -> Figures:
    """Shares and centimetres out of counts."""
    people, pixels, right, placed = counts[:4].tolist()
    rows = counts[4 : 4 + 4 * SCORES].double().view(4, SCORES).numpy()
    places = counts[4 + 4 * SCORES :]
    middle = int(torch.searchsorted(places.cumsum(0), placed / 2)) if placed else 0
    return Figures(
        box_ap50=average_precision(rows[0], rows[1], people),
        mask_ap50=average_precision(rows[2], rows[3], people),
        part_accuracy=right / max(pixels, 1.0),
        median_cm=100 * BIN_M * (middle + 0.5) if placed else float("nan"),
    )


def average_precision(found: NDArray[np.float64], right: NDArray[np.float64], people: float) -> float:
    """Of detections and right ones by score, the lowest first: (S,) each."""
    found, right = found[::-1].cumsum(), right[::-1].cumsum()
    precision = right / np.maximum(found, 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    recall = right / max(people, 1.0)
    at = np.searchsorted(recall, RECALLS)
    return float(np.append(precision, 0.0)[at].mean())
