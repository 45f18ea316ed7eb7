"""What dense-s learns from: part and place on the surface, for the pixels of the person alone."""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bodystream.models.body.data import BodyModel
from bodystream.models.dense_layout import CELLS, MASK, PARTS
from bodystream.models.nets.correspondence import CLASSES, SUB, Correspondence, part_logits, quantities, uv_on

IGNORE = 255  # a part that is not known: nothing is learned there
BACKGROUND = 0.35  # weight of a pixel that is no one's: at run time the mask has the last word on those
PLACE = 12.0  # weight of the place against the part: with it both are about even at the start
BETA = 0.03  # of U, V: errors below count as squares
SEEN = 0.02  # of the mask's probability: beyond, a pixel may be asked for at run time
TILE = 16  # cells: the chosen ones are packed into squares; oneDNN takes no fewer than 17 pictures at a time
ROUND = 4096  # cells: so many more or fewer are chosen, since oneDNN prepares itself for each new shape


class Loss(NamedTuple):
    """`total` is what is minimised: `part`, cross-entropy in nats, plus `PLACE` times `place`, about metres."""

    total: Tensor
    part: Tensor
    place: Tensor


def loss_of(
    net: Correspondence, inputs: Tensor, part: Tensor, uv: Tensor, sizes: Tensor, *, bf16: bool
) -> Loss:
    """The loss of N samples: inputs (N, 48, 64, 64), part uint8 (N, 128, 128), uv (N, 2, 128, 128).

    `part` is 0 for nobody, 1..24, or IGNORE. `sizes` (2, 25) are the charts' extents in m, see `chart_sizes`.
    """
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=bf16):
        features = net.features(quantities(inputs))  # (N, 32, 64, 64)
    part, uv = by_cell(part[:, None])[:, 0].long(), by_cell(uv)  # (N, S, 64, 64), (N, 2, S, 64, 64)
    cells, spare = chosen_cells(inputs, part)  # (K,)
    part = packed(part, cells, spare)  # (K / 256, S, 16, 16)
    uv = packed(uv.flatten(1, 2), cells).reshape(-1, 2, SUB, TILE, TILE)  # (K / 256, 2, S, 16, 16)
    out = net.heads(packed(features, cells).float(), packed(inputs, cells))

    weight = torch.ones(CLASSES, device=inputs.device)
    weight[0] = BACKGROUND
    part_loss = F.cross_entropy(part_logits(out), part, weight=weight, ignore_index=IGNORE)

    body = (part > 0) & (part <= PARTS)  # (K / 256, S, 16, 16)
    known = part * body
    off = F.smooth_l1_loss(uv_on(out, known.clamp(min=1)), uv, beta=BETA, reduction="none")
    metres = (off * sizes[:, known].transpose(0, 1)).sum(1)  # (K / 256, S, 16, 16); part 0 is 0 m large
    place_loss = metres.sum() / body.sum().clamp(min=1)
    return Loss(part_loss + PLACE * place_loss, part_loss.detach(), place_loss.detach())


def by_cell(maps: Tensor) -> Tensor:
    """Pixels of 128 to the 4 of each cell, as the input's channels: (N, C, 128, 128) to (N, C, S, 64, 64)."""
    pairs = maps.reshape(*maps.shape[:2], CELLS, 2, CELLS, 2)  # (N, C, 64, 2, 64, 2)
    return pairs.permute(0, 1, 3, 5, 2, 4).flatten(2, 3)  # (N, C, S, 64, 64)


def chosen_cells(inputs: Tensor, part: Tensor) -> tuple[Tensor, int]:
    """Cells (K,) of N · 64 · 64 that the body or the mask reaches, or a neighbour of them; how many are spare.

    The others are never asked for at run time: to leave them out makes a step a third faster. Spare ones fill
    the last picture up.
    """
    body = ((part > 0) & (part <= PARTS)).any(1)  # (N, 64, 64)
    reached = body | (inputs[:, MASK] > SEEN).any(1)  # (N, 64, 64)
    near = F.max_pool2d(reached[:, None].float(), 3, stride=1, padding=1) > 0  # (N, 1, 64, 64)
    cells = near.flatten().nonzero().squeeze(1)  # (K,)
    spare = -len(cells) % ROUND
    return torch.cat([cells, cells.new_zeros(spare)]), spare


def packed(maps: Tensor, cells: Tensor, spare: int = 0) -> Tensor:
    """The chosen cells in squares: (N, C, 64, 64) to (K / 256, C, 16, 16), channels last in memory.

    The last `spare` ones become IGNORE.
    """
    rows = maps.permute(0, 2, 3, 1).flatten(0, 2)  # (N · 64 · 64, C)
    chosen = rows.index_select(0, cells)  # (K, C)
    if spare:
        chosen[-spare:] = IGNORE
    return chosen.reshape(-1, TILE, TILE, maps.shape[1]).permute(0, 3, 1, 2)  # (K / 256, C, 16, 16)


def chart_sizes(body: BodyModel) -> NDArray[np.float32]:
    """How many metres one unit of U and of V is on each part, the median over its area: (2, 25); 0 for part 0."""
    uv = body.uv[body.triangles].astype(np.float64)  # (T, 3, 2)
    points = body.vertices[body.chart_vertex[body.triangles]].astype(np.float64)  # (T, 3, 3)
    uv_sides, sides = uv[:, 1:] - uv[:, :1], points[:, 1:] - points[:, :1]  # (T, 2, 2), (T, 2, 3)
    real = np.abs(np.linalg.det(uv_sides)) > 1e-9  # a sliver says nothing of how far U, V reach
    steps = np.linalg.solve(uv_sides[real], sides[real])  # (T, 2, 3): along U, along V
    lengths = np.linalg.norm(steps, axis=2)  # (T, 2)
    area = np.linalg.norm(np.cross(sides[real, 0], sides[real, 1]), axis=1)  # (T,)
    part = body.part[body.triangles[real, 0]]
    sizes = np.zeros((2, CLASSES), np.float32)
    for number in np.unique(part):
        here = part == number
        for axis in range(2):
            sizes[axis, number] = _median(lengths[here, axis], area[here])
    return sizes


def _median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(total, total[-1] / 2)]])
