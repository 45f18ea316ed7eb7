"""How good dense-s is on people it has not learned from."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bodystream.models.body.surface import rest_points
from bodystream.models.dense_layout import MASK, PARTS
from bodystream.models.nets.correspondence import Correspondence, part_logits, uv_on
from bodystream.training.dense.loss import by_cell
from bodystream.training.task import Batch

BINS = 2000  # of surface error, for its median
BIN_M = 1e-3
COUNTS = 3 + BINS  # pixels, right parts, metres; then how many were how far off


class Figures(NamedTuple):
    """Over all pixels of people that are in their mask: share of right parts; distance on the rest body."""

    part_accuracy: float
    median_cm: float
    mean_cm: float


def counted(net: Correspondence, held_out: Sequence[Batch], device: torch.device) -> Tensor:
    """What `figures` are made from, float32 (COUNTS,); may be summed over parts of the held-out set."""
    counts = torch.zeros(COUNTS)
    for batch in held_out:
        inputs, part, uv = (torch.from_numpy(each) for each in batch)
        with torch.inference_mode():
            out = net(inputs.to(device))
            best = part_logits(out)[:, 1:].argmax(1) + 1  # (N, S, 64, 64)
            places = uv_on(out, best).clamp(0, 1).cpu()  # (N, 2, S, 64, 64)
        truth, true_uv = by_cell(part[:, None])[:, 0], by_cell(uv)  # (N, S, 64, 64), (N, 2, S, 64, 64)
        asked = (truth > 0) & (truth <= PARTS) & (inputs[:, MASK] > 0.5)  # (N, S, 64, 64)
        found, truth = best.cpu()[asked].byte(), truth[asked]  # (M,)
        there = rest_points(found.numpy(), places.movedim(1, -1)[asked].numpy())  # (M, 3)
        right_there = rest_points(truth.numpy(), true_uv.movedim(1, -1)[asked].numpy())  # (M, 3)
        error = torch.from_numpy(there - right_there).norm(dim=1)  # (M,)
        counts[:3] += torch.stack([asked.sum(), (found == truth).sum(), error.sum()])
        counts[3:] += torch.histc(error.clamp(max=BINS * BIN_M), BINS, 0, BINS * BIN_M)
    return counts


def figures(counts: Tensor) -> Figures:
    """Shares and centimetres out of counts."""
    pixels, right, error = counts[:3].tolist()
    pixels = max(pixels, 1.0)
    middle = int(torch.searchsorted(counts[3:].cumsum(0), pixels / 2))
    return Figures(right / pixels, 100 * BIN_M * (middle + 0.5), 100 * error / pixels)
