"""Boxes: how a network speaks of them, how they overlap, which of them stay.

Boxes are float32 (..., 4): x0, y0, x1, y1 in px of the network's input, y down, a box of width x1 − x0. The code
of a box relative to another is that of R-CNN (Girshick et al., 2014, arXiv:1311.2524, appendix C). Conventions of
torchvision and detectron2, which agree here.
"""

import math

import torch
from torch import Tensor

# A box grows at most to 1000 / 16 of what it was: keeps the exponential finite, as in Detectron.
LARGEST = math.log(1000 / 16)

# By how much the codes of proposals (RPN) and of detections (box head) are scaled; the latter have about unit
# variance then (Fast R-CNN, Girshick, 2015, arXiv:1504.08083, section 2.3, as Detectron has it).
RPN_WEIGHTS = (1.0, 1.0, 1.0, 1.0)
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)

Weights = tuple[float, float, float, float]


def encode(boxes: Tensor, anchors: Tensor, weights: Weights) -> Tensor:
    """What the network should say of anchors (..., 4) whose boxes these are (..., 4): (..., 4)."""
    size, centre = extent(boxes), middle(boxes)
    of_anchor, anchor_centre = extent(anchors), middle(anchors)
    moved = (centre - anchor_centre) / of_anchor  # (..., 2)
    grown = torch.log(size / of_anchor)  # (..., 2)
    return torch.cat([moved, grown], dim=-1) * moved.new_tensor(weights)  # (..., 4)


def decode(codes: Tensor, anchors: Tensor, weights: Weights) -> Tensor:
    """The boxes that codes (..., 4) mean, relative to anchors that broadcast against them: (..., 4)."""
    size, centre = extent(anchors), middle(anchors)
    wx, wy, ww, wh = weights
    moved = torch.stack([codes[..., 0] / wx, codes[..., 1] / wy], dim=-1)  # (..., 2)
    grown = torch.stack([codes[..., 2] / ww, codes[..., 3] / wh], dim=-1).clamp(max=LARGEST)  # (..., 2)
    new_centre = moved * size + centre  # (..., 2)
    half = 0.5 * (grown.exp() * size)  # (..., 2)
    return torch.cat([new_centre - half, new_centre + half], dim=-1)  # (..., 4)


def extent(boxes: Tensor) -> Tensor:
    """Width and height of boxes (..., 4): (..., 2)."""
    return boxes[..., 2:] - boxes[..., :2]


def middle(boxes: Tensor) -> Tensor:
    """Centres of boxes (..., 4): (..., 2)."""
    return boxes[..., :2] + 0.5 * extent(boxes)


def area(boxes: Tensor) -> Tensor:
    """Areas of boxes (..., 4), px²: (...)."""
    size = extent(boxes)
    return size[..., 0] * size[..., 1]


def clip(boxes: Tensor, size: Tensor) -> Tensor:
    """Boxes (..., 4) cut at the picture, whose (h, w) are float32 (2,), or (..., 2) that broadcast: (..., 4)."""
    across = torch.stack([size[..., 1], size[..., 0]], dim=-1)  # (..., 2)
    return torch.minimum(boxes.clamp(min=0), torch.cat([across, across], dim=-1))  # (..., 4)


def large(boxes: Tensor, side: float) -> Tensor:
    """Which of the boxes (N, 4) are `side` px or more both ways: bool (N,)."""
    return (extent(boxes) >= side).all(-1)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of each of (N, 4) with each of (M, 4): (N, M); NaN between two empty boxes."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])  # (N, M, 2)
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])  # (N, M, 2)
    sides = (high - low).clamp(min=0)  # (N, M, 2)
    shared = sides[..., 0] * sides[..., 1]  # (N, M)
    return shared / (area(first)[:, None] + area(second)[None] - shared)  # (N, M)


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Greedy non-maximum suppression, exact: which of the boxes (N, 4) stay, int64 (M,), best score first.

    A box goes if a better one that stays overlaps it by more than `threshold`; of equal scores the earlier is
    better. Who stays depends on better boxes alone, so that asking all of them at once, again and again, is
    right for one more box each time at least; it is done when nothing changes, mostly after a few rounds.
    """
    order = torch.sort(scores, descending=True, stable=True).indices  # (N,)
    ranked = boxes[order]  # (N, 4)
    suppresses = (iou(ranked, ranked) > threshold).triu(diagonal=1).float()  # (N, N): row suppresses column
    stays = torch.ones(len(order), dtype=torch.bool, device=boxes.device)
    while True:
        now = (stays.float() @ suppresses) == 0  # (N,)
        if torch.equal(now, stays):
            return order[stays]
        stays = now


def nms_within(boxes: Tensor, scores: Tensor, groups: Tensor, threshold: float) -> Tensor:
    """`nms` within each group, int64 (N,), a level or a class: int64 (M,), best score first over all groups."""
    kept = [torch.zeros(0, dtype=torch.int64, device=boxes.device)]
    for group in torch.unique(groups):
        members = (groups == group).nonzero()[:, 0]
        kept.append(members[nms(boxes[members], scores[members], threshold)])
    together = torch.cat(kept).sort().values  # in their first order, so that equal scores keep it
    return together[torch.sort(scores[together], descending=True, stable=True).indices]
