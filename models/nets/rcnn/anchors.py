"""Anchors: the boxes that the region proposal network starts from.

Ren et al., "Faster R-CNN", 2015 (arXiv:1506.01497), section 3.1.1; one size to a level of the pyramid, three
aspect ratios (Lin et al., 2017, arXiv:1612.03144, section 4.1). torchvision rounds the boxes about the cell's
corner to whole pixels and takes a level's stride from the shapes of picture and map; detectron2 rounds nothing
and its strides are powers of two. Both put a cell's anchors about its upper left corner, not its middle.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

RATIOS = (0.5, 1.0, 2.0)  # height / width


def level_anchors(
    shape: tuple[int, int], stride: tuple[int, int], size: float, rounded: bool, device: torch.device
) -> Tensor:
    """Anchors of one level of `shape` (rows, columns) and `stride` px: float32 (rows · columns · 3, 4)."""
    rows = torch.arange(shape[0], dtype=torch.float32, device=device) * stride[0]
    columns = torch.arange(shape[1], dtype=torch.float32, device=device) * stride[1]
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    corners = torch.stack([x, y, x, y], dim=-1)  # (rows, columns, 4)
    base = torch.tensor(about_zero(size, rounded), dtype=torch.float32, device=device)  # (3, 4)
    return (corners[:, :, None] + base).reshape(-1, 4)  # (rows · columns · 3, 4)


def about_zero(size: float, rounded: bool) -> list[list[float]]:
    """The three anchors of a cell, about 0, 0: boxes of area size² px and of the RATIOS."""
    boxes = []
    for ratio in RATIOS:
        height = size * math.sqrt(ratio)
        width = size / math.sqrt(ratio)
        box = [-width / 2, -height / 2, width / 2, height / 2]
        boxes.append([float(round(side)) for side in box] if rounded else box)
    return boxes


def strides(
    shapes: Sequence[tuple[int, int]], picture: tuple[int, int], exact: bool
) -> list[tuple[int, int]]:
    """Strides of P2.. of these shapes under a picture (H, W): 4, 8, .. if `exact`, else by whole division."""
    if exact:
        return [(4 << level, 4 << level) for level in range(len(shapes))]
    return [(picture[0] // rows, picture[1] // columns) for rows, columns in shapes]
