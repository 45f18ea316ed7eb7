"""dense-s as the pipeline wants it: the best part of the surface at every pixel, U, V there, how sure it is."""

import copy

import torch
from torch import Tensor, nn

from bodystream.models.dense_layout import CELLS, GRID, PARTS
from bodystream.models.nets.correspondence import CLASSES, SUB, Correspondence, uv_on


class CorrespondenceForExport(nn.Module):
    """Input: float32 (N, 48, 64, 64), see `models.dense_layout`.

    Outputs: part uint8 (N, 128, 128): the best of 1..24; uv float32 (N, 2, 128, 128): 0..1, on that part's
    chart; confidence uint8 (N, 128, 128): 0..255 for 0..1, the probability of that part, background counted.
    """

    def __init__(self, net: Correspondence) -> None:
        super().__init__()
        self.net = copy.deepcopy(net)
        self.register_buffer("ones", torch.ones(1, CLASSES))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class. P stands for the 4 · 64 · 64 pixels."""
        found = self.net(inputs)
        logits = found.logits.reshape(-1, CLASSES, SUB*CELLS*CELLS)  # (N, 25, P)
        own = found.own.reshape(-1, 1, SUB*CELLS*CELLS)
        value, part = best(logits)  # (N, 1, P)
        # The prior goes to one part of each pixel: that part alone is compared again, and exchanged in the sum.
        without = logits.gather(1, own)
        mine = without + found.prior.reshape(-1, 1, SUB*CELLS*CELLS)
        keep = (mine >= value) & (own > 0)
        part = torch.where(keep, own.to(torch.uint8), part)
        value = torch.where(keep, mine, value)
        total = torch.matmul(self.ones, logits.exp()) + mine.exp() - without.exp()
        confidence = (value.exp() / total * 255).round().to(torch.uint8)  # (N, 1, P)
        uv = uv_on(found, part.long().reshape(-1, SUB, CELLS, CELLS)).clamp(0, 1)
        return shuffled(part), shuffled(uv).reshape(-1, 2, GRID, GRID), shuffled(confidence)


def shuffled(x):
    x = x.reshape(-1, 2, CELLS*CELLS).transpose(1, 2)
    return x.reshape(-1, 2, CELLS, GRID).transpose(1, 2).reshape(-1, GRID, GRID)


def best(logits: Tensor) -> tuple[Tensor, Tensor]:
    _, a, b = logits.split([1, 12, 12], 1)
    i = torch.arange(1, PARTS+1, dtype=torch.uint8).reshape(1, -1, 1)
    ia, ib = i.split([12, 12], 1)
    while True:
        i = torch.where(a >= b, ia, ib); v = torch.maximum(a, b)
        n = v.shape[1]
        if n == 1: break
        if n == 3:
            a, b, r = v.split([1,1,1], 1); ia, ib, ir = i.split([1,1,1], 1)
            i = torch.where(a >= b, ia, ib); v = torch.maximum(a, b)
            a, ia = v, i; b, ib = r, ir
        else:
            a, b = v.chunk(2, 1); ia, ib = i.chunk(2, 1)
    return v, i
