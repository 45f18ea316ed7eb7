"""RoIAlign: a grid of fixed size for every box, however large, read from the level of the pyramid that fits it.

He et al., "Mask R-CNN", 2017 (arXiv:1703.06870), section 3: each bin is the mean of bilinear samples. A box's
samples form a grid, so along each axis a bin reads a few rows with known weights; the bins are weighted sums of
rows of one long table (`embedding_bag`), which is fast and differentiable. The level of a box is that of Lin et
al., 2017 (arXiv:1612.03144), equation 1. torchvision's detectors use `aligned=False` and two samples a side;
detectron2's `aligned=True` (its ROIAlignV2: half a cell less) and as many samples as a bin has cells.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

STRIDE = 4  # px, of P2, the first level that boxes are read from
CANONICAL_LEVEL = 2  # index of P4, where a box of canonical size is read
NEARLY = 1e-6  # added before the floor, as torchvision does


def pool(
    pyramid: Sequence[Tensor], rois: Tensor, output: int, sampling: int, aligned: bool, canonical: float
) -> Tensor:
    """`roi_align` from the level that fits each box: rois (R, 5) of levels P2.. (B, C, H, W): (R, C, output, output).

    `canonical` is the side in px of the box that is read from P4. A single map is read as P2 for all boxes.
    """
    if torch.compiler.is_exporting():
        return _pool_all_levels(pyramid, rois, output, sampling, aligned, canonical)
    level = fitting_level(rois[:, 1:], len(pyramid), canonical)  # (R,)
    return _pool(pyramid, rois, level, output, 1 / STRIDE, sampling, aligned)


def fitting_level(boxes: Tensor, levels: int, canonical: float) -> Tensor:
    """Which level of 0.. (P2..) each of the boxes (R, 4) is read from: int64 (R,)."""
    size = boxes[:, 2:] - boxes[:, :2]
    octave = torch.log2(torch.sqrt(size[:, 0] * size[:, 1]) / canonical)  # (R,); −inf of an empty box
    return torch.floor(CANONICAL_LEVEL + octave + NEARLY).clamp(0, levels - 1).long()


def roi_align(
    features: Tensor, rois: Tensor, output: int, scale: float, sampling: int, aligned: bool
) -> Tensor:
    """Bins of each box: features (B, C, H, W), rois float32 (R, 5) to (R, C, output, output).

    A roi is the picture's number and x0, y0, x1, y1 in px, times `scale` in cells. `sampling` is the samples of a
    bin each way, 0 as many as it has cells. Gradients go to the features alone. While a program is exported this
    is one operation, bodystream::roi_align.
    """
    if torch.compiler.is_exporting():
        exported: Tensor = torch.ops.bodystream.roi_align(features, rois, output, scale, sampling, aligned)
        return exported
    level = torch.zeros(len(rois), dtype=torch.int64, device=rois.device)
    return _pool([features], rois, level, output, scale, sampling, aligned)


def _pool_all_levels(
    pyramid: Sequence[Tensor], rois: Tensor, output: int, sampling: int, aligned: bool, canonical: float
) -> Tensor:
    """As `pool`, without shapes that depend on the boxes: every level reads every box, and one of them counts."""
    level = fitting_level(rois[:, 1:], len(pyramid), canonical)[:, None, None, None]  # (R, 1, 1, 1)
    pooled = roi_align(pyramid[0], rois, output, 1 / STRIDE, sampling, aligned)  # (R, C, output, output)
    for number, features in enumerate(pyramid[1:], start=1):
        scale = 1 / (STRIDE << number)
        pooled = torch.where(
            level == number, roi_align(features, rois, output, scale, sampling, aligned), pooled
        )
    return pooled


def _pool(
    maps: Sequence[Tensor],
    rois: Tensor,
    level: Tensor,
    output: int,
    scale: float,
    sampling: int,
    aligned: bool,
) -> Tensor:
    """Reads each box from its level of the maps, each half as large as the one before."""
    channels = maps[0].shape[1]
    if not len(rois):
        return maps[0].new_zeros(0, channels, output, output)
    table = torch.cat([each.permute(0, 2, 3, 1).reshape(-1, channels) for each in maps])  # (cells of all, C)
    heights = rois.new_tensor([each.shape[2] for each in maps])[level]  # (R,)
    widths = rois.new_tensor([each.shape[3] for each in maps])[level]  # (R,)
    cells = torch.tensor([len(each) * each.shape[2] * each.shape[3] for each in maps], device=level.device)
    first = (cells.cumsum(0) - cells)[level] + rois[:, 0].long() * (heights * widths).long()  # (R,)

    in_cells = (scale * 0.5**level)[:, None]  # (R, 1)
    corners = rois[:, 1:].detach() * in_cells - (0.5 if aligned else 0.0)  # (R, 4)
    size = corners[:, 2:] - corners[:, :2]  # (R, 2)
    step = (size if aligned else size.clamp(min=1)) / output  # (R, 2), of a bin
    samples = torch.full_like(step, sampling) if sampling else torch.ceil(step)  # (R, 2)

    groups, group_of = torch.unique(samples, dim=0, return_inverse=True)
    bins, members = [], []
    for number, (across, down) in enumerate(groups.long().tolist()):
        own = (group_of == number).nonzero()[:, 0]  # (r,)
        columns = _taps(corners[own, 0], step[own, 0], output, across, widths[own])
        rows = _taps(corners[own, 1], step[own, 1], output, down, heights[own])
        bins.append(_bins(table, first[own], widths[own].long(), rows, columns))  # (r, output², C)
        members.append(own)
    pooled = bins[0] if len(bins) == 1 else torch.cat(bins)[torch.cat(members).argsort()]  # (R, output², C)
    return pooled.transpose(1, 2).reshape(len(rois), channels, output, output)  # (R, C, output, output)


Taps = tuple[Tensor, Tensor]


def _bins(table: Tensor, first: Tensor, row: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """Each bin's weighted sum of rows of the table (cells, C): (R, bins², C).

    The map of box r begins at `first` (R,) and a row of it has `row` (R,) cells.
    """
    start = first[:, None, None] + rows[0] * row[:, None, None]  # (R, bins, taps)
    index = start[:, :, None, :, None] + columns[0][:, None, :, None, :]  # (R, bins, bins, taps, taps)
    weights = rows[1][:, :, None, :, None] * columns[1][:, None, :, None, :]  # (R, bins, bins, taps, taps)
    count, bins = rows[0].shape[:2]
    sums = F.embedding_bag(
        index.reshape(count * bins * bins, -1),
        table,
        per_sample_weights=weights.reshape(count * bins * bins, -1).to(table.dtype),
        mode="sum",
    )  # (R · bins², C)
    return sums.view(count, bins * bins, -1)


def _taps(start: Tensor, step: Tensor, bins: int, samples: int, length: Tensor) -> Taps:
    """Along one axis of `length` cells (R,): which cells each bin reads, int64 (R, bins, taps), and their weights.

    Samples farther than a cell outside count nothing; those nearer are moved onto the edge.
    """
    some = max(samples, 1)
    within = (torch.arange(some, device=start.device) + 0.5) / some  # (samples,), of a bin
    bin_of = torch.arange(bins, device=start.device)
    places = start[:, None, None] + (bin_of[:, None] + within) * step[:, None, None]  # (R, bins, samples)
    last = (length - 1)[:, None, None]
    counts = (places >= -1) & (places <= length[:, None, None]) & (samples > 0)
    places = torch.minimum(places.clamp(min=0), last)
    low = places.floor()
    above = places - low
    weights = torch.cat([1 - above, above], dim=-1) * torch.cat([counts, counts], dim=-1) / some
    cells = torch.cat([low, torch.minimum(low + 1, last)], dim=-1).long()  # (R, bins, 2 · samples)
    return cells, weights


@torch.library.custom_op("bodystream::roi_align", mutates_args=())
def _roi_align_op(
    features: Tensor, rois: Tensor, output: int, scale: float, sampling: int, aligned: bool
) -> Tensor:
    level = torch.zeros(len(rois), dtype=torch.int64, device=rois.device)
    return _pool([features], rois, level, output, scale, sampling, aligned).contiguous()


@_roi_align_op.register_fake
def _(features: Tensor, rois: Tensor, output: int, scale: float, sampling: int, aligned: bool) -> Tensor:
    del scale, sampling, aligned
    return features.new_empty(rois.shape[0], features.shape[1], output, output)
